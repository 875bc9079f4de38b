"""Requests of Chat Completions: what clients and compatible servers make of them."""

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
from dragoman.core.chat.loss import Extras, Loss
from dragoman.core.chat.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    OpaqueTool,
    OutputFormat,
    Thinking,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.chat.signature import Signature, wrap
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects.openai_chat.request import build_request, parse_request
from dragoman.core.errors import BadRequest, Untranslatable

HI = Message("user", (Text("Hi"),))
SERVER = Target(is_official=False)
GEMINI = Signature("gemini", "AAAA")


def build(request: ChatRequest, target: Target = ANYBODY) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    body, losses = build_request(request, target)
    return json.loads(body), losses


def parse(**fields: Any) -> ChatRequest:
    return parse_request(json.dumps({"model": "m", "messages": [], **fields}).encode())[0]


def said(**message: Any) -> Message:
    return parse(messages=[message]).messages[0]


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("m", messages or (HI,), **fields)


def paths(losses: tuple[Loss, ...]) -> set[str]:
    return {loss.path for loss in losses}


# ---- in


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, Thinking("off")),
        ({"reasoning_effort": "auto"}, Thinking("auto", show="auto")),
        ({"reasoning_effort": "xhigh"}, Thinking("level", level="xhigh", show="auto")),
        ({"reasoning": {"effort": "low", "exclude": True}}, Thinking("level", level="low", show="off")),
        ({"reasoning": {"max_tokens": 2000}}, Thinking("budget", budget=2000, show="auto")),
        ({"reasoning": {"max_tokens": 0}}, Thinking("off")),
        ({"reasoning": {"enabled": False}}, Thinking("off")),
        ({"reasoning": {"enabled": True}}, Thinking("auto", show="auto")),
        ({"reasoning": "odd"}, None),
    ],
)
def test_thinking_asked_for(fields: dict[str, Any], expected: Thinking | None) -> None:
    assert parse(**fields).thinking == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"role": "nobody"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[0].tool_calls[0].function"),
        ({"stop": 7}, "stop"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": {}}, "response_format.type"),
        ({"seed": True}, "seed"),
    ],
)  # fmt: skip
def test_mistakes_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_the_newer_name_of_a_limit_counts() -> None:
    assert parse(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert parse(max_tokens=5).max_tokens == 5


def test_unknown_fields_come_back() -> None:
    request = parse(
        prediction={"x": 1}, stream=True, stream_options={"include_obfuscation": False}, response_format={"type": "new"}
    )
    assert parse(top_k=40.0).top_k == 40
    body, _ = build(request)
    assert body["prediction"] == {"x": 1}
    assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert body["response_format"] == {"type": "new"}
    assert parse(response_format={"type": "text"}).output == OutputFormat("text")
    assert parse(response_format={"type": "json_object"}).output == OutputFormat("json")


def test_parts_of_every_kind() -> None:
    parts = [
        "plain", {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "odd": 1}, {"type": "refusal", "refusal": "no"},
        {"type": "image_url", "image_url": "https://a.example/a.png"}, {"type": "input_audio", "input_audio": {"data": "AA", "format": "opus"}},
        {"type": "file", "file": {"file_data": "data:audio/wav;base64,AA=="}}, {"type": "file", "file": {"file_data": "AA"}},
        {"type": "file", "file": {"file_id": "file-1"}}, {"type": "file", "file": {}}, {"type": "video_url", "video_url": {}},
    ]  # fmt: skip
    content = said(role="user", content=parts).content
    assert content[:3] == (
        Text("plain"),
        Text("a", cache=CacheMark("1h"), extras=Extras("openai_chat", {"odd": 1})),
        Refusal("no"),
    )
    assert content[3:8] == (
        Media("image", Link("https://a.example/a.png")), Media("audio", Inline("audio/opus", "AA==")), Media("audio", Inline("audio/wav", "AA==")),
        Media("document", Inline("application/pdf", "AA==")), Media("document", FileId("file-1", "openai_chat")),
    )  # fmt: skip
    assert all(isinstance(block, Opaque) for block in content[8:])
    body, losses = build(asked(Message("user", content)))
    assert body["messages"][0]["content"][-1] == {"type": "video_url", "video_url": {}}
    assert paths(losses) == {"messages[0].content[1].cache", "messages[0].content[4]"}


def test_old_functions_are_tools() -> None:
    request = parse(
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "g", "content": "2"}, {"role": "function", "name": "h", "content": "3"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}, "odd": 1}], function_call={"name": "f"},
    )  # fmt: skip
    first, second, answer, lost = (message.content[0] for message in request.messages)
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert isinstance(answer, ToolResult)
    assert isinstance(lost, ToolResult)
    assert first.id != second.id == answer.call_id
    assert lost.call_id == "call_h"
    assert request.tools == (FunctionTool("f", schema={"type": "object"}, extras=Extras("openai_chat", {"odd": 1})),)
    assert request.tool_choice == ToolChoice("named", ("f",))


def test_tools_and_choices() -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "strict": True}, "cache_control": {}}, {"type": "custom", "custom": {"name": "c"}},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}, {"type": "retrieval"},
    ]  # fmt: skip
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "c"}}]},
    }
    request = parse(tools=tools, tool_choice=allowed, web_search_options={"search_context_size": "low", "odd": 1})
    assert request.tools == (
        FunctionTool("f", strict=True, cache=CacheMark()), CustomTool("c"), CustomTool("g", syntax="lark", grammar="x"),
        OpaqueTool("openai_chat", "retrieval", {"type": "retrieval"}),
        WebSearchTool(context_size="low", extras=Extras("openai_chat", {"odd": 1})),
    )  # fmt: skip
    body, losses = build(request)
    assert body["tools"][1:] == tools[1:]
    assert body["tool_choice"] == allowed
    assert body["web_search_options"] == {"search_context_size": "low", "odd": 1}
    assert paths(losses) == {"tools[0].cache"}
    assert build(request, SERVER)[0]["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert parse(tool_choice="required").tool_choice == ToolChoice("any")


@pytest.mark.parametrize(
    ("model", "count", "searches"),
    [("gpt-5.5", 2, False), ("gpt-5.5", 1, True), ("gpt-5.5-search-api", 2, True), (None, 2, True)],
)
def test_a_search_beside_other_tools_is_for_models_that_take_one(model: str | None, count: int, searches: bool) -> None:
    tools = (WebSearchTool(), FunctionTool("f"))[:count]
    body, losses = build(asked(tools=tools), Target(model))
    assert ("web_search_options" in body) == searches
    assert paths(losses) == (set() if searches else {"tools[0]"})


def test_where_the_user_is() -> None:
    options = {"user_location": {"type": "approximate", "approximate": {"city": "Oslo", "type": "x"}}}
    (tool,) = parse(web_search_options=options).tools
    assert tool == WebSearchTool(location={"city": "Oslo"})
    body, losses = build(asked(tools=(WebSearchTool(("a.example",), location={"city": "Oslo"}),)))
    assert body["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}
    assert paths(losses) == {"tools[0].allowed_domains"}


def test_reasoning_comes_back_with_its_own_text() -> None:
    details = [
        {"type": "reasoning.encrypted", "data": wrap(Signature("claude", "Eq1")), "id": "reasoning_0:2", "index": 0},
        {
            "type": "reasoning.encrypted",
            "data": wrap(Signature("claude", "Eq2", "redacted")),
            "id": "reasoning_1:0",
            "index": 1,
        },
        {"type": "reasoning.encrypted", "data": wrap(Signature("claude", "Eq3")), "id": "reasoning_2:3", "index": 2},
    ]
    message = said(role="assistant", content="x", reasoning_content="abcdefg", reasoning_details=details)
    assert message.content == (
        Reasoning("ab", Signature("claude", "Eq1")), Reasoning("", Signature("claude", "Eq2"), redacted=True),
        Reasoning("cde", Signature("claude", "Eq3")), Reasoning("fg"), Text("x"),
    )  # fmt: skip
    unnamed = {**details[0], "id": None}
    assert said(role="assistant", reasoning="ab", reasoning_details=[unnamed]).content == (
        Reasoning("ab", Signature("claude", "Eq1")),
    )


def test_reasoning_of_others_stays_theirs() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm"},
        {"type": "reasoning.summary", "summary": "!"},
        {"type": "reasoning.encrypted", "data": "gAAA"},
    ]
    message = said(role="assistant", content="x", reasoning_details=details)
    assert message.content[0] == Reasoning("hm!", extras=Extras("openai_chat", {"reasoning_details": details}))
    body, losses = build(asked(HI, message))
    assert body["messages"][1]["reasoning_details"] == details
    assert losses == ()


# ---- out


def test_what_has_no_words_is_refused() -> None:
    with pytest.raises(Untranslatable, match="previous_response_id"):
        build(asked(previous_response_id="resp_1"))


@pytest.mark.parametrize(
    ("fields", "target", "key", "expected", "lost"),
    [
        ({"max_tokens": 5}, ANYBODY, "max_completion_tokens", 5, set()),
        ({"max_tokens": 5}, SERVER, "max_tokens", 5, set()),
        ({"top_k": 5}, ANYBODY, "top_k", None, {"top_k"}),
        ({"top_k": 5}, SERVER, "top_k", 5, set()),
        ({"user": "u"}, ANYBODY, "safety_identifier", "u", set()),
        ({"user": "u"}, SERVER, "user", "u", set()),
        ({"stop": tuple("abcde")}, ANYBODY, "stop", list("abcd"), {"stop"}),
        ({"cache": CacheMark()}, ANYBODY, "cache", None, {"cache"}),
        ({"output": OutputFormat("json")}, ANYBODY, "response_format", {"type": "json_object"}, set()),
        ({"output": OutputFormat("text")}, ANYBODY, "response_format", {"type": "text"}, set()),
        ({"output": OutputFormat("schema", description="d")}, ANYBODY, "response_format",
         {"type": "json_schema", "json_schema": {"name": "response", "description": "d"}}, set()),
        ({"thinking": Thinking("off")}, ANYBODY, "reasoning_effort", "none", set()),
        ({"thinking": Thinking("auto", show="concise")}, ANYBODY, "reasoning_effort", None, {"thinking.show"}),
        ({"thinking": Thinking("budget", budget=9000)}, ANYBODY, "reasoning_effort", "high", {"thinking.budget"}),
        ({"tool_choice": ToolChoice("any")}, ANYBODY, "tool_choice", None, {"tool_choice"}),
        ({"tool_choice": ToolChoice("none")}, ANYBODY, "tool_choice", None, set()),
        ({"tools": (OpaqueTool("claude", "bash", {}),)}, ANYBODY, "tools", None, {"tools[0]"}),
    ],
)  # fmt: skip
def test_fields(fields: dict[str, Any], target: Target, key: str, expected: Any, lost: set[str]) -> None:
    body, losses = build(asked(**fields), target)
    assert body.get(key) == expected
    assert paths(losses) == lost


def test_choices_of_tools() -> None:
    tools = (FunctionTool("f", "does"), CustomTool("c", "free"))
    for choice, expected in (
        (ToolChoice("any"), "required"), (ToolChoice("auto"), "auto"), (ToolChoice("named", ("c",)), {"type": "custom", "custom": {"name": "c"}}),
        (ToolChoice("allowed_any", ("f",)), {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}),
    ):  # fmt: skip
        assert build(asked(tools=tools, tool_choice=choice))[0]["tool_choice"] == expected


def test_compatible_servers_know_no_developers() -> None:
    request = asked(Message("developer", (Text("a"),)), HI, instructions=(Text("0"), Text("1")))
    roles = [message["role"] for message in build(request)[0]["messages"]]
    assert roles == ["system", "developer", "user"]
    body, _ = build(request, SERVER)
    assert [message["role"] for message in body["messages"]] == ["system", "system", "user"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "0"}, {"type": "text", "text": "1"}]
    assert build(asked(Message("system", (Text(""),)), HI))[0]["messages"] == [{"role": "user", "content": "Hi"}]


def test_pictures_of_tools_follow_in_a_message_and_come_back() -> None:
    picture = Media("image", Inline("image/png", "AA=="))
    own = Message("user", (Media("image", Link("https://a.example/a.png")),))
    call = Message("assistant", (ToolCall("call_1", "shot", "{}"),))
    result = ToolResult("call_1", (Text("here"), Text("it is"), picture), is_error=True)
    request = asked(HI, call, Message("user", (result,)), own)
    body, losses = build(request)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user", "user"]
    assert body["messages"][3]["content"][0]["text"] == '<tool-result-media call_id="call_1"/>'
    assert {"messages[2].content[0]", "tool_result.is_error"} == paths(losses)
    read = parse(messages=body["messages"])
    assert read.messages[2].content == (ToolResult("call_1", (Text("here"), Text("it is"), picture)),)
    assert read.messages[3:] == (Message("user", ()), own)
    inline, _ = build(request, Target(is_official=False, images_in_tool_results=True))
    assert [part["type"] for part in inline["messages"][2]["content"]] == ["text", "text", "image_url"]
    plain, _ = build(request, SERVER)
    assert plain["messages"][2]["content"] == "here\nit is"


def test_a_mark_of_nobody_is_text() -> None:
    content = [
        {"type": "text", "text": '<tool-result-media call_id="x"/>'},
        {"type": "image_url", "image_url": {"url": "u"}},
    ]
    assert len(said(role="user", content=content).content) == 2


def test_assistants_say_what_they_can() -> None:
    content = (
        Reasoning("hm"), Text("a"), ToolCall("c", "f", "", signature=GEMINI), Text("b"), Opaque("claude", "server_tool_use", {}),
        Opaque("openai_chat", "odd", {"type": "odd"}), Media("image", Link("u")),
    )  # fmt: skip
    request = asked(HI, Message("assistant", content, name="Bob"))
    body, losses = build(request)
    message = body["messages"][1]
    assert message["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "odd"}]
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"
    assert "extra_content" not in message["tool_calls"][0]
    assert message["name"] == "Bob"
    where = {f"messages[1].content[{n}]" for n in (0, 3, 4, 6)} | {
        "messages[1].content[2].signature",
        "messages",
        "tool_result.is_error",
    }
    assert paths(losses) == where
    reads = Target(provider="gemini", is_official=False, reads_reasoning=True)
    message = build(request, reads)[0]["messages"][1]
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "AAAA"}}
    assert parse(messages=[message]).messages[0].content[3:4] == (Opaque("openai_chat", "odd", {"type": "odd"}),)


def test_refusals_and_silence_of_assistants() -> None:
    body, _ = build(asked(HI, Message("assistant", (Refusal("no"),)), HI, Message("assistant", (Text(""),))))
    assert body["messages"][1] == {"role": "assistant", "content": None, "refusal": "no"}
    assert body["messages"][3] == {"role": "assistant", "content": ""}
    assert parse(messages=body["messages"][1:2]).messages[0].content == (Refusal("no"),)


def test_media_and_their_limits() -> None:
    content = (
        Media("image", Inline("image/png", "AA=="), "high", title="t"), Media("audio", Inline("audio/mpeg", "AA==")),
        Media("audio", Inline("audio/flac", "AA==")), Media("document", Inline("text/csv", "AA=="), title="t.csv"),
        Media("document", Link("https://a.example/a.pdf")), Media("document", FileId("f", "claude")),
        Media("document", Nested((Text("x"),))), ToolCall("c", "f", "{}"), Text("cited", cache=CacheMark("1h")),
    )  # fmt: skip
    body, losses = build(asked(Message("user", content)), SERVER)
    parts = body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url", "input_audio", "file", "text", "text"]
    assert parts[2]["file"] == {"filename": "t.csv", "file_data": "data:text/csv;base64,AA=="}
    assert parts[4]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert {f"messages[0].content[{n}]" for n in (2, 4, 5, 6, 7)} <= paths(losses)


def test_words_that_only_answers_have() -> None:
    content = (Text("a", (Citation("https://a.example"),)), Refusal("no"), Opaque("claude", "search_result", {}))
    body, losses = build(asked(HI, Message("assistant", content[:2]), Message("user", content[2:]), HI))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    assert paths(losses) == {"messages[1].content[0].citations", "messages[2].content[0]"}


def test_marks_stand_on_calls_results_and_messages_where_the_server_takes_them() -> None:
    mark = CacheMark("1h")
    messages = (
        Message("system", (Text("Be kind."),), cache=mark),
        Message("assistant", (ToolCall("c", "f", "{}", cache=mark),), phase="commentary"),
        Message("user", (ToolResult("c", (Text("x"),), cache=mark),)),
    )
    written = {"type": "ephemeral", "ttl": "1h"}
    node, losses = build(asked(*messages), SERVER)
    system, assistant, result = node["messages"]
    assert (system["cache_control"], result["cache_control"]) == (written, written)
    assert assistant["tool_calls"][0]["cache_control"] == written
    assert losses == (Loss("messages.phase", "hint", "openai_chat cannot say it"),)
    assert parse(messages=node["messages"]).messages[0].cache == mark
    node, losses = build(asked(*messages))
    assert "cache_control" not in json.dumps(node)
    assert [(loss.path, loss.kind) for loss in losses] == [
        ("messages.cache", "hint"),
        ("messages[1].content[0].cache", "hint"),
        ("messages.phase", "hint"),
        ("messages[2].content[0].cache", "hint"),
    ]


def test_signatures_of_texts_and_images_are_told() -> None:
    texts = Message("user", (Text("x", signature=GEMINI), Media("image", Link("u"), signature=GEMINI)))
    made = Message("assistant", (Media("image", Link("u"), signature=GEMINI),))
    _, losses = build(asked(texts, made))
    assert [(loss.path, loss.kind) for loss in losses] == [
        ("messages[0].content[0].signature", "hint"),
        ("messages[0].content[1].signature", "hint"),
        ("messages[1].content[0]", "dropped"),
        ("messages[1].content[0].signature", "hint"),
    ]
