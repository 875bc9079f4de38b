"""Streams of the Responses API: named events, items within them, a response at the end.

What the reader minds: a call's name stands only in the event that adds its item; encrypted reasoning is whole only when its item
is done; every text is said twice, in pieces and whole, and some servers leave out the pieces, some the whole; there may be no
event names, no ids, no indices; items may interleave; an error is flat, nested, or a response that failed. Usage comes with the last
event, without which the stream was cut.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dragoman.core.chat.blocks import Reasoning
from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    Delta,
    Finished,
    RefusalDelta,
    SignatureDelta,
    TextDelta,
    ToolCallDelta,
    UsageUpdate,
)
from dragoman.core.dialects import reading
from dragoman.core.dialects.event_stream import EventStreamReader
from dragoman.core.dialects.openai_responses.answer import created_of, has_failed, parse_finish, parse_usage
from dragoman.core.dialects.openai_responses.content import parse_citation
from dragoman.core.dialects.openai_responses.errors import fault_in_stream
from dragoman.core.dialects.openai_responses.stream_item import CALLS, Item
from dragoman.core.sse import ServerSentEvent


class _Event(msgspec.Struct, gc=False):
    """Typed reading skips what nobody asked for."""

    type: str | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    annotation: dict[str, Any] | None = None
    logprobs: list[Any] | None = None
    response: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def _leniently(node: dict[str, Any]) -> _Event:
    """An event whose fields of a wrong type count as absent."""
    logprobs = node.get("logprobs")
    texts = ("type", "item_id", "delta", "text", "refusal", "arguments", "input")
    objects = ("item", "part", "annotation", "response", "usage")
    fields: dict[str, Any] = {key: reading.text_or_none(node, key) for key in texts}
    fields |= {key: reading.whole(node, key) for key in ("output_index", "content_index", "summary_index")}
    fields |= {key: reading.sub_object(node, key) or None for key in objects}
    return _Event(**fields, logprobs=logprobs if isinstance(logprobs, list) else None, error=node.get("error"))


class Reader(EventStreamReader):
    r"""Reads a stream; see `dragoman.core.dialects.dialect.StreamReader`.

    >>> event = b'data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Hi"}\n\n'
    >>> Reader().feed(event)[1:]
    [TextDelta(text='Hi', choice=0)]
    """

    def __init__(self) -> None:
        super().__init__()
        self._lessons = 0  # events are numbered, so each has a frame of its own
        self._answer_id: str | None = None  # None: nothing has begun
        self._items: dict[int, Item] = {}  # by their index
        self._by_id: dict[str, Item] = {}
        self._next = 0  # the index of an item that has none
        self._queue: list[Item] = []  # not done yet, in order; the first one writes into the stream
        self._open: Item | None = None  # the first one, while it only goes on: with events of this kind, for this part
        self._open_kind: str | None = None
        self._open_part: int | None = None
        self._open_delta: Callable[[str], Delta] = TextDelta
        self._alone: Reasoning | None = None  # a signature whose call may follow

    def _read(self, events: list[ServerSentEvent], out: list[Delta]) -> None:
        for sse in events:
            try:
                event = _decode(sse.data)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                read = self._read_oddity(sse.data, out)
                if read is None:
                    continue
                event = read
            item = self._open
            # Nearly every event is this one.
            if (
                item is not None
                and event.delta
                and event.type == self._open_kind
                and event.item_id == item.id
                and event.content_index == self._open_part
                and not event.logprobs
            ):
                item.said.append(event.delta)
                out.append(self._open_delta(event.delta))
            elif self._done:
                return
            else:
                self._open = None
                self._read_event(event, sse, out)

    def _read_oddity(self, data: bytes, out: list[Delta]) -> _Event | None:
        """What the typed reader does not take: the end of another format, another shape, or no JSON at all."""
        if data.strip() == b"[DONE]" and not self._done:
            self._fail(TRUNCATED, out)
        node = self._object(data)
        return None if node is None else _leniently(node)

    def _read_event(self, event: _Event, sse: ServerSentEvent, out: list[Delta]) -> None:
        kind = event.type or sse.event.decode("utf-8", "replace")
        if event.error or kind == "error":
            self._read_error(event, sse, out)
            return
        read = _EVENTS.get(kind)
        if read is not None:
            if self._queue:
                self._queue[0].out = out
            read(self, event, out)

    def _read_error(self, event: _Event, sse: ServerSentEvent, out: list[Delta]) -> None:
        flat = reading.whole_object(sse.data)
        error = (
            event.error if isinstance(event.error, dict) else {**flat, "message": event.error or flat.get("message")}
        )
        self._fail(fault_in_stream(error, flat), out)

    def _fail(self, fault: Fault, out: list[Delta]) -> None:
        self._open = None
        super()._fail(fault, out)

    # -- the response

    def _start(self, response: dict[str, Any], out: list[Delta]) -> None:
        if self._answer_id is None:
            self._answer_id = reading.text(response, "id")
            out.append(AnswerStarted(self._answer_id, reading.text(response, "model"), created_of(response)))

    def _begin(self, event: _Event, out: list[Delta]) -> None:
        self._start(event.response or {}, out)

    def _end(self, event: _Event, out: list[Delta]) -> None:
        response = event.response or {}
        if has_failed(response) or event.type in ("response.failed", "response.cancelled"):
            error = reading.sub_object(response, "error")
            self._count(reading.sub_object(response, "usage"), out)
            self._fail(fault_in_stream(error or {"message": "the response failed"}, {}), out)
            return
        self._start(response, out)
        output = reading.sub_objects(response, "output")
        for item in list(self._queue):
            if not item.is_done:
                self._finish(item, output[item.index] if 0 <= item.index < len(output) else {}, out)
        for index, node in enumerate(output):
            if index not in self._items and reading.text(node, "id") not in self._by_id:
                self._finish(self._add(node, index, out), node, out)
        self._release(None, out)
        self._count(reading.sub_object(response, "usage") or event.usage or {}, out)
        finish = parse_finish(
            {"status": "incomplete" if event.type == "response.incomplete" else "completed", **response},
            has_calls=any(item.kind in CALLS for item in self._items.values()),
            has_refusal=any(item.refused for item in self._items.values()),
        )
        self._done = True
        out += [Finished(finish), AnswerEnded()]

    def _count(self, usage: dict[str, Any], out: list[Delta]) -> None:
        if usage and self._answer_id is not None:
            self.usage = parse_usage(usage)
            out.append(UsageUpdate(self.usage))

    # -- items

    def _add(self, node: dict[str, Any], index: int | None, out: list[Delta]) -> Item:
        self._start({}, out)
        kind = reading.text(node, "type")
        if index is None or index in self._items:
            index = self._next
        self._next = max(self._next, index + 1)
        item = Item(kind, reading.text_or_none(node, "id"), index, self._answer_id or "", self.losses)
        self._items[index] = item
        if item.id is not None:
            self._by_id[item.id] = item
        if not self._queue:
            item.out = out
            self._release(item, out)
        self._queue.append(item)
        item.phase = reading.text_or_none(node, "phase")
        if kind in CALLS:
            item.start_call(node, is_last=False)
        return item

    def _release(self, item: Item | None, out: list[Delta]) -> None:
        """Give a lone signature to the call that it came before, or pass it on."""
        alone, self._alone = self._alone, None
        if alone is None or alone.signature is None:
            return
        if item is not None and item.kind in CALLS:
            item.signature = alone.signature
        else:
            out += [SignatureDelta(alone.signature, 0, alone.item_id), BlockEnded()]

    def _finish(self, item: Item, node: dict[str, Any], out: list[Delta]) -> None:
        """Complete an item; the ones behind it that were held come out."""
        self._alone = item.finish(node) or self._alone
        while self._queue and self._queue[0].is_done:
            self._queue.pop(0)
            if self._queue:
                self._release(None, out)
                out += self._queue[0].held
                self._queue[0].held = []
                self._queue[0].out = out

    def _item_of(self, event: _Event, kind: str, out: list[Delta]) -> Item | None:
        """The item an event belongs to, added now if nobody has; None when it is complete, or of another kind."""
        item = self._by_id.get(event.item_id or "")
        if item is None and event.output_index is not None:
            item = self._items.get(event.output_index)
        if item is None and event.item_id is None and event.output_index is None and self._queue:
            item = self._queue[-1]
        if item is None:
            item = self._add({"type": kind, "id": event.item_id}, event.output_index, out)
        return None if item.is_done or item.kind != kind else item

    def _added(self, event: _Event, out: list[Delta]) -> None:
        node = event.item or {}
        known = self._by_id.get(reading.text(node, "id"))
        if known is None:
            self._add(node, event.output_index, out)
        elif known.kind in CALLS:
            known.start_call(node, is_last=False)

    def _item_done(self, event: _Event, out: list[Delta]) -> None:
        node = event.item or {}
        ident = reading.text_or_none(node, "id")
        item = self._by_id.get(ident or "")
        if item is None and event.output_index is not None:
            item = self._items.get(event.output_index)
        if item is None or (item.is_done and ident is not None and ident != item.id):
            item = self._add(node, event.output_index, out)
        if not item.is_done:
            self._finish(item, node, out)

    # -- what an item is made of

    def _goes_on(self, item: Item, event: _Event, delta: Callable[[str], Delta]) -> None:
        """Expect that the next event is like this one."""
        if item is self._queue[0] and item.id == event.item_id and event.type is not None:
            self._open = item
            self._open_kind = event.type
            self._open_part = event.content_index
            self._open_delta = delta

    def _text_delta(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        if item is None or not event.delta:
            return
        item.more(TextDelta, event.content_index or 0, event.delta)
        item.tokens(event.logprobs, is_whole=False)
        if item.open is TextDelta:
            self._goes_on(item, event, TextDelta)

    def _text_done(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        part = event.content_index or 0
        if item is not None and part not in item.parts_done:
            item.whole(TextDelta, part, event.text or "")
            if item.open is TextDelta and item.part == part:
                item.tokens(event.logprobs, is_whole=True)

    def _refusal(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        if item is None:
            return
        if event.delta:
            item.more(RefusalDelta, event.content_index or 0, event.delta)
        elif event.refusal and (event.content_index or 0) not in item.parts_done:
            item.whole(RefusalDelta, event.content_index or 0, event.refusal)

    def _part_done(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        if item is not None and event.part is not None:
            item.whole_part(event.content_index or 0, event.part)

    def _cite(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        if item is not None and item.open is TextDelta and event.annotation is not None:
            item.notes.append(parse_citation(event.annotation))

    def _think(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "reasoning", out)
        if item is None:
            return
        is_summary = event.summary_index is not None
        part = (event.summary_index if is_summary else event.content_index) or 0
        if event.delta:
            item.think(part, event.delta, is_summary=is_summary)
        elif event.text:
            item.whole_thought(part, event.text, is_summary=is_summary)

    def _argue(self, event: _Event, out: list[Delta]) -> None:
        custom = event.type is not None and event.type.startswith("response.custom")
        item = self._item_of(event, "custom_tool_call" if custom else "function_call", out)
        if item is None:
            return
        if event.delta:
            item.argue(event.delta)
            if item.started:
                self._goes_on(item, event, ToolCallDelta)
        elif whole := event.input if custom else event.arguments:
            item.whole_arguments(whole)


_EVENTS: Mapping[str, Callable[[Reader, _Event, list[Delta]], None]] = {
    "response.created": Reader._begin,
    "response.queued": Reader._begin,
    "response.in_progress": Reader._begin,
    "response.completed": Reader._end,
    "response.incomplete": Reader._end,
    "response.failed": Reader._end,
    "response.cancelled": Reader._end,
    "response.output_item.added": Reader._added,
    "response.output_item.done": Reader._item_done,
    "response.content_part.done": Reader._part_done,
    "response.output_text.delta": Reader._text_delta,
    "response.output_text.done": Reader._text_done,
    "response.output_text.annotation.added": Reader._cite,
    "response.refusal.delta": Reader._refusal,
    "response.refusal.done": Reader._refusal,
    "response.reasoning_summary_text.delta": Reader._think,
    "response.reasoning_summary_text.done": Reader._think,
    "response.reasoning_text.delta": Reader._think,
    "response.reasoning_text.done": Reader._think,
    "response.function_call_arguments.delta": Reader._argue,
    "response.function_call_arguments.done": Reader._argue,
    "response.custom_tool_call_input.delta": Reader._argue,
    "response.custom_tool_call_input.done": Reader._argue,
}
