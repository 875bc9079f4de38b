"""The composition root: makes the parts of what `planning` has decided to serve, and runs them."""

import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dragoman import __version__
from dragoman.adapters.chance import draw, id_maker
from dragoman.adapters.chore import Chore
from dragoman.adapters.clock import Clock
from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.log_files import LogFile
from dragoman.adapters.logs import Logs
from dragoman.adapters.reloading import PERIOD, ConfigWatch, Reloading, on_hangup, settled_changes
from dragoman.adapters.watching import STEP, Watch
from dragoman.core.config import Config, ServerTLS
from dragoman.core.connection import ClientConnection
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.effects import LocalRequest, Step
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Journal
from dragoman.core.listing import ModelListing
from dragoman.core.operations.metrics import OTHER, plain_model
from dragoman.transports.driver import Connection
from dragoman.transports.listeners import listen_tcp, listen_unix
from dragoman.transports.services import Service, Settings

if TYPE_CHECKING:
    import ssl
from dragoman.adapters.planning import Plan, with_demo

_SOON: Final = 0.1  # seconds after which a configuration that was read is taken over, at most


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
