"""One item of a stream of Responses, as far as its pieces have come."""

from collections.abc import Callable, Mapping
from typing import Any

from dragoman.core.chat.blocks import CallKind, Citation, Reasoning
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    BlockEnded,
    CitationDelta,
    Delta,
    ExtrasDelta,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    WholeBlock,
)
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_responses.content import parse_citations
from dragoman.core.dialects.openai_responses.items import belongs_to_a_call, parse_item, parse_signature, phased
from dragoman.core.errors import BadRequest

_DELTAS: Mapping[type, Callable[[str], Delta]] = {TextDelta: TextDelta, RefusalDelta: RefusalDelta}
# Items that are calls.
CALLS: Mapping[str, CallKind] = {"function_call": "function", "custom_tool_call": "custom"}


class Item:
    """One item as far as it has come. Its deltas go to `out`, which is the stream itself when it is its turn."""

    __slots__ = (
        "answer_id", "held", "id", "index", "is_done", "is_summary", "joint", "kind", "logprobs", "losses", "notes", "open", "out",
        "part", "parts_done", "phase", "refused", "said", "signature", "started",
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
        self.phase: str | None = None  # of a message, until it has been told
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
            if self.phase is not None and kind is TextDelta and not self.parts_done:
                self.out.append(ExtrasDelta(phased(self.phase)))
            self.phase = None
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
        self.out.append(ToolCallStarted(call_id, name, 0, CALLS[self.kind], namespace, self.signature, self.id))
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
            if not self.parts_done and self.open is None:
                self.phase = reading.text_or_none(node, "phase")
            for n, part in enumerate(reading.sub_objects(node, "content")):
                self.whole_part(n, part)
            self.close()
        elif self.kind == "reasoning":
            return self._finish_reasoning(node)
        elif self.kind in CALLS:
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
