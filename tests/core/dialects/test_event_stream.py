"""Events that are known without being read say what they would have said."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.stream import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from dragoman.core.dialects import DIALECTS
from dragoman.core.dialects.event_stream import Frame, frame_of
from tests.strategies import cuts_of
from tests.strategies_chat import JSON, assert_grammar

FRAMED = ("claude", "openai_chat")
HEADS: dict[str, list[Any]] = {
    "claude": [{"type": "message_start", "message": {"id": "m"}}],
    "openai_chat": [{"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}],
}


def claude_event(field: str, value: Any, index: int) -> dict[str, Any]:
    kind = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}[field]
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, field: value}}


def claude_start(kind: str, index: int) -> dict[str, Any]:
    block: dict[str, Any] = {"type": kind, "id": f"c{index}", "name": "f"}
    return {"type": "content_block_start", "index": index, "content_block": block}


def chat_event(field: str, value: Any, index: int) -> dict[str, Any]:
    delta: dict[str, Any] = {field: value}
    if field in ("arguments", "input"):
        word = "function" if field == "arguments" else "custom"
        delta = {"tool_calls": [{"index": index, word: {field: value}}]}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def chat_start(kind: str, index: int) -> dict[str, Any]:
    call = {"index": index, "id": f"c{index}", kind: {"name": "f"}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


TEXTS = st.text(max_size=6) | st.sampled_from(["a", "}}", '"}}', "\\", "\n\n", '{"text":"x"}', "\ud800"])
INDICES = st.integers(0, 1)
EVENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "claude": st.one_of(
        st.builds(claude_event, st.sampled_from(["text", "thinking", "partial_json"]), TEXTS | JSON, INDICES),
        st.builds(claude_start, st.sampled_from(["text", "thinking", "tool_use", "server_tool_use"]), INDICES),
        st.builds(lambda index: {"type": "content_block_stop", "index": index}, INDICES),
        st.just({"type": "ping"}),
    ),
    "openai_chat": st.one_of(
        st.builds(
            chat_event,
            st.sampled_from(["content", "reasoning_content", "reasoning", "refusal", "arguments", "input"]),
            TEXTS | JSON,
            INDICES,
        ),
        st.builds(chat_start, st.sampled_from(["function", "custom"]), INDICES),
        st.builds(lambda n, event: {**event, "usage": {"prompt_tokens": n}}, INDICES, st.just(chat_event("content", "u", 0))),
        st.just({"choices": [{"index": 1, "delta": {"content": "b"}}]}),
        st.just({"choices": [{"index": 0, "delta": {"content": "z"}, "finish_reason": "stop"}]}),
    ),
}  # fmt: skip


@st.composite
def streams(draw: st.DrawFn, dialect: str) -> bytes:
    """A stream in which events repeat, each as some server writes JSON."""
    events = draw(st.lists(st.tuples(EVENTS[dialect], st.integers(1, 3)), max_size=12))
    asciied, apart = draw(st.booleans()), draw(st.booleans())
    out = b""
    for event in [*HEADS[dialect], *(event for event, times in events for _ in range(times))]:
        try:
            text = json.dumps(event, ensure_ascii=asciied, separators=None if apart else (",", ":")).encode()
        except UnicodeEncodeError:
            text = json.dumps(event).encode()
        out += (b"event: %b\n" % event["type"].encode() if "type" in event else b"") + b"data: " + text + b"\n\n"
    return out


def read(dialect: str, pieces: list[bytes], lessons: int) -> tuple[list[Delta], Any]:
    reader: Any = DIALECTS[dialect].reader()
    reader._lessons = lessons  # 0: nothing is known without reading it
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return deltas + reader.close(), reader.usage


@pytest.mark.parametrize("dialect", FRAMED)
@given(st.data())
def test_known_events_say_what_they_say_when_they_are_read(dialect: str, data: st.DataObject) -> None:
    stream = data.draw(streams(dialect))
    expected = read(dialect, [stream], 0)
    assert_grammar(expected[0])
    assert read(dialect, [stream], 64) == expected
    assert read(dialect, data.draw(cuts_of(stream)), data.draw(st.integers(1, 3))) == expected
    single = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    assert read(dialect, single, 64) == expected


def repeated(dialect: str) -> Iterator[tuple[bytes, bytes, type]]:
    """Pieces that are one event each, and the delta they become."""
    start = HEADS[dialect]
    if dialect == "claude":
        kinds = [
            ("text", "text", TextDelta),
            ("thinking", "thinking", ReasoningDelta),
            ("tool_use", "partial_json", ToolCallDelta),
        ]
        for kind, field, made in kinds:
            yield (
                lines([*start, claude_start(kind, 0), claude_event(field, "a", 0)]),
                lines([claude_event(field, "b\u00e9", 0)]),
                made,
            )
    else:
        for field, made in (("content", TextDelta), ("reasoning_content", ReasoningDelta)):
            yield lines([*start, chat_event(field, "a", 0)]), lines([chat_event(field, "b\u00e9", 0)]), made
        call = [*start, chat_start("function", 0), chat_event("arguments", "a", 0)]
        yield lines(call), lines([chat_event("arguments", "b\u00e9", 0)]), ToolCallDelta


def lines(events: list[Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


@pytest.mark.parametrize("dialect", FRAMED)
def test_repeated_events_are_known(dialect: str) -> None:
    for before, piece, made in repeated(dialect):
        reader: Any = DIALECTS[dialect].reader()
        reader.feed(before)
        assert reader._frame is not None, made
        decoded, reader._read = reader._read, None  # reading is not needed any more
        assert [type(delta) for delta in reader.feed(piece) + reader.feed(piece * 3)] == [made] * 4
        reader._read = decoded
        assert reader.feed(piece[:9]) == []
        assert [type(delta) for delta in reader.feed(piece[9:])] == [made]


@pytest.mark.parametrize("dialect", FRAMED)
def test_lessons_are_few(dialect: str) -> None:
    """Where each event has a frame of its own, looking for one stops."""
    reader: Any = DIALECTS[dialect].reader()
    make = claude_event if dialect == "claude" else chat_event
    events = [{**make("text" if dialect == "claude" else "content", "a", 0), "obfuscation": str(n)} for n in range(99)]
    deltas = reader.feed(lines([*HEADS[dialect], *([claude_start("text", 0)] if dialect == "claude" else []), *events]))
    assert deltas[1:] == [TextDelta("a")] * 99
    assert (reader._lessons, reader._frame) == (0, None)


def test_an_event_too_large_ends_what_was_known() -> None:
    reader: Any = DIALECTS["claude"].reader()
    piece = lines([claude_event("text", "a", 0)])
    reader.feed(piece * 2)
    reader._events._max = 9
    assert len(reader.feed(b"data: 0123456789")) == 1
    assert reader.feed(piece) == []


@pytest.mark.parametrize(
    ("block", "found"),
    [
        (b'data: {"text":"a"}', Frame(b'data: {"text":', b"}", b"}\n\n", TextDelta)),
        (b'data: {"text": "a" }', Frame(b'data: {"text": ', b" }", b" }\n\n", TextDelta)),
        (b'data: {"text":"a","x":{"text":"a"}}', None),  # which of them?
        (b'data: {"x\\"text":"a"}', None),  # another key
        (b'data: {"text":"b"}', None),
        (b'data: {"text":1}', None),
        (b'data: {"text":"a\xff"}', None),
        (b'data: {"other":"a"}', None),
    ],
)
def test_a_frame_is_what_surrounds_one_string(block: bytes, found: Frame | None) -> None:
    assert frame_of(block, b"text", "a", TextDelta) == found


@pytest.mark.parametrize("dialect", FRAMED)
@pytest.mark.parametrize("value", [5, None, "", ["a"], "\ud800"])
def test_what_is_no_text_is_read(dialect: str, value: Any) -> None:
    """It stands where a text was, and says what it would have said anywhere."""
    for before, piece, _ in repeated(dialect):
        odd = piece.replace(json.dumps("b\u00e9").encode(), json.dumps(value).encode())
        assert odd != piece
        for pieces in ([odd, piece], [odd + piece]):
            assert read(dialect, [before, *pieces], 64) == read(dialect, [before, *pieces], 0)


def test_only_what_goes_on_is_expected_again() -> None:
    reader: Any = DIALECTS["openai_chat"].reader()
    reader.feed(lines([*HEADS["openai_chat"], chat_event("refusal", "a", 0)]))
    assert reader._frame is None
