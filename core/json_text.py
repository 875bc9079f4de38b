"""JSON text that passes through: looked into without being decoded, changed without being encoded anew.

A request of the same dialect keeps its bytes; only the model's name, and sometimes one more key, are spliced in. So unknown fields, key
order, number spelling and white space arrive as the client wrote them, and 200 KB of history cost one typed scan.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
import orjson

from dragoman.core.errors import BadRequest

T = TypeVar("T")

_KEY_OR_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class StreamOptions(msgspec.Struct, gc=False):
    """OpenAI's ``stream_options``, as far as it concerns us."""

    include_usage: bool | None = None


class RequestPeek(msgspec.Struct, gc=False):
    """What the gateway must know of an OpenAI-shaped request to pass it on."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | msgspec.UnsetType | None = msgspec.UNSET


_PEEK: Final = msgspec.json.Decoder(RequestPeek)


def peek_request(body: bytes) -> RequestPeek:
    """Look into a request.

    Raises:
        BadRequest: It is not JSON, not an object, or a field the gateway needs is missing or of a wrong type; `param` names it.

    """
    return decode_request(_PEEK, body)


def decode_request(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode a client's JSON into the type of `decoder`.

    msgspec refuses lone surrogates and numbers beyond a double, which real clients send (half an emoji, cut by a limit); such a body
    is decoded by the standard library instead.

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
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(f"The body is not JSON: {reason}") from None
    try:
        return msgspec.convert(value, decoder.type)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def _wrong_shape(error: str) -> BadRequest:
    """Msgspec's ``Expected `str`, got `int` - at `$.model``` in our words."""
    missing = re.search(r"missing required field `(\w+)`", error)
    if missing is not None:
        return BadRequest(f"The request lacks `{missing[1]}`.", param=missing[1])
    what, _, where = error.partition(" - at `")
    path = where.rstrip("`").removeprefix("$").removeprefix(".")
    names = {
        "`str`": "a string",
        "`bool`": "true or false",
        "`object`": "an object",
        "`int`": "a whole number",
        "`array`": "a list",
    }
    for name, said in names.items():
        what = what.replace(name, said)
    if not path:
        return BadRequest(f"The body must be a JSON object: {what[:1].lower()}{what[1:]}.")
    return BadRequest(f"`{path}`: {what[:1].lower()}{what[1:]}.", param=path)


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
    hits = list(_model_pattern(old).finditer(body))
    if len(hits) == 1:
        # Almost surely the one: a quoted key with a colon cannot stand inside a string. But it may be a nested object's, with the
        # top-level one spelled in escapes; so look whether it did.
        start, end = hits[0].span(1)
        spliced = body[:start] + orjson.dumps(new) + body[end:]
        if peek_request(spliced).model == new:
            return spliced
    return replace_value(body, "model", orjson.dumps(new))


@lru_cache(256)
def _model_pattern(model: str) -> "re.Pattern[bytes]":
    return re.compile(rb'"model"\s*:\s*(%b)' % re.escape(orjson.dumps(model)))


def replace_value(body: bytes, key: str, text: bytes) -> bytes:
    """Put `text` where the value of a top-level key stands, at each of its occurrences, by walking the whole body.

    >>> replace_value(b'{"a": {"b": 1}, "b": [1, 2], "c": 3}', "b", b"0")
    b'{"a": {"b": 1}, "b": 0, "c": 3}'
    """
    for start, end in reversed([span for name, span in _top_level(body) if name == key]):
        body = body[:start] + text + body[end:]
    return body


def insert_key(body: bytes, key: str, value: object) -> bytes:
    """Add a key at the front of a JSON object that does not have it.

    >>> insert_key(b' {"a": 1}', "b", True)
    b' {"b":true,"a": 1}'
    >>> insert_key(b"{}", "b", True)
    b'{"b":true}'
    """
    at = body.index(b"{") + 1
    is_empty = body[at:].lstrip()[:1] == b"}"
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
            key, awaiting_key = json.loads(token), False
        elif key is not None and not (depth == 1 and token == b":" and start < 0):
            start = match.start() if start < 0 else start
            end = match.end()
