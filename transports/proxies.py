"""Handshakes with proxies, sans-IO: bytes in, bytes out, then a tunnel.

HTTP proxies are asked to CONNECT, for plain origins too, so that one way serves both. SOCKS5 is spoken by socksio.
"""

import base64
import ipaddress
from typing import Protocol

import h11

from dragoman.core.effects import Origin, Proxy


class ProxyError(Exception):
    """The proxy refused, or is none, or cannot be asked; the message tells why and holds no secret."""


class Handshake(Protocol):
    """A handshake under way.

    Attributes:
        is_done: The tunnel stands.

    """

    is_done: bool

    def start(self) -> bytes:
        """Return the first bytes to send; raises `ProxyError`."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take what the proxy sent (nothing: it closed), return what to send; raises `ProxyError`."""
        ...


def handshake_with(proxy: Proxy, origin: Origin) -> Handshake:
    """Make the handshake for a tunnel through `proxy` to `origin`; for ``socks5`` the origin's host is an address already."""
    if proxy.scheme in {"socks5", "socks5h"}:
        return SocksHandshake(proxy, origin)
    return ConnectHandshake(proxy, origin)


class ConnectHandshake:
    """CONNECT to an HTTP proxy (RFC 9110, section 9.3.6)."""

    def __init__(self, proxy: Proxy, origin: Origin) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        self._target = f"{host}:{origin.port}"
        self._headers = [("Host", self._target)]
        if proxy.username is not None:
            pair = f"{proxy.username}:{proxy.password or ''}".encode()
            self._headers.append(("Proxy-Authorization", "Basic " + base64.b64encode(pair).decode()))
        self._http = h11.Connection(h11.CLIENT)
        self.is_done = False

    def start(self) -> bytes:
        """Return the CONNECT request."""
        try:
            request = h11.Request(method="CONNECT", target=self._target, headers=self._headers)
        except h11.LocalProtocolError:
            raise ProxyError("the host name cannot be put to a proxy") from None
        return (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> bytes:
        """Read the proxy's answer."""
        if not data:
            raise ProxyError("the proxy closed the connection")
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            raise ProxyError("the proxy did not answer in HTTP") from None
        if isinstance(event, h11.Response):
            if not 200 <= event.status_code < 300:
                raise ProxyError(f"the proxy answered {event.status_code} to CONNECT {self._target}")
            if self._http.trailing_data[0]:
                raise ProxyError("the proxy sent something before the tunnel was used")
            self.is_done = True
        return b""


class SocksHandshake:
    """SOCKS version 5 (RFC 1928), with a user name and password (RFC 1929) where there is one."""

    def __init__(self, proxy: Proxy, origin: Origin) -> None:
        from socksio import socks5  # costs 40 ms, and hardly anybody has such a proxy

        self._proxy = proxy
        self._origin = origin
        self._socks = socks5.SOCKS5Connection()
        self._reply = b""
        self.is_done = False

    def start(self) -> bytes:
        """Return the methods we can log in with."""
        from socksio import socks5

        methods = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if self._proxy.username is not None:
            methods.append(socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
        self._socks.send(socks5.SOCKS5AuthMethodsRequest(methods))
        return bytes(self._socks.data_to_send())

    def feed(self, data: bytes) -> bytes:
        """Read the proxy's reply, once it is whole."""
        from socksio import SOCKSError

        if not data:
            raise ProxyError("the proxy closed the connection")
        self._reply += data
        length = self._expected()
        if len(self._reply) < length:
            return b""
        if len(self._reply) > length:
            raise ProxyError("the proxy sent more than was asked for")
        try:
            event = self._socks.receive_data(self._reply)
        except (SOCKSError, ValueError):
            raise ProxyError("the proxy did not answer in SOCKS5") from None
        self._reply = b""
        return self._answer(event)

    def _expected(self) -> int:
        """Tell the length of the whole reply, as far as it can be told yet."""
        from socksio import socks5

        if self._socks.state != socks5.SOCKS5State.CLIENT_AUTHENTICATED:
            return 2
        if len(self._reply) < 5:
            return 5
        kind = self._reply[3]
        return 6 + (4 if kind == 1 else 16 if kind == 4 else 1 + self._reply[4])

    def _answer(self, event: object) -> bytes:
        from socksio import socks5

        if isinstance(event, socks5.SOCKS5AuthReply):
            if event.method == socks5.SOCKS5AuthMethod.USERNAME_PASSWORD and self._proxy.username is not None:
                return self._log_in(self._proxy.username, self._proxy.password or "")
            if event.method == socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED:
                return self._connect()
            raise ProxyError("the proxy wants another way to log in")
        if isinstance(event, socks5.SOCKS5UsernamePasswordReply):
            if not event.success:
                raise ProxyError("the proxy refused the user name and password")
            return self._connect()
        assert isinstance(event, socks5.SOCKS5Reply)  # the only step left
        if event.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
            raise ProxyError(f"the proxy could not connect: {event.reply_code.name.replace('_', ' ').lower()}")
        self.is_done = True
        return b""

    def _log_in(self, username: str, password: str) -> bytes:
        from socksio import socks5

        name, word = username.encode(), password.encode()
        if not 0 < len(name) < 256 or not len(word) < 256:  # one byte of length each
            raise ProxyError("the user name or password is too long for SOCKS5, or empty")
        self._socks.send(socks5.SOCKS5UsernamePasswordRequest(name, word))
        return bytes(self._socks.data_to_send())

    def _connect(self) -> bytes:
        from socksio import socks5

        host = self._origin.host
        kind = socks5.SOCKS5AType.DOMAIN_NAME
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            try:
                packed = host.encode("ascii") if host.isascii() else host.encode("idna")
            except UnicodeError:
                packed = b""
            if not 0 < len(packed) < 256:
                raise ProxyError("the host name cannot be put to a SOCKS5 proxy") from None
        else:
            packed = address.packed
            kind = socks5.SOCKS5AType.IPV4_ADDRESS if address.version == 4 else socks5.SOCKS5AType.IPV6_ADDRESS
        request = socks5.SOCKS5CommandRequest(socks5.SOCKS5Command.CONNECT, kind, packed, self._origin.port)
        self._socks.send(request)
        return bytes(self._socks.data_to_send())
