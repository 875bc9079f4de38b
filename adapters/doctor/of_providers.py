"""Providers: can each be reached, does it take each credential, and what time is it there?

Each credential is shown to its provider once, for the list of models, which costs nothing. The others at the same time, in threads.
"""

import email.utils
import statistics
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from dragoman.adapters.asking import Asked, ask
from dragoman.adapters.config_file import printable
from dragoman.adapters.doctor.findings import Finding, Level
from dragoman.core.config import Config, Credential, Provider
from dragoman.core.listing import PATHS
from dragoman.core.routing.catalog import auth_fields
from dragoman.core.urls import NO_PROXY, split_url

_TOGETHER: Final = 8
_MOST: Final = 200  # credentials that are asked about
_SKEW: Final = 60.0  # seconds; tokens and signatures of some providers allow a few minutes


def check_providers(config: Config) -> list[Finding]:
    """Ask each provider with each of its credentials; the clock is judged by what they say."""
    pairs = [
        (provider, credential)
        for provider in config.providers
        if not provider.disabled
        for credential in provider.credentials
        if not credential.disabled
    ]
    asked_of = [pair for pair in pairs[:_MOST] if not _is_behind_proxy(config, *pair)]
    with ThreadPoolExecutor(_TOGETHER) as threads:
        answers = list(threads.map(lambda pair: _ask(config, *pair), asked_of))
    findings = [_finding(*pair, asked) for pair, asked in zip(asked_of, answers, strict=True)]
    for provider, credential in pairs:
        if (provider, credential) not in asked_of:
            why = (
                "behind a proxy: not asked" if _is_behind_proxy(config, provider, credential) else "not asked: too many"
            )
            findings.append(Finding("provider", _name(provider, credential), Level.UNKNOWN, why))
    if not pairs:
        findings.append(Finding("provider", "all", Level.NOTE, "there is none to ask"))
    return [*findings, *check_clock(answers)]


def check_clock(answers: Iterable[Asked]) -> Iterator[Finding]:
    """Compare our clock with the dates that others put on their answers."""
    skews = []
    for asked in answers:
        try:
            there = email.utils.parsedate_to_datetime(asked.headers.get("date", "")).timestamp()
        except ValueError:
            continue
        skews.append(asked.at - there)
    if not skews:
        yield Finding("clock", "this machine", Level.UNKNOWN, "nobody who was asked said what time it is")
        return
    skew = statistics.median(skews)
    if abs(skew) <= _SKEW:
        yield Finding("clock", "this machine", Level.OK, f"right within {max(1, round(abs(skew)))} s")
        return
    detail = f"{round(abs(skew))} s {'ahead' if skew > 0 else 'behind'} of the providers'"
    yield Finding("clock", "this machine", Level.PROBLEM, detail, "set the clock: renewing tokens and quotas go by it")


def _is_behind_proxy(config: Config, provider: Provider, credential: Credential) -> bool:
    found = credential.proxy_url if credential.proxy_url is not None else config.proxy_url
    return found is not None and found.strip().lower() not in NO_PROXY


def _ask(config: Config, provider: Provider, credential: Credential) -> Asked:
    headers = dict(provider.headers) | auth_fields(provider, credential.api_key)
    if provider.dialect == "claude":
        headers.setdefault("anthropic-version", "2023-06-01")
    path = PATHS.get(provider.dialect)
    return ask(provider.base_url, path or "/", headers=headers if path else {}, ca_file=config.ca_file)


def _finding(provider: Provider, credential: Credential, asked: Asked) -> Finding:
    subject = _name(provider, credential)
    host = split_url(provider.base_url).authority
    if asked.fault:
        return Finding(
            "provider",
            subject,
            Level.PROBLEM,
            f"{host} cannot be reached: {asked.fault}",
            "look at base-url and network",
        )
    if asked.status in (401, 403) and provider.dialect in PATHS:
        detail = f"{host} answers, and refuses this credential ({asked.status})"
        if credential.is_refreshable:
            return Finding("provider", subject, Level.NOTE, f"{detail}; it is renewed when it is used")
        return Finding("provider", subject, Level.PROBLEM, detail, "look whether the key is still good")
    if asked.status >= 500:
        return Finding(
            "provider", subject, Level.PROBLEM, f"{host} answers with {asked.status}", "wait, or ask the provider"
        )
    if asked.status == 200:
        found = asked.json
        models = found.get("data", found.get("models")) if isinstance(found, dict) else None
        told = f" and lists {len(models)} models" if isinstance(models, list) else ""
        return Finding("provider", subject, Level.OK, f"{host} answers{told}")
    return Finding("provider", subject, Level.OK, f"{host} answers (its list of models: {asked.status})")


def _name(provider: Provider, credential: Credential) -> str:
    return printable(f"{provider.name}/{credential.label}")
