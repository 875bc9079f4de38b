"""The server: accepts clients, keeps the deadlines, stops in good order. Callbacks all the way: no task for a connection."""

import asyncio
import contextlib
import errno
import math
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Final

from dragoman.transports.driver import Driver
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_asyncio.links import DROP_LIMIT, Link
from dragoman.transports.on_asyncio.upstream import AsyncioUpstreams
from dragoman.transports.services import Service, Settings
from dragoman.transports.timers import Timers

_LAST_WORDS: Final = 2.0  # seconds for what was said at the very end to reach the clients
_HANDSHAKE: Final = 10.0  # seconds a client may take to bring up TLS
_PAUSE: Final = 0.1  # seconds, when the system has no sockets left
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ClientLink(Link):
    """A client's connection."""

    def __init__(self, server: "Server", service: Service, peer: str, on_gone: Callable[[], None]) -> None:
        super().__init__()
        self._server = server
        self._service = service
        self._peer = peer
        self._on_gone = on_gone
        self._driver: Driver | None = None
        self._dropped = 0
        self._is_finishing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        super().connection_made(transport)
        try:
            self._driver = self._server.begin(self._service.connect(self._peer), self)
        except Exception as error:
            self._server.settings.on_error(error)
            self.close()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        driver = self._driver
        if driver is None:
            return
        if self._is_finishing:
            self._dropped += len(data)
            if self._dropped > DROP_LIMIT:
                self.close()
            return
        self._server.upstreams.guard(driver, driver.client_sent, data)
        if not driver.is_reading or self.is_backed_up:
            self.pause_reading()

    def eof_received(self) -> bool:
        """The client closed its side: whatever is done for it ends."""
        if self._driver is not None:
            self._server.upstreams.guard(self._driver, self._driver.client_sent, b"")
        return not self._is_finishing  # what is owed may still be sent; `finish` closes

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.is_closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            if not self._is_finishing:
                self._server.upstreams.guard(driver, driver.client_sent, b"")
            self._server.end(driver)
        self._on_gone()

    def resume_writing(self) -> None:
        """The client reads again: so may the upstream."""
        super().resume_writing()
        if self._driver is not None:
            self._server.upstreams.client_caught_up(self._driver)
            if self._driver.is_reading:
                self.resume_reading()

    def finish(self) -> None:
        """Send what is kept, shut down writing, read and drop until the client closes or `close` is called."""
        self._is_finishing = True
        self.resume_reading()
        if self.transport is None or self.is_closed:
            return
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
            if self._driver is not None:
                self._driver.sent_all()
        else:  # TLS has no half-closing in asyncio
            self.transport.close()

    def wake(self) -> None:
        """Reading is wanted again."""
        if self._is_paused and not self.is_backed_up:
            self.resume_reading()


class Server:
    """Serves until it is told to stop.

    Args:
        services: What is served.
        settings: The clock and limits.

    """

    def __init__(self, services: Sequence[Service], settings: Settings) -> None:
        self._services = services
        self.settings = settings
        self.upstreams = AsyncioUpstreams(settings)
        self._timers = Timers(self._hurry)
        self._timer: asyncio.TimerHandle | None = None
        self._drivers: set[Driver] = set()
        self._takes: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()
        self._is_ending = False
        self._stops = 0
        self._stopped = asyncio.Event()
        self._aborted = asyncio.Event()

    def stop(self) -> None:
        """Stop in good order; the second time, at once."""
        self._stops += 1
        self._stopped.set()
        if self._stops > 1:
            self._aborted.set()

    async def run(self) -> None:
        """Serve; returns when everything is closed."""
        tasks = []
        for service in self._services:
            places = asyncio.Semaphore(service.limit)
            tasks += [asyncio.create_task(self._accept(service, places, one)) for one in service.listeners]
        tasks.append(asyncio.create_task(self._expire()))
        try:
            self.settings.on_ready()
            await self._stopped.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for service in self._services:
                for listener in service.listeners:
                    close_listener(listener)
        await self._end()
        await self.upstreams.close()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next turn

    async def _end(self) -> None:
        """Let running exchanges end, then end those that have not."""
        self._is_ending = True
        for driver in list(self._drivers):
            driver.drain()
        if self._drivers:
            gone = asyncio.create_task(self._all_gone.wait())
            aborted = asyncio.create_task(self._aborted.wait())
            await asyncio.wait(
                {gone, aborted}, timeout=self.settings.drain_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (gone, aborted):
                task.cancel()
            await asyncio.gather(gone, aborted, return_exceptions=True)
        for driver in list(self._drivers):
            driver.abort()
        if self._drivers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), _LAST_WORDS)
        for driver in list(self._drivers):
            driver.client.close()

    async def _accept(self, service: Service, places: asyncio.Semaphore, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await places.acquire()
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError as error:
                places.release()
                if error.errno in _SCARCE:
                    await asyncio.sleep(_PAUSE)
                continue
            except BaseException:
                places.release()
                raise
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = address[0] if isinstance(address, tuple) else "unix"
            task = asyncio.create_task(self._take(service, places, sock, peer))
            self._takes.add(task)
            task.add_done_callback(self._takes.discard)

    async def _take(self, service: Service, places: asyncio.Semaphore, sock: socket.socket, peer: str) -> None:
        """Hand an accepted socket to the loop; TLS may fail, the client may have gone."""
        link = ClientLink(self, service, peer, places.release)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: link,
                sock,
                ssl=service.tls,
                ssl_handshake_timeout=_HANDSHAKE if service.tls is not None else None,
            )
        except OSError:
            sock.close()
            if link.transport is None:
                places.release()

    def begin(self, connection: object, link: ClientLink) -> Driver:
        """A client connection stands."""
        driver = Driver(connection, link, self.upstreams, self._timers, self.settings.now)  # type: ignore[arg-type]
        self._drivers.add(driver)
        driver.start()
        if self._is_ending:
            driver.drain()
        return driver

    def end(self, driver: Driver) -> None:
        """A client connection is gone."""
        driver.closed()
        self._drivers.discard(driver)
        if self._is_ending and not self._drivers:
            self._all_gone.set()

    def _hurry(self, at: float) -> None:
        """An earlier deadline than the one being waited for."""
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, at - self.settings.now())
        self._timer = asyncio.get_running_loop().call_later(wait, self._handle_timers)

    def _handle_timers(self) -> None:
        self._timer = None
        for driver in self._timers.due(self.settings.now()):
            assert isinstance(driver, Driver)  # nothing else is watched
            self.upstreams.guard(driver, driver.handle_timer)
            self._timers.watch(driver)
        at = self._timers.next_instant()
        if at < math.inf:
            self._hurry(at)

    async def _expire(self) -> None:
        """Close idle upstream connections in time."""
        while True:
            await asyncio.sleep(min(1.0, self.settings.upstream_idle_seconds))
            self.upstreams.pool.expire(self.settings.now())


def run(services: Sequence[Service], settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM: then stop accepting, let exchanges end, close. A second signal ends them at once.

    On uvloop where it is installed.
    """
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
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
