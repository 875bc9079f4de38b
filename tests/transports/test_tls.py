"""TLS without sockets: two pipes, whatever the pieces."""

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.transports.tls import RootsError, TLSPipe, explain, server_context, upstream_context
from tests.transports import certificates


def pair() -> tuple[TLSPipe, TLSPipe]:
    """A client and a server that have shaken hands."""
    client = TLSPipe(certificates.trusting(), server_hostname="localhost")
    server = TLSPipe(certificates.serving("localhost"))
    done = [False, False]
    for _ in range(10):
        for index, (one, other) in enumerate(((client, server), (server, client))):
            done[index] = done[index] or one.shake_hands()
            if data := one.take():
                other.feed(data)
        if all(done):
            return client, server
    raise AssertionError("no end of shaking hands")


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=5), st.integers(1, 5000))
def test_bytes_arrive_whatever_the_pieces(sent: list[bytes], size: int) -> None:
    """Both ways, over records and their borders."""
    client, server = pair()
    for one, other in ((client, server), (server, client)):
        for data in sent:
            one.write(data)
        wire = one.take()
        got = b""
        for at in range(0, len(wire), size):
            other.feed(wire[at : at + size])
            got += other.read()
        assert got == b"".join(sent)
        assert not other.is_at_end


def test_good_bye_ends_the_stream() -> None:
    """After what was sent before it; the other direction stays open."""
    client, server = pair()
    server.write(b"last words")
    server.finish()
    client.feed(server.take())
    assert client.read() == b"last words"
    assert client.is_at_end
    assert client.read() == b""


@pytest.mark.parametrize("end", [b"", b"no TLS at all" * 10])
def test_cut_stream_ends(end: bytes) -> None:
    """Without a good-bye, or with nonsense: it is over, and nothing is raised."""
    client, server = pair()
    server.write(b"last words")
    client.feed(server.take())
    client.feed(end)
    assert client.read() == b"last words"
    assert client.is_at_end
    assert client.read() == b""


def test_failed_handshake_tells_the_peer() -> None:
    """An alert is there to be sent."""
    client = TLSPipe(certificates.trusting(), server_hostname="localhost")
    server = TLSPipe(certificates.serving("localhost", is_trusted=False))
    assert not client.shake_hands()
    server.feed(client.take())
    assert not server.shake_hands()
    client.feed(server.take())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake_hands()
    server.feed(client.take())
    with pytest.raises(ssl.SSLError, match="alert"):
        server.shake_hands()


@pytest.mark.parametrize("ca_file", [True, False])
def test_upstreams_are_always_checked(tmp_path: Path, ca_file: bool) -> None:
    """Certificate and name, and no old TLS."""
    context = upstream_context(certificates.write_ca_file(tmp_path) if ca_file else None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_roots_without_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare container has no roots: certifi's are used."""
    monkeypatch.setattr("os.path.exists", lambda path: False)
    monkeypatch.setattr("sys.platform", "linux")
    context = upstream_context.__wrapped__(None)
    assert type(context) is ssl.SSLContext
    assert context.cert_store_stats()["x509_ca"] > 50


@pytest.mark.parametrize(("platform", "module"), [("linux", "ssl"), ("darwin", "truststore._api")])
def test_roots_are_read_for_every_connection_only_where_they_are_no_files(
    monkeypatch: pytest.MonkeyPatch, platform: str, module: str
) -> None:
    """Reading them takes 40 ms, in which nobody else is served."""
    monkeypatch.setattr("os.path.exists", lambda path: True)
    monkeypatch.setattr("sys.platform", platform)
    context = upstream_context.__wrapped__(None)
    assert type(context).__module__ == module
    assert context.check_hostname


def test_roots_that_are_none(tmp_path: Path) -> None:
    """The failure names the file."""
    path = tmp_path / "roots.pem"
    path.write_text("nothing")
    with pytest.raises(RootsError, match=f"its roots cannot be read from {path}"):
        upstream_context(str(path))


def test_server_context_with_the_wrong_key(tmp_path: Path) -> None:
    """The key of another certificate."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificates.authority().issue_cert("localhost").cert_chain_pems[0].write_to_path(str(cert))
    certificates.authority().issue_cert("localhost").private_key_pem.write_to_path(str(key))
    with pytest.raises(ssl.SSLError):
        server_context(str(cert), str(key))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ssl.SSLEOFError(8, "EOF"), "the TLS handshake failed: the connection was closed"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] x"), "the TLS handshake failed: "),
        (TimeoutError(), "the TLS handshake failed: TimeoutError"),
        (ValueError("no such host"), "the TLS handshake failed: no such host"),
        (RootsError("its roots"), "its roots"),
    ],
)
def test_explain(error: Exception, message: str) -> None:
    """In words."""
    assert explain(error).startswith(message)
