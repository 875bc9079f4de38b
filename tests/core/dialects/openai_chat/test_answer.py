"""Whole answers of Chat Completions."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Inline, Link, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Extras, Loss, Losses
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_chat.answer import build_answer, build_usage, parse_answer, parse_finish, parse_usage
from dragoman.core.errors import BadAnswer
from tests.wire import by_name

GEMINI = Signature("gemini", "AAAA")


def build(*blocks: Any, finish: Finish | None = None) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    body, losses = build_answer(Answer("msg_1", "m", (Choice(blocks, finish),)), AnswerContext(created=5))
    return json.loads(body), losses


def read(**message: Any) -> Answer:
    return parse_answer(json.dumps({"id": "c", "choices": [{"message": message, "finish_reason": "stop"}]}).encode())[0]


@pytest.mark.parametrize(
    ("reason", "has_calls", "has_refusal", "kind"),
    [
        ("stop", False, False, "end"), ("stop", True, False, "tool"), ("stop", False, True, "refusal"), ("length", True, False, "length"),
        ("tool_calls", False, False, "end"), ("", True, False, "tool"), ("eos", False, False, "end"), ("odd", False, False, "other"),
        ("content_filter", False, True, "filter"),
    ],
)  # fmt: skip
def test_why_it_ended(reason: str, has_calls: bool, has_refusal: bool, kind: str) -> None:
    assert parse_finish(reason, has_calls=has_calls, has_refusal=has_refusal).kind == kind


def test_odd_shapes_are_understood() -> None:
    answer = read(
        content=[{"type": "text", "text": "a"}, {"type": "odd"}], function_call={"name": "f"}, refusal="no",
        images=[{"image_url": {"url": "data:image/png;base64,AA=="}}, {}], audio={"id": "a"},
        tool_calls=[{"id": "c", "custom": {"name": "x", "input": "free"}}],
    )  # fmt: skip
    text, refusal, custom, call, image, audio = answer.blocks
    assert (text, refusal) == (Text("a"), Refusal("no"))
    assert custom == ToolCall("c", "x", "free", "custom")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("f", "{}")
    assert image == Media("image", Inline("image/png", "AA=="))
    assert audio == Opaque("openai_chat", "audio", {"id": "a"})


def test_an_error_may_come_as_an_answer() -> None:
    answer, _ = parse_answer(b'{"error":{"message":"busy","code":"server_is_overloaded"}}')
    assert answer.fault is not None
    assert (answer.fault.kind, answer.fault.message) == ("overloaded", "busy")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices":null}', b'{"object":"x"}'])
def test_no_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(body)


def test_unknown_citations_come_back() -> None:
    odd = {"type": "file_citation", "file_id": "f"}
    answer = read(content="x", annotations=[odd])
    assert answer.blocks == (Text("x", (Citation(extras=Extras("openai_chat", odd)),)),)
    body, losses = build_answer(answer, AnswerContext())
    assert json.loads(body)["choices"][0]["message"]["annotations"] == [odd]
    assert losses == ()


def test_what_stands_where() -> None:
    body, losses = build(
        Reasoning("one", Signature("claude", "Eq1")), Text("ab"), Reasoning("two", Signature("claude", "Eq2")),
        Reasoning("", Signature("claude", "Eq3"), redacted=True), Text("cd", (Citation("https://a.example", start=0, end=1), Citation(quote="q"))),
        Text("", signature=GEMINI), ToolCall("t", "f", "{}", signature=GEMINI), ToolCall("u", "g", "free", "custom"), Reasoning("three"),
        Media("image", Link("https://a.example/a.png")), Opaque("claude", "x", {}), Media("audio", Link("u")),
        finish=Finish("stop", "END"),
    )  # fmt: skip
    message = body["choices"][0]["message"]
    assert body["created"] == 5
    assert message["content"] == "abcd"
    assert message["annotations"][0]["url_citation"]["start_index"] == 2
    assert message["reasoning_content"] == "onetwothree"
    assert [detail["id"] for detail in message["reasoning_details"]] == [
        "reasoning_0:3",
        "reasoning_1:3",
        "reasoning_2:0",
        "reasoning_3:0",  # of the text
    ]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "AAAA"}}
    assert message["tool_calls"][1]["custom"] == {"name": "g", "input": "free"}
    assert len(message["images"]) == 1
    assert {loss.path for loss in losses} == {
        "answer.citations",
        "answer.blocks",
        "answer.finish",
    }
    again = parse_answer(json.dumps(body).encode())[0]
    assert again.blocks[:3] == (
        Reasoning("one", Signature("claude", "Eq1")), Reasoning("two", Signature("claude", "Eq2")),
        Reasoning("", Signature("claude", "Eq3"), redacted=True),
    )  # fmt: skip
    assert again.blocks[3:5] == (Reasoning("", GEMINI), Reasoning("three"))


def test_reasons() -> None:
    assert build(Text("x"))[0]["choices"][0]["finish_reason"] == "stop"
    assert build(Text("x"), finish=Finish("refusal"))[0]["choices"][0]["finish_reason"] == "content_filter"
    assert build(Refusal("x"), finish=Finish("refusal"))[0]["choices"][0]["finish_reason"] == "stop"


def test_counts_of_every_server() -> None:
    assert parse_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}) == TokenUsage(
        9, 2, cached=4
    )
    usage = TokenUsage(9, 5, 4, 3, 2, audio_input=1, audio_output=1, image_input=1)
    assert parse_usage(build_usage(usage, Losses())) == usage
    assert parse_usage(
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 5, "cached_creation_tokens": 5}}
    ) == TokenUsage(1, cached=1)


def test_extras_come_back() -> None:
    answer, _ = parse_answer(json.dumps({"id": "c", "choices": [], "moderation": {"x": 1}}).encode())
    assert json.loads(build_answer(answer, AnswerContext())[0])["moderation"] == {"x": 1}


def test_signed_calls_of_googles_own_endpoint() -> None:
    call = {
        "id": "c",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "AAAA"}},
    }
    assert read(tool_calls=[call]).blocks == (ToolCall("c", "f", "{}", signature=GEMINI),)


def test_probabilities() -> None:
    tokens = [{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}]
    body = json.loads(by_name("chat.response.plain-text.json"))
    body["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    answer, _ = parse_answer(json.dumps(body).encode())
    assert answer.choices[0].logprobs == tuple(tokens)
    assert json.loads(build_answer(answer, AnswerContext())[0])["choices"][0]["logprobs"]["content"] == tokens


def test_the_provider_s_explanation_stands_beside_the_reason() -> None:
    answer = Answer("a", "m", (Choice((Text("x"),), Finish("malformed_call", detail="unreadable call")),))
    node = json.loads(build_answer(answer, AnswerContext())[0])
    assert node["choices"][0]["finish_message"] == "unreadable call"
    finish = parse_answer(json.dumps(node).encode())[0].finish
    assert finish is not None
    assert finish.detail == "unreadable call"


def test_a_refusal_without_words_reads_as_a_filter() -> None:
    body, losses = build_answer(Answer("a", "m", (Choice((), Finish("refusal")),)), AnswerContext())
    assert json.loads(body)["choices"][0]["finish_reason"] == "content_filter"
    assert [loss.path for loss in losses] == ["answer.finish"]


def test_a_signed_text_brings_its_signature_along() -> None:
    signed = Text("x", signature=Signature("gemini", "AAAA"))
    body, losses = build_answer(Answer("a", "m", (Choice((signed,), Finish("end")),)), AnswerContext())
    assert losses == ()
    assert parse_answer(body)[0].blocks == (Reasoning("", Signature("gemini", "AAAA")), Text("x"))
