"""Content parts, tools and tool choice of Chat Completions, both ways.

Source: types of the ``openai`` package 3.54 and behaviour of compatible servers, 2026-11.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dragoman.core.chat.blocks import (
    Block,
    CacheMark,
    FileId,
    Inline,
    Link,
    Media,
    MediaKind,
    Nested,
    Opaque,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.core.chat.loss import Losses, extras_of, fields_for
from dragoman.core.chat.media import data_url, inline_of, standard_base64
from dragoman.core.chat.request import CustomTool, FunctionTool, Tool, ToolChoice
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.target import Target
from dragoman.core.dialects import reading

NAME = "openai_chat"

_AUDIO_MIME = {
    "wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac", "webm": "audio/webm",
    "pcm16": "audio/pcm", "g711_ulaw": "audio/basic",
}  # fmt: skip
_AUDIO_FORMAT = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_MARKS = ("cache_control", "prompt_cache_breakpoint")
_TEXT = frozenset({"type", "text", *_MARKS})
_REFUSAL = frozenset({"type", "refusal", *_MARKS})
_IMAGE = frozenset({"type", "image_url", *_MARKS})
_AUDIO = frozenset({"type", "input_audio", *_MARKS})
_FILE = frozenset({"type", "file", *_MARKS})
_CALL = frozenset({"id", "type", "index", "function", "custom", "extra_content", *_MARKS})


def parse_mark(node: Mapping[str, Any]) -> CacheMark | None:
    """Read a cache mark: OpenAI's own, or Anthropic's as OpenRouter and others take it."""
    for key in _MARKS:
        mark = node.get(key)
        if isinstance(mark, dict):
            return CacheMark(reading.text_or_none(mark, "ttl"))
    return None


def parse_content(value: object, path: str) -> list[Block]:
    """Read the content of a message: a string, parts, or nothing."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Text(value)]
    parts = reading.an_array(value, path)
    return [_parse_part(part, f"{path}[{n}]") for n, part in enumerate(parts)]


def _parse_part(value: object, path: str) -> Block:
    if isinstance(value, str):  # compatible clients write plain strings into the list
        return Text(value)
    part = reading.an_object(value, path)
    kind = reading.required_string(part, "type", path + ".")
    mark = parse_mark(part)
    if kind in ("text", "input_text", "output_text"):
        return Text(reading.required_string(part, "text", path + "."), cache=mark, extras=extras_of(NAME, part, _TEXT))
    if kind == "refusal":
        return Refusal(reading.required_string(part, "refusal", path + "."), mark, extras_of(NAME, part, _REFUSAL))
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else reading.an_object(image, path + ".image_url")
        url = reading.required_string(image, "url", path + ".image_url.")
        detail = reading.optional_string(image, "detail", path + ".image_url.")
        return Media("image", inline_of(url) or Link(url), detail, cache=mark, extras=extras_of(NAME, part, _IMAGE))
    if kind == "input_audio":
        audio = reading.an_object(part.get("input_audio"), path + ".input_audio")
        data = standard_base64(reading.required_string(audio, "data", path + ".input_audio."))
        form = reading.optional_string(audio, "format", path + ".input_audio.") or "wav"
        mime = _AUDIO_MIME.get(form, f"audio/{form}")
        return Media("audio", Inline(mime, data), cache=mark, extras=extras_of(NAME, part, _AUDIO))
    if kind == "file":
        return _parse_file(part, path, mark)
    return Opaque(NAME, kind, part)


def _parse_file(part: dict[str, Any], path: str, mark: CacheMark | None) -> Block:
    file = reading.an_object(part.get("file"), path + ".file")
    filename = reading.optional_string(file, "filename", path + ".file.")
    data = reading.optional_string(file, "file_data", path + ".file.")
    file_id = reading.optional_string(file, "file_id", path + ".file.")
    extras = extras_of(NAME, part, _FILE)
    if data is not None:
        inline = inline_of(data) or Inline("application/pdf", standard_base64(data))
        return Media(kind_of(inline.mime), inline, filename=filename, cache=mark, extras=extras)
    if file_id is not None:
        return Media("document", FileId(file_id, NAME), filename=filename, cache=mark, extras=extras)
    return Opaque(NAME, "file", part)


def kind_of(mime: str) -> MediaKind:
    """What kind of media a file holds, for dialects that send everything as files."""
    family = mime.partition("/")[0]
    return {"audio": "audio", "video": "video"}.get(family, "document")  # type: ignore[return-value]


def parse_call(node: dict[str, Any], path: str) -> ToolCall:
    """Read a tool call of an assistant's message. Its id may be missing; whoever has the answer makes one up."""
    extras = extras_of(NAME, node, _CALL)
    custom = node.get("custom")
    if isinstance(custom, dict):
        name = reading.required_string(custom, "name", path + ".custom.")
        text = reading.optional_string(custom, "input", path + ".custom.") or ""
        return ToolCall(reading.text(node, "id"), name, text, "custom", cache=parse_mark(node), extras=extras)
    function = reading.an_object(node.get("function"), path + ".function")
    name = reading.required_string(function, "name", path + ".function.")
    arguments = reading.optional_string(function, "arguments", path + ".function.") or ""
    sign = parse_call_signature(node)
    return ToolCall(reading.text(node, "id"), name, arguments, signature=sign, cache=parse_mark(node), extras=extras)


def parse_call_signature(node: Mapping[str, Any]) -> Signature | None:
    """Gemini's signature of a call, where Google's own compatible endpoint puts it."""
    google = reading.sub_object(reading.sub_object(node, "extra_content"), "google")
    value = reading.text(google, "thought_signature")
    return Signature("gemini", value) if value else None


def build_call(call: ToolCall) -> dict[str, Any]:
    """Write a tool call; `arguments` that are empty become ``{}``, for many servers parse them."""
    node: dict[str, Any] = {**fields_for(NAME, call.extras), "id": call.id}
    if call.kind == "custom":
        return {**node, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    node |= {"type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
    if call.signature is not None and call.signature.provider == "gemini":
        node["extra_content"] = {"google": {"thought_signature": call.signature.value}}
    return node


def build_parts(blocks: Iterable[Block], target: Target, losses: Losses) -> list[dict[str, Any]]:
    """Write content parts of a user's or a system message; what has none is a loss."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        parts.extend(_build_part(block, target, losses))
    return parts


def _build_part(block: Block, target: Target, losses: Losses) -> list[dict[str, Any]]:
    match block:
        case Text():
            if block.citations:
                losses.dropped(losses.at(block) + ".citations", f"{NAME} takes no citations in a request")
            losses.unsigned(block, target.provider)
            return [_marked({"type": "text", "text": block.text}, block, target, losses)] if block.text else []
        case Refusal():
            return [_marked({"type": "refusal", "refusal": block.text}, block, target, losses)]
        case Media(source=Nested(blocks=blocks)):
            losses.changed(losses.at(block), f"a document made of blocks became its blocks: {NAME} has no such source")
            return build_parts(blocks, target, losses)
        case Media():
            part = _build_media(block, losses)
            losses.unsigned(block, target.provider)
            return [] if part is None else [_marked(part, block, target, losses)]
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return [value]
        case Opaque():
            losses.dropped(losses.at(block), f"only {block.dialect} has blocks of the kind {block.kind}")
            return []
        case _:
            losses.dropped(losses.at(block), f"{NAME} has no such block here")
            return []


def _build_media(block: Media, losses: Losses) -> dict[str, Any] | None:
    at = losses.at(block)
    losses.unsaid(block, ("title", "context", "cite"), NAME, at + ".")
    source = block.source
    if block.kind == "image" and isinstance(source, Inline | Link):
        image = {"url": data_url(source) if isinstance(source, Inline) else source.url}
        if block.detail is not None:
            image["detail"] = block.detail
        return {"type": "image_url", "image_url": image}
    if isinstance(source, Inline):
        form = _AUDIO_FORMAT.get(source.mime)
        if block.kind == "audio" and form is not None:
            return {"type": "input_audio", "input_audio": {"data": source.data, "format": form}}
        if block.kind in ("audio", "video"):
            losses.dropped(at, f"{NAME} takes no {source.mime}")
            return None
        name = block.filename or block.title or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": data_url(source)}}
    if isinstance(source, FileId) and source.dialect == NAME:
        return {"type": "file", "file": {"file_id": source.id}}
    what = "a file id of another provider" if isinstance(source, FileId) else f"the address of a {block.kind}"
    losses.dropped(at, f"{NAME} cannot take {what}")
    return None


def _marked(part: dict[str, Any], block: Text | Refusal | Media, target: Target, losses: Losses) -> dict[str, Any]:
    part = {**fields_for(NAME, block.extras), **part}
    mark_cached(part, block.cache, target, losses, losses.at(block))
    return part


def mark_cached(node: dict[str, Any], mark: CacheMark | None, target: Target, losses: Losses, path: str) -> None:
    """Write a cache mark into what it stands on, the way OpenRouter and others take it."""
    if mark is None:
        return
    if target.is_official:
        losses.hint(path + ".cache", "OpenAI caches without marks")
    else:
        node["cache_control"] = {"type": "ephemeral"} if mark.ttl is None else {"type": "ephemeral", "ttl": mark.ttl}


# ---- tools

_TOOL = frozenset({"type", "function", "custom", *_MARKS})
_FUNCTION = frozenset({"name", "description", "parameters", "strict"})
_CUSTOM = frozenset({"name", "description", "format"})


def parse_tool(node: dict[str, Any], path: str) -> Tool | tuple[str, Any]:
    """Read a tool; for a kind we do not know, its kind and value."""
    kind = reading.optional_string(node, "type", path + ".") or "function"
    if kind == "function" and ("function" in node or "name" in node):
        return parse_function(node.get("function", node), path, node)
    if kind == "custom":
        custom = reading.an_object(node.get("custom", node), path + ".custom")
        grammar = reading.sub_object(custom, "format")
        grammar = reading.sub_object(grammar, "grammar") or grammar
        return CustomTool(
            reading.required_string(custom, "name", path + ".custom."),
            reading.optional_string(custom, "description", path + ".custom."),
            reading.text_or_none(grammar, "syntax"),
            reading.text_or_none(grammar, "definition"),
            cache=parse_mark(node),
            extras=extras_of(NAME, node, _TOOL if "custom" in node else _TOOL | _CUSTOM),
        )
    return kind, node


def parse_function(value: object, path: str, node: Mapping[str, Any]) -> FunctionTool:
    """Read a function, new style or old."""
    function = reading.an_object(value, path + ".function")
    extras = extras_of(NAME, node, _TOOL | _FUNCTION) if node is value else extras_of(NAME, node, _TOOL)
    return FunctionTool(
        reading.required_string(function, "name", path + ".function."),
        reading.optional_string(function, "description", path + ".function."),
        reading.optional_object(function, "parameters", path + ".function."),
        reading.optional_bool(function, "strict", path + ".function."),
        cache=parse_mark(node),
        extras=extras,
    )


def build_tool(tool: FunctionTool | CustomTool, target: Target, losses: Losses, path: str) -> dict[str, Any]:
    """Write a tool."""
    body: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        body["description"] = tool.description
    if isinstance(tool, CustomTool):
        if tool.grammar is not None:
            grammar = {"syntax": tool.syntax or "lark", "definition": tool.grammar}
            body["format"] = {"type": "grammar", "grammar": grammar}
        node: dict[str, Any] = {"type": "custom", "custom": body}
    else:
        if tool.schema is not None:
            body["parameters"] = tool.schema
        if tool.strict is not None:
            body["strict"] = tool.strict
        node = {"type": "function", "function": body}
    mark_cached(node, tool.cache, target, losses, path)
    return {**fields_for(NAME, tool.extras), **node}


def parse_choice(value: object, path: str) -> ToolChoice | None:
    """Read a tool choice."""
    if value is None:
        return None
    if isinstance(value, str):
        modes = {"auto": "auto", "none": "none", "required": "any", "any": "any", "validated": "auto"}
        if value not in modes:
            raise reading.wrong("auto, none, required or an object", value, path)
        return ToolChoice(modes[value])  # type: ignore[arg-type]
    node = reading.an_object(value, path)
    allowed = node.get("allowed_tools")
    if isinstance(allowed, dict):
        names = tuple(
            _named(item, item_path) for item, item_path in reading.objects(allowed, "tools", path + ".allowed_tools.")
        )
        return ToolChoice("allowed_any" if allowed.get("mode") == "required" else "allowed", names)
    return ToolChoice("named", (_named(node, path),))


def _named(node: dict[str, Any], path: str) -> str:
    inner = node.get("function") or node.get("custom") or node
    return reading.required_string(reading.an_object(inner, path), "name", path + ".")


def build_choice(choice: ToolChoice, tools: Iterable[Tool]) -> object:
    """Write a tool choice."""
    if choice.mode in ("auto", "none"):
        return choice.mode
    if choice.mode == "any":
        return "required"
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}
    named: list[dict[str, Any]] = [
        {"type": kind, kind: {"name": name}}
        for name in choice.names
        for kind in ("custom" if name in custom else "function",)
    ]
    if choice.mode == "named":
        return named[0]
    mode = "required" if choice.mode == "allowed_any" else "auto"
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}
