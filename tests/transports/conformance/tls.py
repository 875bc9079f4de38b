"""TLS, on both sides."""

import contextlib
import socket
from pathlib import Path

import pytest

from dragoman.transports.tls import server_context
from tests.transports import certificates
from tests.transports.conformance.served import Suite, origin_of
from tests.transports.peers import echo_lines, peer, read_to_end, read_until


class TLS(Suite):
    """TLS, on both sides."""

    def test_serves_tls(self, tmp_path: Path) -> None:
        """HTTPS, with a good-bye at the end."""
        cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
        issued = certificates.authority().issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(key)
        issued.private_key_and_cert_chain_pem.write_to_path(cert)
        trusting = certificates.trusting()
        trusting.set_alpn_protocols(["http/1.1"])
        with (
            self.serve(tls=server_context(cert, key)) as served,
            served.dial() as plain,
            trusting.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client,
        ):
            assert client.selected_alpn_protocol() == "http/1.1"
            client.sendall(b"x" * 300_000 + b"\n")
            assert len(read_until(client, b"end\n")) == 300_000 + len(b"\nend\n")
            client.sendall(b"bye\n")
            assert read_to_end(client) == b"bye\nend\n"

    def test_client_that_speaks_no_tls(self) -> None:
        """It is closed; the next one is served."""
        with self.serve(tls=certificates.serving("localhost")) as served:
            with contextlib.suppress(ConnectionResetError):
                assert b"hello" not in served.ask()
            trusting = certificates.trusting()
            with served.dial() as plain, trusting.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"hello\n")
                assert read_until(client, b"end\n") == b"hello\nend\n"

    def test_tls_upstream(self, tmp_path: Path) -> None:
        """With a root of one's own; used again; large both ways."""
        ca_file = certificates.write_ca_file(tmp_path)
        with peer(echo_lines, tls=certificates.serving("localhost")) as upstream:
            origin = origin_of(upstream, "https", "localhost", ca_file=ca_file)
            with self.serve(origin) as served:
                for word in (b"hello\n", b"x" * 500_000 + b"\n"):
                    assert served.ask(word) == word + b"end\n"
            assert upstream.accepted == 1

    @pytest.mark.parametrize(
        ("names", "options", "expected"),
        [
            (("localhost",), {"is_trusted": False}, b"certificate is not accepted"),
            (("localhost",), {"is_expired": True}, b"certificate has expired"),
            (("elsewhere.example",), {}, b"localhost"),
        ],
        ids=["untrusted", "expired", "wrong host"],
    )
    def test_certificates_are_checked(
        self, tmp_path: Path, names: tuple[str, ...], options: dict[str, bool], expected: bytes
    ) -> None:
        """Always, and the failure says what is wrong."""
        ca_file = certificates.write_ca_file(tmp_path)
        with (
            peer(echo_lines, tls=certificates.serving(*names, **options)) as upstream,
            self.serve(origin_of(upstream, "https", "localhost", ca_file=ca_file)) as served,
        ):
            answer = served.ask()
            assert answer.startswith(b"tls: ")
            assert expected in answer

    def test_system_roots_do_not_trust_strangers(self) -> None:
        """Without a file of roots, the system's decide."""
        with (
            peer(echo_lines, tls=certificates.serving("localhost")) as upstream,
            self.serve(origin_of(upstream, "https", "localhost")) as served,
        ):
            assert b"certificate is not accepted" in served.ask()

    def test_upstream_that_speaks_no_tls(self) -> None:
        """It answers in plain HTTP, as a wrong port does."""

        def answer_plainly(sock: socket.socket) -> None:
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            sock.recv(1)

        with peer(answer_plainly) as upstream, self.serve(origin_of(upstream, "https", "localhost")) as served:
            assert served.ask().startswith(b"tls: it does not speak TLS")

    def test_upstream_that_closes_in_the_handshake(self) -> None:
        """Without a word."""
        with peer(lambda sock: None) as upstream, self.serve(origin_of(upstream, "https", "localhost")) as served:
            assert served.ask().startswith(b"tls: the TLS handshake failed: ")

    def test_missing_roots(self) -> None:
        """The file that is named is not there."""
        with peer(echo_lines) as upstream:
            with self.serve(origin_of(upstream, "https", ca_file="/nowhere/roots.pem")) as served:
                assert served.ask() == b"tls: its roots cannot be read from /nowhere/roots.pem\n"
            assert not upstream.accepted
