"""The end of a server: in good order, or at once."""

import math
import socket
import time

import pytest

from dragoman.core.effects import Effect, Origin
from dragoman.transports.listeners import listen_tcp
from dragoman.transports.services import Service, Settings
from tests.transports.conformance.served import CLOCK, Served, Suite, origin_of
from tests.transports.line_proxy import LineProxy, Notes
from tests.transports.peers import echo_lines, listen_only, peer, read_to_end, read_until


class Ending(Suite):
    """The end of a server: in good order, or at once."""

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
