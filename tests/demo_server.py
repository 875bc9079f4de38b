"""The demo provider behind a real loopback socket, with blocking sockets and threads: an upstream for any test.

>>> import urllib.request
>>> with serve_demo() as url:
...     urllib.request.urlopen(url + "/v1/models").status
200
"""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from dragoman.adapters.demo_provider import DemoProvider
from dragoman.core.effects import CloseClient, Effect, WriteClient


class ServedConnection(Protocol):
    """The client's half of the core's border, which is all of it that needs no upstream."""

    @property
    def is_reading(self) -> bool:
        """Whether to read on."""
        ...

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Take bytes."""
        ...

    def handle_timer(self, now: float) -> list[Effect]:
        """Do what is due."""
        ...

    def next_deadline(self) -> float:
        """When something is due."""
        ...


@contextlib.contextmanager
def serve_demo(pace: float = 0, slowness: float = 0.05) -> Iterator[str]:
    """Serve the demo provider on a port of its own; yields ``http://127.0.0.1:PORT``.

    Args:
        pace: Seconds between two events of a stream.
        slowness: Seconds before the first byte of ``demo/slow``.

    """
    provider = DemoProvider(pace=pace, slowness=slowness)
    with serve_connections(lambda: provider.connect()) as url:
        yield url


@contextlib.contextmanager
def serve_connections(connect: Callable[[], ServedConnection]) -> Iterator[str]:
    """Serve whatever `connect` makes for each client; all sockets are closed and all threads joined at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def accept() -> None:
        while True:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                if ending.is_set():
                    client.close()
                    return
                sockets.append(client)
                threads.append(threading.Thread(target=_converse, args=(client, connect(), ending), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        ending.set()
        # close() does not wake a blocked accept(); a last connection does.
        with contextlib.suppress(OSError), socket.create_connection((host, port)):
            pass
        acceptor.join(5)
        listener.close()
        for client in sockets:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def _converse(client: socket.socket, connection: ServedConnection, ending: threading.Event) -> None:
    """Move bytes between one client and its connection until either ends it."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, contextlib.suppress(OSError):
        while not ending.is_set():
            deadline = connection.next_deadline()
            if connection.is_reading:
                client.settimeout(None if deadline == math.inf else max(deadline - time.time(), 0.0001))
                try:
                    effects = connection.client_sent(client.recv(65536), time.time())
                except TimeoutError:
                    effects = connection.handle_timer(time.time())
            else:
                ending.wait(None if deadline == math.inf else max(deadline - time.time(), 0))
                effects = connection.handle_timer(time.time())
            client.settimeout(None)
            for effect in effects:
                if isinstance(effect, WriteClient):
                    client.sendall(effect.data)
                elif isinstance(effect, CloseClient):
                    _close(client)
                    return


def _close(client: socket.socket) -> None:
    """Close so that the last answer is not destroyed by a reset (RFC 9112, section 9.6)."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1)
    while client.recv(65536):
        pass
