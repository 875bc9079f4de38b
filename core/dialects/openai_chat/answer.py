"""Whole answers of Chat Completions.

Reasoning has no place in OpenAI's own format; compatible servers and clients put its text into ``reasoning_content`` and what is
encrypted into ``reasoning_details`` (OpenRouter's form), and so do we.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dragoman.core.chat.answer import Answer, Choice, Finish, FinishKind
from dragoman.core.chat.blocks import (
    Block,
    Citation,
    Inline,
    Link,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.core.chat.loss import Extras, Loss, Losses, extras_of, fields_for
from dragoman.core.chat.media import data_url, inline_of
from dragoman.core.chat.names import foreign_id, made_up_call_id
from dragoman.core.chat.signature import REDACTED, Signature, wrap
from dragoman.core.chat.usage import TokenUsage, count
from dragoman.core.dialects import reading
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_chat.content import NAME, build_call, parse_call_signature
from dragoman.core.dialects.openai_chat.errors import fault_of
from dragoman.core.dialects.openai_chat.request import parse_reasoning
from dragoman.core.errors import BadAnswer
from dragoman.core.json_text import dumps

_ANSWER = frozenset({
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation",
    "prompt_filter_results",
})  # fmt: skip
_FINISH: Mapping[str, FinishKind] = {
    "stop": "end", "length": "length", "max_tokens": "length", "tool_calls": "tool", "function_call": "tool",
    "content_filter": "filter", "eos": "end", "": "end",
}  # fmt: skip
_REASONS: Mapping[FinishKind, str] = {
    "end": "stop", "stop": "stop", "length": "length", "context": "length", "tool": "tool_calls", "refusal": "stop",
    "filter": "content_filter", "recitation": "content_filter", "malformed_call": "stop", "pause": "stop", "other": "stop",
}  # fmt: skip
_EXACT = frozenset({"end", "length", "tool", "filter"})
# The provider's explanation, beside ``finish_reason``: no word of OpenAI's, but SDKs let it pass, and it is all that is known of a call
# that could not be read.
DETAIL = "finish_message"


def parse_finish(reason: str, *, has_calls: bool, has_refusal: bool, detail: str | None = None) -> Finish:
    """Say why an answer ended.

    Whether tools are called shows in the answer, not in the reason: some servers say ``stop``, and so did OpenAI when the choice
    of the tool was forced.
    """
    kind = _FINISH.get(reason, "other")
    if has_calls and kind in ("end", "tool", "other"):
        kind = "tool"
    elif has_refusal and kind == "end":
        kind = "refusal"
    elif kind == "tool":
        kind = "end"
    return Finish(kind, raw=(NAME, reason), detail=detail)


def build_finish(finish: Finish | None, losses: Losses, *, has_refusal: bool) -> str:
    """The reason to write."""
    if finish is None:
        return "stop"
    if finish.kind == "refusal" and not has_refusal:
        losses.changed("answer.finish", f"{NAME} cannot say a refusal without words; it reads content_filter")
        return "content_filter"
    if finish.kind not in _EXACT and finish.kind != "refusal":
        losses.changed("answer.finish", f"{NAME} cannot say {finish.kind}; it reads {_REASONS[finish.kind]}")
    return _REASONS[finish.kind]


def parse_usage(node: Mapping[str, Any]) -> TokenUsage:
    """Read counted tokens. DeepSeek and CLIProxyAPI have names of their own for parts."""
    read = reading.sub_object(node, "prompt_tokens_details")
    wrote = reading.sub_object(node, "completion_tokens_details")
    whole_input, whole_output = count(node.get("prompt_tokens")), count(node.get("completion_tokens"))
    cached = count(read.get("cached_tokens") or node.get("prompt_cache_hit_tokens"))
    written = count(read.get("cache_write_tokens") or read.get("cached_creation_tokens"))
    return TokenUsage(
        input=whole_input,
        output=whole_output,
        cached=min(cached, whole_input),
        cache_written=min(written, whole_input - min(cached, whole_input)),
        reasoning=min(count(wrote.get("reasoning_tokens")), whole_output),
        audio_input=count(read.get("audio_tokens")),
        audio_output=count(wrote.get("audio_tokens")),
        image_input=count(read.get("image_tokens")),
    )


def build_usage(usage: TokenUsage, losses: Losses) -> dict[str, Any]:
    """Write counted tokens."""
    losses.uncounted(usage, ("cache_written_1h", "tool_input", "web_searches"), NAME)
    node: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
    }
    read = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written}
    read |= {"audio_tokens": usage.audio_input, "image_tokens": usage.image_input}
    wrote = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output}
    for name, parts in (("prompt_tokens_details", read), ("completion_tokens_details", wrote)):
        counted = {part: value for part, value in parts.items() if value}
        if counted:
            node[name] = counted
    return node


# ---- in


def parse_answer(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer; see `dragoman.core.dialects.dialect.AnswerParser`."""
    node = reading.answer_object(body)
    if node.get("error"):  # some servers say 200 all the same
        error = reading.error_object(body)
        return Answer("", "", (), fault=fault_of(error, reading.error_message(error, b"", 0), 0)), ()
    if not isinstance(node.get("choices"), list):
        raise BadAnswer("the provider's answer has no choices")
    ident = reading.text(node, "id")
    choices = []
    for index, choice in enumerate(reading.sub_objects(node, "choices")):
        blocks = _parse_message(reading.sub_object(choice, "message"), ident, index)
        finish = parse_finish(
            reading.text(choice, "finish_reason"),
            has_calls=any(isinstance(block, ToolCall) for block in blocks),
            has_refusal=any(isinstance(block, Refusal) for block in blocks),
            detail=reading.text_or_none(choice, DETAIL),
        )
        tokens = reading.sub_object(choice, "logprobs").get("content")
        choices.append(Choice(tuple(blocks), finish, tuple(tokens) if isinstance(tokens, list) else None))
    usage = node.get("usage")
    answer = Answer(
        ident,
        reading.text(node, "model"),
        tuple(choices),
        reading.whole(node, "created"),
        parse_usage(usage) if isinstance(usage, dict) else None,
        extras=extras_of(NAME, node, _ANSWER),
    )
    return answer, ()


def _parse_message(message: dict[str, Any], ident: str, index: int) -> list[Block]:
    blocks = parse_reasoning(message)
    if content := reading.text(message, "content"):
        blocks.append(Text(content, tuple(parse_citations(message))))
    for part in reading.sub_objects(message, "content"):  # Mistral answers with parts
        if said := reading.text(part, "text"):
            blocks.append(Text(said))
    if refusal := reading.text(message, "refusal"):
        blocks.append(Refusal(refusal))
    calls = reading.sub_objects(message, "tool_calls")
    old = reading.sub_object(message, "function_call")
    for ordinal, call in enumerate([*calls, {"function": old}] if old else calls):
        blocks.append(_parse_call(call, ident, index, ordinal))
    blocks += parse_images(message)
    if audio := reading.sub_object(message, "audio"):
        blocks.append(Opaque(NAME, "audio", audio))
    return blocks


def _parse_call(node: dict[str, Any], ident: str, index: int, ordinal: int) -> ToolCall:
    custom = reading.sub_object(node, "custom")
    function = custom or reading.sub_object(node, "function")
    name = reading.text(function, "name")
    call_id = reading.text(node, "id") or made_up_call_id(ident, index, ordinal, name)
    if custom:
        return ToolCall(call_id, name, reading.text(custom, "input"), "custom")
    arguments = reading.text(function, "arguments") or "{}"
    return ToolCall(call_id, name, arguments, signature=parse_call_signature(node))


def parse_citations(message: Mapping[str, Any]) -> Iterable[Citation]:
    """Read the annotations of a message; kinds without an address stay opaque."""
    for note in reading.sub_objects(message, "annotations"):
        found = reading.sub_object(note, "url_citation")
        if not found:
            yield Citation(extras=Extras(NAME, note))
            continue
        start, end = reading.whole(found, "start_index"), reading.whole(found, "end_index")
        yield Citation(reading.text_or_none(found, "url"), reading.text_or_none(found, "title"), start, end)


def parse_images(message: Mapping[str, Any]) -> Iterable[Media]:
    """Read images that compatible servers put beside the content."""
    for image in reading.sub_objects(message, "images"):
        url = reading.text(reading.sub_object(image, "image_url"), "url")
        if url:
            yield Media("image", inline_of(url) or Link(url))


# ---- out


def build_answer(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer; see `dragoman.core.dialects.dialect.AnswerBuilder`."""
    losses = Losses()
    choices = []
    for index, choice in enumerate(answer.choices):
        message = _build_message(choice, losses)
        reason = build_finish(choice.finish, losses, has_refusal=message["refusal"] is not None)
        logprobs = None if choice.logprobs is None else {"content": list(choice.logprobs), "refusal": None}
        said = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}
        if choice.finish is not None and choice.finish.detail is not None:
            said[DETAIL] = choice.finish.detail
        choices.append(said)
    node: dict[str, Any] = {
        **fields_for(NAME, answer.extras),
        "id": foreign_id(answer.id, "chatcmpl-"),
        "object": "chat.completion",
        "created": context.created if answer.created is None else answer.created,
        "model": context.model_of(answer.model),
        "choices": choices,
    }
    if answer.usage is not None:
        node["usage"] = build_usage(answer.usage, losses)
    return dumps(node), tuple(losses.found)


def _build_message(choice: Choice, losses: Losses) -> dict[str, Any]:
    text: list[str] = []
    refusal: list[str] = []
    notes: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    reasoning = ReasoningParts()
    for block in choice.blocks:
        match block:
            case Text():
                offset = sum(map(len, text))
                notes += [note for c in block.citations if (note := build_citation(c, offset, losses)) is not None]
                text.append(block.text)
                if block.signature is not None:  # Gemini signs text, too
                    reasoning.add(Reasoning("", block.signature))
            case Refusal():
                refusal.append(block.text)
            case Reasoning():
                reasoning.add(block)
            case ToolCall():
                calls.append(build_call(block))
            case _:
                image = build_image(block, len(images), losses)
                images += [] if image is None else [image]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text) if text or not (calls or refusal) else None,
        "refusal": "".join(refusal) or None,
    }
    parts = {"annotations": notes, "tool_calls": calls, "images": images, "reasoning_content": "".join(reasoning.texts)}
    parts["reasoning_details"] = reasoning.details
    return message | {name: part for name, part in parts.items() if part}


class ReasoningParts:
    """Gathers reasoning the way it is written: all texts in one field, the signatures in another."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.details: list[Any] = []
        self._ordinal = 0

    def add(self, block: Reasoning) -> None:
        """Take the next block."""
        self.texts.append(block.text)
        self.details += fields_for(NAME, block.extras).get("reasoning_details", [])
        if block.signature is not None:
            self.details.append(self.detail(block.signature, len(block.text), redacted=block.redacted))

    def detail(self, signature: Signature, length: int, *, redacted: bool = False) -> dict[str, Any]:
        """The entry for the next block that is signed; its id says how many characters of the text are its own."""
        ordinal = self._ordinal
        self._ordinal += 1
        data = wrap(attrs.evolve(signature, family=REDACTED) if redacted else signature)
        return {"type": "reasoning.encrypted", "data": data, "id": f"reasoning_{ordinal}:{length}", "index": ordinal}


def build_citation(citation: Citation, offset: int, losses: Losses) -> dict[str, Any] | None:
    """Write a citation whose text begins at `offset` of the content."""
    own = fields_for(NAME, citation.extras)
    if own:
        return dict(own)
    if citation.url is None:
        losses.dropped("answer.citations", f"{NAME} cites only addresses")
        return None
    start = offset + (citation.start or 0)
    end = offset + (citation.end or citation.start or 0)
    found = {"start_index": start, "end_index": end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", "url_citation": found}


def build_image(block: Block, ordinal: int, losses: Losses) -> dict[str, Any] | None:
    """Write what stands beside the content: images, as compatible servers and clients do; everything else is a loss."""
    if isinstance(block, Media) and block.kind == "image" and isinstance(block.source, Inline | Link):
        url = data_url(block.source) if isinstance(block.source, Inline) else block.source.url
        return {"type": "image_url", "image_url": {"url": url}, "index": ordinal}
    what = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
    losses.dropped("answer.blocks", f"{NAME} cannot answer with {what}")
    return None
