r"""``text/event-stream``, both ways.

Reads as the WHATWG standard says (section "Server-sent events", interpretation of event streams): lines end in LF, CR or CRLF,
cut anywhere; one leading BOM is skipped; several ``data`` lines are joined by LF; comments and unknown fields are ignored. One
deviation, which the SDKs share: an event not closed by a blank line when the stream ends is delivered, so that a lost last
newline loses no answer. Data stays bytes; whoever reads JSON out of it decodes it.

>>> reader = EventReader()
>>> reader.feed(b"event: ping\ndata: {}\n\ndata: a")
[ServerSentEvent(data=b'{}', event=b'ping', id=b'', retry=None)]
>>> reader.feed(b"b\r\n\r\n")
[ServerSentEvent(data=b'ab', event=b'', id=b'', retry=None)]
"""

from collections.abc import Iterable

import msgspec

from dragoman.core.errors import BadStream

# A whole image may come as one base64 event: providers limit those to 20 MB, so 64 MiB is ample.
MAX_EVENT = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event. A Struct, because attrs values cost 250 ns more each and there is one per token.

    Attributes:
        data: The data lines joined by LF; may be empty.
        event: The event's name; empty when none was given.
        id: The id given with this event; empty when none was.
        retry: Milliseconds, when given.

    """

    data: bytes
    event: bytes = b""
    id: bytes = b""
    retry: int | None = None


class EventReader:
    """Reads events from pieces of a stream, cut anywhere.

    Args:
        max_event: The largest event to hold, in bytes.

    """

    __slots__ = ("_begun", "_cr", "_held", "_max", "_size")

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self._held: list[bytes] = []  # pieces of the event not yet complete, line ends already LF
        self._size = 0
        self._cr = False  # the last piece ended in CR: a LF that begins the next one belongs to it
        self._begun = False
        self._max = max_event

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take a piece and return the events that are complete now.

        Raises:
            BadStream: An event is larger than `max_event`.

        """
        return events_of(self.blocks(data))

    def blocks(self, data: bytes) -> list[bytes]:
        """The same, for whoever knows many of them without reading: each event as it came, line ends LF, without its blank line."""
        if not data:
            return []
        if not self._begun:
            data = self._skip_bom(data)
        if self._cr and data:
            self._cr = False
            if data[0] == 10:
                data = data[1:]
        if b"\r" in data:
            self._cr = data[-1] == 13
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        held = self._held
        if held:
            if b"\n\n" not in data and not (data.startswith(b"\n") and held[-1].endswith(b"\n")):
                return self._hold(data)
            held.append(data)
            data = b"".join(held)
            held.clear()
            self._size = 0
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._hold(rest)
        return blocks

    def close(self) -> list[ServerSentEvent]:
        """Tell that the stream has ended and return the event that lacked only its blank line, if any."""
        rest = b"".join(self._held)
        self._held.clear()
        self._size = 0
        return events_of([rest])

    @property
    def is_between(self) -> bool:
        """Whether the last piece ended with an event, so that the next begins with one."""
        return not self._held and not self._cr and self._begun

    @property
    def held(self) -> bytes:
        """What has come of the event that is not complete."""
        return b"".join(self._held)

    def _hold(self, data: bytes) -> list[bytes]:
        if data:
            self._held.append(data)
            self._size += len(data)
            if self._size > self._max:
                raise BadStream(f"an event of the stream is larger than {self._max} bytes")
        return []

    def _skip_bom(self, data: bytes) -> bytes:
        data = b"".join([*self._held, data])
        self._held.clear()
        self._size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._hold(data)
            return b""
        self._begun = True
        return data.removeprefix(_BOM)


def events_of(blocks: Iterable[bytes]) -> list[ServerSentEvent]:
    """Read blocks; those that say nothing are no events."""
    out: list[ServerSentEvent] = []
    for block in blocks:
        # The two shapes that providers send are read without looking at single lines.
        if block.startswith(b"data: ") and b"\n" not in block:
            out.append(ServerSentEvent(block[6:]))
        elif block.startswith(b"event: "):
            name, _, rest = block.partition(b"\n")
            if rest.startswith(b"data: ") and b"\n" not in rest:
                out.append(ServerSentEvent(rest[6:], name[7:]))
            else:
                _read_lines(block, out)
        elif block:
            _read_lines(block, out)
    return out


def _read_lines(block: bytes, out: list[ServerSentEvent]) -> None:
    data: list[bytes] | None = None
    event = ident = b""
    retry: int | None = None
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            if data is None:
                data = []
            data.append(value)
        elif field == b"event":
            event = value
        elif field == b"id":
            ident = ident if b"\0" in value else value
        elif field == b"retry" and value.isdigit() and len(value) < 10:
            retry = int(value)
    if data is not None:
        out.append(ServerSentEvent(b"\n".join(data), event, ident, retry))


class WholeEvents:
    """Passes a stream on event by event, so that an error can follow where it is cut."""

    __slots__ = ("_has_passed", "_held", "_is_events", "_last")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._last = b""  # the end of what is held: a blank line may be cut in two
        self._is_events = True
        self._has_passed = False

    def feed(self, data: bytes, *, passes: bool) -> bytes:
        """Take a piece and return what is complete, if anything may pass yet."""
        if not self._held and not self._last and data[:1] in (b"[", b"{"):
            self._is_events = False  # an array of JSON, which Gemini sends unless asked for events
        if passes and self._has_passed and not self._held and data.endswith(b"\n\n"):
            self._last = data[-3:]
            return data
        self._held.append(data)
        if not passes:
            return b""
        if not self._is_events:
            return self.rest()
        # Only what is new is searched, and the three bytes before it.
        look = self._last + data if self._has_passed else b"".join(self._held)
        self._has_passed = True
        self._last = look[-3:]
        after = len(look) - max(look.rfind(b"\n\n") + 2, look.rfind(b"\n\r\n") + 3, look.rfind(b"\r\r") + 2)
        if after >= len(look) - 2:  # none of the three was found
            return b""
        whole = self.rest()
        if after:
            self._held.append(whole[-after:])
        return whole[: len(whole) - after]

    def rest(self) -> bytes:
        """What is held."""
        out = b"".join(self._held)
        self._held.clear()
        return out


def write_event(data: bytes, event: bytes = b"") -> bytes:
    r"""Write one event; line ends within `data` become further data lines.

    >>> write_event(b'{"type":"ping"}', b"ping")
    b'event: ping\ndata: {"type":"ping"}\n\n'
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    return b"event: %b\ndata: %b\n\n" % (event, data) if event else b"data: %b\n\n" % data


def write_comment(text: bytes = b"") -> bytes:
    r"""Write a comment, which every reader must ignore: a sign of life.

    >>> write_comment(b"ping")
    b': ping\n\n'
    """
    return b": %b\n\n" % text.replace(b"\n", b" ").replace(b"\r", b" ")
