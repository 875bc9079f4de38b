"""The server: accepts clients, keeps the deadlines, stops in good order. Callbacks all the way: no task for a connection."""

import asyncio
import contextlib
import functools
import math
import signal
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dragoman.core.effects import Step
from dragoman.transports.clients import Clients
from dragoman.transports.links import prepare
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_asyncio.network import AsyncioNetwork
from dragoman.transports.on_asyncio.readiness import readiness
from dragoman.transports.readiness import Readiness
from dragoman.transports.services import ACCEPTS, GLANCES, HANDSHAKE, LAST_WORDS, PAUSE, SCARCE, Service, Settings
from dragoman.transports.serving import WORKERS, Serving
from dragoman.transports.timers import Timers
from dragoman.transports.tls import TLSPipe
from dragoman.transports.upstreams import UpstreamLinks, shake_hands


class Acceptor:
    """Takes the clients of a service, as many as it may have at a time; the others wait in the listen queue.

    Args:
        service: Whose.
        take: Receives an accepted socket, the peer's address, and what to call when the client is gone.

    """

    def __init__(self, service: Service, take: Callable[[socket.socket, str, Callable[[], None]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._service = service
        self._take = take
        self._free = service.limit
        self._is_accepting = False
        self._is_over = False

    def start(self) -> None:
        """Accept from now on, or again."""
        if not self._is_accepting and not self._is_over and self._free:
            self._is_accepting = True
            for listener in self._service.listeners:
                self._loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        """Accept no more, ever."""
        self._is_over = True
        self._pause()

    def _client_is_gone(self) -> None:
        self._free += 1
        self.start()

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._service.listeners:
                self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            if not self._is_accepting:  # no place is left, or another listener took the last one in this very turn
                return
            try:
                sock, address = listener.accept()
            except OSError as error:  # none is left, or it has left already
                if error.errno in SCARCE:
                    self._pause()
                    self._loop.call_later(PAUSE, self.start)
                return
            self._free -= 1
            if not self._free:
                self._pause()
            self._take(sock, address[0] if isinstance(address, tuple) else "unix", self._client_is_gone)


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
        self._workers = ThreadPoolExecutor(WORKERS, "dragoman-serve")  # no thread before there is work
        self._timers = Timers(self._hurry)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._aborted = asyncio.Event()
        self._all_gone = asyncio.Event()
        self._network = AsyncioNetwork()
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
        self._readiness = readiness(self._settings.on_error)
        self._upstreams = UpstreamLinks(self._network, self._readiness, self._settings)
        self._clients = Clients(
            self._upstreams, self._readiness, self._serving, self._timers, self._settings, self._all_gone.set
        )
        acceptors = [Acceptor(service, functools.partial(self._take, service)) for service in self._services]
        expiring = asyncio.create_task(self._expire())
        self._tasks.add(expiring)
        jobs = [self._clients.begin_job(job) for job in self._settings.jobs]
        try:
            for acceptor in acceptors:
                acceptor.start()
            self._settings.on_ready()
            await self._stopped.wait()
        finally:
            for acceptor in acceptors:
                acceptor.stop()
            for service in self._services:
                for listener in service.listeners:
                    close_listener(listener)
        for job in jobs:
            job.drain()
        await self._end()
        for _ in range(GLANCES):
            if all(job.next_deadline() == math.inf for job in jobs):
                break
            await asyncio.sleep(LAST_WORDS / GLANCES)
        for job in jobs:
            job.abort()
            job.closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._network.close()
        self._upstreams.pool.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()
        self._readiness.close()

    async def _end(self) -> None:
        """Let running exchanges end, then end those that have not."""
        self._clients.drain()
        aborted = asyncio.create_task(self._aborted.wait())
        try:
            await self._until_all_gone(self._settings.drain_seconds, aborted)
        finally:
            aborted.cancel()
        self._clients.abort()
        await self._until_all_gone(LAST_WORDS)
        for driver in list(self._clients.drivers):
            driver.client.close()
        await self._until_all_gone(LAST_WORDS)

    async def _until_all_gone(self, seconds: float, *or_until: "asyncio.Task[Any]") -> None:
        if self._clients.drivers:
            gone = asyncio.create_task(self._all_gone.wait())
            try:
                await asyncio.wait({gone, *or_until}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()

    def _take(self, service: Service, sock: socket.socket, peer: str, on_gone: Callable[[], None]) -> None:
        """Serve a client, to its end; a bug of ours ends one connection, not all."""
        try:
            prepare(sock)
            if service.tls is not None:
                bringing = self._take_tls(service, sock, peer, TLSPipe(service.tls), on_gone)
                task = asyncio.get_running_loop().create_task(bringing)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._clients.begin(service, sock, None, peer, on_gone)
        except Exception as error:
            if not isinstance(error, OSError):  # else the client left already
                self._settings.on_error(error)
            sock.close()
            on_gone()

    async def _take_tls(
        self, service: Service, sock: socket.socket, peer: str, tls: TLSPipe, on_gone: Callable[[], None]
    ) -> None:
        begun = False
        try:
            async with asyncio.timeout(HANDSHAKE):
                await shake_hands(self._network, sock, tls)
            self._clients.begin(service, sock, tls, peer, on_gone)
            begun = True
        except OSError:
            pass  # the client left, does not speak TLS, or takes too long for it
        except Exception as error:
            self._settings.on_error(error)
        finally:
            if not begun:
                sock.close()
                on_gone()

    def _in_thread(self, work: Callable[[], Step | Exception], done: Callable[[Step | Exception], None]) -> None:
        def returned(future: "asyncio.Future[Step | Exception]") -> None:
            if not future.cancelled():
                done(future.result())

        asyncio.get_running_loop().run_in_executor(self._workers, work).add_done_callback(returned)

    def _hurry(self, at: float) -> None:
        """There is an earlier deadline than the one being waited for."""
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, at - self._settings.now())
        self._timer = asyncio.get_running_loop().call_later(wait, self._handle_timers)

    def _handle_timers(self) -> None:
        for watched in self._timers.due(self._settings.now()):
            watched.handle_timer()
        at = self._timers.next_instant()
        if at < math.inf:
            self._hurry(at)

    async def _expire(self) -> None:
        """Close idle upstream connections in time."""
        while True:
            await asyncio.sleep(min(1.0, max(0.01, self._settings.upstream_idle_seconds)))
            self._upstreams.pool.expire(self._settings.now())


def run(services: Sequence[Service], settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM: then stop accepting, let exchanges end, close. A second signal ends them at once.

    On uvloop where it is installed.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop  # Windows' other one has no readers
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_run(services, settings))


async def _run(services: Sequence[Service], settings: Settings) -> None:
    server = Server(services, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
