"""The server: accepts clients, gives each a task, keeps the deadlines, stops in good order."""

import math
import signal
import socket
from collections.abc import Sequence

import trio

from dragoman.transports.driver import Connection, Driver, Nobody
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_trio.links import Link, shake_hands
from dragoman.transports.on_trio.upstream import TrioUpstreams
from dragoman.transports.services import HANDSHAKE, LAST_WORDS, PAUSE, SCARCE, Service, Settings
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


class Server:
    """Serves until it is told to stop.

    Args:
        services: What is served.
        settings: The clock and limits.

    """

    def __init__(self, services: Sequence[Service], settings: Settings) -> None:
        self._services = services
        self._settings = settings
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
                        places = trio.CapacityLimiter(service.limit)
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
                job.abort()
                job.closed()
            await self._end()
            self._upstreams.pool.close()
            self._nursery.cancel_scope.cancel()

    def _begin_job(self, job: Connection) -> Driver:
        driver = Driver(job, Nobody(), self._upstreams, self._timers, self._settings.now, self._settings.on_error)
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

    async def _accept(self, service: Service, places: trio.CapacityLimiter, listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            place = object()
            await places.acquire_on_behalf_of(place)  # when there is none, clients wait in the listen queue
            try:
                sock, address = listener.accept()
            except OSError as error:  # the client has left already, or another process was faster
                places.release_on_behalf_of(place)
                if error.errno in SCARCE:
                    await trio.sleep(PAUSE)
                continue
            peer = address[0] if isinstance(address, tuple) else "unix"
            self._nursery.start_soon(self._serve, service, places, place, sock, peer)

    async def _serve(
        self, service: Service, places: trio.CapacityLimiter, place: object, sock: socket.socket, peer: str
    ) -> None:
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
            places.release_on_behalf_of(place)

    async def _converse(self, service: Service, link: ClientLink, peer: str) -> None:
        driver = link.driver = Driver(
            service.connect(peer), link, self._upstreams, self._timers, self._settings.now, self._settings.on_error
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
