"""Reading what a provider answers: chunks, typed, and a candidate's parts as deltas.

A whole answer is read as a stream of one chunk, so that both say the same. Typed reading skips what nobody asked for and is several times
as fast as dictionaries; what does not fit the types is read again leniently (`leniently`).
"""

from typing import Any

import msgspec

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.arguments import build_arguments
from dragoman.core.chat.blocks import Inline, Link, Media, Opaque, Reasoning
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.media import standard_base64
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.signature import REDACTED, Signature, signature_from
from dragoman.core.chat.stream import (
    BlockEnded,
    CitationDelta,
    Delta,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    SignatureDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    WholeBlock,
)
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME, kind_of
from dragoman.core.dialects.gemini.ending import parse_finish
from dragoman.core.dialects.gemini.partial_call import PartialCall
from dragoman.core.dialects.gemini.sources import parse_logprobs, parse_sources


class Call(msgspec.Struct, rename="camel", gc=False):
    """``functionCall``."""

    name: str | None = None
    args: dict[str, Any] | None = None
    id: str | None = None
    partial_args: list[Any] | None = None
    will_continue: bool | None = None


class Part(msgspec.Struct, rename="camel", gc=False):
    """A part; of the fields that say what it is, one is set."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: dict[str, Any] | None = None
    file_data: dict[str, Any] | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None
    tool_call: dict[str, Any] | None = None
    tool_response: dict[str, Any] | None = None


class Content(msgspec.Struct, gc=False):
    """``content``."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel", gc=False):
    """One candidate of a chunk."""

    content: Content | None = None
    index: int = 0
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: dict[str, Any] | None = None
    citation_metadata: dict[str, Any] | None = None
    logprobs_result: dict[str, Any] | None = None


class Chunk(msgspec.Struct, rename="camel", gc=False):
    """One GenerateContentResponse."""

    candidates: list[Candidate] | None = None
    usage_metadata: dict[str, Any] | None = None
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: dict[str, Any] | None = None
    error: Any = None


def leniently(node: dict[str, Any]) -> Chunk:
    """A chunk whose fields of a wrong type count as absent; `node` in camelCase."""
    return Chunk(
        [_candidate(candidate) for candidate in reading.sub_objects(node, "candidates")],
        reading.sub_object(node, "usageMetadata") or None,
        reading.text_or_none(node, "modelVersion"),
        reading.text_or_none(node, "responseId"),
        reading.sub_object(node, "promptFeedback") or None,
        node.get("error"),
    )


def _candidate(node: dict[str, Any]) -> Candidate:
    parts = [_part(part) for part in reading.sub_objects(node.get("content"), "parts")]
    return Candidate(
        Content(parts),
        max(0, reading.whole(node, "index") or 0),
        reading.text_or_none(node, "finishReason"),
        reading.text_or_none(node, "finishMessage"),
        reading.sub_object(node, "groundingMetadata") or None,
        reading.sub_object(node, "citationMetadata") or None,
        reading.sub_object(node, "logprobsResult") or None,
    )


def _part(node: dict[str, Any]) -> Part:
    call = None
    if isinstance(node.get("functionCall"), dict):
        said = node["functionCall"]
        args = reading.sub_object(said, "args")
        pieces = said.get("partialArgs")
        call = Call(
            reading.text_or_none(said, "name"),
            args,
            reading.text_or_none(said, "id"),
            pieces if isinstance(pieces, list) else None,
            said.get("willContinue") is True,
        )
    text = node.get("text")
    return Part(
        text if isinstance(text, str) else None,
        node.get("thought") is True,
        reading.text_or_none(node, "thoughtSignature"),
        call,
        *(reading.sub_object(node, key) or None for key in _OBJECTS),
    )


_OBJECTS = ("inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_OPAQUE = (
    ("executable_code", "executableCode"),
    ("code_execution_result", "codeExecutionResult"),
    ("tool_call", "toolCall"),
    ("tool_response", "toolResponse"),
)


class CandidateReader:
    """Reads one candidate: keeps at most one block open.

    Args:
        index: Which candidate.
        answer_id: Seed for ids of calls that have none.
        losses: Where to note what could not be carried over.

    """

    __slots__ = (
        "answer_id", "begins", "chunks", "finish", "index", "kind", "losses", "ordinal", "partial", "said", "seen_ids", "signed",
        "sources", "starts",
    )  # fmt: skip

    def __init__(self, index: int, answer_id: str, losses: list[Loss]) -> None:
        self.index = index
        self.answer_id = answer_id
        self.losses = losses
        self.kind: type | None = None
        self.signed = False  # the open block has its signature: what follows belongs to another
        self.partial: PartialCall | None = None  # a call that is not complete
        self.ordinal = 0
        self.seen_ids: set[str] = set()
        self.said: list[str] = []  # the text of the open block
        self.begins = 0  # bytes of text before it
        self.chunks = 0
        self.starts: list[int] = []  # bytes of text before each part
        self.sources: Candidate | None = None
        self.finish: Finish | None = None

    def read(self, candidate: Candidate, out: list[Delta]) -> None:
        """Take what a chunk says of the candidate."""
        if self.finish is not None:
            return
        self.chunks += 1
        content = candidate.content
        if content is not None and content.parts:
            for part in content.parts:
                text = part.text
                # Nearly every part is this one, so it is read without a detour.
                if text and not part.thought and part.thought_signature is None and part.function_call is None:
                    if self.kind is not TextDelta or self.signed:
                        self._begin(TextDelta, out)
                    if self.chunks == 1:
                        self._mark()
                    self.said.append(text)
                    out.append(TextDelta(text, self.index))
                else:
                    self._read_part(part, out)
        if candidate.logprobs_result:
            tokens = parse_logprobs(candidate.logprobs_result)
            if tokens:
                out.append(LogprobsDelta(tokens, self.index))
        if candidate.grounding_metadata or candidate.citation_metadata:
            self.sources = candidate
        if candidate.finish_reason:
            self.end(candidate.finish_reason, candidate.finish_message, out)

    def end(self, reason: str, detail: str | None, out: list[Delta]) -> None:
        """The candidate is complete."""
        if self.sources is not None:  # they come more than once, and the last time counts
            self._cite(self.sources, out)
        self._close(out)
        self.finish = parse_finish(reason, has_calls=self.ordinal > 0, detail=detail)
        out.append(Finished(self.finish, self.index))

    def _mark(self) -> None:
        """Note where a part begins, for segments that name one."""
        self.starts.append(self.begins + sum(len(piece.encode("utf-8", "surrogatepass")) for piece in self.said))

    def _begin(self, kind: type, out: list[Delta]) -> None:
        """Make sure that a block of this kind is open and takes more."""
        if self.kind is not kind or self.signed:
            self._close(out)
            self.kind = kind

    def _close(self, out: list[Delta]) -> None:
        if self.partial is not None:
            self._end_partial(self.partial, out)
        if self.kind is not None:
            out.append(BlockEnded(self.index))
        self.kind = None
        self.signed = False
        self.begins += sum(len(piece.encode("utf-8", "surrogatepass")) for piece in self.said)
        self.said = []

    def _read_part(self, part: Part, out: list[Delta]) -> None:
        sign = signature_from(part.thought_signature, NAME) if part.thought_signature else None
        if self.chunks == 1:  # only the first chunk can be a whole answer
            self._mark()
        if part.function_call is not None:
            self._read_call(part.function_call, sign, out)
        elif part.text is not None or sign is not None:
            self._read_text(part, sign, out)
        elif part.inline_data is not None or part.file_data is not None:
            self._read_media(part, sign, out)
        else:
            for field, word in _OPAQUE:
                found = getattr(part, field)
                if found is not None:
                    self._close(out)
                    out.append(WholeBlock(Opaque(NAME, word, {word: found}), self.index))

    def _read_text(self, part: Part, sign: Signature | None, out: list[Delta]) -> None:
        if part.inline_data is not None or part.file_data is not None:
            self._read_media(part, sign, out)
            return
        if sign is not None and sign.family == REDACTED:
            self._close(out)
            bare = Signature(sign.provider, sign.value)
            out.append(WholeBlock(Reasoning("", bare, redacted=True), self.index))
            return
        if part.text:
            self._begin(ReasoningDelta if part.thought else TextDelta, out)
            if part.thought:
                out.append(ReasoningDelta(part.text, self.index))
            else:
                self.said.append(part.text)
                out.append(TextDelta(part.text, self.index))
        if sign is None:
            return
        if self.kind is None or self.signed:
            self._begin(ReasoningDelta, out)
        out.append(SignatureDelta(sign, self.index))
        self.signed = True

    def _read_call(self, call: Call, sign: Signature | None, out: list[Delta]) -> None:
        if call.partial_args is None and not call.will_continue and self.partial is None:
            self._close(out)
            self._tell_call(call.name or "", call.id or "", call.args or {}, sign, out)
            return
        partial = self.partial
        if partial is None or (call.name and partial.name) or (call.id and partial.id not in ("", call.id)):
            self._close(out)
            partial = self.partial = PartialCall()
        partial.name = partial.name or call.name or ""
        partial.id = partial.id or call.id or ""
        partial.signature = partial.signature or sign
        if call.args:
            partial.args().update(call.args)
        partial.add(call.partial_args or ())
        if not call.will_continue:
            self._close(out)

    def _end_partial(self, call: PartialCall, out: list[Delta]) -> None:
        self.partial = None
        args = call.args()
        if call.skipped:
            self.losses.append(Loss("answer.tool_calls", "dropped", "a piece of arguments has no place in them"))
        self._tell_call(call.name, call.id, args, call.signature, out)

    def _tell_call(self, name: str, said: str, args: dict[str, Any], sign: Signature | None, out: list[Delta]) -> None:
        ident = said or made_up_call_id(self.answer_id, self.index, self.ordinal, name)
        if ident in self.seen_ids:  # two calls of one answer never share an id
            ident = made_up_call_id(self.answer_id, self.index, self.ordinal, name)
        self.seen_ids.add(ident)
        self.ordinal += 1
        out.append(ToolCallStarted(ident, name, self.index, signature=sign))
        out.append(ToolCallDelta(build_arguments(args) or "{}", self.index))
        out.append(BlockEnded(self.index))

    def _read_media(self, part: Part, sign: Signature | None, out: list[Delta]) -> None:
        self._close(out)
        node = part.inline_data or part.file_data or {}
        mime = reading.text(node, "mimeType").lower()
        source: Inline | Link
        if part.inline_data is not None:
            source = Inline(mime, standard_base64(reading.text(node, "data")))
        else:
            source = Link(reading.text(node, "fileUri"), mime or None)
        out.append(WholeBlock(Media(kind_of(mime), source, signature=sign), self.index))

    def _cite(self, candidate: Candidate, out: list[Delta]) -> None:
        if self.kind is not TextDelta:
            self.losses.append(Loss("answer.citations", "dropped", "no text is open that the sources could belong to"))
            return
        starts = self.starts if self.chunks == 1 else ()
        found = parse_sources(
            candidate.grounding_metadata or {},
            candidate.citation_metadata or {},
            "".join(self.said),
            self.begins,
            starts,
        )
        out.extend(CitationDelta(citation, self.index) for citation in found)
