"""Writing streams of Chat Completions: ``data:`` events without names, ``[DONE]`` at the end.

SDKs concatenate ``role``, ``id`` and ``name``, so each is written once; indices of tools are dense, for a gap
is an IndexError in the client.
"""

from collections.abc import Sequence
from typing import Any

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Block, Reasoning, Refusal, ToolCall
from dragoman.core.chat.loss import Losses, foreign_fields
from dragoman.core.chat.names import foreign_id
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    ChoiceDelta,
    CitationDelta,
    Delta,
    ExtrasDelta,
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
from dragoman.core.dialects.openai_chat.answer import (
    DETAIL,
    ReasoningParts,
    build_citation,
    build_finish,
    build_image,
    build_usage,
)
from dragoman.core.dialects.openai_chat.errors import error_node
from dragoman.core.json_text import dumps, escape_separators, quote


class _ChoiceWriter:
    """What one choice has written."""

    __slots__ = (
        "arguments", "head", "images", "is_custom", "kind", "length", "notes", "offset", "ordinal", "reasoning", "refused", "sign",
    )  # fmt: skip

    def __init__(self, head: bytes) -> None:
        self.head = head  # up to and with `"delta":`
        self.kind: type | None = None  # of the open block, unless it is text
        self.ordinal = -1  # of the tool call
        self.is_custom = False
        self.arguments = False  # whether the open call has any
        self.reasoning = ReasoningParts()
        self.length = 0  # of the open block's text
        self.offset = 0  # of the open block in the content
        self.sign: Signature | None = None  # of the open block
        self.notes: list[dict[str, Any]] = []  # citations of the open block
        self.refused = False
        self.images = 0


class Writer:
    """Writes a stream; see `dragoman.core.dialects.dialect.StreamWriter`."""

    def __init__(self, context: AnswerContext) -> None:
        self._collect = Losses()
        self.losses = self._collect.found
        self._context = context
        self._counts = bool(context.request is not None and context.request.include_usage)
        self._choices: dict[int, _ChoiceWriter] = {}
        self._usage: TokenUsage | None = None
        self._begun = b""
        tail = b',"finish_reason":null}]' + (b',"usage":null' if self._counts else b"") + b"}\n\n"
        self._tail = tail
        self._text_tail = b"}" + tail
        self._first: _ChoiceWriter | None = None
        self._text_head = b""  # of the first choice, once it has begun

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Write deltas."""
        out: list[bytes] = []
        add = out.append
        for delta in deltas:
            # Nearly every delta is this one, so it is written without a detour.
            if type(delta) is TextDelta and delta.choice == 0 and self._first is not None:
                self._first.length += len(delta.text)
                add(self._text_head)
                add(quote(delta.text))
                add(self._text_tail)
            else:
                self._write(delta, out)
        return escape_separators(b"".join(out))

    def _write(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case AnswerStarted():
                self._begin(delta)
                self._of(0, out)
            case UsageUpdate(usage):
                self._usage = usage
            case Ping():
                out.append(b": ping\n\n")
            case AnswerEnded():
                if self._counts and self._usage is not None:
                    out.append(
                        self._begun
                        + b'"choices":[],"usage":'
                        + dumps(build_usage(self._usage, self._collect))
                        + b"}\n\n"
                    )
                out.append(b"data: [DONE]\n\n")
            case StreamFailed(fault):
                out.append(b"data: " + dumps({"error": error_node(fault)}) + b"\n\n")
            case _:
                self._write_choice(delta, self._of(delta.choice, out), out)

    def _begin(self, delta: AnswerStarted) -> None:
        created = self._context.created if delta.created is None else delta.created
        head = {
            "id": foreign_id(delta.id, "chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": created,
            "model": self._context.model_of(delta.model),
        }
        self._begun = b"data: " + dumps(head)[:-1] + b","

    def _of(self, index: int, out: list[bytes]) -> _ChoiceWriter:
        choice = self._choices.get(index)
        if choice is None:
            if not self._begun:
                self._begin(AnswerStarted("", ""))
            head = self._begun + b'"choices":[{"index":%d,"delta":' % index
            choice = self._choices[index] = _ChoiceWriter(head)
            out.append(head + b'{"role":"assistant","content":""}' + self._tail)
            if index == 0:
                self._first = choice
                self._text_head = head + b'{"content":'
        return choice

    def _write_choice(self, delta: ChoiceDelta, choice: _ChoiceWriter, out: list[bytes]) -> None:
        match delta:
            case TextDelta(text):
                choice.length += len(text)
                out += [choice.head, b'{"content":', quote(text), self._text_tail]
            case ReasoningDelta(text):
                choice.kind = Reasoning
                choice.length += len(text)
                out += [choice.head, b'{"reasoning_content":', quote(text), self._text_tail]
            case RefusalDelta(text):
                choice.kind = Refusal
                choice.refused = True
                out += [choice.head, b'{"refusal":', quote(text), self._text_tail]
            case ToolCallDelta(arguments):
                choice.arguments = True
                word = b'{"tool_calls":[{"index":%d,"custom":{"input":' if choice.is_custom else _ARGUMENTS
                out += [choice.head, word % choice.ordinal, quote(arguments), b"}}]}", self._tail]
            case ToolCallStarted():
                self._start_call(delta, choice, out)
            case SignatureDelta(signature):
                choice.sign = signature
            case ExtrasDelta(extras):
                self.losses += foreign_fields(extras, "", "answer.blocks.")
            case CitationDelta(citation):
                note = build_citation(citation, choice.offset, self._collect)
                choice.notes += [] if note is None else [note]
            case LogprobsDelta(tokens):
                node = b'{},"logprobs":' + dumps({"content": tokens, "refusal": None})
                out += [choice.head, node, self._tail]
            case BlockEnded():
                self._end_block(choice, out)
            case WholeBlock(block):
                self._write_block(block, choice, out)
            case _:  # Finished
                self._finish(delta.finish, choice, out)

    def _start_call(self, delta: ToolCallStarted, choice: _ChoiceWriter, out: list[bytes]) -> None:
        choice.kind = ToolCall
        choice.ordinal += 1
        choice.arguments = False
        choice.is_custom = delta.kind == "custom"
        node: dict[str, Any] = {"index": choice.ordinal, "id": delta.id}
        if choice.is_custom:
            node |= {"type": "custom", "custom": {"name": delta.name, "input": ""}}
        else:
            node |= {"type": "function", "function": {"name": delta.name, "arguments": ""}}
        if delta.signature is not None and delta.signature.provider == "gemini":
            node["extra_content"] = {"google": {"thought_signature": delta.signature.value}}
        out += [choice.head, dumps({"tool_calls": [node]}), self._tail]

    def _end_block(self, choice: _ChoiceWriter, out: list[bytes]) -> None:
        if choice.kind is ToolCall and not choice.arguments and not choice.is_custom:
            out += [choice.head, _ARGUMENTS % choice.ordinal, b'"{}"}}]}', self._tail]
        if choice.notes:
            out += [choice.head, dumps({"annotations": choice.notes}), self._tail]
            choice.notes = []
        is_text = choice.kind is None
        if is_text:
            choice.offset += choice.length
        if choice.sign is not None:  # Gemini signs text, too
            detail = choice.reasoning.detail(choice.sign, 0 if is_text else choice.length)
            out += [choice.head, dumps({"reasoning_details": [detail]}), self._tail]
        choice.kind = None
        choice.length = 0
        choice.sign = None

    def _write_block(self, block: Block, choice: _ChoiceWriter, out: list[bytes]) -> None:
        if isinstance(block, Reasoning):
            if block.text:
                out += [choice.head, b'{"reasoning_content":', quote(block.text), self._text_tail]
            if block.signature is not None:
                detail = choice.reasoning.detail(block.signature, len(block.text), redacted=block.redacted)
                out += [choice.head, dumps({"reasoning_details": [detail]}), self._tail]
            return
        image = build_image(block, choice.images, self._collect)
        if image is not None:
            choice.images += 1
            out += [choice.head, dumps({"images": [image]}), self._tail]

    def _finish(self, finish: Finish, choice: _ChoiceWriter, out: list[bytes]) -> None:
        reason = build_finish(finish, self._collect, has_refusal=choice.refused)
        said = b'"%b"' % reason.encode()
        if finish.detail is not None:
            said += b',"%b":%b' % (DETAIL.encode(), quote(finish.detail))
        out += [choice.head, b"{}", self._tail.replace(b"null", said, 1)]


_ARGUMENTS = b'{"tool_calls":[{"index":%d,"function":{"arguments":'
