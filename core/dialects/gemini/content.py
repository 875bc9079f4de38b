"""Parts of a content, both ways, as requests have them.

Source: types of the ``google-genai`` package 3.4 and the Gemini API reference, 2026-11. The API is proto JSON: every key may be
written in camelCase or snake_case, mixed, at every depth; bytes are base64 of either alphabet; only camelCase is written.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dragoman.core.chat.arguments import build_arguments, parse_arguments, wrap_free_text
from dragoman.core.chat.blocks import (
    Block,
    FileId,
    Inline,
    Link,
    Media,
    MediaKind,
    Nested,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.media import standard_base64
from dragoman.core.chat.signature import REDACTED, Signature, signature_from
from dragoman.core.dialects import reading
from dragoman.core.json_text import dumps_text, loads

NAME = "gemini"

# Google's word for "this call was not made by me": taken where a signature is insisted on.
NOT_MINE = "skip_thought_signature_validator"

_TEXT = frozenset({"text", "thought", "thoughtSignature"})
_INLINE = frozenset({"inlineData", "thoughtSignature"})
_FILE = frozenset({"fileData", "thoughtSignature"})
_CALL = frozenset({"functionCall", "thoughtSignature"})
_RESULT = frozenset({"functionResponse"})
# Where keys are somebody else's words.
_FOREIGN = frozenset({
    "args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "partMetadata", "customMetadata",
})  # fmt: skip
_NAMED = frozenset({"properties", "defs", "$defs"})

_MIME_OF = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "heic": "image/heic",
    "pdf": "application/pdf", "txt": "text/plain", "mp3": "audio/mpeg", "wav": "audio/wav", "mp4": "video/mp4", "webm": "video/webm",
}  # fmt: skip
_DEFAULT_MIME = {
    "image": "image/jpeg",
    "audio": "audio/wav",
    "video": "video/mp4",
    "document": "application/pdf",
}
_GOOGLES = re.compile(
    r"gs://|https://generativelanguage\.|https?://(?:[\w-]+\.)*(?:googleapis\.com|google\.com|youtube\.com|youtu\.be)/",
    re.ASCII,
)
_OLD = re.compile(r"gemini-(?:1|2|exp)|gemma|learnlm", re.ASCII)


def is_old(model: str) -> bool:
    """Whether a model is of a generation before Gemini 3: no media in tool results, signatures optional, no levels of thinking."""
    return _OLD.match(model.lower().rpartition("/")[2]) is not None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest) if first else name


def in_camel_case(node: Any) -> Any:
    """A JSON value with the API's own keys in camelCase; names of properties, arguments and schemas stay what they are.

    Raises:
        RecursionError: It is nested deeper than the interpreter follows.

    >>> in_camel_case({"inline_data": {"mime_type": "a/b"}, "args": {"a_b": 1}})
    {'inlineData': {'mimeType': 'a/b'}, 'args': {'a_b': 1}}

    """
    if isinstance(node, list):
        return [in_camel_case(item) if isinstance(item, dict | list) else item for item in node]
    if not isinstance(node, dict):
        return node
    out = {}
    for key, value in node.items():
        name = key
        if "_" in key:
            name = _camel(key)
            if name != key and name in node:
                continue  # said twice: the native form counts
        if isinstance(value, dict | list) and name not in _FOREIGN:
            if name in _NAMED and isinstance(value, dict):
                value = {inner: in_camel_case(item) for inner, item in value.items()}
            else:
                value = in_camel_case(value)
        out[name] = value
    return out


# ---- in


def parse_parts(value: object, path: str) -> list[Block]:
    """Read the parts of a content; a string or a single part is taken for a list of one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    items = [value] if isinstance(value, dict) else reading.an_array(value, path)
    out: list[Block] = []
    for n, item in enumerate(items):
        if isinstance(item, str):
            out.append(Text(item))
            continue
        block = parse_part(reading.an_object(item, f"{path}[{n}]"), f"{path}[{n}]")
        if block is None:
            continue
        last = out[-1] if out else None
        if (
            isinstance(block, Reasoning)
            and not (block.text or block.redacted)
            and block.signature is not None
            and block.signature.provider != NAME
            and isinstance(last, Reasoning)
            and last.signature is None
        ):  # a stream sends the signature behind its reasoning
            out[-1] = attrs.evolve(_joined(out), signature=block.signature)
        else:
            out.append(block)
    return out


def _joined(blocks: list[Block]) -> Reasoning:
    """Take back the last reasoning, whole: clients that keep a stream's parts as they came send a part for each delta."""
    last = blocks[-1]
    assert isinstance(last, Reasoning)  # who asks has looked
    begin = len(blocks) - 1
    while begin and isinstance(before := blocks[begin - 1], Reasoning) and not (before.signature or before.redacted):
        begin -= 1
    texts = [block.text for block in blocks[begin:] if isinstance(block, Reasoning)]
    del blocks[begin + 1 :]
    return attrs.evolve(last, text="".join(texts))


def parse_signature(node: Mapping[str, Any]) -> Signature | None:
    """Read the signature of a part."""
    text = reading.text(node, "thoughtSignature")
    return None if text == NOT_MINE else signature_from(text, NAME)


def parse_part(node: dict[str, Any], path: str) -> Block | None:
    """Read a part; None when it says nothing.

    Ids of calls and results stay empty when they are not said (`dragoman.core.dialects.gemini.turns` gives them one).

    Raises:
        BadRequest: It lacks what its kind demands.

    """
    sign = parse_signature(node)
    if node.get("functionCall") is not None:
        return _parse_call(node, sign, path)
    if node.get("functionResponse") is not None:
        return _parse_result(node, path)
    if node.get("inlineData") is not None:
        inline = reading.an_object(node["inlineData"], path + ".inlineData")
        mime = (reading.optional_string(inline, "mimeType", path + ".inlineData.") or "").lower()
        data = standard_base64(reading.optional_string(inline, "data", path + ".inlineData.") or "")
        name = reading.optional_string(inline, "displayName", path + ".inlineData.")
        extras = extras_of(NAME, node, _INLINE)
        return Media(kind_of(mime), Inline(mime, data), filename=name, signature=sign, extras=extras)
    if node.get("fileData") is not None:
        file = reading.an_object(node["fileData"], path + ".fileData")
        url = reading.required_string(file, "fileUri", path + ".fileData.")
        said = (reading.optional_string(file, "mimeType", path + ".fileData.") or "").lower()
        name = reading.optional_string(file, "displayName", path + ".fileData.")
        kind = kind_of(said or _mime_of(url) or "")
        return Media(kind, Link(url, said or None), filename=name, signature=sign, extras=extras_of(NAME, node, _FILE))
    if node.get("text") is not None:
        return _parse_text(node, sign, path)
    known = [key for key in node if key not in ("thought", "thoughtSignature") and node[key] is not None]
    if known:
        return Opaque(NAME, known[0], node)
    return Reasoning("", sign) if sign is not None else None


def _parse_text(node: dict[str, Any], sign: Signature | None, path: str) -> Block:
    text = reading.a_string(node["text"], path + ".text")
    extras = extras_of(NAME, node, _TEXT)
    if sign is not None and sign.family == REDACTED:
        return Reasoning("", attrs.evolve(sign, family=""), redacted=True)
    if node.get("thought") is True or (sign is not None and not text):
        return Reasoning(text, sign, extras=extras)
    return Text(text, signature=sign, extras=extras)


def _parse_call(node: dict[str, Any], sign: Signature | None, path: str) -> ToolCall:
    call = reading.an_object(node["functionCall"], path + ".functionCall")
    return ToolCall(
        reading.optional_string(call, "id", path + ".functionCall.") or "",
        reading.required_string(call, "name", path + ".functionCall."),
        build_arguments(reading.optional_object(call, "args", path + ".functionCall.") or {}),
        signature=sign,
        extras=_nested(node, _CALL, "functionCall", frozenset({"id", "name", "args"})),
    )


def _nested(node: dict[str, Any], known: frozenset[str], key: str, inner: frozenset[str]) -> Extras | None:
    """The unknown fields of a part, those of the object it wraps included."""
    rest = {name: value for name, value in node[key].items() if name not in inner}
    fields = {name: value for name, value in node.items() if name not in known}
    if rest:
        fields[key] = rest
    return Extras(NAME, fields) if fields else None


def _parse_result(node: dict[str, Any], path: str) -> ToolResult:
    path += ".functionResponse"
    result = reading.an_object(node["functionResponse"], path)
    text, is_error = parse_response(result.get("response"))
    content: list[Block] = [Text(text)] if text else []
    for part, part_path in reading.objects(result, "parts", path + "."):
        block = parse_part(part, part_path)
        content += [] if block is None else [block]
    return ToolResult(
        reading.optional_string(result, "id", path + ".") or "",
        tuple(content),
        is_error,
        reading.optional_string(result, "name", path + "."),
        extras=_nested(node, _RESULT, "functionResponse", frozenset({"id", "name", "response", "parts"})),
    )


def parse_response(value: object) -> tuple[str, bool]:
    """Read what a tool came to: its text, and whether it failed.

    By convention the object has one key, ``output`` or ``error``; any other object is the text of its JSON.

    >>> parse_response({"output": "3"}), parse_response({"error": "no"}), parse_response({"a": 1})
    (('3', False), ('no', True), ('{"a":1}', False))
    """
    if value is None:
        return "", False
    if isinstance(value, str):
        return value, False
    if isinstance(value, dict) and len(value) == 1:
        for key in ("output", "result", "content", "error"):
            if isinstance(text := value.get(key), str):
                return text, key == "error"
    return dumps_text(value), False


def build_response(text: str, *, is_error: bool) -> dict[str, Any]:
    """Write what a tool came to, so that `parse_response` gives exactly `text` again."""
    if is_error:
        return {"error": text}
    if text.startswith("{"):
        try:
            value = loads(text)
        except ValueError:
            return {"output": text}
        if isinstance(value, dict) and dumps_text(value) == text and parse_response(value) == (text, False):
            return value
    return {"output": text}


def kind_of(mime: str) -> MediaKind:
    """What kind of media a type is."""
    family = mime.partition("/")[0]
    return family if family in ("image", "audio", "video") else "document"  # type: ignore[return-value]


def _mime_of(url: str) -> str | None:
    """Guess a type from the end of an address."""
    if "youtube.com/" in url or "youtu.be/" in url:
        return "video/mp4"
    return _MIME_OF.get(re.split(r"[?#]", url, maxsplit=1)[0].rpartition(".")[2].lower())


# ---- out


@attrs.frozen
class PartWriter:
    """Writes the parts of a request.

    Attributes:
        losses: Where to note what has no form here.
        provider: Whose signatures the reader can check.
        puts_media_in_results: Whether the model takes media inside the result of a tool.

    """

    losses: Losses
    provider: str
    puts_media_in_results: bool

    def build(self, blocks: Iterable[Block]) -> list[dict[str, Any]]:
        """Write blocks; results of tools have `build_result`."""
        return [part for block in blocks for part in self._build(block)]

    def _build(self, block: Block) -> list[dict[str, Any]]:
        at = self.losses.at(block)
        match block:
            case Text(text=text):
                if block.citations:
                    self.losses.dropped(at + ".citations", f"{NAME} has no place for citations of earlier answers")
                node = self._sign({"text": text}, block.signature, at)
                return [{**fields_for(NAME, block.extras), **node}] if text or len(node) > 1 else []
            case Refusal(text=text):
                return [{"text": text}] if text else []
            case Reasoning():
                return self._reasoning(block, at)
            case ToolCall():
                return [self._call(block, at)]
            case Media():
                return self._media(block, at)
            case Opaque(dialect=dialect, value=value) if dialect == NAME and isinstance(value, dict):
                return [dict(value)]
            case _:
                kind = f"{block.dialect}'s {block.kind}" if isinstance(block, Opaque) else type(block).__name__.lower()
                self.losses.dropped(at, f"{NAME} has no place for {kind} here")
                return []

    def _sign(self, node: dict[str, Any], sign: Signature | None, at: str) -> dict[str, Any]:
        if sign is None:
            return node
        if sign.provider == self.provider:
            return {**node, "thoughtSignature": sign.value}
        self.losses.hint(at + ".signature", f"the signature of {sign.provider} means nothing here")
        return node

    def _reasoning(self, block: Reasoning, at: str) -> list[dict[str, Any]]:
        sign = block.signature
        if block.redacted or (sign is not None and sign.provider != self.provider):
            self.losses.dropped(at, f"{NAME} takes back only reasoning of its own")
            return []
        node: dict[str, Any] = {**fields_for(NAME, block.extras), "text": block.text}
        if block.text:
            node["thought"] = True
        if sign is not None:
            node["thoughtSignature"] = sign.value
        return [node] if block.text or sign is not None else []

    def _call(self, block: ToolCall, at: str) -> dict[str, Any]:
        extras = dict(fields_for(NAME, block.extras))
        inner = extras.pop("functionCall", {})
        return self._sign({**extras, "functionCall": {**inner, **build_call(block)}}, block.signature, at)

    def build_result(self, block: ToolResult) -> list[dict[str, Any]]:
        """Write the result of a tool: its part, and those that must stand beside it."""
        at = self.losses.at(block)
        texts = [inner.text for inner in block.content if isinstance(inner, Text)]
        if len(texts) > 1:
            self.losses.changed(at, f"{NAME} takes one text from a tool; {len(texts)} were joined")
        parts: list[dict[str, Any]] = []
        for inner in block.content:
            if isinstance(inner, Media):
                parts += self._media(inner, at)
            elif not isinstance(inner, Text):
                kind = f"{inner.dialect}'s {inner.kind}" if isinstance(inner, Opaque) else type(inner).__name__.lower()
                self.losses.dropped(at, f"{NAME} takes no {kind} from a tool")
        extras = dict(fields_for(NAME, block.extras))
        result: dict[str, Any] = {**extras.pop("functionResponse", {}), "id": block.call_id, "name": block.name or ""}
        result["response"] = build_response("\n".join(texts), is_error=block.is_error)
        if parts and self.puts_media_in_results:
            inside = [part for part in parts if "text" not in part]
            if inside:
                result["parts"] = inside
            parts = [part for part in parts if "text" in part]
        elif parts:
            self.losses.changed(at, f"this model takes only text from tools; {len(parts)} files stand beside it")
        return [{**extras, "functionResponse": result}, *parts]

    def _media(self, block: Media, at: str) -> list[dict[str, Any]]:
        if isinstance(block.source, Nested):
            self.losses.changed(at, f"{NAME} has no documents of blocks; its blocks were put in its place")
            return self.build(inner for inner in block.source.blocks if isinstance(inner, Text | Media))
        self.losses.unsaid(block, ("title", "context"), NAME, at + ".", hints=("filename",))
        if block.detail not in (None, "auto"):
            self.losses.dropped(at + ".detail", f"{NAME} cannot say how closely to look at one image")
        if block.cite is not None:
            self.losses.dropped(at + ".cite", f"{NAME} cites no documents")
        if isinstance(block.source, FileId):
            self.losses.dropped(at, f"a file uploaded to {block.source.dialect} is not there for {NAME}")
            return []
        node = self._source(block.source, block.kind, at)
        return [{**fields_for(NAME, block.extras), **self._sign(node, block.signature, at)}]

    def _source(self, source: Inline | Link, kind: MediaKind, at: str) -> dict[str, Any]:
        if isinstance(source, Inline):
            if not source.mime:
                self.losses.changed(at, f"{NAME} wants a type: {_DEFAULT_MIME[kind]} was assumed")
            return {"inlineData": {"mimeType": source.mime or _DEFAULT_MIME[kind], "data": source.data}}
        file = {"fileUri": source.url}
        if guessed := source.mime or _mime_of(source.url):
            file["mimeType"] = guessed
        if not _GOOGLES.match(source.url):
            self.losses.changed(at, "only the newest models of Gemini fetch addresses outside of Google")
        return {"fileData": file}


def build_call(block: ToolCall) -> dict[str, Any]:
    """Write a call. A custom tool is a function of one argument here."""
    args = wrap_free_text(block.arguments) if block.kind == "custom" else parse_arguments(block.arguments)
    return {"id": block.id, "name": block.name, "args": args}
