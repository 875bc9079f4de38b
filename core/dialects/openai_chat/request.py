"""Requests of Chat Completions.

What differs from the hub: instructions are messages; results of tools are messages of their own, whose content is text only, so
their images follow in a user's message behind a mark that `parse_request` knows again; ``functions`` and ``function_call`` are
the old words for tools.
"""

import re
from typing import Any

import attrs

from dragoman.core.chat.blocks import Block, Media, Nested, Opaque, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.core.chat.effort import level_of
from dragoman.core.chat.loss import Extras, Loss, Losses, extras_of, fields_for
from dragoman.core.chat.names import NameRule, fitted, made_up_call_id
from dragoman.core.chat.request import (
    ChatRequest,
    Message,
    OpaqueTool,
    OutputFormat,
    Thinking,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.chat.signature import REDACTED, signature_from
from dragoman.core.chat.target import Target
from dragoman.core.chat.turns import paired
from dragoman.core.dialects import reading
from dragoman.core.dialects.inner_fields import unread
from dragoman.core.dialects.openai_chat.content import (
    NAME,
    build_call,
    build_choice,
    build_parts,
    build_tool,
    mark_cached,
    parse_call,
    parse_choice,
    parse_content,
    parse_function,
    parse_mark,
    parse_tool,
)
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.json_text import dumps

TOOL_NAMES = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 64)
CALL_IDS = NameRule(re.compile(r"[\x00-\x1f]"), 256)

_KNOWN = frozenset({
    "model", "messages", "stream", "stream_options", "max_completion_tokens", "max_tokens", "temperature", "top_p", "top_k", "n",
    "stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "user",
    "safety_identifier", "prompt_cache_key", "metadata", "store", "service_tier", "reasoning_effort", "reasoning", "verbosity",
    "response_format", "tools", "tool_choice", "parallel_tool_calls", "web_search_options", "functions", "function_call",
})  # fmt: skip
_MESSAGE = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning_content", "reasoning",
    "reasoning_details", "cache_control", "prompt_cache_breakpoint",
})  # fmt: skip
_FUNCTION = ("name", "description", "parameters", "strict")
_GRAMMAR = ("type", "syntax", "definition", "grammar")
# Inside of what is read (`dragoman.core.dialects.inner_fields`).
_INNER = {
    "messages.*.content.*.image_url": ("url", "detail"),
    "messages.*.content.*.input_audio": ("data", "format"),
    "messages.*.content.*.file": ("filename", "file_data", "file_id"),
    "messages.*.tool_calls.*.function": ("name", "arguments"),
    "messages.*.tool_calls.*.custom": ("name", "input"),
    "messages.*.function_call": ("name", "arguments"),
    "tools.*.function": _FUNCTION,
    "tools.*.custom": ("name", "description", "format"),
    "tools.*.custom.format": _GRAMMAR,
    "tools.*.custom.format.grammar": _GRAMMAR,
    "tool_choice": ("type", "name", "function", "custom", "allowed_tools"),
    "tool_choice.function": ("name",),
    "tool_choice.custom": ("name",),
    "tool_choice.allowed_tools": ("mode", "tools"),
    "tool_choice.allowed_tools.tools.*": ("type", "name", "function", "custom"),
    "tool_choice.allowed_tools.tools.*.function": ("name",),
    "tool_choice.allowed_tools.tools.*.custom": ("name",),
    "function_call": ("name",),
    "response_format": ("type", "json_schema"),
    "response_format.json_schema": ("name", "description", "schema", "strict"),
    "reasoning": ("effort", "max_tokens", "exclude", "enabled"),
    "web_search_options.user_location": ("type", "approximate"),
    "web_search_options.user_location.approximate": ("type", "city", "region", "country", "timezone"),
}
_MARKER = re.compile(r'<tool-result-media call_id="([^"]*)"/>')


def parse_request(
    body: bytes, *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request; see `dragoman.core.dialects.dialect.RequestParser`."""
    node = reading.request_object(body)
    options = reading.optional_object(node, "stream_options") or {}
    extras = extras_of(NAME, node, _KNOWN)
    rest = {key: value for key, value in options.items() if key != "include_usage"}
    if rest:
        extras = Extras(NAME, {**(extras.fields if extras else {}), "stream_options": rest})
    stop = node.get("stop")
    most = reading.optional_integer(node, "max_completion_tokens")
    search = reading.optional_object(node, "web_search_options")
    request = ChatRequest(
        model or reading.optional_string(node, "model") or "",
        tuple(_parse_messages(node)),
        tools=tuple(_parse_tools(node)) + (() if search is None else (_parse_search(search),)),
        tool_choice=_parse_choice(node),
        parallel_tool_calls=reading.optional_bool(node, "parallel_tool_calls"),
        max_tokens=most if most is not None else reading.optional_integer(node, "max_tokens"),
        stop=(stop,) if isinstance(stop, str) else reading.strings(node, "stop"),
        temperature=reading.optional_number(node, "temperature"),
        top_p=reading.optional_number(node, "top_p"),
        top_k=reading.optional_integer(node, "top_k"),
        seed=reading.optional_integer(node, "seed"),
        presence_penalty=reading.optional_number(node, "presence_penalty"),
        frequency_penalty=reading.optional_number(node, "frequency_penalty"),
        choices=reading.optional_integer(node, "n"),
        logit_bias=reading.optional_object(node, "logit_bias"),
        logprobs=reading.optional_bool(node, "logprobs"),
        top_logprobs=reading.optional_integer(node, "top_logprobs"),
        output=_parse_format(reading.optional_object(node, "response_format")),
        verbosity=reading.optional_string(node, "verbosity"),
        thinking=_parse_thinking(node),
        stream=bool(reading.optional_bool(node, "stream")) if stream is None else stream,
        include_usage=reading.optional_bool(options, "include_usage", "stream_options."),
        user=reading.optional_string(node, "safety_identifier") or reading.optional_string(node, "user"),
        cache_key=reading.optional_string(node, "prompt_cache_key"),
        service_tier=reading.optional_string(node, "service_tier"),
        metadata=reading.optional_object(node, "metadata"),
        store=reading.optional_bool(node, "store"),
        extras=extras,
    )
    return request, tuple(unread(node, _INNER, NAME))


def _parse_tools(node: dict[str, Any]) -> list[Any]:
    tools: list[Any] = []
    for tool, path in reading.objects(node, "tools"):
        parsed = parse_tool(tool, path)
        tools.append(OpaqueTool(NAME, *parsed) if isinstance(parsed, tuple) else parsed)
    tools += [parse_function(function, path, function) for function, path in reading.objects(node, "functions")]
    return tools


def _parse_choice(node: dict[str, Any]) -> ToolChoice | None:
    old = node.get("function_call")
    if "tool_choice" in node or old is None:
        return parse_choice(node.get("tool_choice"), "tool_choice")
    return parse_choice(old, "function_call")


def _parse_search(node: dict[str, Any]) -> WebSearchTool:
    place = reading.sub_object(reading.sub_object(node, "user_location"), "approximate")
    location = {key: value for key, value in place.items() if isinstance(value, str) and key != "type"}
    extras = extras_of(NAME, node, frozenset({"search_context_size", "user_location"}))
    size = reading.optional_string(node, "search_context_size", "web_search_options.")
    return WebSearchTool(context_size=size, location=location or None, extras=extras)


def _parse_format(node: dict[str, Any] | None) -> OutputFormat | None:
    if node is None:
        return None
    match reading.required_string(node, "type", "response_format."):
        case "json_schema":
            inner = reading.an_object(node.get("json_schema"), "response_format.json_schema")
            path = "response_format.json_schema."
            return OutputFormat(
                "schema",
                reading.optional_object(inner, "schema", path),
                reading.optional_string(inner, "name", path),
                reading.optional_string(inner, "description", path),
                reading.optional_bool(inner, "strict", path),
            )
        case "json_object":
            return OutputFormat("json")
        case "text":
            return OutputFormat("text")
        case other:
            return OutputFormat("text", extras=Extras(NAME, {**node, "type": other}))


def _parse_thinking(node: dict[str, Any]) -> Thinking | None:
    """``reasoning_effort``, and ``reasoning`` as OpenRouter has it. Whoever asks for effort gets to see what came of it."""
    router = reading.sub_object(node, "reasoning")
    effort = reading.optional_string(node, "reasoning_effort") or reading.text_or_none(router, "effort")
    budget = reading.whole(router, "max_tokens")
    if effort == "none" or router.get("enabled") is False or budget == 0:
        return Thinking("off")
    show = "off" if router.get("exclude") is True else "auto"
    if effort is not None and effort != "auto":
        return Thinking("level", level=effort, show=show)
    if effort is None and budget is not None and budget > 0:
        return Thinking("budget", budget=budget, show=show)
    return Thinking("auto", show=show) if effort == "auto" or router.get("enabled") is True else None


# ---- messages, in


def _parse_messages(node: dict[str, Any]) -> list[Message]:
    if node.get("messages") is None:
        raise BadRequest("messages is missing", param="messages")
    out: list[Message] = []
    old_calls: list[tuple[str, str]] = []  # of the deprecated functions: name and the id made up, not answered yet
    for item, path in reading.objects(node, "messages"):
        role = reading.required_string(item, "role", path + ".")
        extras = extras_of(NAME, item, _MESSAGE)
        name = reading.optional_string(item, "name", path + ".")
        mark = parse_mark(item)
        match role:
            case "system" | "developer":
                content = parse_content(item.get("content"), path + ".content")
                out.append(Message(role, tuple(content), name, cache=mark, extras=extras))
            case "user":
                content = _give_back(parse_content(item.get("content"), path + ".content"), out)
                out.append(Message("user", tuple(content), name, cache=mark, extras=extras))
            case "assistant":
                content = _parse_assistant(item, path, old_calls)
                out.append(Message("assistant", tuple(content), name, cache=mark, extras=extras))
            case "tool":
                call_id = reading.required_string(item, "tool_call_id", path + ".")
                content = parse_content(item.get("content"), path + ".content")
                result = ToolResult(call_id, tuple(content), name=name, cache=mark)
                out.append(Message("user", (result,), extras=extras))
            case "function":
                found = next((old for old in old_calls if old[0] == name), (name or "", ""))
                if found in old_calls:
                    old_calls.remove(found)
                content = parse_content(item.get("content"), path + ".content")
                result = ToolResult(found[1] or f"call_{name}", tuple(content), name=name)
                out.append(Message("user", (result,), extras=extras))
            case _:
                raise BadRequest(f"{path}.role: nobody is called {role!r} here", param=f"{path}.role")
    return out


def _parse_assistant(item: dict[str, Any], path: str, old_calls: list[tuple[str, str]]) -> list[Block]:
    content: list[Block] = [*parse_reasoning(item), *parse_content(item.get("content"), path + ".content")]
    refusal = reading.optional_string(item, "refusal", path + ".")
    if refusal:
        content.append(Refusal(refusal))
    content += [parse_call(call, call_path) for call, call_path in reading.objects(item, "tool_calls", path + ".")]
    old = reading.optional_object(item, "function_call", path + ".")
    if old is not None:
        call = parse_call({"function": old}, path)
        call = attrs.evolve(call, id=made_up_call_id("", 0, len(old_calls), path + call.name))
        old_calls.append((call.name, call.id))
        content.append(call)
    return content


def parse_reasoning(item: dict[str, Any]) -> list[Block]:
    """Read the reasoning of a message or an answer.

    ``reasoning_content`` (or ``reasoning``) is all of its text; ``reasoning_details`` holds the signatures, in our answers one
    entry for each block, whose ``id`` says how much of the text is its own.
    """
    text = reading.text(item, "reasoning_content") or reading.text(item, "reasoning")
    blocks: list[Block] = []
    foreign: list[dict[str, Any]] = []
    for detail in reading.sub_objects(item, "reasoning_details"):
        data = reading.text(detail, "data")
        found = signature_from(data, "") if data else None
        if found is None or not found.provider:
            foreign.append(detail)
            continue
        _, _, length = reading.text(detail, "id").rpartition(":")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 9 else len(text)
        redacted = found.family == REDACTED
        sign = attrs.evolve(found, family="") if redacted else found
        blocks.append(Reasoning("" if redacted else text[:size], sign, redacted))
        text = text if redacted else text[size:]
    if foreign and not text:
        text = "".join(reading.text(detail, "text") or reading.text(detail, "summary") for detail in foreign)
    extras = Extras(NAME, {"reasoning_details": foreign}) if foreign else None
    if text or extras:
        blocks.append(Reasoning(text, extras=extras))
    return blocks


def _give_back(content: list[Block], before: list[Message]) -> list[Block]:
    """Put images that stand behind a mark back into the results they came from."""
    out: list[Block] = []
    home: int | None = None
    for block in content:
        found = _MARKER.fullmatch(block.text) if isinstance(block, Text) else None
        if found is not None:
            home = next((n for n in range(len(before) - 1, -1, -1) if _is_result(before[n], found[1])), None)
            if home is not None:
                continue
        if home is not None and isinstance(block, Media):
            result = before[home].content[0]
            assert isinstance(result, ToolResult)
            before[home] = attrs.evolve(before[home], content=(attrs.evolve(result, content=(*result.content, block)),))
            continue
        home = None
        out.append(block)
    return out


def _is_result(message: Message, call_id: str) -> bool:
    block = message.content[0] if message.content else None
    return isinstance(block, ToolResult) and block.call_id == call_id


# ---- out


def build_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write a request; see `dragoman.core.dialects.dialect.RequestBuilder`."""
    if request.previous_response_id is not None:
        raise Untranslatable(
            f"previous_response_id: the earlier conversation is not here, and {NAME} cannot name it; send it along",
            param="previous_response_id",
        )
    request = fitted(request, TOOL_NAMES, CALL_IDS)
    losses = Losses(request.messages)
    node: dict[str, Any] = {**fields_for(NAME, request.extras)}
    node["model"] = target.model or request.model
    node["messages"] = _build_messages(request, target, losses)
    if request.max_tokens is not None:
        node["max_completion_tokens" if target.is_official else "max_tokens"] = request.max_tokens
    for name, word in _SAME.items():
        value = getattr(request, name)
        if value is not None:
            node[word] = value
    if request.top_k is not None:
        if target.is_official:
            losses.dropped("top_k", "OpenAI has no top_k")
        else:
            node["top_k"] = request.top_k
    if request.stop:
        node["stop"] = list(request.stop[:4])
        if len(request.stop) > 4:
            losses.dropped("stop", f"{NAME} takes four stop texts at most; the first four were sent")
    if request.user is not None:
        node["safety_identifier" if target.is_official else "user"] = request.user
    if request.cache is not None:
        losses.hint("cache", "OpenAI caches without marks")
    _build_tools(request, target, node, losses)
    _build_output(request, node)
    _build_thinking(request.thinking, node, losses)
    if request.stream:
        options = node.get("stream_options")
        # Usage is always asked for: the ledger counts it, whether or not the client wants to see it.
        node |= {
            "stream": True,
            "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True},
        }
    return dumps(node), tuple(losses.found)


_SAME = {
    "temperature": "temperature", "top_p": "top_p", "seed": "seed", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty", "choices": "n", "logit_bias": "logit_bias", "logprobs": "logprobs",
    "top_logprobs": "top_logprobs", "verbosity": "verbosity", "cache_key": "prompt_cache_key", "service_tier": "service_tier",
    "metadata": "metadata", "store": "store",
}  # fmt: skip


def _build_tools(request: ChatRequest, target: Target, node: dict[str, Any], losses: Losses) -> None:
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        if isinstance(tool, WebSearchTool):
            if _refuses_search(target.model) and len(request.tools) > 1:
                losses.dropped(path, "only models made for it take a search here, and other tools were offered, too")
                continue
            node["web_search_options"] = _build_search(tool, losses, path)
        elif isinstance(tool, OpaqueTool):
            if tool.dialect == NAME:
                tools.append(tool.value)
            else:
                losses.dropped(path, f"only {tool.dialect} has tools of the kind {tool.kind}")
        else:
            tools.append(build_tool(tool, target, losses, path))
    if not tools:
        if request.tool_choice is not None and request.tool_choice.mode not in ("auto", "none"):
            losses.dropped("tool_choice", "there is no tool left to choose")
        return
    node["tools"] = tools
    if request.tool_choice is not None:
        node["tool_choice"] = build_choice(request.tool_choice, request.tools)
    if request.parallel_tool_calls is not None:
        node["parallel_tool_calls"] = request.parallel_tool_calls


def _refuses_search(model: str | None) -> bool:
    """Whether a model answers 400 to a search: all but those with it in their names. Codex offers one in every request."""
    return model is not None and "search" not in model


def _build_search(tool: WebSearchTool, losses: Losses, path: str) -> dict[str, Any]:
    losses.unsaid(
        tool, ("allowed_domains", "blocked_domains", "max_uses"), NAME, path + ".", hints=("cache", "variant")
    )
    node: dict[str, Any] = {**fields_for(NAME, tool.extras)}
    if tool.context_size is not None:
        node["search_context_size"] = tool.context_size
    if tool.location:
        node["user_location"] = {"type": "approximate", "approximate": dict(tool.location)}
    return node


def _build_output(request: ChatRequest, node: dict[str, Any]) -> None:
    output = request.output
    if output is None:
        return
    own = fields_for(NAME, output.extras)
    if own:
        node["response_format"] = dict(own)
    elif output.kind == "json":
        node["response_format"] = {"type": "json_object"}
    elif output.kind == "text":
        node["response_format"] = {"type": "text"}
    else:
        schema: dict[str, Any] = {"name": output.name or "response"}
        if output.description is not None:
            schema["description"] = output.description
        if output.schema is not None:
            schema["schema"] = output.schema
        if output.strict is not None:
            schema["strict"] = output.strict
        node["response_format"] = {"type": "json_schema", "json_schema": schema}


def _build_thinking(thinking: Thinking | None, node: dict[str, Any], losses: Losses) -> None:
    if thinking is None:
        return
    if thinking.mode == "off":
        node["reasoning_effort"] = "none"
    elif thinking.mode == "level" and thinking.level:
        node["reasoning_effort"] = thinking.level
    elif thinking.mode == "budget" and thinking.budget:
        node["reasoning_effort"] = level_of(thinking.budget)
        losses.changed(
            "thinking.budget", f"{NAME} has levels, no budgets: {thinking.budget} became {level_of(thinking.budget)}"
        )
    if thinking.show in ("off", "concise", "detailed"):
        losses.dropped("thinking.show", f"{NAME} has no word for how to show reasoning")


def _build_messages(request: ChatRequest, target: Target, losses: Losses) -> list[dict[str, Any]]:
    messages, repairs = paired(request.messages)
    losses.found += repairs
    out: list[dict[str, Any]] = []
    if request.instructions:
        out.append({"role": "system", "content": _text_or_parts(build_parts(request.instructions, target, losses))})
    for message in messages:
        if message.role == "assistant":
            out.append(_build_assistant(message, target, losses))
        elif message.role == "user":
            out.extend(_build_user(message, target, losses))
        else:
            role = message.role if target.is_official else "system"
            parts = build_parts(message.content, target, losses)
            if parts:
                out.append(_named({"role": role, "content": _text_or_parts(parts)}, message, target, losses))
    return out


def _named(node: dict[str, Any], message: Message, target: Target, losses: Losses) -> dict[str, Any]:
    """A message with what stands on it as a whole."""
    node = {**fields_for(NAME, message.extras), **node}
    if message.name is not None:
        node["name"] = message.name
    mark_cached(node, message.cache, target, losses, "messages")
    losses.unsaid(message, (), NAME, "messages.", hints=("phase",))
    return node


def _text_or_parts(parts: list[dict[str, Any]], joint: str | None = None) -> object:
    """One plain text is written as a string, which every server takes; several, too, when a `joint` says how to join them."""
    if (len(parts) == 1 or joint is not None) and all(part.keys() == {"type", "text"} for part in parts):
        return (joint or "").join(part["text"] for part in parts)
    return parts or ""


def _build_user(message: Message, target: Target, losses: Losses) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    rest: list[Block] = []
    behind: list[Block] = []
    for block in message.content:
        if not isinstance(block, ToolResult):
            rest.append(block)
            continue
        media = [inner for inner in block.content if isinstance(inner, Media) and not isinstance(inner.source, Nested)]
        inside: tuple[Block, ...] = block.content
        if media and not target.images_in_tool_results:
            inside = tuple(inner for inner in block.content if inner not in media)
            behind += [Text(f'<tool-result-media call_id="{block.call_id}"/>'), *media]
            losses.changed(
                losses.at(block), f"{NAME} takes only text from tools; {len(media)} files follow in a user's message"
            )
        if block.is_error:
            losses.dropped("tool_result.is_error", f"{NAME} cannot say that a tool failed; its text is unchanged")
        content = _text_or_parts(build_parts(inside, target, losses), None if target.is_official else "\n")
        result = {"role": "tool", "tool_call_id": block.call_id, "content": content}
        mark_cached(result, block.cache, target, losses, losses.at(block))
        out.append(result)
    # Two messages, lest the user's own images be taken for the tool's.
    for blocks in (behind, rest):
        parts = build_parts(blocks, target, losses)
        if parts:
            out.append(_named({"role": "user", "content": _text_or_parts(parts)}, message, target, losses))
    return out


def _build_assistant(message: Message, target: Target, losses: Losses) -> dict[str, Any]:
    node: dict[str, Any] = {"role": "assistant", "content": None}
    said: list[Block] = []
    calls: list[dict[str, Any]] = []
    reasoning: list[str] = []
    details: list[Any] = []
    for block in message.content:
        match block:
            case ToolCall():
                calls.append(build_call(_without_foreign_signature(block, target, losses)))
                mark_cached(calls[-1], block.cache, target, losses, losses.at(block))
            case Reasoning():
                details += fields_for(NAME, block.extras).get("reasoning_details", [])
                if target.reads_reasoning and block.text:
                    reasoning.append(block.text)
                elif not fields_for(NAME, block.extras):
                    losses.dropped(losses.at(block), "reasoning of earlier turns cannot be sent back here")
            case Opaque(dialect=dialect) if dialect != NAME:
                losses.dropped(losses.at(block), f"only {dialect} has blocks of the kind {block.kind}")
            case Media():
                losses.dropped(losses.at(block), f"{NAME} takes no media from the assistant")
                losses.unsigned(block, target.provider)
            case _:
                if calls and isinstance(block, Text):
                    losses.changed(losses.at(block), f"{NAME} puts text before the calls of a turn")
                said.append(block)
    content = _text_or_parts(build_parts(said, target, losses), "")
    node["content"] = content if content != "" else None if calls else ""
    if len(said) == 1 and isinstance(said[0], Refusal):
        node |= {"content": None, "refusal": said[0].text}
    if reasoning:
        node["reasoning_content"] = "".join(reasoning)
    if details:
        node["reasoning_details"] = details
    if calls:
        node["tool_calls"] = calls
    return _named(node, message, target, losses)


def _without_foreign_signature(call: ToolCall, target: Target, losses: Losses) -> ToolCall:
    sign = call.signature
    if sign is None or sign.provider == target.provider:
        return call
    # Only Google's own compatible endpoint reads it; everywhere else it would be another provider's secret.
    losses.unsigned(call, target.provider)
    return attrs.evolve(call, signature=None)
