"""What an operator can configure, as frozen values; `parse_config` makes them from a mapping.

Durations are seconds, sizes are bytes. A reload is a new `Config`; running exchanges keep the one they began with.
"""

import attrs

from dragoman.core.alert_rules import DEFAULT_RULES, AlertRule, Notifier
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.telemetry_settings import NO_TELEMETRY, Telemetry

MIB = 1024 * 1024
MODEL_ROOT = "/v1beta"  # under which Gemini has its models


@attrs.frozen
class ClientKey:
    """A key that clients show us.

    Attributes:
        key: The secret itself; empty when only its hash is known.
        label: What logs call it.
        key_hash: SHA-256 of the secret, 64 hexadecimal digits in lower case; empty when `key` is given.
        models: Names it may ask for, ``*`` stands for anything; empty: any (within `prefixes`).
        prefixes: It may ask for ``prefix/anything``; empty: any (within `models`).
        requests_per_minute: None for no limit.
        tokens_per_minute: Input and output tokens together; None for no limit.
        tokens_per_day: The same, by days of UTC.
        expires: Epoch seconds from which it is refused; None for never.

    """

    key: str = attrs.field(repr=False)
    label: str
    key_hash: str = attrs.field(default="", repr=False)
    models: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    expires: float | None = None


@attrs.frozen
class QuotaRule:
    """An allowance of a credential, counted here.

    Attributes:
        window: Its length in seconds.
        kind: ``fixed`` (begins with the first request after the last one ended) or ``sliding`` (always the last `window` seconds).
        requests: How many requests fit; None for no limit.
        tokens: How many input and output tokens fit; None for no limit.

    """

    window: float
    kind: str = "fixed"
    requests: int | None = None
    tokens: int | None = None


@attrs.frozen
class Renewal:
    """How a new token is had for one that ends; all of it the user's own (a credential file's, or ``oauth-clients``).

    Attributes:
        file: The name of the file in which the new token is kept.
        token_url: Where it is asked for (RFC 6749, section 6).
        refresh_token: What it is asked for with; where there is an `issuer`, its private key (PEM).
        client_id: Of the login; empty: none is sent.
        client_secret: The same.
        expires_at: When the present token ends, epoch seconds; None when nobody knows.
        lead: Seconds before that at which a new one is asked for.
        issuer: Who signs the request, for an account of a service (RFC 7523); empty: nobody does.
        issued_at: When the present token was given, epoch seconds; None when nobody knows.
        sends_json: The request is JSON where the RFC has a form.

    """

    file: str
    token_url: str
    refresh_token: str = attrs.field(repr=False)
    client_id: str = attrs.field(default="", repr=False)
    client_secret: str = attrs.field(default="", repr=False)
    expires_at: float | None = None
    lead: float = 300.0
    sends_json: bool = False
    issued_at: float | None = None
    issuer: str = ""


@attrs.frozen
class Credential:
    """What we show a provider. Where a value is None, the provider's applies.

    Attributes:
        label: What logs call it; unique within its provider.
        api_key: The secret; None for a provider that wants none.
        proxy_url: Overrides the global one: a URL, ``direct`` (none, whatever else says), or None (the global one).
        priority: The higher, the earlier it is chosen.
        weight: Its share under ``weighted-round-robin``; 0 or less: none.
        max_concurrency: Attempts at a time.
        disable_cooling: Choose it again at once after a limit or a failure.
        request_retry: Further rounds of attempts.
        quotas: Its allowances, beside the provider's.
        disabled: It answers nothing while True.
        is_refreshable: It is a token that can be renewed, so that a 401 is not the last word.
        identity: Its name in saved data, for one whose secret changes while it stays the same; empty: made from the secret.
        renewal: How its token is renewed; None where it cannot be.
        headers: Sent with every request of it, beside its provider's.
        project: On whose account, for ``code_assist``, which says it in each request.

    """

    label: str
    api_key: str | None = attrs.field(default=None, repr=False)
    proxy_url: str | None = attrs.field(default=None, repr=False)
    priority: int | None = None
    weight: int | None = None
    max_concurrency: int | None = None
    disable_cooling: bool | None = None
    request_retry: int | None = None
    quotas: tuple[QuotaRule, ...] = ()
    disabled: bool = False
    is_refreshable: bool = False
    identity: str = ""
    renewal: Renewal | None = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    project: str = ""


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
        name: What logs and metrics call it, and model names (``name/model``). Several may share one name: entries of a section that
            differ in more than their key. The labels of their credentials are unique among them all.
        kind: The configuration section it came from, for example ``openai-compatibility``.
        dialect: The wire format it speaks: ``openai_chat``, ``openai_responses``, ``claude``, ``gemini`` or ``code_assist``.
        base_url: Without a trailing slash; paths are appended to it. ``http`` or ``https``.
        prefix: Clients may (or with ``force-model-prefix`` must) say ``prefix/model``; None for no prefix.
        credentials: At least one.
        models: What it serves.
        takes_any: It also serves whatever it is asked for under its name (``name/anything``) or its prefix, whether listed in `models`
            or not. Unless said otherwise, a provider without models does.
        headers: Sent with every request to it.
        disabled: It serves nothing while True.
        priority: Of its credentials; the higher, the earlier they are chosen.
        weight: Of its credentials, under ``weighted-round-robin``.
        max_concurrency: Attempts at a time with each of its credentials; None for no limit.
        disable_cooling: Its credentials are chosen again at once after a limit or a failure; None: the global setting.
        request_retry: Further rounds of attempts; None: the global setting.
        quotas: Allowances that each of its credentials has.
        excluded_models: Names it does not serve, ``*`` stands for anything; already taken out of `models`.
        model_root: Under which its models are, for ``gemini``: ``/v1beta``, or Vertex AI's ``/v1/publishers/google``.
        takes_bearer: Its secrets are shown as bearer tokens, whatever is usual for keys in its dialect.

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
    priority: int = 0
    weight: int = 1
    max_concurrency: int | None = None
    disable_cooling: bool | None = None
    request_retry: int | None = None
    quotas: tuple[QuotaRule, ...] = ()
    excluded_models: tuple[str, ...] = ()
    takes_any: bool = attrs.field()
    model_root: str = MODEL_ROOT
    takes_bearer: bool = False

    @takes_any.default
    def _takes_any(self) -> bool:
        return not self.models


@attrs.frozen
class Mapped:
    """A name of a model and what is asked for in its place, on every route.

    Attributes:
        source: What the client says; with `is_regex` a regular expression that must match the whole name.
        target: What is looked up instead; with `is_regex` it may refer to groups, as in `re.sub`.
        is_regex: How `source` is read.

    """

    source: str
    target: str
    is_regex: bool = False


@attrs.frozen
class ChannelAlias:
    """Another name for a model of a channel of OAuth credentials.

    Attributes:
        channel: For example ``codex``.
        name: The upstream model.
        alias: What clients call it.
        fork: Keep the original name beside it.

    """

    channel: str
    name: str
    alias: str
    fork: bool = False


@attrs.frozen
class OAuthClient:
    """As whom, and where, new tokens are asked for, for a channel whose credential files do not say.

    Attributes:
        channel: For example ``codex``.
        token_url: Where; empty: where the file says.
        client_id: As whom; empty: as whom the file says.
        client_secret: The same.

    """

    channel: str
    token_url: str = ""
    client_id: str = attrs.field(default="", repr=False)
    client_secret: str = attrs.field(default="", repr=False)


@attrs.frozen
class MitigationRule:
    """When too many attempts at a model fail, ask for another until it is well.

    Attributes:
        model: The name clients ask for.
        fallback: What is looked up while `model` is in a critical state.
        error_ratio: The share of failed attempts over which it is critical, in (0, 1].
        window: The seconds over which that share is taken.
        minimum_sample: Attempts in `window` below which nothing is concluded.

    """

    model: str
    fallback: str
    error_ratio: float = 0.05
    window: float = 600.0
    minimum_sample: int = 20


@attrs.frozen
class Routing:
    """Who is chosen.

    Attributes:
        strategy: ``round-robin``, ``weighted-round-robin``, ``fill-first``, ``least-busy`` or ``lowest-latency``.
        session_affinity: Keep a conversation on its credential: True by any id, also one made from its beginning; None by ids that
            clients send; False never.
        session_affinity_ttl: Seconds after its last request until a conversation is forgotten.

    """

    strategy: str = "round-robin"
    session_affinity: bool | None = None
    session_affinity_ttl: float = 3600.0


@attrs.frozen
class Cooldowns:
    """How long a credential rests after a failure for which the provider names no instant, in seconds.

    Attributes:
        unauthorized: 401.
        payment_required: 402 and 403.
        not_found: 404.
        model_unsupported: The credential does not have the model.
        invalid_grant: Its token cannot be renewed.
        first_backoff: The first 429; doubled with each further one.
        longest_backoff: Where the doubling ends.
        challenge: At least, when a page for people came instead of an answer.
        transient: 408, 5xx and what is unknown; 0 or less for none.
        longest_told: An instant named by a provider is believed for this long at most; then one request finds out.

    """

    unauthorized: float = 1800.0
    payment_required: float = 1800.0
    not_found: float = 43_200.0
    model_unsupported: float = 43_200.0
    invalid_grant: float = 1800.0
    first_backoff: float = 1.0
    longest_backoff: float = 1800.0
    challenge: float = 10.0
    transient: float = 60.0
    longest_told: float = 3600.0


@attrs.frozen
class Price:
    """What a million tokens cost, in millionths of a currency's unit; so a token costs as many of its trillionths. None: unknown.

    Attributes:
        pattern: Of upstream models, or of ``provider/model``; ``*`` stands for anything.
        input: Read, and of no kind that has a price below.
        output: Written, and of no kind that has a price below.
        cache_read: Read from a cache.
        cache_write: Written to a cache.
        cache_write_1h: Written to a cache that keeps them for an hour.
        reasoning: Of what is written, reasoning; None: as `output`.
        audio_input: Sound that is read.
        audio_output: Sound that is written.

    """

    pattern: str
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@attrs.frozen
class Ledger:
    """What is kept of exchanges, and for how long.

    Attributes:
        enabled: Whether anything is.
        file: A path, ``none``, or empty for a file beside the state file.
        retention_days: Exchanges older than that are deleted; 0 for never.
        prices: Of them the longest pattern that matches counts.

    """

    enabled: bool = True
    file: str = ""
    retention_days: int = 90
    prices: tuple[Price, ...] = ()


@attrs.frozen
class LogFiles:
    """What is logged to files.

    Attributes:
        enabled: Lines go to ``main.log`` in `folder` instead of stderr.
        folder: A relative one starts from the working folder.
        total_mb: What ``main.log`` and its predecessors may come to, in MiB, and again files of exchanges that did not fail; 0 for no bound.
        error_files: How many files of failed exchanges are kept; 0 for all.
        every_request: Each exchange has a file, not only those that failed.

    """

    enabled: bool = False
    folder: str = "logs"
    total_mb: int = 100
    error_files: int = 10
    every_request: bool = False


@attrs.frozen
class ServerTLS:
    """Serve HTTPS: paths of PEM files."""

    cert: str
    key: str


@attrs.frozen
class Management:
    """Who may manage the gateway; nobody, if there is neither a secret nor a password.

    Attributes:
        secret: What is shown, or its bcrypt hash; empty for none.
        password: Another one, from the environment, in plain text; empty for none. With it, remote peers may manage too.
        allow_remote: Others than this machine may.

    """

    secret: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)
    allow_remote: bool = False


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
        upstream_idle: Idle connections kept for one origin; with fewer than clients at a time, some are opened again and again.

    """

    # Precedents: nginx 8 KiB per header line, node.js 80 KiB in all, h11 16 KiB. Tool schemas go in the body, so 64 KiB is ample.
    head: int = 64 * 1024
    body: int = 64 * MIB  # a 1M-token context with images in base64 is about 30 MiB
    client_connections: int = 10_000
    upstream_connections: int = 2_000
    upstream_idle: int = 1000


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
        request_retry: How many more rounds of attempts an exchange may make, while nothing was sent to the client.
        max_retry_credentials: How many credentials are tried in a round; 0 for all.
        max_retry_interval: The longest wait for a cooldown to end, in seconds; 0 for none.
        disable_cooling: Choose credentials again at once after a limit or a failure.
        save_cooldown_status: Keep cooldowns over a restart, where there is a state file.
        state_file: Where what is remembered is saved: a path, ``none``, or empty for the usual place.
        force_model_prefix: A provider with a prefix answers to ``prefix/model`` only.
        switch_project: After a spent quota, try other credentials of the same provider.
        switch_preview_model: After spent quotas, try the preview or stable twin of the model.
        preview_models: Twins beside those found by name: pairs of model and twin.
        fallbacks: What is asked for when nobody can answer for a model: pairs of model and others in order.
        mitigations: What is asked for while a model fails too often.
        alerts: When somebody is to be told.
        notifications: Who is told of alerts.
        canaries: Small requests that are made now and then to see that all is well.
        model_mappings: Names and what is asked for in their place.
        channel_aliases: Names of models of OAuth credentials.
        channel_exclusions: Patterns of models that OAuth credentials do not serve: pairs of channel and patterns in lower case.
        channel_urls: Where requests of OAuth credentials go instead of where they usually do: pairs of channel and base URL.
        oauth_clients: As whom new tokens are asked for.
        routing: Who is chosen.
        cooldowns: How long credentials rest.
        usage: What is kept of exchanges.
        log_files: What is logged to files.
        providers: In the order in which they are tried.
        management: Who may manage it.
        cors_origins: Origins that browsers may call us from; ``*`` for all; empty: CORS is off.
        timeouts: How long we wait.
        limits: How much we take.
        metrics_open: Whoever asks may read ``/metrics``.
        telemetry: What goes to OpenTelemetry.
        log_format: ``text`` (key=value) or ``json``.
        strict_translation: What another dialect cannot say is an error, not a loss; hints pass.
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
    management: Management = Management()
    cors_origins: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    metrics_open: bool = False
    telemetry: Telemetry = NO_TELEMETRY
    log_format: str = "text"
    strict_translation: bool = False
    keepalive_seconds: float = 0.0
    max_retry_credentials: int = 0
    max_retry_interval: float = 0.0
    disable_cooling: bool = False
    save_cooldown_status: bool = True
    state_file: str = ""
    force_model_prefix: bool = False
    switch_project: bool = True
    switch_preview_model: bool = False
    preview_models: tuple[tuple[str, str], ...] = ()
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    mitigations: tuple[MitigationRule, ...] = ()
    alerts: tuple[AlertRule, ...] = DEFAULT_RULES
    notifications: tuple[Notifier, ...] = ()
    canaries: tuple[CanarySpec, ...] = ()
    model_mappings: tuple[Mapped, ...] = ()
    channel_aliases: tuple[ChannelAlias, ...] = ()
    channel_exclusions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    channel_urls: tuple[tuple[str, str], ...] = ()
    oauth_clients: tuple[OAuthClient, ...] = ()
    routing: Routing = Routing()
    cooldowns: Cooldowns = Cooldowns()
    usage: Ledger = Ledger()
    log_files: LogFiles = LogFiles()
