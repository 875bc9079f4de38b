"""Writing streams of the Responses API.

What it minds: ``response.created`` comes first, whatever follows; every event has its type and the next number; an item keeps its id
from its beginning to the last event, which repeats all items; each text comes in pieces and then whole; a failure is a response
that failed (which Codex reads) and an error, flat and nested (of which each client reads its own). Usage stands in the last event
where SDKs look for it, in the response, and once more beside it, for tools that look there.
"""

from collections.abc import Sequence
from typing import Any, assert_never

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Block, Inline, Media, Opaque, Reasoning
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Losses, fields_for, foreign_fields
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    ChoiceDelta,
    CitationDelta,
    Delta,
    ExtrasDelta,
    Finished,
    LogprobsDelta,
    Ping,
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
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_responses.answer import (
    build_ending,
    build_frame,
    build_usage,
    is_cut,
    item_id,
    unwritable,
)
from dragoman.core.dialects.openai_responses.content import NAME, PART, build_citation, output_text
from dragoman.core.dialects.openai_responses.errors import error_node, failed_node
from dragoman.core.dialects.openai_responses.items import build_image, build_reasoning, carried
from dragoman.core.json_text import dumps, escape_separators, quote

_NOTHING_YET: dict[str, Any] = {"status": "in_progress", "error": None, "incomplete_details": None}


class Writer:
    """Writes a stream; see `dragoman.core.dialects.dialect.StreamWriter`."""

    def __init__(self, context: AnswerContext) -> None:
        self._collect = Losses()
        self.losses = self._collect.found
        self._context = context
        self._number = 0  # of the next event
        self._answer_id = ""
        self._frame = b""  # what every form of the response begins with; empty: nothing has begun
        self._usage: TokenUsage | None = None
        self._finish: Finish | None = None
        self._items: list[bytes] = []  # complete ones
        self._item: dict[str, Any] | None = None  # the open one, as it will be when it is complete
        self._kind: type | None = None  # of the open block, by the delta that makes it up
        self._head = b""  # of a delta of the open block
        self._tail = b""  # what stands between its text and its number
        self._said: list[str] = []  # of the open block
        self._where: dict[str, Any] = {}  # the place of the open block
        self._notes: list[dict[str, Any]] = []
        self._logprobs: list[Any] = []
        self._sign: Signature | None = None
        self._phase: Any = None  # of the text that begins next
        self._call_ended = False  # the open item is a call whose arguments are complete
        self._refused = False
        self._skips = False  # whether another choice than the first has been left out
        self._done = False

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Write deltas."""
        out: list[bytes] = []
        add = out.append
        for delta in deltas:
            # Nearly every delta is this one.
            if type(delta) is TextDelta and self._kind is TextDelta and not delta.choice:
                self._said.append(delta.text)
                add(self._head)
                add(quote(delta.text))
                add(b',"logprobs":[],"sequence_number":%d}\n\n' % self._number)
                self._number += 1
            elif type(delta) is ToolCallDelta and self._kind is ToolCallDelta and not delta.choice:
                self._more(delta.arguments, out)
            elif not self._done:
                self._write(delta, out)
        return escape_separators(b"".join(out))

    def _write(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case AnswerStarted():
                self._begin(delta, out)
            case UsageUpdate(usage):
                self._usage = usage
            case Ping():
                out.append(b": ping\n\n")
            case AnswerEnded():
                self._end(out)
            case StreamFailed(fault):
                self._fail(fault, out)
            case _ if delta.choice:
                if not self._skips:
                    self._skips = True
                    self._collect.dropped("answer.choices", f"{NAME} has one answer; the others were left out")
            case _:
                if not self._frame:
                    self._begin(AnswerStarted("", ""), out)
                self._write_block(delta, out)

    def _event(self, kind: str, node: dict[str, Any], out: list[bytes]) -> None:
        self._event_of(kind, dumps(node)[1:-1], out)

    def _event_of(self, kind: str, members: bytes, out: list[bytes]) -> None:
        name = kind.encode()
        head = b'event: %b\ndata: {"type":"%b","sequence_number":%d,' % (name, name, self._number)
        out += [head, members, b"}\n\n"]
        self._number += 1

    # -- the response

    def _begin(self, delta: AnswerStarted, out: list[bytes]) -> None:
        if self._frame:
            return
        self._answer_id = delta.id
        self._frame = dumps(build_frame(delta.id, delta.model, delta.created, self._context))[:-1]
        response = self._response(_NOTHING_YET, None)
        self._event_of("response.created", response, out)
        self._event_of("response.in_progress", response, out)

    def _response(self, ending: dict[str, Any], usage: TokenUsage | None) -> bytes:
        parts = (dumps(ending)[1:-1], b",".join(self._items), dumps(build_usage(usage, self._collect)))
        return b'"response":%b,%b,"output":[%b],"usage":%b}' % (self._frame, *parts)

    def _end(self, out: list[bytes]) -> None:
        self._begin(AnswerStarted("", ""), out)
        self._close_item(out)
        ending = build_ending(self._finish, self._collect, has_refusal=self._refused)
        response = self._response(ending, self._usage)
        if self._usage is not None:
            response += b',"usage":' + dumps(build_usage(self._usage, self._collect))
        self._event_of(f"response.{ending['status']}", response, out)
        self._done = True

    def _fail(self, fault: Fault, out: list[bytes]) -> None:
        self._begin(AnswerStarted("", ""), out)
        if self._call_ended:
            self._close_item(out)
        ending = {"status": "failed", "error": failed_node(fault), "incomplete_details": None}
        self._event_of("response.failed", self._response(ending, self._usage), out)
        error = error_node(fault)
        flat = {key: error[key] for key in ("code", "message", "param")}
        self._event("error", {"error": error, **flat}, out)
        self._done = True

    # -- blocks

    def _write_block(self, delta: ChoiceDelta, out: list[bytes]) -> None:
        match delta:
            case TextDelta(text):
                self._begin_part(TextDelta, output_text("", []), out)
                self._more(text, out)
            case RefusalDelta(text):
                self._refused = True
                self._begin_part(RefusalDelta, {"type": "refusal", "refusal": ""}, out)
                self._more(text, out)
            case ReasoningDelta(text):
                self._begin_reasoning(delta.item_id, delta.is_summary, out)
                self._more(text, out)
            case SignatureDelta(signature):
                if self._kind is None:
                    self._begin_reasoning(delta.item_id, None, out, is_shown=False)
                self._sign = signature
            case ExtrasDelta(extras):
                self._phase = fields_for(NAME, extras).get("phase")
                self.losses += foreign_fields(extras, NAME, "answer.blocks.")
            case CitationDelta(citation):
                self._cite(build_citation(citation, sum(map(len, self._said)), self._collect), out)
            case LogprobsDelta(tokens):
                self._logprobs += tokens
            case ToolCallStarted():
                self._begin_call(delta, out)
            case BlockEnded():
                self._end_block(out)
            case WholeBlock(block):
                self._close_item(out)
                self._write_whole(block, out)
            case Finished(finish):
                self._finish = finish
                self._close_item(out)
            case ToolCallDelta():
                pass  # of no call
            case _:
                assert_never(delta)

    def _more(self, text: str, out: list[bytes]) -> None:
        self._said.append(text)
        out += [self._head, quote(text), self._tail + b'"sequence_number":%d}\n\n' % self._number]
        self._number += 1

    def _open_item(self, prefix: str, ident: str | None, item: dict[str, Any], out: list[bytes]) -> None:
        self._close_item(out)
        index = len(self._items)
        self._item = {"id": ident or item_id(prefix, self._answer_id, index), **item}
        self._where = {"item_id": self._item["id"], "output_index": index}
        self._event("response.output_item.added", {"output_index": index, "item": self._item}, out)

    def _open_block(self, kind: type, event: str, **where: int) -> None:
        self._kind = kind
        self._said = []
        self._where |= where
        node = {"type": event, **self._where}
        self._head = b"event: %b\ndata: %b," % (event.encode(), dumps(node)[:-1]) + b'"delta":'
        self._tail = b',"logprobs":[],' if kind is TextDelta else b","

    def _begin_part(self, kind: type, part: dict[str, Any], out: list[bytes]) -> None:
        """Make sure that a part of this kind is open in a message."""
        if self._kind is kind:
            return
        phase, self._phase = self._phase, None
        item = self._item
        if item is None or item["type"] != "message" or phase not in (None, item.get("phase")):
            message = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}
            self._open_item("msg_", None, message if phase is None else {**message, "phase": phase}, out)
        assert self._item is not None
        self._notes = []
        self._logprobs = []
        name = "output_text" if kind is TextDelta else "refusal"
        self._open_block(kind, f"response.{name}.delta", content_index=len(self._item["content"]))
        self._event("response.content_part.added", {**self._where, "part": part}, out)

    def _begin_reasoning(
        self, ident: str | None, is_summary: bool | None, out: list[bytes], *, is_shown: bool = True
    ) -> None:
        if self._kind is ReasoningDelta:
            return
        self._open_item("rs_", ident, {"type": "reasoning", "summary": []}, out)
        if not is_shown:
            self._kind = SignatureDelta
        elif is_summary is False:
            self._open_block(ReasoningDelta, "response.reasoning_text.delta", content_index=0)
            part = {"type": "reasoning_text", "text": ""}
            self._event("response.content_part.added", {**self._where, "part": part}, out)
        else:
            self._open_block(ReasoningDelta, "response.reasoning_summary_text.delta", summary_index=0)
            part = {"type": "summary_text", "text": ""}
            self._event("response.reasoning_summary_part.added", {**self._where, "part": part}, out)

    def _begin_call(self, delta: ToolCallStarted, out: list[bytes]) -> None:
        if delta.signature is not None:  # has no place on a call; travels before it
            self._write_signature(delta.signature, None, out)
        named: dict[str, Any] = {"call_id": delta.id, "name": delta.name}
        if delta.namespace is not None:
            named["namespace"] = delta.namespace
        if delta.kind == "custom":
            self._open_item("ctc_", delta.item_id, {"type": "custom_tool_call", **named, "input": ""}, out)
            self._open_block(ToolCallDelta, "response.custom_tool_call_input.delta")
        else:
            call = {"type": "function_call", "status": "in_progress", **named, "arguments": ""}
            self._open_item("fc_", delta.item_id, call, out)
            self._open_block(ToolCallDelta, "response.function_call_arguments.delta")

    def _cite(self, note: dict[str, Any] | None, out: list[bytes]) -> None:
        if note is not None and self._kind is TextDelta:
            where = {**self._where, "annotation_index": len(self._notes), "annotation": note}
            self._event("response.output_text.annotation.added", where, out)
            self._notes.append(note)

    # -- the ends of blocks and items

    def _end_block(self, out: list[bytes]) -> None:
        kind, self._kind = self._kind, None
        text = "".join(self._said)
        sign, self._sign = self._sign, None
        if kind is TextDelta or kind is RefusalDelta:
            self._end_part(text, out, is_text=kind is TextDelta)
            if sign is not None:  # Gemini signs text, too
                self._write_signature(sign, None, out)
        elif kind is ReasoningDelta or kind is SignatureDelta:
            if kind is ReasoningDelta:
                self._end_reasoning(text, out)
            if self._item is not None and sign is not None:
                self._item["encrypted_content"] = carried(sign)
            self._close_item(out)
        elif kind is ToolCallDelta:
            # How the answer ends tells whether the call is whole, so its item waits for what follows.
            self._call_ended = True

    def _end_part(self, text: str, out: list[bytes], *, is_text: bool) -> None:
        assert self._item is not None
        if is_text:
            part = output_text(text, self._notes)
            done = {**self._where, "text": text, "logprobs": self._logprobs}
            self._event("response.output_text.done", done, out)
            if self._logprobs:
                part["logprobs"] = self._logprobs
        else:
            part = {"type": "refusal", "refusal": text}
            self._event("response.refusal.done", {**self._where, "refusal": text}, out)
        self._event("response.content_part.done", {**self._where, "part": part}, out)
        self._item["content"].append(part)

    def _end_reasoning(self, text: str, out: list[bytes]) -> None:
        assert self._item is not None
        if "summary_index" in self._where:
            self._event("response.reasoning_summary_text.done", {**self._where, "text": text}, out)
            part = {"type": "summary_text", "text": text}
            self._event("response.reasoning_summary_part.done", {**self._where, "part": part}, out)
            self._item["summary"] = [part]
        else:
            self._event("response.reasoning_text.done", {**self._where, "text": text}, out)
            part = {"type": "reasoning_text", "text": text}
            self._event("response.content_part.done", {**self._where, "part": part}, out)
            self._item["content"] = [part]

    def _close_item(self, out: list[bytes]) -> None:
        """Close what is open, if anything."""
        if self._kind is not None:
            self._end_block(out)
        if self._call_ended:
            self._end_call(out)
        item, self._item = self._item, None
        if item is None:
            return
        if "status" in item:
            item["status"] = "incomplete" if is_cut(self._finish) else "completed"
        self._items.append(dumps(item))
        self._event("response.output_item.done", {"output_index": len(self._items) - 1, "item": item}, out)

    def _end_call(self, out: list[bytes]) -> None:
        assert self._item is not None
        self._call_ended = False
        field = "input" if self._item["type"] == "custom_tool_call" else "arguments"
        if not self._said and field == "arguments":
            self._more("{}", out)
        self._item[field] = "".join(self._said)
        kind = "custom_tool_call_input" if field == "input" else "function_call_arguments"
        self._event(f"response.{kind}.done", {**self._where, field: self._item[field]}, out)

    # -- blocks that come whole

    def _write_signature(
        self, signature: Signature | None, ident: str | None, out: list[bytes], *, redacted: bool = False
    ) -> None:
        node = build_reasoning("", None)
        if signature is not None:
            node["encrypted_content"] = carried(signature, redacted=redacted)
        self._open_item("rs_", ident, node, out)
        self._close_item(out)

    def _write_whole(self, block: Block, out: list[bytes]) -> None:
        match block:
            case Reasoning():
                self._write_signature(block.signature, block.item_id, out, redacted=block.redacted)
            case Media(kind="image", source=Inline()):
                node = build_image(block, item_id("ig_", self._answer_id, len(self._items)))
                self._open_item("ig_", None, node, out)
                self._close_item(out)
            case Opaque(dialect=dialect, kind=kind) if dialect == NAME and not kind.startswith(PART):
                self._open_item("item_", None, dict(block.value), out)
                self._close_item(out)
            case _:
                unwritable(block, self._collect)
