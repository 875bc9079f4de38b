"""A small HTTP server with answers laid out for it, and a socket that says what it is told to: for what asks once and short."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen
class Said:
    """An answer: a status, a body, further headers."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@attrs.define
class SmallServer:
    """A running server.

    Attributes:
        url: Where.
        answers: By path with query; 404 for what is not in it.
        asked: Method, path and headers (names in lower case) of what came.

    """

    url: str
    answers: dict[str, Said]
    asked: list[tuple[str, str, dict[str, str]]] = attrs.field(factory=list)


@contextlib.contextmanager
def small_server(answers: Mapping[str, Said], *, date: str | None = None) -> Iterator[SmallServer]:
    """Serve `answers` while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            said = server.answers.get(self.path, Said(404))
            self.send_response_only(said.status)
            if date is not None:
                self.send_header("Date", date)
            for name, value in said.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = SmallServer(f"http://127.0.0.1:{listener.server_port}", dict(answers))
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)


@contextlib.contextmanager
def raw_server(said: bytes | None) -> Iterator[str]:
    """Say `said` to the first who connects, whatever is asked, and close; None: say nothing while the block runs."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.recv(65536)
                    if said is None:
                        over.wait(10)
                    else:
                        client.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with contextlib.suppress(OSError), socket.create_connection(listener.getsockname(), 1):
                pass
            thread.join(5)
