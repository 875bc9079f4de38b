"""What goes back over HTTP, and how: whole or in pieces, at once or late, to its end or not."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import attrs
import orjson

Headers = tuple[tuple[str, str], ...]

SSE: Final[Headers] = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


class Ending(Enum):
    """How an answer ends."""

    COMPLETE = "complete"
    CUT = "cut"  #: the connection closes in the middle of it
    NEVER = "never"  #: no byte is ever sent
    GARBAGE = "garbage"  #: what is sent is not HTTP


@attrs.frozen
class Reply:
    """One response.

    Attributes:
        status: Of HTTP.
        headers: Without those of framing.
        body: All of it, or None when it is streamed.
        events: The pieces of a stream, in order.
        ending: How it ends.
        delay: Seconds before the first byte.

    """

    status: int
    headers: Headers
    body: bytes | None
    events: tuple[bytes, ...] = ()
    ending: Ending = Ending.COMPLETE
    delay: float = 0.0


def json_reply(value: object, *, status: int = 200, headers: Headers = ()) -> Reply:
    """Answer with JSON."""
    return Reply(status, (("content-type", "application/json"), *headers), orjson.dumps(value))


def sse_reply(events: list[bytes], *, headers: Headers = ()) -> Reply:
    """Answer with a stream of events."""
    return Reply(200, (*SSE, *headers), None, tuple(events))


def sse(data: Mapping[str, Any], event: str = "") -> bytes:
    r"""Write one event.

    >>> sse({"a": 1}, "ping")
    b'event: ping\ndata: {"a":1}\n\n'
    """
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"
