"""Providers: opened, kept, limited, refused, given up."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from dragoman.core.effects import Origin, Proxy
from tests.transports.conformance.served import Suite, origin_of
from tests.transports.line_proxy import LineProxy
from tests.transports.peers import PATIENCE, echo_lines, listen_only, peer, read_to_end, read_until, reset


class Upstreams(Suite):
    """Providers: opened, kept, limited, refused, given up."""

    def test_connection_is_used_again(self) -> None:
        """By the next exchange of the same client, and by another client."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream)) as served:
            with served.dial() as client:
                for word in (b"one\n", b"two\n"):
                    client.sendall(word)
                    assert read_until(client, b"end\n") == word + b"end\n"
            assert served.ask(b"three\n") == b"three\nend\n"
            assert upstream.accepted == 1
            assert served.notes.lines.count("opened 1 reused") == 1
            assert served.notes.lines.count("opened 2 reused") == 1

    def test_pieces_arrive_as_they_are_sent(self) -> None:
        """Nothing waits for the end of an answer."""
        go_on = threading.Semaphore(0)

        def stream(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            for number in range(5):
                sock.sendall(b"%d\n" % number)
                assert go_on.acquire(timeout=PATIENCE)
            sock.sendall(b"end\n")

        with peer(stream) as upstream, self.serve(origin_of(upstream)) as served, served.dial() as client:
            client.sendall(b"go\n")
            for number in range(5):
                assert client.recv(100) == b"%d\n" % number
                go_on.release()
            assert client.recv(100) == b"end\n"

    @pytest.mark.parametrize("leave", [socket.socket.close, reset])
    def test_client_that_leaves_is_noticed_upstream(self, leave: Callable[[socket.socket], None]) -> None:
        """Within 100 ms, by the provider, which would compute tokens for nobody."""
        with peer(listen_only) as upstream, self.serve(origin_of(upstream)) as served:
            took = []
            for count in range(1, 4):  # thrice, for a busy machine has its pauses
                client = served.dial()
                client.sendall(b"hello\n")
                while upstream.accepted < count:
                    time.sleep(0.002)
                left_at = time.monotonic()
                leave(client)
                took.append(upstream.wait_until_left(count) - left_at)
            assert min(took) < 0.1
            assert served.notes.lines.count("client left") == 3

    def test_client_that_leaves_stops_the_opening(self) -> None:
        """A connection that is not up yet is given up."""
        with peer(listen_only) as silent:
            origin = Origin("http", "127.0.0.1", 1, Proxy("http", "127.0.0.1", silent.port))
            with self.serve(origin) as served:
                client = served.dial()
                client.sendall(b"hello\n")
                while not silent.accepted:
                    time.sleep(0.002)
                left_at = time.monotonic()
                client.close()
                assert silent.wait_until_left() - left_at < 0.1

    @pytest.mark.parametrize("leave", [socket.socket.close, reset])
    def test_upstream_that_leaves(self, leave: Callable[[socket.socket], None]) -> None:
        """What it sent before arrives."""

        def answer_half(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            sock.sendall(b"half")
            time.sleep(0.02)
            leave(sock)

        with peer(answer_half) as upstream, self.serve(origin_of(upstream)) as served:
            assert served.ask() == b"half"
            assert served.notes.lines[:2] == ["opened 1", "upstream left"]

    def test_idle_connection_that_was_closed_is_not_used(self) -> None:
        """The next exchange gets a new one."""

        def answer_once(sock: socket.socket) -> None:
            sock.sendall(read_until(sock, b"\n") + b"end\n")

        with peer(answer_once) as upstream, self.serve(origin_of(upstream)) as served:
            for count in range(1, 4):
                assert served.ask() == b"hello\nend\n"
                upstream.wait_until_left(count)
                time.sleep(0.1)  # until it is noticed here, too
            assert upstream.accepted == 3
            assert not [line for line in served.notes.lines if "reused" in line]

    def test_idle_connection_that_talks_is_not_used(self) -> None:
        """Whatever it says would be taken for the next answer."""

        def talk(sock: socket.socket) -> None:
            sock.sendall(read_until(sock, b"\n") + b"end\n")
            time.sleep(0.02)
            sock.sendall(b"junk")
            sock.recv(1)

        with peer(talk) as upstream, self.serve(origin_of(upstream)) as served:
            for count in range(1, 3):
                assert served.ask() == b"hello\nend\n"
                upstream.wait_until_left(count)
            assert upstream.accepted == 2

    def test_fresh_connection_when_the_idle_one_is_dead(self) -> None:
        """A connection that dies as it is taken: the core asks for a fresh one, and gets it."""
        dies = threading.Event()

        def answer_once(sock: socket.socket) -> None:
            sock.sendall(read_until(sock, b"\n") + b"end\n")
            if not dies.is_set():
                dies.set()
                read_until(sock, b"\n")
            else:
                echo_lines(sock)

        with peer(answer_once) as upstream, self.serve(origin_of(upstream)) as served:
            assert served.ask() == b"hello\nend\n"
            assert served.ask() == b"hello\nend\n"
            assert [line for line in served.notes.lines if "left" not in line or "upstream" in line] == [
                "opened 1",
                "opened 1 reused",
                "upstream left",
                "opened 2",
            ]

    def test_idle_connections_expire(self) -> None:
        """They are closed in time."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream), upstream_idle_seconds=0.05) as served:
            assert served.ask() == b"hello\nend\n"
            done_at = time.monotonic()
            assert 0.04 < upstream.wait_until_left() - done_at < 0.6

    def test_limit_of_idle_connections(self) -> None:
        """The oldest go."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream), upstream_idle=1) as served:
            with served.dial() as one, served.dial() as two:
                for client in (one, two):
                    client.sendall(b"1")
                served.notes.wait_for("opened 1")
                while upstream.accepted < 2:
                    time.sleep(0.002)
                for client in (one, two):
                    client.sendall(b"\n")
                    read_until(client, b"end\n")
                upstream.wait_until_left()
                assert served.ask() == b"hello\nend\n"
            assert upstream.accepted == 2

    def test_limit_of_open_connections(self) -> None:
        """One too many fails at once; when the other is done, it goes again."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream), upstream_connections=1) as served:
            with served.dial() as one:
                one.sendall(b"1")
                served.notes.wait_for("opened 1")
                assert served.ask() == b"limit: 1 connections are open already\n"
                one.sendall(b"\n")
                read_until(one, b"end\n")
            assert served.ask() == b"hello\nend\n"

    def test_refused(self) -> None:
        """Nobody listens."""
        with peer(echo_lines) as gone:
            pass
        with self.serve(origin_of(gone)) as served:
            assert served.ask() == f"refused: 127.0.0.1:{gone.port}: connection refused\n".encode()

    def test_unresolved(self) -> None:
        """No such name; this one cannot even be asked for."""
        with self.serve(Origin("http", "no..such", 1)) as served:
            assert served.ask().startswith(b"unresolved: the name no..such does not resolve: ")

    def test_unresolved_for_a_proxy(self) -> None:
        """A SOCKS5 proxy that resolves nothing is given no name."""
        with peer(listen_only) as between:
            proxy = Proxy("socks5", "127.0.0.1", between.port)
            with self.serve(Origin("http", "no..such", 1, proxy)) as served:
                assert served.ask().startswith(b"unresolved: the name no..such does not resolve: ")

    def test_next_address_while_the_first_is_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Happy eyeballs: one address refuses, one never answers, the third is not waited for long."""
        if not self.resolves_in_python:
            pytest.skip("names are not resolved in Python here")
        with peer(echo_lines) as upstream, contextlib.ExitStack() as stack:
            _swallow_connections("127.0.0.3", upstream.port, stack)
            hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
            asked = socket.getaddrinfo

            def resolve(host: str | bytes | None, *rest: object, **more: object) -> list[object]:
                is_name = more.get("flags") != socket.AI_NUMERICHOST and host in ("three.example", b"three.example")
                if not is_name:
                    return asked(host, *rest, **more)  # type: ignore[arg-type, return-value]
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, upstream.port)) for name in hosts]

            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            with self.serve(origin_of(upstream, host="three.example")) as served:
                began = time.monotonic()
                assert served.ask() == b"hello\nend\n"
                assert 0.2 < time.monotonic() - began < 1.5
                hosts.pop()
                client = served.dial()
                client.sendall(b"hello\n")  # goes to the idle connection, whose address is not asked again
                assert read_until(client, b"end\n") == b"hello\nend\n"
                client.close()
        assert upstream.accepted == 1

    def test_bug_in_opening_ends_one_attempt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ours or a library's: the core is told that it failed, and somebody is told why."""

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("dragoman.transports.upstreams.handshake_with", fail)
        with peer(listen_only) as between:
            origin = Origin("http", "a.example", 80, Proxy("http", "127.0.0.1", between.port))
            with self.serve(connect=lambda notes: LineProxy(origin, notes)) as served:
                assert served.ask() == b"refused: it could not be opened: RuntimeError\n"
                assert [str(error) for error in served.errors] == ["a bug"]

    def test_answer_before_the_end_of_the_request(self) -> None:
        """The rest of the request is still unsent: it would be the beginning of the next one, so the connection goes."""
        go_on, arrived = threading.Event(), threading.Event()

        def interrupt(sock: socket.socket) -> None:
            assert go_on.wait(PATIENCE)
            sock.sendall(b"end\n")
            assert arrived.wait(PATIENCE)
            read_to_end(sock)

        with peer(interrupt) as upstream, self.serve(origin_of(upstream)) as served, served.dial() as client:
            client.settimeout(0.3)
            with contextlib.suppress(TimeoutError):  # when nothing moves any more
                while True:
                    client.send(b"x" * 65536)
            go_on.set()
            client.settimeout(PATIENCE)
            assert (
                client.recv(len(b"end\n")) == b"end\n"
            )  # what is left of the request is another one, with an answer of its own
            arrived.set()
            upstream.wait_until_left()
            assert "opened 2 reused" not in served.notes.lines


def _swallow_connections(host: str, port: int, stack: contextlib.ExitStack) -> None:
    """Make an address at which connections are neither accepted nor refused: its listen queue is full."""
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(0)
    for _ in range(4):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex((host, port))
