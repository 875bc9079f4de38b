"""URLs are split strictly, and a bad one is refused without being quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.effects import Proxy
from dragoman.core.urls import DEFAULT_PORTS, Url, is_loopback, parse_host, parse_proxy, split_url

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
HOSTS = (
    st.lists(LABELS, min_size=1, max_size=4).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(lambda a: a.compressed)
)
PATHS = st.lists(st.from_regex(r"/([A-Za-z0-9._~-]|%[0-9A-F]{2}){0,6}", fullmatch=True), max_size=4).map("".join)
USERS = st.none() | st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=10)


def quoted(text: str) -> str:
    """Percent-encode everything."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


@given(st.sampled_from(sorted(DEFAULT_PORTS)), HOSTS, st.none() | st.integers(1, 65535), PATHS, USERS, USERS)
def test_there_and_back(
    scheme: str, host: str, port: int | None, path: str, user: str | None, password: str | None
) -> None:
    """What a URL was made of is what it is split into."""
    password = None if user is None else password
    place = f"[{host}]" if ":" in host else host
    text = scheme + "://"
    text += "" if user is None else quoted(user) + ("" if password is None else ":" + quoted(password)) + "@"
    text += place + ("" if port is None else f":{port}") + path
    expected = Url(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, path, user, password)
    assert split_url(text) == expected
    assert split_url(f"{scheme}://{expected.authority}{path}") == Url(scheme, host, expected.port, path)


@given(st.text() | st.text().map("https://".__add__) | st.from_regex(r"[a-z0-9]{1,4}://[^/]{0,20}/?.{0,9}"))
def test_nothing_but_value_error(text: str) -> None:
    """Whatever is split, a URL comes out or a ValueError; what came out is safe to be put into a request head."""
    try:
        url = split_url(text)
    except ValueError:
        pass
    else:
        assert url.host.isascii()
        assert url.host.isprintable()
        assert " " not in url.host
        assert url.path.isascii()
        assert 0 < url.port < 65536


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://Api.OpenAI.com/v1", "api.openai.com", 443),
        ("HTTP://example.com.", "example.com", 80),
        ("http://bücher.example", "xn--bcher-kva.example", 80),
        ("http://BÜCHER。example:81", "xn--bcher-kva.example", 81),
        ("http://[::0:1]:8317", "::1", 8317),
        ("http://my_service:8000", "my_service", 8000),
        ("socks5h://proxy.local", "proxy.local", 1080),
    ],
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    """Hosts become lower case and ASCII; a missing port is the scheme's."""
    url = split_url(text)
    assert (url.host, url.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("api.example.com/v1", "scheme in front"),
        ("localhost:8080", "scheme in front"),
        ("", "scheme in front"),
        ("ftp://example.com", "unknown scheme 'ftp'"),
        ("https://", "host is missing"),
        ("https://:443", "host is missing"),
        ("https://user@/x", "host is missing"),
        ("https://a b", "no spaces"),
        ("https://a\\b", "backslashes"),
        ("https://a\r\nHost: b", "control characters"),
        ("https://a..b", "not a valid name"),
        ("https://-a", "not a valid name"),
        ("https://a%2fb", "not a valid name"),
        ("https://ａ／ｂ", "not a valid name"),
        ("https://" + "a." * 130 + "com", "not a valid name"),
        ("https://" + "a" * 64, "not a valid name"),
        ("https://ü" + "a" * 64, "not a valid name"),
        ("https://1.2.3", "IPv4"),
        ("https://999.1.1.1", "IPv4"),
        ("https://a:0", "port from 1 to 65535"),
        ("https://a:", "port from 1 to 65535"),
        ("https://a:65536", "port from 1 to 65535"),
        ("https://a:8x", "port from 1 to 65535"),
        ("https://a:٣", "port from 1 to 65535"),
        ("https://::1", "brackets"),
        ("https://[::1", "[address]"),
        ("https://[::1]8", "[address]"),
        ("https://[::1%eth0]", "zone"),
        ("https://[nonsense]", "IPv6 address between"),
        ("https://a/b?c=d", "query"),
        ("https://a?c=d", "query"),
        ("https://a/b#c", "fragment"),
        ("https://a/ü", "percent-encoded"),
        ("https://a/%zz", "percent-encoded"),
        ("https://u:p@ss@a", "%40"),
        ("https://u:p%ss@a", "%25"),
        ("https://u:%ff@a", "UTF-8"),
        ("https://u\ud800:p@a", "UTF-8"),
        ("https://u:p%0d%0a@a", "line break"),
    ],
)
def test_refused(text: str, why: str) -> None:
    """Each slip is named."""
    with pytest.raises(ValueError, match=r".") as refused:
        split_url(text)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "text", ["https://me:hunter2/x@a", "https://me:hunter2@a b", "https://me:hunter2@:1", "hunter2"]
)
def test_no_password_in_messages(text: str) -> None:
    """A mistyped URL may hold its password anywhere."""
    with pytest.raises(ValueError, match=r".") as refused:
        split_url(text)
    assert "hunter2" not in str(refused.value)


def test_no_password_in_repr() -> None:
    """Nor in a repr."""
    assert "hunter2" not in repr(split_url("https://me:hunter2@a"))


@pytest.mark.parametrize("text", ["", "direct", "none", " None ", "DIRECT"])
def test_no_proxy(text: str) -> None:
    """Words for no proxy."""
    assert parse_proxy(text) is None


def test_proxy() -> None:
    """A proxy in its parts."""
    assert parse_proxy("socks5h://me:p%40ss@[::1]:9050/") == Proxy("socks5h", "::1", 9050, "me", "p@ss")
    assert parse_proxy("http://proxy.example") == Proxy("http", "proxy.example", 80)


def test_a_proxy_behind_tls_is_refused() -> None:
    """Rather than spoken to in the open; nothing of the login is quoted."""
    with pytest.raises(ValueError, match="over TLS is not supported") as refused:
        parse_proxy("https://me:s3cret@proxy.example")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://a/b", "no path"),
        ("socks5://" + "u" * 256 + "@a", "255 bytes"),
        ("socks5://u:" + "%C3%BC" * 128 + "@a", "255 bytes"),
        ("proxy:8080", "scheme in front"),
    ],
)
def test_proxy_refused(text: str, why: str) -> None:
    """Each slip is named."""
    with pytest.raises(ValueError, match=r".") as refused:
        parse_proxy(text)
    assert why in str(refused.value)


def test_listening_host() -> None:
    """A host to listen on may have a zone; it has no port."""
    assert parse_host("fe80::1%eth0") == "fe80::1%eth0"
    for text in ("127.0.0.1:80", "localhost:80", "http://localhost", "[nonsense:]"):
        with pytest.raises(ValueError, match=r"."):
            parse_host(text)


@given(st.ip_addresses())
def test_loopback(address: object) -> None:
    """Python knows which addresses are loopback ones."""
    assert is_loopback(str(address)) == address.is_loopback  # type: ignore[attr-defined]
