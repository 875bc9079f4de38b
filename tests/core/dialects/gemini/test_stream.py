"""Reading streams of streamGenerateContent."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.blocks import Citation, Reasoning, Text, ToolCall
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    CitationDelta,
    Finished,
    LogprobsDelta,
    StreamFailed,
    TextDelta,
    UsageUpdate,
    fold,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.gemini.answer import parse_answer
from dragoman.core.dialects.gemini.stream import Reader
from dragoman.core.sse import MAX_EVENT
from tests.strategies_chat import assert_grammar, read_all
from tests.wire import by_name, fixtures


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def chunk(*parts: Any, **candidate: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **candidate}],
        "responseId": "r",
    }


def read(data: bytes) -> list[Any]:
    deltas = read_all(Reader(), [data])
    assert_grammar(deltas)
    return deltas


@pytest.mark.parametrize("fixture", [f for f in fixtures("stream") if f.dialect == "gemini"], ids=lambda f: f.name)
def test_recorded_streams(fixture: Any) -> None:
    answer = fold(read(fixture.data))
    expect = fixture.expect
    assert "".join(block.text for block in answer.blocks if isinstance(block, Text)) == expect["text"]
    assert "".join(block.text for block in answer.blocks if isinstance(block, Reasoning)) == expect.get("reasoning", "")
    calls = [block for block in answer.blocks if isinstance(block, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        (t["name"], t["args"]) for t in expect["tools"]
    ]
    assert all(call.id == tool["id"] or tool["id"] is None for call, tool in zip(calls, expect["tools"], strict=True))
    if expect["outcome"] == "ok":
        assert answer.finish is not None
        assert answer.finish.raw == ("gemini", expect["finish"])
    else:
        assert answer.fault is not None
        assert answer.fault.kind == ("truncated" if expect["outcome"] == "truncated" else "overloaded")
    if "choice1" in expect:
        assert answer.choices[1].blocks == (Text(expect["choice1"]),)


@pytest.mark.parametrize("fixture", [f for f in fixtures("response") if f.dialect == "gemini"], ids=lambda f: f.name)
def test_a_stream_of_one_chunk_is_the_whole_answer(fixture: Any) -> None:
    answer, _ = parse_answer(fixture.data)
    streamed = fold(read(events(json.loads(fixture.data))))
    assert [(c.blocks, c.finish) for c in streamed.choices] == [(c.blocks, c.finish) for c in answer.choices]
    assert streamed.usage == answer.usage


def test_a_signature_alone_signs_what_is_open() -> None:
    sign = Signature("gemini", "CiQB")
    data = events(
        chunk({"text": "4"}),
        chunk({"text": "", "thoughtSignature": "CiQB"}),
        chunk({"text": "!"}),
        chunk(finishReason="STOP"),
    )
    assert fold(read(data)).blocks == (Text("4", signature=sign), Text("!"))


def test_usage_comes_when_it_changes_and_after_the_end() -> None:
    count = {"promptTokenCount": 3}
    data = events(
        {**chunk({"text": "a"}), "usageMetadata": count}, {**chunk(finishReason="STOP"), "usageMetadata": count}
    )
    data += events({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}, chunk({"text": "late"}))
    deltas = read(data)
    assert deltas == [
        AnswerStarted("r", ""),
        TextDelta("a"),
        UsageUpdate(TokenUsage(3)),
        BlockEnded(),
        Finished(Finish("end", raw=("gemini", "STOP"))),
        UsageUpdate(TokenUsage(3, 1)),
        AnswerEnded(),
    ]


def test_sources_count_once() -> None:
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}]}
    data = events(
        chunk({"text": "a"}, groundingMetadata=grounding),
        chunk({"text": "b"}, finishReason="STOP", groundingMetadata=grounding),
    )
    assert [d.citation for d in read(data) if isinstance(d, CitationDelta)] == [Citation("u")]
    reader = Reader()
    call = {"functionCall": {"name": "f"}}
    read_all(reader, [events(chunk({"text": "a"}, call, finishReason="STOP", groundingMetadata=grounding))])
    assert [loss.path for loss in reader.losses] == ["answer.citations"]


def test_probabilities() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    data = events(chunk({"text": "a"}, logprobsResult=result), chunk(finishReason="STOP", logprobsResult={"x": 1}))
    assert [len(d.tokens) for d in read(data) if isinstance(d, LogprobsDelta)] == [1]


@pytest.mark.parametrize(
    "error",
    [
        b'data: [{"error": {"code": 503, "message": "busy"}}]\n\n',
        b'{\n  "error": {\n    "code": 503,\n    "message": "busy"\n  }\n}\n',
        b'[{\n  "error": {\n    "code": 503,\n    "message": "busy"\n  }\n}\n]\n',
    ],
)
def test_errors_in_odd_dress(error: bytes) -> None:
    for before in (b"", events(chunk({"text": "Half"}))):
        last = read(before + error)[-1]
        assert isinstance(last, StreamFailed)
        assert (last.fault.kind, last.fault.message) == ("overloaded", "busy")


def test_the_array_without_events() -> None:
    data = by_name("gemini.stream.json-array-without-alt-sse.json")
    whole = read(data)
    assert fold(whole).blocks == (Text("Hej dig"),)
    assert read_all(Reader(), [b"\n", b" ", *(data[i : i + 1] for i in range(len(data)))]) == whole
    assert isinstance(read(data[:-200])[-1], StreamFailed)


def test_compatible_gateways() -> None:
    data = (
        events(chunk({"text": "a"}))
        + b'data: {"candidates":[{"finish_reason":"STOP"}]}\n\ndata: [DONE]\n\ndata: oops\n\n'
    )
    reader = Reader()
    assert fold(read_all(reader, [data])).finish == Finish("end", raw=("gemini", "STOP"))
    assert [loss.detail for loss in reader.losses] == ["an event of the stream is not JSON"]


def test_an_event_too_large() -> None:
    reader = Reader()
    reader.feed(b"data: {")
    last = reader.feed(b" " * (MAX_EVENT + 1))[-1]
    assert isinstance(last, StreamFailed)
    assert last.fault.kind == "internal"
    assert reader.feed(b"x") == reader.close() == []


def test_nothing_at_all() -> None:
    assert isinstance(read(b"")[-1], StreamFailed)
    assert isinstance(read(b"\n\n")[-1], StreamFailed)
    assert isinstance(read(b"data: {}\n\n")[-1], StreamFailed)


def call(**fields: Any) -> dict[str, Any]:
    return {"functionCall": fields}


def test_a_call_of_vertex_may_come_in_pieces() -> None:
    """Named first, then its arguments by their path, then a part that ends it; a text in between ends it, too."""
    signed = {**call(name="weather", id="c1", willContinue=True), "thoughtSignature": "AAAA"}
    city = {"jsonPath": "$.at.city", "willContinue": True}
    stream = events(
        chunk(signed),
        chunk(call(partialArgs=[{**city, "stringValue": "Os"}], willContinue=True)),
        chunk(
            call(
                partialArgs=[{**city, "stringValue": "lo"}, {"jsonPath": "$.days[0]", "numberValue": 3}],
                willContinue=True,
            )
        ),
        chunk(call()),
        chunk(call(name="time", willContinue=True)),
        chunk(call(name="date", args={"a": 1}, partialArgs=[{"jsonPath": "$.b", "boolValue": False}])),
        chunk(
            call(name="lost", willContinue=True),
            call(partialArgs=[{"jsonPath": "?"}], willContinue=True),
            {"text": "So."},
        ),
        chunk(call(id="x", willContinue=True), call(id="y", name="last", will_continue=True)),
        chunk(finishReason="STOP"),
    )
    reader = Reader()
    deltas = read_all(reader, [stream])
    assert_grammar(deltas)
    *calls, text, nameless, last = (block for block in fold(deltas).blocks)
    assert calls[0] == ToolCall(
        "c1", "weather", '{"at":{"city":"Oslo"},"days":[3]}', signature=Signature("gemini", "AAAA")
    )
    told = [(block.name, block.arguments) for block in (*calls[1:], nameless, last) if isinstance(block, ToolCall)]
    assert told == [("time", "{}"), ("date", '{"a":1,"b":false}'), ("lost", "{}"), ("", "{}"), ("last", "{}")]
    assert text == Text("So.")
    assert fold(deltas).finish == Finish("tool", raw=("gemini", "STOP"))
    assert [loss.path for loss in reader.losses] == ["answer.tool_calls"]


def test_a_piece_of_the_wrong_shape_is_none() -> None:
    stream = events(chunk(call(name="f", partialArgs=5, willContinue="no")), chunk(finishReason="STOP"))
    assert [type(block) for block in fold(read_all(Reader(), [stream])).blocks] == [ToolCall]
