"""Answers of generateContent."""

import json
from typing import Any

import pytest

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, FileId, Inline, Link, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.signature import Signature, unwrap, wrap_base64
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.gemini.answer import build_answer, is_base64, parse_answer
from dragoman.core.errors import BadAnswer
from tests.sdk import check_answer
from tests.strategies_chat import PNG
from tests.wire import by_name, fixtures

CONTEXT = AnswerContext()
END = Finish("end")


def read(name: str) -> Answer:
    answer, losses = parse_answer(by_name(f"gemini.response.{name}.json"))
    assert losses == ()
    return answer


def parse(*parts: Any, **candidate: Any) -> Choice:
    node = {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP", **candidate}]}
    return parse_answer(json.dumps(node).encode())[0].choices[0]


def build(*blocks: Any, finish: Finish | None = END, **choice: Any) -> tuple[Any, list[str]]:
    body, losses = build_answer(Answer("r", "m", (Choice(blocks, finish, **choice),)), CONTEXT)
    check_answer("gemini", body)
    return json.loads(body)["candidates"][0], [loss.path for loss in losses]


@pytest.mark.parametrize(
    "name",
    [f.name for f in fixtures("response") if f.dialect == "gemini" and "tools-without-ids" not in f.name],
)
def test_a_recorded_answer_is_written_as_it_was_read(name: str) -> None:
    answer, _ = parse_answer(by_name(name))
    built = json.loads(build_answer(answer, CONTEXT)[0])
    recorded = json.loads(by_name(name))
    for candidate in recorded.get("candidates", ()):  # zero values that may be left out
        candidate.setdefault("index", 0)
        if not candidate.get("content"):
            candidate["content"] = {"role": "model", "parts": [{"text": ""}]}
    recorded.setdefault("modelVersion", "")
    if "usageMetadata" in recorded:
        recorded["usageMetadata"].setdefault("candidatesTokenCount", 0)
        recorded["usageMetadata"].pop("promptTokensDetails", None)
    assert built == recorded


def test_calls_without_ids_get_two() -> None:
    first, second = (block for block in read("tools-without-ids").blocks if isinstance(block, ToolCall))
    assert first.id != second.id
    assert first.id.startswith("call_")
    assert read("tools-without-ids").blocks[1] == first
    assert read("tools-without-ids").finish == Finish("tool", raw=("gemini", "STOP"))
    same = parse({"functionCall": {"name": "f", "id": "x"}}, {"functionCall": {"name": "f", "id": "x"}}).blocks
    assert len({block.id for block in same if isinstance(block, ToolCall)}) == 2


def test_endings() -> None:
    assert read("prompt-blocked-no-candidates").choices == (
        Choice((), Finish("filter", raw=("gemini", "blocked:PROHIBITED_CONTENT"))),
    )
    broken = read("malformed-function-call").finish
    assert broken == Finish(
        "malformed_call", raw=("gemini", "MALFORMED_FUNCTION_CALL"), detail="Malformed function call: now("
    )
    assert read("max-tokens-cut").finish == Finish("length", raw=("gemini", "MAX_TOKENS"))
    assert parse({"functionCall": {"name": "f"}}, finishReason="MAX_TOKENS").finish == Finish(
        "length", raw=("gemini", "MAX_TOKENS")
    )
    assert parse(finishReason=None).finish == Finish("other", raw=("gemini", ""))


def test_usage_counts_thoughts_apart() -> None:
    usage = read("cached-thoughts-tooluse-usage").usage
    assert usage == TokenUsage(input=2056, output=300, cached=1920, reasoning=256, tool_input=50)


def test_sources_become_citations() -> None:
    assert read("grounding-citations").blocks == (
        Text("See Example.", (Citation("https://example.org/x", "Example", 4, 11),)),
    )


def test_parts_and_signatures() -> None:
    own = Signature("gemini", "CiQB")
    blocks = parse(
        {"text": "a", "thought": True},
        {"text": "b", "thought": True, "thoughtSignature": "CiQB"},
        {"text": "c", "thought": True},
        {"text": "d"},
        {"text": "", "thoughtSignature": "CiQB"},
        {"text": "", "thoughtSignature": "CiQB"},
        {"text": "e", "thoughtSignature": "CiQB"},
        {"text": "f"},
        {"text": ""},
        {"text": "", "thoughtSignature": wrap_base64(Signature("claude", "x", "redacted"))},
        {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": "CiQB"},
        {"fileData": {"fileUri": "gs://a"}},
        {"executableCode": {"code": "1"}},
        {"partMetadata": {}},
    ).blocks
    assert blocks == (
        Reasoning("ab", own),
        Reasoning("c"),
        Text("d", signature=own),
        Reasoning("", own),
        Text("e", signature=own),
        Text("f"),
        Reasoning("", Signature("claude", "x"), redacted=True),
        Media("image", Inline("image/png", PNG), signature=own),
        Media("document", Link("gs://a")),
        Opaque("gemini", "executableCode", {"executableCode": {"code": "1"}}),
    )


def test_odd_types_count_as_absent() -> None:
    node = {
        "candidates": [
            {"content": {"parts": [{"text": 7}, {"text": "ok"}, {"functionCall": {"name": "f", "args": 7}}, {"functionCall": 7}, {"inlineData": 7}]}, "index": "x"},
            {"content": {"parts": [{"text": "two", "thoughtSignature": 7}]}, "finishReason": "STOP"},
        ],
        "promptFeedback": {"safetyRatings": []},
        "usageMetadata": [],
    }  # fmt: skip
    answer, _ = parse_answer(json.dumps(node).encode())
    first, second = answer.choices
    assert isinstance(first.blocks[0], Text)
    assert [type(block) for block in first.blocks] == [Text, ToolCall]
    assert second.blocks == (Text("two"),)
    assert answer.extras == Extras("gemini", {"promptFeedback": {"safetyRatings": []}})


def test_snake_case_is_read() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"function_call":{"name":"f","args":{"a_b":1}}}]},"finish_reason":"STOP"}]}'
    call = parse_answer(body)[0].blocks[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"a_b":1}'


def test_what_is_no_answer() -> None:
    for body in (b"{}", b'{"candidates":[]}', b"[]", b'{"candidates":' + b"[" * 480 + b"]" * 480 + b"}"):
        with pytest.raises(BadAnswer):
            parse_answer(body)
    fault = parse_answer(b'{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}')[0].fault
    assert fault is not None
    assert (fault.kind, fault.message) == ("overloaded", "busy")


# ---- out


def test_signatures_travel_as_base64() -> None:
    foreign, odd = Signature("claude", "a~b"), Signature("gemini", "not base64!")
    node, lost = build(
        Reasoning("t", foreign), Reasoning("", foreign), Reasoning("", Signature("gemini", "CiQB")), Reasoning(""),
        Reasoning("", foreign, redacted=True), Text("x", signature=odd), ToolCall("c", "f", "{}", signature=Signature("gemini", "CiQB")),
        ToolCall("d", "g", "raw", "custom"), Refusal("no"),
    )  # fmt: skip
    parts = node["content"]["parts"]
    assert unwrap(parts[0]["thoughtSignature"]) == foreign
    assert parts[1]["thought"] is True
    assert parts[2] == {"text": "", "thoughtSignature": "CiQB"}
    assert unwrap(parts[3]["thoughtSignature"]) == Signature("claude", "a~b", "redacted")
    assert unwrap(parts[4]["thoughtSignature"]) == odd
    assert parts[5]["thoughtSignature"] == "CiQB"
    assert parts[6]["functionCall"]["args"] == {"input": "raw"}
    assert parts[7] == {"text": "no"}
    assert all(is_base64(part.get("thoughtSignature", "")) for part in parts)
    assert lost == []
    assert is_base64("skip_thought_signature_validator")


def test_media_and_what_has_no_form() -> None:
    node, lost = build(
        Media("image", Inline("", PNG)), Media("image", Inline("image/png", "!")), Media("video", Link("gs://a", "video/mp4")),
        Media("video", Link("gs://b")), Media("image", FileId("f", "openai_chat")), Opaque("claude", "x", {}),
        Opaque("gemini", "executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}),
    )  # fmt: skip
    assert node["content"]["parts"] == [
        {"inlineData": {"mimeType": "application/octet-stream", "data": PNG}},
        {"fileData": {"fileUri": "gs://a", "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "gs://b"}},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
    ]
    assert lost == ["answer.blocks"] * 3


def test_citations_name_their_part() -> None:
    cited = Text(
        "Blåbær!",
        (Citation("https://a", "A", 0, 6), Citation("https://a", "A"), Citation("https://b", None, 6, 7), Citation()),
    )
    node, lost = build(Text("first"), cited)
    assert node["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 0, "endIndex": 8, "partIndex": 1, "text": "Blåbær"},
                "groundingChunkIndices": [0],
            },
            {"segment": {"startIndex": 8, "endIndex": 9, "partIndex": 1, "text": "!"}, "groundingChunkIndices": [1]},
        ],
    }
    assert lost == ["answer.citations"]


def test_a_call_cut_by_the_limit_is_left_out() -> None:
    node, lost = build(Text("a"), ToolCall("c", "f", '{"a":'), finish=Finish("length"))
    assert node["content"]["parts"] == [{"text": "a"}]
    assert lost == ["answer.tool_calls"]
    node, lost = build(ToolCall("c", "f", '{"a":'), finish=Finish("tool"))
    assert node["content"]["parts"][0]["functionCall"]["args"] == {"__raw_arguments": '{"a":'}
    assert lost == []


def test_fields_of_a_candidate_come_back() -> None:
    rated = Extras("gemini", {"safetyRatings": [], "avgLogprobs": -0.5})
    assert build(Text("a"), extras=rated)[0]["avgLogprobs"] == -0.5
    tokens = ({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []},)
    assert build(Text("a"), logprobs=tokens)[0]["logprobsResult"]["chosenCandidates"] == [
        {"token": "a", "logProbability": -0.5}
    ]
    assert "finishReason" in build(Text("a"), finish=None)[0]
