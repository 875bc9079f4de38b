"""The parts of a configuration that say who answers: providers, their credentials, models and headers."""

import re
from typing import Final

from dragoman.core.config import Credential, Model, Provider
from dragoman.core.config_keys import COMPATIBILITY, MODEL
from dragoman.core.config_nodes import Node, Section
from dragoman.core.config_routing import count, read_quotas
from dragoman.core.urls import parse_proxy, split_url
from dragoman.core.wildcards import compile_wildcards

PROVIDER_SECTION: Final = "openai-compatibility"
DIALECTS: Final = ("openai_chat", "chat")
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
    excluded = tuple(text.lower() for text in texts(entry["excluded-models"]))
    models, all_excluded = _exclude(_models(entry["models"]), excluded, entry["excluded-models"])
    entry["dialect"].choice("openai_chat", DIALECTS)
    base_url, credentials, headers = (
        _base_url(entry),
        _credentials(entry["api-key-entries"]),
        _headers(entry["headers"]),
    )
    prefix, disabled = _prefix(entry["prefix"]), entry["disabled"].boolean(False)
    priority, weight = _rank(entry["priority"]) or 0, _weight(entry["weight"])
    max_concurrency, disable_cooling = count(entry["max-concurrency"]), _switch(entry["disable-cooling"])
    request_retry, quotas = _rounds(entry["request-retry"]), read_quotas(entry["quotas"])
    if not name or not base_url:
        return None
    return Provider(
        name=name,
        kind=PROVIDER_SECTION,
        dialect="openai_chat",
        base_url=base_url,
        prefix=prefix,
        credentials=credentials,
        models=models,
        headers=headers,
        disabled=disabled or all_excluded,  # no models at all would mean any model
        priority=priority,
        weight=1 if weight is None else weight,
        max_concurrency=max_concurrency,
        disable_cooling=disable_cooling,
        request_retry=request_retry,
        quotas=quotas,
        excluded_models=excluded,
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


def _base_url(entry: Section) -> str | None:
    node = entry["base-url"]
    text = node.text()
    if not text:
        if node.value in (None, ""):
            entry.node.mistake(
                "`base-url` is missing: where does this provider answer? For example https://api.example.com/v1"
            )
        return None
    try:
        url = split_url(text)
    except ValueError as error:
        node.mistake(str(error))
        return None
    if url.scheme not in ("http", "https"):
        node.mistake(f"expected http:// or https://, got {url.scheme}://; a proxy belongs into `proxy-url`")
    if url.username is not None:
        node.mistake("a user name or password has no place in a base URL: use `api-key-entries`, or `headers`")
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
    for i, item in enumerate(node.items()):
        credential = _credential(item.section(), i)
        if (credential.api_key, credential.proxy_url) in seen:
            item.notice("the same key and proxy as an item before; it is used once")
            continue
        if credential.label in labels:
            item.mistake(f"the name {credential.label!r} is taken by another item: logs could not tell them apart")
        seen.add((credential.api_key, credential.proxy_url))
        labels.add(credential.label)
        credentials.append(credential)
    return tuple(credentials) or (Credential("keyless"),)


def _credential(entry: Section, i: int) -> Credential:
    entry.check_keys(_API_KEY_ENTRY, {}, secret=True)
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


def _exclude(models: tuple[Model, ...], patterns: tuple[str, ...], node: Node) -> tuple[tuple[Model, ...], bool]:
    """Leave out what ``excluded-models`` names, by upstream name or alias, and say whether nothing is left."""
    wanted = compile_wildcards(patterns)
    if wanted is None or not models:
        return models, False  # a provider without a list is asked at each name
    left = tuple(m for m in models if not wanted.fullmatch(m.name) and not wanted.fullmatch(m.alias))
    if not left:
        node.notice("every model is excluded, so this provider serves nothing")
    return left, not left


def _headers(node: Node) -> tuple[tuple[str, str], ...]:
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
