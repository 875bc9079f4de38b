"""The composition root: from what the operator gave to what is served.

`plan_serving` decides it, reading files and nothing else; `serve` makes the parts and runs them. Three ways to start, told apart by
what there is: a configuration file; none, but provider keys in the environment; neither, and then the demo provider answers.
"""

import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from dragoman import __version__
from dragoman.adapters.chance import draw, id_maker, new_client_key
from dragoman.adapters.chore import Chore
from dragoman.adapters.clock import Clock
from dragoman.adapters.config_file import (
    ConfigFileError,
    ConfigSource,
    LoadedConfig,
    check_content,
    load_config,
    printable,
)
from dragoman.adapters.credential_files import CredentialFiles
from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.log_files import LogFile
from dragoman.adapters.logs import Logs
from dragoman.adapters.reloading import PERIOD, ConfigWatch, Reloading, on_hangup, settled_changes
from dragoman.adapters.watching import STEP, Watch
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider, ServerTLS
from dragoman.core.config_nodes import Notice
from dragoman.core.config_parsing import check_exposure
from dragoman.core.connection import ClientConnection
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.file_providers import unrenewable, with_files
from dragoman.core.effects import LocalRequest, Step
from dragoman.core.errors import Mistake
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Journal
from dragoman.core.listing import ModelListing
from dragoman.core.operations.metrics import OTHER, plain_model
from dragoman.core.providers import discover
from dragoman.core.urls import parse_host
from dragoman.transports.driver import Connection
from dragoman.transports.listeners import listen_tcp, listen_unix
from dragoman.transports.services import Service, Settings

if TYPE_CHECKING:
    import ssl

CONFIG_VARIABLE: Final = "DRAGOMAN_CONFIG"
DEFAULT_CONFIG: Final = "config.yaml"
STATE_FILE: Final = "state.sqlite3"
USAGE_FILE: Final = "usage.sqlite3"
_SOON: Final = 0.1  # seconds after which a configuration that was read is taken over, at most
TRANSPORTS: Final = ("trio", "asyncio")


@attrs.frozen
class Overrides:
    """What the command line says instead of the configuration; None where it says nothing."""

    host: str | None = None
    port: int | None = None
    log_format: str | None = None
    transport: str = "trio"


@attrs.frozen
class Plan:
    """What is going to be served.

    Attributes:
        config: Complete and allowed to be served: `check_exposure` has nothing against it.
        source: Where it came from: the path of a file, ``environment`` or ``demo``.
        transport: ``trio`` or ``asyncio``.
        notices: What the operator should know, each as one line.
        generated_key: A client key made for this run, to be shown once, or None.
        state_file: Where what is remembered is saved, or None.
        usage_file: Where the usage ledger is, or None.
        reread: Makes the plan again from a file that may have changed; None when there is no file.
        check: Reads and checks what the file could hold instead; None when there is no file.

    """

    config: Config
    source: str
    transport: str = "trio"
    notices: tuple[str, ...] = ()
    generated_key: str | None = attrs.field(default=None, repr=False)
    state_file: Path | None = None
    usage_file: Path | None = None
    reread: "Callable[[], Plan] | None" = attrs.field(default=None, repr=False, eq=False)
    check: Callable[[bytes], LoadedConfig] | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def is_demo(self) -> bool:
        """Whether the demo provider answers, for there is no other."""
        return self.source == "demo"


def find_config(option: Path | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    """Which file to read: the one asked for, the one ``$DRAGOMAN_CONFIG`` names, or ``config.yaml`` in `folder` if there is one."""
    if option is not None:
        return option
    named = environment.get(CONFIG_VARIABLE, "").strip()
    if named:
        return Path(named)
    default = folder / DEFAULT_CONFIG
    return default if default.exists() or default.is_symlink() else None


def plan_serving(
    config_path: Path | None,
    environment: Mapping[str, str],
    overrides: Overrides = Overrides(),
    *,
    new_key: Callable[[], str] = new_client_key,
) -> Plan:
    """Decide what is served.

    Args:
        config_path: The configuration file; None for a start without one.
        environment: Where ``${NAME}`` and provider keys are looked up.
        overrides: What the command line says.
        new_key: Makes a client key, for a start without a file.

    Raises:
        ConfigFileError: With all that has to be mended, one line for each.

    """
    if config_path is None:
        return _plan_without_file(environment, overrides, new_key)
    loaded = _allowed(load_config(config_path, environment), environment, overrides)
    config = loaded.config
    scan = CredentialFiles(Path(config.auth_dir)).scan()
    files = [(file.name, credential) for file, credential in scan.credentials]
    config = with_files(config, files)
    advice = map(loaded.source.render, _advice(config, loaded.source, overrides))
    notices = (*loaded.notices, *advice, *scan.notices, *unrenewable(config, files))
    return Plan(
        config,
        str(config_path),
        overrides.transport,
        notices,
        state_file=state_path(config, environment),
        usage_file=usage_path(config, environment),
        reread=lambda: plan_serving(config_path, environment, overrides),
        check=lambda content: _allowed(check_content(content, str(config_path), environment), environment, overrides),
    )


def _allowed(loaded: LoadedConfig, environment: Mapping[str, str], overrides: Overrides) -> LoadedConfig:
    """What a file says, completed, if it may be served.

    Raises:
        ConfigFileError: It may not.

    """
    config = _managed(_at_home(_override(loaded.config, overrides)), environment)
    refusals = [
        mistake
        for mistake in (check_exposure(config), _missing_extra(config), *_missing_files(config))
        if mistake is not None
    ]
    if refusals:
        raise ConfigFileError(tuple(map(loaded.source.render, refusals)), tuple(refusals))
    return attrs.evolve(loaded, config=config)


def _managed(config: Config, environment: Mapping[str, str]) -> Config:
    """The configuration with the password of the management that is in the environment."""
    password = environment.get("MANAGEMENT_PASSWORD") or environment.get("management_password") or ""
    return attrs.evolve(config, management=attrs.evolve(config.management, password=password.strip()))


def state_path(config: Config, environment: Mapping[str, str]) -> Path | None:
    """Where what is remembered is saved: where the configuration says, or in the user's folder of state (XDG); None for nowhere."""
    if config.state_file:
        return None if config.state_file == "none" else Path(config.state_file)
    named = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):  # any other is to be ignored, says the specification
        return Path(named, "dragoman", STATE_FILE)
    home = os.path.expanduser("~/.local/state")
    return Path(home, "dragoman", STATE_FILE) if os.path.isabs(home) else None


def usage_path(config: Config, environment: Mapping[str, str]) -> Path | None:
    """Where the usage ledger is: where the configuration says, or beside the state file; None for nowhere."""
    if not config.usage.enabled or config.usage.file == "none":
        return None
    if config.usage.file:
        return Path(config.usage.file)
    state_file = state_path(config, environment)
    return None if state_file is None else state_file.with_name(USAGE_FILE)


def serve(plan: Plan, announce: Callable[[int], None]) -> None:
    """Run the gateway until it is told to stop (SIGINT, SIGTERM); SIGHUP reads the configuration again.

    Args:
        plan: What to serve.
        announce: Called once with the port, when the gateway listens.

    Raises:
        ListenError: An address cannot be listened on.

    """
    config = plan.config
    clock = Clock()
    log_file = LogFile(lambda: config.log_files)
    logs = Logs(LineWriter(log_file.send), clock.now, as_json=config.log_format == "json", debug=config.debug)
    listeners = listen_tcp(config.host, config.port)
    port = listeners[0].getsockname()[1]
    if config.unix_socket is not None:
        listeners.append(listen_unix(config.unix_socket))
    services = []
    if plan.is_demo:
        service, config = _demo(config)
        services.append(service)
    hearers: list[Callable[[Journal], None]] = []
    gateway = Gateway(
        config,
        version=__version__,
        transport=plan.transport,
        now=clock.now(),
        new_id=id_maker(),
        draw=draw,
        record=lambda journal: _record(journal, gateway, logs, hearers),
    )
    log_file.settings = lambda: gateway.config.log_files  # from now on as a reload has it
    services.append(
        Service(
            listeners,
            lambda peer: ClientConnection(gateway, clock.now(), peer),
            None if config.tls is None else _tls(config.tls),
            config.limits.client_connections,
        )
    )
    jobs: list[Connection] = [ModelListing(gateway, clock.now(), look=PERIOD if plan.reread is not None else math.inf)]
    watch = Watch(gateway, logs)
    outside = _Outside(gateway, clock, logs, plan, watch)
    settings = Settings(
        now=clock.now,
        serve=outside.serve,
        upstream_connections=config.limits.upstream_connections,
        upstream_idle=config.limits.upstream_idle,
        upstream_idle_seconds=config.timeouts.upstream_idle,
        drain_seconds=config.timeouts.drain,
        jobs=jobs,
        on_ready=lambda: _begin(announce, port),
        on_error=lambda error: logs.error("connection failed", error=f"{type(error).__name__}: {error}"),
    )
    from dragoman.adapters.request_logs import RequestLogs
    from dragoman.core.canary_runs import CanaryRuns

    if plan.transport == "trio":
        from dragoman.transports.on_trio.server import run
    else:
        from dragoman.transports.on_asyncio.server import run
    with ExitStack() as stack:
        stack.callback(logs.close)
        if not plan.is_demo:
            request_logs = RequestLogs(lambda: gateway.config, lambda text: logs.warning("logs", detail=text))
            gateway.show = request_logs.show
            stack.callback(request_logs.close)
        stack.callback(watch.close)
        jobs.append(Chore(watch.step, STEP, clock.now()))
        jobs.append(CanaryRuns(gateway, clock.now(), draw=draw, record=watch.canary_ran))
        if plan.state_file is not None:
            jobs += stack.enter_context(_saved(plan.state_file, gateway, clock, logs))
        if plan.usage_file is not None:
            hearers.append(stack.enter_context(_kept(plan.usage_file, gateway, clock, logs)))
        if config.telemetry.exporter != "none":
            hearers.append(stack.enter_context(_exported(gateway, logs)))
        if plan.reread is not None:
            job, outside.reloading = stack.enter_context(_watched(plan, plan.reread, gateway, clock, logs))
            jobs.append(job)
            jobs.append(stack.enter_context(_renewed(gateway, clock, logs)))
        run(services, settings)


class _Outside:
    """What is answered outside the core, from the first request on: until then none of its modules is loaded."""

    def __init__(self, gateway: Gateway, clock: Clock, logs: Logs, plan: Plan, watch: Watch) -> None:
        self._gateway = gateway
        self._clock = clock
        self._logs = logs
        self._plan = plan
        self._watch = watch
        self._serve: Callable[[LocalRequest], Step] | None = None
        self._loading = threading.Lock()
        self.reloading: Reloading | None = None

    def serve(self, request: LocalRequest) -> Step:
        """Take the first step to an answer; loading its modules is no work for the loop's thread."""
        if self._serve is not None:
            return self._serve(request)

        def load() -> Step:
            serve = self._load()
            return lambda: serve(request)

        return load

    def _load(self) -> Callable[[LocalRequest], Step]:
        """Load what answers; in worker threads, of which one does it."""
        with self._loading:
            if self._serve is not None:
                return self._serve
            from dragoman.adapters.management import ROUTES, Outside
            from dragoman.adapters.management.desk import Desk

            plan = self._plan
            desk = Desk(
                self._gateway,
                self._clock.now,
                self._logs,
                __version__,
                config_path=Path(plan.source) if plan.reread is not None else None,
                check=plan.check,
                environment=os.environ,
                reloading=self.reloading,
                usage_file=plan.usage_file,
                watch=self._watch,
            )
            self._serve = Outside(desk, ROUTES).serve
            return self._serve


@contextmanager
def _saved(path: Path, gateway: Gateway, clock: Clock, logs: Logs) -> Iterator[list[Connection]]:
    """Take up what a state file holds, and keep saving to it while the block runs; gives the jobs for that."""
    from dragoman.adapters.storage.saving import PERIOD as SAVING
    from dragoman.adapters.storage.saving import Saver
    from dragoman.adapters.storage.sqlite import StateFile, StateFileError, saved_by

    try:
        file = StateFile(path, clock.now())
    except StateFileError as error:
        logs.warning("state is not saved", reason=str(error))
        yield []
        return
    for notice in file.notices:
        logs.warning("state", detail=notice)
    gateway.router.restore(saved_by(file.records), clock.now(), with_states=gateway.config.save_cooldown_status)
    gateway.router.track()
    saver = Saver(file, clock.now, lambda text: logs.warning("state", detail=text))
    try:
        yield [Chore(lambda now: saver.take(gateway.router.take_news()), SAVING, clock.now())]
    finally:
        saver.take(gateway.router.take_news())
        saver.close()


@contextmanager
def _kept(path: Path, gateway: Gateway, clock: Clock, logs: Logs) -> Iterator[Callable[[Journal], None]]:
    """Write the usage ledger while the block runs; gives what is to be told of each exchange."""
    from dragoman.adapters.storage.usage_writer import UsageWriter

    writer = UsageWriter(path, lambda: gateway.config.usage, clock.now, lambda text: logs.warning("usage", detail=text))
    try:
        yield writer.take
    finally:
        writer.close()


@contextmanager
def _exported(gateway: Gateway, logs: Logs) -> Iterator[Callable[[Journal], None]]:
    """Send traces and metrics while the block runs; gives what is to be told of each exchange."""
    from dragoman.adapters.telemetry.exporting import export_to

    def model_of(model: str) -> str:
        name = plain_model(model)
        return name if gateway.router.catalog.is_listed(name) else OTHER

    settings = gateway.config.telemetry
    exporting = export_to(settings, __version__, model_of, lambda text: logs.warning("telemetry", detail=text))
    try:
        yield exporting.record
    finally:
        exporting.close()


@contextmanager
def _watched(
    plan: Plan, reread: Callable[[], Plan], gateway: Gateway, clock: Clock, logs: Logs
) -> Iterator[tuple[Connection, Reloading]]:
    """Watch the configuration file while the block runs; gives the job that takes over what has changed, and the way to do so at once."""

    def read() -> tuple[Config, tuple[str, ...]]:
        again = reread()
        for notice in again.notices:
            if notice not in told:
                logs.warning("configuration", notice=notice)
        told.clear()
        told.update(again.notices)
        return again.config, again.notices

    def look(now: float) -> None:
        news = watch.take()
        if news is None:
            return
        for mistake in news.mistakes:
            logs.error("configuration refused", mistake=mistake)
        if news.config is not None:
            _reload(gateway, plan.config, news.config, now, logs)

    told = set(plan.notices)
    watch = ConfigWatch(Path(plan.source), read, folder=Path(plan.config.auth_dir))
    watch.start()
    try:
        with on_hangup(watch.ask):
            yield Chore(look, _SOON, clock.now()), Reloading(watch.read_now, lambda: look(clock.now()))
    finally:
        watch.close()


@contextmanager
def _renewed(gateway: Gateway, clock: Clock, logs: Logs) -> Iterator[Connection]:
    """Keep the tokens of credential files valid while the block runs; gives the job for that."""
    from dragoman.adapters.renewals import Renewals
    from dragoman.adapters.signing import sign
    from dragoman.core.renewing import RenewalNews, TokenRenewal

    def record(news: RenewalNews) -> None:
        wait = None if news.next_at is None else round(max(0.0, news.next_at - clock.now()), 1)
        told = logs.warning if news.reason else logs.info
        what = "token not renewed" if news.reason else "token renewed"
        told(what, provider=news.provider, credential=news.credential, reason=news.reason or None, next_in_seconds=wait)

    renewals = Renewals(
        lambda: Path(gateway.config.auth_dir), lambda text: logs.warning("credential file", detail=text)
    )
    try:
        yield TokenRenewal(
            gateway,
            clock.now(),
            user_agent=f"dragoman/{__version__}",
            keep=renewals.keep,
            kept=renewals.kept,
            record=record,
            sign=sign,
        )
    finally:
        renewals.close()


def _reload(gateway: Gateway, running: Config, config: Config, now: float, logs: Logs) -> None:
    try:
        if config != gateway.config and gateway.take_secrets(config, now):
            logs.info("credentials reloaded")
            return
        gateway.reload(config, now)
    except Exception as error:  # a bug of ours; what was served before goes on
        logs.error("configuration refused", mistake=f"it cannot be taken over ({type(error).__name__})")
        return
    logs.info(
        "configuration reloaded",
        providers=len(config.providers),
        needs_restart=",".join(settled_changes(running, config)) or None,
    )


def _begin(announce: Callable[[int], None], port: int) -> None:
    """Everything stands: say so, and spare the garbage collector the walk over what will be there to the end.

    At its default threshold it would look at the youngest objects with every other request, and at all of them several times a second.
    """
    # While a worker thread writes a long text (/metrics), the loop's thread asks for its turn, and gets it after this long.
    sys.setswitchinterval(0.0005)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    announce(port)


def _record(journal: Journal, gateway: Gateway, logs: Logs, hearers: Sequence[Callable[[Journal], None]]) -> None:
    """Write an exchange down, and what it changed for those to come; tell whoever keeps account of exchanges."""
    logs.exchange(journal)
    for hear in hearers:
        hear(journal)
    for change in gateway.router.pool.take_changes():
        logs.warning(
            "cooldown" if change.after is not CredentialState.ACTIVE else "credential is well",
            provider=change.provider,
            credential=change.credential,
            upstream_model=change.model or None,
            state=change.after.name.lower(),
            reason=change.reason or None,
            retry_in_seconds=round(max(0.0, change.resumes_at - journal.ended_at), 1)
            if change.resumes_at < math.inf
            else None,
        )
    for switch in gateway.router.take_switches():
        logs.warning("mitigation", model=switch.model, fallback=switch.fallback, detail=str(switch))


def _tls(files: ServerTLS) -> "ssl.SSLContext":
    from dragoman.transports.tls import server_context

    return server_context(files.cert, files.key)


def _demo(config: Config) -> tuple[Service, Config]:
    """The demo provider on a loopback port of its own, and the configuration that leads to it."""
    from dragoman.adapters.demo_provider import DemoProvider

    listeners = listen_tcp("127.0.0.1", 0)
    found = with_demo(config, f"http://127.0.0.1:{listeners[0].getsockname()[1]}")
    return Service(listeners, DemoProvider().connect), found


def with_demo(config: Config, root: str) -> Config:
    """A configuration that leads to the demo provider at `root`: in OpenAI's dialect, and once in each other."""
    from dragoman.adapters.demo_provider.models import MODELS

    native = [("claude", "claude", root), ("gemini", "gemini", root), ("responses", "openai_responses", f"{root}/v1")]
    providers = [("demo", "openai_chat", f"{root}/v1", [Model(name, name) for name in MODELS])]
    providers += [(f"demo-{name}", dialect, url, [Model("demo", f"demo/{name}")]) for name, dialect, url in native]
    found = tuple(
        Provider(
            name=name,
            kind="demo",
            dialect=dialect,
            base_url=url,
            credentials=(Credential("demo"),),
            models=tuple(models),
        )
        for name, dialect, url, models in providers
    )
    # What misbehaves on purpose is to be seen misbehaving each time, not to be left alone for half an hour.
    return attrs.evolve(config, providers=found, disable_cooling=True)


def _plan_without_file(environment: Mapping[str, str], overrides: Overrides, new_key: Callable[[], str]) -> Plan:
    key = new_key()
    config = _managed(_override(Config(api_keys=(ClientKey(key, "generated"),)), overrides), environment)
    found = discover(environment, host=config.host, port=config.port)
    return Plan(
        attrs.evolve(config, providers=found.providers),
        "environment" if found.providers else "demo",
        overrides.transport,
        tuple(printable(f"{notice.dotted()}: {notice.message}") for notice in found.notices),
        key,
        state_path(config, environment) if found.providers else None,
        usage_path(config, environment) if found.providers else None,
    )


def _override(config: Config, overrides: Overrides) -> Config:
    host = config.host
    if overrides.host is not None:
        try:
            host = parse_host(overrides.host) if overrides.host else ""
        except ValueError:
            message = "--host: expected an address or a name to listen on, without scheme and port, like 127.0.0.1"
            raise ConfigFileError((message,)) from None
    return attrs.evolve(
        config,
        host=host,
        port=config.port if overrides.port is None else overrides.port,
        log_format=overrides.log_format or config.log_format,
    )


def _at_home(config: Config) -> Config:
    """Fill in ``~`` where a path may have it."""

    def home(path: str | None) -> str | None:
        return None if path is None else os.path.expanduser(path)

    return attrs.evolve(
        config,
        unix_socket=home(config.unix_socket),
        state_file=os.path.expanduser(config.state_file),
        log_files=attrs.evolve(config.log_files, folder=os.path.expanduser(config.log_files.folder)),
        usage=attrs.evolve(config.usage, file=os.path.expanduser(config.usage.file)),
        auth_dir=os.path.expanduser(config.auth_dir),
        ca_file=home(config.ca_file),
        tls=config.tls and ServerTLS(os.path.expanduser(config.tls.cert), os.path.expanduser(config.tls.key)),
    )


def _missing_extra(config: Config) -> Mistake | None:
    """What a configuration asks for and is not installed."""
    if config.telemetry.exporter == "none":
        return None
    from dragoman.adapters.telemetry import is_installed

    if is_installed():
        return None
    return Mistake(
        ("telemetry", "exporter"),
        "OpenTelemetry's SDK is not installed: pip install 'dragoman[otel]', or set `exporter: none`",
    )


def _missing_files(config: Config) -> list[Mistake]:
    """Files that must be there: a start should fail before the first connection, not at it."""
    named: list[tuple[tuple[str, ...], str | None]] = [(("ca-file",), config.ca_file)]
    if config.tls is not None:
        named += [(("tls", "cert"), config.tls.cert), (("tls", "key"), config.tls.key)]
    return [
        Mistake(
            path, f"there is no file {name!r} (a relative path starts from the folder that dragoman was started in)"
        )
        for path, name in named
        if name is not None and not Path(name).is_file()
    ]


def _advice(config: Config, source: ConfigSource, overrides: Overrides) -> list[Notice]:
    """What is allowed, but probably not meant."""
    advice = []
    if overrides.host is None and isinstance(source.data, dict) and source.data.get("host") is None:
        only = f"'host' is not given, so only this machine can connect ({config.host}); write host: \"\" for all interfaces"
        advice.append(Notice((), only))
    if not any(not provider.disabled for provider in config.providers):
        none = (
            "no provider is configured, so every model is unknown: add a key under 'claude-api-key', 'gemini-api-key', "
            "'codex-api-key', 'openrouter' or the like, a server under 'openai-compatibility', or a credential file in 'auth-dir'"
        )
        advice.append(Notice((), none))
    return advice
