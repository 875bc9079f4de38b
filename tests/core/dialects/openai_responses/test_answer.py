"""Whole answers of Responses: what is special to them."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Answer, Choice, Finish, FinishKind
from dragoman.core.chat.blocks import (
    Citation,
    Inline,
    Link,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.request import ChatRequest, OutputFormat, Thinking
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import AnswerContext
from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES
from dragoman.core.errors import BadAnswer
from tests.sdk import check_answer
from tests.wire import by_name

NAME = "openai_responses"
NUMBERS: Any = {"a": 1}


def parse(**fields: Any) -> Answer:
    return OPENAI_RESPONSES.parse_answer(json.dumps({"id": "resp_1", "model": "m", **fields}).encode())[0]


def build(*blocks: Any, finish: Finish | None = None, **fields: Any) -> tuple[Any, set[str]]:
    choice = Choice(blocks, finish or Finish("end"), fields.pop("logprobs", None))
    context = AnswerContext(fields.pop("request", None), created=7)
    body, losses = OPENAI_RESPONSES.build_answer(Answer("chatcmpl-1", "m", (choice,), **fields), context)
    check_answer(NAME, body)
    return json.loads(body), {loss.path for loss in losses}


def test_a_recorded_answer_comes_back_through_the_hub() -> None:
    for name in ("reasoning-text-then-tool", "web-search-with-citations", "refusal-part", "cached-usage"):
        body = by_name(f"responses.response.{name}.json")
        answer, losses = OPENAI_RESPONSES.parse_answer(body)
        assert losses == ()
        node = json.loads(OPENAI_RESPONSES.build_answer(answer, AnswerContext())[0])
        recorded = json.loads(body)
        for item in recorded["output"]:  # two parts of a summary become one
            if len(item.get("summary", ())) == 2:
                item["summary"] = [{"type": "summary_text", "text": "Need the clock.\n\nThen answer."}]
            item["id"] = item["id"].replace(
                "msg_b1", f"msg_68a1_{len(recorded['output']) - 1 - ('rs_1' in str(recorded))}"
            )
        assert node["output"] == recorded["output"]
        assert (node["usage"], node["id"], node["status"]) == (recorded["usage"], recorded["id"], "completed")


def test_parts_are_within_their_wholes() -> None:
    usage = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}, "output_tokens": 1,
             "output_tokens_details": {"reasoning_tokens": 4}}  # fmt: skip
    assert parse(output=[], usage=usage).usage == TokenUsage(5, 1, 5, 0, 1)
    node, _ = build(usage=TokenUsage(5, 1))
    assert node["usage"] == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"status": "completed"}, "end"),
        ({}, "end"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": "incomplete"}, "other"),
    ],
)
def test_the_state_says_why_it_ended(fields: Any, kind: FinishKind) -> None:
    finish = parse(output=[], **fields).finish
    assert finish is not None
    assert finish.kind == kind


def test_a_failed_response_is_a_fault() -> None:
    for fields in ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "try again in 2s"}},
                   {"error": {"code": "rate_limit_exceeded", "message": "try again in 2s"}, "output": []}):  # fmt: skip
        fault = parse(**fields).fault
        assert fault is not None
        assert (fault.kind, fault.retry_after) == ("rate_limit", 2.0)
    fault = parse(status="cancelled", output=[]).fault
    assert fault is not None
    assert fault.kind == "internal"
    with pytest.raises(BadAnswer):
        parse(status="completed")


def test_odd_items_are_losses_not_errors() -> None:
    items = [
        {"type": "function_call", "call_id": "c"},
        {"type": "message", "role": "assistant", "content": [{"type": 7}]},
    ]
    answer, losses = OPENAI_RESPONSES.parse_answer(json.dumps({"output": items, "created_at": 1.5}).encode())
    assert answer.blocks == ()
    assert answer.created == 1
    assert len(losses) == 2
    assert parse(output=[], created_at="now").created is None


def test_an_item_without_a_type_can_be_told_again() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    answer = parse(output=[{"id": "x_1", "text": "?"}], **cut)
    assert json.loads(OPENAI_RESPONSES.build_answer(answer, AnswerContext())[0])["output"] == [
        {"id": "x_1", "text": "?"}
    ]


def test_a_phase_and_probabilities_come_back() -> None:
    tokens = [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]
    part = {"type": "output_text", "text": "a", "annotations": [], "logprobs": tokens}
    items = [
        {"id": "msg_1_0", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary", "content": [part]},
        {"id": "msg_1_1", "type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "b", "annotations": []}, {"type": "refusal", "refusal": "c"}]},
    ]  # fmt: skip
    answer = parse(output=items)
    assert answer.choices[0].logprobs == tuple(tokens)
    assert json.loads(OPENAI_RESPONSES.build_answer(answer, AnswerContext())[0])["output"] == items


def test_reasoning_of_others_travels_wrapped() -> None:
    node, lost = build(
        Reasoning("why", Signature("claude", "EqQB")),
        Reasoning("", Signature("claude", "EmwK"), redacted=True),
        Reasoning("raw", Signature("openai", "gAAA"), is_summary=False, item_id="rs_9"),
        Text("so", signature=Signature("gemini", "c2ln")),
        ToolCall("c", "f", "", signature=Signature("gemini", "c2ln")),
        ToolCall("d", "g", "x", "custom", "space"),
        finish=Finish("tool"),
    )
    assert lost == set()
    kinds = [(item["type"], item.get("encrypted_content")) for item in node["output"]]
    assert kinds == [
        ("reasoning", "sig1~claude~~EqQB"), ("reasoning", "sig1~claude~redacted~EmwK"), ("reasoning", "gAAA"), ("message", None),
        ("reasoning", "sig1~gemini~~c2ln"), ("reasoning", "sig1~gemini~~c2ln"), ("function_call", None),
        ("custom_tool_call", None),
    ]  # fmt: skip
    assert node["output"][2]["content"] == [{"type": "reasoning_text", "text": "raw"}]
    assert node["output"][2]["id"] == "rs_9"
    assert node["output"][6]["arguments"] == "{}"
    ids = [item["id"] for item in node["output"]]
    assert len(set(ids)) == len(ids)
    again = parse(output=node["output"])
    assert again.blocks[1] == Reasoning("", Signature("claude", "EmwK"), redacted=True)
    assert [b.signature for b in again.blocks if isinstance(b, ToolCall)] == [Signature("gemini", "c2ln"), None]


def test_images_and_items_of_its_own() -> None:
    search = {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    node, lost = build(
        Media("image", Inline("image/png", "iVBO")),
        Opaque(NAME, "web_search_call", search),
        Media("image", Link("https://i.example/a.png")),
        Opaque("claude", "x", {}),
        ToolResult("c"),
        Text(""),
        Refusal(""),
    )
    assert node["output"] == [
        {"id": "ig_1_0", "type": "image_generation_call", "status": "completed", "result": "iVBO"}, search,
    ]  # fmt: skip
    assert lost == {"answer.blocks"}


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("end", "completed", None), ("stop", "completed", None), ("length", "incomplete", "max_output_tokens"),
        ("context", "incomplete", "max_output_tokens"), ("filter", "incomplete", "content_filter"),
        ("recitation", "incomplete", "content_filter"), ("refusal", "incomplete", "content_filter"),
        ("pause", "completed", None), ("malformed_call", "completed", None), ("other", "completed", None),
    ],
)  # fmt: skip
def test_an_ending_is_a_state(kind: FinishKind, status: str, reason: str | None) -> None:
    node, lost = build(Text("x"), finish=Finish(kind))
    assert node["status"] == status
    assert node["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert lost == (set() if kind in ("end", "length", "filter") else {"answer.finish"})
    cut = "incomplete" if kind in ("length", "context", "filter", "recitation") else "completed"
    assert node["output"][0]["status"] == cut
    assert build(Refusal("no"), finish=Finish("refusal"))[0]["status"] == "completed"


def test_an_answer_repeats_the_request() -> None:
    asked = {
        "model": "m", "input": "Hi", "instructions": "Be brief.", "max_output_tokens": 99, "metadata": {"a": "b"},
        "parallel_tool_calls": False, "previous_response_id": "resp_0", "reasoning": {"effort": "high", "summary": "auto"},
        "temperature": 0.5, "text": {"format": {"type": "json_object"}, "verbosity": "low"}, "truncation": "auto",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": {"type": "function", "name": "f"}, "top_p": 0.9, "store": True, "service_tier": "flex",
        "prompt_cache_key": "k",
    }  # fmt: skip
    request, _ = OPENAI_RESPONSES.parse_request(json.dumps(asked).encode())
    node, _ = build(Text("x"), request=request)
    assert {key: node[key] for key in asked if key not in ("model", "input")} == {
        key: value for key, value in asked.items() if key not in ("model", "input")
    }
    odd = ChatRequest(
        "m", (), thinking=Thinking("off"), output=OutputFormat("text"), metadata=NUMBERS, service_tier="fast"
    )
    node, _ = build(request=odd)
    assert (node["metadata"], node["reasoning"]["effort"], node["store"]) == ({}, "none", False)
    assert "service_tier" not in node


def test_more_than_one_choice_is_a_loss() -> None:
    choice = Choice((Text("x"),), Finish("end"))
    body, losses = OPENAI_RESPONSES.build_answer(Answer("a", "m", (choice, choice)), AnswerContext())
    assert [loss.path for loss in losses] == ["answer.choices"]
    assert json.loads(OPENAI_RESPONSES.build_answer(Answer("a", "m", ()), AnswerContext())[0])["output"] == []
    assert json.loads(body)["created_at"] == 0


def test_citations_of_others() -> None:
    page = Extras(NAME, {"type": "file_citation", "file_id": "f", "filename": "n", "index": 3})
    node, lost = build(Text("abc", (Citation("https://a.example", None, 1, 2), Citation(), Citation(extras=page))))
    assert node["output"][0]["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "", "url": "https://a.example"}, page.fields,
    ]  # fmt: skip
    assert lost == {"answer.citations"}


@pytest.mark.parametrize(("kind", "message"), [("length", "why"), ("end", None)])
def test_only_an_incomplete_answer_is_explained(kind: FinishKind, message: str | None) -> None:
    answer = Answer("a", "m", (Choice((Text("x"),), Finish(kind, detail="why")),))
    body, losses = OPENAI_RESPONSES.build_answer(answer, AnswerContext())
    assert (json.loads(body)["incomplete_details"] or {}).get("message") == message
    assert [loss.path for loss in losses] == ([] if message else ["answer.finish.detail"])
    finish = OPENAI_RESPONSES.parse_answer(body)[0].finish
    assert finish is not None
    assert finish.detail == message


def test_a_refusal_without_words_reads_as_a_filter() -> None:
    answer = Answer("a", "m", (Choice((), Finish("refusal")),))
    body, losses = OPENAI_RESPONSES.build_answer(answer, AnswerContext())
    assert json.loads(body)["incomplete_details"] == {"reason": "content_filter"}
    assert [loss.path for loss in losses] == ["answer.finish"]
