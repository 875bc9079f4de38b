"""From a mapping, as a YAML file gives it, to a `Config`; all mistakes at once, each with its path.

The format is CLIProxyAPI's ``config.yaml`` with a few keys of our own (``allow-open``, ``unix-socket``, ``cors``, ``timeouts``,
``limits``, ``ca-file``, ``log-format``, ``dialect``, ``fallbacks``, ``mitigations``, ``cooldowns``, ``quotas``, ``max-concurrency``,
``strict-translation``, ``state-file``, ``usage``). Keys of the original that we do not act on are accepted with one notice each (`dragoman.core.config_keys`); any
other key is a mistake, where the original ignores it in silence. What is read is listed in docs/reference/configuration.md.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from dragoman.core.config import ClientKey, Config, Limits, Mapped, ServerTLS, Timeouts
from dragoman.core.config_alerts import read_alerts, read_notifications
from dragoman.core.config_canaries import read_canaries
from dragoman.core.config_keys import AMPCODE, DISGUISES, STREAMING, TOP
from dragoman.core.config_logs import LOG_FILES, read_log_files
from dragoman.core.config_management import read_management
from dragoman.core.config_nodes import Node, Notice, Reading, Section
from dragoman.core.config_oauth import read_channel_exclusions, read_channel_urls, read_oauth_clients
from dragoman.core.config_providers import PROVIDER_SECTION, VISIBLE, read_proxy, texts
from dragoman.core.config_routing import (
    count,
    read_channel_aliases,
    read_cooldowns,
    read_fallbacks,
    read_instant,
    read_mappings,
    read_mitigations,
    read_routing,
    read_switches,
)
from dragoman.core.config_sections import SECTIONS, read_all_providers
from dragoman.core.config_telemetry import read_metrics_open, read_telemetry
from dragoman.core.config_usage import read_ledger
from dragoman.core.errors import ConfigError, Mistake
from dragoman.core.urls import is_loopback, parse_host

LOG_FORMATS: Final = ("text", "json")

_TOP = (
    "host", "port", "unix-socket", "tls", "auth-dir", "api-keys", "allow-open", "debug", "proxy-url", "ca-file", "request-retry",
    *SECTIONS, PROVIDER_SECTION, "cors", "timeouts", "limits", "log-format", "force-model-prefix", "max-retry-credentials",
    "max-retry-interval", "disable-cooling", "save-cooldown-status", "state-file", "transient-error-cooldown-seconds", "quota-exceeded", "routing",
    "fallbacks", "mitigations", "alerts", "notifications", "canaries", "oauth-model-alias", "oauth-excluded-models", "oauth-upstream", "oauth-clients", "ampcode", "amp-code", "remote-management", "cooldowns", "strict-translation", "streaming", "metrics", "telemetry", "usage", *LOG_FILES,
)  # fmt: skip
_CLIENT_KEY = (
    "name", "key", "key-hash", "models", "prefixes", "requests-per-minute", "tokens-per-minute", "tokens-per-day", "expires",
)  # fmt: skip
_TIMEOUTS = (
    "request-head", "request-body", "keep-alive", "connect", "first-byte", "between-pieces", "exchange", "upstream-idle", "drain",
)  # fmt: skip
_LIMITS = ("head", "body", "client-connections", "upstream-connections", "upstream-idle")

_PLACEHOLDER = re.compile(r"your-api-key(?:-\d+)?|change-?me", re.IGNORECASE)  # the template's client keys
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@*]+")


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
    client_keys = _client_keys(top["api-keys"])
    switch_project, switch_preview_model, preview_models = read_switches(top["quota-exceeded"].section())
    return Config(
        host=_host(top["host"], default.host),
        port=top["port"].integer(default.port, 0, 65535),
        unix_socket=top["unix-socket"].text() or None,
        tls=_tls(top["tls"].section()),
        auth_dir=top["auth-dir"].text() or default.auth_dir,
        api_keys=client_keys,
        management=read_management(top["remote-management"].section(), client_keys),
        allow_open=top["allow-open"].boolean(False),
        debug=top["debug"].boolean(False),
        proxy_url=read_proxy(top["proxy-url"], direct=None),
        ca_file=top["ca-file"].text() or None,
        request_retry=top["request-retry"].integer(0, 0, 1000),
        providers=read_all_providers(top),
        cors_origins=_cors(top["cors"].section()),
        timeouts=_timeouts(top["timeouts"].section()),
        limits=_limits(top["limits"].section()),
        log_format=top["log-format"].choice(default.log_format, LOG_FORMATS),
        strict_translation=top["strict-translation"].boolean(False),
        keepalive_seconds=_streaming(top["streaming"].section()),
        max_retry_credentials=top["max-retry-credentials"].integer(0, 0, 1_000_000),
        max_retry_interval=max(0.0, top["max-retry-interval"].seconds(0.0, -1.0)),
        disable_cooling=top["disable-cooling"].boolean(False),
        save_cooldown_status=top["save-cooldown-status"].boolean(True),
        state_file=top["state-file"].text() or "",
        force_model_prefix=top["force-model-prefix"].boolean(False),
        switch_project=switch_project,
        switch_preview_model=switch_preview_model,
        preview_models=preview_models,
        fallbacks=read_fallbacks(top["fallbacks"].section()),
        mitigations=read_mitigations(top["mitigations"]),
        alerts=read_alerts(top["alerts"]),
        notifications=read_notifications(top["notifications"]),
        canaries=read_canaries(top["canaries"]),
        model_mappings=_mappings(top["ampcode"]) + _mappings(top["amp-code"]),
        channel_aliases=read_channel_aliases(top["oauth-model-alias"].section()),
        channel_exclusions=read_channel_exclusions(top["oauth-excluded-models"].section()),
        channel_urls=read_channel_urls(top["oauth-upstream"].section()),
        oauth_clients=read_oauth_clients(top["oauth-clients"].section()),
        routing=read_routing(top["routing"].section()),
        metrics_open=read_metrics_open(top["metrics"].section()),
        telemetry=read_telemetry(top["telemetry"].section()),
        cooldowns=read_cooldowns(top["cooldowns"].section(), top["transient-error-cooldown-seconds"]),
        usage=read_ledger(top["usage"].section()),
        log_files=read_log_files(top),
    )


def _mappings(node: Node) -> tuple[Mapped, ...]:
    section = node.section()
    section.check_keys(("model-mappings",), AMPCODE)
    return read_mappings(section["model-mappings"])


def _streaming(section: Section) -> float:
    section.check_keys(("keepalive-seconds",), STREAMING)
    return section["keepalive-seconds"].seconds(0.0, 0.0)


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
    for i, item in enumerate(node.items(secret=True)):
        before = len(node.reading.mistakes)
        key = _client_key(item, f"key-{i + 1}")
        if len(node.reading.mistakes) > before:
            continue
        if key.key and _PLACEHOLDER.fullmatch(key.key):
            item.mistake(
                "this is the placeholder of the template, which everybody knows: choose a key of your own, "
                "for example from `openssl rand -hex 24`"
            )
        elif key.key and not VISIBLE.fullmatch(key.key):
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
        models=texts(entry["models"]),
        prefixes=tuple(prefix.strip("/") for prefix in texts(entry["prefixes"])),
        requests_per_minute=count(entry["requests-per-minute"]),
        tokens_per_minute=count(entry["tokens-per-minute"]),
        tokens_per_day=count(entry["tokens-per-day"]),
        expires=read_instant(entry["expires"]),
    )


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
