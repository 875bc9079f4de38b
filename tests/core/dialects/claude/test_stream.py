"""Streams of the Messages API, read."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Citation, Opaque, Reasoning, Text, ToolCall
from dragoman.core.chat.signature import Signature, wrap
from dragoman.core.chat.stream import AnswerStarted, Delta, Ping, StreamFailed, UsageUpdate, fold
from dragoman.core.dialects.claude.stream import Reader
from dragoman.core.sse import MAX_EVENT, write_event
from tests.strategies_chat import assert_grammar
from tests.wire import by_name


def read(*events: dict[str, Any] | bytes) -> tuple[list[Delta], Reader]:
    reader = Reader()
    data = b"".join(e if isinstance(e, bytes) else write_event(json.dumps(e).encode()) for e in events)
    deltas = reader.feed(data) + reader.close()
    assert_grammar(deltas)
    return deltas, reader


START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
}
END: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def test_totals_replace_and_are_not_added() -> None:
    deltas, reader = read(START, *END)
    assert [(d.usage.input, d.usage.output) for d in deltas if isinstance(d, UsageUpdate)] == [(3, 1), (3, 2)]
    assert reader.usage == fold(deltas).usage


def test_blocks_may_begin_with_something_in_them() -> None:
    deltas, _ = read(
        START, begin(0, type="text", text="Hi", citations=[{"type": "char_location", "cited_text": "q"}]), stop(0),
        begin(1, type="thinking", thinking="hm", signature="EqQB"), stop(1),
        begin(2, type="tool_use", id="t", name="f", input={"a": 1}), stop(2), begin(3, type="text", text=""), stop(3), *END,
    )  # fmt: skip
    text, thought, call = fold(deltas).blocks
    assert isinstance(text, Text)
    assert text.citations[0].quote == "q"
    assert thought == Reasoning("hm", Signature("claude", "EqQB"))
    assert call == ToolCall("t", "f", '{"a":1}')


def test_tools_of_the_server_come_whole() -> None:
    deltas, reader = read(
        START, begin(0, type="server_tool_use", id="s", name="web_search", input={}), more(0, type="input_json_delta", partial_json='{"q"'),
        more(0, type="input_json_delta", partial_json=":1}"), stop(0), begin(1, type="server_tool_use", id="s", name="x"),
        more(1, type="input_json_delta", partial_json="{"), stop(1), begin(2, type="redacted_thinking", data="AA"), stop(2),
        begin(3, type="redacted_thinking"), stop(3), *END,
    )  # fmt: skip
    first, second, redacted = fold(deltas).blocks
    assert isinstance(first, Opaque)
    assert first.value["input"] == {"q": 1}
    assert isinstance(second, Opaque)
    assert second.value["input"] == "{"
    assert redacted == Reasoning("", Signature("claude", "AA"), redacted=True)
    assert [loss.path for loss in reader.losses] == ["answer.blocks"]


def test_deltas_that_do_not_fit_are_ignored() -> None:
    deltas, _ = read(
        START, begin(0, type="tool_use", id="t", name="f"), more(0, type="text_delta", text="x"), more(0, type="thinking_delta", thinking="x"),
        more(0, type="signature_delta", signature="x"), more(0, type="citations_delta", citation={}), stop(0), stop(0),
        begin(1, type="thinking"), more(1, type="signature_delta", signature="sig1~none~~"), stop(1), {"type": "content_block_delta"}, *END,
    )  # fmt: skip
    assert fold(deltas).blocks == (ToolCall("t", "f", "{}"),)


def test_calls_without_an_id_get_one() -> None:
    deltas, _ = read(
        START, begin(0, type="tool_use", name="f"), stop(0), begin(1, type="tool_use", name="f"), stop(1), *END
    )
    ids = {block.id for block in fold(deltas).blocks if isinstance(block, ToolCall)}
    assert len(ids) == 2
    assert all(ids)


def test_a_missing_beginning_is_made_good() -> None:
    deltas, _ = read(
        more(0, type="text_delta", text="Hi"), stop(0), more(1, type="thinking_delta", thinking="hm"), *END
    )
    assert deltas[0] == AnswerStarted("", "")
    assert fold(deltas).blocks == (Text("Hi"), Reasoning("hm"))


def test_names_of_events_do_when_there_is_no_type() -> None:
    deltas, _ = read(b"event: ping\ndata: {}\n\n", START, b"event: ping\ndata: {}\n\n", *END)
    assert Ping() in deltas


def test_values_of_a_wrong_type_count_as_absent() -> None:
    event = {"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta", "text": "Hi", "citation": 7}}
    surrogate = b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\\ud800"}}\n\n'
    deltas, reader = read(
        START, begin(0, type="text"), event, surrogate, b"data: 7\n\n", b"data: {\n\n", b"data: [DONE]\n\n", *END
    )
    assert fold(deltas).blocks == (Text("Hi\ud800"),)
    assert len(reader.losses) == 1


@pytest.mark.parametrize(
    ("error", "kind"), [({"type": "overloaded_error", "message": "busy"}, "overloaded"), ("odd", "internal")]
)
def test_an_error_in_mid_stream(error: Any, kind: str) -> None:
    deltas, reader = read(START, {"type": "error", "error": error}, *END)
    assert isinstance(deltas[-1], StreamFailed)
    assert deltas[-1].fault.kind == kind
    assert reader.feed(b"data: {}\n\n") == []


def test_a_lost_last_event_is_forgiven() -> None:
    deltas, reader = read(START, END[0])
    assert fold(deltas).finish == Finish("end", raw=("claude", "end_turn"))
    assert reader.losses
    assert isinstance(
        read(START, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}})[0][-1], StreamFailed
    )


def test_an_event_without_end_is_given_up() -> None:
    reader = Reader()
    assert isinstance(reader.feed(b"data: " + b"x" * MAX_EVENT)[-1], StreamFailed)
    assert reader.close() == []


def test_wrapped_signatures_come_out() -> None:
    signed = more(0, type="signature_delta", signature=wrap(Signature("openai", "gAAA")))
    deltas, _ = read(START, begin(0, type="thinking"), signed, stop(0), *END)
    assert fold(deltas).blocks == (Reasoning("", Signature("openai", "gAAA")),)


def test_citations_of_a_search() -> None:
    reader = Reader()
    answer = fold(reader.feed(by_name("anthropic.stream.web-search-citations.sse")) + reader.close())
    (citation,) = [c for block in answer.blocks if isinstance(block, Text) for c in block.citations]
    assert isinstance(citation, Citation)
    assert (citation.url, citation.title) == ("https://example.org/x", "Example")
    assert answer.usage is not None
    assert answer.usage.web_searches == 1
