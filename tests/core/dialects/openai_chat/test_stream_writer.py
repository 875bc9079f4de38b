"""Streams of Chat Completions, written."""

import json
from typing import Any

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Link, Media, Opaque, Reasoning, Text, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    Delta,
    Finished,
    Ping,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    fold,
    unfold,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_chat.stream import Reader
from dragoman.core.dialects.openai_chat.stream_writer import Writer
from tests.strategies_chat import read_all

GEMINI = Signature("gemini", "AAAA")


def write(*deltas: Delta, counts: bool = False) -> tuple[list[Any], Writer]:
    writer = Writer(AnswerContext(ChatRequest("mine", (), include_usage=counts), created=5))
    lines = b"".join(writer.write([delta]) for delta in deltas).decode().split("\n\n")
    assert lines.pop() == ""
    return [
        line if line.startswith(":") else line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines
    ], writer


def deltas_of(events: list[Any]) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in events if isinstance(event, dict) and event.get("choices")]


def test_roles_ids_and_names_come_once() -> None:
    answer = Answer(
        "a",
        "",
        (
            Choice((Text("x"), ToolCall("c", "f", "{}"), ToolCall("d", "g", "")), Finish("tool")),
            Choice((Text("y"),), Finish("end")),
        ),
    )
    events, _ = write(*unfold(answer))
    assert {event["model"] for event in events[:-1]} == {"mine"}
    assert sum("role" in delta for delta in deltas_of(events)) == 2
    calls = [part for delta in deltas_of(events) for part in delta.get("tool_calls", ())]
    assert [part["id"] for part in calls if "id" in part] == ["c", "d"]
    assert [(part["index"], part["function"]["arguments"]) for part in calls] == [
        (0, ""),
        (0, "{}"),
        (1, ""),
        (1, "{}"),
    ]
    assert events[-1] == "[DONE]"


def test_usage_only_where_it_was_asked_for() -> None:
    answer = Answer("a", "m", (Choice((Text("x"),), Finish("end")),), 9, TokenUsage(3, 1))
    events, _ = write(*unfold(answer))
    assert not any("usage" in event for event in events[:-1])
    events, _ = write(*unfold(answer), counts=True)
    assert all(event["usage"] is None for event in events[:-2])
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["total_tokens"] == 4
    assert events[0]["created"] == 9


def test_what_stands_beside_the_text() -> None:
    cited = Text("bc", (Citation("https://a.example", start=0, end=1), Citation(quote="q")))
    blocks = (
        Text("a", signature=GEMINI), cited, Reasoning("hm", Signature("claude", "Eq")), Reasoning("", Signature("claude", "Eq"), redacted=True),
        Media("image", Link("u")), Opaque("claude", "x", {}), ToolCall("c", "f", "{}", signature=GEMINI), ToolCall("d", "sql", "free", "custom"),
    )  # fmt: skip
    events, writer = write(*unfold(Answer("a", "m", (Choice(blocks, Finish("tool"), ({"token": "x"},)),))))
    deltas = deltas_of(events)
    assert [d["annotations"][0]["url_citation"]["start_index"] for d in deltas if "annotations" in d] == [1]
    assert [d["reasoning_details"][0]["id"] for d in deltas if "reasoning_details" in d] == [
        "reasoning_0:0",  # of the text
        "reasoning_1:2",
        "reasoning_2:0",
    ]
    assert sum("images" in d for d in deltas) == 1
    calls = [part for d in deltas for part in d.get("tool_calls", ())]
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "AAAA"}}
    assert [part["custom"] for part in calls if "custom" in part] == [{"name": "sql", "input": ""}, {"input": "free"}]
    assert [
        event["choices"][0]["logprobs"]["content"] for event in events[:-1] if "logprobs" in event["choices"][0]
    ] == [[{"token": "x"}]]
    assert {loss.path for loss in writer.losses} == {"answer.citations", "answer.blocks"}


def test_redacted_reasoning_may_show_something() -> None:
    from dragoman.core.chat.stream import WholeBlock

    events, _ = write(AnswerStarted("a", "m"), WholeBlock(Reasoning("hm")))
    assert deltas_of(events)[1:] == [{"reasoning_content": "hm"}]


def test_a_stream_that_never_began() -> None:
    events, _ = write(TextDelta("x"), BlockEnded(), Finished(Finish("end")), AnswerEnded())
    assert [delta.get("content") for delta in deltas_of(events)] == ["", "x", None]


def test_calls_without_arguments_and_signatures_alone() -> None:
    events, _ = write(
        AnswerStarted("a", "m"), SignatureDelta(Signature("claude", "Eq")), BlockEnded(), ToolCallStarted("c", "sql", kind="custom"), BlockEnded(),
        ToolCallStarted("d", "f"), ToolCallDelta("{}"), BlockEnded(),
    )  # fmt: skip
    deltas = deltas_of(events)
    assert deltas[1]["reasoning_details"][0]["id"] == "reasoning_0:0"
    assert len(deltas) == 5


def test_nothing_follows_an_error() -> None:
    events, _ = write(AnswerStarted("a", "m"), Ping(), StreamFailed(Fault("truncated", "cut")))
    assert events[1] == ": ping"
    assert events[-1]["error"]["code"] == "upstream_stream_truncated"


def test_an_explanation_and_the_signature_of_a_text_come_back() -> None:
    sign = Signature("gemini", "AAAA")
    answer = Answer(
        "c", "m", (Choice((Text("x", signature=sign),), Finish("malformed_call", detail='"oh"')),), usage=TokenUsage()
    )
    writer = Writer(AnswerContext())
    read = fold(read_all(Reader(), [writer.write(list(unfold(answer)))]))
    assert read.blocks == (Text("x"), Reasoning("", sign))
    assert read.finish is not None
    assert read.finish.detail == '"oh"'
