"""Connections to providers: opened, kept, taken again.

Each open connection has one task that reads it for as long as it lives, whichever exchange it serves: a request costs no spawn.
"""

import socket
from typing import Final

import trio

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.driver import Driver
from dragoman.transports.on_trio.links import READ_SIZE, Link, handshake
from dragoman.transports.pool import Pool
from dragoman.transports.proxies import ProxyError, handshake_with
from dragoman.transports.services import Settings
from dragoman.transports.tls import explain, upstream_context

_HAPPY_EYEBALLS: Final = 0.25  # seconds, RFC 8305, section 5


class UpstreamLink(Link):
    """An open connection to a provider.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's.
        driver: Whom it serves now; None while it is idle.
        attempt: The attempt it serves now.

    """

    def __init__(self, sock: socket.socket, nursery: trio.Nursery, origin: Origin, upstreams: "TrioUpstreams") -> None:
        super().__init__(sock, nursery)
        self.origin = origin
        self.idle_since = 0.0
        self.driver: Driver | None = None
        self.attempt = 0
        self._upstreams = upstreams

    def release(self) -> None:
        """Keep the connection for others."""
        self.driver = None
        if self.is_backed_up:  # the answer came before the request was sent: the rest would meet the next one
            self.close()
        else:
            self._upstreams.keep(self)

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self.driver = None
            self._upstreams.pool.count(self.origin, -1)
            super().close()

    async def read(self) -> None:
        """Read for as long as it lives, and tell whom it serves."""
        try:
            while True:
                if not self.has_more:
                    await trio.lowlevel.wait_readable(self.sock)
                data = self.receive()
                if data is None:
                    continue
                driver = self.driver
                if driver is None:  # idle: it was closed, or says something nobody asked
                    self._upstreams.pool.drop(self)
                    break
                driver.upstream_sent(self.attempt, data)
                if not data:
                    break
                if self.driver is driver:
                    if driver.client.is_backed_up:
                        await driver.client.drained()  # type: ignore[attr-defined]  # a trio Link
                elif self.is_closed:
                    break
        except (trio.ClosedResourceError, OSError):
            pass
        except Exception as error:  # a fault of ours must end one connection, not all
            self._upstreams.settings.on_error(error)
            if self.driver is not None:
                self.driver.client.close()
        finally:
            self.close()


class _Opening:
    """A connection being opened."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()

    def write(self, data: bytes) -> None:
        """Nothing is written before it stands."""

    def release(self) -> None:
        """Nothing to keep yet."""
        self.close()

    def close(self) -> None:
        """Stop opening it."""
        self.scope.cancel()


class TrioUpstreams:
    """Opens and keeps connections to providers.

    Args:
        nursery: Where their tasks live.
        settings: Limits and the clock.

    Attributes:
        settings: The same.
        pool: Idle connections.

    """

    def __init__(self, nursery: trio.Nursery, settings: Settings) -> None:
        self._nursery = nursery
        self.settings = settings
        self.pool: Pool[UpstreamLink] = Pool(
            settings.upstream_idle, settings.upstream_connections, settings.upstream_idle_seconds
        )

    def open(self, driver: Driver, attempt: int, origin: Origin, fresh: bool) -> UpstreamLink | _Opening | None:
        """Open a connection, or take an idle one; see `dragoman.transports.driver.Upstreams`."""
        link = None if fresh else self.pool.take(origin)
        if link is not None:
            link.driver, link.attempt = driver, attempt
            driver.upstream_opened(attempt, link, True)
            return link
        if not self.pool.may_open(origin):
            failure = ConnectFailure(FailureKind.LIMIT, f"{self.settings.upstream_connections} connections are open")
            driver.upstream_failed(attempt, failure)
            return None
        self.pool.count(origin, 1)
        opening = _Opening()
        self._nursery.start_soon(self._connect, opening, driver, attempt, origin)
        return opening

    def keep(self, link: UpstreamLink) -> None:
        """Keep a connection that is not in use."""
        self.pool.keep(link, self.settings.now())

    async def _connect(self, opening: _Opening, driver: Driver, attempt: int, origin: Origin) -> None:
        link: UpstreamLink | None = None
        failure: ConnectFailure | None = None
        with opening.scope:
            try:
                sock = await _open(origin)
                link = UpstreamLink(sock, self._nursery, origin, self)
            except _OpenError as error:
                failure = error.failure
        if link is None:
            self.pool.count(origin, -1)
            if failure is not None:
                driver.upstream_failed(attempt, failure)
            return
        link.driver, link.attempt = driver, attempt
        driver.upstream_opened(attempt, link, False)
        await link.read()


class _OpenError(Exception):
    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = ConnectFailure(kind, detail)


async def _open(origin: Origin) -> socket.socket:
    """A socket to `origin`, through its proxy, TLS brought up."""
    proxy = origin.proxy
    if proxy is None:
        sock = await _connect_tcp(origin.host, origin.port, FailureKind.REFUSED)
    else:
        sock = await _connect_tcp(proxy.host, proxy.port, FailureKind.PROXY)
    try:
        if proxy is not None:
            target = origin
            if proxy.scheme == "socks5":
                target = await _resolved(origin)
            tunnel = handshake_with(proxy, target)
            await _send(sock, tunnel.start())
            while not tunnel.is_done:
                await _send(sock, tunnel.feed(await _receive(sock)))
        if origin.scheme == "https":
            wrapped = upstream_context(origin.ca_file).wrap_socket(
                sock, server_hostname=origin.host, do_handshake_on_connect=False
            )
            sock = wrapped
            await handshake(wrapped)
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
    return sock


async def _connect_tcp(host: str, port: int, kind: FailureKind) -> socket.socket:
    try:
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=_HAPPY_EYEBALLS)
    except socket.gaierror as error:
        what = FailureKind.UNRESOLVED if kind is FailureKind.REFUSED else kind
        raise _OpenError(what, f"the name {host} does not resolve: {error.strerror}") from None
    except OSError as error:
        raise _OpenError(kind, f"{host}:{port}: {_reason(error)}") from None
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _resolved(origin: Origin) -> Origin:
    """`origin` with an address for its host, for proxies that resolve nothing."""
    try:
        found = await trio.socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise _OpenError(FailureKind.UNRESOLVED, f"the name {origin.host} does not resolve: {error.strerror}") from None
    return Origin(origin.scheme, str(found[0][4][0]), origin.port)


async def _send(sock: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


async def _receive(sock: socket.socket) -> bytes:
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv(READ_SIZE)
        except BlockingIOError:
            continue


def _reason(error: Exception) -> str:
    """Why, without the noise: several addresses that all refused are one refusal."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    text = cause if isinstance(cause, OSError) and cause.strerror else error
    return (text.strerror if isinstance(text, OSError) and text.strerror else str(text)).lower()
