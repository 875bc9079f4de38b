"""Connections to providers: opened, kept, taken again; the same on every event loop, which lends what it takes to open one.

Opening one takes a task; reading it takes none, whichever exchange it serves.
"""

import contextlib
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.driver import Driver, Opening
from dragoman.transports.failures import OpenError, reason, unresolved
from dragoman.transports.links import UpstreamLink, prepare
from dragoman.transports.pool import Pool
from dragoman.transports.proxies import ProxyError, handshake_with
from dragoman.transports.readiness import Readiness
from dragoman.transports.services import Settings
from dragoman.transports.tls import TLSPipe, explain, upstream_context


class Network(Protocol):
    """What an event loop lends for opening connections."""

    def start(self, do: Callable[[], Awaitable[None]], stopped: Callable[[], None]) -> Callable[[], object]:
        """Do something meanwhile.

        Returns:
            What stops it; then `stopped` is called, however little of it had been done.

        """
        ...

    async def connect(self, host: str, port: int) -> socket.socket:
        """Connect to one of the addresses of `host` (RFC 8305); raises `OSError`, of which `socket.gaierror`, or `UnicodeError`."""
        ...

    async def resolve(self, host: str, port: int) -> str:
        """One address of `host`; raises the same."""
        ...

    async def send_all(self, sock: socket.socket, data: bytes) -> None:
        """Send everything, waiting as long as it takes."""
        ...

    async def receive_some(self, sock: socket.socket) -> bytes:
        """Wait for bytes and return them; none: the peer closed."""
        ...


class UpstreamLinks:
    """Opens and keeps connections to providers.

    Args:
        network: Opens them.
        readiness: Says when they can be read and written.
        settings: Limits and the clock.

    Attributes:
        pool: Idle connections.

    """

    def __init__(self, network: Network, readiness: Readiness, settings: Settings) -> None:
        self._network = network
        self._readiness = readiness
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
        return Opening(
            self._network.start(
                functools.partial(self._connect, driver, attempt, origin), functools.partial(self.pool.ended, origin)
            )
        )

    def keep(self, link: UpstreamLink) -> None:
        """Keep a connection that is not in use."""
        self.pool.keep(link, self._settings.now())

    def ended(self, link: UpstreamLink) -> None:
        """A connection is closed."""
        self.pool.ended(link.origin, link)

    async def _connect(self, driver: Driver, attempt: int, origin: Origin) -> None:
        try:
            sock, tls = await open_socket(self._network, origin)
        except OpenError as error:
            failure = error.failure
        except Exception as error:  # a bug of ours, or a library's, ends one attempt, not all
            self._settings.on_error(error)
            failure = ConnectFailure(FailureKind.REFUSED, f"it could not be opened: {type(error).__name__}")
        else:
            link = UpstreamLink(sock, tls, self._readiness, origin, self)
            link.serve(driver, attempt)
            driver.upstream_opened(attempt, link)
            link.wake()
            return
        self.pool.ended(origin)
        driver.upstream_failed(attempt, failure)


def numeric(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, Any] | None:
    """The one address of a host that is written as one, without asking anybody; None for a name.

    >>> numeric("127.0.0.1", 80)[4], numeric("localhost", 80)
    (('127.0.0.1', 80), None)
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return found[0]


async def open_socket(network: Network, origin: Origin) -> tuple[socket.socket, TLSPipe | None]:
    """Make a socket to `origin`, through its proxy, and TLS on it where that is wanted, brought up.

    Raises:
        OpenError: It is as its failure says.

    """
    tls = _tls_for(origin)
    proxy = origin.proxy
    if proxy is None:
        sock = await _connect_tcp(network, origin.host, origin.port, FailureKind.REFUSED)
    else:
        sock = await _connect_tcp(network, proxy.host, proxy.port, FailureKind.PROXY)
    try:
        if proxy is not None:
            await _tunnel(network, sock, origin)
        if tls is not None:
            try:
                await shake_hands(network, sock, tls)
            except OSError as error:
                raise OpenError(FailureKind.TLS, explain(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock, tls


async def shake_hands(network: Network, sock: socket.socket, tls: TLSPipe) -> None:
    """Bring up TLS; raises `ssl.SSLError` or another `OSError`."""
    try:
        while not tls.shake_hands():
            await network.send_all(sock, tls.take())
            tls.feed(await network.receive_some(sock))
    except ssl.SSLError:
        with contextlib.suppress(OSError):
            sock.send(tls.take())  # the alert: the peer is to know, too
        raise
    await network.send_all(sock, tls.take())


def _tls_for(origin: Origin) -> TLSPipe | None:
    if origin.scheme != "https":
        return None
    try:
        return TLSPipe(upstream_context(origin.ca_file), server_hostname=origin.host)
    except (OSError, ValueError) as error:  # a host name that no certificate can have is a ValueError
        raise OpenError(FailureKind.TLS, explain(error)) from None


async def _connect_tcp(network: Network, host: str, port: int, kind: FailureKind) -> socket.socket:
    try:
        sock = await network.connect(host, port)
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(host, error, FailureKind.UNRESOLVED if kind is FailureKind.REFUSED else kind) from None
    except OSError as error:
        raise OpenError(kind, f"{host}:{port}: {reason(error)}") from None
    prepare(sock)
    return sock


async def _tunnel(network: Network, sock: socket.socket, origin: Origin) -> None:
    assert origin.proxy is not None  # the caller looked
    try:
        target = await _resolved(network, origin) if origin.proxy.scheme == "socks5" else origin
        tunnel = handshake_with(origin.proxy, target)
        await network.send_all(sock, tunnel.start())
        while not tunnel.is_done:
            await network.send_all(sock, tunnel.feed(await network.receive_some(sock)))
    except ProxyError as error:
        raise OpenError(FailureKind.PROXY, str(error)) from None
    except OSError as error:
        raise OpenError(FailureKind.PROXY, f"the proxy failed: {reason(error)}") from None


async def _resolved(network: Network, origin: Origin) -> Origin:
    """`origin` with an address for its host, for proxies that resolve nothing."""
    try:
        return Origin(origin.scheme, await network.resolve(origin.host, origin.port), origin.port)
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(origin.host, error) from None
