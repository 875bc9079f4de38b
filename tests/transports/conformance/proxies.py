"""HTTP and SOCKS5 proxies between us and providers."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.core.effects import Origin, Proxy
from tests.transports import certificates
from tests.transports.conformance.served import Suite, origin_of
from tests.transports.peers import connect_proxy, echo_lines, peer, read_until, reset, socks_proxy


class Proxies(Suite):
    """HTTP and SOCKS5 proxies between us and providers."""

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("user", [None, "me:s3cret"])
    @pytest.mark.parametrize("kind", ["http", "socks5", "socks5h"])
    def test_through_a_proxy(self, tmp_path: Path, kind: str, user: str | None, scheme: str) -> None:
        """For plain and TLS origins alike."""
        ca_file = certificates.write_ca_file(tmp_path)
        tls = certificates.serving("localhost", "127.0.0.1") if scheme == "https" else None
        handle = connect_proxy(user) if kind == "http" else socks_proxy(user)
        # A SOCKS5 proxy that resolves nothing is given one address of several, and "localhost" may be ::1 first.
        name = "127.0.0.1" if kind == "socks5" else "localhost"
        with peer(echo_lines, tls=tls) as upstream, peer(handle) as between:
            username, _, password = user.partition(":") if user else (None, "", None)
            proxy = Proxy(kind, "127.0.0.1", between.port, username, password)
            with self.serve(origin_of(upstream, scheme, name, proxy=proxy, ca_file=ca_file)) as served:
                assert served.ask() == b"hello\nend\n"
                assert served.ask(b"again\n") == b"again\nend\n"
            assert (between.accepted, upstream.accepted) == (1, 1)

    @pytest.mark.parametrize(
        ("kind", "handle", "expected"),
        [
            ("http", connect_proxy("me:other"), b"the proxy answered 407"),
            ("http", connect_proxy(status=b"503 Busy"), b"the proxy answered 503"),
            ("http", lambda sock: sock.sendall(b"SSH-2.0-x\r\n\r\n"), b"the proxy did not answer in HTTP"),
            ("http", lambda sock: read_until(sock, b"\r\n\r\n"), b"the proxy closed the connection"),
            ("http", reset, b""),
            ("socks5h", socks_proxy("me:other"), b"the proxy refused the user name and password"),
            ("socks5h", socks_proxy("me:s3cret", reply=5), b"the proxy could not connect: connection refused"),
            ("socks5h", lambda sock: sock.sendall(b"HTTP"), b"the proxy"),
        ],
    )
    def test_proxy_that_fails(self, kind: str, handle: Callable[[socket.socket], None], expected: bytes) -> None:
        """The failure says what the proxy said, and no secret."""
        with peer(handle) as between:
            proxy = Proxy(kind, "127.0.0.1", between.port, "me", "s3cret")
            with self.serve(Origin("http", "upstream.example", 80, proxy)) as served:
                answer = served.ask()
                assert answer.startswith(b"proxy: " + expected)
                assert b"s3cret" not in answer

    def test_proxy_that_is_not_there(self) -> None:
        """It is the proxy's fault, not the provider's."""
        with peer(echo_lines) as gone:
            pass
        with self.serve(Origin("http", "upstream.example", 80, Proxy("http", "127.0.0.1", gone.port))) as served:
            assert served.ask() == f"proxy: 127.0.0.1:{gone.port}: connection refused\n".encode()
