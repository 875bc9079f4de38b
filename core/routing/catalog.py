"""What can be asked for, and who may answer: every model name with its targets.

A name is a model's alias, its ``prefix/alias`` where the provider has a prefix, or ``provider/anything`` where a provider has no list of
models. Several providers behind one name share it: all their targets answer, in turn.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from dragoman.core.answers import ModelCard
from dragoman.core.config import Config, Credential, Provider
from dragoman.core.effects import Origin
from dragoman.core.errors import UnknownModel
from dragoman.core.urls import parse_proxy, split_url

# Looking for names that come near costs time in proportion to the name asked for, and that may be 64 MiB.
_LONGEST_LIKELY: Final = 128


@attrs.frozen
class Target:
    """One provider, one upstream model, one credential: what an attempt is made at.

    Attributes:
        provider: Its name.
        credential: The credential's label.
        upstream_model: The name to send.
        origin: Where to connect.
        base_path: The path part of the base URL, without a trailing slash.
        head: The header lines that every request to it carries, credential included.
        dialect: What it speaks.
        signer: Whose signatures of reasoning it can check: ``openai``, ``claude``, ``gemini``; empty: nobody's.
        is_official: It is the dialect's inventor, not one of those who speak it too.

    """

    provider: str
    credential: str
    upstream_model: str
    origin: Origin
    base_path: bytes
    head: bytes = attrs.field(repr=False)
    dialect: str = "openai_chat"
    signer: str = ""
    is_official: bool = False


_OFFICIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_chat": ("api.openai.com",),
    "openai_responses": ("api.openai.com",),
    "claude": ("api.anthropic.com",),
    "gemini": ("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
}
_SIGNERS: Final = {"openai_chat": "openai", "openai_responses": "openai", "claude": "claude", "gemini": "gemini"}


def _auth(dialect: str, is_official: bool, key: str) -> dict[str, str]:
    """How a provider wants to be shown a key. Compatible servers in front of Claude take it as a bearer, as its SDKs can send it."""
    match dialect:
        case "claude":
            return {"x-api-key": key} if is_official else {"authorization": f"Bearer {key}"}
        case "gemini":
            return {"x-goog-api-key": key}
        case _:
            return {"authorization": f"Bearer {key}"}


class Catalog:
    """The models of a configuration.

    Args:
        config: The configuration.
        user_agent: What providers are told about us.

    """

    def __init__(self, config: Config, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._routes: dict[str, list[Target]] = {}
        self._owners: dict[str, str] = {}
        self._open: dict[str, Provider] = {}
        self._turns: dict[str, int] = {}
        for provider in config.providers:
            if provider.credentials and not provider.disabled:
                self._add(provider)

    def _add(self, provider: Provider) -> None:
        if not provider.models:
            self._open[provider.prefix or provider.name] = provider
        for model in provider.models:
            targets = [self._target(provider, credential, model.name) for credential in provider.credentials]
            names = [model.alias] + ([f"{provider.prefix}/{model.alias}"] if provider.prefix else [])
            for name in names:
                self._routes.setdefault(name, []).extend(targets)
                self._owners.setdefault(name, provider.name)

    def _target(self, provider: Provider, credential: Credential, upstream_model: str) -> Target:
        url = split_url(provider.base_url)
        proxy = parse_proxy(credential.proxy_url if credential.proxy_url is not None else self._config.proxy_url or "")
        fields = {
            "host": url.authority,
            "user-agent": self._user_agent,
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        is_official = url.host in _OFFICIAL.get(provider.dialect, ())
        if credential.api_key is not None:
            fields |= _auth(provider.dialect, is_official, credential.api_key)
        fields |= {name.lower(): value for name, value in provider.headers}
        return Target(
            provider=provider.name,
            credential=credential.label,
            upstream_model=upstream_model,
            origin=Origin(url.scheme, url.host, url.port, proxy, self._config.ca_file),
            base_path=url.path.rstrip("/").encode("ascii"),
            head="".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1"),
            dialect=provider.dialect,
            signer=_SIGNERS[provider.dialect] if is_official else "",
            is_official=is_official,
        )

    def find(self, model: str) -> Sequence[Target]:
        """Who may answer for `model`, the next in turn first.

        Raises:
            UnknownModel: Nobody; the message names what comes near.

        """
        targets = self._routes.get(model)
        if targets is None:
            return self._open_targets(model)
        if len(targets) == 1:
            return targets
        turn = self._turns.get(model, 0)
        self._turns[model] = (turn + 1) % len(targets)
        return targets[turn:] + targets[:turn]

    def _open_targets(self, model: str) -> Sequence[Target]:
        prefix, _, name = model.partition("/")
        provider = self._open.get(prefix)
        if provider is None or not name:
            known = [*self._routes, *(f"{p}/..." for p in self._open)]
            near = difflib.get_close_matches(model, known, n=3, cutoff=0.5) if len(model) <= _LONGEST_LIKELY else []
            hint = f" Near it: {', '.join(near)}." if near else " GET /v1/models lists what can be asked for."
            raise UnknownModel(f"No provider here serves the model {model[:200]!r}.{hint}", param="model")
        return [self._target(provider, credential, name) for credential in provider.credentials]

    def models(self) -> list[ModelCard]:
        """Every name that can be asked for, in order of configuration."""
        return [ModelCard(name, self._owners[name], 0) for name in self._routes]

    def model(self, name: str) -> ModelCard:
        """One of `models`.

        Raises:
            UnknownModel: There is no such name.

        """
        owner = self._owners.get(name)
        if owner is None:
            self.find(name)  # raises, or an open provider takes it
            owner = name.partition("/")[0]
        return ModelCard(name, owner, 0)
