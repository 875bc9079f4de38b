"""Streams of Chat Completions, read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Citation, Inline, Media, Reasoning, Text, ToolCall
from dragoman.core.chat.signature import Signature, wrap
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    Delta,
    LogprobsDelta,
    StreamFailed,
    ToolCallStarted,
    UsageUpdate,
    fold,
)
from dragoman.core.dialects.openai_chat.stream import Reader
from dragoman.core.sse import MAX_EVENT
from tests.strategies_chat import ARGUMENTS, assert_grammar


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "created": 7, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def read(*chunks: Any) -> tuple[list[Delta], Reader]:
    reader = Reader()
    data = b"".join(c if isinstance(c, bytes) else b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks)
    deltas = reader.feed(data) + reader.close()
    assert_grammar(deltas)
    return deltas, reader


def call(
    index: int | None, ident: str | None = None, name: str | None = None, arguments: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"index": index, "id": ident, "function": {"name": name, "arguments": arguments}, **more}


def calls_of(*parts: dict[str, Any]) -> list[tuple[str, str, str]]:
    deltas, _ = read(*(chunk(tool_calls=[part]) for part in parts), chunk("tool_calls"), DONE)
    return [(block.id, block.name, block.arguments) for block in fold(deltas).blocks if isinstance(block, ToolCall)]


DONE = b"data: [DONE]\n\n"


@given(st.lists(ARGUMENTS, min_size=1, max_size=3), st.data())
def test_fragments_may_interleave(arguments: list[str], data: st.DataObject) -> None:
    """However the fragments of several calls are mixed, each call gets its own, in its own order."""
    parts = []
    for n, text in enumerate(arguments):
        cut = data.draw(st.integers(0, len(text)))
        parts.append(
            [call(n, f"c{n}", f"f{n}", ""), call(n, arguments=text[:cut]), call(n, f"c{n}", f"f{n}", text[cut:])]
        )
    mixed = []
    while any(parts):
        mixed.append(data.draw(st.sampled_from([part for part in parts if part])).pop(0))
    assert sorted(calls_of(*mixed)) == [(f"c{n}", f"f{n}", text) for n, text in enumerate(arguments)]


def test_calls_one_after_the_other_are_passed_on_at_once() -> None:
    reader = Reader()
    parts = [call(0, "a", "f", '{"x":'), call(0, arguments="1}"), call(1, "b", "g", "{")]
    seen = [reader.feed(b"data: " + json.dumps(chunk(tool_calls=[part])).encode() + b"\n\n") for part in parts]
    assert isinstance(seen[0][1], ToolCallStarted)
    assert any(isinstance(delta, ToolCallStarted) and delta.id == "b" for delta in seen[2])


def test_servers_without_an_index() -> None:
    parts = (
        call(None, "a", "f", "{"),
        call(None, None, None, "}"),
        call(None, "b", "g", "{}"),
        call(None, "a", None, " "),
    )
    assert calls_of(*parts) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_another_id_at_the_same_index_is_another_call() -> None:
    assert calls_of(call(0, "a", "f", "{}"), call(0, "b", "g", "{}")) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_what_is_missing_is_made_up() -> None:
    ((ident, name, arguments),) = calls_of(call(0, None, "f"))
    assert ident.startswith("call_")
    assert (name, arguments) == ("f", "{}")
    deltas, _ = read(
        chunk(function_call={"name": "f", "arguments": "{"}),
        chunk(function_call={"arguments": "}"}),
        chunk("function_call"),
        DONE,
    )
    assert [type(block) for block in fold(deltas).blocks] == [ToolCall]


def test_late_fragments_are_lost_aloud() -> None:
    parts = [call(0, "a", "f", "{}"), call(1, "b", "g", "{}"), call(0, arguments="!"), call(0, arguments=" "), call(0)]
    deltas, reader = read(*(chunk(tool_calls=[part]) for part in parts), chunk("tool_calls"), DONE)
    assert len(fold(deltas).blocks) == 2
    assert [loss.path for loss in reader.losses] == ["answer.tool_calls"]


def test_a_brace_alone_does_not_end_a_call() -> None:
    parts = (call(0, "a", "f", '{"x":{}'), call(1, "b", "g", "{}"), call(0, arguments=',"y":1}'))
    assert calls_of(*parts) == [("a", "f", '{"x":{},"y":1}'), ("b", "g", "{}")]


def test_free_text_and_signed_calls() -> None:
    custom = {"index": 0, "id": "a", "custom": {"name": "sql", "input": "sel"}}
    more = {"index": 0, "custom": {"input": "ect"}}
    signed = call(1, "b", "g", "{}", extra_content={"google": {"thought_signature": "AAAA"}})
    deltas, _ = read(*(chunk(tool_calls=[part]) for part in (custom, more, signed)), chunk("tool_calls"), DONE)
    assert fold(deltas).blocks == (
        ToolCall("a", "sql", "select", "custom"), ToolCall("b", "g", "{}", signature=Signature("gemini", "AAAA")),
    )  # fmt: skip


def test_text_ends_calls_and_calls_end_text() -> None:
    deltas, _ = read(
        chunk(content="a"),
        chunk(tool_calls=[call(0, "c", "f", "{"), call(1, "d", "g", "{}")]),
        chunk(content="b"),
        chunk("stop"),
        DONE,
    )
    assert [type(block).__name__ for block in fold(deltas).blocks] == ["Text", "ToolCall", "ToolCall", "Text"]
    assert fold(deltas).finish is not None
    assert fold(deltas).finish.kind == "tool"  # type: ignore[union-attr]


def test_reasoning_of_every_server() -> None:
    details = [{"type": "reasoning.encrypted", "data": wrap(Signature("claude", "Eq1")), "id": "r:2"}]
    redacted = [{"type": "reasoning.encrypted", "data": wrap(Signature("claude", "Eq2", "redacted"))}]
    deltas, _ = read(
        chunk(reasoning_content="hm"), chunk(reasoning_details=details), chunk(reasoning_details=redacted),
        chunk(reasoning="so", reasoning_details=[{"type": "reasoning.text", "text": "so"}]),
        chunk(content="x"), chunk(reasoning_details=[{"type": "reasoning.text", "text": "then"}]), chunk("stop"), DONE,
    )  # fmt: skip
    assert fold(deltas).blocks == (
        Reasoning("hm", Signature("claude", "Eq1")), Reasoning("", Signature("claude", "Eq2"), redacted=True), Reasoning("so"), Text("x"),
        Reasoning("then"),
    )  # fmt: skip


def test_what_stands_beside_the_text() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example", "start_index": 0, "end_index": 1}}
    early = chunk(annotations=[note])
    tokens = {"content": [{"token": "x"}]}
    with_tokens = {**chunk(content="x"), "choices": [{"delta": {"content": "x"}, "logprobs": tokens}]}
    without_delta = {"choices": [{"logprobs": tokens}]}
    deltas, reader = read(
        early, with_tokens, without_delta, chunk(annotations=[note]), chunk(images=[{"image_url": {"url": "data:image/png;base64,AA=="}}]),
        chunk("stop"), DONE,
    )  # fmt: skip
    assert fold(deltas).blocks == (
        Text("x", (Citation("https://a.example", None, 0, 1),)),
        Media("image", Inline("image/png", "AA==")),
    )
    assert sum(isinstance(delta, LogprobsDelta) for delta in deltas) == 2
    assert [loss.path for loss in reader.losses] == ["answer.citations"]


def test_nothing_follows_the_finish_of_a_choice() -> None:
    deltas, _ = read(
        chunk(content="x"),
        chunk("stop"),
        chunk("length", content="y"),
        {"choices": [{"logprobs": {"content": [1]}}]},
        DONE,
        DONE,
        chunk(content="z"),
    )
    assert fold(deltas).blocks == (Text("x"),)
    assert isinstance(deltas[-1], AnswerEnded)


def test_counts_on_every_chunk_are_told_once() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    deltas, reader = read({**chunk(content="x"), "usage": usage}, {**chunk("stop"), "usage": usage}, DONE)
    assert sum(isinstance(delta, UsageUpdate) for delta in deltas) == 1
    assert reader.usage == fold(deltas).usage


def test_an_end_without_a_reason() -> None:
    deltas, reader = read(chunk(content="x"), DONE)
    assert isinstance(deltas[-1], AnswerEnded)
    assert [loss.path for loss in reader.losses] == ["answer.finish"]
    assert isinstance(read(DONE)[0][-1], StreamFailed)
    assert isinstance(read(chunk(content="x"))[0][-1], StreamFailed)


def test_values_of_a_wrong_type_count_as_absent() -> None:
    odd = {
        "id": 7, "model": "m", "created": "x", "usage": [], "choices": [
            {"index": "0", "delta": {"content": [{"type": "text", "text": "Hi"}], "tool_calls": [{"function": {"name": 7}}, {"custom": {"name": "c", "input": 3}}]}},
            7, {"index": 0, "finish_reason": "stop", "logprobs": 3},
        ],
    }  # fmt: skip
    deltas, _ = read(odd, b"data: 7\n\n", b'data: {"choices":[{"index":0,"delta":{"content":"\\ud800"}}]}\n\n', DONE)
    assert deltas[0] == AnswerStarted("", "m", None)
    assert isinstance(fold(deltas).blocks[0], Text)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ({"message": "busy", "code": "server_is_overloaded"}, "overloaded", "busy"),
        ({"message": "try again in 2s", "code": 429}, "rate_limit", "try again in 2s"),
        ("plain", "internal", "plain"),
        (["odd"], "internal", "the provider failed and said no more"),
    ],
)
def test_an_error_in_mid_stream(error: Any, kind: str, message: str) -> None:
    deltas, reader = read(chunk(content="x"), {"error": error}, chunk(content="y"))
    last = deltas[-1]
    assert isinstance(last, StreamFailed)
    assert (last.fault.kind, last.fault.message) == (kind, message)
    assert reader.feed(DONE) == reader.close() == []


def test_an_event_without_end_is_given_up() -> None:
    reader = Reader()
    assert isinstance(reader.feed(b"data: " + b"x" * MAX_EVENT)[-1], StreamFailed)


def test_events_that_say_nothing_are_no_loss() -> None:
    """Neither blank ones nor what is JSON and no object; what is no JSON is one."""
    reader = Reader()
    assert reader.feed(b"data: \n\ndata:  \n\ndata: 5\n\n") == []
    assert reader.losses == []
    reader.feed(b"data: <html>\n\n")
    assert len(reader.losses) == 1
