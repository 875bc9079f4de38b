"""What readers of event streams have in common: pieces in, the end of the body, what is no JSON, and events known without reading.

Nearly all events of a stream differ in nothing but one string. Once such an event has been read, its `Frame` is what stands before and
behind the string; the next event between the same two is known without being parsed, which is twice as fast. Nothing is guessed: what
stands between must be one JSON string, so the event can only be the one that was read, with another text.

May not live here: anything that one dialect means by its events.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.stream import Delta, StreamFailed
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.errors import BadStream
from dragoman.core.json_text import loads
from dragoman.core.sse import EventReader, ServerSentEvent, events_of


class Frame(msgspec.Struct, frozen=True, gc=False):
    """What surrounds the one string that changes from event to event.

    Attributes:
        head: What stands before it, from the first byte of the event.
        tail: What stands behind it.
        end: `tail` and the blank line.
        make: What the string says.

    """

    head: bytes
    tail: bytes
    end: bytes
    make: Callable[[str], Delta]


_STRING = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)


def frame_of(block: bytes, key: bytes, text: str, make: Callable[[str], Delta]) -> Frame | None:
    """The frame of an event that says `text` under `key`; None when it could be mistaken for another."""
    mark = b'"%b":' % key
    at = block.find(mark)
    if at < 1 or block[at - 1 : at] == b"\\" or block.find(mark, at + 1) >= 0:
        return None
    found = _STRING.match(block, at + len(mark))
    if found is None or _string(found[1]) != text:
        return None
    tail = block[found.end() :]
    return Frame(block[: found.start(1)], tail, tail + b"\n\n", make)


def _string(data: bytes) -> str:
    """The string that is JSON in `data`; empty when it is none."""
    try:
        text = orjson.loads(data)
    except ValueError:
        return ""
    return text if type(text) is str else ""


_LESSONS = 64  # frames that are looked for in one stream: where every event has another, nothing is gained


class EventStreamReader(ABC):
    """A `dragoman.core.dialects.dialect.StreamReader` of server-sent events.

    Attributes:
        losses: What could not be read.
        usage: Token usage, as last said.

    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.usage: TokenUsage | None = None
        self._events = EventReader()
        self._done = False  # it has ended or failed: what follows is not read
        self._frame: Frame | None = None  # of the event that has just been read, if the next may have it, too
        self._known: Frame | None = None  # the last one there was
        self._lesson: tuple[bytes, str, Callable[[str], Delta]] | None = (
            None  # what that event said, and under which key
        )
        self._lessons = _LESSONS

    def feed(self, data: bytes) -> list[Delta]:
        """Take a piece."""
        out: list[Delta] = []
        frame = self._frame
        # Nearly every piece is this one: an event of the last one's frame.
        if frame is not None and data.startswith(frame.head) and data.endswith(frame.end) and self._events.is_between:
            text = _string(data[len(frame.head) : -len(frame.end)])
            if text:
                out.append(frame.make(text))
                return out
        if self._done:
            return out
        try:
            blocks = self._events.blocks(data)
        except BadStream as error:
            self._fail(Fault("internal", error.message, error.status), out)
            return out
        self._read_blocks(blocks, out)
        return out

    def _read_blocks(self, blocks: list[bytes], out: list[Delta]) -> None:
        """Read events, those of a known frame without a look at their JSON."""
        if self._known is None and not self._lessons:
            self._read(events_of(blocks), out)
            return
        for block in blocks:
            frame = self._frame
            if frame is not None and block.startswith(frame.head) and block.endswith(frame.tail):
                text = _string(block[len(frame.head) : len(block) - len(frame.tail)])
                if text:
                    out.append(frame.make(text))
                    continue
            self._frame = None
            self._read(events_of((block,)), out)
            if self._done:
                return
            if self._lesson is not None:
                self._learn(block, *self._lesson)
                self._lesson = None

    def _learn(self, block: bytes, key: bytes, text: str, make: Callable[[str], Delta]) -> None:
        """Expect that the next event is like this one."""
        known = self._known
        if known is None or known.make != make or not (block.startswith(known.head) and block.endswith(known.tail)):
            if not self._lessons:
                return
            self._lessons -= 1
            known = self._known = frame_of(block, key, text, make)
        self._frame = known

    def close(self) -> list[Delta]:
        """The body has ended."""
        out: list[Delta] = []
        if not self._done:
            self._read(self._events.close(), out)
        if not self._done:
            self._cut(out)
        return out

    @abstractmethod
    def _read(self, events: list[ServerSentEvent], out: list[Delta]) -> None:
        """Read events; stop when `_done`. Note in `_lesson` what may come again."""

    def _cut(self, out: list[Delta]) -> None:
        """The body has ended before the stream did."""
        self._fail(TRUNCATED, out)

    def _fail(self, fault: Fault, out: list[Delta]) -> None:
        self._done = True
        self._frame = None
        out.append(StreamFailed(fault))

    def _object(self, data: bytes) -> dict[str, Any] | None:
        """The JSON object of an event that the typed reader does not take; None when it is none, which is lost aloud."""
        try:
            node = loads(data)
        except ValueError:
            if data.strip() not in (b"", b"[DONE]"):
                self.losses.append(Loss("answer", "dropped", "an event of the stream is not JSON"))
            return None
        return node if isinstance(node, dict) else None
