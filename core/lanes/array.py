"""Gemini's streams as one JSON array, for clients that do not ask for events."""

from collections.abc import Sequence

import msgspec

from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.json_text import loads
from dragoman.core.lanes.lane import EVENTS, JSON, Flow, Lane, Reply
from dragoman.core.sse import EventReader, ServerSentEvent


class AsArray:
    """A lane whose streams become JSON arrays."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.path, self.body = lane.path, lane.body
        self.losses, self.asked, self.applied = lane.losses, lane.asked, lane.applied
        self.error = lane.error

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer; made into a stream, because the client asked for one, it is an array like any other."""
        reply = self._lane.answer(head, body, now)
        if EVENTS not in reply.fields:
            return reply
        fields = [JSON if field == EVENTS else field for field in reply.fields]
        elements = [event.data for event in EventReader().feed(reply.body)]
        return msgspec.structs.replace(reply, fields=fields, body=b"[" + b"\n,".join(elements) + b"]")

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream, as an array."""
        found = self._lane.flow(head, now)
        return None if found is None else _as_array(*found)

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The same, before the provider has said anything."""
        return _as_array(*self._lane.early_flow(now))


def _as_array(fields: list[Field], flow: Flow) -> tuple[list[Field], Flow]:
    return [*(field for field in fields if field[0] != b"content-type"), JSON], ArrayFlow(flow)


class ArrayFlow:
    r"""A stream of Gemini's events as one JSON array, which is what its API sends unless asked for events.

    An error in mid-stream is the array's last element, as Google's own streams have it.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._reader = EventReader()
        self._is_open = False

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        return self._flow.fault

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._flow.usage

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be said to the client."""
        return self._flow.losses

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return the elements in it."""
        return self._elements(self._reader.feed(self._flow.feed(data)))

    def end(self) -> bytes:
        """What is left, and the end of the array."""
        rest = self._elements([*self._reader.feed(self._flow.end()), *self._unended()])
        return rest + b"]" if self._is_open else rest

    def fail(self, fault: Fault) -> bytes:
        """An error as the last element."""
        last = self._elements([*self._reader.feed(self._flow.fail(fault)), *self._unended()])
        return last + b"]"

    def _unended(self) -> list[ServerSentEvent]:
        """The last event, if only its end is missing: half of it would break the whole array."""
        return [event for event in self._reader.close() if _is_json(event.data)]

    def _elements(self, events: Sequence[ServerSentEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            out += (b"\n," if self._is_open else b"[", event.data)
            self._is_open = True
        return b"".join(out)


def _is_json(data: bytes) -> bool:
    try:
        loads(data)
    except ValueError:
        return False
    return True
