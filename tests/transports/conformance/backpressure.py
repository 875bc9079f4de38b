"""Whoever is slow slows whoever sends, and nobody else."""

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.transports import certificates
from tests.transports.conformance.served import FLOOD, MIB, Suite, origin_of
from tests.transports.peers import PATIENCE, peer, read_until, reset


class Backpressure(Suite):
    """Whoever is slow slows whoever sends, and nobody else."""

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


def _settled(count: list[int]) -> int:
    """Wait until a count grows no more."""
    end = time.monotonic() + PATIENCE
    last = -1
    while last != count[0] or not last:
        assert time.monotonic() < end
        last = count[0]
        time.sleep(0.15)
    return last
