"""Content blocks, tools and tool choice of the Messages API, both ways.

Source: types of the ``anthropic`` package 2.12 and its API reference, 2026-11.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dragoman.core.chat.arguments import build_arguments, parse_arguments, wrap_free_text
from dragoman.core.chat.blocks import (
    Block,
    CacheMark,
    Citation,
    FileId,
    Inline,
    Link,
    Media,
    Nested,
    Opaque,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.media import inline_text, standard_base64, text_of
from dragoman.core.chat.signature import REDACTED, UNSIGNED, Signature, signature_from, wrap
from dragoman.core.dialects import reading

NAME = "claude"

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_TEXT = frozenset({"type", "text", "citations", "cache_control"})
_MEDIA = frozenset({"type", "source", "title", "context", "citations", "cache_control"})
_USE = frozenset({"type", "id", "name", "input", "cache_control"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
_THINKING = frozenset({"type", "thinking", "signature", "data", "cache_control"})


# ---- in


def parse_mark(node: Mapping[str, Any]) -> CacheMark | None:
    """Read a cache mark."""
    mark = node.get("cache_control")
    return CacheMark(reading.text_or_none(mark, "ttl")) if isinstance(mark, dict) else None


def parse_content(value: object, path: str) -> list[Block]:
    """Read the content of a message or a tool's result: a string, blocks, or nothing."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Text(value)]
    blocks = [_parse_item(item, f"{path}[{n}]") for n, item in enumerate(reading.an_array(value, path))]
    return sign_calls(blocks)


def _parse_item(item: object, path: str) -> Block:
    return parse_block(reading.an_object(item, path), path)


def sign_calls(blocks: list[Block]) -> list[Block]:
    """Put Gemini's signatures back on the calls they belong to: they travel in an empty thinking block before each."""
    out: list[Block] = []
    for block in blocks:
        last = out[-1] if out else None
        if (
            isinstance(block, ToolCall)
            and isinstance(last, Reasoning)
            and not last.text
            and last.signature is not None
            and last.signature.provider == "gemini"
        ):
            out[-1] = attrs.evolve(block, signature=last.signature)
        else:
            out.append(block)
    return out


def parse_block(node: dict[str, Any], path: str) -> Block:
    """Read a block.

    Raises:
        BadRequest: It lacks what its type demands.

    """
    kind = reading.required_string(node, "type", path + ".")
    mark = parse_mark(node)
    match kind:
        case "text":
            text = reading.required_string(node, "text", path + ".")
            return Text(text, tuple(parse_citations(node)), cache=mark, extras=extras_of(NAME, node, _TEXT))
        case "image" | "document":
            return _parse_media(node, path, mark)
        case "thinking":
            thought = reading.optional_string(node, "thinking", path + ".") or ""
            sign = signature_from(reading.text(node, "signature"), NAME)
            return Reasoning(thought, sign, cache=mark, extras=extras_of(NAME, node, _THINKING))
        case "redacted_thinking":
            data = signature_from(reading.required_string(node, "data", path + "."), NAME)
            if data is not None and data.family == REDACTED:
                data = attrs.evolve(data, family="")
            return Reasoning("", data, redacted=True, cache=mark, extras=extras_of(NAME, node, _THINKING))
        case "tool_use":
            return ToolCall(
                reading.required_string(node, "id", path + "."),
                reading.required_string(node, "name", path + "."),
                build_arguments(reading.optional_object(node, "input", path + ".") or {}),
                cache=mark,
                extras=extras_of(NAME, node, _USE),
            )
        case "tool_result":
            return ToolResult(
                reading.required_string(node, "tool_use_id", path + "."),
                tuple(parse_content(node.get("content"), path + ".content")),
                reading.optional_bool(node, "is_error", path + ".") or False,
                cache=mark,
                extras=extras_of(NAME, node, _RESULT),
            )
        case _:
            return Opaque(NAME, kind, node)


def _parse_media(node: dict[str, Any], path: str, mark: CacheMark | None) -> Block:
    source = reading.an_object(node.get("source"), path + ".source")
    found = _parse_source(source, path + ".source")
    if found is None:
        return Opaque(NAME, node["type"], node)
    return Media(
        "image" if node["type"] == "image" else "document",
        found,
        title=reading.optional_string(node, "title", path + "."),
        context=reading.optional_string(node, "context", path + "."),
        cite=reading.optional_bool(reading.sub_object(node, "citations"), "enabled", path + ".citations."),
        cache=mark,
        extras=extras_of(NAME, node, _MEDIA),
    )


def _parse_source(source: dict[str, Any], path: str) -> Source | None:
    match reading.required_string(source, "type", path + "."):
        case "base64":
            data = standard_base64(reading.required_string(source, "data", path + "."))
            return Inline(reading.text(source, "media_type"), data)
        case "text":
            return inline_text(reading.required_string(source, "data", path + "."))
        case "url":
            return Link(reading.required_string(source, "url", path + "."))
        case "file":
            return FileId(reading.required_string(source, "file_id", path + "."), NAME)
        case "content":
            return Nested(tuple(parse_content(source.get("content"), path + ".content")))
        case _:
            return None


def parse_citations(node: Mapping[str, Any]) -> Iterable[Citation]:
    """Read the citations of a text block."""
    for found in reading.sub_objects(node, "citations"):
        yield parse_citation(found)


def parse_citation(found: dict[str, Any]) -> Citation:
    """Read one citation. It counts in blocks, pages or searches of its own, which only Claude can follow."""
    url = reading.text_or_none(found, "url")
    title = reading.text_or_none(found, "title")
    return Citation(url, title, quote=reading.text_or_none(found, "cited_text"), extras=Extras(NAME, found))


# ---- out


def build_mark(mark: CacheMark, losses: Losses, path: str) -> dict[str, Any]:
    """Write a cache mark; OpenAI's lengths of time become the next that exists here."""
    ttl = mark.ttl if mark.ttl in (None, "5m", "1h") else "1h"
    if ttl != mark.ttl:
        losses.changed(path + ".cache", f"{NAME} caches for 5m or 1h: {mark.ttl} became {ttl}")
    return {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}


def build_blocks(blocks: Iterable[Block], losses: Losses, *, in_result: bool = False) -> list[dict[str, Any]]:
    """Write blocks; what has no form here is a loss."""
    out: list[dict[str, Any]] = []
    for block in blocks:
        node = _build_block(block, losses, in_result=in_result)
        if node is None:
            continue
        if not isinstance(block, Opaque) and block.cache is not None:
            node["cache_control"] = build_mark(block.cache, losses, losses.at(block))
        out.append(node)
    return out


def _build_block(block: Block, losses: Losses, *, in_result: bool) -> dict[str, Any] | None:
    match block:
        case Text():
            return _build_text(block, losses) if block.text else None
        case Refusal():
            return {"type": "text", "text": block.text} if block.text else None
        case Media():
            return _build_media(block, losses)
        case ToolCall() if not in_result:
            losses.unsigned(block, NAME)
            return {**fields_for(NAME, block.extras), "type": "tool_use", **build_use(block)}
        case ToolResult() if not in_result:
            return _build_result(block, losses)
        case Reasoning() if not in_result:
            if block.signature is None or block.signature.provider != NAME:
                losses.dropped(losses.at(block), f"{NAME} takes back only reasoning it signed itself")
                return None
            return build_reasoning(block)
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return dict(value)
        case _:
            kind = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
            losses.dropped(losses.at(block), f"{NAME} has no place for {kind} here")
            return None


def build_use(call: ToolCall) -> dict[str, Any]:
    """What a ``tool_use`` block says of a call. A custom tool is a function of one argument here."""
    custom = call.kind == "custom"
    arguments = wrap_free_text(call.arguments) if custom else parse_arguments(call.arguments)
    return {"id": call.id, "name": call.name, "input": arguments}


def _build_text(block: Text, losses: Losses) -> dict[str, Any]:
    node: dict[str, Any] = {**fields_for(NAME, block.extras), "type": "text", "text": block.text}
    own = [dict(found) for citation in block.citations if (found := fields_for(NAME, citation.extras))]
    if own:
        node["citations"] = own
    if len(own) < len(block.citations):
        losses.dropped(losses.at(block) + ".citations", f"{NAME} cites only what it found itself")
    losses.unsigned(block, NAME)
    return node


def build_reasoning(block: Reasoning) -> dict[str, Any]:
    """Write reasoning that Claude signed."""
    assert block.signature is not None
    if block.redacted:
        return {**fields_for(NAME, block.extras), "type": "redacted_thinking", "data": block.signature.value}
    extras = fields_for(NAME, block.extras)
    return {**extras, "type": "thinking", "thinking": block.text, "signature": block.signature.value}


def _build_result(block: ToolResult, losses: Losses) -> dict[str, Any]:
    node: dict[str, Any] = {**fields_for(NAME, block.extras), "type": "tool_result", "tool_use_id": block.call_id}
    content = build_blocks(block.content, losses, in_result=True)
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        node["content"] = content[0]["text"]
    elif content:
        node["content"] = content
    if block.is_error:
        node["is_error"] = True
    return node


def _build_media(block: Media, losses: Losses) -> dict[str, Any] | None:
    at = losses.at(block)
    source = _build_source(block, losses)
    if source is None:
        return None
    losses.unsigned(block, NAME)
    if block.detail != "auto":  # which is what Claude does
        losses.unsaid(block, ("detail",), NAME, at + ".")
    node: dict[str, Any] = {**fields_for(NAME, block.extras)}
    node |= {"type": "image" if block.kind == "image" else "document", "source": source}
    if block.kind == "image":
        losses.unsaid(block, ("title", "context"), NAME, at + ".", hints=("filename",))
        return node
    title = block.title or block.filename
    if title is not None:
        node["title"] = title
    if block.context is not None:
        node["context"] = block.context
    if block.cite is not None:
        node["citations"] = {"enabled": block.cite}
    return node


def _build_source(block: Media, losses: Losses) -> dict[str, Any] | None:
    match block.source:
        case Inline(mime=mime, data=data):
            mime = "image/jpeg" if mime == "image/jpg" else mime
            if block.kind == "image" and mime in _IMAGES:
                return {"type": "base64", "media_type": mime, "data": data}
            if block.kind == "document":
                if mime == "application/pdf":
                    return {"type": "base64", "media_type": mime, "data": data}
                text = text_of(block.source) if mime.startswith("text/") or mime == "application/json" else None
                if text is not None:
                    if mime != "text/plain":
                        losses.changed(losses.at(block), f"{NAME} takes text as text/plain; it was {mime}")
                    return {"type": "text", "media_type": "text/plain", "data": text}
            losses.dropped(losses.at(block), f"{NAME} takes no {block.kind} of type {mime or 'unknown'}")
            return None
        case Link(url=url) if block.kind in ("image", "document"):
            return {"type": "url", "url": url}
        case FileId(id=file_id, dialect=dialect) if dialect == NAME:
            return {"type": "file", "file_id": file_id}
        case Nested(blocks=blocks):
            return {"type": "content", "content": build_blocks(blocks, losses, in_result=True)}
        case _:
            what = "file ids of another provider" if isinstance(block.source, FileId) else f"addresses of {block.kind}"
            losses.dropped(losses.at(block), f"{NAME} takes no {what}")
            return None


def carried(signature: Signature | None, *, redacted: bool = False) -> str:
    """The text a client keeps for a signature: the native one as it is, any other in its wrapper."""
    if signature is None:
        return UNSIGNED
    if signature.provider == NAME and not signature.family:
        return signature.value
    return wrap(attrs.evolve(signature, family=REDACTED) if redacted else signature)
