"""The server: accepts clients, gives each a task, keeps the deadlines, stops in good order."""

import contextlib
import errno
import math
import signal
import socket
from collections.abc import Sequence
from typing import Final

import trio

from dragoman.transports.driver import Driver
from dragoman.transports.listeners import close_listener
from dragoman.transports.on_trio.links import DROP_LIMIT, Link, handshake
from dragoman.transports.on_trio.upstream import TrioUpstreams
from dragoman.transports.services import Service, Settings
from dragoman.transports.timers import Timers

_LAST_WORDS: Final = 2.0  # seconds for what was said at the very end to reach the clients
_HANDSHAKE: Final = 10.0  # seconds a client may take to bring up TLS
_PAUSE: Final = 0.1  # seconds, when the system has no sockets left
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ClientLink(Link):
    """A client's socket."""

    def __init__(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        super().__init__(sock, nursery)
        self.driver: Driver | None = None
        self._resumed: trio.Event | None = None
        self._dropped = 0

    def finish(self) -> None:
        """Send what is kept, shut down writing, read and drop until the client closes or `close` is called."""
        self._is_finishing = True
        self.wake()
        if not self.is_backed_up:
            self.flushed()

    def flushed(self) -> None:
        """All is sent: if this was the last, the client has a little time to read it."""
        if self._is_finishing and not self.is_closed:
            self.shut_down()
            if self.driver is not None:
                self.driver.sent_all()

    def wake(self) -> None:
        """Reading is wanted again."""
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    def close(self) -> None:
        """Close at once."""
        super().close()
        self.wake()

    async def read(self, driver: Driver) -> None:
        """Read until the client is gone, and tell the driver."""
        while not self.is_closed:
            if not driver.is_reading:
                self._resumed = trio.Event()
                await self._resumed.wait()
                continue
            if not self.has_more:
                await trio.lowlevel.wait_readable(self.sock)
            data = self.receive()
            if data is None:
                continue
            if self._is_finishing:
                self._dropped += len(data)
                if not data or self._dropped > DROP_LIMIT:
                    break
                continue
            driver.client_sent(data)
            if not data:
                break
            if self.is_backed_up:
                await self.drained()


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
        self._stops = 0
        self._stopped = trio.Event()
        self._aborted = trio.Event()

    def stop(self) -> None:
        """Stop in good order; the second time, at once."""
        self._stops += 1
        self._stopped.set()
        if self._stops > 1:
            self._aborted.set()

    async def run(self) -> None:
        """Serve; returns when everything is closed."""
        async with trio.open_nursery() as nursery:
            upstreams = TrioUpstreams(nursery, self._settings)
            with trio.CancelScope() as accepting:
                async with trio.open_nursery() as acceptors:
                    for service in self._services:
                        places = trio.CapacityLimiter(service.limit)
                        for listener in service.listeners:
                            acceptors.start_soon(self._accept, service, places, listener, nursery, upstreams)
                    nursery.start_soon(self._keep_time)
                    nursery.start_soon(self._expire, upstreams)
                    self._settings.on_ready()
                    await self._stopped.wait()
                    accepting.cancel()
            for service in self._services:
                for listener in service.listeners:
                    close_listener(listener)
            await self._end()
            upstreams.pool.close()
            nursery.cancel_scope.cancel()

    async def _end(self) -> None:
        """Let running exchanges end, then end those that have not."""
        self._all_gone = trio.Event()
        for driver in list(self._drivers):
            driver.drain()
        if self._drivers:
            with trio.move_on_after(self._settings.drain_seconds):
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(self._until_aborted, waiting.cancel_scope)
                    await self._all_gone.wait()
                    waiting.cancel_scope.cancel()
        for driver in list(self._drivers):
            driver.abort()
        if self._drivers:
            with trio.move_on_after(_LAST_WORDS):
                await self._all_gone.wait()

    async def _until_aborted(self, scope: trio.CancelScope) -> None:
        await self._aborted.wait()
        scope.cancel()

    async def _accept(
        self,
        service: Service,
        places: trio.CapacityLimiter,
        listener: socket.socket,
        nursery: trio.Nursery,
        upstreams: TrioUpstreams,
    ) -> None:
        while True:
            if places.available_tokens <= 0:  # full: the rest wait in the listen queue
                await places.acquire_on_behalf_of(listener)
                places.release_on_behalf_of(listener)
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _SCARCE:
                    await trio.sleep(_PAUSE)
                continue
            with contextlib.suppress(trio.WouldBlock):
                places.acquire_on_behalf_of_nowait(sock)
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = address[0] if isinstance(address, tuple) else "unix"
            nursery.start_soon(self._serve, service, places, sock, peer, nursery, upstreams)

    async def _serve(
        self,
        service: Service,
        places: trio.CapacityLimiter,
        sock: socket.socket,
        peer: str,
        nursery: trio.Nursery,
        upstreams: TrioUpstreams,
    ) -> None:
        """One client connection, to its end."""
        place = sock
        link: ClientLink | None = None
        driver: Driver | None = None
        try:
            if service.tls is not None:
                sock = service.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                with trio.move_on_after(_HANDSHAKE) as scope:
                    await handshake(sock)
                if scope.cancelled_caught:
                    return
            link = ClientLink(sock, nursery)
            driver = link.driver = Driver(service.connect(peer), link, upstreams, self._timers, self._settings.now)
            self._drivers.add(driver)
            driver.start()
            if self._all_gone is not None:
                driver.drain()
            await link.read(driver)
        except (OSError, trio.ClosedResourceError):
            pass
        except Exception as error:  # a fault of ours must end one connection, not all
            self._settings.on_error(error)
        finally:
            if driver is not None:
                driver.closed()
                self._drivers.discard(driver)
            if link is not None:
                link.close()
            else:
                sock.close()
            with contextlib.suppress(RuntimeError):
                places.release_on_behalf_of(place)
            if self._all_gone is not None and not self._drivers:
                self._all_gone.set()

    def _hurry(self, at: float) -> None:
        """An earlier deadline than the one being waited for."""
        self._timer_scope.deadline = trio.current_time() + max(0.0, at - self._settings.now())

    async def _keep_time(self) -> None:
        while True:
            at = self._timers.next_instant()
            wait = max(0.0, at - self._settings.now())
            with trio.CancelScope(deadline=trio.current_time() + wait if at < math.inf else math.inf) as scope:
                self._timer_scope = scope
                await trio.sleep_forever()
            for driver in self._timers.due(self._settings.now()):
                assert isinstance(driver, Driver)  # nothing else is watched
                try:
                    driver.handle_timer()
                except Exception as error:
                    self._settings.on_error(error)
                    driver.client.close()
                else:
                    self._timers.watch(driver)

    async def _expire(self, upstreams: TrioUpstreams) -> None:
        """Close idle upstream connections in time."""
        while True:
            await trio.sleep(min(1.0, self._settings.upstream_idle_seconds))
            upstreams.pool.expire(self._settings.now())


def run(services: Sequence[Service], settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM: then stop accepting, let exchanges end, close. A second signal ends them at once."""
    trio.run(_run, services, settings)


async def _run(services: Sequence[Service], settings: Settings) -> None:
    server = Server(services, settings)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for _ in signals:
                    server.stop()

            nursery.start_soon(listen)
            await server.run()
            nursery.cancel_scope.cancel()
