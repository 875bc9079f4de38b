"""Requests of the Responses API.

What differs from the hub: the conversation is a list of items, and part of it may lie with the provider
(``previous_response_id``, ``conversation``, ``prompt``, ``item_reference``), where no other dialect can reach it; functions are
strict and answers are stored unless the client says no, so a request from another dialect says no; there is nothing like stop,
seed, penalties or n.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from dragoman.core.chat.blocks import Opaque, Text, ToolCall, ToolResult
from dragoman.core.chat.effort import level_of
from dragoman.core.chat.loss import Extras, Loss, Losses, fields_for
from dragoman.core.chat.names import NameRule, fitted
from dragoman.core.chat.request import ChatRequest, Message, OutputFormat, Thinking
from dragoman.core.chat.target import Target
from dragoman.core.chat.turns import paired
from dragoman.core.dialects import reading
from dragoman.core.dialects.inner_fields import unread
from dragoman.core.dialects.openai_responses.content import NAME, build_input_parts
from dragoman.core.dialects.openai_responses.items import build_items, parse_input
from dragoman.core.dialects.openai_responses.tools import build_choice, build_tools, parse_choice, parse_tools
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.json_text import dumps

TOOL_NAMES = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 64)
CALL_IDS = NameRule(re.compile(r"[\x00-\x1f]"), 64)
MIN_OUTPUT = 16

_KNOWN = frozenset({
    "model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "top_logprobs", "reasoning", "text",
    "tools", "tool_choice", "parallel_tool_calls", "include", "store", "previous_response_id", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "service_tier",
})  # fmt: skip
_PLACE = ("type", "city", "region", "country", "timezone")
# Inside of what is read (`dragoman.core.dialects.inner_fields`).
_INNER = {
    "input.*.summary.*": ("type", "text"),
    "input.*.content.*.input_audio": ("data", "format"),
    "input.*.output.*.input_audio": ("data", "format"),
    "text.format": ("type", "name", "description", "schema", "strict"),
    "tools.*.format": ("type", "syntax", "definition"),
    "tools.*.user_location": _PLACE,
    "tools.*.tools.*.format": ("type", "syntax", "definition"),
}
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


# ---- in


def parse_request(
    body: bytes, *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request; see `dragoman.core.dialects.dialect.RequestParser`.

    The request always has extras, if empty ones: they tell that it was written in this dialect, whose defaults are its own.
    """
    node = reading.request_object(body)
    text = reading.optional_object(node, "text") or {}
    include = reading.strings(node, "include")
    instructions = reading.optional_string(node, "instructions")
    messages = parse_input(node)
    kept = reading.optional_string(node, "previous_response_id") or next(_kept_elsewhere(node, messages), None)
    if node.get("input") is None and kept is None:
        raise BadRequest("input is missing", param="input")
    request = ChatRequest(
        model or reading.optional_string(node, "model") or "",
        tuple(messages),
        instructions=(Text(instructions),) if instructions else (),
        tools=tuple(parse_tools(node)),
        tool_choice=parse_choice(node.get("tool_choice")),
        parallel_tool_calls=reading.optional_bool(node, "parallel_tool_calls"),
        max_tokens=reading.optional_integer(node, "max_output_tokens"),
        temperature=reading.optional_number(node, "temperature"),
        top_p=reading.optional_number(node, "top_p"),
        logprobs=True if _LOGPROBS in include else None,
        top_logprobs=reading.optional_integer(node, "top_logprobs"),
        output=_parse_format(reading.optional_object(text, "format", "text.")),
        verbosity=reading.optional_string(text, "verbosity", "text."),
        thinking=_parse_thinking(node, wants_signatures=_ENCRYPTED in include),
        stream=bool(reading.optional_bool(node, "stream")) if stream is None else stream,
        user=reading.optional_string(node, "safety_identifier") or reading.optional_string(node, "user"),
        cache_key=reading.optional_string(node, "prompt_cache_key"),
        service_tier=reading.optional_string(node, "service_tier"),
        metadata=reading.optional_object(node, "metadata"),
        store=reading.optional_bool(node, "store"),
        previous_response_id=kept,
        extras=Extras(NAME, _unknown(node, text, include)),
    )
    return request, tuple(unread(node, _INNER, NAME))


def _unknown(node: dict[str, Any], text: dict[str, Any], include: Iterable[str]) -> dict[str, Any]:
    """What only this dialect understands, the inner fields of known ones too; null says nothing."""
    rest = {key: value for key, value in node.items() if key not in _KNOWN and value is not None}
    inner = {
        "reasoning": _without(node.get("reasoning") or {}, "effort", "summary", "generate_summary"),
        "text": _without(text, "format", "verbosity"),
        "include": [word for word in include if word not in (_ENCRYPTED, _LOGPROBS)],
    }
    return rest | {key: value for key, value in inner.items() if value}


def _without(node: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in known and value is not None}


def _kept_elsewhere(node: dict[str, Any], messages: Iterable[Message]) -> Iterator[str]:
    """The names of what the provider keeps of the conversation, but for ``previous_response_id``."""
    for key in ("conversation", "prompt"):
        value = node.get(key)
        found = value if isinstance(value, str) else reading.text(value, "id")
        if found:
            yield found
    for message in messages:
        for block in message.content:
            if isinstance(block, Opaque) and (block.dialect, block.kind) == (NAME, "item_reference"):
                yield reading.text(block.value, "id") or "an item"


def _parse_format(node: dict[str, Any] | None) -> OutputFormat | None:
    if node is None:
        return None
    kind = reading.required_string(node, "type", "text.format.")
    if kind in ("text", "json_object"):
        return OutputFormat("text" if kind == "text" else "json")
    if kind != "json_schema":
        return OutputFormat("text", extras=Extras(NAME, node))
    return OutputFormat(
        "schema",
        reading.optional_object(node, "schema", "text.format."),
        reading.optional_string(node, "name", "text.format."),
        reading.optional_string(node, "description", "text.format."),
        reading.optional_bool(node, "strict", "text.format."),
    )


def _parse_thinking(node: dict[str, Any], *, wants_signatures: bool) -> Thinking | None:
    """Read what is said of reasoning; a `Thinking` that says nothing when only its signatures were asked for."""
    reasoning = reading.optional_object(node, "reasoning") or {}
    effort = reading.optional_string(reasoning, "effort", "reasoning.")
    show = reading.optional_string(reasoning, "summary", "reasoning.")
    show = show or reading.optional_string(reasoning, "generate_summary", "reasoning.")
    if effort == "none":
        return Thinking("off", show=show)
    if effort:
        return Thinking("level", level=effort, show=show)
    return Thinking(show=show) if show or wants_signatures else None


# ---- out


def build_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write a request; see `dragoman.core.dialects.dialect.RequestBuilder`."""
    if request.choices is not None and request.choices > 1:
        raise Untranslatable(f"n: {NAME} gives one answer to a request; ask {request.choices} times", param="n")
    request = fitted(request, TOOL_NAMES, CALL_IDS, keep_namespaces=True)
    is_own = request.extras is not None and request.extras.dialect == NAME
    losses = Losses(request.messages)
    own = dict(fields_for(NAME, request.extras))
    node: dict[str, Any] = {**own, "model": target.model or request.model}
    others = set(_kept_elsewhere(own, request.messages))
    if request.previous_response_id is not None and request.previous_response_id not in others:
        node["previous_response_id"] = request.previous_response_id
    _build_input(request, target, node, losses)
    if request.max_tokens is not None:
        node["max_output_tokens"] = _build_limit(request.max_tokens, losses, is_own=is_own)
    for name in ("temperature", "top_p", "top_logprobs", "metadata"):
        value = getattr(request, name)
        if value is not None:
            node[name] = value
    if request.user is not None:
        node["safety_identifier" if target.is_official else "user"] = request.user
    if request.cache_key is not None:
        node["prompt_cache_key"] = request.cache_key
    if request.service_tier is not None:
        node["service_tier"] = _build_tier(request.service_tier, losses)
    if request.store is not None or not is_own:
        node["store"] = bool(request.store)
    _build_tools(request, node, losses, is_own=is_own)
    _build_text(request, node)
    _build_thinking(request.thinking, node, losses, is_own=is_own)
    _build_include(request, node)
    if request.stream:
        node["stream"] = True
    losses.unsaid(request, _UNSAID, NAME, hints=("cache",))
    return dumps(node), tuple(losses.found)


_UNSAID = ("stop", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def _build_input(request: ChatRequest, target: Target, node: dict[str, Any], losses: Losses) -> None:
    instructions = build_input_parts(request.instructions, losses)
    items: list[dict[str, Any]] = []
    if len(instructions) == 1 and instructions[0].keys() == {"type", "text"}:
        node["instructions"] = instructions[0]["text"]
    elif instructions:
        items.append({"type": "message", "role": "developer", "content": instructions})
    messages: Iterable[Message] = request.messages
    if request.previous_response_id is None and not _is_paired(messages):
        messages, repairs = paired(messages)
        losses.found += repairs
    for n, message in enumerate(messages):
        if message.name is not None:
            losses.dropped(f"messages[{n}].name", f"{NAME} has no names of speakers")
        if message.cache is not None:
            losses.hint(f"messages[{n}].cache", "OpenAI caches without marks")
        items += build_items(message, target, losses)
    node["input"] = items


def _is_paired(messages: Iterable[Message]) -> bool:
    """Whether each call has one result further down, as the API demands; what stands between does not matter to it."""
    waiting: set[str] = set()
    seen: set[str] = set()
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolCall):
                if block.id in seen:
                    return False
                seen.add(block.id)
                waiting.add(block.id)
            elif isinstance(block, ToolResult):
                if block.call_id not in waiting:
                    return False
                waiting.remove(block.call_id)
    return not waiting


def _build_limit(most: int, losses: Losses, *, is_own: bool) -> int:
    if most >= MIN_OUTPUT or is_own:
        return most
    losses.changed("max_tokens", f"{NAME} takes no less than {MIN_OUTPUT}: {most} became {MIN_OUTPUT}")
    return MIN_OUTPUT


def _build_tier(tier: str, losses: Losses) -> str:
    if tier != "fast":
        return tier
    losses.changed("service_tier", f"{NAME} has no tier fast; it was asked for priority")
    return "priority"


def _build_tools(request: ChatRequest, node: dict[str, Any], losses: Losses, *, is_own: bool) -> None:
    # Schemas of other dialects were not written for strictness, which is the default here.
    tools = build_tools(request.tools, losses, unsaid_strict=None if is_own else False)
    choice = request.tool_choice
    if not tools and not is_own:
        if choice is not None and choice.mode not in ("auto", "none"):
            losses.dropped("tool_choice", "there is no tool left to choose")
        return
    if tools:
        node["tools"] = tools
    if choice is not None:
        node["tool_choice"] = build_choice(choice, request.tools)
    if request.parallel_tool_calls is not None:
        node["parallel_tool_calls"] = request.parallel_tool_calls


def _build_text(request: ChatRequest, node: dict[str, Any]) -> None:
    text = node.get("text")
    text = dict(text) if isinstance(text, dict) else {}
    if request.output is not None:
        text["format"] = build_format(request.output)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        node["text"] = text


def build_format(output: OutputFormat) -> dict[str, Any]:
    """Write the form of the answer's text."""
    own = fields_for(NAME, output.extras)
    if own:
        return dict(own)
    if output.kind != "schema":
        return {"type": "text" if output.kind == "text" else "json_object"}
    node: dict[str, Any] = {"type": "json_schema", "name": output.name or "response", "schema": output.schema or {}}
    if output.description is not None:
        node["description"] = output.description
    if output.strict is not None:
        node["strict"] = output.strict
    return node


def _build_thinking(thinking: Thinking | None, node: dict[str, Any], losses: Losses, *, is_own: bool) -> None:
    if thinking is None:
        return
    reasoning = node.get("reasoning")
    reasoning = dict(reasoning) if isinstance(reasoning, dict) else {}
    if thinking.mode == "off":
        reasoning["effort"] = "none"
    elif thinking.mode == "level" and thinking.level:
        reasoning["effort"] = thinking.level
    elif thinking.mode == "budget" and thinking.budget:
        level = level_of(thinking.budget)
        reasoning["effort"] = level
        losses.changed("thinking.budget", f"{NAME} has levels, no budgets: {thinking.budget} became {level}")
    show = thinking.show
    if show is None and thinking.mode not in (None, "off") and not is_own:
        show = "auto"  # who asks for reasoning elsewhere is shown it
    if show in ("auto", "concise", "detailed"):
        reasoning["summary"] = show
    if reasoning:
        node["reasoning"] = reasoning


def _build_include(request: ChatRequest, node: dict[str, Any]) -> None:
    # Without it there is no proof of reasoning to send back; models that do not reason refuse it.
    wanted = [_ENCRYPTED] if request.thinking is not None and request.thinking.mode != "off" else []
    wanted += [_LOGPROBS] if request.logprobs or request.top_logprobs else []
    own = node.get("include")
    include = [*(own if isinstance(own, list) else []), *wanted]
    if include:
        node["include"] = include
