"""Requests of the Messages API.

What differs from the hub: ``max_tokens`` is mandatory; roles alternate and the user begins; results of tools come first in the
message right after their calls; the system prompt stands apart, and only the newest models take a system message further down;
only Claude's own signed reasoning is taken back; temperature, top_k and a forced tool do not go with thinking.
"""

import re
from typing import Any

import attrs

from dragoman.core.chat.arguments import FREE_TEXT_SCHEMA
from dragoman.core.chat.blocks import Block, Reasoning, Text, ToolCall, ToolResult
from dragoman.core.chat.effort import nearest_level
from dragoman.core.chat.loss import Loss, Losses, dropped, extras_of, fields_for
from dragoman.core.chat.names import NameRule, fitted
from dragoman.core.chat.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    OpaqueTool,
    OutputFormat,
    Thinking,
    Tool,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.chat.target import Target
from dragoman.core.chat.turns import as_reminder, merged, paired
from dragoman.core.dialects import reading
from dragoman.core.dialects.claude.content import NAME, build_blocks, build_mark, parse_content, parse_mark
from dragoman.core.dialects.claude.schema import strict_schema, tool_schema
from dragoman.core.dialects.inner_fields import unread
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.json_text import dumps

TOOL_NAMES = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 128)
CALL_IDS = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 64)

# What is asked for when the client set no limit and nothing is known of the model: CLIProxyAPI's precedent.
DEFAULT_MAX_TOKENS = 32_000
MIN_BUDGET = 1024
# The version of the web search that every model takes.
_SEARCH_TOOL = "web_search_20250305"

_KNOWN = frozenset({
    "model", "max_tokens", "messages", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k", "thinking",
    "output_config", "output_format", "tools", "tool_choice", "metadata", "service_tier", "speed", "cache_control",
})  # fmt: skip
_TOOL = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_SEARCH = frozenset(
    {"type", "name", "allowed_domains", "blocked_domains", "max_uses", "user_location", "cache_control"}
)
_MARK = ("type", "ttl")
_SOURCE = ("type", "media_type", "data", "url", "file_id", "content")
# Inside of what is read (`dragoman.core.dialects.inner_fields`).
_INNER = {
    "thinking": ("type", "budget_tokens", "display"),
    "tool_choice": ("type", "name", "disable_parallel_tool_use"),
    "output_config": ("format", "effort"),
    "output_config.format": ("type", "schema"),
    "output_format": ("type", "schema"),
    "metadata": ("user_id",),
    "cache_control": _MARK,
    "system.*.cache_control": _MARK,
    "tools.*.cache_control": _MARK,
    "tools.*.user_location": ("type", "city", "region", "country", "timezone"),
    "messages.*.content.*.cache_control": _MARK,
    "messages.*.content.*.citations": ("enabled",),
    "messages.*.content.*.source": _SOURCE,
    "messages.*.content.*.content.*.source": _SOURCE,
    "messages.*.content.*.source.content.*.source": _SOURCE,
}
# Families whose models take a system message after a user's turn, and no longer a begun answer (API errors, 2026-11).
_NEW = re.compile(r"opus-4-[89]|(?:opus|sonnet|haiku)-[5-9]|fable|mythos")
_NO_PREFILL = re.compile(r"(?:opus|sonnet)-4-[6-9]|(?:opus|sonnet|haiku)-[5-9]|fable|mythos")


# ---- in


def parse_request(
    body: bytes, *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request; see `dragoman.core.dialects.dialect.RequestParser`."""
    node = reading.request_object(body)
    system = parse_content(node.get("system"), "system")
    choice = reading.optional_object(node, "tool_choice")
    serial = None if choice is None else reading.optional_bool(choice, "disable_parallel_tool_use", "tool_choice.")
    tier = reading.optional_string(node, "service_tier")
    speed = reading.optional_string(node, "speed")
    request = ChatRequest(
        model or reading.optional_string(node, "model") or "",
        tuple(_parse_messages(node)),
        instructions=tuple(block for block in system if isinstance(block, Text)),
        tools=tuple(_parse_tool(tool, path) for tool, path in reading.objects(node, "tools")),
        tool_choice=None if choice is None else _parse_choice(choice),
        parallel_tool_calls=None if serial is None else not serial,
        max_tokens=reading.optional_integer(node, "max_tokens"),
        stop=reading.strings(node, "stop_sequences"),
        temperature=reading.optional_number(node, "temperature"),
        top_p=reading.optional_number(node, "top_p"),
        top_k=reading.optional_integer(node, "top_k"),
        output=_parse_output(node),
        thinking=_parse_thinking(node),
        stream=bool(reading.optional_bool(node, "stream")) if stream is None else stream,
        user=reading.optional_string(reading.optional_object(node, "metadata") or {}, "user_id", "metadata."),
        service_tier="fast" if speed == "fast" else "default" if tier == "standard_only" else tier,
        cache=parse_mark(node),
        extras=extras_of(NAME, node, _KNOWN),
    )
    losses = [*unread(node, _INNER, NAME)]
    losses += [dropped("instructions", "only text is taken as instruction") for b in system if not isinstance(b, Text)]
    return request, tuple(losses)


def _parse_messages(node: dict[str, Any]) -> list[Message]:
    if node.get("messages") is None:
        raise BadRequest("messages is missing", param="messages")
    out: list[Message] = []
    for item, path in reading.objects(node, "messages"):
        role = reading.required_string(item, "role", path + ".")
        if role not in ("user", "assistant", "system"):
            raise BadRequest(f"{path}.role: nobody is called {role!r} here", param=f"{path}.role")
        content = parse_content(item.get("content"), path + ".content")
        extras = extras_of(NAME, item, frozenset({"role", "content"}))
        out.append(Message(role, tuple(content), extras=extras))  # type: ignore[arg-type]
    return out


def _parse_tool(node: dict[str, Any], path: str) -> Tool:
    kind = reading.optional_string(node, "type", path + ".") or "custom"
    if kind == "custom":
        return FunctionTool(
            reading.required_string(node, "name", path + "."),
            reading.optional_string(node, "description", path + "."),
            reading.optional_object(node, "input_schema", path + "."),
            reading.optional_bool(node, "strict", path + "."),
            cache=parse_mark(node),
            extras=extras_of(NAME, node, _TOOL),
        )
    if kind.startswith("web_search_"):
        place = reading.sub_object(node, "user_location")
        location = {key: value for key, value in place.items() if isinstance(value, str) and key != "type"}
        return WebSearchTool(
            reading.strings(node, "allowed_domains", path + "."),
            reading.strings(node, "blocked_domains", path + "."),
            reading.optional_integer(node, "max_uses", path + "."),
            location=location or None,
            variant=None if kind == _SEARCH_TOOL else kind,
            cache=parse_mark(node),
            extras=extras_of(NAME, node, _SEARCH),
        )
    return OpaqueTool(NAME, kind, node)


def _parse_choice(node: dict[str, Any]) -> ToolChoice:
    match reading.required_string(node, "type", "tool_choice."):
        case "auto" | "none" | "any" as mode:
            return ToolChoice(mode)
        case "tool":
            return ToolChoice("named", (reading.required_string(node, "name", "tool_choice."),))
        case other:
            raise BadRequest(f"tool_choice.type: there is no {other!r}", param="tool_choice.type")


def _parse_output(node: dict[str, Any]) -> OutputFormat | None:
    config = reading.optional_object(node, "output_config") or {}
    form = reading.optional_object(config, "format", "output_config.") or reading.optional_object(node, "output_format")
    if form is None:
        return None
    return OutputFormat("schema", reading.optional_object(form, "schema", "output_config.format."), strict=True)


def _parse_thinking(node: dict[str, Any]) -> Thinking | None:
    config = reading.optional_object(node, "output_config") or {}
    effort = reading.optional_string(config, "effort", "output_config.")
    thinking = reading.optional_object(node, "thinking")
    if thinking is None:
        return None if effort is None else Thinking("level", level=effort)
    show = {"omitted": "off", "summarized": "auto"}.get(reading.text(thinking, "display"))
    match reading.required_string(thinking, "type", "thinking."):
        case "disabled":
            return Thinking("off")
        case "enabled":
            budget = reading.optional_integer(thinking, "budget_tokens", "thinking.")
            if budget is None or budget < 0:
                return Thinking("auto", show=show)
            # Every model that takes a budget shows its reasoning unless told not to; only newer ones, which take none, omit it.
            return Thinking("budget", budget=budget, show=show or "auto") if budget else Thinking("off")
        case _:  # "adaptive", and what is newer
            return Thinking("auto", show=show) if effort is None else Thinking("level", level=effort, show=show)


# ---- out


def build_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write a request; see `dragoman.core.dialects.dialect.RequestBuilder`."""
    if request.previous_response_id is not None:
        raise Untranslatable(
            f"previous_response_id: the earlier conversation is not here, and {NAME} cannot name it; send it along",
            param="previous_response_id",
        )
    if request.choices is not None and request.choices > 1:
        raise Untranslatable(f"n: {NAME} gives one answer to a request; ask {request.choices} times", param="n")
    request = fitted(request, TOOL_NAMES, CALL_IDS)
    losses = Losses(request.messages)
    model = target.model or request.model
    node: dict[str, Any] = {**fields_for(NAME, request.extras), "model": model}
    system, messages = _build_messages(request, model, losses)
    node["max_tokens"] = request.max_tokens or target.facts.max_output or DEFAULT_MAX_TOKENS
    if system:
        plain = len(system) == 1 and system[0].keys() == {"type", "text"}
        node["system"] = system[0]["text"] if plain else system
    node["messages"] = messages
    _build_tools(request, node, losses)
    _build_output(request, node, losses)
    _build_thinking(request, target, node, losses)
    _build_sampling(request, node, losses)
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        node["stop_sequences"] = stops
    if len(stops) < len(request.stop):
        losses.dropped("stop", f"{NAME} takes no stop text of white space only")
    if request.user is not None:
        node["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        _build_tier(request.service_tier, node, losses)
    if request.cache is not None:
        node["cache_control"] = build_mark(request.cache, losses, "request")
    if request.stream:
        node["stream"] = True
    if request.store:  # not to keep it is what Claude does anyway
        losses.dropped("store", f"{NAME} keeps no answers")
    losses.unsaid(request, _UNSAID, NAME, hints=("cache_key",))
    return dumps(node), tuple(losses.found)


_UNSAID = (
    "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "verbosity", "metadata",
)  # fmt: skip


def _build_tier(tier: str, node: dict[str, Any], losses: Losses) -> None:
    if tier in ("auto", "default"):
        node["service_tier"] = "standard_only" if tier == "default" else "auto"
    elif tier in ("fast", "priority"):
        node["speed"] = "fast"
        if tier == "priority":
            losses.changed("service_tier", f"{NAME} has no tier priority; it was asked to be fast")
    else:
        losses.dropped("service_tier", f"{NAME} has no tier {tier}")


def _build_tools(request: ChatRequest, node: dict[str, Any], losses: Losses) -> None:
    choice = request.tool_choice
    wanted = set(choice.names) if choice is not None and choice.mode in ("allowed", "allowed_any") else None
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        if wanted is not None and isinstance(tool, FunctionTool | CustomTool) and tool.name not in wanted:
            continue
        built = _build_tool(tool, f"tools[{index}]", losses)
        tools += [] if built is None else [built]
    if wanted is not None:
        losses.changed("tool_choice", f"{NAME} has no list of allowed tools; the other tools were left out")
    if not tools:
        if choice is not None and choice.mode not in ("auto", "none"):
            losses.dropped("tool_choice", "there is no tool left to choose")
        return
    node["tools"] = tools
    if choice is not None:
        node["tool_choice"] = {
            "type": {"allowed": "auto", "allowed_any": "any", "named": "tool"}.get(choice.mode, choice.mode)
        }
        if choice.mode == "named":
            node["tool_choice"]["name"] = choice.names[0]
    if request.parallel_tool_calls is False and (choice is None or choice.mode != "none"):
        node["tool_choice"] = {**node.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}


def _build_tool(tool: Tool, path: str, losses: Losses) -> dict[str, Any] | None:
    node: dict[str, Any]
    if isinstance(tool, OpaqueTool):
        if tool.dialect == NAME:
            return dict(tool.value)
        losses.dropped(path, f"only {tool.dialect} has tools of the kind {tool.kind}")
        return None
    node = {**fields_for(NAME, tool.extras)}
    if isinstance(tool, FunctionTool):
        schema, is_changed = tool_schema(tool.schema)
        if tool.strict:
            schema, is_changed = strict_schema(schema), True
        if is_changed:
            losses.changed(path + ".schema", f"{NAME} takes a smaller JSON Schema; the rest became description")
        node |= {"name": tool.name, "input_schema": schema}
        if tool.strict is not None:
            node["strict"] = tool.strict
        described = tool.description
    elif isinstance(tool, CustomTool):
        node |= {"name": tool.name, "input_schema": dict(FREE_TEXT_SCHEMA)}
        grammar = (
            f"The input must match this {tool.syntax or 'lark'} grammar:\n{tool.grammar}" if tool.grammar else None
        )
        described = "\n\n".join(filter(None, (tool.description, grammar))) or None
        losses.changed(path, f"{NAME} has no tools that take free text; it became a function of one argument")
    else:
        node |= _build_search(tool, path, losses)
        described = None
    if described is not None:
        node["description"] = described
    if tool.cache is not None:
        node["cache_control"] = build_mark(tool.cache, losses, path)
    return node


def _build_search(tool: WebSearchTool, path: str, losses: Losses) -> dict[str, Any]:
    losses.unsaid(tool, ("context_size",), NAME, path + ".")
    own = tool.variant if tool.variant is not None and re.fullmatch(r"web_search_\d{8}", tool.variant) else None
    if tool.variant not in (None, own):
        losses.unsaid(tool, (), NAME, path + ".", hints=("variant",))
    node: dict[str, Any] = {"type": own or _SEARCH_TOOL, "name": "web_search"}
    if tool.allowed_domains:
        node["allowed_domains"] = list(tool.allowed_domains)
    if tool.blocked_domains:
        node["blocked_domains"] = list(tool.blocked_domains)
    if tool.max_uses is not None:
        node["max_uses"] = tool.max_uses
    if tool.location:
        node["user_location"] = {"type": "approximate", **tool.location}
    return node


def _build_output(request: ChatRequest, node: dict[str, Any], losses: Losses) -> None:
    output = request.output
    if output is None or output.kind == "text":
        return
    if output.kind == "json" or output.schema is None:
        losses.dropped("output", f"{NAME} cannot be held to JSON without a schema")
        return
    schema = strict_schema(output.schema)
    if schema != output.schema:
        losses.changed("output.schema", f"{NAME} takes a smaller JSON Schema; the rest became description")
    node["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    losses.unsaid(output, ("description",), NAME, "output.", hints=("name",))


def _build_thinking(request: ChatRequest, target: Target, node: dict[str, Any], losses: Losses) -> None:
    thinking = request.thinking
    if thinking is None or thinking.mode is None:
        if thinking is not None and thinking.show is not None:
            losses.dropped("thinking.show", f"{NAME} shows reasoning only where it was asked to reason")
        return
    if thinking.mode == "off":
        node["thinking"] = {"type": "disabled"}
        return
    why = _why_not_think(request, node)
    if why is not None:
        losses.dropped("thinking", why)
        return
    budget, level = (thinking.budget, None) if thinking.mode == "budget" else (None, thinking.level)
    if budget is not None:
        if not _build_budget(max(budget, MIN_BUDGET), request, target, node, losses):
            return
    else:
        node["thinking"] = {"type": "adaptive"}
        if level is not None:
            effort = nearest_level(level, target.facts.levels or ("low", "medium", "high", "xhigh", "max"))
            node["output_config"] = {**node.get("output_config", {}), "effort": effort}
            if effort != level:
                losses.changed("thinking.level", f"{level} became {effort}")
    if thinking.show is not None:
        node["thinking"]["display"] = "omitted" if thinking.show == "off" else "summarized"
        if thinking.show in ("concise", "detailed"):
            losses.changed("thinking.show", f"{NAME} has one kind of summary")


def _build_budget(budget: int, request: ChatRequest, target: Target, node: dict[str, Any], losses: Losses) -> bool:
    """Write a budget of tokens, which must stay below ``max_tokens``; False when there is no room for one."""
    if budget >= node["max_tokens"]:
        if request.max_tokens is None:
            node["max_tokens"] = min(
                budget + DEFAULT_MAX_TOKENS, target.facts.max_output or budget + DEFAULT_MAX_TOKENS
            )
        if budget >= node["max_tokens"]:
            fitting = node["max_tokens"] - 1
            if fitting < MIN_BUDGET:
                losses.dropped("thinking", f"max_tokens of {node['max_tokens']} leaves no room to reason")
                return False
            losses.changed("thinking.budget", f"{budget} became {fitting}: it must stay below max_tokens")
            budget = fitting
    node["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return True


def _why_not_think(request: ChatRequest, node: dict[str, Any]) -> str | None:
    """Why this request may not reason; None when it may."""
    if node.get("tool_choice", {}).get("type") in ("any", "tool"):
        return f"{NAME} does not reason when a tool is forced"
    turns = merged(message for message in request.messages if message.role in ("user", "assistant"))
    if len(turns) < 2 or not _is_of_tools(turns[-1]) or not any(isinstance(b, ToolCall) for b in turns[-2].content):
        return None
    first = next((block for block in turns[-2].content if not isinstance(block, Text) or block.text), None)
    if isinstance(first, Reasoning) and first.signature is not None and first.signature.provider == NAME:
        return None
    return f"the turn whose tools just ran has no reasoning signed by {NAME}, without which it may not go on reasoning"


def _is_of_tools(message: Message) -> bool:
    return message.role == "user" and all(isinstance(block, ToolResult) for block in message.content)


def _build_sampling(request: ChatRequest, node: dict[str, Any], losses: Losses) -> None:
    thinks = node.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if request.temperature is not None:
        if thinks and request.temperature != 1:
            losses.dropped("temperature", f"{NAME} takes no temperature when it reasons")
        else:
            node["temperature"] = min(request.temperature, 1)
            if request.temperature > 1:
                losses.changed("temperature", f"{NAME} ends at 1")
    if request.top_p is not None:
        if "temperature" in node:
            losses.dropped("top_p", f"{NAME} takes temperature or top_p, not both")
        elif thinks and request.top_p < 0.95:
            losses.dropped("top_p", f"{NAME} takes no top_p below 0.95 when it reasons")
        else:
            node["top_p"] = request.top_p
    if request.top_k is not None:
        if thinks:
            losses.dropped("top_k", f"{NAME} takes no top_k when it reasons")
        else:
            node["top_k"] = request.top_k


def _build_messages(
    request: ChatRequest, model: str, losses: Losses
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the system prompt and the conversation in the form the API insists on."""
    messages, repairs = paired(request.messages)
    losses.found += repairs
    for message in messages:
        losses.unsaid(message, ("name",), NAME, "messages.", hints=("phase", "cache"))
    leading = 0
    while leading < len(messages) and messages[leading].role in ("system", "developer"):
        leading += 1
    told: list[Block] = [*request.instructions, *(block for message in messages[:leading] for block in message.content)]
    rest = _with_system_further_down(messages[leading:], model, losses)
    if not rest:
        said = next((block for block in reversed(told) if isinstance(block, Text) and block.text), Text("(no message)"))
        told = [block for block in told if block is not said]
        rest = [Message("user", (said,))]
        losses.changed("messages", f"{NAME} needs a message; the last instruction became one")
    if rest[0].role == "assistant":
        rest.insert(0, Message("user", (Text("(continued)"),)))
        losses.changed("messages", f"{NAME} lets the user begin; a word of the user was put in")
    system = build_blocks([block for block in told if isinstance(block, Text)], losses)
    for block in told:
        if not isinstance(block, Text):
            losses.dropped(losses.at(block), f"{NAME} takes only text as instruction")
    out: list[dict[str, Any]] = []
    for message in rest:
        content = build_blocks(message.content, losses)
        if not content:
            continue
        if out and out[-1]["role"] == message.role:
            out[-1]["content"] += content
        else:
            out.append({**fields_for(NAME, message.extras), "role": message.role, "content": content})
    return system, _finished(out, model, losses)


def _with_system_further_down(messages: list[Message], model: str, losses: Losses) -> list[Message]:
    """Instructions in the middle stay where the model takes them, else become a reminder in the user's words."""
    out: list[Message] = []
    for message in messages:
        if message.role in ("system", "developer"):
            if _NEW.search(model) and out and out[-1].role == "user":
                out.append(attrs.evolve(message, role="system"))
                continue
            wrapped = tuple(as_reminder(block) for block in message.content)
            losses.changed("messages", f"{NAME} takes no instruction here; it became a reminder in the user's turn")
            message = Message("user", wrapped)
        out.append(message)
    return merged(out)


def _finished(messages: list[dict[str, Any]], model: str, losses: Losses) -> list[dict[str, Any]]:
    """Mind the two ends: something must be there, and a begun answer ends without white space or not at all."""
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": "(continued)"}]})
    last = messages[-1]
    if last["role"] == "assistant":
        text = last["content"][-1]
        if text["type"] == "text":
            text["text"] = text["text"].rstrip()
            if not text["text"]:
                last["content"].pop()
        if not last["content"]:
            messages.pop()
        elif _NO_PREFILL.search(model):
            messages.append({"role": "user", "content": [{"type": "text", "text": "(continue)"}]})
            losses.changed("messages", f"{model} does not go on with an answer begun for it; it was asked to")
    for message in messages:
        content = message["content"]
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            message["content"] = content[0]["text"]
    return messages
