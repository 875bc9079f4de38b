"""JSON text that passes through: looked into without being decoded, changed without being encoded anew.

A request of the same dialect keeps its bytes; only the model's name, and sometimes one more key, are spliced in. So unknown fields, key
order, number spelling and white space arrive as the client wrote them, and 200 KB of history cost one typed scan.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
import orjson

from dragoman.core.errors import BadRequest

T = TypeVar("T")

# Possessive: a string of megabytes leaves no trail to come back on.
_KEY_OR_STRUCTURE: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
_MODEL: Final = b'"model"'
_MODEL_KEY: Final = re.compile(rb'"model"[ \t\r\n]*+:[ \t\r\n]*+')
_EMPTY_REST: Final = re.compile(rb"[ \t\r\n]*+}")


class StreamOptions(msgspec.Struct, gc=False):
    """OpenAI's ``stream_options``, as far as it concerns us."""

    include_usage: bool | None = None


class RequestPeek(msgspec.Struct, gc=False):
    """What the gateway must know of an OpenAI-shaped request to pass it on."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | msgspec.UnsetType | None = msgspec.UNSET


class _Object(msgspec.Struct, gc=False):
    """Any JSON object."""


_PEEK: Final = msgspec.json.Decoder(RequestPeek)
_OBJECT: Final = msgspec.json.Decoder(_Object)


def peek_request(body: bytes) -> RequestPeek:
    """Look into a request.

    Raises:
        BadRequest: It is not JSON, not an object, or a field the gateway needs is missing or of a wrong type; `param` names it.

    """
    peek = decode_request(_PEEK, body)
    if not peek.model:
        raise BadRequest("`model` is empty; GET /v1/models lists what can be asked for.", param="model")
    if not (peek.model.isascii() or _is_utf8(peek.model)):
        raise BadRequest("`model` has half a surrogate pair in it; no model is called that.", param="model")
    return peek


def peek_body(body: bytes, model: str, streams: bool) -> RequestPeek:
    """Look into a request whose path says the model and whether it streams: that its body is a JSON object is all.

    Raises:
        BadRequest: It is not.

    """
    decode_request(_OBJECT, body)
    return RequestPeek(model, streams)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_request(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode a client's JSON into the type of `decoder`.

    msgspec refuses lone surrogates, which real clients send (half an emoji, cut by a limit); such a body is decoded by the standard
    library instead. NaN, a byte order mark and UTF-16 stay refused: the body passes on as it is, and providers refuse them.

    Raises:
        BadRequest: It is not JSON, or not of that type; `param` names the field.

    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    if not body.strip():
        raise BadRequest("The body is empty; a JSON object was expected.")
    try:
        value = json.loads(_text_of(body), parse_constant=_refuse_constant)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        raise BadRequest(f"The body is not JSON: {_in_words(reason)}.") from None
    try:
        return msgspec.convert(value, decoder.type)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except UnicodeError:  # msgspec chokes on half an emoji where it wants another type than text
        raise BadRequest(
            "The body is not of the right shape: there is text where something else was expected."
        ) from None


def _text_of(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not JSON: it is not UTF-8 (byte {error.start}).") from None
    if text.startswith("\ufeff"):
        raise BadRequest("The body is not JSON: it begins with a byte order mark; leave that out.")
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _in_words(reason: str) -> str:
    """Msgspec's ``JSON is malformed: trailing characters (byte 14)`` as the end of a sentence."""
    return "it ends too early" if reason == "Input data was truncated" else reason.removeprefix("JSON is malformed: ")


_TYPES: Final = {
    "str": "a string",
    "bool": "a boolean",
    "object": "an object",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "null": "null",
}
_MISSING: Final = re.compile(r"Object missing required field `(.*?)`(?: - at `\$\.?(.*)`)?")
_MISMATCH: Final = re.compile(r"Expected `(.*?)`, got `(.*?)`(?: - at `\$\.?(.*)`)?")


def _wrong_shape(error: str) -> BadRequest:
    """Msgspec's ``Expected `str`, got `int` - at `$.model``` in our words."""
    missing = _MISSING.fullmatch(error)
    if missing is not None:
        field = f"{missing[2]}.{missing[1]}" if missing[2] else missing[1]
        return BadRequest(f"The request lacks `{field}`.", param=field)
    mismatch = _MISMATCH.fullmatch(error)
    if mismatch is None:
        return BadRequest(f"The body is not what was expected: {error}.")
    expected, got, path = mismatch.groups()
    wanted = " or ".join(_TYPES.get(name, name) for name in expected.split(" | "))
    wanted = wanted.replace("a boolean or", "true, false or").replace("a boolean", "true or false")
    if not path:
        return BadRequest(f"The body must be a JSON object, not {_TYPES.get(got, got)}.")
    return BadRequest(f"`{path}` must be {wanted}, not {_TYPES.get(got, got)}.", param=path)


def splice_model(body: bytes, old: str, new: str) -> bytes:
    """Replace the top-level ``model``, leaving every other byte as it is.

    Args:
        body: A JSON object whose ``model`` is `old`.
        old: What `peek_request` found.
        new: The upstream model.

    >>> splice_model(b'{"messages": [], "model" : "a", "n": 1.0}', "a", "b")
    b'{"messages": [], "model" : "b", "n": 1.0}'
    """
    if old == new:
        return body
    text, written = orjson.dumps(new), orjson.dumps(old)
    start = _value_of_model(body)
    if start and body.startswith(written, start):
        # A quoted key with a colon cannot stand inside a string. But it may be a nested object's, with the top-level one spelled in
        # escapes; so where there are any, look whether it did.
        spliced = b"%b%b%b" % (body[:start], text, body[start + len(written) :])
        if b"\\u" not in body:
            return spliced
        try:
            if peek_request(spliced).model == new:
                return spliced
        except BadRequest:
            pass  # nested almost too deeply: with this frame more on the stack it is
    return replace_value(body, "model", text)


def _value_of_model(body: bytes) -> int:
    """Where the value of the only key ``"model"`` begins, at whatever depth that is; 0 when there is none, or more."""
    at = body.find(_MODEL)
    if at >= 0 and body.find(_MODEL, at + len(_MODEL)) < 0:
        found = _MODEL_KEY.match(body, at)
        return found.end() if found is not None else 0
    hits = [match.end() for match in _MODEL_KEY.finditer(body)]
    return hits[0] if len(hits) == 1 else 0


def replace_value(body: bytes, key: str, text: bytes) -> bytes:
    """Put `text` where the value of a top-level key stands, at each of its occurrences, by walking the whole body.

    >>> replace_value(b'{"a": {"b": 1}, "b": [1, 2], "c": 3}', "b", b"0")
    b'{"a": {"b": 1}, "b": 0, "c": 3}'
    """
    out: list[bytes] = []
    at = 0
    for name, (start, end) in _top_level(body):
        if name == key:
            out += (body[at:start], text)
            at = end
    out.append(body[at:])
    return b"".join(out)


def read_value(body: bytes, key: str) -> bytes:
    """The text of a top-level key's value, of the last one if there are several; empty when there is none.

    >>> read_value(b'{"a": {"b": 1}, "b": [1, 2], "c": 3}', "b")
    b'[1, 2]'
    """
    text = b""
    for name, (start, end) in _top_level(body):
        if name == key:
            text = body[start:end]
    return text


def insert_key(body: bytes, key: str, value: object) -> bytes:
    """Add a key at the front of a JSON object that does not have it.

    >>> insert_key(b' {"a": 1}', "b", True)
    b' {"b":true,"a": 1}'
    >>> insert_key(b"{}", "b", True)
    b'{"b":true}'
    """
    at = body.index(b"{") + 1
    is_empty = _EMPTY_REST.match(body, at) is not None
    return b"%b%b:%b%b%b" % (body[:at], orjson.dumps(key), orjson.dumps(value), b"" if is_empty else b",", body[at:])


def _top_level(body: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Keys of the outermost object with the spans of their values, by walking the whole text."""
    depth = 0
    key: str | None = None
    start = -1
    end = 0
    awaiting_key = False
    for match in _KEY_OR_STRUCTURE.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
            if depth == 1:
                awaiting_key = True
                continue
        elif token in b"}]":
            depth -= 1
        if depth == 0 or (depth == 1 and token == b","):
            if key is not None:
                yield key, (start, end)
            key, start, awaiting_key = None, -1, True
        elif depth == 1 and awaiting_key and token.startswith(b'"'):
            key, awaiting_key = _key_of(token), False
        elif key is not None and not (depth == 1 and token == b":" and start < 0):
            start = match.start() if start < 0 else start
            end = match.end()


def _key_of(token: bytes) -> str:
    """The key that a quoted token spells; it may be anything, for strings that nobody asked for were never decoded."""
    text = token.decode("utf-8", "replace")
    return json.loads(text, strict=False) if "\\" in text else text[1:-1]
