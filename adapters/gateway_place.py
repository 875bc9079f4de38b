"""Where the gateway is, for commands that talk to it or tell tools of it: by option, by variable, or as its configuration says."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.connect.tools import KEY_VARIABLE, URL_VARIABLE
from dragoman.adapters.greeting import address
from dragoman.adapters.planning import Plan, find_config, plan_serving
from dragoman.core.config import ClientKey, Config
from dragoman.core.urls import split_url

DEFAULT_URL: Final = "http://127.0.0.1:8317"


class PlaceError(Exception):
    """It is not known where the gateway is, or with which key to come; says what to do."""


@attrs.frozen
class Place:
    """A gateway.

    Attributes:
        url: Without a slash at the end.
        key: A client key; None when none is known.
        plan: What its configuration says; None without one.
        trust: The certificate it shows, when the configuration names it.
        source: Where the URL is from, for messages.

    """

    url: str
    key: str | None = attrs.field(default=None, repr=False)
    plan: Plan | None = attrs.field(default=None, repr=False)
    trust: str | None = None
    source: str = ""


def find_place(
    *,
    url: str | None = None,
    key_name: str | None = None,
    config_path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    folder: Path = Path(),
) -> Place:
    """Find out where the gateway is and which client key to show it.

    Args:
        url: From the command line; else ``$DRAGOMAN_URL``; else what the configuration says; else the usual address.
        key_name: The name of a key in the configuration; without it ``$DRAGOMAN_CLIENT_KEY``, else the first that is not only a hash.
        config_path: From the command line.
        environment: Of this process.
        folder: Where a ``config.yaml`` is looked for.

    Raises:
        PlaceError: The configuration is wrong and needed, or something does not exist.

    """
    path = find_config(config_path, environment, folder)
    try:
        plan = None if path is None else plan_serving(path, environment)
    except ConfigFileError as error:
        raise PlaceError("\n".join(error.lines)) from None
    named = url or environment.get(URL_VARIABLE, "").strip()
    if named:
        found, source = _checked(named), "--url" if url else f"${URL_VARIABLE}"
    elif plan is not None:
        found, source = address(plan.config, plan.config.port), plan.source
    else:
        found, source = DEFAULT_URL, "the usual address"
    trust = plan.config.tls.cert if plan is not None and plan.config.tls is not None else None
    return Place(found, _key(plan, key_name, environment), plan, trust, source)


def _checked(url: str) -> str:
    try:
        parts = split_url(url)
    except ValueError as error:
        raise PlaceError(f"the gateway's URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise PlaceError("the gateway's URL: expected http:// or https://")
    url = url.rstrip("/")
    if parts.path.rstrip("/").endswith(("/v1", "/v1beta")):
        raise PlaceError("the gateway's URL: without /v1 at its end; tools that want it get it")
    return url


def _key(plan: Plan | None, name: str | None, environment: Mapping[str, str]) -> str | None:
    keys = plan.config.api_keys if plan is not None else ()
    if name is not None:
        return _named(keys, name)
    given = environment.get(KEY_VARIABLE, "").strip()
    return given or next((key.key for key in keys if key.key), None)


def _named(keys: tuple[ClientKey, ...], name: str) -> str:
    key = next((key for key in keys if key.label == name), None)
    if key is None:
        known = ", ".join(key.label for key in keys) or "none"
        raise PlaceError(f"there is no client key named {name!r} in the configuration; there are: {known}")
    if not key.key:
        raise PlaceError(f"of the client key {name!r} only the hash is known: give the key itself in ${KEY_VARIABLE}")
    return key.key


def is_open(config: Config) -> bool:
    """Whether no client key is asked for."""
    return config.allow_open and not config.api_keys
