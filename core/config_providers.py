"""The parts of a configuration that say who answers.

Here is ``openai-compatibility``, and what its entries have in common with those of the sections of keys
(`dragoman.core.config_sections`): credentials, models, headers, where the provider is.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.config import Credential, Model, Provider
from dragoman.core.config_keys import COMPATIBILITY, MODEL
from dragoman.core.config_nodes import Node, Section
from dragoman.core.config_routing import count, read_quotas
from dragoman.core.urls import parse_proxy, split_url
from dragoman.core.wildcards import compile_wildcards

PROVIDER_SECTION: Final = "openai-compatibility"
#: What ``dialect`` may say, and what it means.
DIALECTS: Final[Mapping[str, str]] = MappingProxyType({
    "chat": "openai_chat", "responses": "openai_responses", "claude": "claude", "gemini": "gemini",
    "openai_chat": "openai_chat", "openai_responses": "openai_responses",
})  # fmt: skip
FRAMING_HEADERS: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
VISIBLE: Final = re.compile(r"[\x21-\x7e]+")  # what fits into an Authorization header

_PROVIDER = (
    "name",
    "prefix",
    "base-url",
    "dialect",
    "api-key-entries",
    "models",
    "excluded-models",
    "headers",
    "disabled",
    "priority",
    "weight",
    "max-concurrency",
    "disable-cooling",
    "request-retry",
    "quotas",
)
_API_KEY_ENTRY = (
    "api-key",
    "proxy-url",
    "name",
    "priority",
    "weight",
    "max-concurrency",
    "disable-cooling",
    "request-retry",
    "quotas",
    "disabled",
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE = re.compile(r"[\x20-\x7e\t\x80-\xff]*")  # RFC 9110, section 5.5


def texts(node: Node) -> tuple[str, ...]:
    """The texts of a list, without the empty ones."""
    return tuple(text for item in node.items() if (text := item.text()))


def read_proxy(node: Node, *, direct: str | None) -> str | None:
    """The text of a proxy URL; `direct` for one of the words that mean no proxy; None when absent."""
    text = node.text(secret=True)
    if not text:
        return None
    try:
        proxy = parse_proxy(text)
    except ValueError as error:
        node.mistake(
            f"{error}; a proxy is given as http://, https://, socks5:// or socks5h://host:port, or as `direct`"
        )
        return None
    return direct if proxy is None else text


@attrs.frozen
class Door:
    """What an entry says of where it leads and what is behind; entries with equal doors are one provider.

    Attributes:
        base_url: Without a trailing slash; empty when there was no usable one.
        prefix: Or None.
        models: What it serves.
        takes_any: Nothing was said about models.
        is_closed: Every model is excluded.
        headers: Names and values.
        excluded_models: Patterns in lower case.

    """

    base_url: str
    prefix: str | None
    models: tuple[Model, ...]
    takes_any: bool
    is_closed: bool
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    excluded_models: tuple[str, ...]


def read_door(entry: Section, dialect: str, base_url: str | None = None, known: tuple[Model, ...] = ()) -> Door:
    """Read ``base-url``, ``prefix``, ``models``, ``excluded-models`` and ``headers``.

    Args:
        entry: Of a section of providers.
        dialect: What is spoken there.
        base_url: Where it leads when the entry does not say; None: it must.
        known: The models when the entry does not say.

    """
    listed = _models(entry["models"])
    excluded = tuple(text.lower() for text in texts(entry["excluded-models"]))
    models, is_closed = _exclude(listed or known, excluded, entry["excluded-models"], takes_any=not listed)
    url = _base_url(entry, base_url) or ""
    if dialect in ("claude", "gemini") and url.endswith(("/v1", "/v1beta")):
        entry["base-url"].notice("the version is part of the paths that are appended to it: leave it out at the end")
    prefix, headers = _prefix(entry["prefix"]), read_headers(entry["headers"])
    return Door(url, prefix, models, not listed, is_closed, headers, excluded)


def read_providers(node: Node) -> tuple[Provider, ...]:
    """Read ``openai-compatibility``."""
    providers: list[Provider] = []
    for item in node.items():
        provider = _provider(item.section())
        if provider is None:
            continue
        if any(provider.name.lower() == known.name.lower() for known in providers):
            item.mistake(f"another provider is named {provider.name!r} already: give each a name of its own")
        providers.append(provider)
    return tuple(providers)


def _provider(entry: Section) -> Provider | None:
    entry.check_keys(_PROVIDER, COMPATIBILITY)
    name = entry["name"].text()
    if not name and entry["name"].value in (None, ""):
        entry.node.mistake("`name` is missing: logs and model names (`name/model`) need one")
    elif name and ("/" in name or not name.isprintable()):
        entry["name"].mistake("a name has no slash and no control characters: clients write `name/model`")
    dialect = DIALECTS[entry["dialect"].choice("chat", DIALECTS)]
    door, credentials = read_door(entry, dialect), _credentials(entry["api-key-entries"])
    disabled = entry["disabled"].boolean(False)
    priority, weight = _rank(entry["priority"]) or 0, _weight(entry["weight"])
    max_concurrency, disable_cooling = count(entry["max-concurrency"]), _switch(entry["disable-cooling"])
    request_retry, quotas = _rounds(entry["request-retry"]), read_quotas(entry["quotas"])
    if not name or not door.base_url:
        return None
    return Provider(
        name=name,
        kind=PROVIDER_SECTION,
        dialect=dialect,
        base_url=door.base_url,
        prefix=door.prefix,
        credentials=credentials,
        models=door.models,
        headers=door.headers,
        disabled=disabled or door.is_closed,
        priority=priority,
        weight=1 if weight is None else weight,
        max_concurrency=max_concurrency,
        disable_cooling=disable_cooling,
        request_retry=request_retry,
        quotas=quotas,
        excluded_models=door.excluded_models,
        takes_any=door.takes_any,
    )


def _rank(node: Node) -> int | None:
    return None if node.value is None else node.integer(0, -1_000_000, 1_000_000)


def _weight(node: Node) -> int | None:
    return None if node.value is None else node.integer(1, -1_000_000, 1_000_000)


def _rounds(node: Node) -> int | None:
    number = None if node.value is None else node.integer(-1, -1, 1000)
    return None if number == -1 else number  # the original's word for "as the global setting says"


def _switch(node: Node) -> bool | None:
    return None if node.value is None else node.boolean(False)


def _base_url(entry: Section, default: str | None) -> str | None:
    node = entry["base-url"]
    text = node.text()
    if not text:
        if node.value in (None, "") and default is None:
            entry.node.mistake(
                "`base-url` is missing: where does this provider answer? For example https://api.example.com/v1"
            )
        return default
    try:
        url = split_url(text)
    except ValueError as error:
        node.mistake(str(error))
        return None
    if url.scheme not in ("http", "https"):
        node.mistake(f"expected http:// or https://, got {url.scheme}://; a proxy belongs into `proxy-url`")
    if url.username is not None:
        node.mistake("a user name or password has no place in a base URL: use an API key, or `headers`")
    return text.rstrip("/")


def _prefix(node: Node) -> str | None:
    prefix = (node.text() or "").strip("/ ")
    if "/" in prefix:
        node.notice(
            f"the prefix {prefix[:40]!r} has a slash within and is ignored: a prefix is one word before `/model`"
        )
        return None
    return prefix or None


def _credentials(node: Node) -> tuple[Credential, ...]:
    credentials: list[Credential] = []
    seen: set[tuple[str | None, str | None]] = set()
    labels: set[str] = set()
    for i, item in enumerate(node.items(secret=True)):
        entry = item.section(secret=True)
        entry.check_keys(_API_KEY_ENTRY, {}, secret=True)
        credential = read_credential(entry, i)
        if (credential.api_key, credential.proxy_url) in seen:
            item.notice("the same key and proxy as an item before; it is used once")
            continue
        if credential.label in labels:
            item.mistake(f"the name {credential.label!r} is taken by another item: logs could not tell them apart")
        seen.add((credential.api_key, credential.proxy_url))
        labels.add(credential.label)
        credentials.append(credential)
    return tuple(credentials) or (Credential("keyless"),)


def read_credential(entry: Section, i: int) -> Credential:
    """Read the credential in the item number `i` of its list."""
    key = entry["api-key"].text(secret=True) or None
    if key is not None and not VISIBLE.fullmatch(key):
        entry["api-key"].mistake("an API key has only visible ASCII characters, no spaces: was it copied whole?")
    return Credential(
        label=entry["name"].text() or (f"key-{i + 1}" if key else f"keyless-{i + 1}"),
        api_key=key,
        proxy_url=read_proxy(entry["proxy-url"], direct="direct"),
        priority=_rank(entry["priority"]),
        weight=_weight(entry["weight"]),
        max_concurrency=count(entry["max-concurrency"]),
        disable_cooling=_switch(entry["disable-cooling"]),
        request_retry=_rounds(entry["request-retry"]),
        quotas=read_quotas(entry["quotas"]),
        disabled=entry["disabled"].boolean(False),
    )


def _models(node: Node) -> tuple[Model, ...]:
    models: list[Model] = []
    for item in node.items():
        entry = item.section()
        entry.check_keys(("name", "alias"), MODEL)
        name, alias = entry["name"].text(), entry["alias"].text()
        if not name:
            if entry["name"].value in (None, ""):
                item.mistake("`name` is missing: what does the provider call this model?")
            continue
        model = Model(name, alias or name)
        if model in models:
            item.notice(f"model {name[:60]!r} is listed twice under the same alias; it is used once")
        else:
            models.append(model)
    return tuple(models)


def _exclude(
    models: tuple[Model, ...], patterns: tuple[str, ...], node: Node, *, takes_any: bool
) -> tuple[tuple[Model, ...], bool]:
    """Leave out what ``excluded-models`` names, by upstream name or alias, and say whether nothing is left."""
    wanted = compile_wildcards(patterns)
    if wanted is None:
        return models, False
    left = tuple(m for m in models if not wanted.fullmatch(m.name) and not wanted.fullmatch(m.alias))
    is_closed = "*" in patterns if takes_any else not left  # who takes any model is asked at each name
    if is_closed:
        node.notice("every model is excluded, so this provider serves nothing")
    return left, is_closed


def read_headers(node: Node) -> tuple[tuple[str, str], ...]:
    """Read a mapping of header names to values."""
    headers: dict[str, tuple[str, str]] = {}
    for field in node.section().nodes():
        name = str(field.path[-1])
        if isinstance(field.value, str) and field.value.startswith("$") and not field.value.startswith(("${", "$$")):
            node.reading.notice_once(
                node.path, "copying a client's header ('$Name') is not implemented yet: it is not sent"
            )
            continue
        value = field.text(secret=True)
        if not _TOKEN.fullmatch(name):
            field.mistake("a header name has only letters, digits and !#$%&'*+-.^_`|~")
        elif name.lower() in FRAMING_HEADERS:
            field.mistake(f"{name!r} belongs to the connection and cannot be set: remove it")
        elif name.lower() in headers:
            field.mistake(f"the header {name!r} is given twice (upper and lower case are the same): remove one")
        elif value is not None and not _FIELD_VALUE.fullmatch(value):
            field.mistake("a header value has no line breaks, control characters or characters beyond Latin-1")
        elif value is not None:
            headers[name.lower()] = (name, value)
    return tuple(headers.values())
