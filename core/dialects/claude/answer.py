"""Whole answers of the Messages API."""

from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.answer import Answer, Choice, Finish, FinishKind
from dragoman.core.chat.blocks import Block, Citation, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Loss, Losses, extras_of, fields_for
from dragoman.core.chat.names import foreign_id
from dragoman.core.chat.usage import TokenUsage, count
from dragoman.core.dialects import reading
from dragoman.core.dialects.claude.content import NAME, build_use, carried, parse_block, sign_calls
from dragoman.core.dialects.claude.errors import fault_of
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.errors import BadAnswer, BadRequest
from dragoman.core.json_text import dumps

_ANSWER = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"})
_FINISH: Mapping[str, FinishKind] = {
    "end_turn": "end", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "context",
    "tool_use": "tool", "refusal": "refusal", "pause_turn": "pause",
}  # fmt: skip
_REASONS: Mapping[FinishKind, str] = {
    "end": "end_turn", "stop": "stop_sequence", "length": "max_tokens", "context": "model_context_window_exceeded",
    "tool": "tool_use", "refusal": "refusal", "filter": "refusal", "recitation": "refusal", "malformed_call": "end_turn",
    "pause": "pause_turn", "other": "end_turn",
}  # fmt: skip
_INEXACT = frozenset({"filter", "recitation", "malformed_call", "other"})


def parse_finish(node: Mapping[str, Any]) -> Finish:
    """Say why an answer ended, from ``stop_reason`` and what stands beside it."""
    reason = reading.text(node, "stop_reason")
    detail = reading.text_or_none(reading.sub_object(node, "stop_details"), "explanation")
    return Finish(_FINISH.get(reason, "other"), reading.text_or_none(node, "stop_sequence"), (NAME, reason), detail)


def build_finish(finish: Finish | None, losses: Losses) -> dict[str, Any]:
    """The reason to write, and the stop text."""
    if finish is None:
        return {"stop_reason": "end_turn", "stop_sequence": None}
    if finish.kind in _INEXACT:
        losses.changed("answer.finish", f"{NAME} cannot say {finish.kind}; it reads {_REASONS[finish.kind]}")
    node = {"stop_reason": _REASONS[finish.kind], "stop_sequence": finish.stop if finish.kind == "stop" else None}
    if finish.detail is None:
        return node
    if node["stop_reason"] != "refusal":
        losses.dropped("answer.finish.detail", f"{NAME} explains only refusals")
        return node
    return {**node, "stop_details": {"type": "refusal", "category": None, "explanation": finish.detail}}


def parse_usage(node: Mapping[str, Any]) -> TokenUsage:
    """Read counted tokens: here, input tokens are those that no cache knew."""
    cached = count(node.get("cache_read_input_tokens"))
    split = reading.sub_object(node, "cache_creation")
    hour = count(split.get("ephemeral_1h_input_tokens"))
    written = count(node.get("cache_creation_input_tokens")) or hour + count(split.get("ephemeral_5m_input_tokens"))
    output = count(node.get("output_tokens"))
    return TokenUsage(
        input=count(node.get("input_tokens")) + cached + written,
        output=output,
        cached=cached,
        cache_written=written,
        cache_written_1h=min(hour, written),
        reasoning=min(count(reading.sub_object(node, "output_tokens_details").get("thinking_tokens")), output),
        web_searches=count(reading.sub_object(node, "server_tool_use").get("web_search_requests")),
    )


def build_usage(usage: TokenUsage | None, losses: Losses) -> dict[str, Any]:
    """Write counted tokens; zeros when nobody counted, for the field is mandatory."""
    losses.uncounted(usage, ("tool_input", "audio_input", "audio_output", "image_input"), NAME)
    usage = usage or TokenUsage()
    node: dict[str, Any] = {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_written),
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.cache_written_1h:
        node["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_written - usage.cache_written_1h,
            "ephemeral_1h_input_tokens": usage.cache_written_1h,
        }
    if usage.reasoning:
        node["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.web_searches:
        node["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return node


# ---- in


def parse_answer(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer; see `dragoman.core.dialects.dialect.AnswerParser`."""
    node = reading.answer_object(body)
    if node.get("type") == "error":  # some servers say 200 all the same
        error = reading.error_object(body)
        return Answer("", "", (), fault=fault_of(error, reading.error_message(error, b"", 0), 0)), ()
    if not isinstance(node.get("content"), list):
        raise BadAnswer("the provider's answer has no content")
    losses = Losses()
    blocks: list[Block] = []
    for item in reading.sub_objects(node, "content"):
        try:
            blocks.append(parse_block(item, "content"))
        except BadRequest as error:  # what would be the client's mistake in a request is the provider's here
            losses.dropped("answer.blocks", error.message)
    usage = node.get("usage")
    answer = Answer(
        reading.text(node, "id"),
        reading.text(node, "model"),
        (Choice(tuple(sign_calls(blocks)), parse_finish(node)),),
        usage=parse_usage(usage) if isinstance(usage, dict) else None,
        extras=extras_of(NAME, node, _ANSWER),
    )
    return answer, tuple(losses.found)


# ---- out


def build_answer(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer; see `dragoman.core.dialects.dialect.AnswerBuilder`."""
    losses = Losses()
    if len(answer.choices) > 1:
        losses.dropped("answer.choices", f"{NAME} has one answer; the others were left out")
    if any(choice.logprobs for choice in answer.choices):
        losses.dropped("answer.logprobs", f"{NAME} gives no probabilities")
    content = [node for block in answer.blocks for node in _build_block(block, losses)]
    node: dict[str, Any] = {
        **fields_for(NAME, answer.extras),
        "id": foreign_id(answer.id, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": context.model_of(answer.model),
        "content": content,
        **build_finish(answer.finish, losses),
        "usage": build_usage(answer.usage, losses),
    }
    return dumps(node), tuple(losses.found)


def _build_block(block: Block, losses: Losses) -> list[dict[str, Any]]:
    match block:
        case Text():
            if not block.text and block.signature is None:
                return []
            text = {"type": "text", "text": block.text}
            notes = [note for c in block.citations if (note := build_citation(c, losses)) is not None]
            if notes:
                text["citations"] = notes  # type: ignore[assignment]
            built = [{**fields_for(NAME, block.extras), **text}] if block.text else []
            # Gemini signs text, too; the signature travels behind it in an empty thinking block.
            return built if block.signature is None else [*built, _signature_alone(block)]
        case Refusal():
            return [{"type": "text", "text": block.text}] if block.text else []
        case Reasoning(redacted=True):
            return [{"type": "redacted_thinking", "data": carried(block.signature, redacted=True)}]
        case Reasoning():
            signed = {"type": "thinking", "thinking": block.text, "signature": carried(block.signature)}
            return [{**fields_for(NAME, block.extras), **signed}]
        case ToolCall():
            use = {**fields_for(NAME, block.extras), "type": "tool_use", **build_use(block)}
            return [use] if block.signature is None else [_signature_alone(block), use]
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return [value]
        case _:
            unwritable(block, losses)
            return []


def _signature_alone(block: Text | ToolCall) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "", "signature": carried(block.signature)}


def unwritable(block: Block, losses: Losses) -> None:
    """Note a block that an answer cannot have here."""
    what = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
    losses.dropped("answer.blocks", f"{NAME} cannot answer with {what}")


def build_citation(citation: Citation, losses: Losses) -> dict[str, Any] | None:
    """Write a citation: only Claude's own, for each kind points into something only Claude has."""
    own = fields_for(NAME, citation.extras)
    if not own:
        losses.dropped("answer.citations", f"{NAME} cites only what it found itself")
        return None
    return dict(own)
