"""Writing streams of the Messages API: named events, blocks one after the other, ``message_stop`` at the end.

SDKs see nothing of events without a name, fail on a gap in the indices, on a ``message_delta`` without usage
and on arguments that are not JSON; a signature is sent once, whole, right before its block ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Block, Opaque, Reasoning
from dragoman.core.chat.loss import Losses, foreign_fields
from dragoman.core.chat.names import foreign_id
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
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
from dragoman.core.dialects.claude.answer import (
    build_citation,
    build_finish,
    build_usage,
    unwritable,
)
from dragoman.core.dialects.claude.content import NAME, carried
from dragoman.core.dialects.claude.errors import error_node
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.json_text import dumps, dumps_text, escape_separators, quote


def _event(kind: bytes, node: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind, dumps({"type": kind.decode(), **node}))


_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_HEAD = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":'
_FIELD: Mapping[type, bytes] = {
    TextDelta: b'text_delta","text',
    ReasoningDelta: b'thinking_delta","thinking',
    ToolCallDelta: b'input_json_delta","partial_json',
}


class Writer:
    """Writes a stream; see `dragoman.core.dialects.dialect.StreamWriter`."""

    def __init__(self, context: AnswerContext) -> None:
        self._collect = Losses()
        self.losses = self._collect.found
        self._context = context
        self._started: AnswerStarted | None = None  # not written yet, in case its usage comes in time
        self._usage: TokenUsage | None = None
        self._index = -1
        self._kind: type | None = None  # of the open block, by the delta that makes it up
        self._head = b""  # of a delta of the open block
        self._sign: Signature | None = None
        self._is_custom = False
        self._has_arguments = False
        self._finish: Finish | None = None
        self._skips = False  # whether another choice than the first has been left out

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Write deltas."""
        out: list[bytes] = []
        add = out.append
        for delta in deltas:
            # Nearly every delta is this one.
            if type(delta) is TextDelta and self._kind is TextDelta and not delta.choice:
                add(self._head)
                add(quote(delta.text))
                add(b"}}\n\n")
            else:
                self._write(delta, out)
        return escape_separators(b"".join(out))

    def _write(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case AnswerStarted():
                self._started = delta
            case UsageUpdate(usage):
                self._usage = usage
            case StreamFailed(fault):
                out.append(_event(b"error", {"error": error_node(fault)["error"]}))
            case AnswerEnded():
                self._begin_message(out)
                self._end(out)
            case Ping():
                self._begin_message(out)
                out.append(_PING)
            case _ if delta.choice:
                if not self._skips:
                    self._skips = True
                    self._collect.dropped("answer.choices", f"{NAME} has one answer; the others were left out")
            case _:
                self._begin_message(out)
                self._write_block(delta, out)

    def _begin_message(self, out: list[bytes]) -> None:
        started = self._started
        if started is None and self._index == -1 and not self._head:
            started = AnswerStarted("", "")
        if started is None:
            return
        self._started = None
        self._head = b"-"  # the message has begun
        message: dict[str, Any] = {
            "id": foreign_id(started.id, "msg_"),
            "type": "message",
            "role": "assistant",
            "model": self._context.model_of(started.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": build_usage(self._usage, self._collect),
        }
        out.append(_event(b"message_start", {"message": message}))

    def _write_block(self, delta: ChoiceDelta, out: list[bytes]) -> None:
        match delta:
            case Finished(finish):
                self._finish = finish
            case LogprobsDelta():
                self._collect.dropped("answer.logprobs", f"{NAME} gives no probabilities")
            case TextDelta(text) | RefusalDelta(text):
                self._begin(TextDelta, {"type": "text", "text": ""}, out)
                out += [self._head, quote(text), b"}}\n\n"]
            case ReasoningDelta(text):
                self._begin(ReasoningDelta, _THINKING, out)
                out += [self._head, quote(text), b"}}\n\n"]
            case ToolCallStarted():
                self._begin_call(delta, out)
            case ToolCallDelta(arguments):
                self._write_arguments(arguments, out)
            case SignatureDelta(signature):
                if self._kind is None:
                    self._begin(ReasoningDelta, _THINKING, out)
                self._sign = signature
            case CitationDelta(citation):
                note = build_citation(citation, self._collect)
                if note is not None:
                    self._begin(TextDelta, {"type": "text", "text": ""}, out)
                    cited = {"index": self._index, "delta": {"type": "citations_delta", "citation": note}}
                    out.append(_event(b"content_block_delta", cited))
            case ExtrasDelta(extras):
                self.losses += foreign_fields(extras, "", "answer.blocks.")
            case WholeBlock(block):
                self._end_block(out)
                self._write_whole(block, out)
            case _:  # BlockEnded
                self._end_block(out)

    def _begin(self, kind: type, block: dict[str, Any], out: list[bytes]) -> None:
        """Make sure that a block of this kind is open."""
        if self._kind is kind:
            return
        self._end_block(out)
        self._index += 1
        self._kind = kind
        self._head = _HEAD % (self._index, _FIELD[kind])
        out.append(_event(b"content_block_start", {"index": self._index, "content_block": block}))

    def _end_block(self, out: list[bytes]) -> None:
        """Close the open block, if any."""
        kind, self._kind = self._kind, None
        if kind is None:
            return
        if kind is ToolCallDelta and self._is_custom:
            out += [self._head, b'"\\"}"' if self._has_arguments else b'"{\\"input\\":\\"\\"}"', b"}}\n\n"]
        elif kind is ToolCallDelta and not self._has_arguments:
            out += [self._head, b'"{}"}}\n\n']
        elif kind is ReasoningDelta:
            self._write_signature(out)
        out.append(_event(b"content_block_stop", {"index": self._index}))
        if kind is TextDelta and self._sign is not None:
            self._begin(ReasoningDelta, _THINKING, out)  # Gemini signs text, too
            self._end_block(out)
        self._sign = None

    def _write_signature(self, out: list[bytes]) -> None:
        signed = {"type": "signature_delta", "signature": carried(self._sign)}
        out.append(_event(b"content_block_delta", {"index": self._index, "delta": signed}))

    def _begin_call(self, delta: ToolCallStarted, out: list[bytes]) -> None:
        self._end_block(out)
        if delta.signature is not None:  # has no place on a call; travels before it
            self._begin(ReasoningDelta, _THINKING, out)
            self._sign = delta.signature
            self._end_block(out)
        self._is_custom = delta.kind == "custom"
        self._has_arguments = False
        self._begin(ToolCallDelta, {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}, out)

    def _write_arguments(self, arguments: str, out: list[bytes]) -> None:
        if self._is_custom:  # free text becomes the one argument of a function, piece by piece
            arguments = ("" if self._has_arguments else '{"input":"') + dumps_text(arguments)[1:-1]
        self._has_arguments = True
        out += [self._head, quote(arguments), b"}}\n\n"]

    def _write_whole(self, block: Block, out: list[bytes]) -> None:
        if isinstance(block, Reasoning):
            node = {"type": "redacted_thinking", "data": carried(block.signature, redacted=True)}
        elif isinstance(block, Opaque) and block.dialect == NAME:
            node = dict(block.value)
        else:
            unwritable(block, self._collect)
            return
        self._index += 1
        out.append(_event(b"content_block_start", {"index": self._index, "content_block": node}))
        out.append(_event(b"content_block_stop", {"index": self._index}))

    def _end(self, out: list[bytes]) -> None:
        self._end_block(out)
        reason = build_finish(self._finish, self._collect)
        out.append(_event(b"message_delta", {"delta": reason, "usage": build_usage(self._usage, self._collect)}))
        out.append(_STOP)


_THINKING: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
