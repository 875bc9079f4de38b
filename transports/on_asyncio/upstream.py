"""Connections to providers: opened, kept, taken again."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.driver import Driver
from dragoman.transports.on_asyncio.links import Link
from dragoman.transports.pool import Pool
from dragoman.transports.proxies import Handshake, ProxyError, handshake_with
from dragoman.transports.services import Settings
from dragoman.transports.tls import explain, upstream_context

_HAPPY_EYEBALLS: Final = 0.25  # seconds, RFC 8305, section 5


class UpstreamLink(Link):
    """A connection to a provider.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's.
        driver: Whom it serves now; None while it is idle.
        attempt: The attempt it serves now.

    """

    def __init__(self, origin: Origin, upstreams: "AsyncioUpstreams") -> None:
        super().__init__()
        self.origin = origin
        self.idle_since = 0.0
        self.driver: Driver | None = None
        self.attempt = 0
        self._upstreams = upstreams

    def serve(self, driver: Driver, attempt: int) -> None:
        """Serve an attempt from now on."""
        self.driver, self.attempt = driver, attempt
        self._upstreams.serving.setdefault(driver, set()).add(self)

    def _leave(self) -> None:
        if self.driver is not None:
            links = self._upstreams.serving.get(self.driver)
            if links is not None:
                links.discard(self)
                if not links:
                    del self._upstreams.serving[self.driver]
            self.driver = None

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        driver = self.driver
        if driver is None:  # idle: it says something nobody asked
            self._upstreams.pool.drop(self)
            self.close()
            return
        self._upstreams.guard(driver, driver.upstream_sent, self.attempt, data)
        if driver.client.is_backed_up and self.driver is driver:
            self.pause_reading()

    def eof_received(self) -> bool:
        """It closed its side: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if not self.is_closed:
            self.is_closed = True
            driver = self.driver
            self._leave()
            self._upstreams.pool.count(self.origin, -1)
            if driver is None:
                self._upstreams.pool.drop(self)
            else:
                self._upstreams.guard(driver, driver.upstream_sent, self.attempt, b"")

    def release(self) -> None:
        """Keep the connection for others."""
        self._leave()
        if self.is_backed_up or (self.transport is not None and self.transport.get_write_buffer_size()):
            self.close()  # the answer came before the request was sent: the rest would meet the next one
        else:
            self.resume_reading()
            self._upstreams.pool.keep(self, self._upstreams.settings.now())

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self._leave()
            self._upstreams.pool.count(self.origin, -1)
            super().close()


class _Opening:
    """A connection being opened."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        """Nothing is written before it stands."""

    def release(self) -> None:
        """Nothing to keep yet."""
        self.close()

    def close(self) -> None:
        """Stop opening it."""
        if self.task is not None:
            self.task.cancel()


class AsyncioUpstreams:
    """Opens and keeps connections to providers.

    Args:
        settings: Limits and the clock.

    Attributes:
        settings: The same.
        pool: Idle connections.
        serving: Which connections serve whom.

    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool: Pool[UpstreamLink] = Pool(
            settings.upstream_idle, settings.upstream_connections, settings.upstream_idle_seconds
        )
        self.serving: dict[Driver, set[UpstreamLink]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, driver: Driver, attempt: int, origin: Origin, fresh: bool) -> UpstreamLink | _Opening | None:
        """Open a connection, or take an idle one; see `dragoman.transports.driver.Upstreams`."""
        link = None if fresh else self.pool.take(origin)
        if link is not None:
            link.serve(driver, attempt)
            driver.upstream_opened(attempt, link, True)
            return link
        if not self.pool.may_open(origin):
            failure = ConnectFailure(FailureKind.LIMIT, f"{self.settings.upstream_connections} connections are open")
            driver.upstream_failed(attempt, failure)
            return None
        self.pool.count(origin, 1)
        opening = _Opening()
        opening.task = asyncio.get_running_loop().create_task(self._connect(driver, attempt, origin))
        self._tasks.add(opening.task)
        opening.task.add_done_callback(self._tasks.discard)
        return opening

    def guard(self, driver: Driver, call: Callable[..., None], *args: object) -> None:
        """Call into the core; a fault of ours ends one connection, not all."""
        try:
            call(*args)
        except Exception as error:
            self.settings.on_error(error)
            driver.client.close()

    def client_caught_up(self, driver: Driver) -> None:
        """The client of `driver` reads again: so do we."""
        for link in list(self.serving.get(driver, ())):
            link.resume_reading()

    async def close(self) -> None:
        """Close everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.pool.close()

    async def _connect(self, driver: Driver, attempt: int, origin: Origin) -> None:
        try:
            link = await self._open(origin)
        except _OpenError as error:
            self.pool.count(origin, -1)
            self.guard(driver, driver.upstream_failed, attempt, error.failure)
        except BaseException:
            self.pool.count(origin, -1)
            raise
        else:
            link.serve(driver, attempt)
            self.guard(driver, driver.upstream_opened, attempt, link, False)

    async def _open(self, origin: Origin) -> UpstreamLink:
        """A connection to `origin`, through its proxy, TLS brought up."""
        loop = asyncio.get_running_loop()
        proxy = origin.proxy
        host, port, kind = origin.host, origin.port, FailureKind.REFUSED
        if proxy is not None:
            host, port, kind = proxy.host, proxy.port, FailureKind.PROXY
        sock = await _connect_tcp(host, port, kind)
        try:
            if proxy is not None:
                target = await _resolved(origin) if proxy.scheme == "socks5" else origin
                await _tunnel(sock, handshake_with(proxy, target))
            context = upstream_context(origin.ca_file) if origin.scheme == "https" else None
            _, link = await loop.create_connection(
                lambda: UpstreamLink(origin, self),
                sock=sock,
                ssl=context,
                server_hostname=origin.host if context is not None else None,
            )
        except ProxyError as error:
            sock.close()
            raise _OpenError(FailureKind.PROXY, str(error)) from None
        except (OSError, ValueError) as error:
            sock.close()
            if proxy is not None and origin.scheme != "https":
                raise _OpenError(FailureKind.PROXY, f"the proxy failed: {_reason(error)}") from None
            raise _OpenError(FailureKind.TLS, explain(error)) from None
        except BaseException:
            sock.close()
            raise
        return link


class _OpenError(Exception):
    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = ConnectFailure(kind, detail)


async def _connect_tcp(host: str, port: int, kind: FailureKind) -> socket.socket:
    """A connected socket; happy eyeballs by `asyncio`'s own connecting, of which only the socket is taken."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        what = FailureKind.UNRESOLVED if kind is FailureKind.REFUSED else kind
        raise _OpenError(what, f"the name {host} does not resolve: {error.strerror}") from None
    sock = await _race(found, f"{host}:{port}", kind)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


async def _race(found: Sequence[_Address], where: str, kind: FailureKind) -> socket.socket:
    """Connect to one of several addresses: each next one begins when the last failed, or is slow (RFC 8305)."""
    pending: set[asyncio.Task[socket.socket]] = set()
    error: Exception = OSError("no address")
    try:
        addresses = _interleaved(found)
        for address in addresses:
            pending.add(asyncio.create_task(_connect_one(address)))
            is_last = address is addresses[-1]
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=None if is_last else _HAPPY_EYEBALLS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if task.exception() is None:
                        return task.result()
                    failed = task.exception()
                    error = failed if isinstance(failed, Exception) else error
                if not is_last:
                    break
        raise _OpenError(kind, f"{where}: {_reason(error)}") from None
    finally:
        for task in pending:
            task.cancel()
        for result in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


def _interleaved(found: Sequence[_Address]) -> list[_Address]:
    """The families by turns, the first one's first."""
    first = [address for address in found if address[0] == found[0][0]]
    rest = [address for address in found if address[0] != found[0][0]]
    out: list[_Address] = []
    while first or rest:
        for family in (first, rest):
            if family:
                out.append(family.pop(0))
    return out


async def _connect_one(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolved(origin: Origin) -> Origin:
    """`origin` with an address for its host, for proxies that resolve nothing."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise _OpenError(FailureKind.UNRESOLVED, f"the name {origin.host} does not resolve: {error.strerror}") from None
    return Origin(origin.scheme, str(found[0][4][0]), origin.port)


async def _tunnel(sock: socket.socket, tunnel: Handshake) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, tunnel.start())
    while not tunnel.is_done:
        answer = tunnel.feed(await loop.sock_recv(sock, 4096))
        if answer:
            await loop.sock_sendall(sock, answer)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.lower()
