"""Whole answers of generateContent.

Read as a stream of one chunk. Signatures of other providers travel to the client in a wrapper that is base64, which Google's clients
insist on.
"""

import base64
from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from dragoman.core.chat.answer import Answer, Choice
from dragoman.core.chat.arguments import parse_arguments
from dragoman.core.chat.blocks import Block, Inline, Link, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Extras, Loss, Losses, extras_of, fields_for
from dragoman.core.chat.signature import REDACTED, Signature, wrap_base64
from dragoman.core.chat.stream import AnswerStarted, Delta, Folder
from dragoman.core.dialects import reading
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.gemini.candidate import CandidateReader, Chunk, leniently
from dragoman.core.dialects.gemini.content import NAME, NOT_MINE, build_call, in_camel_case
from dragoman.core.dialects.gemini.ending import (
    build_block,
    build_finish,
    build_usage,
    parse_block,
    parse_usage,
)
from dragoman.core.dialects.gemini.errors import fault_of
from dragoman.core.dialects.gemini.sources import SourcesWriter, build_logprobs
from dragoman.core.errors import BadAnswer
from dragoman.core.json_text import dumps

_ANSWER = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback"})
# Fields of a candidate that only Gemini has; they come back when the client speaks it, too.
_CANDIDATE = (
    "safetyRatings", "avgLogprobs", "tokenCount", "urlContextMetadata", "groundingMetadata", "citationMetadata",
)  # fmt: skip
# Of these, what the hub says as citations.
_READ = frozenset({"groundingMetadata", "citationMetadata"})


# ---- in


def parse_answer(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer; see `dragoman.core.dialects.dialect.AnswerParser`."""
    return parse_node(reading.answer_object(body))


def parse_node(node: dict[str, Any]) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer that is JSON already.

    Raises:
        BadAnswer: It is none.

    """
    try:
        node = in_camel_case(node)
    except RecursionError:
        raise BadAnswer("the provider's answer is nested too deeply") from None
    try:
        chunk = msgspec.convert(node, Chunk)
    except (msgspec.ValidationError, UnicodeError):  # a lone surrogate, too
        chunk = leniently(node)
    ident, model = chunk.response_id or "", chunk.model_version or ""
    usage = parse_usage(chunk.usage_metadata) if chunk.usage_metadata else None
    if chunk.error:
        return Answer(ident, model, (), usage=usage, fault=fault_of(chunk.error, 0)), ()
    blocked = parse_block(chunk.prompt_feedback or {})
    if not chunk.candidates and blocked is None:
        raise BadAnswer("the provider's answer has no candidates")
    losses: list[Loss] = []
    deltas: list[Delta] = []
    readers: dict[int, CandidateReader] = {}
    for place, candidate in enumerate(chunk.candidates or ()):
        index = candidate.index if candidate.index not in readers else place
        reader = readers.setdefault(index, CandidateReader(index, ident, losses))
        reader.read(candidate, deltas)
        if reader.finish is None:
            reader.end("", None, deltas)
    folder = Folder()
    folder.add(AnswerStarted(ident, model))
    for delta in deltas:
        folder.add(delta)
    choices = folder.answer().choices
    if blocked is not None and not choices:
        choices = (Choice((), blocked),)
    extras = extras_of(NAME, node, _ANSWER)
    if chunk.prompt_feedback and blocked is None:
        extras = Extras(NAME, {**(extras.fields if extras else {}), "promptFeedback": chunk.prompt_feedback})
    found = reading.sub_objects(node, "candidates")
    if len(found) == len(choices):
        choices = tuple(
            attrs.evolve(choice, extras=_extras(candidate)) for choice, candidate in zip(choices, found, strict=True)
        )
    return Answer(ident, model, choices, usage=usage, extras=extras), tuple(losses)


def _extras(node: dict[str, Any]) -> Extras | None:
    fields = {key: node[key] for key in _CANDIDATE if node.get(key) is not None}
    return Extras(NAME, fields, _READ) if fields else None


# ---- out


def build_answer(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer; see `dragoman.core.dialects.dialect.AnswerBuilder`."""
    node, losses = build_node(answer, context)
    return dumps(node), losses


def build_node(answer: Answer, context: AnswerContext) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """Write an answer as a JSON value."""
    losses = Losses()
    node: dict[str, Any] = {}
    blocked = build_block(answer.finish)
    if blocked is not None and not answer.blocks:
        node["promptFeedback"] = blocked
    else:
        node["candidates"] = [_build_choice(choice, n, losses) for n, choice in enumerate(answer.choices)]
    if answer.usage is not None:
        node["usageMetadata"] = build_usage(answer.usage, losses)
    node["modelVersion"] = context.model_of(answer.model)
    if answer.id:
        node["responseId"] = answer.id
    return {**fields_for(NAME, answer.extras), **node}, tuple(losses.found)


def _build_choice(choice: Choice, index: int, losses: Losses) -> dict[str, Any]:
    sources = SourcesWriter(losses)
    parts: list[dict[str, Any]] = []
    blocks = choice.blocks
    if blocks and choice.finish is not None and choice.finish.kind == "length" and is_cut(blocks[-1]):
        losses.dropped("answer.tool_calls", f"{NAME} has no form for a call that was cut")
        blocks = blocks[:-1]
    for block in blocks:
        if isinstance(block, Text):
            for citation in block.citations:
                sources.add(citation, block.text, part=len(parts))
        parts += build_block_parts(block, losses)
    node: dict[str, Any] = {"content": {"role": "model", "parts": parts or [{"text": ""}]}}
    node["finishReason"] = build_finish(choice.finish, losses)
    if choice.finish is not None and choice.finish.detail is not None:
        node["finishMessage"] = choice.finish.detail
    node["index"] = index
    if (grounding := sources.build()) is not None:
        node["groundingMetadata"] = grounding
    if choice.logprobs is not None:
        node["logprobsResult"] = build_logprobs(choice.logprobs)
    return node | dict(fields_for(NAME, choice.extras))


def is_cut(block: Block) -> bool:
    """Whether a block is a call whose arguments broke off."""
    return (
        isinstance(block, ToolCall)
        and block.kind == "function"
        and "__raw_arguments" in parse_arguments(block.arguments)
    )


def carried(signature: Signature, *, redacted: bool = False) -> str:
    """What a client keeps for a signature: the native one as it is, any other in its wrapper; always base64."""
    if redacted:
        return wrap_base64(attrs.evolve(signature, family=REDACTED))
    if signature.provider == NAME and not signature.family and is_base64(signature.value):
        return signature.value
    return wrap_base64(signature)


def is_base64(text: str) -> bool:
    """Whether Google's clients take it for bytes."""
    if text == NOT_MINE:
        return True
    try:
        base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return False
    return True


def build_block_parts(block: Block, losses: Losses) -> Iterable[dict[str, Any]]:
    """Write a block of an answer."""
    node: dict[str, Any]
    match block:
        case Text(text=text) | Refusal(text=text):
            node = {"text": text}
        case Reasoning():
            if not (block.text or block.signature):
                return []
            node = {"text": block.text}
            is_bare = not block.text and block.signature is not None and block.signature.provider == NAME
            if not is_bare:
                node["thought"] = True
            if block.signature is not None:
                node["thoughtSignature"] = carried(block.signature, redacted=block.redacted)
            return [node]
        case ToolCall():
            node = {"functionCall": build_call(block)}
        case Media(source=Inline(mime=mime, data=data)) if is_base64(data):
            node = {"inlineData": {"mimeType": mime or "application/octet-stream", "data": data}}
        case Media(source=Link(url=url, mime=mime)):
            node = {"fileData": {"fileUri": url, "mimeType": mime} if mime else {"fileUri": url}}
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return [dict(value)]
        case _:
            what = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
            losses.dropped("answer.blocks", f"{NAME} cannot answer with {what}")
            return []
    sign = None if isinstance(block, Refusal) else block.signature
    if sign is not None:
        node["thoughtSignature"] = carried(sign)
    return [node]
