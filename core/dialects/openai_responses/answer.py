"""Whole answers of the Responses API.

There is no finish reason: the state says whether the answer is complete, the items say what it is. An answer repeats much of the
request, and SDKs insist on parts of that.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dragoman.core.chat.answer import Answer, Choice, Finish, FinishKind
from dragoman.core.chat.blocks import Block, Inline, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.effort import LEVELS
from dragoman.core.chat.loss import Loss, Losses, extras_of, fields_for
from dragoman.core.chat.names import foreign_id
from dragoman.core.chat.request import ChatRequest, Message
from dragoman.core.chat.usage import TokenUsage, count
from dragoman.core.dialects import reading
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_responses.content import NAME, PART, build_citation, output_text
from dragoman.core.dialects.openai_responses.errors import fault_in_stream
from dragoman.core.dialects.openai_responses.items import (
    build_call,
    build_image,
    build_reasoning,
    carried,
    parse_item,
    phased,
    sign_calls,
)
from dragoman.core.dialects.openai_responses.request import build_format
from dragoman.core.dialects.openai_responses.tools import build_choice, build_tools
from dragoman.core.errors import BadAnswer, BadRequest
from dragoman.core.json_text import dumps

# What an answer says of itself, and what it repeats of the request.
_ANSWER = frozenset({
    "id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output", "usage", "background",
    "billing", "content_filters", "conversation", "instructions", "max_output_tokens", "max_tool_calls", "metadata",
    "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice",
    "tools", "top_logprobs", "top_p", "truncation", "user", "frequency_penalty", "presence_penalty",
})  # fmt: skip
_TIERS = ("auto", "default", "flex", "scale", "priority")
_REASONS: Mapping[FinishKind, str] = {
    "length": "max_output_tokens", "context": "max_output_tokens", "filter": "content_filter", "recitation": "content_filter",
}  # fmt: skip
_UNCOUNTED = ("cache_written_1h", "tool_input", "audio_input", "audio_output", "image_input", "web_searches")
_EXACT = frozenset({"end", "length", "tool", "filter"})


# ---- in


def parse_answer(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer; see `dragoman.core.dialects.dialect.AnswerParser`."""
    node = reading.answer_object(body)
    if not isinstance(node.get("output"), list) and not node.get("error"):
        raise BadAnswer("the provider's answer has no output")
    losses = Losses()
    choice = parse_output(node, losses)
    usage = node.get("usage")
    answer = Answer(
        reading.text(node, "id"),
        reading.text(node, "model"),
        (choice,),
        created_of(node),
        parse_usage(usage) if isinstance(usage, dict) else None,
        fault_in_stream(reading.sub_object(node, "error"), {}) if has_failed(node) else None,
        extras_of(NAME, node, _ANSWER),
    )
    return answer, tuple(losses.found)


def has_failed(node: Mapping[str, Any]) -> bool:
    """Whether a response is none."""
    return reading.text(node, "status") in ("failed", "cancelled") or bool(reading.sub_object(node, "error"))


def created_of(node: Mapping[str, Any]) -> int | None:
    """When a response was made; some servers write a fraction."""
    value = node.get("created_at")
    return count(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def parse_output(node: Mapping[str, Any], losses: Losses) -> Choice:
    """Read the items of a response and why it ended."""
    messages: list[Message] = []
    tokens: list[Any] = []
    for item in reading.sub_objects(node, "output"):
        for part in reading.sub_objects(item, "content"):
            found = part.get("logprobs")
            tokens += found if isinstance(found, list) else []
        try:
            messages.append(parse_item(item, "output"))
        except BadRequest as error:  # what would be the client's mistake in a request is the provider's here
            losses.dropped("answer.blocks", error.message)
    blocks = [block for message in sign_calls(messages) for block in _phased(message)]
    finish = parse_finish(
        node,
        has_calls=any(isinstance(block, ToolCall) for block in blocks),
        has_refusal=any(isinstance(block, Refusal) for block in blocks),
    )
    return Choice(tuple(blocks), finish, tuple(tokens) if tokens else None)


def _phased(message: Message) -> Iterable[Block]:
    """The blocks of a message; its first text remembers the phase, which has to be sent back."""
    for n, block in enumerate(message.content):
        if n == 0 and message.phase is not None and isinstance(block, Text):
            extras = phased(message.phase, block.extras)
            yield Text(block.text, block.citations, extras=extras)
        else:
            yield block


def parse_finish(node: Mapping[str, Any], *, has_calls: bool, has_refusal: bool) -> Finish:
    """Say why an answer ended."""
    status = reading.text(node, "status")
    if status == "incomplete":
        why = reading.sub_object(node, "incomplete_details")
        reason = reading.text(why, "reason")
        kinds: dict[str, FinishKind] = {"max_output_tokens": "length", "content_filter": "filter"}
        return Finish(
            kinds.get(reason, "other"), raw=(NAME, f"{status}:{reason}"), detail=reading.text_or_none(why, "message")
        )
    kind: FinishKind = "tool" if has_calls else "refusal" if has_refusal else "end"
    return Finish(kind, raw=(NAME, status))


def parse_usage(node: Mapping[str, Any]) -> TokenUsage:
    """Read counted tokens: here, too, the whole includes its parts."""
    read = reading.sub_object(node, "input_tokens_details")
    wrote = reading.sub_object(node, "output_tokens_details")
    whole_input, whole_output = count(node.get("input_tokens")), count(node.get("output_tokens"))
    cached = min(count(read.get("cached_tokens")), whole_input)
    return TokenUsage(
        input=whole_input,
        output=whole_output,
        cached=cached,
        cache_written=min(count(read.get("cache_write_tokens")), whole_input - cached),
        reasoning=min(count(wrote.get("reasoning_tokens")), whole_output),
    )


# ---- out


def build_usage(usage: TokenUsage | None, losses: Losses) -> dict[str, Any] | None:
    """Write counted tokens; clients insist on both groups of details."""
    if usage is None:
        return None
    losses.uncounted(usage, _UNCOUNTED, NAME)
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def build_answer(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer; see `dragoman.core.dialects.dialect.AnswerBuilder`."""
    losses = Losses()
    if len(answer.choices) > 1:
        losses.dropped("answer.choices", f"{NAME} has one answer; the others were left out")
    finish = answer.finish
    ending = build_ending(finish, losses, has_refusal=any(isinstance(block, Refusal) for block in answer.blocks))
    choice = answer.choices[0] if answer.choices else Choice()
    node = {
        **fields_for(NAME, answer.extras),
        **build_frame(answer.id, answer.model, answer.created, context),
        **ending,
        "output": _Output(answer.id, choice.logprobs, losses).write(choice.blocks, is_cut=is_cut(finish)),
        "usage": build_usage(answer.usage, losses),
    }
    return dumps(node), tuple(losses.found)


def build_frame(ident: str, model: str, created: int | None, context: AnswerContext) -> dict[str, Any]:
    """What every form of a response has: its names, and what it repeats of the request."""
    request = context.request or ChatRequest("", ())
    is_own = request.extras is not None and request.extras.dialect == NAME
    truncation = fields_for(NAME, request.extras).get("truncation")
    thinking = request.thinking
    effort = None if thinking is None else "none" if thinking.mode == "off" else thinking.level
    show = None if thinking is None or thinking.show not in ("auto", "concise", "detailed") else thinking.show
    text: dict[str, Any] = {"format": {"type": "text"} if request.output is None else build_format(request.output)}
    if request.verbosity in ("low", "medium", "high"):
        text["verbosity"] = request.verbosity
    labels: Mapping[str, Any] = request.metadata or {}
    node: dict[str, Any] = {
        "id": foreign_id(ident, "resp_"),
        "object": "response",
        "created_at": context.created if created is None else created,
        "background": False,
        "instructions": "\n\n".join(block.text for block in request.instructions) or None,
        "max_output_tokens": request.max_tokens,
        "metadata": {key: value for key, value in labels.items() if isinstance(value, str)},
        "model": context.model_of(model),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "reasoning": {"effort": effort if effort in ("none", *LEVELS) else None, "summary": show},
        "store": is_own if request.store is None else request.store,
        "temperature": request.temperature,
        "text": text,
        "tool_choice": "auto" if request.tool_choice is None else build_choice(request.tool_choice, request.tools),
        "tools": build_tools(request.tools, Losses(), unsaid_strict=is_own),
        "top_p": request.top_p,
        "truncation": "auto" if truncation == "auto" else "disabled",
        "user": request.user,
    }
    if request.service_tier in _TIERS:
        node["service_tier"] = request.service_tier
    if request.cache_key is not None:
        node["prompt_cache_key"] = request.cache_key
    return node


def is_cut(finish: Finish | None) -> bool:
    """Whether the last item is not all that the model would have written."""
    return finish is not None and finish.kind in _REASONS


def build_ending(finish: Finish | None, losses: Losses, *, has_refusal: bool) -> dict[str, Any]:
    """The fields that say how a response ended."""
    kind = "end" if finish is None else finish.kind
    reason = _REASONS.get(kind)
    if kind == "refusal" and not has_refusal:
        reason = "content_filter"
        losses.changed("answer.finish", f"{NAME} cannot say a refusal without words; it reads {reason}")
    elif kind not in _EXACT and kind != "refusal":
        losses.changed("answer.finish", f"{NAME} cannot say {kind}; it reads {reason or 'completed'}")
    why = None if reason is None else {"reason": reason}
    if finish is not None and finish.detail is not None:
        if why is None:
            losses.dropped("answer.finish.detail", f"{NAME} explains only answers that are incomplete")
        else:
            why["message"] = finish.detail  # no word of OpenAI's, but SDKs let it pass
    return {"status": "completed" if why is None else "incomplete", "error": None, "incomplete_details": why}


def item_id(kind: str, answer_id: str, index: int) -> str:
    """A name for the item at `index` of an answer; the same answer always gives the same.

    >>> item_id("fc_", "chatcmpl-7", 2)
    'fc_7_2'
    """
    return f"{foreign_id(answer_id, kind)}_{index}"


class _Output:
    """Writes the items of a whole answer."""

    def __init__(self, answer_id: str, logprobs: tuple[Any, ...] | None, losses: Losses) -> None:
        self._answer_id = answer_id
        self._logprobs = logprobs  # until a text has taken them
        self._losses = losses
        self._items: list[dict[str, Any]] = []
        self._message: dict[str, Any] | None = None

    def write(self, blocks: Iterable[Block], *, is_cut: bool) -> list[dict[str, Any]]:
        """Write all items; when the answer was cut, the last says so."""
        for block in blocks:
            self._add(block)
        if is_cut and self._items and self._items[-1].get("type") in ("message", "function_call"):
            self._items[-1]["status"] = "incomplete"
        return self._items

    def _add(self, block: Block) -> None:
        match block:
            case Text():
                self._add_text(block)
            case Refusal():
                if block.text:
                    self._part({"type": "refusal", "refusal": block.text}, None)
            case Reasoning():
                node = build_reasoning(block.text, block.is_summary)
                if block.signature is not None:
                    node["encrypted_content"] = carried(block.signature, redacted=block.redacted)
                self._item("rs_", block.item_id, {**fields_for(NAME, block.extras), **node})
            case ToolCall():
                if block.signature is not None:  # has no place on a call; travels before it
                    self._item("rs_", None, _signed(block.signature))
                node = build_call(block)
                prefix = "fc_" if block.kind == "function" else "ctc_"
                self._item(prefix, block.item_id, node if block.kind == "custom" else node | {"status": "completed"})
            case Media(kind="image", source=Inline()):
                self._item("ig_", None, build_image(block, self._made_up("ig_")))
            case Opaque(dialect=dialect, kind=kind) if dialect == NAME and not kind.startswith(PART):
                self._item("item_", None, dict(block.value))
            case _:
                unwritable(block, self._losses)

    def _add_text(self, block: Text) -> None:
        if block.text:
            notes = [c for x in block.citations if (c := build_citation(x, len(block.text), self._losses)) is not None]
            own = dict(fields_for(NAME, block.extras))
            phase = own.pop("phase", None)
            part = {**own, **output_text(block.text, notes)}
            if self._logprobs is not None:
                part["logprobs"], self._logprobs = list(self._logprobs), None
            self._part(part, phase)
        if block.signature is not None:  # Gemini signs text, too
            self._item("rs_", None, _signed(block.signature))

    def _part(self, part: dict[str, Any], phase: Any) -> None:
        if self._message is None or phase not in (None, self._message.get("phase")):
            message = {"type": "message", "role": "assistant", "status": "completed", "content": []}
            self._item("msg_", None, message if phase is None else {**message, "phase": phase})
            self._message = self._items[-1]
        self._message["content"].append(part)

    def _item(self, prefix: str, ident: str | None, node: dict[str, Any]) -> None:
        self._message = None
        self._items.append({"id": ident or self._made_up(prefix), **node})

    def _made_up(self, prefix: str) -> str:
        return item_id(prefix, self._answer_id, len(self._items))


def _signed(signature: Any) -> dict[str, Any]:
    return {**build_reasoning("", None), "encrypted_content": carried(signature)}


def unwritable(block: Block, losses: Losses) -> None:
    """Note a block that an answer cannot have here."""
    what = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
    losses.dropped("answer.blocks", f"{NAME} cannot answer with {what}")
