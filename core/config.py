"""What an operator can configure, as frozen values; `parse_config` makes them from a mapping.

Durations are seconds, sizes are bytes. A reload is a new `Config`; running exchanges keep the one they began with.
"""

import attrs

MIB = 1024 * 1024


@attrs.frozen
class ClientKey:
    """A key that clients show us.

    Attributes:
        key: The secret itself.
        label: What logs call it.

    """

    key: str = attrs.field(repr=False)
    label: str


@attrs.frozen
class Credential:
    """What we show a provider.

    Attributes:
        label: What logs call it; unique within its provider.
        api_key: The secret; None for a provider that wants none.
        proxy_url: Overrides the global one: a URL, ``direct`` (none, whatever else says), or None (the global one).

    """

    label: str
    api_key: str | None = attrs.field(default=None, repr=False)
    proxy_url: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Model:
    """A model of a provider.

    Attributes:
        name: What the provider calls it (the upstream model).
        alias: What clients call it; the same as `name` when none was given.

    """

    name: str
    alias: str


@attrs.frozen
class Provider:
    """A company or server that answers.

    Attributes:
        name: Unique; what logs and metrics call it.
        kind: The configuration section it came from, for example ``openai-compatibility``.
        dialect: The wire format it speaks: ``openai_chat``, ``openai_responses``, ``claude`` or ``gemini``.
        base_url: Without a trailing slash; paths are appended to it. ``http`` or ``https``.
        prefix: Clients may (or with ``force-model-prefix`` must) say ``prefix/model``; None for no prefix.
        credentials: At least one.
        models: What it serves; empty means whatever it is asked for, under its name as a prefix (``name/model``).
        headers: Sent with every request to it.
        disabled: It serves nothing while True.

    """

    name: str
    kind: str
    dialect: str
    base_url: str
    prefix: str | None = None
    credentials: tuple[Credential, ...] = ()
    models: tuple[Model, ...] = ()
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    disabled: bool = False


@attrs.frozen
class ServerTLS:
    """Serve HTTPS: paths of PEM files."""

    cert: str
    key: str


@attrs.frozen
class Timeouts:
    """How long we wait, in seconds.

    Attributes:
        request_head: For the whole head of a request, from its first byte.
        request_body: For the whole body, from the end of the head.
        keep_alive: For the next request on an idle client connection.
        connect: For an upstream connection to stand, TLS included.
        first_byte: For the first byte of an answer, from the end of our request.
        between_pieces: For the next bytes of an answer that has begun.
        exchange: For the whole exchange.
        upstream_idle: How long an idle upstream connection is kept.
        drain: How long running exchanges may take to end when the gateway stops.

    """

    request_head: float = 20.0
    request_body: float = 120.0
    keep_alive: float = 75.0  # nginx's default
    connect: float = 10.0
    first_byte: float = 300.0  # reasoning models think for minutes before the first token
    between_pieces: float = 120.0
    exchange: float = 3600.0
    upstream_idle: float = 55.0  # below the 60 s at which common load balancers drop an idle connection
    drain: float = 30.0


@attrs.frozen
class Limits:
    """How much we take from strangers, in bytes and connections.

    Attributes:
        head: Request line and headers together.
        body: A request body, after decompression too.
        client_connections: Open at a time; further ones wait in the listen queue.
        upstream_connections: Open at a time to one origin.
        upstream_idle: Idle connections kept for one origin.

    """

    # Precedents: nginx 8 KiB per header line, node.js 80 KiB in all, h11 16 KiB. Tool schemas go in the body, so 64 KiB is ample.
    head: int = 64 * 1024
    body: int = 64 * MIB  # a 1M-token context with images in base64 is about 30 MiB
    client_connections: int = 10_000
    upstream_connections: int = 2_000
    upstream_idle: int = 128


@attrs.frozen
class Config:
    """The whole configuration.

    Attributes:
        host: Address to listen on; empty for all interfaces.
        port: TCP port; 0 for any free one.
        unix_socket: Path of a Unix socket to listen on besides, or None.
        tls: Serve HTTPS with these files, or None for HTTP.
        auth_dir: Folder of credential files.
        api_keys: Keys that clients show us.
        allow_open: Serve without client keys; only ever on a loopback address.
        debug: More log lines.
        proxy_url: The proxy for all upstreams: a URL, or None.
        ca_file: PEM file of extra trust roots for upstream TLS, or None.
        request_retry: How many more attempts an exchange may make after the first, while nothing was sent to the client.
        providers: In the order in which they are tried.
        cors_origins: Origins that browsers may call us from; ``*`` for all; empty: CORS is off.
        timeouts: How long we wait.
        limits: How much we take.
        log_format: ``text`` (key=value) or ``json``.
        strict_translation: What another dialect cannot say is an error, not a loss.
        keepalive_seconds: How long a client of a stream may hear nothing before it is sent a comment; 0: for ever.

    """

    host: str = "127.0.0.1"
    port: int = 8317
    unix_socket: str | None = None
    tls: ServerTLS | None = None
    auth_dir: str = "~/.cli-proxy-api"
    api_keys: tuple[ClientKey, ...] = ()
    allow_open: bool = False
    debug: bool = False
    proxy_url: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    request_retry: int = 0
    providers: tuple[Provider, ...] = ()
    cors_origins: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    log_format: str = "text"
    strict_translation: bool = False
    keepalive_seconds: float = 0.0
