"""A webhook on a loopback port, as Apprise's ``json://`` asks for: it remembers what it is told, refuses, or hangs."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SECRET: Final = "t0ken-in-url"


class Webhook:
    """The webhook.

    Attributes:
        port: Where it listens.
        statuses: What it answers next, in order; then 200.
        told: What it was told, oldest first.
        let_go: Set: whoever hangs is answered.

    """

    def __init__(self, *, hangs: bool = False) -> None:
        self.statuses: list[int] = []
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.asked = threading.Event()
        self.let_go = threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = json.loads(self.rfile.read(int(self.headers["content-length"])))
                webhook.asked.set()
                if hangs:
                    webhook.let_go.wait(60)
                status = webhook.statuses.pop(0) if webhook.statuses else 200
                if status == 200:
                    webhook.told.put(data)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """For Apprise; tries are a tenth of a second apart."""
        return f"json://user:{SECRET}@127.0.0.1:{self.port}/hook/?wait=0.1"

    def close(self) -> None:
        """Stop."""
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextlib.contextmanager
def webhook(*, hangs: bool = False) -> Iterator[Webhook]:
    """Run one until the block ends."""
    hook = Webhook(hangs=hangs)
    try:
        yield hook
    finally:
        hook.close()
