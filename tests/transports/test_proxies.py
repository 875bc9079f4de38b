"""Handshakes with proxies: cut anywhere, refused in every way, fed with anything."""

import base64
import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.effects import Origin, Proxy
from dragoman.transports.proxies import Handshake, ProxyError, handshake_with

ORIGIN = Origin("https", "api.example", 443)
SCHEMES = ("http", "socks5", "socks5h")
CUTS = st.lists(st.integers(0, 200), max_size=6)


def proxy(scheme: str, username: str | None = None, password: str | None = None) -> Proxy:
    """A proxy somewhere."""
    return Proxy(scheme, "proxy.example", 1080, username, password)


def feed_cut(handshake: Handshake, data: bytes, cuts: list[int]) -> bytes:
    """Feed in pieces; returns what is to be sent."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    return b"".join(handshake.feed(piece) for piece in pieces if piece)


def test_connect_request() -> None:
    """What a proxy is asked."""
    asked = handshake_with(proxy("http", "me", "s3cret"), ORIGIN).start()
    assert asked.startswith(b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n")
    assert base64.b64encode(b"me:s3cret") in asked


def test_connect_to_ipv6() -> None:
    """An address stands in brackets."""
    assert handshake_with(proxy("http"), Origin("http", "::1", 80)).start().startswith(b"CONNECT [::1]:80 ")


@given(CUTS, st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
def test_connect_cut_anywhere(cuts: list[int], before: bytes) -> None:
    """However the answer arrives."""
    handshake = handshake_with(proxy("http"), ORIGIN)
    handshake.start()
    assert feed_cut(handshake, before + b"HTTP/1.1 200 Established\r\nVia: 1.1 x\r\n\r\n", cuts) == b""
    assert handshake.is_done


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "the proxy answered 407 to CONNECT api.example:443"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "the proxy sent something before the tunnel was used"),
        (b"hello\r\n\r\n", "the proxy did not answer in HTTP"),
        (b"", "the proxy closed the connection"),
    ],
)
def test_connect_fails(answer: bytes, message: str) -> None:
    """Each way says what it is."""
    handshake = handshake_with(proxy("http", "me", "s3cret"), ORIGIN)
    handshake.start()
    with pytest.raises(ProxyError, match=f"^{message}$"):
        handshake.feed(answer)


def test_connect_closed_in_the_head() -> None:
    """A head that does not end."""
    handshake = handshake_with(proxy("http"), ORIGIN)
    handshake.start()
    handshake.feed(b"HTTP/1.1 2")
    with pytest.raises(ProxyError, match="closed"):
        handshake.feed(b"")


def _requested(kind: int, host: bytes, port: int) -> bytes:
    return b"\x05\x01\x00" + bytes([kind]) + host + port.to_bytes(2, "big")


@given(
    CUTS,
    CUTS,
    st.sampled_from([b"\x01" + b"\0" * 4, b"\x04" + b"\0" * 16, b"\x03\x04name"]),
    st.none() | st.text(min_size=1, max_size=60),
    st.text(max_size=60),
)
def test_socks_cut_anywhere(
    cuts: list[int], more: list[int], bound: bytes, username: str | None, password: str
) -> None:
    """With a login and without, whichever address the proxy is bound to."""
    handshake = handshake_with(proxy("socks5h", username, password), ORIGIN)
    assert handshake.start() == (b"\x05\x01\x00" if username is None else b"\x05\x02\x00\x02")
    request = _requested(3, b"\x0bapi.example", 443)
    if username is None:
        assert feed_cut(handshake, b"\x05\x00", cuts) == request
    else:
        name, word = username.encode(), password.encode()
        login = b"\x01" + bytes([len(name)]) + name + bytes([len(word)]) + word
        assert feed_cut(handshake, b"\x05\x02", cuts) == login
        assert feed_cut(handshake, b"\x01\x00", cuts) == request
    assert not handshake.is_done
    assert feed_cut(handshake, b"\x05\x00\x00" + bound + b"\x00\x50", more) == b""
    assert handshake.is_done


@given(st.ip_addresses() | st.sampled_from(["b\u00fccher.example", "a" * 63 + ".example"]))
def test_socks_hosts(host: ipaddress.IPv4Address | ipaddress.IPv6Address | str) -> None:
    """Addresses go as addresses, names as names, in ASCII."""
    handshake = handshake_with(proxy("socks5h"), Origin("http", str(host), 80))
    handshake.start()
    asked = handshake.feed(b"\x05\x00")
    if isinstance(host, str):
        name = host.encode("idna")
        assert asked == _requested(3, bytes([len(name)]) + name, 80)
    else:
        assert asked == _requested(1 if host.version == 4 else 4, host.packed, 80)


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([b""], "the proxy closed the connection"),
        ([b"\x05\xff"], "the proxy wants another way to log in"),
        ([b"\x05\x07"], "the proxy did not answer in SOCKS5"),
        ([b"\x05\x00\x00"], "the proxy sent more than was asked for"),
        ([b"\x05\x02", b"\x01\x01"], "the proxy refused the user name and password"),
        ([b"\x05\x00", b"\x05\x05\x00\x01" + b"\0" * 6], "the proxy could not connect: connection refused"),
        ([b"\x05\x00", b"\x05\x77\x00\x01" + b"\0" * 6], "the proxy did not answer in SOCKS5"),
        ([b"\x05\x00", b"\x05\x00\x00\x09\x01" + b"\0" * 3], "the proxy did not answer in SOCKS5"),
    ],
)
def test_socks_fails(replies: list[bytes], message: str) -> None:
    """Each way says what it is."""
    handshake = handshake_with(proxy("socks5", "me", "s3cret"), ORIGIN)
    handshake.start()
    for reply in replies[:-1]:
        handshake.feed(reply)
    with pytest.raises(ProxyError, match=f"^{message}$"):
        handshake.feed(replies[-1])


@pytest.mark.parametrize(
    ("name", "word", "host"),
    [
        ("", "x", "api.example"),
        ("x" * 256, "x", "api.example"),
        ("x", "x" * 256, "api.example"),
        ("me", "x", "x" * 256),
        ("me", "x", "\u00fc..example"),
    ],
)
def test_socks_cannot_say_that(name: str, word: str, host: str) -> None:
    """Lengths are one byte."""
    handshake = handshake_with(proxy("socks5h", name, word), Origin("http", host, 80))
    handshake.start()
    with pytest.raises(ProxyError, match="SOCKS5"):  # noqa: PT012  # either step may be the one
        handshake.feed(b"\x05\x02")
        handshake.feed(b"\x01\x00")


def test_connect_cannot_say_that() -> None:
    """A host that would break out of its line."""
    with pytest.raises(ProxyError, match="host name"):
        handshake_with(proxy("http"), Origin("http", "a\r\nb", 80)).start()


@given(st.sampled_from(SCHEMES), st.lists(st.binary(max_size=40), max_size=5), st.booleans())
def test_anything_is_refused_or_done(scheme: str, pieces: list[bytes], has_login: bool) -> None:
    """Whatever a proxy sends: a step, a wait, or a `ProxyError` without the password."""
    handshake = handshake_with(proxy(scheme, "me" if has_login else None, "s3cret"), ORIGIN)
    handshake.start()
    message = ""
    try:
        for piece in pieces:
            if not handshake.is_done:
                handshake.feed(piece)
    except ProxyError as error:
        message = str(error)
    assert "s3cret" not in message
