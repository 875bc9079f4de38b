"""HTTP/1.1 for the demo provider: one `DemoConnection` for each client socket, with the border of the core's connection.

A request is read whole, answered, and only then is the next one on the connection looked at. An answer is a script of writes,
each with the time it is due; `handle_timer` performs what is due and puts it in one `WriteClient`. h11 judges every head.
"""

import math
from collections import deque
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

import attrs
import h11

from dragoman.adapters.demo_provider import routes
from dragoman.adapters.demo_provider.reading import Request
from dragoman.adapters.demo_provider.reply import Ending, Reply
from dragoman.core.effects import CloseClient, Effect, WriteClient
from dragoman.core.half_borders import Upstreamless

MAX_HEAD: Final = 64 * 1024
MAX_BODY: Final = 64 * 1024 * 1024
# Bytes of the next request taken in while an answer is under way; then the client has to wait.
MAX_HELD: Final = 64 * 1024


@attrs.frozen
class DemoProvider:
    """The demo provider.

    Attributes:
        pace: Seconds between two events of a stream; 0 = all of it in one write.
        slowness: Seconds before the first byte of ``demo/slow``.

    """

    pace: float = 0.02
    slowness: float = 2.0

    def connect(self, peer: object = None) -> "DemoConnection":
        """Begin with a client that has just connected; who it is makes no difference."""
        return DemoConnection(self.pace, self.slowness)


class DemoConnection(Upstreamless):
    r"""The demo provider's end of one client's connection.

    Args:
        pace: Seconds between two events of a stream.
        slowness: Seconds before the first byte of ``demo/slow``.

    >>> connection = DemoConnection()
    >>> [written] = connection.client_sent(b"GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n", now=0.0)
    >>> written.data[:15]
    b'HTTP/1.1 200 OK'

    """

    def __init__(self, pace: float = 0.0, slowness: float = 2.0) -> None:
        self.is_closed = False
        self._pace = pace
        self._slowness = slowness
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._script: deque[tuple[float, bytes]] = deque()  # what is to be written, and when
        self._closes = False  # after the script
        self._is_silent = False  # an answer is due that never comes
        self._is_draining = False
        self._held = 0

    @property
    def is_reading(self) -> bool:
        """False while the client has sent too much ahead of its answer."""
        return not self.is_closed and self._held < MAX_HELD

    def next_deadline(self) -> float:
        """When to call `handle_timer`; infinity = never."""
        return self._script[0][0] if self._script else math.inf

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Take bytes from the client; ``b""`` = it closed."""
        if self.is_closed:
            return []
        if not data:
            return self._close()
        if self._is_answering():
            self._held += len(data)
        self._http.receive_data(data)
        return self._go_on(now)

    def handle_timer(self, now: float) -> list[Effect]:
        """Write what is due."""
        return self._go_on(now)

    def drain(self, now: float) -> list[Effect]:
        """Finish the answer in hand, then close."""
        self._is_draining = True
        self._closes = self._closes or bool(self._script)
        return [] if self.is_closed or self._is_answering() else self._close()

    def abort(self, now: float) -> list[Effect]:
        """Close at once."""
        return [] if self.is_closed else self._close()

    def _is_answering(self) -> bool:
        return bool(self._script) or self._is_silent

    def _close(self) -> list[Effect]:
        self.is_closed = True
        self._script.clear()
        return [CloseClient()]

    def _go_on(self, now: float) -> list[Effect]:
        """Write what is due and read what may be read, until there is nothing left of either."""
        written = bytearray()
        while not self.is_closed:
            while self._script and self._script[0][0] <= now:
                written += self._script.popleft()[1]
            if self._is_answering():
                break
            if self._closes:
                return [*_write(written), *self._close()]
            if not self._read(now, written):
                break
        return _write(written)

    def _read(self, now: float, written: bytearray) -> bool:
        """Read up to the end of one request and answer it; False = more bytes are needed."""
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                    self._body.clear()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MAX_BODY:
                        self._answer(routes.refuse(413, f"The body is over {MAX_BODY} bytes."), now)
                        return True
                elif isinstance(event, h11.EndOfMessage):
                    self._answer(self._find_reply(), now)
                    return True
                else:
                    if self._http.they_are_waiting_for_100_continue:
                        written += self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                    return False
        except h11.RemoteProtocolError as error:
            self._request = None
            self._answer(routes.refuse(error.error_status_hint, f"This is not HTTP/1.1: {error}."), now)
            return True

    def _find_reply(self) -> Reply:
        assert self._request is not None
        target = self._request.target.decode("latin-1")
        path, _, query = target.partition("?")
        request = Request(
            method=self._request.method.decode("latin-1"),
            path=unquote(path),
            query=dict(parse_qsl(query, keep_blank_values=True, max_num_fields=None)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in self._request.headers},
            raw=bytes(self._body),
        )
        self._body.clear()
        return routes.answer(request, slowness=self._slowness)

    def _answer(self, reply: Reply, now: float) -> None:
        """Turn a reply into a script."""
        self._held = 0
        if reply.ending is Ending.NEVER:
            self._is_silent = True
            return
        start = now + reply.delay
        if reply.ending is Ending.GARBAGE:
            self._script.append((start, b"\x16\x03 this is not HTTP\r\n\r\n"))
            self._closes = True
            return
        is_head = self._request is not None and self._request.method == b"HEAD"
        for number, data in enumerate(self._frame(reply, with_body=not is_head)):
            self._script.append((start + number * self._pace, data))
        if reply.ending is Ending.CUT or self._is_draining or self._http.our_state is not h11.DONE:
            self._closes = True
        elif self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._closes = True

    def _frame(self, reply: Reply, *, with_body: bool) -> list[bytes]:
        """The writes of a reply: the first event goes with the head, the end of the body with the last."""
        framing = ("transfer-encoding", "chunked") if reply.body is None else ("content-length", str(len(reply.body)))
        headers = [*reply.headers, framing, *([("connection", "close")] if self._is_draining else [])]
        reason = HTTPStatus(reply.status).phrase.encode()
        out = [self._http.send(h11.Response(status_code=reply.status, headers=headers, reason=reason)) or b""]
        pieces = (reply.events if reply.body is None else (reply.body,)) if with_body else ()
        if reply.ending is Ending.CUT and reply.body is not None:
            return [out[0] + reply.body[: len(reply.body) // 2]]
        out += [self._http.send(h11.Data(data=piece)) or b"" for piece in pieces]
        out[:2] = [b"".join(out[:2])]
        if reply.ending is Ending.COMPLETE:
            out[-1] += self._http.send(h11.EndOfMessage()) or b""
        return out


def _write(data: bytearray) -> list[Effect]:
    return [WriteClient(bytes(data))] if data else []
