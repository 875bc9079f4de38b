"""Whole answers of the Messages API."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Link, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Loss, Losses
from dragoman.core.chat.signature import Signature, unwrap
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.claude.answer import build_answer, build_usage, parse_answer, parse_usage
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.errors import BadAnswer

GEMINI = Signature("gemini", "AAAA")


def build(*blocks: Any, finish: Finish | None = None) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    body, losses = build_answer(Answer("chatcmpl-1", "m", (Choice(blocks, finish or Finish("end")),)), AnswerContext())
    return json.loads(body), losses


def test_signatures_of_others_travel_in_wrappers() -> None:
    body, _ = build(
        Text("signed", signature=GEMINI), ToolCall("c", "f", "{}", signature=GEMINI), Reasoning("hm", Signature("openai", "gAAA")),
        Reasoning("", Signature("openai", "gAAA"), redacted=True), Reasoning("bare"), Text("", signature=GEMINI),
    )  # fmt: skip
    kinds = [block["type"] for block in body["content"]]
    assert kinds == [
        "text",
        "thinking",
        "thinking",
        "tool_use",
        "thinking",
        "redacted_thinking",
        "thinking",
        "thinking",
    ]
    assert unwrap(body["content"][1]["signature"]) == GEMINI
    assert unwrap(body["content"][5]["data"]) == Signature("openai", "gAAA", "redacted")
    assert body["content"][6]["signature"] == "sig1~none~~"
    read, _ = parse_answer(json.dumps(body).encode())
    calls = [block for block in read.blocks if isinstance(block, ToolCall)]
    assert calls[0].signature == GEMINI


def test_what_cannot_be_answered_is_lost() -> None:
    body, losses = build(
        Media("image", Link("u")), Opaque("gemini", "executableCode", {}), Opaque("claude", "server_tool_use", {"type": "x"}),
        Text("see", (Citation("https://a.example"),)), Text(""), Refusal(""), Refusal("no"), finish=Finish("recitation"),
    )  # fmt: skip
    assert [block["type"] for block in body["content"]] == ["x", "text", "text"]
    assert body["stop_reason"] == "refusal"
    assert [loss.path for loss in losses] == ["answer.blocks", "answer.blocks", "answer.citations", "answer.finish"]


def test_why_it_was_refused_is_said() -> None:
    body, _ = build(finish=Finish("filter", detail="not that"))
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "not that"}
    assert parse_answer(json.dumps(body).encode())[0].finish == Finish(
        "refusal", raw=("claude", "refusal"), detail="not that"
    )
    assert "stop_details" not in build(finish=Finish("end", detail="done"))[0]


def test_several_choices_and_probabilities_are_lost() -> None:
    choice = Choice((Text("x"),), None, ({"token": "x"},))
    body, losses = build_answer(Answer("a", "m", (choice, choice)), AnswerContext())
    assert json.loads(body)["stop_reason"] == "end_turn"
    assert {loss.path for loss in losses} == {"answer.choices", "answer.logprobs"}


def test_blocks_that_lack_something_are_left_out() -> None:
    answer, losses = parse_answer(
        b'{"content":[{"type":"tool_use","name":"f"},{"type":"text","text":"x"}],"stop_reason":"odd"}'
    )
    assert answer.blocks == (Text("x"),)
    assert answer.finish == Finish("other", raw=("claude", "odd"))
    assert losses[0].path == "answer.blocks"


def test_an_error_may_come_as_an_answer() -> None:
    answer, _ = parse_answer(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    assert answer.fault is not None
    assert (answer.fault.kind, answer.fault.message) == ("overloaded", "busy")


def test_its_own_citations_come_back() -> None:
    note = {"type": "char_location", "cited_text": "q"}
    body = b'{"content":[{"type":"text","text":"x","citations":[{"type":"char_location","cited_text":"q"}]}],"stop_reason":"end_turn"}'
    assert build(*parse_answer(body)[0].blocks)[0]["content"] == [{"type": "text", "text": "x", "citations": [note]}]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"content":null}'])
def test_no_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(body)


def test_the_parts_of_a_cache_add_up() -> None:
    split = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    usage = parse_usage({"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation": split, "output_tokens": 5})
    assert usage == TokenUsage(input=10, output=5, cached=2, cache_written=7, cache_written_1h=4)
    assert parse_usage(build_usage(usage, Losses())) == usage
    assert build_usage(None, Losses())["output_tokens"] == 0
    assert parse_usage(build_usage(TokenUsage(web_searches=2), Losses())).web_searches == 2


def test_only_a_refusal_is_explained() -> None:
    for kind, paths in (("refusal", []), ("malformed_call", ["answer.finish", "answer.finish.detail"])):
        answer = Answer("a", "m", (Choice((Text("x"),), Finish(kind, detail="why")),))  # type: ignore[arg-type]
        body, losses = build_answer(answer, AnswerContext())
        assert [loss.path for loss in losses] == paths
        assert (json.loads(body).get("stop_details") or {}).get("explanation") == (None if paths else "why")
