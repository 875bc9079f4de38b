"""Tools and tool choice of Responses, both ways: functions lie flat, and namespaces hold tools of their own."""

from collections.abc import Iterable
from typing import Any

from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.request import CustomTool, FunctionTool, OpaqueTool, Tool, ToolChoice, WebSearchTool
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_responses.content import NAME, parse_mark

_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict", "cache_control"})
_CUSTOM = frozenset({"type", "name", "description", "format", "cache_control"})
_SEARCH = frozenset({"type", "filters", "search_context_size", "user_location"})
_SEARCHES = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
# What the first tool of a namespace remembers of it.
_NAMESPACE = "namespace_description"


# ---- in


def parse_tools(node: dict[str, Any]) -> list[Tool]:
    """Read the tools of a request; those in a namespace follow each other and know its name."""
    tools: list[Tool] = []
    for tool, path in reading.objects(node, "tools"):
        tools += _parse_tool(tool, path)
    return tools


def _parse_tool(node: dict[str, Any], path: str) -> list[Tool]:
    kind = reading.optional_string(node, "type", path + ".") or "function"
    if kind in ("function", "custom"):
        return [_parse_named(node, path, kind, None)]
    if kind in _SEARCHES:
        return [_parse_search(node, path, kind)]
    if kind == "namespace":
        name = reading.required_string(node, "name", path + ".")
        about = reading.optional_string(node, "description", path + ".")
        inner = reading.objects(node, "tools", path + ".")
        if inner and all(tool.get("type", "function") in ("function", "custom") for tool, _ in inner):
            found = [
                _parse_named(tool, at, tool.get("type", "function"), name, about if n == 0 else None)
                for n, (tool, at) in enumerate(inner)
            ]
            return list(found)
    return [OpaqueTool(NAME, kind, node)]


def _parse_named(
    node: dict[str, Any], path: str, kind: str, namespace: str | None, about: str | None = None
) -> FunctionTool | CustomTool:
    function = node.get("function")
    if isinstance(function, dict) and "name" not in node:  # as in Chat Completions; some clients do
        node = {**function, "type": kind}
    name = reading.required_string(node, "name", path + ".")
    described = reading.optional_string(node, "description", path + ".")
    extras = extras_of(NAME, node, _CUSTOM if kind == "custom" else _FUNCTION)
    if about:
        extras = Extras(NAME, {**(extras.fields if extras else {}), _NAMESPACE: about})
    if kind == "custom":
        form = reading.sub_object(node, "format")
        syntax, grammar = reading.text_or_none(form, "syntax"), reading.text_or_none(form, "definition")
        return CustomTool(name, described, syntax, grammar, namespace, parse_mark(node), extras)
    schema = reading.optional_object(node, "parameters", path + ".")
    strict = reading.optional_bool(node, "strict", path + ".")
    return FunctionTool(name, described, schema, strict, namespace, parse_mark(node), extras)


def _parse_search(node: dict[str, Any], path: str, kind: str) -> WebSearchTool:
    filters = reading.optional_object(node, "filters", path + ".") or {}
    place = reading.sub_object(node, "user_location")
    location = {key: value for key, value in place.items() if isinstance(value, str) and key != "type"}
    extras = extras_of(NAME, node, _SEARCH)
    rest = {key: value for key, value in filters.items() if key not in ("allowed_domains", "blocked_domains")}
    if rest:
        extras = Extras(NAME, {**(extras.fields if extras else {}), "filters": rest})
    return WebSearchTool(
        reading.strings(filters, "allowed_domains", path + ".filters."),
        reading.strings(filters, "blocked_domains", path + ".filters."),
        context_size=reading.optional_string(node, "search_context_size", path + "."),
        location=location or None,
        variant=None if kind == _SEARCHES[0] else kind,
        extras=extras,
    )


def parse_choice(value: object) -> ToolChoice | None:
    """Read a tool choice; of tools that the provider runs itself, only this dialect can name one."""
    if value is None:
        return None
    if isinstance(value, str):
        modes = {"auto": "auto", "none": "none", "required": "any"}
        if value not in modes:
            raise reading.wrong("auto, none, required or an object", value, "tool_choice")
        return ToolChoice(modes[value])  # type: ignore[arg-type]
    node = reading.an_object(value, "tool_choice")
    kind = reading.required_string(node, "type", "tool_choice.")
    if kind in ("function", "custom"):
        return ToolChoice("named", (reading.required_string(node, "name", "tool_choice."),))
    if kind != "allowed_tools":
        return ToolChoice("any", extras=Extras(NAME, {"type": kind, **node}))
    tools = reading.objects(node, "tools", "tool_choice.")
    named = [tool for tool, _ in tools if tool.get("type", "function") in ("function", "custom")]
    names = tuple(reading.required_string(tool, "name", f"tool_choice.tools[{n}].") for n, tool in enumerate(named))
    extras = Extras(NAME, dict(node)) if len(named) < len(tools) else None
    return ToolChoice("allowed_any" if node.get("mode") == "required" else "allowed", names, extras)


# ---- out


def build_tools(tools: Iterable[Tool], losses: Losses, *, unsaid_strict: bool | None) -> list[dict[str, Any]]:
    """Write tools.

    Args:
        tools: The tools, those of one namespace next to each other.
        losses: Where losses are noted.
        unsaid_strict: What to write where nobody said whether a function is strict; None: nothing.

    """
    out: list[dict[str, Any]] = []
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        match tool:
            case OpaqueTool(dialect=dialect, value=value) if dialect == NAME:
                out.append(value)
            case OpaqueTool():
                losses.dropped(path, f"only {tool.dialect} has tools of the kind {tool.kind}")
            case WebSearchTool():
                out.append(_build_search(tool, losses, path))
            case _:
                _add_named(tool, out, losses, path, unsaid_strict)
    return out


def _add_named(
    tool: FunctionTool | CustomTool,
    out: list[dict[str, Any]],
    losses: Losses,
    path: str,
    unsaid_strict: bool | None,
) -> None:
    own = dict(fields_for(NAME, tool.extras))
    about = own.pop(_NAMESPACE, "")
    node: dict[str, Any] = {**own, "type": "function", "name": tool.name}
    if tool.description is not None:
        node["description"] = tool.description
    if isinstance(tool, CustomTool):
        node["type"] = "custom"
        if tool.grammar is not None:
            node["format"] = {"type": "grammar", "syntax": tool.syntax or "lark", "definition": tool.grammar}
    else:
        node["parameters"] = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
        strict = unsaid_strict if tool.strict is None else tool.strict
        if strict is not None:
            node["strict"] = strict
    if tool.cache is not None:
        losses.hint(path + ".cache", "OpenAI caches without marks")
    if tool.namespace is None:
        out.append(node)
    elif out and out[-1]["type"] == "namespace" and out[-1]["name"] == tool.namespace and not about:
        out[-1]["tools"].append(node)
    else:
        out.append({"type": "namespace", "name": tool.namespace, "description": about, "tools": [node]})


def _build_search(tool: WebSearchTool, losses: Losses, path: str) -> dict[str, Any]:
    losses.unsaid(tool, ("blocked_domains", "max_uses"), NAME, path + ".", hints=("cache",))
    own = tool.variant if tool.variant in _SEARCHES else _SEARCHES[0]
    if tool.variant not in (None, own):
        losses.unsaid(tool, (), NAME, path + ".", hints=("variant",))
    node: dict[str, Any] = {**fields_for(NAME, tool.extras), "type": own}
    if tool.allowed_domains:
        node["filters"] = {**node.get("filters", {}), "allowed_domains": list(tool.allowed_domains)}
    if tool.context_size is not None:
        node["search_context_size"] = tool.context_size
    if tool.location:
        node["user_location"] = {"type": "approximate", **tool.location}
    return node


def build_choice(choice: ToolChoice, tools: Iterable[Tool]) -> object:
    """Write a tool choice."""
    own = fields_for(NAME, choice.extras)
    if own:
        return dict(own)
    if choice.mode in ("auto", "none"):
        return choice.mode
    if choice.mode == "any":
        return "required"
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}
    named = [{"type": "custom" if name in custom else "function", "name": name} for name in choice.names]
    if choice.mode == "named":
        return named[0]
    return {"type": "allowed_tools", "mode": "required" if choice.mode == "allowed_any" else "auto", "tools": named}
