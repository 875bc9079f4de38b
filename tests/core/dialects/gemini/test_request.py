"""Requests of generateContent."""

import json
from typing import Any

import pytest

from dragoman.core.chat.blocks import (
    CacheMark,
    Citation,
    FileId,
    Inline,
    Link,
    Media,
    Nested,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message, OutputFormat, Thinking, ToolChoice
from dragoman.core.chat.signature import Signature, wrap_base64
from dragoman.core.chat.target import ANYBODY, ModelFacts, Target
from dragoman.core.dialects.gemini.request import build_request, parse_request
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.thinking import facts_of
from tests.sdk import check_request
from tests.strategies_chat import PNG
from tests.wire import by_name

HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
HI = Message("user", (Text("Hi"),))


def parse(node: Any, **more: Any) -> ChatRequest:
    return parse_request(json.dumps({**HELLO, **node}).encode(), **more)[0]


def build(request: ChatRequest, target: Target = ANYBODY) -> tuple[Any, list[str]]:
    body, losses = build_request(request, target)
    check_request("gemini", body)
    return json.loads(body), [loss.path for loss in losses]


def asked(*messages: Message, model: str = "gemini-3-pro", **more: Any) -> ChatRequest:
    return ChatRequest(model, messages, **more)


# ---- there and back


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("plain-text", "gemini-3-flash"),
        ("multiturn-parallel-tools", "gemini-3-flash"),
        ("tool-result-image-in-response-parts", "gemini-3-flash"),
        ("thinking-budget-and-sampling", "gemini-2.5-pro"),
        ("thinking-level-forced-tool", "gemini-3-flash"),
        ("structured-json-schema", "gemini-3-flash"),
        ("foreign-history-bypass-sentinel", "gemini-3-flash"),
        ("google-search-and-code", "gemini-3-flash"),
    ],
)
def test_a_recorded_request_is_written_as_it_was_read(name: str, model: str) -> None:
    body = by_name(f"gemini.request.{name}.json")
    request, losses = parse_request(body, model=model)
    assert losses == ()
    node, lost = build(request)
    assert node == json.loads(body)
    assert lost == []


def test_media_beside_a_result_follows_it() -> None:
    request, _ = parse_request(by_name("gemini.request.tool-result-image-as-sibling-part.json"), model="gemini-2.5-pro")
    call, result = request.messages[1].content[0], request.messages[2].content[0]
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.id == result.call_id != ""
    assert isinstance(request.messages[2].content[1], Media)
    assert (
        parse_request(build_request(request, ANYBODY)[0], model="gemini-2.5-pro")[0].messages[1] == request.messages[1]
    )


def test_the_old_schema_becomes_json_schema() -> None:
    request, _ = parse_request(by_name("gemini.request.openapi-schema-proto.json"))
    tool = request.tools[0]
    assert isinstance(tool, FunctionTool)
    assert tool.schema == {
        "type": "object",
        "properties": {"dir": {"type": "string", "enum": ["N", "S"]}, "n": {"type": ["integer", "null"]}},
        "required": ["dir"],
        "propertyOrdering": ["dir", "n"],
    }
    assert request.output == OutputFormat("schema", {"type": "array", "items": {"type": "string"}})
    node, _ = build(request, Target(model="gemini-2.0-flash"))
    original = json.loads(by_name("gemini.request.openapi-schema-proto.json"))
    assert node["tools"] == original["tools"]
    assert node["generationConfig"] == original["generationConfig"]
    assert build(request, Target(model="gemini-3-pro", is_official=False))[0]["tools"] == original["tools"]


def test_keys_of_either_case() -> None:
    body = by_name("gemini.request.snake-case-and-urlsafe-base64-mixed.json")
    request, _ = parse_request(body)
    image, answer = request.messages[0].content[0], request.messages[1].content[0]
    assert isinstance(image, Media)
    assert isinstance(image.source, Inline)
    assert image.source == Inline("image/png", PNG)
    assert isinstance(answer, Text)
    assert answer.signature == Signature("gemini", "CiQBjz1rX9a-Zm9v_3Rlc3Qtc2lnbmF0dXJl")
    assert request.instructions == (Text("short"),)
    assert (request.max_tokens, request.thinking) == (20, Thinking("auto", show="auto"))
    tool = request.tools[0]
    assert isinstance(tool, FunctionTool)
    assert tool.schema is not None
    assert tool.schema["properties"] == {"max_output_tokens": {"type": "integer"}}


def test_numbers_as_proto_json_writes_them() -> None:
    config = {"topK": 40.0, "maxOutputTokens": "64", "seed": "-7", "topP": 0.5}
    request = parse({"generationConfig": config})
    assert (request.top_k, request.max_tokens, request.seed, request.top_p) == (40, 64, -7, 0.5)


def test_what_the_path_says_counts() -> None:
    assert parse({"model": "models/a"}).model == "a"
    request = parse({"model": "models/a"}, model="models/b", stream=True)
    assert (request.model, request.stream) == ("b", True)


def test_lenient_forms() -> None:
    request = parse({"contents": {"parts": {"text": "one"}}, "systemInstruction": "be short"})
    assert request.messages == (Message("user", (Text("one"),)),)
    assert request.instructions == (Text("be short"),)
    assert parse({"contents": "just text"}).messages == (Message("user", (Text("just text"),)),)
    assert parse({"contents": [{"parts": ["a", {"text": "b"}, {}]}]}).messages[0].content == (Text("a"), Text("b"))
    assert parse({"contents": [{"role": "system"}]}).messages == (Message("system", ()),)
    _, losses = parse_request(json.dumps({**HELLO, "systemInstruction": {"parts": [{"inlineData": {}}]}}).encode())
    assert [loss.path for loss in losses] == ["instructions"]


@pytest.mark.parametrize(
    ("node", "param"),
    [
        ({"contents": None}, "contents"),
        ({"contents": [{"role": "boss"}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "HOW"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"generationConfig": {"maxOutputTokens": "many"}}, "generationConfig.maxOutputTokens"),
    ],
)
def test_mistakes_are_named(node: Any, param: str) -> None:
    with pytest.raises(BadRequest) as found:
        parse(node)
    assert found.value.param == param


def test_too_deep_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        parse_request(b'{"contents":' + b"[" * 480 + b"]" * 480 + b"}")


# ---- what only Gemini has


def test_unknown_fields_come_back() -> None:
    node = {
        "contents": [
            {"role": "user", "tag": 1, "parts": [{"text": "Hi", "partMetadata": {"a_b": 1}}, {"videoMetadata": {"fps": 2}, "fileData": {"fileUri": "gs://b/v.mp4", "mimeType": "video/mp4"}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "1", "args": {}, "willContinue": True}, "thoughtSignature": "CiQB"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "1", "response": {"output": "x"}, "scheduling": "SILENT"}, "partMetadata": {}}]},
            {"role": "model", "parts": [{"executableCode": {"code": "1", "language": "PYTHON"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}]},
        ],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "cachedContent": "cachedContents/1",
        "generationConfig": {"temperature": 1, "mediaResolution": "MEDIA_RESOLUTION_LOW"},
        "toolConfig": {"retrievalConfig": {"languageCode": "da"}, "functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True}},
        "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}, {"googleSearch": {"timeRangeFilter": {}}}, {"urlContext": {}}],
        "serviceTier": "flex",
        "store": False,
    }  # fmt: skip
    request, losses = parse_request(json.dumps(node).encode(), model="gemini-3-pro")
    assert losses == ()
    built, lost = json.loads(build_request(request, ANYBODY)[0]), build_request(request, ANYBODY)[1]
    del node["contents"][0]["tag"]  # type: ignore[index]
    assert built["contents"][0].pop("tag") == 1
    assert built == node
    assert lost == ()


def test_tiers() -> None:
    assert parse({"serviceTier": "STANDARD"}).service_tier == "default"
    assert build(asked(HI, service_tier="default"))[0]["serviceTier"] == "standard"
    assert build(asked(HI, service_tier="auto")) == (HELLO, [])
    assert build(asked(HI, service_tier="scale"))[1] == ["service_tier"]


# ---- thinking


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({"thinkingBudget": 0}, Thinking("off")),
        ({"thinkingBudget": -1}, Thinking("auto")),
        ({"thinkingBudget": 512, "includeThoughts": False}, Thinking("budget", budget=512, show="off")),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, Thinking("level", level="high", show="auto")),
        ({"includeThoughts": True}, Thinking(show="auto")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
    ],
)
def test_thinking_is_read(config: Any, thinking: Thinking | None) -> None:
    assert parse({"generationConfig": {"thinkingConfig": config}}).thinking == thinking


def test_level_and_budget_do_not_go_together() -> None:
    node = {**HELLO, "generationConfig": {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 5}}}
    request, losses = parse_request(json.dumps(node).encode())
    assert request.thinking == Thinking("level", level="low")
    assert [loss.path for loss in losses] == ["thinking.budget"]


@pytest.mark.parametrize(
    ("model", "facts", "thinking", "config", "lost"),
    [
        ("gemini-2.5-pro", None, Thinking("budget", budget=512), {"thinkingBudget": 512}, []),
        ("gemini-2.5-pro", None, Thinking("level", level="low"), {"thinkingBudget": 1024}, ["thinking.level"]),
        ("gemini-2.5-pro", None, Thinking("auto", show="auto"), {"includeThoughts": True, "thinkingBudget": -1}, []),
        ("gemini-2.5-flash", None, Thinking("off", show="auto"), {"thinkingBudget": 0}, []),
        ("gemini-3-pro", None, Thinking("level", level="high", show="off"), {"includeThoughts": False, "thinkingLevel": "HIGH"}, []),
        ("gemini-3-pro", None, Thinking("level", level="medium"), {"thinkingLevel": "LOW"}, ["thinking.level"]),
        ("gemini-3-pro", None, Thinking("budget", budget=512), {"thinkingBudget": 512}, []),
        ("unknown", None, Thinking("level", level="max"), {"thinkingLevel": "XHIGH"}, ["thinking.level"]),
        ("gemini-2.9", None, Thinking("level", level="high"), {"thinkingBudget": 24576}, ["thinking.level"]),
        ("x", ModelFacts(True, levels=("low", "high")), Thinking("budget", budget=9000), {"thinkingLevel": "HIGH"}, ["thinking.budget"]),
        ("x", None, Thinking(show="detailed"), {"includeThoughts": True}, ["thinking.show"]),
        ("x", None, Thinking(), None, []),
        ("x", None, Thinking("level"), None, []),
        ("x", None, Thinking("budget"), None, []),
    ],
)  # fmt: skip
def test_thinking_is_written_as_the_model_takes_it(
    model: str, facts: ModelFacts | None, thinking: Thinking, config: Any, lost: list[str]
) -> None:
    target = Target(model, facts=facts or facts_of(model))
    node, losses = build(asked(HI, thinking=thinking), target)
    assert node.get("generationConfig", {}).get("thinkingConfig") == config
    assert losses == lost


# ---- output


def test_forms_of_output() -> None:
    for output, config in (
        (OutputFormat("text"), {"responseMimeType": "text/plain"}),
        (OutputFormat("json"), {"responseMimeType": "application/json"}),
    ):
        assert build(asked(HI, output=output)) == ({**HELLO, "generationConfig": config}, [])
        assert parse({"generationConfig": config}).output == output
    enum = {"responseMimeType": "text/x.enum", "responseJsonSchema": {"type": "string", "enum": ["a"]}}
    request = parse({"generationConfig": enum})
    assert build(request)[0]["generationConfig"] == enum
    odd = OutputFormat("schema", {"type": "object", "not": {}}, "n", "d", strict=True)
    node, lost = build(asked(HI, output=odd))
    assert node["generationConfig"]["responseJsonSchema"] == {"type": "object", "description": "(not: {})"}
    assert lost == ["output.schema", "output.description", "output.name"]
    assert build(asked(HI, output=OutputFormat("schema")))[0]["generationConfig"] == {
        "responseMimeType": "application/json"
    }


# ---- the conversation


def test_instructions() -> None:
    messages = (
        Message("system", (Text("one"), Media("image", Inline("image/png", PNG)))),
        HI,
        Message("developer", (Text("two"),)),
        Message("assistant", (Text("Yes?"),)),
    )
    node, lost = build(asked(*messages, instructions=(Text("zero"),)))
    assert node["systemInstruction"]["parts"] == [{"text": "zero"}, {"text": "one"}]
    assert node["contents"][0]["parts"][1] == {"text": "<system-reminder>\ntwo\n</system-reminder>"}
    assert lost == ["messages", "messages[0].content[1]"]


def test_something_has_to_be_said() -> None:
    node, lost = build(asked(instructions=(Text("a"), Text("b"))))
    assert node == {
        "contents": [{"role": "user", "parts": [{"text": "b"}]}],
        "systemInstruction": {"role": "user", "parts": [{"text": "a"}]},
    }
    assert lost == ["messages"]
    assert build(asked())[0]["contents"] == [{"role": "user", "parts": [{"text": "(no message)"}]}]
    empty = asked(Message("assistant", (Reasoning("x", Signature("claude", "s")),)))
    assert build(empty)[0]["contents"][0]["role"] == "user"


def test_the_user_begins_when_tools_are_called() -> None:
    node, lost = build(asked(Message("assistant", (ToolCall("c", "f", "{}"),))))
    assert [content["role"] for content in node["contents"]] == ["user", "model", "user"]
    assert lost == ["messages", "messages"]


def test_results_stand_alone_and_in_the_order_of_the_calls() -> None:
    calls = (ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{oops"))
    image = Media("image", Inline("image/png", PNG))
    results = (ToolResult("c2", (Text("a"), image, Text("b"))), Text("so?"), ToolResult("c1", (Text('{"a":1}'),)))
    request = asked(HI, Message("assistant", calls), Message("user", results))
    node, lost = build(request)
    _, model, answers, question = node["contents"]
    assert model["parts"][1]["functionCall"]["args"] == {"__raw_arguments": "{oops"}
    assert answers["parts"] == [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"a": 1}}},
        {
            "functionResponse": {
                "id": "c2",
                "name": "g",
                "response": {"output": "a\nb"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
            }
        },
    ]
    assert question["parts"] == [{"text": "so?"}]
    assert lost == ["messages[2].content[0]"]
    node, lost = build(request, Target("gemini-2.5-pro"))
    assert [list(part) for part in node["contents"][2]["parts"]] == [["functionResponse"]] * 2 + [["inlineData"]]
    assert lost == ["messages[2].content[0]"] * 2
    node, _ = build(asked(HI, Message("assistant", calls), Message("user", results[:1] + results[2:])))
    assert [part.get("thoughtSignature") for part in node["contents"][1]["parts"]] == [
        "skip_thought_signature_validator",
        None,
    ]


def test_only_calls_of_the_current_turn_are_vouched_for() -> None:
    def step(n: int, sign: Signature | None = None) -> tuple[Message, Message]:
        call = Message("assistant", (ToolCall(f"c{n}", "f", "{}", signature=sign), ToolCall(f"d{n}", "f", "{}")))
        return call, Message("user", (ToolResult(f"c{n}"), ToolResult(f"d{n}")))

    own, foreign = Signature("gemini", "CiQB"), Signature("claude", "RXF")
    node, _ = build(asked(HI, *step(1), HI, *step(2, own), *step(3, foreign), *step(4)))
    parts = [part for content in node["contents"] for part in content["parts"] if "functionCall" in part]
    skip = "skip_thought_signature_validator"
    assert [part.get("thoughtSignature") for part in parts] == [None, None, "CiQB", None, skip, None, skip, None]


def test_reasoning_goes_back_to_its_maker_only() -> None:
    own, foreign = Signature("gemini", "CiQB"), Signature("claude", "RXF")
    said = (
        Reasoning("mine", own),
        Reasoning("theirs", foreign),
        Reasoning("unsigned"),
        Reasoning("", own),
        Reasoning(""),
        Reasoning("", own, redacted=True),
        Text("a", signature=own),
        Text("b", signature=foreign, citations=(Citation("u"),)),
        Text(""),
        Refusal("no"),
        Refusal(""),
        Opaque("claude", "server_tool_use", {}),
        Opaque("gemini", "executableCode", {"executableCode": {"code": "1"}}),
    )
    node, lost = build(asked(HI, Message("assistant", said)))
    assert node["contents"][1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "CiQB"},
        {"text": "unsigned", "thought": True},
        {"text": "", "thoughtSignature": "CiQB"},
        {"text": "a", "thoughtSignature": "CiQB"},
        {"text": "b"},
        {"text": "no"},
        {"executableCode": {"code": "1"}},
    ]
    at = "messages[1].content"
    assert lost == [f"{at}[1]", f"{at}[5]", f"{at}[7].citations", f"{at}[7].signature", f"{at}[11]"]
    assert "RXF" not in json.dumps(node)


def test_wrapped_signatures_come_out_of_a_gemini_client() -> None:
    foreign = Signature("claude", "RXF")
    parts = [
        {"text": "thought", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": wrap_base64(foreign)},
        {"text": "", "thought": True, "thoughtSignature": wrap_base64(Signature("claude", "enc", "redacted"))},
        {"thoughtSignature": "CiQB"},
        {"text": "said", "thoughtSignature": "CiQB"},
    ]
    request = parse({"contents": [{"role": "model", "parts": parts}]})
    assert request.messages[0].content == (
        Reasoning("thought", foreign),
        Reasoning("", Signature("claude", "enc"), redacted=True),
        Reasoning("", Signature("gemini", "CiQB")),
        Text("said", signature=Signature("gemini", "CiQB")),
    )


def test_media() -> None:
    said = (
        Media("image", Link("https://img.example/a.png?x=1"), "high"),
        Media("video", Link("https://www.youtube.com/watch?v=1")),
        Media(
            "document", Link("https://generativelanguage.googleapis.com/v1beta/files/abc", "application/pdf"), cite=True
        ),
        Media("document", Link("gs://bucket/thing")),
        Media("audio", Inline("", "AAAA"), filename="a.wav"),
        Media("document", FileId("file-1", "openai_chat")),
        Media("document", Nested((Text("inner"), Media("image", Inline("image/png", PNG)))), "auto", context="c"),
    )
    node, lost = build(asked(Message("user", said)))
    assert node["contents"][0]["parts"] == [
        {"fileData": {"fileUri": "https://img.example/a.png?x=1", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1", "mimeType": "video/mp4"}},
        {
            "fileData": {
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                "mimeType": "application/pdf",
            }
        },
        {"fileData": {"fileUri": "gs://bucket/thing"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"text": "inner"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ]
    at = "messages[0].content"
    assert lost == [
        f"{at}[0].detail",
        f"{at}[0]",
        f"{at}[2].cite",
        f"{at}[4].filename",
        f"{at}[4]",
        f"{at}[5]",
        f"{at}[6]",
    ]
    kinds = [
        {"fileData": {"fileUri": "https://youtu.be/1"}},
        {"fileData": {"fileUri": "https://x.example/a.MP3#t", "displayName": "d"}},
        {"inlineData": {"mimeType": "AUDIO/WAV", "data": "__8"}},
    ]
    content = parse({"contents": [{"parts": kinds}]}).messages[0].content
    assert [block.kind for block in content if isinstance(block, Media)] == ["video", "audio", "audio"]
    last = content[2]
    assert isinstance(last, Media)
    assert last.source == Inline("audio/wav", "//8=")


def test_results_of_odd_content() -> None:
    odd = ToolResult(
        "c", (Opaque("claude", "search_result", {}), Refusal("no"), Media("document", Nested((Text("t"),))))
    )
    node, lost = build(asked(HI, Message("assistant", (ToolCall("c", "f", ""),)), Message("user", (odd,))))
    assert node["contents"][2]["parts"] == [
        {"functionResponse": {"id": "c", "name": "f", "response": {"output": ""}}},
        {"text": "t"},
    ]
    assert lost == ["messages[2].content[0]"] * 3


def test_what_gemini_cannot_say() -> None:
    with pytest.raises(Untranslatable):
        build(asked(HI, previous_response_id="r"))
    request = asked(
        Message("user", (Text("Hi", cache=CacheMark()),), cache=CacheMark(), name="Ada"),
        tools=(FunctionTool("f", cache=CacheMark()),),
        stop=tuple("abcdef"),
        extras=Extras("gemini", {"code_assist": {"project": "p"}}),
    )
    assert build(asked(HI, parallel_tool_calls=False))[1] == ["parallel_tool_calls"]
    node, lost = build(request)
    assert node["generationConfig"]["stopSequences"] == list("abcde")
    assert lost == ["messages.name", "stop", "cache", "project"]
    assert build(asked(HI, tool_choice=ToolChoice("any")))[1] == ["tool_choice"]
    assert build(asked(HI, tool_choice=ToolChoice("auto")))[1] == []


def test_a_call_that_was_only_vouched_for_has_no_signature() -> None:
    part = {
        "functionCall": {"name": "f", "args": {}, "id": "c"},
        "thoughtSignature": "skip_thought_signature_validator",
    }
    call = parse({"contents": [{"role": "model", "parts": [part]}]}).messages[0].content[0]
    assert isinstance(call, ToolCall)
    assert call.signature is None


def test_what_stands_on_an_instruction_is_told_and_its_image_stays() -> None:
    later = Message("system", (Text("look"), Media("image", Inline("image/png", "AAAA"))), name="x", phase="commentary")
    body, losses = build_request(ChatRequest("m", (HI, Message("assistant", (Text("a"),)), later, HI)), ANYBODY)
    assert b"AAAA" in body
    assert {("messages.name", "dropped"), ("messages.phase", "hint")} <= {(loss.path, loss.kind) for loss in losses}
