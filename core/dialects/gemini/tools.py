"""Tools and tool choice, both ways.

One tool of Gemini holds many functions, or one of Google's own tools, or both; here each is a tool of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.chat.arguments import FREE_TEXT_SCHEMA
from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.request import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    Tool,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME
from dragoman.core.dialects.gemini.schema import to_json_schema
from dragoman.core.dialects.gemini.schema_proto import from_proto, to_proto
from dragoman.core.errors import BadRequest

_FUNCTION = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_SEARCHES = ("googleSearch", "googleSearchRetrieval")


# ---- in


def parse_tools(node: dict[str, Any]) -> list[Tool]:
    """Read the tools of a request."""
    out: list[Tool] = []
    for tool, path in reading.objects(node, "tools"):
        for key, value in tool.items():
            if value is None:
                continue
            if key == "functionDeclarations":
                out += [_parse_function(f, where) for f, where in reading.objects(tool, key, path + ".")]
            elif key in _SEARCHES:
                options = reading.an_object(value, f"{path}.{key}")
                out.append(
                    WebSearchTool(
                        variant=None if key == _SEARCHES[0] else key, extras=extras_of(NAME, options, frozenset())
                    )
                )
            else:
                out.append(OpaqueTool(NAME, key, {key: value}))
    return out


def _parse_function(node: dict[str, Any], path: str) -> FunctionTool:
    schema = reading.optional_object(node, "parametersJsonSchema", path + ".")
    proto = reading.optional_object(node, "parameters", path + ".")
    return FunctionTool(
        reading.required_string(node, "name", path + "."),
        reading.optional_string(node, "description", path + "."),
        from_proto(proto) if schema is None and proto is not None else schema,
        extras=extras_of(NAME, node, _FUNCTION),
    )


def parse_choice(node: dict[str, Any]) -> tuple[ToolChoice | None, dict[str, Any]]:
    """Read ``toolConfig``: the choice, and the fields beside it."""
    rest = {key: value for key, value in node.items() if key != "functionCallingConfig"}
    config = reading.optional_object(node, "functionCallingConfig", "toolConfig.")
    if config is None:
        return None, rest
    path = "toolConfig.functionCallingConfig."
    names = reading.strings(config, "allowedFunctionNames", path)
    extras = extras_of(NAME, config, frozenset({"mode", "allowedFunctionNames"}))
    match (reading.optional_string(config, "mode", path) or "AUTO").upper():
        case "NONE":
            return ToolChoice("none", extras=extras), rest
        case "ANY":
            if len(names) == 1:
                return ToolChoice("named", names, extras), rest
            return ToolChoice("allowed_any" if names else "any", names, extras), rest
        case "VALIDATED":
            if not names:  # as "auto", with arguments that fit the schema
                fields = {**(extras.fields if extras else {}), "mode": "VALIDATED"}
                return ToolChoice("auto", extras=Extras(NAME, fields)), rest
            return ToolChoice("allowed", names, extras), rest
        case "AUTO" | "MODE_UNSPECIFIED":
            return ToolChoice("auto", extras=extras), rest
        case other:
            raise BadRequest(f"{path}mode: there is no {other!r}", param=f"{path}mode")


# ---- out


def build_tools(
    tools: Sequence[Tool], losses: Losses, *, takes_json_schema: bool, mixes_search: bool
) -> list[dict[str, Any]]:
    """Write tools; neighbouring functions share one.

    Args:
        tools: As declared.
        losses: Where to note what has no form here.
        takes_json_schema: Whether the reader knows the fields for JSON Schema.
        mixes_search: Whether the model takes a search beside functions.

    """
    out: list[dict[str, Any]] = []
    has_functions = any(isinstance(tool, FunctionTool | CustomTool) for tool in tools)
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        match tool:
            case OpaqueTool(dialect=dialect, value=value):
                if dialect == NAME:
                    out.append(dict(value))
                else:
                    losses.dropped(path, f"only {dialect} has tools of the kind {tool.kind}")
            case WebSearchTool():
                if has_functions and not mixes_search:
                    losses.dropped(path, "this model takes no search beside functions")
                else:
                    out.append(_build_search(tool, losses, path))
            case _:
                built = _build_function(tool, losses, path, takes_json_schema=takes_json_schema)
                if out and out[-1].keys() == {"functionDeclarations"}:
                    out[-1]["functionDeclarations"].append(built)
                else:
                    out.append({"functionDeclarations": [built]})
    return out


def _build_search(tool: WebSearchTool, losses: Losses, path: str) -> dict[str, Any]:
    unsaid = ("allowed_domains", "blocked_domains", "max_uses", "context_size", "location")
    losses.unsaid(tool, unsaid, NAME, path + ".")
    own = tool.variant if tool.variant in _SEARCHES else _SEARCHES[0]
    if tool.variant not in (None, own):
        losses.unsaid(tool, (), NAME, path + ".", hints=("variant",))
    return {own: dict(fields_for(NAME, tool.extras))}


def _build_function(
    tool: FunctionTool | CustomTool, losses: Losses, path: str, *, takes_json_schema: bool
) -> dict[str, Any]:
    node: dict[str, Any] = {**fields_for(NAME, tool.extras), "name": tool.name}
    described = tool.description
    if isinstance(tool, CustomTool):
        losses.changed(path, f"{NAME} has no tools that take free text; it became a function of one argument")
        if tool.grammar:
            grammar = f"The input must match this {tool.syntax or 'lark'} grammar:\n{tool.grammar}"
            described = f"{described}\n\n{grammar}" if described else grammar
        schema: Mapping[str, Any] | None = FREE_TEXT_SCHEMA
    else:
        schema = tool.schema
        if tool.strict:
            losses.dropped(path + ".strict", f"{NAME} cannot promise arguments that fit exactly")
    if described is not None:
        node["description"] = described
    if schema is not None:
        convert = to_json_schema if takes_json_schema else to_proto
        built, lost = convert(schema, is_object=True)
        if lost:
            losses.changed(path + ".schema", f"{NAME} takes a smaller JSON Schema, without: {', '.join(lost)}")
        if takes_json_schema:
            node["parametersJsonSchema"] = built
        elif "properties" in built:  # an object of nothing is refused
            node["parameters"] = built
    return node


def build_choice(choice: ToolChoice) -> dict[str, Any]:
    """Write ``functionCallingConfig``."""
    modes = {"auto": "AUTO", "none": "NONE", "allowed": "VALIDATED"}
    node: dict[str, Any] = {"mode": modes.get(choice.mode, "ANY"), **fields_for(NAME, choice.extras)}
    if choice.names:
        node["allowedFunctionNames"] = list(choice.names)
    return node
