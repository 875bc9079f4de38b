"""The sections of a configuration that are lists of keys: ``claude-api-key``, ``gemini-api-key``, ..., ``openrouter``, ``groq``, ...

An entry is a key; where it leads is known (`SECTIONS`), and may be said otherwise. Entries of a section that agree in everything but
their key (`Door`) are one provider with several credentials. The others are providers of the same name: clients need not know how many
keys there are, or where they lead. Providers come in the order of the file.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.config import MODEL_ROOT, Credential, Provider
from dragoman.core.config_keys import KEY_ENTRY
from dragoman.core.config_nodes import Node, Section
from dragoman.core.config_providers import PROVIDER_SECTION, Door, read_credential, read_door, read_providers
from dragoman.core.providers import PROVIDERS
from dragoman.core.providers.known_models import known_models

_ENTRY = (
    "api-key", "name", "priority", "weight", "prefix", "base-url", "proxy-url", "headers", "models", "excluded-models",
    "disable-cooling", "request-retry", "max-concurrency", "quotas", "disabled",
)  # fmt: skip


@attrs.frozen
class KeySection:
    """A section of keys for one kind of provider.

    Attributes:
        provider: What logs and model names (``provider/model``) call it.
        base_url: Where its keys lead, unless they say otherwise.
        dialect: What is spoken there.
        model_root: See `Provider.model_root`.
        free_key: The key of who has none; None: there is no such key.

    """

    provider: str
    base_url: str
    dialect: str = "openai_chat"
    model_root: str = MODEL_ROOT
    free_key: str | None = None


_URLS: Final = {known.name: known.base_url for known in PROVIDERS}
_NAMED: Final = (
    "openrouter", "deepseek", "groq", "mistral", "together", "fireworks", "novita", "siliconflow", "kilo", "minimax", "roo",
)  # fmt: skip

#: By the name of the section. Vertex AI in express mode has a host, a key and paths of its own, and is Gemini otherwise.
SECTIONS: Final[Mapping[str, KeySection]] = MappingProxyType({
    "claude-api-key": KeySection("claude", _URLS["anthropic"], "claude"),
    "gemini-api-key": KeySection("gemini", _URLS["gemini"], "gemini"),
    "codex-api-key": KeySection("codex", _URLS["openai"], "openai_responses"),
    "xai-api-key": KeySection("xai", _URLS["xai"]),
    "vertex-api-key": KeySection("vertex", "https://aiplatform.googleapis.com", "gemini", "/v1/publishers/google"),
    **{name: KeySection(name, _URLS[name]) for name in _NAMED if name != "kilo"},
    "kilo": KeySection("kilo", _URLS["kilo"], free_key="anonymous"),
})  # fmt: skip


def read_all_providers(top: Section) -> tuple[Provider, ...]:
    """Read every section of providers."""
    providers: list[Provider] = []
    for node in top.among((*SECTIONS, PROVIDER_SECTION)):
        section = SECTIONS.get(str(node.path[-1]))
        providers += read_providers(node) if section is None else _providers(node, section)
    return told_apart(providers)


def _providers(node: Node, section: KeySection) -> list[Provider]:
    doors: dict[Door, list[Credential]] = {}
    labels: set[str] = set()
    for i, item in enumerate(node.items(secret=True)):
        entry = item.section(secret=True)
        entry.check_keys(_ENTRY, KEY_ENTRY, secret=True)
        door = read_door(entry, section.dialect, section.base_url, known_models(section.provider))
        credential = read_credential(entry, i)
        if credential.api_key is None and section.free_key is not None:
            credential = attrs.evolve(
                credential, label=entry["name"].text() or f"key-{i + 1}", api_key=section.free_key
            )
        credentials = doors.setdefault(door, [])
        if credential.api_key is None:
            item.notice("there is no `api-key` here, so this entry is left out")
        elif any((c.api_key, c.proxy_url) == (credential.api_key, credential.proxy_url) for c in credentials):
            item.notice("the same key as in an item before, with the same settings; it is used once")
        elif credential.label in labels:
            item.mistake(f"the name {credential.label!r} is taken by another item: logs could not tell them apart")
        else:
            labels.add(credential.label)
            credentials.append(credential)
    kind = str(node.path[-1])
    return [_provider(kind, section, door, tuple(found)) for door, found in doors.items() if found]


def _provider(kind: str, section: KeySection, door: Door, credentials: tuple[Credential, ...]) -> Provider:
    return Provider(
        name=section.provider,
        kind=kind,
        dialect=section.dialect,
        base_url=door.base_url,
        prefix=door.prefix,
        credentials=credentials,
        models=door.models,
        headers=door.headers,
        disabled=door.is_closed,
        excluded_models=door.excluded_models,
        takes_any=door.takes_any,
        model_root=section.model_root,
    )


def told_apart(providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Labels are unique among providers of one name, also where ``openai-compatibility`` has the name of a section."""
    taken: set[tuple[str, str]] = set()
    told: list[Provider] = []
    for provider in providers:
        credentials: list[Credential] = []
        for credential in provider.credentials:
            label, n = credential.label, 2
            while (provider.name, label) in taken:
                label, n = f"{credential.label}-{n}", n + 1
            taken.add((provider.name, label))
            credentials.append(attrs.evolve(credential, label=label))
        told.append(attrs.evolve(provider, credentials=tuple(credentials)))
    return tuple(told)
