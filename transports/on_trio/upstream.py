"""Connections to providers: opened, kept, taken again.

Opening one takes a task; reading it takes none, whichever exchange it serves.
"""

import socket

import trio

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.driver import Driver, Opening
from dragoman.transports.failures import OpenError, reason, unresolved
from dragoman.transports.on_trio.links import Link, receive_some, send_all, shake_hands
from dragoman.transports.on_trio.readiness import Readiness
from dragoman.transports.pool import Pool
from dragoman.transports.proxies import ProxyError, handshake_with
from dragoman.transports.services import HAPPY_EYEBALLS, Settings
from dragoman.transports.tls import TLSPipe, explain, upstream_context


class UpstreamLink(Link):
    """An open connection to a provider.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's.
        is_open: It stands.

    """

    def __init__(self, sock: socket.socket, tls: TLSPipe | None, origin: Origin, upstreams: "TrioUpstreams") -> None:
        super().__init__(sock, tls, upstreams.nursery, upstreams.readiness)
        self.origin = origin
        self.idle_since = 0.0
        self.is_open = True
        self._upstreams = upstreams
        self._driver: Driver | None = None
        self._attempt = 0

    def serve(self, driver: Driver, attempt: int) -> None:
        """Serve an attempt from now on."""
        self._driver, self._attempt = driver, attempt

    def release(self) -> None:
        """Keep the connection for others."""
        self._driver = None
        if self.is_backed_up:  # the answer came before the request was sent: the rest would meet the next one
            self.close()
        elif not self.is_closed:
            self.wake()  # if it waited for the client to catch up: its end is to be noticed
            self._upstreams.keep(self)

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self._driver = None
            super().close()
            self._upstreams.pool.ended(self.origin, self)

    def caught_up(self) -> None:
        """The provider takes more."""
        if self._driver is not None:
            self._driver.upstream_caught_up()

    @property
    def wants(self) -> bool:
        """Whether the client takes what arrives."""
        return self._driver is None or not self._driver.client.is_backed_up

    def received(self, data: bytes) -> None:
        """Tell whom it serves."""
        if self._driver is not None:
            self._driver.upstream_sent(self._attempt, data)
            if data:
                return
        self.close()  # or it was idle, and says something nobody asked


class TrioUpstreams:
    """Opens and keeps connections to providers.

    Args:
        nursery: Where their tasks live.
        readiness: Says when there is something to read.
        settings: Limits and the clock.

    Attributes:
        nursery: The same.
        readiness: The same.
        pool: Idle connections.

    """

    def __init__(self, nursery: trio.Nursery, readiness: Readiness, settings: Settings) -> None:
        self.nursery = nursery
        self.readiness = readiness
        self._settings = settings
        self.pool: Pool[UpstreamLink] = Pool(
            settings.upstream_idle, settings.upstream_connections, settings.upstream_idle_seconds
        )

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
        scope = trio.CancelScope()
        self.nursery.start_soon(self._connect, scope, driver, attempt, origin)
        return Opening(scope.cancel)

    def keep(self, link: UpstreamLink) -> None:
        """Keep a connection that is not in use."""
        self.pool.keep(link, self._settings.now())

    async def _connect(self, scope: trio.CancelScope, driver: Driver, attempt: int, origin: Origin) -> None:
        link: UpstreamLink | None = None
        failure: ConnectFailure | None = None
        try:
            with scope:
                link = UpstreamLink(*await _open(origin), origin, self)
        except OpenError as error:
            failure = error.failure
        except Exception as error:  # a bug of ours, or a library's, ends one attempt, not all
            self._settings.on_error(error)
            failure = ConnectFailure(FailureKind.REFUSED, f"it could not be opened: {type(error).__name__}")
        finally:
            if link is None:
                self.pool.ended(origin)
        if link is not None:
            link.serve(driver, attempt)
            driver.upstream_opened(attempt, link)
            link.wake()
        elif failure is not None:
            driver.upstream_failed(attempt, failure)


async def _open(origin: Origin) -> tuple[socket.socket, TLSPipe | None]:
    """A socket to `origin`, through its proxy, and TLS on it where that is wanted, brought up."""
    tls = _tls_for(origin)
    proxy = origin.proxy
    if proxy is None:
        sock = await _connect_tcp(origin.host, origin.port, FailureKind.REFUSED)
    else:
        sock = await _connect_tcp(proxy.host, proxy.port, FailureKind.PROXY)
    try:
        if proxy is not None:
            await _tunnel(sock, origin)
        if tls is not None:
            try:
                await shake_hands(sock, tls)
            except OSError as error:
                raise OpenError(FailureKind.TLS, explain(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock, tls


def _tls_for(origin: Origin) -> TLSPipe | None:
    if origin.scheme != "https":
        return None
    try:
        return TLSPipe(upstream_context(origin.ca_file), server_hostname=origin.host)
    except (OSError, ValueError) as error:  # a host name that no certificate can have is a ValueError
        raise OpenError(FailureKind.TLS, explain(error)) from None


async def _tunnel(sock: socket.socket, origin: Origin) -> None:
    assert origin.proxy is not None  # the caller looked
    try:
        tunnel = handshake_with(origin.proxy, await _resolved(origin) if origin.proxy.scheme == "socks5" else origin)
        await send_all(sock, tunnel.start())
        while not tunnel.is_done:
            await send_all(sock, tunnel.feed(await receive_some(sock)))
    except ProxyError as error:
        raise OpenError(FailureKind.PROXY, str(error)) from None
    except OSError as error:
        raise OpenError(FailureKind.PROXY, f"the proxy failed: {reason(error)}") from None


async def _connect_tcp(host: str, port: int, kind: FailureKind) -> socket.socket:
    try:
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS)
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(host, error, FailureKind.UNRESOLVED if kind is FailureKind.REFUSED else kind) from None
    except OSError as error:
        raise OpenError(kind, f"{host}:{port}: {reason(error)}") from None
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _resolved(origin: Origin) -> Origin:
    """`origin` with an address for its host, for proxies that resolve nothing."""
    try:
        found = await trio.socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(origin.host, error) from None
    return Origin(origin.scheme, str(found[0][4][0]), origin.port)
