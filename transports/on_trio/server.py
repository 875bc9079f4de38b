"""The server: accepts clients, keeps the deadlines, stops in good order. Callbacks in between: no task for a connection."""

import math
import signal
import socket
from collections.abc import Callable, Sequence

import trio

from dragoman.core.effects import Step
from dragoman.transports.clients import Clients
from dragoman.transports.driver import Driver
from dragoman.transports.links import prepare
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_trio.network import TrioNetwork
from dragoman.transports.on_trio.readiness import readiness
from dragoman.transports.readiness import Readiness
from dragoman.transports.services import ACCEPTS, GLANCES, HANDSHAKE, LAST_WORDS, PAUSE, SCARCE, Service, Settings
from dragoman.transports.serving import WORKERS, Serving
from dragoman.transports.timers import Timers
from dragoman.transports.tls import TLSPipe
from dragoman.transports.upstreams import UpstreamLinks, shake_hands


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
        self._jobs: list[Driver] = []
        self._all_gone = trio.Event()
        self._stopped = trio.Event()
        self._aborted = trio.Event()
        self._nursery: trio.Nursery
        self._network: TrioNetwork
        self._readiness: Readiness
        self._upstreams: UpstreamLinks
        self._clients: Clients

    def stop(self) -> None:
        """Stop in good order; the second time, at once."""
        if self._stopped.is_set():
            self._aborted.set()
        self._stopped.set()

    async def run(self) -> None:
        """Serve; returns when everything is closed."""
        async with trio.open_nursery() as self._nursery:
            self._network = TrioNetwork(self._nursery)
            self._readiness = readiness(self._nursery, self._settings.on_error)
            self._upstreams = UpstreamLinks(self._network, self._readiness, self._settings)
            self._clients = Clients(
                self._upstreams, self._readiness, self._serving, self._timers, self._settings, self._all_gone.set
            )
            try:
                await self._serve()
            finally:
                for driver in [*self._clients.drivers, *self._jobs]:  # those that did not end by themselves
                    driver.client.close()
                    driver.closed()
                self._upstreams.pool.close()
                self._readiness.close()
                self._nursery.cancel_scope.cancel()

    async def _serve(self) -> None:
        self._nursery.start_soon(self._keep_time)
        self._nursery.start_soon(self._expire)
        self._jobs = [self._clients.begin_job(job) for job in self._settings.jobs]
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
        for job in self._jobs:
            job.drain()
        await self._end()
        for _ in range(GLANCES):
            if all(job.next_deadline() == math.inf for job in self._jobs):
                break
            await trio.sleep(LAST_WORDS / GLANCES)
        for job in self._jobs:
            job.abort()

    async def _end(self) -> None:
        """Let running exchanges end, then end those that have not."""
        self._clients.drain()
        with trio.move_on_after(self._settings.drain_seconds) as patience:
            self._nursery.start_soon(self._cancel_on_abort, patience)
            await self._until_all_gone()
        self._clients.abort()
        with trio.move_on_after(LAST_WORDS):
            await self._until_all_gone()

    async def _until_all_gone(self) -> None:
        if self._clients.drivers:
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
                self._take(service, places, sock, peer)

    def _take(self, service: Service, places: "Places", sock: socket.socket, peer: str) -> None:
        """Serve a client, to its end; a bug of ours ends one connection, not all."""
        try:
            prepare(sock)
            if service.tls is not None:
                self._nursery.start_soon(self._take_tls, service, places, sock, peer, TLSPipe(service.tls))
            else:
                self._clients.begin(service, sock, None, peer, places.give_back)
        except Exception as error:
            if not isinstance(error, OSError):  # else the client left already
                self._settings.on_error(error)
            sock.close()
            places.give_back()

    async def _take_tls(self, service: Service, places: "Places", sock: socket.socket, peer: str, tls: TLSPipe) -> None:
        begun = False
        try:
            with trio.fail_after(HANDSHAKE):
                await shake_hands(self._network, sock, tls)
            self._clients.begin(service, sock, tls, peer, places.give_back)
            begun = True
        except (OSError, trio.TooSlowError):
            pass  # the client left, or does not speak TLS
        except Exception as error:
            self._settings.on_error(error)
        finally:
            if not begun:
                sock.close()
                places.give_back()

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
