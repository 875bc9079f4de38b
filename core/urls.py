"""URLs that an operator writes: strict, so that a typing mistake is found at the start and not at the first request.

The syntax is RFC 3986's ``scheme://[user[:password]@]host[:port][path]``; a query or a fragment has no place in a base URL or a
proxy. Hosts become lower case and ASCII (IDNA 2003, Python's codec). No message ever quotes the URL beyond its scheme: a URL may
hold a password, and a mistyped one may hold it anywhere.
"""

import ipaddress
import re
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.effects import Proxy

DEFAULT_PORTS: Final = MappingProxyType({"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080})
NO_PROXY: Final = frozenset({"", "direct", "none"})

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_LABEL = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)  # "_" is no host name's, but occurs in container networks
_PORT = re.compile(r"[0-9]{1,5}")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_SOCKS_FIELD = 255  # bytes; RFC 1929


@attrs.frozen
class Url:
    """A URL in its parts.

    >>> split_url("https://API.Example.com/v1")
    Url(scheme='https', host='api.example.com', port=443, path='/v1', username=None)

    Attributes:
        scheme: Lower case; one of `DEFAULT_PORTS`.
        host: Lower-case ASCII name or address, IPv6 without brackets.
        port: The one given, or the scheme's.
        path: As written: empty, or beginning with a slash.
        username: Decoded, or None.
        password: Decoded, or None.

    """

    scheme: str
    host: str
    port: int
    path: str = ""
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def authority(self) -> str:
        """What a Host header says: the host, bracketed if IPv6, and the port unless it is the scheme's own.

        >>> split_url("http://[::1]:8080/").authority
        '[::1]:8080'
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def split_url(text: str) -> Url:
    """Take a URL apart.

    Raises:
        ValueError: It is not one we can use; the message says what was expected and quotes no more than the scheme.

    """
    if _UNPRINTABLE.search(text):
        raise ValueError("a URL has no spaces, backslashes or control characters in it")
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ValueError("expected a URL with a scheme in front, like https://api.example.com/v1")
    scheme, authority, path = parts[1].lower(), parts[2], parts[3]
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"unknown scheme {scheme!r}: expected one of {', '.join(DEFAULT_PORTS)}")
    if "?" in path or "#" in path:
        raise ValueError("a query (?) or fragment (#) has no place in this URL")
    if not _PATH.fullmatch(path):
        raise ValueError("the path has characters that must be percent-encoded")
    userinfo, at, place = authority.rpartition("@")
    if "@" in userinfo:
        raise ValueError("more than one @: write %40 for an @ within the user name or password")
    username, colon, password = userinfo.partition(":")
    host, port = _split_place(place)
    return Url(
        scheme,
        _ascii_host(host),
        DEFAULT_PORTS[scheme] if port is None else _port(port),
        path,
        _decode(username) if at else None,
        _decode(password) if colon else None,
    )


def parse_proxy(text: str) -> Proxy | None:
    """Read a ``proxy-url``.

    Args:
        text: ``http``, ``socks5`` or ``socks5h`` URL; ``direct``, ``none`` or nothing for no proxy.

    Raises:
        ValueError: It is neither, or a proxy behind TLS; the message does not quote it.

    """
    if text.strip().lower() in NO_PROXY:
        return None
    url = split_url(text)
    if url.path not in ("", "/"):
        raise ValueError("a proxy has no path: expected scheme://host:port")
    if url.scheme == "https":  # its login must not go out in the open, and TLS within TLS is not there yet
        raise ValueError("a proxy that is spoken to over TLS is not supported: give its http:// or socks5h:// address")
    if url.scheme.startswith("socks"):
        for field in (url.username or "", url.password or ""):
            if len(field.encode()) > _SOCKS_FIELD:
                raise ValueError(f"SOCKS5 takes user names and passwords of at most {_SOCKS_FIELD} bytes")
    return Proxy(url.scheme, url.host, url.port, url.username, url.password)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.1", "::1", "", "0.0.0.0", "example.com")]
    [True, True, True, False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_host(text: str) -> str:
    """Read a name or address to listen on: no scheme, no port, brackets around IPv6 optional.

    >>> parse_host("[::1]"), parse_host("LOCALHOST")
    ('::1', 'localhost')

    Raises:
        ValueError: It is neither a name nor an address.

    """
    bare = text.removeprefix("[").removesuffix("]")
    if ":" in bare:
        return str(ipaddress.IPv6Address(bare))  # here a zone (fe80::1%eth0) has its place
    return _ascii_host(text)


def _split_place(place: str) -> tuple[str, str | None]:
    """``host[:port]`` → host (brackets kept) and port, if there is a colon."""
    if place.startswith("["):
        host, bracket, rest = place.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("expected an IPv6 address as [address] or [address]:port")
        return host + "]", rest[1:] if rest else None
    if place.count(":") > 1:
        raise ValueError("an IPv6 address needs brackets, like http://[::1]:8317")
    host, colon, port = place.partition(":")
    return host, port if colon else None


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise ValueError("expected a port from 1 to 65535 after the host")
    return int(text)


def _ascii_host(host: str) -> str:
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError("expected an IPv6 address between the brackets") from None
        if address.scope_id is not None:
            raise ValueError("an IPv6 zone (%eth0) is not supported in a URL")
        return address.compressed
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise ValueError("the host is not a valid name") from None
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is missing or not a valid name" if not host else "the host is not a valid name")
    if labels[-1].isdigit():  # only an IPv4 address ends in a number; "1.2.3" is a slip, not a name
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError("the host looks like an IPv4 address, but is not a valid one") from None
    return name


def _decode(text: str) -> str:
    """Percent-decode a user name or password."""
    if not _ENCODED.fullmatch(text):
        raise ValueError("a % in the user name or password must be written %25")
    raw = re.sub(rb"%(..)", lambda match: bytes.fromhex(match[1].decode()), text.encode("utf-8", "surrogatepass"))
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        raise ValueError("the user name or password is not percent-encoded UTF-8") from None
    if any(c in decoded for c in "\r\n\0"):
        raise ValueError("the user name or password has a line break or NUL in it")
    return decoded
