"""From a mapping, as a YAML file gives it, to a `Config`; all mistakes at once, each with its path.

The format is CLIProxyAPI's ``config.yaml`` with a few keys of our own (``allow-open``, ``unix-socket``, ``cors``, ``timeouts``,
``limits``, ``ca-file``, ``log-format``, ``dialect``, ``fallbacks``, ``mitigations``, ``cooldowns``, ``quotas``, ``max-concurrency``). Keys of the original that we do not act on are accepted with one notice
each (`dragoman.core.config_keys`); any other key is a mistake, where the original ignores it in silence.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from dragoman.core.config import ClientKey, Config, Credential, Limits, Mapped, Model, Provider, ServerTLS, Timeouts
from dragoman.core.config_keys import AMPCODE, COMPATIBILITY, DISGUISES, MODEL, TOP
from dragoman.core.config_nodes import Node, Notice, Reading, Section
from dragoman.core.config_routing import (
    count,
    read_channel_aliases,
    read_cooldowns,
    read_fallbacks,
    read_instant,
    read_mappings,
    read_mitigations,
    read_quotas,
    read_routing,
    read_switches,
)
from dragoman.core.errors import ConfigError, Mistake
from dragoman.core.urls import is_loopback, parse_host, parse_proxy, split_url
from dragoman.core.wildcards import compile_wildcards

PROVIDER_SECTION: Final = "openai-compatibility"
LOG_FORMATS: Final = ("text", "json")
DIALECTS: Final = ("openai_chat", "chat")
FRAMING_HEADERS: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})

_TOP = (
    "host", "port", "unix-socket", "tls", "auth-dir", "api-keys", "allow-open", "debug", "proxy-url", "ca-file", "request-retry",
    PROVIDER_SECTION, "cors", "timeouts", "limits", "log-format", "force-model-prefix", "max-retry-credentials",
    "max-retry-interval", "disable-cooling", "save-cooldown-status", "transient-error-cooldown-seconds", "quota-exceeded", "routing",
    "fallbacks", "mitigations", "oauth-model-alias", "ampcode", "amp-code", "cooldowns",
)  # fmt: skip
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
_CLIENT_KEY = (
    "name", "key", "key-hash", "models", "prefixes", "requests-per-minute", "tokens-per-minute", "tokens-per-day", "expires",
)  # fmt: skip
_TIMEOUTS = (
    "request-head", "request-body", "keep-alive", "connect", "first-byte", "between-pieces", "exchange", "upstream-idle", "drain",
)  # fmt: skip
_LIMITS = ("head", "body", "client-connections", "upstream-connections", "upstream-idle")

_PLACEHOLDER = re.compile(r"your-api-key(?:-\d+)?|change-?me", re.IGNORECASE)  # the template's client keys
_KEY = re.compile(r"[\x21-\x7e]+")  # what fits into an Authorization header
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@*]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE = re.compile(r"[\x20-\x7e\t\x80-\xff]*")  # RFC 9110, section 5.5


def parse_config(data: object, *, environment: Mapping[str, str]) -> tuple[Config, tuple[Notice, ...]]:
    """Read a configuration.

    Args:
        data: What the file holds: nested mappings, lists and scalars. None for an empty file.
        environment: Where ``${NAME}`` in a text, and ``os.environ/NAME`` as a whole secret, are looked up.

    Returns:
        The configuration, and what its author should know although it stops nobody.

    Raises:
        ConfigError: With every mistake. No other exception, whatever `data` is.

    """
    reading = Reading(environment)
    top = Node(reading, (), data).section()
    top.check_keys(_TOP, TOP)
    _check_disguises(top)
    config = _read_top(top)
    if reading.mistakes:
        raise ConfigError(reading.mistakes)
    return config, tuple(reading.notices)


def check_exposure(config: Config) -> Mistake | None:
    """Refuse to serve strangers: without client keys only a loopback address will do, and only when that is said.

    >>> check_exposure(Config(host="127.0.0.1", allow_open=True)) is None
    True
    """
    if config.api_keys:
        return None
    if not config.allow_open:
        return Mistake(
            ("api-keys",),
            "no client keys are configured, so anybody could spend your credentials: list at least one key under `api-keys` "
            "(for example from `openssl rand -hex 24`), or, on a loopback host only, set `allow-open: true`",
        )
    if not is_loopback(config.host):
        where = repr(config.host) if config.host else "all interfaces"
        return Mistake(
            ("allow-open",),
            f"serving without client keys is possible on a loopback address only, and host is {where}: list a key under "
            "`api-keys`, or set `host: 127.0.0.1`",
        )
    return None


def _read_top(top: Section) -> Config:
    default = Config()
    switch_project, switch_preview_model, preview_models = read_switches(top["quota-exceeded"].section())
    return Config(
        host=_host(top["host"], default.host),
        port=top["port"].integer(default.port, 0, 65535),
        unix_socket=top["unix-socket"].text() or None,
        tls=_tls(top["tls"].section()),
        auth_dir=top["auth-dir"].text() or default.auth_dir,
        api_keys=_client_keys(top["api-keys"]),
        allow_open=top["allow-open"].boolean(False),
        debug=top["debug"].boolean(False),
        proxy_url=_proxy_url(top["proxy-url"], direct=None),
        ca_file=top["ca-file"].text() or None,
        request_retry=top["request-retry"].integer(0, 0, 1000),
        providers=_providers(top[PROVIDER_SECTION]),
        cors_origins=_cors(top["cors"].section()),
        timeouts=_timeouts(top["timeouts"].section()),
        limits=_limits(top["limits"].section()),
        log_format=top["log-format"].choice(default.log_format, LOG_FORMATS),
        max_retry_credentials=top["max-retry-credentials"].integer(0, 0, 1_000_000),
        max_retry_interval=max(0.0, top["max-retry-interval"].seconds(0.0, -1.0)),
        disable_cooling=top["disable-cooling"].boolean(False),
        save_cooldown_status=top["save-cooldown-status"].boolean(False),
        force_model_prefix=top["force-model-prefix"].boolean(False),
        switch_project=switch_project,
        switch_preview_model=switch_preview_model,
        preview_models=preview_models,
        fallbacks=read_fallbacks(top["fallbacks"].section()),
        mitigations=read_mitigations(top["mitigations"]),
        model_mappings=_mappings(top["ampcode"]) + _mappings(top["amp-code"]),
        channel_aliases=read_channel_aliases(top["oauth-model-alias"].section()),
        routing=read_routing(top["routing"].section()),
        cooldowns=read_cooldowns(top["cooldowns"].section(), top["transient-error-cooldown-seconds"]),
    )


def _mappings(node: Node) -> tuple[Mapped, ...]:
    section = node.section()
    section.check_keys(("model-mappings",), AMPCODE)
    return read_mappings(section["model-mappings"])


def _check_disguises(top: Section) -> None:
    for key, disguises in DISGUISES.items():
        node = top[key]
        for block in node.items() if isinstance(node.value, (list, tuple)) else (node,):
            if isinstance(block.value, Mapping):
                for name in filter(block.value.__contains__, disguises):
                    node.reading.notice_once((*block.path, name), f"in {key!r}, {disguises[name]}")


def _host(node: Node, default: str) -> str:
    host = node.text()
    if not host:
        return default if host is None else ""
    try:
        return parse_host(host)
    except ValueError:
        node.mistake(
            'expected an address or a name to listen on, without scheme and port, like 127.0.0.1 or "" for all interfaces'
        )
        return default


def _tls(tls: Section) -> ServerTLS | None:
    tls.check_keys(("enable", "cert", "key"), {})
    enabled = tls["enable"].boolean(False)
    cert, key = tls["cert"].text(), tls["key"].text()
    if not enabled:
        return None
    for name, value in (("cert", cert), ("key", key)):
        if not value:
            tls.node.mistake(
                f"`enable` is true, but `{name}` is missing: give the path of a PEM file, or set `enable: false`"
            )
    return ServerTLS(cert or "", key or "")


def _client_keys(node: Node) -> tuple[ClientKey, ...]:
    keys: list[ClientKey] = []
    first: dict[str, int] = {}
    for i, item in enumerate(node.items()):
        before = len(node.reading.mistakes)
        key = _client_key(item, f"key-{i + 1}")
        if len(node.reading.mistakes) > before:
            continue
        if key.key and _PLACEHOLDER.fullmatch(key.key):
            item.mistake(
                "this is the placeholder of the template, which everybody knows: choose a key of your own, "
                "for example from `openssl rand -hex 24`"
            )
        elif key.key and not _KEY.fullmatch(key.key):
            item.mistake(
                "a client key has only visible ASCII characters, no spaces: others do not fit into an HTTP header"
            )
        elif not key.key and not key.key_hash:
            item.mistake("expected a client key as text, or as `name` and `key`; got an empty one")
        elif (digest := key.key_hash or hashlib.sha256(key.key.encode()).hexdigest()) in first:
            item.mistake(f"the same key as item {first[digest]}: remove one of them")
        elif any(key.label == known.label for known in keys):
            item.mistake(f"the name {key.label!r} is taken by another key: logs could not tell them apart")
        else:
            first[digest] = i
            keys.append(key)
    return tuple(keys)


def _client_key(item: Node, label: str) -> ClientKey:
    if not isinstance(item.value, Mapping):
        return ClientKey(item.text(secret=True) or "", label)
    entry = item.section()
    entry.check_keys(_CLIENT_KEY, {}, secret=True)
    key, key_hash = entry["key"].text(secret=True) or "", (entry["key-hash"].text(secret=True) or "").lower()
    if key_hash and not _SHA256.fullmatch(key_hash):
        entry["key-hash"].mistake("expected the SHA-256 of the key, as 64 hexadecimal digits")
    if key and key_hash:
        item.mistake("give `key` or `key-hash`, not both")
    return ClientKey(
        key,
        entry["name"].text() or label,
        key_hash,
        models=_texts(entry["models"]),
        prefixes=tuple(prefix.strip("/") for prefix in _texts(entry["prefixes"])),
        requests_per_minute=count(entry["requests-per-minute"]),
        tokens_per_minute=count(entry["tokens-per-minute"]),
        tokens_per_day=count(entry["tokens-per-day"]),
        expires=read_instant(entry["expires"]),
    )


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(text for item in node.items() if (text := item.text()))


def _proxy_url(node: Node, *, direct: str | None) -> str | None:
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


def _providers(node: Node) -> tuple[Provider, ...]:
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
    excluded = tuple(text.lower() for text in _texts(entry["excluded-models"]))
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
    if key is not None and not _KEY.fullmatch(key):
        entry["api-key"].mistake("an API key has only visible ASCII characters, no spaces: was it copied whole?")
    return Credential(
        label=entry["name"].text() or (f"key-{i + 1}" if key else f"keyless-{i + 1}"),
        api_key=key,
        proxy_url=_proxy_url(entry["proxy-url"], direct="direct"),
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


def _cors(cors: Section) -> tuple[str, ...]:
    cors.check_keys(("origins",), {})
    origins: list[str] = []
    for item in cors["origins"].items():
        origin = (item.text() or "").lower().rstrip("/")
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            item.mistake(
                "expected an origin as browsers send it, like https://app.example.com, or '*' in quotes for all"
            )
        elif origin not in origins:
            origins.append(origin)
    return tuple(origins)


def _timeouts(section: Section) -> Timeouts:
    section.check_keys(_TIMEOUTS, {})
    values: dict[str, float] = {}
    for key in _TIMEOUTS:
        field = key.replace("-", "_")
        least = (
            0.0 if key == "drain" else 0.001
        )  # to stop at once is a choice; to wait no time at all for bytes is a slip
        values[field] = section[key].seconds(getattr(Timeouts(), field), least)
    return Timeouts(**values)


def _limits(section: Section) -> Limits:
    section.check_keys(_LIMITS, {})
    default = Limits()
    return Limits(
        head=section["head"].size(default.head, 1024),
        body=section["body"].size(default.body, 1024),
        client_connections=section["client-connections"].integer(default.client_connections, 1, 1_000_000),
        upstream_connections=section["upstream-connections"].integer(default.upstream_connections, 1, 1_000_000),
        upstream_idle=section["upstream-idle"].integer(default.upstream_idle, 0, 1_000_000),
    )
