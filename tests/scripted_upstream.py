"""A provider on a loopback port that does what the model's name says, and remembers what it was asked.

Threads and blocking sockets; a model it has no script for is answered properly.
"""

import contextlib
import json
import select
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import attrs

# Odd spacing, unknown fields, unsorted keys: whoever reads and writes it again would change it.
ANSWER: Final = (
    b'{ "object":"chat.completion", "id": "chatcmpl-1","created":1,"model": "m",  "zz_unknown": {"a" : [1 ,2.0, 1e5]},\n'
    b' "choices":[{"index":0,"finish_reason":"stop","logprobs":null,"message":{"role":"assistant","content":"Hi \\u00fc","refusal":null}}],\n'
    b' "usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3}} }\n'
)
ERROR: Final = b'{"error" : {"message":"Your prompt is  naughty","type":"invalid_request_error","param":"messages","code":"naughty"},"extra":1}'
LIMITED: Final = (
    b'{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}'
)

MODELS: Final = (
    b'{"object":"list","data":[{"id":"gpt-x","object":"model","created":7},{"id":"org/other","object":"model"}]}'
)

_CHUNK = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
USAGE_EVENT: Final = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
DONE: Final = b"data: [DONE]\n\n"


def event(text: str, finish: str = "null") -> bytes:
    """A chunk of a streamed answer."""
    delta = json.dumps({"content": text}) if text else "{}"
    return f"data: {_CHUNK % (delta, finish)}\n\n".encode()


@attrs.frozen
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.json["model"])

    @property
    def authorization(self) -> str:
        """The credential shown; empty when none was."""
        return self.headers.get("authorization", "")


class ScriptedUpstream:
    """The provider.

    Attributes:
        url: ``http://127.0.0.1:PORT``.
        asked: Every request, oldest first.
        left: Set when a client left in the middle of an endless stream.

    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.left = threading.Event()
        self._lock = threading.Lock()
        upstream = self

        class Handler(_Handler):
            owner = upstream

        class Server(ThreadingHTTPServer):
            request_queue_size = 256  # a hundred streams may begin at once

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def remember(self, asked: Asked) -> int:
        """Keep a request; returns how many for its model there have been, this one too."""
        with self._lock:
            self.asked.append(asked)
            return sum(1 for other in self.asked if other.body and other.model == asked.model)

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self.asked.clear()
        self.left.clear()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextlib.contextmanager
def scripted_upstream() -> Iterator[ScriptedUpstream]:
    """Run one until the block ends."""
    upstream = ScriptedUpstream()
    try:
        yield upstream
    finally:
        upstream.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ScriptedUpstream

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def setup(self) -> None:
        """Never wait forever for a client of a test that failed."""
        super().setup()
        self.connection.settimeout(60)

    def do_POST(self) -> None:
        """Do what the model's name says."""
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        count = self.owner.remember(asked)
        script = SCRIPTS.get(asked.model)
        with contextlib.suppress(OSError):
            if script is not None:
                script(self, count)
            elif asked.json.get("stream"):
                self.stream([event("Hel"), event("lo"), event("", '"stop"')], asked)
            else:
                self.answer(200, ANSWER, ("x-request-id", "up-1"), ("x-ratelimit-remaining-requests", "41"))

    def do_GET(self) -> None:
        """List two models; there is nothing else to get."""
        with contextlib.suppress(OSError):
            if self.path == "/v1/models":
                self.answer(200, MODELS)
            else:
                self.answer(404, b"{}")

    def answer(self, status: int, body: bytes, *headers: tuple[str, str], kind: str = "application/json") -> None:
        """Answer whole."""
        self.send_response(status)
        for name, value in (("content-type", kind), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        """The head of a stream."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """A piece of it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def stream(self, events: list[bytes], asked: Asked) -> None:
        """Stream, with usage if it is asked for."""
        wanted = (asked.json.get("stream_options") or {}).get("include_usage")
        self.begin_stream()
        for data in [*events, *([USAGE_EVENT] if wanted else []), DONE]:
            self.chunk(data)
        self.wfile.write(b"0\r\n\r\n")

    def raw(self, data: bytes) -> None:
        """Bytes, and the end of the connection."""
        self.wfile.write(data)
        self.close_connection = True

    def until_left(self) -> None:
        """Wait until the client leaves."""
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True
        self.owner.left.set()


def _cut(handler: _Handler, _: int) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n" + ANSWER[:100])


def _cut_stream(handler: _Handler, _: int) -> None:
    handler.begin_stream()
    handler.chunk(event("Hel"))
    handler.close_connection = True


def _endless(handler: _Handler, _: int) -> None:
    handler.begin_stream()
    for number in range(100_000):
        handler.chunk(event(f"{number} "))
        if select.select([handler.connection], [], [], 0.1)[0]:
            break
    handler.until_left()


def _stalled(handler: _Handler, _: int) -> None:
    handler.begin_stream()
    handler.chunk(event("Hel"))
    handler.until_left()


def _limited_once(handler: _Handler, count: int) -> None:
    if count == 1:
        handler.answer(429, LIMITED, ("retry-after", "30"))
    else:
        handler.answer(200, ANSWER)


#: By the upstream model's name.
SCRIPTS: Final[dict[str, Callable[[_Handler, int], None]]] = {
    "naughty": lambda handler, _: handler.answer(400, ERROR, ("x-request-id", "up-2")),
    "limited": lambda handler, _: handler.answer(429, LIMITED, ("retry-after", "30"), ("x-ratelimit-reset", "9")),
    "limited-once": _limited_once,
    "html": lambda handler, _: handler.answer(502, b"<html><h1>Bad Gateway</h1></html>", kind="text/html"),
    "garbage": lambda handler, _: handler.raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "closes": lambda handler, _: handler.raw(b""),
    "cut": _cut,
    "cut-stream": _cut_stream,
    "silent": lambda handler, _: handler.until_left(),
    "stalled": _stalled,
    "endless": _endless,
}
