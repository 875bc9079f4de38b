"""Content parts and annotations of Responses, both ways.

Source: types of the ``openai`` package 3.54, 2026-11. What the user says is ``input_...``, what the assistant said is ``output_text``
or ``refusal``; the API refuses the one in the place of the other.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dragoman.core.chat.blocks import (
    Block,
    CacheMark,
    Citation,
    FileId,
    Inline,
    Link,
    Media,
    MediaKind,
    Nested,
    Opaque,
    Refusal,
    Text,
)
from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.media import data_url, inline_of, standard_base64
from dragoman.core.dialects import reading

NAME = "openai_responses"
PROVIDER = "openai"
# Opaque blocks of this kind are parts of a message; all others are items of their own.
PART = "content part "

_MARKS = ("prompt_cache_breakpoint", "cache_control")
_TEXT = frozenset({"type", "text", "annotations", "logprobs", *_MARKS})
_REFUSAL = frozenset({"type", "refusal", *_MARKS})
_IMAGE = frozenset({"type", "image_url", "file_id", "detail", *_MARKS})
_FILE = frozenset({"type", "file_data", "file_id", "file_url", "filename", *_MARKS})
_AUDIO = frozenset({"type", "input_audio", *_MARKS})
_AUDIO_MIME = {"wav": "audio/wav", "mp3": "audio/mpeg"}


# ---- in


def parse_mark(node: Mapping[str, Any]) -> CacheMark | None:
    """Read a cache mark: OpenAI's own, or Anthropic's as compatible servers take it."""
    for key in _MARKS:
        mark = node.get(key)
        if isinstance(mark, dict):
            return CacheMark(reading.text_or_none(mark, "ttl"))
    return None


def parse_content(value: object, path: str) -> list[Block]:
    """Read the content of a message or the output of a tool: a string, parts, or nothing."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Text(value)]
    parts = reading.an_array(value, path)
    return [parse_part(reading.an_object(part, f"{path}[{n}]"), f"{path}[{n}]") for n, part in enumerate(parts)]


def parse_part(part: dict[str, Any], path: str) -> Block:
    """Read one part.

    Raises:
        BadRequest: It lacks what its type demands.

    """
    kind = reading.required_string(part, "type", path + ".")
    mark = parse_mark(part)
    match kind:
        case "input_text" | "output_text" | "text":
            said = reading.required_string(part, "text", path + ".")
            return Text(said, tuple(parse_citations(part)), cache=mark, extras=extras_of(NAME, part, _TEXT))
        case "refusal":
            return Refusal(reading.required_string(part, "refusal", path + "."), mark, extras_of(NAME, part, _REFUSAL))
        case "input_image":
            return _parse_image(part, path, mark)
        case "input_file":
            return _parse_file(part, path, mark)
        case "input_audio":
            audio = reading.an_object(part.get("input_audio"), path + ".input_audio")
            data = standard_base64(reading.required_string(audio, "data", path + ".input_audio."))
            form = reading.optional_string(audio, "format", path + ".input_audio.") or "wav"
            inline = Inline(_AUDIO_MIME.get(form, f"audio/{form}"), data)
            return Media("audio", inline, cache=mark, extras=extras_of(NAME, part, _AUDIO))
        case _:
            return Opaque(NAME, PART + kind, part)


def _parse_image(part: dict[str, Any], path: str, mark: CacheMark | None) -> Block:
    image = part.get("image_url")
    if isinstance(image, dict):  # clients of Chat Completions write an object here
        image = image.get("url")
    detail = reading.optional_string(part, "detail", path + ".")
    extras = extras_of(NAME, part, _IMAGE)
    if image is not None:
        url = reading.a_string(image, path + ".image_url")
        return Media("image", inline_of(url) or Link(url), detail, cache=mark, extras=extras)
    file_id = reading.optional_string(part, "file_id", path + ".")
    if file_id is not None:
        return Media("image", FileId(file_id, NAME), detail, cache=mark, extras=extras)
    return Opaque(NAME, PART + "input_image", part)


def _parse_file(part: dict[str, Any], path: str, mark: CacheMark | None) -> Block:
    filename = reading.optional_string(part, "filename", path + ".")
    data = reading.optional_string(part, "file_data", path + ".")
    url = reading.optional_string(part, "file_url", path + ".")
    file_id = reading.optional_string(part, "file_id", path + ".")
    extras = extras_of(NAME, part, _FILE)
    if data:
        inline = inline_of(data) or Inline("application/pdf", standard_base64(data))
        return Media(_kind_of(inline.mime), inline, filename=filename, cache=mark, extras=extras)
    if url:
        return Media("document", Link(url), filename=filename, cache=mark, extras=extras)
    if file_id:
        return Media("document", FileId(file_id, NAME), filename=filename, cache=mark, extras=extras)
    return Opaque(NAME, PART + "input_file", part)


def _kind_of(mime: str) -> MediaKind:
    family = mime.partition("/")[0]
    return family if family in ("audio", "video") else "document"  # type: ignore[return-value]


def parse_citations(part: Mapping[str, Any]) -> Iterable[Citation]:
    """Read the annotations of a part."""
    for note in reading.sub_objects(part, "annotations"):
        yield parse_citation(note)


def parse_citation(note: dict[str, Any]) -> Citation:
    """Read one annotation; kinds without an address stay opaque."""
    if reading.text(note, "type") != "url_citation":
        return Citation(extras=Extras(NAME, note))
    start, end = reading.whole(note, "start_index"), reading.whole(note, "end_index")
    return Citation(reading.text_or_none(note, "url"), reading.text_or_none(note, "title"), start, end)


# ---- out


def build_citation(citation: Citation, length: int, losses: Losses) -> dict[str, Any] | None:
    """Write an annotation of a text of `length` characters, all of which is meant when the citation does not say."""
    own = fields_for(NAME, citation.extras)
    if own:
        return dict(own)
    if citation.url is None:
        losses.dropped("answer.citations", f"{NAME} cites only addresses")
        return None
    end = length if citation.end is None else citation.end
    found = {"start_index": citation.start or 0, "end_index": end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", **found}


def output_text(text: str, notes: list[dict[str, Any]]) -> dict[str, Any]:
    """A part of the assistant's text."""
    return {"type": "output_text", "text": text, "annotations": notes}


def build_output_parts(blocks: Iterable[Block], losses: Losses) -> list[dict[str, Any]]:
    """Write what the assistant said in an earlier turn."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case Text():
                losses.unsigned(block, PROVIDER)
                notes = [c for x in block.citations if (c := build_citation(x, len(block.text), losses)) is not None]
                if block.text:
                    parts.append({**fields_for(NAME, block.extras), **output_text(block.text, notes)})
            case Refusal():
                parts.append({**fields_for(NAME, block.extras), "type": "refusal", "refusal": block.text})
            case Opaque(dialect=dialect, value=value) if dialect == NAME:
                parts.append(value)
            case _:
                losses.dropped(losses.at(block), f"{NAME} takes no {_what(block)} from the assistant")
                if isinstance(block, Media):
                    losses.unsigned(block, PROVIDER)
                continue
        if not isinstance(block, Opaque) and block.cache is not None:
            losses.hint(losses.at(block) + ".cache", f"{NAME} marks only what it is told, not what it said")
    return parts


def build_input_parts(blocks: Iterable[Block], losses: Losses) -> list[dict[str, Any]]:
    """Write parts of a user's, a developer's or a system message, or of a tool's output; what has none is a loss."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case Text():
                losses.unsaid(block, ("citations",), NAME, losses.at(block) + ".")
                losses.unsigned(block, PROVIDER)
                if block.text:
                    parts.append(_marked({"type": "input_text", "text": block.text}, block, losses))
            case Refusal():
                parts.append(_marked({"type": "input_text", "text": block.text}, block, losses))
            case Media(source=Nested(blocks=inner)):
                losses.changed(
                    losses.at(block), f"a document made of blocks became its blocks: {NAME} has no such source"
                )
                parts += build_input_parts(inner, losses)
            case Media():
                part = _build_media(block, losses)
                parts += [] if part is None else [_marked(part, block, losses)]
            case Opaque(dialect=dialect, value=value) if dialect == NAME:
                parts.append(value)
            case _:
                losses.dropped(losses.at(block), f"{NAME} has no place for {_what(block)} here")
    return parts


def _what(block: Block) -> str:
    return f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()


def _build_media(block: Media, losses: Losses) -> dict[str, Any] | None:
    at = losses.at(block)
    losses.unsaid(block, ("title", "context", "cite"), NAME, at + ".")
    losses.unsigned(block, PROVIDER)
    source = block.source
    if isinstance(source, FileId) and source.dialect != NAME:
        losses.dropped(at, f"{NAME} cannot take a file id of another provider")
        return None
    if block.kind == "image":
        losses.unsaid(block, (), NAME, at + ".", hints=("filename",))
        node: dict[str, Any] = {"type": "input_image", "detail": block.detail or "auto"}
        return node | _source(source, "image_url", "image_url")
    if block.kind != "document":
        losses.dropped(at, f"{NAME} takes no {block.kind}")
        return None
    node = {"type": "input_file"}
    if isinstance(source, Inline):
        node["filename"] = block.filename or block.title or "document.pdf"
    elif block.filename is not None:
        node["filename"] = block.filename
    return node | _source(source, "file_data", "file_url")


def _source(source: object, data: str, url: str) -> dict[str, Any]:
    if isinstance(source, Inline):
        return {data: data_url(source)}
    return {url: source.url} if isinstance(source, Link) else {"file_id": getattr(source, "id", "")}


def _marked(part: dict[str, Any], block: Text | Refusal | Media, losses: Losses) -> dict[str, Any]:
    part = {**fields_for(NAME, block.extras), **part}
    if block.cache is not None:
        # Only the newest models take marks, and those of OpenAI's own clients come back as they were.
        ttl = block.cache.ttl
        if ttl in ("30m", "12h"):
            part["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": ttl}
        else:
            losses.hint(losses.at(block) + ".cache", "OpenAI caches without marks")
    return part
