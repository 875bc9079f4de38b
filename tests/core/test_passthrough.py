"""Equal dialects: streams and requests pass as they are, but for what must change."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.http_heads import ResponseHead
from dragoman.core.passthrough import StreamRelay, answer_fields, build_request_body, forwarded_fields, read_usage
from dragoman.core.request_text import peek_request
from tests.strategies import cuts_of, json_texts, json_values

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}

chunks = st.one_of(
    st.builds(lambda value: {"id": "c", "choices": [{"delta": {"content": value}}]}, json_values),
    st.builds(lambda value: {"choices": [{"delta": value}], "usage": None}, json_values),
    st.builds(lambda value: {"usage": None, "choices": [{"finish_reason": "stop"}], "x": value}, json_values),
    st.builds(lambda value: {"choices": [], "x": value}, json_values),
    st.builds(lambda n: {"choices": [{"delta": {}}], "usage": {**USAGE, "prompt_tokens": n}}, st.integers(0, 99)),
)
usage_chunks = st.builds(
    lambda n, x: {"id": "c", "x": x, "choices": [], "usage": {**USAGE, "prompt_tokens": n}},
    st.integers(0, 99),
    json_values,
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[int], int | None]:
    """Events, which of them say nothing but usage, and the input tokens last said; ``[DONE]`` may be missing."""
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    events: list[bytes] = []
    usage_only: list[int] = []
    tokens = None
    for _ in range(draw(st.integers(0, 5))):
        chunk: Any = draw(st.one_of(chunks, chunks, usage_chunks))
        if chunk.get("usage"):
            tokens = chunk["usage"]["prompt_tokens"]
            if not chunk["choices"]:
                usage_only.append(len(events))
        text = json.dumps(chunk, separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (",", " : ")])))
        lines = [*draw(st.sampled_from([[], [], [b"id: 1"], [b"event: x"], [b": note"]])), b"data: " + text.encode()]
        events.append(end.join([*lines, *draw(st.sampled_from([[], [], [b"id: 2"]])), b"", b""]))
        if draw(st.integers(0, 4)) == 0:
            events.append(b": keep-alive" + end + end)
    if draw(st.booleans()):
        events.append(draw(st.sampled_from([b"data: [DONE]", b"data:[DONE]"])) + end + end)
    return events, usage_only, tokens


def relayed(pieces: list[bytes], *, hide_usage: bool) -> tuple[bytes, StreamRelay]:
    relay = StreamRelay(hide_usage=hide_usage)
    out = b"".join([relay.feed(piece) for piece in pieces])
    return out + relay.end(), relay


@given(data=st.data(), stream=streams(), hide=st.booleans())
def test_streams_pass_as_they_are_but_for_hidden_usage(
    data: st.DataObject, stream: tuple[list[bytes], list[int], int | None], hide: bool
) -> None:
    events, usage_only, tokens = stream
    text = b"".join(events)
    expected = b"".join(event for index, event in enumerate(events) if not (hide and index in usage_only))
    if not (events and events[-1].startswith((b"data: [DONE]", b"data:[DONE]"))):
        expected += DONE
    out, relay = relayed(data.draw(cuts_of(text)) if text else [], hide_usage=hide)
    assert out == expected
    assert (relay.usage.input if relay.usage is not None else None) == tokens


SCRAPS = st.lists(
    st.sampled_from([
        b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b"data: ", b"data:", b"[DONE]", b'{"usage":{"prompt_tokens":1},"choices":[]}', b'"usage"',
        b'{"usage":{},"choices":[{}]}', b'{"usage":null,"choices":[]}', b"x", b": c", b'{"error":{}}', b" ",
    ]),
    max_size=14,
).map(b"".join)  # fmt: skip


@given(data=st.data(), text=st.one_of(SCRAPS, st.binary(max_size=60)), hide=st.booleans())
def test_cuts_change_nothing(data: st.DataObject, text: bytes, hide: bool) -> None:
    whole, relay = relayed([text] if text else [], hide_usage=hide)
    for pieces in (data.draw(cuts_of(text)) if text else [], [text[i : i + 1] for i in range(len(text))]):
        cut, other = relayed(pieces, hide_usage=hide)
        assert cut == whole
        assert (other.usage, other.is_terminated, other.has_failed) == (
            relay.usage,
            relay.is_terminated,
            relay.has_failed,
        )
    if not hide:
        assert whole.rstrip(b"\r\n").startswith(text.rstrip(b"\r\n"))


def test_only_whole_events_go_on() -> None:
    relay = StreamRelay(hide_usage=False)
    assert relay.feed(b"data: 1\n\ndata: 2\n") == b"data: 1\n\n"
    assert relay.feed(b"id: 3\n") == b""
    assert relay.feed(b"\ndata: 4\r\n\r") == b"data: 2\nid: 3\n\n"
    assert relay.feed(b"\n") == b"data: 4\r\n\r\n"
    assert relay.feed(b"data: 5") == b""
    assert relay.end() == b"data: 5\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("hide", [True, False])
@pytest.mark.parametrize(
    "line",
    [
        b'data: {"choices":[{"delta":{"content":"usage"}}]}',
        b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}}]}',
        b'data: {"choices":[],"x":{"usage":{"prompt_tokens":1}}}',
        b'data: {"choices":[],"usage" : null}',
        b'data: {"choices":[],"usage":{"prompt_tokens":"many"}}',
        b': {"choices":[],"usage":{"prompt_tokens":1}}',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}',
        b'data: {"choices":[],"usage":{"prompt_tokens":1},"x":"\xff"',
        b'data: {"usage":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_looks_like_usage_is_not_taken_for_it(line: bytes, hide: bool) -> None:
    out, relay = relayed([line + b"\n\n"], hide_usage=hide)
    assert (out, relay.usage) == (line + b"\n\n" + DONE, None)


def test_usage_is_found_where_it_stands() -> None:
    line = b'data: {"choices":[{"usage":null,"x":{"usage":{}}}],"usage":{"prompt_tokens":4}}'
    out, relay = relayed([line + b"\n\n" + DONE], hide_usage=True)
    assert (out, relay.usage) == (line + b"\n\n" + DONE, TokenUsage(input=4))
    hidden = b'id: 1\ndata: {"choices":[],"usage":{"prompt_tokens":5}}\nevent: x\n\n'
    out, relay = relayed([line + b"\n\n" + hidden * 2 + b": c\n\n" + hidden + DONE], hide_usage=True)
    assert (out, relay.usage) == (line + b"\n\n: c\n\n" + DONE, TokenUsage(input=5))
    out, relay = relayed([b'data: {"choices":[],"usage":{"prompt_tokens":6}}'], hide_usage=True)
    assert (out, relay.usage) == (DONE, TokenUsage(input=6))
    out, relay = relayed([b"\n" + hidden], hide_usage=True)
    assert (out, relay.usage) == (b"\n" + DONE, TokenUsage(input=5))


@pytest.mark.parametrize(
    ("text", "is_terminated", "has_failed"),
    [
        (b"data: [DONE]\n\n: a comment behind the end of it\n\n", True, False),
        (b"data: [DONE]", True, False),
        (b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n', False, False),
        (b"data: \\n[DONE]\n\n", False, False),
        (b'data: {"error":{"message":"x"}}\n\n', False, True),
        (b'data: 1\n\ndata: {"error" : {"message":"x"}}\n\ndata: [DONE]\n\n', True, True),
        (b'data: {"error":null,"choices":[]}\n\n', False, False),
        (b'data: {"choices":[{"delta":{"content":"{\\"error\\":1}"}}]}\n\n', False, False),
    ],
)
def test_ends_and_errors_are_noticed(text: bytes, is_terminated: bool, has_failed: bool) -> None:
    _, relay = relayed([text], hide_usage=False)
    assert (relay.is_terminated, relay.has_failed) == (is_terminated, has_failed)


WORDS = st.sampled_from([
    b"data: ", b"data:", b" ", b"\t", b"[DONE]", b'{"error"', b":", b"null", b"{}", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"data: [DONE]\n\n",
    b'data: {"error":{}}\n\n',
])  # fmt: skip


@given(st.lists(WORDS, max_size=12).map(b"".join))
def test_ends_and_errors_are_those_at_the_start_of_a_line(text: bytes) -> None:
    """However they are looked for: this is what is meant."""
    relay = StreamRelay(hide_usage=False)
    passed = relay.feed(text)
    assert relay.is_terminated == bool(re.search(rb"^data: ?\[DONE\][ \t]*\r?$", passed, re.MULTILINE))
    assert relay.has_failed == bool(re.search(rb'^data: ?\{"error"[ \t]*:(?![ \t]*null)', passed, re.MULTILINE))
    ends = [at.end() for at in re.finditer(rb"\n(?=(\r?\n))", text)]
    assert len(passed) == max((end + len(re.match(rb"\r?\n", text[end:])[0]) for end in ends), default=0)  # type: ignore[index]  # it was looked for


def test_events_without_end_go_on_in_pieces() -> None:
    relay = StreamRelay(hide_usage=True)
    piece = b"x" * 2**20
    began = time.perf_counter()
    out = [relay.feed(b"data: " + piece)] + [relay.feed(piece) for _ in range(20)]
    assert max(map(len, out)) <= 2**23 + 2**20 + 6
    assert b"".join([*out, relay.end()]) == b"data: " + piece * 21 + b"\n\n" + DONE
    assert StreamRelay(hide_usage=True).feed(piece * 9) == piece * 9
    # and in small pieces the time is still that of its length
    relay = StreamRelay(hide_usage=True)
    small = b"y" * 64
    assert b"".join([relay.feed(small) for _ in range(2**16)] + [relay.feed(b"\n\n")]) == small * 2**16 + b"\n\n"
    assert time.perf_counter() - began < 3.0


def test_many_hidden_events_cost_no_more_than_their_length() -> None:
    event = b'data: {"choices":[],"usage":{"prompt_tokens":5}}\n\n'
    began = time.perf_counter()
    out, _ = relayed([(event + b": c\n\n") * 20_000], hide_usage=True)
    assert out == b": c\n\n" * 20_000 + DONE
    assert time.perf_counter() - began < 3.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, b'{"include_usage":true}'),
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b"{ }", b'{"include_usage":true }'),
        (b'{"include_usage" : false, "x": 1.0}', b'{"include_usage" : true, "x": 1.0}'),
        (b'{"include_usage":null}', b'{"include_usage":true}'),
        (b'{"x":{"include_usage":false}, "y":"\\ud83d", "z":1e400}', b'{"include_usage":true,"x":{"include_usage":false}, "y":"\\ud83d", "z":1e400}'),
    ],
)  # fmt: skip
def test_usage_is_asked_for_and_nothing_else_changes(options: bytes | None, expected: bytes) -> None:
    said = b"" if options is None else b',"stream_options": %b' % options
    body = b'{"stream":true,"model":"a","x":"\\ud83d"%b}' % said
    built = build_request_body(body, peek_request(body), "b", ask_usage=True)
    if options is None:
        assert built == b'{"stream_options":%b,"stream":true,"model":"b","x":"\\ud83d"}' % expected
    else:
        assert built == b'{"stream":true,"model":"b","x":"\\ud83d","stream_options": %b}' % expected
    assert build_request_body(body, peek_request(body), "a", ask_usage=False) == body


@given(
    data=st.data(),
    value=st.dictionaries(st.text(max_size=6), json_values, max_size=4),
    options=st.one_of(st.none(), st.dictionaries(st.text(max_size=6), json_values, max_size=2)),
)
def test_bodies_mean_the_same_afterwards(
    data: st.DataObject, value: dict[str, Any], options: dict[str, Any] | None
) -> None:
    value = {**value, "model": "a", "stream": True, "stream_options": options}
    body = data.draw(json_texts(value))
    built = json.loads(build_request_body(body, peek_request(body), "b", ask_usage=True))
    assert built == {**value, "model": "b", "stream_options": {**(options or {}), "include_usage": True}}


def test_headers_pass_by_name() -> None:
    fields = {b"openai-beta": b"x", b"traceparent": b"00-1", b"authorization": b"secret", b"cookie": b"secret"}
    assert forwarded_fields(fields, "openai_chat") == b"openai-beta: x\r\ntraceparent: 00-1\r\n"
    assert forwarded_fields(fields, "gemini") == b"traceparent: 00-1\r\n"
    assert forwarded_fields({}, "claude") == b"anthropic-version: 2023-06-01\r\n"
    asked = {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"a,b"}
    assert forwarded_fields(asked, "claude") == b"anthropic-beta: a,b\r\nanthropic-version: 2026-10-21\r\n"
    sent = [
        (b"content-type", b"a/b"), (b"set-cookie", b"secret"), (b"x-ratelimit-limit-tokens", b"1"), (b"transfer-encoding", b"chunked"),
        (b"x-request-id", b"r"), (b"content-encoding", b"gzip"), (b"connection", b"close"), (b"retry-after", b"2"),
    ]  # fmt: skip
    head = ResponseHead(200, sent, dict(sent), None, False, True)
    assert answer_fields(head) == [
        (b"content-type", b"a/b"),
        (b"x-ratelimit-limit-tokens", b"1"),
        (b"x-upstream-request-id", b"r"),
        (b"retry-after", b"2"),
    ]


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (b'{"usage":{"prompt_tokens":7,"total_tokens":7}}', TokenUsage(input=7)),  # embeddings
        (
            b'{"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":3.0,"prompt_tokens_details":{"cached_tokens":2,'
            b'"cache_write_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}}}',
            TokenUsage(7, 3, 2, 1, 1),
        ),
        (b'{"usage":{"prompt_tokens":-1,"completion_tokens":1e300,"prompt_tokens_details":null}}', TokenUsage()),
        (b'{"usage":null}', None),
        (b"{}", None),
        (b'{"usage":{"prompt_tokens":true}}', None),
        (b'{"usage":{"\xff', None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_usage_of_answers(answer: bytes, usage: TokenUsage | None) -> None:
    assert read_usage(answer) == usage


@given(answer=st.binary(max_size=50))
def test_any_answer_is_read_or_not(answer: bytes) -> None:
    assert read_usage(answer) is None or b"usage" in answer
