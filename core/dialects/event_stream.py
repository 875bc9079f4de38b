"""What readers of event streams have in common: pieces in, the end of the body, and what is no JSON.

May not live here: anything that one dialect means by its events.
"""

from abc import ABC, abstractmethod
from typing import Any

from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.stream import Delta, StreamFailed
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.errors import BadStream
from dragoman.core.json_text import loads
from dragoman.core.sse import EventReader, ServerSentEvent


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

    def feed(self, data: bytes) -> list[Delta]:
        """Take a piece."""
        out: list[Delta] = []
        if self._done:
            return out
        try:
            events = self._events.feed(data)
        except BadStream as error:
            self._fail(Fault("internal", error.message, error.status), out)
            return out
        self._read(events, out)
        return out

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
        """Read events; stop when `_done`."""

    def _cut(self, out: list[Delta]) -> None:
        """The body has ended before the stream did."""
        self._fail(TRUNCATED, out)

    def _fail(self, fault: Fault, out: list[Delta]) -> None:
        self._done = True
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
