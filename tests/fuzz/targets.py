"""Who is fed, with what, and what each promises: the exceptions its docstring names and no others."""

import contextlib
import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import brotli
import zstandard

from dragoman.core.chat.stream import fold
from dragoman.core.content_coding import CodingError, Decoder
from dragoman.core.dialects import DIALECTS
from dragoman.core.dialects.gemini.embeddings import (
    parse_gemini_answer,
    parse_gemini_request,
    parse_openai_answer,
    parse_openai_request,
)
from dragoman.core.dialects.gemini.json_array import ArrayReader
from dragoman.core.errors import (
    BadAnswer,
    BadRequest,
    BadStream,
    ClientError,
    DragomanError,
    Untranslatable,
    UpstreamError,
)
from dragoman.core.http_bodies import BodyError, ChunkedBody
from dragoman.core.http_heads import HeadReader
from dragoman.core.json_text import dumps, loads
from dragoman.core.lanes.array import ArrayFlow
from dragoman.core.lanes.flow import TranslatedFlow
from dragoman.core.request_text import insert_key, peek_request, read_value, splice_model
from dragoman.core.sse import EventReader, WholeEvents
from dragoman.core.translate import (
    StreamTranslator,
    replace_model,
    translate_answer,
    translate_error,
    translate_request,
)
from tests.fuzz.mutation import pieces
from tests.strategies_chat import assert_grammar, read_all

WIRE = Path(__file__).parents[1] / "data" / "wire"
# How the recordings are called.
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "openai_chat": ("chat",), "openai_responses": ("responses",), "claude": ("anthropic",), "gemini": ("gemini",),
    "code_assist": ("codeassist",),
}  # fmt: skip
LIMIT = 1 << 20


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Attributes:
        name: For reports and ``--only``.
        seeds: What it is meant to read.
        feed: Feeds it; anything raised is a finding.

    """

    name: str
    seeds: Sequence[bytes]
    feed: Callable[[Random, bytes], None]


def recorded(*patterns: str) -> list[bytes]:
    """The recordings whose names match."""
    return [path.read_bytes() for pattern in patterns for path in sorted(WIRE.glob(pattern))]


def _request(source: str, rng: Random, data: bytes) -> None:
    for target in [*DIALECTS, source]:
        try:
            asked = translate_request(data, source, target, model=rng.choice((None, "claude-sonnet-4-5")))
        except BadRequest:
            pass  # one dialect reads what another's rules for a whole request refuse
        except Untranslatable:
            assert source != target
        else:
            assert target == source or isinstance(loads(asked.body), dict)


def _answer(source: str, rng: Random, data: bytes) -> None:
    for target in DIALECTS:
        try:
            answer = translate_answer(data, source, target, model=rng.choice((None, "m")))
        except BadAnswer:
            continue
        assert isinstance(loads(answer.body), dict | list)


def _error(source: str, rng: Random, data: bytes) -> None:
    status = rng.choice((400, 401, 403, 404, 413, 429, 500, 503, 529, 599))
    headers = (
        {"retry-after": rng.choice(("1", "-1", "x", "1e9", "Wed, 21 Oct 2065 07:28:00 GMT"))}
        if rng.random() < 0.5
        else {}
    )
    for target in DIALECTS:
        code, body, _ = translate_error(status, headers, data, source, target, 1.8e9)
        assert 400 <= code <= 599
        assert target == source or isinstance(loads(body), dict | list)


def _stream(source: str, rng: Random, data: bytes) -> None:
    cut = pieces(rng, data)
    deltas = read_all(DIALECTS[source].reader(), cut)
    assert_grammar(deltas)
    whole = read_all(DIALECTS[source].reader(), [data] if data else [])
    assert fold(whole) == fold(deltas), "what is read depends on the cuts"
    target = rng.choice(list(DIALECTS))
    translator = StreamTranslator(source, target, model=rng.choice((None, "m")) if source == target else None)
    out = b"".join(map(translator.feed, cut)) + translator.close()
    assert translator.has_begun or not out
    if source != target and out:  # the client's own reader finds a proper end, or the error
        assert_grammar(read_all(DIALECTS[target].reader(), [out]))


def _expect(wanted: Sequence[type[DragomanError]], call: Callable[[], object]) -> None:
    with contextlib.suppress(*wanted):
        call()


def _events(rng: Random, data: bytes) -> None:
    reader, whole = EventReader(max_event=LIMIT), WholeEvents()
    cut = pieces(rng, data)
    found = [event for piece in cut for event in reader.feed(piece)] + reader.close()
    again = EventReader(max_event=LIMIT)
    assert found == again.feed(data) + again.close()
    assert b"".join(whole.feed(piece, passes=rng.random() < 0.9) for piece in cut) + whole.rest() == data
    small = EventReader(max_event=64)
    _expect([BadStream], lambda: [small.feed(piece) for piece in cut])
    assert len(small.held) <= 64 + max(map(len, cut), default=0)


def _array(rng: Random, data: bytes) -> None:
    reader, whole = ArrayReader(max_element=LIMIT), ArrayReader(max_element=LIMIT)
    assert [element for piece in pieces(rng, data) for element in reader.feed(piece)] == whole.feed(data)
    small = ArrayReader(max_element=64)
    _expect([BadStream], lambda: [small.feed(piece) for piece in pieces(rng, data)])


def _array_of_events(rng: Random, data: bytes) -> None:
    array = ArrayFlow(TranslatedFlow(StreamTranslator("gemini", "gemini")))
    for piece in pieces(rng, data):
        array.feed(piece)
    array.end()


def _chunked(rng: Random, data: bytes) -> None:
    body = ChunkedBody()
    with contextlib.suppress(BodyError):
        for piece in pieces(rng, data):
            body.feed(piece)
        body.end()


def _heads(rng: Random, data: bytes) -> None:
    reader = HeadReader(4096)
    _expect([ClientError], lambda: reader.read_request(data))
    _expect([UpstreamError], lambda: reader.read_response(data))


def _coding(coding: str, rng: Random, data: bytes) -> None:
    def run() -> None:
        decoder = Decoder(coding, LIMIT)
        for piece in pieces(rng, data):
            assert len(decoder.feed(piece)) <= LIMIT
        decoder.end()

    _expect([CodingError], run)


def _json(rng: Random, data: bytes) -> None:
    try:
        value = loads(data)
    except ValueError:
        return
    assert loads(dumps(value)) == value


def _model(rng: Random, data: bytes) -> None:
    try:
        named = replace_model(data, "another")
    except BadRequest:
        return
    try:
        loads(data)
    except ValueError:
        return  # what is wrong where nobody looked is the provider's to judge
    assert named == data or loads(named)["model"] == "another"


def _passing(rng: Random, data: bytes) -> None:
    try:
        peek = peek_request(data)
    except BadRequest:
        return
    spliced = splice_model(data, peek.model, "another")
    assert peek_request(spliced).model == "another"
    assert peek_request(insert_key(data, "at_the_front", True)) == peek
    read_value(data, "messages")


def _embeddings(rng: Random, data: bytes) -> None:
    _expect([BadRequest], lambda: parse_gemini_request(data, model="m"))
    _expect([BadRequest, Untranslatable], lambda: parse_openai_request(data))
    _expect([BadAnswer], lambda: parse_gemini_answer(data))
    _expect([BadAnswer], lambda: parse_openai_answer(data))


_HEADS = [
    b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nAuthorization: Bearer k\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 3\r\n\r\n",
]
_CHUNKS = [
    b"5\r\nhello\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nX-Trailer: a\r\n\r\nrest",
    b"1\r\na\r\n0\r\n\r\n",
    b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n0\r\n\r\n",
]
_PLAIN = [b"", b"a", b"hello " * 500, bytes(200_000), *recorded("chat.request.plain-text.json")]
_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip, zstd": lambda data: zstandard.ZstdCompressor().compress(gzip.compress(data)),
}


def targets() -> list[Target]:
    """Everybody who is fed."""
    every = recorded("*.json", "*.sse")
    arrays = [b"[" + b"\n,\n".join(some) + b"]" for some in pairwise(recorded("gemini.response.*.json"))]
    found = [
        Target("events", recorded("*.sse"), _events),
        Target("array", [*arrays, *recorded("gemini.stream.*.json")], _array),
        Target("array of events", recorded("gemini.stream.*.sse"), _array_of_events),
        Target("chunks", _CHUNKS, _chunked),
        Target("heads", _HEADS, _heads),
        Target("json", every, _json),
        Target("model", recorded("*.request.*.json"), _model),
        Target("passing", recorded("*.request.*.json"), _passing),
        Target("embeddings", recorded("*embeddings*.json"), _embeddings),
    ]
    found += [
        Target(f"coding {coding}", [pack(data) for data in _PLAIN], partial(_coding, coding))
        for coding, pack in _CODINGS.items()
    ]
    for dialect, prefixes in PREFIXES.items():
        kinds: Mapping[str, tuple[str, Callable[[str, Random, bytes], None]]] = {
            "request": ("{}.request.*.json", _request),
            "answer": ("{}.response.*.json", _answer),
            "error": ("{}.error.*.json", _error),
            "stream": ("{}.stream.*", _stream),
        }
        for kind, (pattern, feed) in kinds.items():
            seeds = recorded(*(pattern.format(prefix) for prefix in prefixes))
            found.append(Target(f"{dialect} {kind}", seeds or every, partial(feed, dialect)))
    return found
