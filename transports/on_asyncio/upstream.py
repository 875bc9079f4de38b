"""Connections to providers: opened, kept, taken again."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.driver import Driver, Opening
from dragoman.transports.failures import OpenError, reason, unresolved
from dragoman.transports.on_asyncio.links import Link
from dragoman.transports.pool import Pool
from dragoman.transports.proxies import ProxyError, handshake_with
from dragoman.transports.services import HAPPY_EYEBALLS, Settings
from dragoman.transports.tls import explain, upstream_context


class UpstreamLink(Link):
    """A connection to a provider.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's.
        is_open: It stands.

    """

    def __init__(self, origin: Origin, upstreams: "AsyncioUpstreams") -> None:
        super().__init__()
        self.origin = origin
        self.idle_since = 0.0
        self.is_open = True
        self._upstreams = upstreams
        self._driver: Driver | None = None
        self._attempt = 0

    def serve(self, driver: Driver, attempt: int) -> None:
        """Serve an attempt from now on."""
        self._driver, self._attempt = driver, attempt
        self.wake()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        driver = self._driver
        if driver is None:  # idle: it says something nobody asked
            self.close()
            return
        driver.upstream_sent(self._attempt, data)
        if self._driver is driver and driver.client.is_backed_up:
            self.pause_reading()

    def eof_received(self) -> bool:
        """It closed its side: so do we."""
        self._lose()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._lose()

    def resume_writing(self) -> None:
        """The provider takes more."""
        self.is_backed_up = False
        if self._driver is not None:
            self._driver.upstream_caught_up()

    def release(self) -> None:
        """Keep the connection for others."""
        self._driver = None
        if self.unsent:  # the answer came before the request was sent: the rest would meet the next one
            self.close()
        elif not self.is_closed:
            self.wake()
            self._upstreams.keep(self)

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self._driver = None
            super().close()
            self._upstreams.pool.ended(self.origin, self)

    def _lose(self) -> None:
        driver = self._driver
        self.close()
        if driver is not None:
            driver.upstream_sent(self._attempt, b"")


class AsyncioUpstreams:
    """Opens and keeps connections to providers.

    Args:
        settings: Limits and the clock.

    Attributes:
        pool: Idle connections.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.pool: Pool[UpstreamLink] = Pool(
            settings.upstream_idle, settings.upstream_connections, settings.upstream_idle_seconds
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def open(
        self, driver: Driver, attempt: int, origin: Origin, fresh: bool
    ) -> UpstreamLink | Opening | ConnectFailure:
        """Take an idle connection, or begin to open one; see `dragoman.transports.driver.Upstreams`."""
        link = None if fresh else self.pool.take(origin)
        if link is not None:
            link.serve(driver, attempt)
            return link
        failure = self.pool.begin(origin)
        if failure is not None:
            return failure
        task = asyncio.get_running_loop().create_task(self._connect(driver, attempt, origin))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it begins runs nothing, not even a `finally`: so the count is given back here.
        task.add_done_callback(lambda done: self.pool.ended(origin) if done.cancelled() else None)
        return Opening(task.cancel)

    def keep(self, link: UpstreamLink) -> None:
        """Keep a connection that is not in use."""
        self.pool.keep(link, self._settings.now())

    async def close(self) -> None:
        """Close everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.pool.close()

    async def _connect(self, driver: Driver, attempt: int, origin: Origin) -> None:
        try:
            link = await _open(origin, self)
        except Exception as error:
            self.pool.ended(origin)
            if not isinstance(error, OpenError):  # a bug of ours, or a library's, ends one attempt, not all
                self._settings.on_error(error)
                error = OpenError(FailureKind.REFUSED, f"it could not be opened: {type(error).__name__}")
            driver.upstream_failed(attempt, error.failure)
        else:
            link.serve(driver, attempt)
            driver.upstream_opened(attempt, link)


async def _open(origin: Origin, upstreams: AsyncioUpstreams) -> UpstreamLink:
    """A connection to `origin`, through its proxy, and TLS on it where that is wanted, brought up."""
    context = _context_for(origin)
    proxy = origin.proxy
    if proxy is None:
        sock = await _connect_tcp(origin.host, origin.port, FailureKind.REFUSED)
    else:
        sock = await _connect_tcp(proxy.host, proxy.port, FailureKind.PROXY)
    try:
        if proxy is not None:
            await _tunnel(sock, origin)
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: UpstreamLink(origin, upstreams),
            sock=sock,
            ssl=context,
            server_hostname=origin.host if context is not None else None,
        )
    except (OSError, ValueError) as error:  # a host name that no certificate can have is a ValueError
        sock.close()
        raise OpenError(FailureKind.TLS, explain(error)) from None
    except BaseException:
        sock.close()
        raise
    return link


def _context_for(origin: Origin) -> ssl.SSLContext | None:
    if origin.scheme != "https":
        return None
    try:
        return upstream_context(origin.ca_file)
    except OSError as error:
        raise OpenError(FailureKind.TLS, explain(error)) from None


async def _tunnel(sock: socket.socket, origin: Origin) -> None:
    assert origin.proxy is not None  # the caller looked
    loop = asyncio.get_running_loop()
    try:
        tunnel = handshake_with(origin.proxy, await _resolved(origin) if origin.proxy.scheme == "socks5" else origin)
        await loop.sock_sendall(sock, tunnel.start())
        while not tunnel.is_done:
            answer = tunnel.feed(await loop.sock_recv(sock, 4096))
            if answer:
                await loop.sock_sendall(sock, answer)
    except ProxyError as error:
        raise OpenError(FailureKind.PROXY, str(error)) from None
    except OSError as error:
        raise OpenError(FailureKind.PROXY, f"the proxy failed: {reason(error)}") from None


async def _connect_tcp(host: str, port: int, kind: FailureKind) -> socket.socket:
    """A connected socket; asyncio's own connecting keeps its sockets to itself, and a tunnel needs one."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(host, error, FailureKind.UNRESOLVED if kind is FailureKind.REFUSED else kind) from None
    sock = await _race(found, f"{host}:{port}", kind)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


async def _race(found: Sequence[_Address], where: str, kind: FailureKind) -> socket.socket:
    """Connect to one of several addresses: each next one begins when one failed, or all are slow (RFC 8305)."""
    addresses = _interleaved(found)
    tries: list[asyncio.Task[socket.socket]] = []
    pending: set[asyncio.Task[socket.socket]] = set()
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (addresses or pending):
            if addresses:
                tries.append(asyncio.create_task(_connect_one(addresses.pop(0))))
                pending.add(tries[-1])
            done, pending = await asyncio.wait(
                pending, timeout=HAPPY_EYEBALLS if addresses else None, return_when=asyncio.FIRST_COMPLETED
            )
            winner = next((one for one in done if one.exception() is None), None)
    finally:
        for one in pending:
            one.cancel()
        try:
            await asyncio.gather(*tries, return_exceptions=True)
        except asyncio.CancelledError:
            winner = None  # nobody is left to take its socket
            raise
        finally:
            for one in tries:
                if one is not winner and one.done() and not one.cancelled() and one.exception() is None:
                    one.result().close()
    if winner is None:
        raise OpenError(kind, f"{where}: {reason(tries[-1].exception() or OSError('no address'))}")
    return winner.result()


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
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(origin.host, error) from None
    return Origin(origin.scheme, str(found[0][4][0]), origin.port)
