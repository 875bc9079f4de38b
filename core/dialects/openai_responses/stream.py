"""Streams of the Responses API: named events, items within them, a response at the end.

What the reader minds: a call's name stands only in the event that adds its item; encrypted reasoning is whole only when its item
is done; every text is said twice, in pieces and whole, and some servers leave out the pieces, some the whole; there may be no
event names, no ids, no indices; items may interleave; an error is flat, nested, or a response that failed. Usage comes with the last
event, without which the stream was cut.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dragoman.core.chat.blocks import CallKind, Citation, Reasoning
from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.loss import Loss, Losses
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    CitationDelta,
    Delta,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    WholeBlock,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_responses.answer import created_of, has_failed, parse_finish, parse_usage
from dragoman.core.dialects.openai_responses.content import parse_citation, parse_citations
from dragoman.core.dialects.openai_responses.errors import fault_in_stream
from dragoman.core.dialects.openai_responses.items import belongs_to_a_call, parse_item, parse_signature
from dragoman.core.errors import BadRequest, BadStream
from dragoman.core.json_text import loads
from dragoman.core.sse import EventReader, ServerSentEvent


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


_DELTAS: Mapping[type, Callable[[str], Delta]] = {TextDelta: TextDelta, RefusalDelta: RefusalDelta}
_CALLS: Mapping[str, CallKind] = {"function_call": "function", "custom_tool_call": "custom"}


class _Item:
    """One item as far as it has come. Its deltas go to `out`, which is the stream itself when it is its turn."""

    __slots__ = (
        "answer_id", "held", "id", "index", "is_done", "is_summary", "joint", "kind", "logprobs", "losses", "notes", "open", "out",
        "part", "parts_done", "refused", "said", "signature", "started",
    )  # fmt: skip

    def __init__(self, kind: str, ident: str | None, index: int, answer_id: str, losses: list[Loss]) -> None:
        self.kind = kind
        self.id = ident
        self.index = index
        self.answer_id = answer_id
        self.losses = losses
        self.held: list[Delta] = []  # until the items before it are done
        self.out: list[Delta] = self.held
        self.open: type | None = None  # of the open block, by the delta that makes it up
        self.part = 0  # which part of the item is being read
        self.parts_done: set[int] = set()
        self.said: list[str] = []  # of that part, or of the call's arguments
        self.notes: list[Citation] = []
        self.logprobs = False
        self.refused = False
        self.joint = ""  # what stands before the open part of reasoning
        self.is_summary = False
        self.signature: Signature | None = None  # of a call, brought along before it
        self.started = False  # of a call: whether it has been passed on
        self.is_done = False

    # -- parts of a message

    def more(self, kind: type, part: int, text: str) -> None:
        """More of a part's text."""
        if part in self.parts_done:
            return
        if self.open is not kind or self.part != part:
            self.close()
            self.open = kind
            self.part = part
            self.said = []
        self.refused = self.refused or kind is RefusalDelta
        self.said.append(text)
        self.out.append(_DELTAS[kind](text))

    def whole(self, kind: type, part: int, text: str) -> None:
        """The whole text of a part: what has not come in pieces comes now."""
        is_open = self.open is kind and self.part == part
        rest = self._rest(text) if is_open else text
        if rest:
            self.more(kind, part, rest)

    def _rest(self, text: str) -> str:
        said = "".join(self.said)
        if text.startswith(said):
            return text[len(said) :]
        self.losses.append(Loss("answer.blocks", "changed", "the whole of a text was not what its pieces had said"))
        return ""

    def whole_part(self, part: int, node: dict[str, Any]) -> None:
        """A part that is complete."""
        if part in self.parts_done:
            return
        if reading.text(node, "type") == "refusal":
            self.whole(RefusalDelta, part, reading.text(node, "refusal"))
        elif reading.text(node, "type") == "output_text":
            self.whole(TextDelta, part, reading.text(node, "text"))
            if self.open is TextDelta and self.part == part:
                self.notes += list(parse_citations(node))[len(self.notes) :]
                self.tokens(node.get("logprobs"), is_whole=True)
        if self.part == part:
            self.close()
        self.parts_done.add(part)

    def tokens(self, found: Any, *, is_whole: bool) -> None:
        """Probabilities, which come with the pieces or with the whole."""
        if isinstance(found, list) and found and not (is_whole and self.logprobs):
            self.logprobs = True
            self.out.append(LogprobsDelta(found))

    def close(self) -> None:
        """Close the open block, if any."""
        if self.open is None:
            return
        self.out += [CitationDelta(note) for note in self.notes]
        self.out.append(BlockEnded())
        if self.open is not ReasoningDelta:
            self.parts_done.add(self.part)
        self.open = None
        self.notes = []
        self.logprobs = False

    # -- reasoning: one block, its parts with a blank line between them

    def think(self, part: int, text: str, *, is_summary: bool) -> None:
        """More of a part of reasoning. When there are both a summary and the raw text, what came first stays."""
        if self.open is None:
            self.open = ReasoningDelta
            self.is_summary = is_summary
        elif self.is_summary != is_summary:
            return
        elif self.part != part:
            self.joint = "\n\n"
            self.said = []
            text = self.joint + text
        self.part = part
        self.said.append(text)
        self.out.append(ReasoningDelta(text, 0, is_summary, self.id))

    def whole_thought(self, part: int, text: str, *, is_summary: bool) -> None:
        """The whole text of a part of reasoning."""
        if self.open is not None and self.is_summary != is_summary:
            return
        if self.open is None or part > self.part:
            rest = text
        elif part == self.part:
            rest = self._rest(self.joint + text)
        else:
            return
        if rest:
            self.think(part, rest, is_summary=is_summary)

    # -- calls

    def start_call(self, node: Mapping[str, Any], *, is_last: bool) -> None:
        """Pass on that a call has begun, once its name is known; with `is_last`, what is missing is made up."""
        if self.started:
            return
        name, call_id = reading.text(node, "name"), reading.text(node, "call_id")
        if not (name and call_id) and not is_last:
            return
        call_id = call_id or made_up_call_id(self.answer_id, 0, self.index, name)
        namespace = reading.text_or_none(node, "namespace")
        self.started = True
        self.out.append(ToolCallStarted(call_id, name, 0, _CALLS[self.kind], namespace, self.signature, self.id))
        self.out += [ToolCallDelta(text) for text in self.said]

    def argue(self, text: str) -> None:
        """More of the arguments."""
        self.said.append(text)
        if self.started:
            self.out.append(ToolCallDelta(text))

    def whole_arguments(self, text: str) -> None:
        """All of the arguments."""
        rest = self._rest(text)
        if rest:
            self.argue(rest)

    # -- the end

    def finish(self, node: dict[str, Any]) -> Reasoning | None:
        """The item is complete; `node` is the whole of it, or empty when nobody said.

        Returns:
            Reasoning that may be the signature of the call that follows, which is the caller's to pass on.

        """
        self.is_done = True
        self.kind = self.kind or reading.text(node, "type")
        if self.kind == "message":
            for n, part in enumerate(reading.sub_objects(node, "content")):
                self.whole_part(n, part)
            self.close()
        elif self.kind == "reasoning":
            return self._finish_reasoning(node)
        elif self.kind in _CALLS:
            self._finish_call(node)
        elif node:
            self._finish_other(node)
        return None

    def _finish_reasoning(self, node: dict[str, Any]) -> Reasoning | None:
        is_summary = any(reading.text(part, "text") for part in reading.sub_objects(node, "summary"))
        parts = [
            reading.text(part, "text") for part in reading.sub_objects(node, "summary" if is_summary else "content")
        ]
        for n, text in enumerate(parts):
            self.whole_thought(n, text, is_summary=is_summary)
        sign, redacted = parse_signature(node)
        if redacted:
            self.close()
            self.out.append(WholeBlock(Reasoning("", sign, redacted=True)))
        elif sign is not None:
            alone = Reasoning("", sign, item_id=self.id)
            if self.open is None and belongs_to_a_call(alone):
                return alone
            self.open = ReasoningDelta
            self.out.append(SignatureDelta(sign, 0, self.id))
        self.close()
        return None

    def _finish_call(self, node: dict[str, Any]) -> None:
        self.start_call(node, is_last=True)
        word = "arguments" if self.kind == "function_call" else "input"
        if whole := reading.text(node, word):
            self.whole_arguments(whole)
        if not self.said and self.kind == "function_call":
            self.argue("{}")
        self.out.append(BlockEnded())

    def _finish_other(self, node: dict[str, Any]) -> None:
        try:
            message = parse_item(node, "output")
        except BadRequest as error:
            self.losses.append(Loss("answer.blocks", "dropped", error.message))
            return
        self.out += [WholeBlock(block) for block in message.content]


class Reader:
    r"""Reads a stream; see `dragoman.core.dialects.dialect.StreamReader`.

    >>> event = b'data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Hi"}\n\n'
    >>> Reader().feed(event)[1:]
    [TextDelta(text='Hi', choice=0)]
    """

    def __init__(self) -> None:
        self._collect = Losses()
        self.losses: list[Loss] = self._collect.found
        self.usage: TokenUsage | None = None
        self._events = EventReader()
        self._answer_id: str | None = None  # None: nothing has begun
        self._items: dict[int, _Item] = {}  # by their index
        self._by_id: dict[str, _Item] = {}
        self._queue: list[_Item] = []  # not done yet, in order; the first one writes into the stream
        self._text: _Item | None = None  # the first one, while a text of it is open
        self._alone: Reasoning | None = None  # a signature whose call may follow
        self._done = False

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
            self._fail(TRUNCATED, out)
        return out

    def _read(self, events: list[ServerSentEvent], out: list[Delta]) -> None:
        for sse in events:
            try:
                event = _decode(sse.data)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                read = self._read_oddity(sse.data, out)
                if read is None:
                    continue
                event = read
            item = self._text
            # Nearly every event is this one.
            if (
                item is not None
                and event.delta
                and event.type == "response.output_text.delta"
                and event.item_id == item.id
                and event.content_index == item.part
                and not event.logprobs
            ):
                item.said.append(event.delta)
                out.append(TextDelta(event.delta))
            elif self._done:
                return
            else:
                self._text = None
                self._read_event(event, sse, out)

    def _read_oddity(self, data: bytes, out: list[Delta]) -> _Event | None:
        """What the typed reader does not take: the end of another format, another shape, or no JSON at all."""
        word = data.strip()
        if word == b"[DONE]" and not self._done:
            self._fail(TRUNCATED, out)
        try:
            node = loads(data)
        except ValueError:
            if word not in (b"", b"[DONE]"):
                self.losses.append(Loss("answer", "dropped", "an event of the stream is not JSON"))
            return None
        return _leniently(node) if isinstance(node, dict) else None

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
            has_calls=any(item.kind in _CALLS for item in self._items.values()),
            has_refusal=any(item.refused for item in self._items.values()),
        )
        self._done = True
        out += [Finished(finish), AnswerEnded()]

    def _count(self, usage: dict[str, Any], out: list[Delta]) -> None:
        if usage and self._answer_id is not None:
            self.usage = parse_usage(usage)
            out.append(UsageUpdate(self.usage))

    def _fail(self, fault: Fault, out: list[Delta]) -> None:
        self._done = True
        out.append(StreamFailed(fault))

    # -- items

    def _add(self, node: dict[str, Any], index: int | None, out: list[Delta]) -> _Item:
        self._start({}, out)
        kind = reading.text(node, "type")
        if index is None or index in self._items:
            index = max(self._items, default=-1) + 1
        item = _Item(kind, reading.text_or_none(node, "id"), index, self._answer_id or "", self.losses)
        self._items[index] = item
        if item.id is not None:
            self._by_id[item.id] = item
        if not self._queue:
            item.out = out
            self._release(item, out)
        self._queue.append(item)
        if kind in _CALLS:
            item.start_call(node, is_last=False)
        return item

    def _release(self, item: _Item | None, out: list[Delta]) -> None:
        """Give a lone signature to the call that it came before, or pass it on."""
        alone, self._alone = self._alone, None
        if alone is None or alone.signature is None:
            return
        if item is not None and item.kind in _CALLS:
            item.signature = alone.signature
        else:
            out += [SignatureDelta(alone.signature, 0, alone.item_id), BlockEnded()]

    def _finish(self, item: _Item, node: dict[str, Any], out: list[Delta]) -> None:
        """Complete an item; the ones behind it that were held come out."""
        self._alone = item.finish(node) or self._alone
        while self._queue and self._queue[0].is_done:
            self._queue.pop(0)
            if self._queue:
                self._release(None, out)
                out += self._queue[0].held
                self._queue[0].held = []
                self._queue[0].out = out

    def _item_of(self, event: _Event, kind: str, out: list[Delta]) -> _Item | None:
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
        elif known.kind in _CALLS:
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

    def _text_delta(self, event: _Event, out: list[Delta]) -> None:
        item = self._item_of(event, "message", out)
        if item is None or not event.delta:
            return
        item.more(TextDelta, event.content_index or 0, event.delta)
        item.tokens(event.logprobs, is_whole=False)
        if item is self._queue[0] and item.open is TextDelta and item.id == event.item_id:
            self._text = item

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
