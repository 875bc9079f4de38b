"""Writing streams of streamGenerateContent: ``data:`` events and blank lines, nothing else, for Google's SDK dies of anything else.

What the writer minds: a call is one part, so its arguments wait until they are complete; the finish reason stands in the last chunk,
together with the usage, so it waits for the end; a signature follows its block in a part of its own.
"""

from collections.abc import Sequence
from typing import Any

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Block, Reasoning, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Losses, foreign_fields
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
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.gemini.answer import build_block_parts, carried, is_cut
from dragoman.core.dialects.gemini.content import NAME
from dragoman.core.dialects.gemini.ending import build_block, build_finish, build_usage
from dragoman.core.dialects.gemini.errors import error_node
from dragoman.core.dialects.gemini.sources import SourcesWriter, build_logprobs
from dragoman.core.json_text import dumps, escape_separators, quote


class _ChoiceWriter:
    """What one choice has written."""

    __slots__ = (
        "arguments", "call", "cut", "finish", "foot", "has_parts", "head", "kind", "said", "sign", "sources", "written",
    )  # fmt: skip

    def __init__(self, index: int, losses: Losses, *, is_alone: bool) -> None:
        # Clients that look only at the first candidate of a chunk must not take another for it.
        others = b"" if is_alone else b'{"index":0},'
        self.head = b'{"candidates":[' + others + b'{"content":{"parts":['
        self.foot = b'],"role":"model"},"index":%d}],' % index  # behind the parts
        self.kind: type | None = None  # of the open block
        self.call: ToolCallStarted | None = None  # the open call
        self.arguments: list[str] = []  # of the open call
        # A call whose arguments broke off: it is left out, if the limit of tokens was the reason.
        self.cut: ToolCall | None = None
        self.sign: Signature | None = None  # of the open block
        self.sources = SourcesWriter(losses)
        self.said: list[str] = []  # the text of the open block
        self.written = 0  # bytes of text before it
        self.has_parts = False
        self.finish: Finish | None = None


class Writer:
    """Writes a stream; see `dragoman.core.dialects.dialect.StreamWriter`."""

    head = b"data: "  # before each chunk

    def __init__(self, context: AnswerContext) -> None:
        self._collect = Losses()
        self.losses = self._collect.found
        self._context = context
        self._choices: dict[int, _ChoiceWriter] = {}
        self._names = b""  # the model and the id, which stand in each chunk
        self._usage = b""
        self._tail = b""
        self._text = self.head + b'{"candidates":[{"content":{"parts":[{"text":'
        self._first: _ChoiceWriter | None = None
        self._text_tail = b""  # of the first choice
        self._begin(AnswerStarted("", ""))

    def foot(self, answer_id: str) -> bytes:
        """What stands behind each chunk."""
        return b"\n\n"

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Write deltas."""
        out: list[bytes] = []
        add = out.append
        for delta in deltas:
            first = self._first
            # Nearly every delta is this one, so it is written without a detour.
            if type(delta) is TextDelta and delta.choice == 0 and first is not None and first.kind is TextDelta:
                first.said.append(delta.text)
                add(self._text)
                add(quote(delta.text))
                add(self._text_tail)
            else:
                self._write(delta, out)
        return escape_separators(b"".join(out))

    def _begin(self, started: AnswerStarted) -> None:
        names = {"modelVersion": self._context.model_of(started.model)}
        if started.id:
            names["responseId"] = started.id
        self._names = dumps(names)[1:] + self.foot(started.id)
        self._renew()

    def _renew(self) -> None:
        self._tail = self._usage + self._names
        if self._first is not None:
            self._text_tail = b"}" + self._first.foot + self._tail

    def _write(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case AnswerStarted():
                self._begin(delta)
            case UsageUpdate(usage):
                self._usage = b'"usageMetadata":' + dumps(build_usage(usage, self._collect)) + b","
                self._renew()
            case Ping():
                out.append(b"\n")
            case AnswerEnded():
                self._end(out)
            case StreamFailed(fault):
                out.append(self.error(fault))
            case _:
                self._write_choice(delta, self._of(delta.choice), out)

    def error(self, fault: Fault) -> bytes:
        """The error in mid-stream."""
        return b"data: " + dumps(error_node(fault)) + b"\n\n"

    def _of(self, index: int) -> _ChoiceWriter:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _ChoiceWriter(index, self._collect, is_alone=0 not in self._choices)
            if index == 0:
                self._first = choice
                self._renew()
        return choice

    def _part(self, choice: _ChoiceWriter, node: dict[str, Any], out: list[bytes]) -> None:
        choice.has_parts = True
        out += [self.head, choice.head, dumps(node), choice.foot, self._tail]

    def _write_choice(self, delta: ChoiceDelta, choice: _ChoiceWriter, out: list[bytes]) -> None:
        if choice.cut is not None and not isinstance(delta, Finished):
            self._call(choice.cut, choice, out)
            choice.cut = None
        match delta:
            case TextDelta(text) | RefusalDelta(text):
                choice.kind = type(delta)
                choice.said.append(text)
                self._part(choice, {"text": text}, out)
            case ReasoningDelta(text):
                choice.kind = ReasoningDelta
                self._part(choice, {"text": text, "thought": True}, out)
            case ToolCallStarted():
                choice.kind = ToolCallStarted
                choice.call = delta
                choice.arguments = []
            case ToolCallDelta(arguments):
                choice.arguments.append(arguments)
            case SignatureDelta(signature):
                choice.kind = choice.kind or ReasoningDelta
                choice.sign = signature
            case ExtrasDelta(extras):
                self.losses += foreign_fields(extras, "", "answer.blocks.")
            case CitationDelta(citation):
                choice.sources.add(citation, "".join(choice.said), choice.written)
            case LogprobsDelta(tokens):
                self._part(choice, {"text": ""}, out)
                out[-2] = choice.foot.replace(b"}],", b',"logprobsResult":' + dumps(build_logprobs(tokens)) + b"}],")
            case BlockEnded():
                self._end_block(choice, out)
            case WholeBlock(block):
                self._block(block, choice, out)
            case _:
                choice.finish = delta.finish

    def _end_block(self, choice: _ChoiceWriter, out: list[bytes]) -> None:
        started = choice.call
        if started is not None:
            arguments = "".join(choice.arguments)
            call = ToolCall(started.id, started.name, arguments, started.kind, signature=started.signature)
            if is_cut(call):
                choice.cut = call
            else:
                self._call(call, choice, out)
            choice.call = None
        elif choice.sign is not None:
            node: dict[str, Any] = {"text": ""}
            if choice.kind is ReasoningDelta and choice.sign.provider != NAME:
                node["thought"] = True
            self._part(choice, {**node, "thoughtSignature": carried(choice.sign)}, out)
        choice.written += sum(len(text.encode("utf-8", "surrogatepass")) for text in choice.said)
        choice.said = []
        choice.kind = None
        choice.sign = None

    def _call(self, call: ToolCall, choice: _ChoiceWriter, out: list[bytes]) -> None:
        for node in build_block_parts(call, self._collect):
            self._part(choice, node, out)

    def _block(self, block: Block, choice: _ChoiceWriter, out: list[bytes]) -> None:
        if isinstance(block, Reasoning) and block.redacted and block.signature is None:
            return
        for node in build_block_parts(block, self._collect):
            self._part(choice, node, out)

    def _end(self, out: list[bytes]) -> None:
        """The last chunk: why each choice ended, and what it cost."""
        choices = self._choices
        first = choices.get(0)
        blocked = build_block(first.finish) if first is not None and not first.has_parts else None
        if blocked is not None:
            out += [self.head, b'{"promptFeedback":', dumps(blocked), b",", self._tail]
            return
        for choice in choices.values():
            self._end_cut(choice, out)
        ended = [self._ended(index, choices[index]) for index in sorted(choices)]
        out += [self.head, b'{"candidates":', dumps(ended), b",", self._tail]

    def _end_cut(self, choice: _ChoiceWriter, out: list[bytes]) -> None:
        if choice.cut is None:
            return
        if choice.finish is not None and choice.finish.kind == "length":
            self._collect.dropped("answer.tool_calls", f"{NAME} has no form for a call that was cut")
        else:
            self._call(choice.cut, choice, out)

    def _ended(self, index: int, choice: _ChoiceWriter) -> dict[str, Any]:
        node: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}}
        node["finishReason"] = build_finish(choice.finish, self._collect)
        if choice.finish is not None and choice.finish.detail is not None:
            node["finishMessage"] = choice.finish.detail
        grounding = choice.sources.build()
        if grounding is not None:
            node["groundingMetadata"] = grounding
        return {**node, "index": index}
