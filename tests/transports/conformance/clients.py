"""Clients: how they connect, ask, leave, and are limited."""

import contextlib
import errno
import math
import socket
import stat
import time
from pathlib import Path

import pytest

from dragoman.core.effects import Effect, WriteClient
from dragoman.transports.driver import Connection
from dragoman.transports.listeners import listen_tcp, listen_unix
from tests.transports.conformance.served import MIB, Suite, origin_of, send_often
from tests.transports.line_proxy import LineProxy, Notes
from tests.transports.peers import PATIENCE, echo_lines, listen_only, peer, read_to_end, read_until


class Clients(Suite):
    """Clients: how they connect, ask, leave, and are limited."""

    def test_answers(self) -> None:
        """Two writes in one list of effects arrive as one piece."""
        with self.serve() as served, served.dial() as client:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"hello\nend\n"

    def test_request_in_many_pieces(self) -> None:
        """However a client cuts what it sends."""
        with self.serve() as served, served.dial() as client:
            for byte in b"hello":
                client.sendall(bytes([byte]))
                assert client.recv(100) == bytes([byte])
            client.sendall(b"\n")
            assert read_until(client, b"end\n") == b"\nend\n"

    def test_many_clients_at_once(self) -> None:
        """200 of them, each through the same upstream."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream)) as served, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(served.dial()) for _ in range(200)]
            for number, client in enumerate(clients):
                client.sendall(b"%d\n" % number)
            for number, client in enumerate(clients):
                assert read_until(client, b"end\n") == b"%d\nend\n" % number

    def test_answer_survives_a_client_that_talks_on(self) -> None:
        """What comes after the last answer is read and dropped: a reset would destroy the answer (RFC 9112, 9.6)."""
        with self.serve() as served, served.dial() as client:
            client.sendall(b"bye\n")
            time.sleep(0.05)  # so that it is a piece of its own
            client.sendall(b"x" * 8_000_000)
            assert read_to_end(client) == b"bye\nend\n"

    def test_client_that_talks_on_for_ever_is_cut_off(self) -> None:
        """Dropping has an end: 64 MiB."""
        piece = bytes(1024 * 1024)
        with self.serve() as served, served.dial() as client:
            client.sendall(b"bye\n")
            assert read_to_end(client) == b"bye\nend\n"
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                send_often(client, piece, 128)

    def test_client_that_does_not_close_is_closed(self) -> None:
        """It has its second to read the last answer, and nothing more is taken then."""
        with self.serve() as served, served.dial() as client:
            client.sendall(b"bye\n")
            assert read_to_end(client) == b"bye\nend\n"
            time.sleep(0.5)
            client.sendall(b"x")  # not closed yet: it has one second more, for it still sends
            time.sleep(3.0)
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                send_often(client, b"x", 10, pause=0.05)

    def test_client_that_half_closes_gets_its_last_answer(self) -> None:
        """However long the answer, and however slowly it is read."""
        answer = b"x" * (16 * MIB)

        class Long(LineProxy):
            def client_sent(self, data: bytes, now: float) -> list[Effect]:
                return [WriteClient(answer), *self._close()] if data else super().client_sent(data, now)

        with self.serve(connect=lambda notes: Long(None, notes)) as served, served.dial() as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            assert len(read_to_end(client)) == len(answer)
            assert served.errors == []

    def test_deadline_comes_in_time(self) -> None:
        """The core says when; the transport wakes it then."""
        with peer(listen_only) as upstream, self.serve(origin_of(upstream), seconds=0.1) as served:
            began = time.monotonic()
            assert served.ask() == b"too late\n"
            assert 0.1 <= time.monotonic() - began < 0.5
            upstream.wait_until_left()

    def test_later_deadline_is_later(self) -> None:
        """A deadline of another connection does not disturb it."""
        seconds = iter([0.5, 0.05])
        with peer(listen_only) as upstream:
            origin = origin_of(upstream)
            with self.serve(connect=lambda notes: LineProxy(origin, notes, next(seconds))) as served:
                with served.dial() as slow:
                    began = time.monotonic()
                    slow.sendall(b"1\n")
                    served.notes.wait_for("opened 1")
                    assert served.ask() == b"too late\n"
                    assert time.monotonic() - began < 0.5
                    assert read_to_end(slow) == b"too late\n"
                    assert 0.5 <= time.monotonic() - began < 1.5
                assert served.errors == []

    def test_bug_ends_one_connection(self) -> None:
        """The others live on, and somebody is told."""
        with self.serve(connect=lambda notes: LineProxy(None, notes)) as served, served.dial() as other:
            with served.dial() as client:
                client.sendall(b"bug\n")
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(100) == b""
            assert [str(error) for error in served.errors] == ["a bug"]
            other.sendall(b"hello\n")
            assert read_until(other, b"end\n") == b"hello\nend\n"

    @pytest.mark.parametrize("method", ["upstream_opened", "upstream_sent", "handle_timer", "next_deadline"])
    def test_bug_anywhere_ends_one_connection(self, method: str) -> None:
        """Whichever input it is in."""

        def fail(*_: object) -> None:
            raise RuntimeError(f"a bug in {method}")

        def connect(notes: Notes) -> Connection:
            proxy = LineProxy(origin, notes, 0.05 if method == "handle_timer" else math.inf)
            setattr(proxy, method, fail)
            return proxy

        with peer(listen_only if method == "handle_timer" else echo_lines) as upstream:
            origin = origin_of(upstream)
            with self.serve(connect=connect) as served:
                for _ in range(2):
                    with contextlib.suppress(OSError):
                        assert served.ask() == b""
            assert {str(error) for error in served.errors} == {f"a bug in {method}"}

    def test_connection_that_cannot_be_made(self) -> None:
        """A bug before there is a connection."""

        def fail(notes: Notes) -> Connection:
            raise RuntimeError("a bug")

        with self.serve(connect=fail) as served:
            with contextlib.suppress(ConnectionResetError):
                assert served.ask(b"") == b""
            assert [str(error) for error in served.errors] == ["a bug"]

    def test_limit_of_clients(self) -> None:
        """One too many waits in the queue until another has gone."""
        with self.serve(limit=2) as served, served.dial() as first, served.dial() as second:
            for client in (first, second):
                client.sendall(b"1\n")
                read_until(client, b"end\n")
            with served.dial() as third:
                third.sendall(b"3\n")
                third.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    third.recv(100)
                first.close()
                third.settimeout(PATIENCE)
                assert read_until(third, b"end\n") == b"3\nend\n"

    def test_limit_of_clients_over_several_listeners(self) -> None:
        """The place that is given back goes to whoever waits, at whichever address."""
        listeners = [*listen_tcp("127.0.0.1", 0), *listen_tcp("127.0.0.1", 0)]
        with self.serve(limit=1, listeners=listeners) as served, contextlib.ExitStack() as stack:
            first = stack.enter_context(served.dial())
            first.sendall(b"1\n")
            read_until(first, b"end\n")
            others = [stack.enter_context(socket.create_connection(one.getsockname(), PATIENCE)) for one in listeners]
            time.sleep(0.05)
            first.close()
            for other in others:  # whichever of them has it, it gives it to the other
                other.sendall(b"bye\n")
            for other in others:
                assert read_to_end(other) == b"bye\nend\n"
                other.close()

    def test_no_sockets_left(self) -> None:
        """Accepting fails for a while; then it goes on."""

        class Scarce(socket.socket):
            fails = 2

            def accept(self) -> tuple[socket.socket, object]:
                if Scarce.fails:
                    Scarce.fails -= 1
                    raise OSError(errno.EMFILE, "Too many open files")
                return super().accept()

        (listener,) = listen_tcp("127.0.0.1", 0)
        scarce = Scarce(fileno=listener.detach())
        scarce.setblocking(False)
        with self.serve(listeners=[scarce]) as served:
            assert served.ask() == b"hello\nend\n"
        assert not Scarce.fails

    def test_unix_socket(self, tmp_path: Path) -> None:
        """Only its owner may use it, and it is gone afterwards."""
        path = tmp_path / "socket"
        with self.serve(listeners=[listen_unix(str(path))]):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(path))
                client.sendall(b"hello\n")
                assert read_until(client, b"end\n") == b"hello\nend\n"
        assert not path.exists()

    def test_ipv6(self) -> None:
        """On both sides."""
        with contextlib.ExitStack() as stack:
            try:
                upstream = stack.enter_context(peer(echo_lines, family=socket.AF_INET6))
            except OSError:
                pytest.skip("this machine has no IPv6")
            origin = origin_of(upstream, host="::1")
            served = stack.enter_context(self.serve(origin, listeners=listen_tcp("::1", 0)))
            client = stack.enter_context(socket.create_connection(("::1", served.port), PATIENCE))
            client.sendall(b"hello\n")
            assert read_until(client, b"end\n") == b"hello\nend\n"
