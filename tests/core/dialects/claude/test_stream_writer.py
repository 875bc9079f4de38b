"""Streams of the Messages API, written."""

import json
from typing import Any

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Link, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.signature import Signature, unwrap
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    Delta,
    Ping,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    unfold,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.claude.stream_writer import Writer
from dragoman.core.dialects.dialect import AnswerContext

GEMINI = Signature("gemini", "AAAA")


def write(*deltas: Delta) -> tuple[list[dict[str, Any]], Writer]:
    writer = Writer(AnswerContext())
    lines = b"".join(writer.write([delta]) for delta in deltas).split(b"\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    assert [line[7:].decode() for line in lines if line.startswith(b"event: ")] == [event["type"] for event in events]
    return events, writer


def write_blocks(*blocks: Any) -> tuple[list[dict[str, Any]], Writer]:
    return write(*unfold(Answer("a", "m", (Choice(blocks, Finish("end")),))))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]


def test_the_beginning_waits_for_its_usage() -> None:
    events, _ = write(AnswerStarted("a", "m"))
    assert events == []
    events, _ = write(AnswerStarted("a", "m"), UsageUpdate(TokenUsage(9, 1)), TextDelta("x"))
    assert events[0]["message"]["usage"]["input_tokens"] == 9


def test_blocks_are_dense_and_closed() -> None:
    events, _ = write_blocks(Text("a"), Refusal("no"), Reasoning("hm"), ToolCall("t", "f", ""), Text("b"))
    starts = [event["index"] for event in events if event["type"] == "content_block_start"]
    stops = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert starts == stops == [0, 1, 2, 3, 4]
    assert kinds(events) == ["text", "text", "thinking", "tool_use", "text"]


def test_signatures_travel_before_calls_and_behind_text() -> None:
    events, _ = write_blocks(
        Text("a", signature=GEMINI), ToolCall("t", "f", "{}", signature=GEMINI), Reasoning("", GEMINI)
    )
    assert kinds(events) == ["text", "thinking", "thinking", "tool_use", "thinking"]
    signed = [e["delta"]["signature"] for e in events if e.get("delta", {}).get("type") == "signature_delta"]
    assert [unwrap(value) for value in signed] == [GEMINI] * 3


def test_free_text_becomes_an_argument() -> None:
    started = ToolCallStarted("t", "sql", kind="custom")
    for pieces in ((), ('select "1"',), ("sel", 'ect "\n')):
        events, _ = write(AnswerStarted("a", "m"), started, *map(ToolCallDelta, pieces), BlockEnded())
        text = "".join(e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta")
        assert json.loads(text) == {"input": "".join(pieces)}


def test_whole_blocks() -> None:
    events, writer = write_blocks(
        Reasoning("", Signature("claude", "EqQB"), redacted=True), Opaque("claude", "server_tool_use", {"type": "server_tool_use"}),
        Media("image", Link("u")),
    )  # fmt: skip
    assert kinds(events) == ["redacted_thinking", "server_tool_use"]
    assert [loss.path for loss in writer.losses] == ["answer.blocks"]


def test_citations_are_its_own_or_lost() -> None:
    own = Citation(extras=Extras("claude", {"type": "char_location"}))
    events, writer = write_blocks(Text("a", (own, Citation("https://a.example"))))
    assert [e["delta"]["citation"] for e in events if e.get("delta", {}).get("type") == "citations_delta"] == [
        {"type": "char_location"}
    ]
    assert [loss.path for loss in writer.losses] == ["answer.citations"]


def test_only_the_first_choice_counts() -> None:
    answer = Answer(
        "a", "m", (Choice((Text("x"),), Finish("end"), ({"token": "x"},)), Choice((Text("y"),), Finish("end")))
    )
    events, writer = write(*unfold(answer))
    assert [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"] == ["x"]
    assert {loss.path for loss in writer.losses} == {"answer.choices", "answer.logprobs"}


def test_an_answer_without_anything() -> None:
    events, _ = write(AnswerEnded())
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]


def test_nothing_follows_an_error() -> None:
    events, _ = write(AnswerStarted("a", "m"), Ping(), ReasoningDelta("hm"), StreamFailed(Fault("overloaded", "busy")))
    assert [event["type"] for event in events][-1] == "error"
    assert events[1] == {"type": "ping"}
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "busy"}
