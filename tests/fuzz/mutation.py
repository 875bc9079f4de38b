"""How inputs are made: recorded bytes, mutated as bytes, as JSON and as streams of events; everything from one `random.Random`.

Mutating bytes alone seldom gets past the JSON parser, so most inputs stay JSON and have a node replaced, moved, renamed or
doubled; streams besides lose, repeat, reorder and borrow events. Some inputs are no relative of anything recorded.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Values that stand where another type is expected, or at the edge of their own.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**53 + 1, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, 1e-320, "", " ", "x", "\x00", "\ud800",
    "\u2028", "null", "text", "user", "tool", "system", "function", "auto", "{}", "[1", '{"a": "b"}', "0", "-1", "data:image/png;base64,QQ==",
    "data:,", "http://a/b", "QQ==", "=", "AAAA" * 20, "a" * 300, [], {}, [[]], [None], [{}], {"": None}, {"type": "text"}, {"a": {"b": []}},
    {"type": "text", "text": "t"}, {"type": None}, [{"type": "object", "properties": {"a": {"$ref": "#"}}}],
)  # fmt: skip
_EVIL = (
    b"\r\n", b"\n", b"\r", b"\n\n", b"\r\r", b" ", b"\t", b"\x00", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8",
    b":", b",", b";", b'"', b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b"0", b"-", b"1e999", b"null", b"data:", b"data: ", b"event: error\n",
    b": ", b"id: 1\n", b"retry: 1\n", b"data: [DONE]\n\n", b"FFFFFFFFFFFFFFFF", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
)  # fmt: skip


def mutated(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A relative of `data`; `others` lend it pieces."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(200))
    if is_stream := data.lstrip()[:1] not in (b"{", b"["):
        data = _mutated_stream(rng, data, others)
    elif rng.random() < 0.8:
        data = mutated_json(rng, data)
    if rng.random() < (0.4 if is_stream else 0.25):
        data = _mutated_bytes(rng, data, others)
    return data


def pieces(rng: Random, data: bytes) -> list[bytes]:
    """The data, cut anywhere; none of the pieces is empty."""
    if rng.random() < 0.05:
        return [data[n : n + 1] for n in range(min(len(data), 2000))] + ([data[2000:]] if len(data) > 2000 else [])
    cuts = sorted(rng.randrange(1, max(2, len(data))) for _ in range(rng.randrange(6)))
    return [piece for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if (piece := data[a:b])]


def _mutated_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(rng.randrange(1, 5)):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice((0, 1, 2, 7, 40, 400)))
        match rng.randrange(6):
            case 0:
                new = rng.choice(_EVIL)
            case 1:
                new = b""
            case 2:
                new = data[a:b] * rng.choice((2, 2, 50))
            case 3:
                new = rng.randbytes(rng.randrange(1, 5))
            case 4:
                lent = rng.choice(others)
                start = rng.randrange(len(lent) + 1)
                new = lent[start : start + rng.randrange(200)]
            case _:
                new, b = b"", len(data)  # cut off
        data = data[:a] + new + data[b:]
    return data


def mutated_json(rng: Random, data: bytes) -> bytes:
    """The same document with a few nodes changed; bytes that are no JSON stay as they are."""
    try:
        value = json.loads(data)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 8))):
            value = _changed(rng, value)
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):  # it is none, or has become too deep for this writer
        return data
    return text.encode("utf-8", "surrogatepass")


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _changed(rng: Random, root: Any) -> Any:
    """Change one node in place, or give another root."""
    holder, key = _somewhere(rng, root)
    if holder is None:
        return _copy(rng.choice(_ODD)) if rng.random() < 0.02 else root
    value = holder[key]
    match rng.randrange(10):
        case 0:
            del holder[key]
        case 1 | 2 | 3:
            holder[key] = _copy(rng.choice(_ODD))
        case 4:
            holder[key] = [value]
        case 5 if isinstance(value, dict) and value:
            holder[key] = _copy(rng.choice(list(value.values())))
        case 6:  # the same thing in another place
            other, place = _somewhere(rng, root)
            holder[key] = _copy(other[place]) if other is not None else value
        case 7 if isinstance(holder, dict):
            holder[rng.choice((key + "_", key.title(), "", "type", "id", "role"))] = holder.pop(key)
        case 8 if isinstance(value, str) and value:
            at = rng.randrange(len(value))
            holder[key] = (
                value[:at] + rng.choice(("", "\x00", "é", "\ud83d", "\u2028", '"', "}", value)) + value[at + 1 :]
            )
        case 9 if isinstance(holder, list):
            holder.insert(key, _copy(value))
        case _:
            holder[key] = _deep(rng, value)
    return root


def _deep(rng: Random, value: Any) -> Any:
    make: Callable[[Any], Any] = rng.choice(
        (lambda v: [v], lambda v: {"a": v}, lambda v: {"type": "object", "items": v})
    )
    for _ in range(rng.choice((1, 3, 60, 200))):
        value = make(value)
    return value


def _somewhere(rng: Random, root: Any) -> tuple[Any, Any]:
    """A container within `root` and a key of it; (None, None) when there is none. Deep places are as likely as shallow ones."""
    found: tuple[Any, Any] = (None, None)
    node = root
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        found, node = (node, key), node[key]
        if rng.random() < 0.25:
            break
    return found


def _mutated_stream(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    events = data.replace(b"\r\n", b"\n").split(b"\n\n")
    for _ in range(rng.randrange(4)):
        a = rng.randrange(len(events))
        match rng.randrange(6):
            case 0:
                events.insert(a, rng.choice(events))
            case 1:
                del events[a]
            case 2:
                b = rng.randrange(len(events))
                events[a], events[b] = events[b], events[a]
            case 3:
                events.insert(a, rng.choice(rng.choice(others).split(b"\n\n")))
            case _:
                head, mark, text = events[a].partition(b"data: ")
                events[a] = head + mark + mutated_json(rng, text)
        if not events:
            return b""
    return (b"\r\n\r\n" if rng.random() < 0.1 else b"\n\n").join(events)
