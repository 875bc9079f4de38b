"""Both loops stop in good order on the signals that ask for it. In this very process: `run` needs the main thread."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from dragoman.core.effects import Origin
from dragoman.transports.listeners import listen_tcp
from dragoman.transports.on_asyncio import server as asyncio_server
from dragoman.transports.on_trio import server as trio_server
from dragoman.transports.services import Service, Settings
from tests.transports.line_proxy import LineProxy, Notes
from tests.transports.peers import PATIENCE, listen_only, peer, read_to_end, read_until

Run = Callable[[Sequence[Service], Settings], None]


@pytest.fixture(autouse=True)
def _signals_are_harmless() -> Iterator[None]:
    """A signal that comes before the server listens for it, or after, must not end the test run."""
    before = [(number, signal.signal(number, lambda *_: None)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@contextlib.contextmanager
def visitor(visit: Callable[[], None], failures: list[BaseException]) -> Iterator[None]:
    """Do something in another thread meanwhile."""

    def target() -> None:
        try:
            visit()
        except BaseException as error:
            failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("run", [trio_server.run, asyncio_server.run], ids=["trio", "asyncio"])
def test_signals(run: Run, number: signal.Signals) -> None:
    """The first closes what is idle and lets the rest end, the second ends it; then `run` returns."""
    with peer(listen_only) as upstream:
        _check(run, number, Origin("http", "127.0.0.1", upstream.port))


def _check(run: Run, number: signal.Signals, origin: Origin) -> None:
    notes = Notes()
    listeners = listen_tcp("127.0.0.1", 0)
    address = listeners[0].getsockname()
    ready = threading.Event()
    failures: list[BaseException] = []

    def visit() -> None:
        assert ready.wait(PATIENCE)
        with socket.create_connection(address, PATIENCE) as idle, socket.create_connection(address, PATIENCE) as busy:
            busy.sendall(b"hello\n")
            notes.wait_for("opened 1")
            os.kill(os.getpid(), number)
            assert read_to_end(idle) == b""
            os.kill(os.getpid(), number)
            assert read_to_end(busy) == b"aborted\n"

    service = Service(listeners, lambda peer: LineProxy(origin, notes))
    with visitor(visit, failures):
        run([service], Settings(now=time.monotonic, on_ready=ready.set))
    assert failures == []


def test_asyncio_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    listeners = listen_tcp("127.0.0.1", 0)
    address = listeners[0].getsockname()
    failures: list[BaseException] = []

    def visit() -> None:
        with socket.create_connection(address, PATIENCE) as client:
            client.sendall(b"hello\n")
            assert read_until(client, b"end\n") == b"hello\nend\n"
            os.kill(os.getpid(), signal.SIGTERM)

    with visitor(visit, failures):
        asyncio_server.run([Service(listeners, lambda peer: LineProxy(None, Notes()))], Settings(now=time.monotonic))
    assert failures == []
