"""What every transport does, whatever event loop it stands on: one suite, run for each by a subclass of `Conformance`.

A subclass says how to serve; the suite talks to it over real sockets, as clients and providers do.
"""

import contextlib
import errno
import gc
import math
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import attrs
import pytest

from dragoman.core.effects import Effect, LocalAnswer, LocalRequest, Origin, Proxy, Step, WriteClient
from dragoman.transports.driver import Connection
from dragoman.transports.listeners import listen_tcp, listen_unix
from dragoman.transports.services import Service, Settings
from dragoman.transports.serving import WORKERS
from dragoman.transports.tls import server_context
from tests.transports import certificates
from tests.transports.line_proxy import LineProxy, Notes
from tests.transports.peers import (
    PATIENCE,
    Peer,
    connect_proxy,
    echo_lines,
    listen_only,
    peer,
    read_to_end,
    read_until,
    reset,
    socks_proxy,
)

MIB = 1024 * 1024
# More than the buffers of two loopback connections hold: 4 MiB to send and 6 MiB to receive each, at most, on Linux.
FLOOD = 48 * MIB
CLOCK = time.monotonic


class Stoppable(Protocol):
    """A server that runs in another thread."""

    def stop(self) -> None:
        """Ask it to stop; may be called from any thread."""
        ...


ServerThread = Callable[[Sequence[Service], Settings], contextlib.AbstractContextManager[Stoppable]]


@attrs.define
class Served:
    """A server under test, as its clients see it."""

    port: int
    notes: Notes
    errors: list[Exception]
    server: Stoppable

    def dial(self) -> socket.socket:
        """Connect a client."""
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def ask(self, line: bytes = b"hello\n") -> bytes:
        """One exchange on a connection of its own, to its end or the end of the connection."""
        with self.dial() as sock:
            sock.sendall(line)
            data = b""
            while not data.endswith(b"end\n") and (piece := sock.recv(65536)):
                data += piece
            return data


def run_in_thread(run: Callable[[Callable[[Callable[[], None]], None]], None]) -> Iterator[Stoppable]:
    """Run a server in a thread, for the time of a ``with``; helps subclasses to serve.

    Args:
        run: Runs the server to its end; is given a function to call with a thread-safe ``stop`` once it serves.

    """
    ready = threading.Event()
    stops: list[Callable[[], None]] = []
    errors: list[BaseException] = []

    def tell(stop: Callable[[], None]) -> None:
        stops.append(stop)
        ready.set()

    def target() -> None:
        try:
            run(tell)
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    class Handle:
        def stop(self) -> None:
            stops[0]()

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        if stops:
            yield Handle()
    finally:
        for _ in range(2):
            with contextlib.suppress(RuntimeError, IndexError):  # it has ended already
                stops[0]()
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not thread.is_alive(), "the server did not end"


def send_often(client: socket.socket, piece: bytes, times: int, pause: float = 0.0) -> None:
    """The same, again and again, unless the other side has closed."""
    for _ in range(times):
        client.sendall(piece)
        time.sleep(pause)


def origin_of(upstream: Peer, scheme: str = "http", host: str = "127.0.0.1", **more: object) -> Origin:
    """Where a peer is."""
    return Origin(scheme, host, upstream.port, **more)  # type: ignore[arg-type]


class Conformance:
    """The suite.

    Attributes:
        server_thread: Serves in a thread, for the time of a ``with``.
        resolves_in_python: Names go through `socket.getaddrinfo`.

    """

    server_thread: ServerThread
    resolves_in_python = True

    @contextlib.contextmanager
    def serve(
        self,
        origin: Origin | None = None,
        *,
        connect: Callable[[Notes], Connection] | None = None,
        seconds: float = math.inf,
        listeners: Sequence[socket.socket] | None = None,
        tls: ssl.SSLContext | None = None,
        limit: int = 10_000,
        **settings: object,
    ) -> Iterator[Served]:
        """Serve `LineProxy`, or what `connect` makes."""
        notes = Notes()
        errors: list[Exception] = []
        sockets = listeners or listen_tcp("127.0.0.1", 0)
        port = sockets[0].getsockname()[1] if sockets[0].family != socket.AF_UNIX else 0
        make = connect or (lambda notes: LineProxy(origin, notes, seconds))
        service = Service(sockets, lambda peer: make(notes), tls, limit)
        told = Settings(now=CLOCK, on_error=errors.append, **settings)  # type: ignore[arg-type]
        with type(self).server_thread([service], told) as server:
            served = Served(port, notes, errors, server)
            yield served
        gc.collect(1)  # a socket that was not closed warns now, and a warning is an error; young objects are enough
        if connect is None:
            assert errors == []

    # Clients

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

    # Upstreams

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

    # Backpressure

    def test_slow_client_stops_the_upstream(self) -> None:
        """Memory stays flat: the upstream cannot send more than the kernel's buffers hold, until the client reads on."""
        sent = [0]

        def flood(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            piece = b"x" * 65535 + b"\n"
            while sent[0] < FLOOD:
                sock.sendall(piece)
                sent[0] += len(piece)
            sock.sendall(b"end\n")

        with peer(flood) as upstream, self.serve(origin_of(upstream)) as served, served.dial() as client:
            client.sendall(b"go\n")
            held = _settled(sent)
            assert held < FLOOD / 2
            count = 0
            while count < FLOOD + 4:
                count += len(client.recv(MIB)) or pytest.fail("closed")
            assert (count, sent[0]) == (FLOOD + 4, FLOOD)

    def test_slow_client_stops_the_upstream_through_tls(self, tmp_path: Path) -> None:
        """On both sides of us."""
        sent = [0]

        def flood(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            piece = b"x" * 65535 + b"\n"
            while sent[0] < FLOOD:
                sock.sendall(piece)
                sent[0] += len(piece)
            sock.sendall(b"end\n")

        tls = certificates.serving("localhost")
        ca_file = certificates.write_ca_file(tmp_path)
        with (
            peer(flood, tls=tls) as upstream,
            self.serve(origin_of(upstream, "https", "localhost", ca_file=ca_file), tls=tls) as served,
            served.dial() as plain,
            certificates.trusting().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"go\n")
            assert _settled(sent) < FLOOD / 2
            count = 0
            while count < FLOOD + 4:
                count += len(client.recv(MIB)) or pytest.fail("closed")
            assert (count, sent[0]) == (FLOOD + 4, FLOOD)

    def test_slow_upstream_stops_the_client(self) -> None:
        """The same the other way round."""
        go_on = threading.Event()
        received = [0]

        def read_late(sock: socket.socket) -> None:
            assert go_on.wait(PATIENCE)
            while received[0] < FLOOD:
                received[0] += len(sock.recv(MIB))
            sock.sendall(b"end\n")

        with peer(read_late) as upstream, self.serve(origin_of(upstream)) as served, served.dial() as client:
            sent = [0]

            def flood() -> None:
                piece = b"x" * 65536
                while sent[0] < FLOOD:
                    client.sendall(piece)
                    sent[0] += len(piece)

            thread = threading.Thread(target=flood, daemon=True)
            thread.start()
            held = _settled(sent)
            assert held < FLOOD / 2
            go_on.set()
            assert read_until(client, b"end\n") == b"end\n"
            thread.join(PATIENCE)
            assert received[0] == FLOOD

    def test_slow_client_that_leaves(self) -> None:
        """A client that is backed up and resets is noticed all the same."""

        def flood(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            while True:
                sock.sendall(b"x" * 65536)

        with peer(flood) as upstream, self.serve(origin_of(upstream)) as served:
            client = served.dial()
            client.sendall(b"go\n")
            client.recv(1)
            time.sleep(0.1)
            reset(client)
            upstream.wait_until_left()
            served.notes.wait_for("client left")

    # TLS

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

    # Proxies

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

    # What is answered elsewhere

    def test_serves_from_the_loop_and_from_a_thread(self) -> None:
        """In turns: the loop's thread, a worker's, the loop's again."""
        threads: list[str] = []

        def serve(request: LocalRequest) -> Step:
            threads.append(threading.current_thread().name)
            if request.path == "serve at once":
                return LocalAnswer(200, b"now")
            return work

        def work() -> Step:
            threads.append(threading.current_thread().name)
            return finish

        def finish() -> Step:
            threads.append(threading.current_thread().name)
            return lambda: LocalAnswer(200, b"later")

        with self.serve(serve=serve) as served, served.dial() as client:
            client.sendall(b"serve at once\n")
            assert read_until(client, b"end\n") == b"now\nend\n"
            client.sendall(b"serve in a thread\n")
            assert read_until(client, b"end\n") == b"later\nend\n"
        loop, again, worker, back = threads
        assert loop == again == back != worker

    def test_a_slow_answer_holds_up_nobody(self) -> None:
        """And not more than so many threads work, however many ask."""
        going = threading.Semaphore(0)
        count = threading.Lock()
        at_work, most = 0, 0

        def work() -> Step:
            nonlocal at_work, most
            with count:
                at_work += 1
                most = max(most, at_work)
            assert going.acquire(timeout=PATIENCE)
            with count:
                at_work -= 1
            return LocalAnswer(200, b"slow")

        with self.serve(serve=lambda request: work) as served, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(served.dial()) for _ in range(2 * WORKERS)]
            for client in clients:
                client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            going.release(len(clients))
            for client in clients:
                assert read_until(client, b"end\n") == b"slow\nend\n"
        assert 1 <= most <= WORKERS

    @pytest.mark.parametrize("in_thread", [False, True])
    def test_bug_in_an_answer_ends_nothing(self, in_thread: bool) -> None:
        """It is reported, and the connection goes on."""

        def fail() -> Step:
            raise RuntimeError("secret")

        with self.serve(
            connect=lambda notes: LineProxy(None, notes), serve=lambda request: fail if in_thread else fail()
        ) as served:
            with served.dial() as client:
                client.sendall(b"serve\n")
                assert read_until(client, b"end\n") == b"failed\nend\n"
                client.sendall(b"hello\n")
                assert read_until(client, b"end\n") == b"hello\nend\n"
            (error,) = served.errors
            assert "RuntimeError at tests/transports/conformance.py" in str(error)
            assert "secret" not in str(error)

    def test_client_that_leaves_while_it_is_served(self) -> None:
        """The answer is for nobody."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"late")

        with self.serve(serve=lambda request: work) as served:
            with served.dial() as client:
                client.sendall(b"serve\n")
                assert served.ask() == b"hello\nend\n"
            served.notes.wait_for("client left")
            going.set()
            assert served.ask(b"serve\n") == b"late\nend\n"

    def test_draining_waits_for_an_answer(self) -> None:
        """It is in hand."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"last")

        with self.serve(serve=lambda request: work) as served, served.dial() as client:
            client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            served.server.stop()
            served.notes.wait_for("drain")
            going.set()
            assert read_to_end(client) == b"last\nend\n"

    def test_an_answer_that_never_comes_does_not_hold_up_the_end(self) -> None:
        """Its client gets an error; the thread is left behind."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"too late")

        with self.serve(serve=lambda request: work, drain_seconds=0.05) as served, served.dial() as client:
            client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            began = time.monotonic()
            served.server.stop()
            assert read_to_end(client) == b"aborted\n"
            assert time.monotonic() - began < 1.5
        going.set()

    # The end

    def test_drains(self) -> None:
        """Idle connections close, new ones are refused, exchanges in hand end, then everything is over."""
        with peer(echo_lines) as upstream, self.serve(origin_of(upstream)) as served:
            with served.dial() as busy, served.dial() as idle:
                busy.sendall(b"hel")
                served.notes.wait_for("opened 1")
                served.server.stop()
                assert read_to_end(idle) == b""
                with pytest.raises(ConnectionRefusedError):
                    served.dial()
                busy.sendall(b"lo\n")
                assert read_to_end(busy) == b"hello\nend\n"
            upstream.wait_until_left()
            assert "abort" not in served.notes.lines

    def test_draining_has_an_end(self) -> None:
        """An exchange that takes too long is ended with an error."""
        with peer(listen_only) as upstream, self.serve(origin_of(upstream), drain_seconds=0.05) as served:
            with served.dial() as client:
                client.sendall(b"hello\n")
                served.notes.wait_for("opened 1")
                began = time.monotonic()
                served.server.stop()
                assert read_to_end(client) == b"aborted\n"
                assert 0.04 < time.monotonic() - began < 0.9
            upstream.wait_until_left()

    def test_second_stop_ends_at_once(self) -> None:
        """Whoever asks twice does not want to wait."""
        with peer(listen_only) as upstream, self.serve(origin_of(upstream)) as served, served.dial() as client:
            client.sendall(b"hello\n")
            served.notes.wait_for("opened 1")
            served.server.stop()
            served.notes.wait_for("drain")
            served.server.stop()
            assert read_to_end(client) == b"aborted\n"
            assert upstream.wait_until_left()

    def test_client_that_reads_nothing_does_not_hold_up_the_end(self) -> None:
        """Two seconds for the last words, and no more."""

        def flood(sock: socket.socket) -> None:
            read_until(sock, b"\n")
            while True:
                sock.sendall(b"x" * 65536)

        with (
            peer(flood) as upstream,
            self.serve(origin_of(upstream), drain_seconds=0) as served,
            served.dial() as client,
        ):
            client.sendall(b"go\n")
            client.recv(1)
            served.server.stop()
            began = time.monotonic()
            upstream.wait_until_left()
            assert time.monotonic() - began < 3

    @pytest.mark.parametrize("ends", [True, False])
    def test_jobs_finish_what_they_have_begun(self, ends: bool) -> None:
        """They are drained first and ended last; one that comes to no end is waited for no longer than for last words."""
        notes = Notes()

        class Job(LineProxy):
            due = math.inf

            def next_deadline(self) -> float:
                return self.due

            def drain(self, now: float) -> list[Effect]:
                notes.add("job drained")
                self.due = now + (0.05 if ends else 60.0)
                return []

            def handle_timer(self, now: float) -> list[Effect]:
                notes.add("job done")
                self.due = math.inf
                return []

            def abort(self, now: float) -> list[Effect]:
                notes.add("job aborted")
                return []

        began = time.monotonic()
        with self.serve(jobs=[Job(None, notes)]) as served:
            served.server.stop()
        assert notes.lines[:-1] == ["job drained", *(["job done"] if ends else []), "job aborted"]
        assert time.monotonic() - began < 5.0

    def test_several_services(self) -> None:
        """Each on its own sockets, one leading to the other; `on_ready` is called once, when all listen."""
        notes = Notes()
        inner, outer = listen_tcp("127.0.0.1", 0), listen_tcp("127.0.0.1", 0)
        origin = Origin("http", "127.0.0.1", inner[0].getsockname()[1])
        services = [
            Service(inner, lambda peer: LineProxy(None, notes)),
            Service(outer, lambda peer: LineProxy(origin, notes)),
        ]
        ready: list[int] = []
        settings = Settings(now=CLOCK, on_ready=lambda: ready.append(1))
        with type(self).server_thread(services, settings) as server:
            assert ready == [1]
            served = Served(outer[0].getsockname()[1], notes, [], server)
            assert served.ask() == b"hello\nend\n"


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


def _settled(count: list[int]) -> int:
    """Wait until a count grows no more."""
    end = time.monotonic() + PATIENCE
    last = -1
    while last != count[0] or not last:
        assert time.monotonic() < end
        last = count[0]
        time.sleep(0.15)
    return last
