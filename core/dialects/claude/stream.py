"""Reading streams of the Messages API: named events, blocks one after the other, ``message_stop`` at the end.

Usage comes twice, the input side in ``message_start``, totals in ``message_delta``; totals replace, they are
not added. A tool call without arguments may have no delta at all. Unknown events and deltas are to be ignored. Without
``message_stop`` the stream was cut, unless its stop reason had come.
"""

from typing import Any

import msgspec

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.arguments import build_arguments
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.signature import signature_from
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    CitationDelta,
    Delta,
    Finished,
    Ping,
    ReasoningDelta,
    SignatureDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    WholeBlock,
)
from dragoman.core.dialects import reading
from dragoman.core.dialects.claude.answer import (
    parse_finish,
    parse_usage,
)
from dragoman.core.dialects.claude.content import NAME, parse_block, parse_citation
from dragoman.core.dialects.claude.errors import fault_of
from dragoman.core.dialects.event_stream import EventStreamReader
from dragoman.core.errors import BadRequest
from dragoman.core.json_text import loads
from dragoman.core.sse import ServerSentEvent

# Typed reading skips what nobody asked for


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    index: int = 0
    delta: _Delta | None = None
    content_block: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def _leniently(node: dict[str, Any]) -> _Event:
    """An event whose fields of a wrong type count as absent."""
    delta = reading.sub_object(node, "delta")
    read = _Delta(
        reading.text_or_none(delta, "type"),
        reading.text_or_none(delta, "text"),
        reading.text_or_none(delta, "partial_json"),
        reading.text_or_none(delta, "thinking"),
        reading.text_or_none(delta, "signature"),
        reading.sub_object(delta, "citation") or None,
        reading.text_or_none(delta, "stop_reason"),
        reading.text_or_none(delta, "stop_sequence"),
        reading.sub_object(delta, "stop_details") or None,
    )
    return _Event(
        reading.text_or_none(node, "type"),
        reading.whole(node, "index") or 0,
        read if delta else None,
        reading.sub_object(node, "content_block") or None,
        reading.sub_object(node, "message") or None,
        reading.sub_object(node, "usage") or None,
        node.get("error"),
    )


class Reader(EventStreamReader):
    r"""Reads a stream; see `dragoman.core.dialects.dialect.StreamReader`.

    >>> event = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    >>> Reader().feed(event)[1:]
    [TextDelta(text='Hi', choice=0)]
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._id = ""
        self._calls = 0
        self._kind = ""  # of the open block, in the wire's words; empty: none is open
        self._block: dict[str, Any] = {}  # as it began
        self._said = False  # whether the open block has come to anything
        self._json: list[str] = []  # arguments of a server's tool
        self._counted: dict[str, Any] = {}
        self._finish: Finish | None = None

    def _read(self, events: list[ServerSentEvent], out: list[Delta]) -> None:
        for sse in events:
            try:
                event = _decode(sse.data)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                node = self._object(sse.data)
                if node is None:
                    continue
                event = _leniently(node)
            delta = event.delta
            # Nearly every event is this one.
            if delta is not None and delta.text and self._kind == "text" and event.type == "content_block_delta":
                self._said = True
                out.append(TextDelta(delta.text))
                self._lesson = (b"text", delta.text, TextDelta)
            else:
                self._read_event(event, sse, out)
                if self._done:
                    return

    def _read_event(self, event: _Event, sse: ServerSentEvent, out: list[Delta]) -> None:
        kind = event.type or sse.event.decode("utf-8", "replace")
        if kind == "error":
            error = event.error if isinstance(event.error, dict) else {"message": event.error}
            self._fail(fault_of(error, reading.error_message(error, b"", 0), 0), out)
            return
        if kind == "ping":
            if self._started:
                out.append(Ping())
            return
        if kind == "message_start":
            message = event.message or {}
            self._start(reading.text(message, "id"), reading.text(message, "model"), out)
            self._count(reading.sub_object(message, "usage"), out)
            return
        self._start("", "", out)
        if kind == "content_block_start":
            self._begin(event.content_block or {}, out)
        elif kind == "content_block_delta" and event.delta is not None:
            self._more(event.delta, out)
        elif kind == "content_block_stop":
            self._stop(out)
        elif kind == "message_delta":
            self._stop(out)
            if event.delta is not None and event.delta.stop_reason is not None:
                delta = event.delta
                self._finish = parse_finish(
                    {
                        "stop_reason": delta.stop_reason,
                        "stop_sequence": delta.stop_sequence,
                        "stop_details": delta.stop_details,
                    }
                )
            self._count(event.usage or {}, out)
        elif kind == "message_stop":
            self._end(out)

    def _start(self, ident: str, model: str, out: list[Delta]) -> None:
        if not self._started:
            self._started = True
            self._id = ident
            out.append(AnswerStarted(ident, model))

    def _count(self, usage: dict[str, Any], out: list[Delta]) -> None:
        """Merge counts: what comes later replaces, what is left out stays."""
        self._counted |= {key: value for key, value in usage.items() if value is not None}
        counted = parse_usage(self._counted)
        if usage and counted != self.usage:
            self.usage = counted
            out.append(UsageUpdate(counted))

    def _begin(self, block: dict[str, Any], out: list[Delta]) -> None:
        self._stop(out)
        self._kind = reading.text(block, "type") or "unknown"
        self._block = block
        self._json = []
        self._said = False
        match self._kind:
            case "text":
                if first := reading.text(block, "text"):
                    self._said = True
                    out.append(TextDelta(first))
                for found in reading.sub_objects(block, "citations"):
                    self._more(_Delta("citations_delta", citation=found), out)
            case "thinking":
                if first := reading.text(block, "thinking"):
                    self._said = True
                    out.append(ReasoningDelta(first))
                if signed := reading.text(block, "signature"):
                    self._more(_Delta("signature_delta", signature=signed), out)
            case "tool_use":
                name = reading.text(block, "name")
                made_up = made_up_call_id(self._id, 0, self._calls, name)
                self._calls += 1
                out.append(ToolCallStarted(reading.text(block, "id") or made_up, name))
            case _:
                pass  # comes whole, when it ends

    def _more(self, delta: _Delta, out: list[Delta]) -> None:
        """A delta of the open block; one that does not fit it is ignored, as unknown ones must be."""
        kind = self._kind
        if delta.text and kind in ("", "text"):
            self._kind = "text"
            self._said = True
            out.append(TextDelta(delta.text))
        elif delta.thinking and kind in ("", "thinking"):
            self._kind = "thinking"
            self._said = True
            out.append(ReasoningDelta(delta.thinking))
            self._lesson = (b"thinking", delta.thinking, ReasoningDelta)
        elif delta.signature and kind in ("", "thinking"):
            sign = signature_from(delta.signature, NAME)
            if sign is not None:
                self._kind = "thinking"
                self._said = True
                out.append(SignatureDelta(sign))
        elif delta.partial_json and kind == "tool_use":
            self._said = True
            out.append(ToolCallDelta(delta.partial_json))
            self._lesson = (b"partial_json", delta.partial_json, ToolCallDelta)
        elif delta.partial_json:
            self._json.append(delta.partial_json)
        elif delta.citation is not None and kind == "text" and self._said:
            out.append(CitationDelta(parse_citation(delta.citation)))

    def _stop(self, out: list[Delta]) -> None:
        kind, block = self._kind, self._block
        if not kind:
            return
        self._kind = ""
        if kind == "tool_use":
            if not self._said:
                out.append(ToolCallDelta(build_arguments(reading.sub_object(block, "input"))))
            out.append(BlockEnded())
        elif kind in ("text", "thinking"):
            if self._said:
                out.append(BlockEnded())
        else:
            if self._json:
                block = {**block, "input": self._input()}
            try:
                whole = parse_block(block, "content")
            except BadRequest as error:
                self.losses.append(Loss("answer.blocks", "dropped", error.message))
                return
            out.append(WholeBlock(whole))

    def _input(self) -> Any:
        text = "".join(self._json)
        try:
            return loads(text)
        except ValueError:
            return text

    def _end(self, out: list[Delta]) -> None:
        self._stop(out)
        self._done = True
        out += [Finished(self._finish or parse_finish({})), AnswerEnded()]

    def _cut(self, out: list[Delta]) -> None:
        if self._finish is None:
            super()._cut(out)
            return
        self.losses.append(Loss("answer", "changed", "the provider's stream lacked its last event"))
        self._end(out)
