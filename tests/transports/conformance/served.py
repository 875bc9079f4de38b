"""A server under test: how it is run, and how its clients see it."""

import contextlib
import gc
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs

from dragoman.core.effects import Origin
from dragoman.transports.driver import Connection
from dragoman.transports.listeners import listen_tcp
from dragoman.transports.services import Service, Settings
from tests.transports.line_proxy import LineProxy, Notes
from tests.transports.peers import PATIENCE, Peer

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


class Suite:
    """A part of the suite.

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
