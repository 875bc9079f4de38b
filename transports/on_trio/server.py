"""The server: accepts clients, gives each a task, keeps the deadlines, stops in good order."""

import math
import signal
import socket
from collections.abc import Callable, Sequence

import trio

from dragoman.core.effects import Step
from dragoman.transports.driver import Connection, Driver, Nobody
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_trio.links import Link, shake_hands
from dragoman.transports.on_trio.upstream import TrioUpstreams
from dragoman.transports.services import ACCEPTS, GLANCES, HANDSHAKE, LAST_WORDS, PAUSE, SCARCE, Service, Settings
from dragoman.transports.serving import WORKERS, Serving
from dragoman.transports.timers import Timers
from dragoman.transports.tls import TLSPipe


class ClientLink(Link):
    """A client's socket."""

    driver: Driver

    async def read(self) -> None:
        """Read until it is closed, and tell the driver."""
        driver = self.driver
        try:
            while not self.is_closed:
                if driver.is_reading:
                    driver.client_sent(await self._receive())
                else:
                    await self._until_woken()
        except trio.ClosedResourceError:
            pass

    def caught_up(self) -> None:
        """The client takes more."""
        self.driver.client_caught_up()


class Places:
    """How many more clients a service may have; the others wait in the listen queue.

    Not `trio.CapacityLimiter`, which takes a turn of the loop for each, free or not.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._given_back = trio.Event()

    async def until_free(self) -> None:
        """Wait until there is a place."""
        while self._free <= 0:
            if self._given_back.is_set():  # several listeners may wait for the same one
                self._given_back = trio.Event()
            await self._given_back.wait()

    def take(self) -> None:
        """Take one."""
        self._free -= 1

    def give_back(self) -> None:
        """Give one back."""
        self._free += 1
        self._given_back.set()


class Server:
    """Serves until it is told to stop.

    Args:
        services: What is served.
        settings: The clock and limits.

    """

    def __init__(self, services: Sequence[Service], settings: Settings) -> None:
        self._services = services
        self._settings = settings
        self._serving = Serving(settings.serve, self._in_thread)
        self._workers = trio.CapacityLimiter(WORKERS)
        self._timers = Timers(self._hurry)
        self._timer_scope = trio.CancelScope()
        self._drivers: set[Driver] = set()
        self._all_gone: trio.Event | None = None
        self._stopped = trio.Event()
        self._aborted = trio.Event()
        self._nursery: trio.Nursery
        self._upstreams: TrioUpstreams

    def stop(self) -> None:
        """Stop in good order; the second time, at once."""
        if self._stopped.is_set():
            self._aborted.set()
        self._stopped.set()

    async def run(self) -> None:
        """Serve; returns when everything is closed."""
        async with trio.open_nursery() as self._nursery:
            self._upstreams = TrioUpstreams(self._nursery, self._settings)
            self._nursery.start_soon(self._keep_time)
            self._nursery.start_soon(self._expire)
            jobs = [self._begin_job(job) for job in self._settings.jobs]
            try:
                async with trio.open_nursery() as acceptors:
                    for service in self._services:
                        places = Places(service.limit)
                        for listener in service.listeners:
                            acceptors.start_soon(self._accept, service, places, listener)
                    self._settings.on_ready()
                    await self._stopped.wait()
                    acceptors.cancel_scope.cancel()
            finally:
                for service in self._services:
                    for listener in service.listeners:
                        close_listener(listener)
            for job in jobs:
                job.drain()
            await self._end()
            for _ in range(GLANCES):
                if all(job.next_deadline() == math.inf for job in jobs):
                    break
                await trio.sleep(LAST_WORDS / GLANCES)
            for job in jobs:
                job.abort()
                job.closed()
            self._upstreams.pool.close()
            self._nursery.cancel_scope.cancel()

    def _begin_job(self, job: Connection) -> Driver:
        driver = Driver(
            job, Nobody(), self._upstreams, self._serving, self._timers, self._settings.now, self._settings.on_error
        )
        driver.start()
        return driver

    async def _end(self) -> None:
        """Let running exchanges end, then end those that have not."""
        self._all_gone = trio.Event()
        for driver in list(self._drivers):
            driver.drain()
        with trio.move_on_after(self._settings.drain_seconds) as patience:
            self._nursery.start_soon(self._cancel_on_abort, patience)
            await self._until_all_gone()
        for driver in list(self._drivers):
            driver.abort()
        with trio.move_on_after(LAST_WORDS):
            await self._until_all_gone()

    async def _until_all_gone(self) -> None:
        if self._drivers and self._all_gone is not None:
            await self._all_gone.wait()

    async def _cancel_on_abort(self, scope: trio.CancelScope) -> None:
        await self._aborted.wait()
        scope.cancel()

    async def _accept(self, service: Service, places: "Places", listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(ACCEPTS):
                await places.until_free()
                try:
                    sock, address = listener.accept()
                except OSError as error:  # none is left, or it has left already
                    if error.errno in SCARCE:
                        await trio.sleep(PAUSE)
                    break
                places.take()
                peer = address[0] if isinstance(address, tuple) else "unix"
                self._nursery.start_soon(self._serve, service, places, sock, peer)

    async def _serve(self, service: Service, places: "Places", sock: socket.socket, peer: str) -> None:
        """One client connection, to its end."""
        try:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = None
            if service.tls is not None:
                tls = TLSPipe(service.tls)
                with trio.fail_after(HANDSHAKE):
                    await shake_hands(sock, tls)
            await self._converse(service, ClientLink(sock, tls, self._nursery), peer)
        except (OSError, trio.TooSlowError):
            pass  # the client left, or does not speak TLS
        except Exception as error:  # a bug of ours ends one connection, not all
            self._settings.on_error(error)
        finally:
            sock.close()
            places.give_back()

    async def _converse(self, service: Service, link: ClientLink, peer: str) -> None:
        driver = link.driver = Driver(
            service.connect(peer),
            link,
            self._upstreams,
            self._serving,
            self._timers,
            self._settings.now,
            self._settings.on_error,
        )
        self._drivers.add(driver)
        try:
            driver.start()
            if self._all_gone is not None:
                driver.drain()
            await link.read()
        finally:
            link.close()
            driver.closed()
            self._drivers.discard(driver)
            if self._all_gone is not None and not self._drivers:
                self._all_gone.set()

    def _in_thread(self, work: Callable[[], Step | Exception], done: Callable[[Step | Exception], None]) -> None:
        async def do() -> None:
            done(await trio.to_thread.run_sync(work, limiter=self._workers, abandon_on_cancel=True))

        self._nursery.start_soon(do)

    def _hurry(self, at: float) -> None:
        """There is an earlier deadline than the one being waited for."""
        self._timer_scope.deadline = trio.current_time() + max(0.0, at - self._settings.now())

    async def _keep_time(self) -> None:
        while True:
            at = self._timers.next_instant()
            with trio.CancelScope() as self._timer_scope:
                if at < math.inf:
                    self._hurry(at)
                await trio.sleep_forever()
            for watched in self._timers.due(self._settings.now()):
                watched.handle_timer()

    async def _expire(self) -> None:
        """Close idle upstream connections in time."""
        while True:
            await trio.sleep(min(1.0, max(0.01, self._settings.upstream_idle_seconds)))
            self._upstreams.pool.expire(self._settings.now())


def run(services: Sequence[Service], settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM: then stop accepting, let exchanges end, close. A second signal ends them at once."""
    trio.run(_run, services, settings)


async def _run(services: Sequence[Service], settings: Settings) -> None:
    server = Server(services, settings)

    async def listen() -> None:
        async for _ in signals:
            server.stop()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await server.run()
            nursery.cancel_scope.cancel()
