"""Requests of the Messages API: what real clients send, and what the API insists on."""

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
from dragoman.core.chat.loss import Loss
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
from dragoman.core.chat.target import ANYBODY, ModelFacts, Target
from dragoman.core.dialects.claude.request import build_request, parse_request
from dragoman.core.errors import BadRequest, Untranslatable

HI = Message("user", (Text("Hi"),))


def build(request: ChatRequest, target: Target = ANYBODY) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    body, losses = build_request(request, target)
    return json.loads(body), losses


def parse(**fields: Any) -> ChatRequest:
    return parse_request(json.dumps({"model": "m", "max_tokens": 9, "messages": [], **fields}).encode())[0]


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("m", messages or (HI,), **fields)


def paths(losses: tuple[Loss, ...]) -> set[str]:
    return {loss.path for loss in losses}


# ---- in


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, Thinking("off")),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Thinking("budget", budget=2048, show="auto")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}},
            Thinking("budget", budget=2048, show="off"),
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, Thinking("off")),
        ({"thinking": {"type": "enabled", "display": "omitted"}}, Thinking("auto", show="off")),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, Thinking("auto", show="auto")),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, Thinking("level", level="max")),
        ({"output_config": {"effort": "low"}}, Thinking("level", level="low")),
    ],
)
def test_thinking_asked_for(fields: dict[str, Any], expected: Thinking | None) -> None:
    assert parse(**fields).thinking == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream": 1}, "stream"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_tiers_and_speed() -> None:
    assert parse(service_tier="standard_only").service_tier == "default"
    assert parse(speed="fast", service_tier="auto").service_tier == "fast"


def test_claude_code_is_understood() -> None:
    """Facts seen in requests of Claude Code 2.1: a late system message, JSON in user_id, deferred tools, unknown fields."""
    request = parse(
        system=[{"type": "text", "text": "x-anthropic-billing-header: a"}, {"type": "text", "text": "You are", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": "go"}, {"role": "system", "content": [{"type": "text", "text": "mind"}]}],
        metadata={"user_id": '{"device_id":"d"}'},
        context_management={"edits": []},
        tools=[{"name": "T", "input_schema": {"type": "object"}, "defer_loading": True}, {"type": "bash_20250124", "name": "bash"}],
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high"},
    )  # fmt: skip
    assert request.instructions[1].cache == CacheMark()
    assert request.messages[1].role == "system"
    assert request.user == '{"device_id":"d"}'
    assert request.extras is not None
    assert set(request.extras.fields) == {"context_management"}
    assert isinstance(request.tools[0], FunctionTool)
    assert request.tools[0].extras is not None
    assert request.tools[1] == OpaqueTool("claude", "bash_20250124", {"type": "bash_20250124", "name": "bash"})
    body, losses = build(request, Target(model="claude-opus-4-8"))
    assert body["context_management"] == {"edits": []}
    assert body["tools"][0]["defer_loading"] is True
    assert body["messages"][1]["role"] == "system"
    assert losses == ()


def test_signatures_come_out_of_their_wrappers() -> None:
    gemini = wrap(Signature("gemini", "AAAA"))
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": wrap(Signature("openai", "gAAA", "redacted"))},
        {"type": "thinking", "thinking": "", "signature": gemini},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "bare", "signature": "sig1~none~~"},
    ]
    (message,) = parse(messages=[{"role": "assistant", "content": content}]).messages
    native, redacted, call, bare = message.content
    assert native == Reasoning("hm", Signature("claude", "EqQB"))
    assert redacted == Reasoning("", Signature("openai", "gAAA"), redacted=True)
    assert isinstance(call, ToolCall)
    assert call.signature == Signature("gemini", "AAAA")
    assert bare == Reasoning("bare")


def test_odd_media_stay_opaque() -> None:
    content = [
        {"type": "image", "source": {"type": "hologram"}},
        {"type": "document", "source": {"type": "content", "content": "x"}},
    ]
    (message,) = parse(messages=[{"role": "user", "content": content}]).messages
    assert isinstance(message.content[0], Opaque)
    assert message.content[1] == Media("document", Nested((Text("x"),)))


# ---- out


def test_what_has_no_words_is_refused() -> None:
    with pytest.raises(Untranslatable, match="previous_response_id"):
        build(asked(previous_response_id="resp_1"))
    with pytest.raises(Untranslatable, match="3 times"):
        build(asked(choices=3))


@pytest.mark.parametrize(
    ("fields", "key", "expected", "lost"),
    [
        ({}, "max_tokens", 32_000, set()),
        ({"temperature": 1.7}, "temperature", 1, {"temperature"}),
        ({"temperature": 0.2, "top_p": 0.5}, "top_p", None, {"top_p"}),
        ({"top_p": 0.5}, "top_p", 0.5, set()),
        ({"top_k": 5}, "top_k", 5, set()),
        ({"stop": (" ", "END")}, "stop_sequences", ["END"], {"stop"}),
        ({"service_tier": "default"}, "service_tier", "standard_only", set()),
        ({"service_tier": "priority"}, "speed", "fast", {"service_tier"}),
        ({"service_tier": "fast"}, "speed", "fast", set()),
        ({"service_tier": "flex"}, "service_tier", None, {"service_tier"}),
        ({"cache": CacheMark("30m")}, "cache_control", {"type": "ephemeral", "ttl": "1h"}, {"request.cache"}),
        ({"output": OutputFormat("json")}, "output_config", None, {"output"}),
        ({"output": OutputFormat("text")}, "output_config", None, set()),
        ({"tool_choice": ToolChoice("any")}, "tool_choice", None, {"tool_choice"}),
        ({"thinking": Thinking(show="auto")}, "thinking", None, {"thinking.show"}),
        ({"thinking": Thinking("off")}, "thinking", {"type": "disabled"}, set()),
        ({"thinking": Thinking("auto", show="concise")}, "thinking", {"type": "adaptive", "display": "summarized"}, {"thinking.show"}),
        ({"thinking": Thinking("auto", show="off")}, "thinking", {"type": "adaptive", "display": "omitted"}, set()),
        ({"thinking": Thinking("level", level="minimal")}, "output_config", {"effort": "low"}, {"thinking.level"}),
        ({"thinking": Thinking("auto"), "temperature": 0.5, "top_k": 3, "top_p": 0.5}, "temperature", None, {"temperature", "top_k", "top_p"}),
        ({"thinking": Thinking("budget", budget=9000)}, "max_tokens", 32_000, set()),
        ({"thinking": Thinking("budget", budget=40_000)}, "max_tokens", 72_000, set()),
        ({"thinking": Thinking("budget", budget=9), "max_tokens": 2000}, "thinking", {"type": "enabled", "budget_tokens": 1024}, set()),
        ({"thinking": Thinking("budget", budget=4000), "max_tokens": 2000}, "thinking", {"type": "enabled", "budget_tokens": 1999}, {"thinking.budget"}),
        ({"thinking": Thinking("budget", budget=4000), "max_tokens": 99}, "thinking", None, {"thinking"}),
    ],
)  # fmt: skip
def test_fields(fields: dict[str, Any], key: str, expected: Any, lost: set[str]) -> None:
    body, losses = build(asked(**fields))
    assert body.get(key) == expected
    assert paths(losses) == lost


def test_a_known_limit_of_output_is_used() -> None:
    target = Target(model="x", facts=ModelFacts(known=True, max_output=8192))
    assert build(asked(), target)[0]["max_tokens"] == 8192
    body, losses = build(asked(thinking=Thinking("budget", budget=9000)), target)
    assert body["thinking"]["budget_tokens"] == 8191
    assert paths(losses) == {"thinking.budget"}


def test_a_forced_tool_does_not_go_with_thinking() -> None:
    fields: dict[str, Any] = {"tools": (FunctionTool("f"),), "thinking": Thinking("auto")}
    body, losses = build(asked(tool_choice=ToolChoice("named", ("f",)), parallel_tool_calls=False, **fields))
    assert body["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    assert "thinking" not in body
    assert paths(losses) == {"thinking"}


def test_a_turn_that_was_not_thought_by_claude_goes_on_without_thinking() -> None:
    call, result = ToolCall("t1", "f", "{}"), Message("user", (ToolResult("t1", (Text("1"),)),))
    signed = Reasoning("hm", Signature("claude", "EqQB"))
    for blocks, thinks in (((call,), False), ((signed, call), True), ((Text(""), signed, call), True)):
        request = asked(
            HI, Message("assistant", blocks[:1]), Message("assistant", blocks[1:]), result, thinking=Thinking("auto")
        )
        body, losses = build(request)
        assert ("thinking" in body) == thinks, blocks
        assert ("thinking" in paths(losses)) != thinks
    later = asked(HI, Message("assistant", (call,)), result, HI, thinking=Thinking("auto"))
    assert "thinking" in build(later)[0]


def test_allowed_tools_are_the_only_ones_sent() -> None:
    tools = (FunctionTool("a"), FunctionTool("b"), CustomTool("c", "free", "regex", "[a-z]+"))
    body, losses = build(asked(tools=tools, tool_choice=ToolChoice("allowed_any", ("b", "c"))))
    assert [tool["name"] for tool in body["tools"]] == ["b", "c"]
    assert body["tool_choice"] == {"type": "any"}
    assert body["tools"][1]["description"] == "free\n\nThe input must match this regex grammar:\n[a-z]+"
    assert paths(losses) == {"tool_choice", "tools[2]"}


def test_tools_of_every_kind() -> None:
    search = WebSearchTool(("a.example",), ("b.example",), 3, "low", {"city": "Oslo"}, "web_search_20260209")
    tools = (
        search,
        WebSearchTool(variant="web_search_preview"),
        OpaqueTool("openai_responses", "mcp", {}),
        OpaqueTool("claude", "bash_20250124", {"type": "bash_20250124", "name": "bash"}),
        FunctionTool("f", "does", {"type": "object"}, strict=True, cache=CacheMark("5m")),
        FunctionTool("g", schema={"anyOf": [{"properties": {"x": {}}}]}),
    )
    body, losses = build(asked(tools=tools))
    first, second, bash, strict, union = body["tools"]
    assert first == {
        "type": "web_search_20260209", "name": "web_search", "allowed_domains": ["a.example"], "blocked_domains": ["b.example"],
        "max_uses": 3, "user_location": {"type": "approximate", "city": "Oslo"},
    }  # fmt: skip
    assert second["type"] == "web_search_20250305"
    assert bash["name"] == "bash"
    assert strict["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert strict["input_schema"]["additionalProperties"] is False
    assert union["input_schema"] == {"properties": {"x": {}}, "type": "object"}
    assert paths(losses) == {
        "tools[0].context_size",
        "tools[1].variant",
        "tools[2]",
        "tools[4].schema",
        "tools[5].schema",
    }


@pytest.mark.parametrize(("version", "variant"), [("web_search_20250305", None), ("web_search_20260209",) * 2])
def test_web_search_is_read_back(version: str, variant: str | None) -> None:
    node = {
        "type": version,
        "name": "web_search",
        "max_uses": 2,
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    tool = WebSearchTool(max_uses=2, location={"city": "Oslo"}, variant=variant)
    assert parse(tools=[node]).tools == (tool,)
    body, losses = build(asked(tools=(tool,)))
    assert body["tools"] == [node]
    assert losses == ()


def test_leading_instructions_stand_apart() -> None:
    messages = (Message("system", (Text("a"), Media("image", Link("u")))), Message("developer", (Text("b"),)), HI)
    body, losses = build(asked(*messages, instructions=(Text("0"),)))
    assert [block["text"] for block in body["system"]] == ["0", "a", "b"]
    assert paths(losses) == {"messages[0].content[1]"}


def test_later_instructions_become_reminders() -> None:
    body, losses = build(
        asked(HI, Message("assistant", (Text("Hello"),)), Message("developer", (Text("be brief"),)), HI)
    )
    assert body["messages"][-1]["content"] == [
        {"type": "text", "text": "<system-reminder>\nbe brief\n</system-reminder>"},
        {"type": "text", "text": "Hi"},
    ]
    assert paths(losses) == {"messages"}


def test_somebody_has_to_say_something() -> None:
    body, _ = build(ChatRequest("m", (), instructions=(Text("only this"),)))
    assert body["messages"] == [{"role": "user", "content": "only this"}]
    assert "system" not in body
    assert build(ChatRequest("m", ()))[0]["messages"] == [{"role": "user", "content": "(no message)"}]
    body, _ = build(asked(Message("assistant", (Text("Hello"),)), HI))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    body, _ = build(asked(Message("user", (Refusal(""), Text(""))), Message("assistant", (Text("Hello "),))))
    assert body["messages"] == [{"role": "user", "content": "(continued)"}, {"role": "assistant", "content": "Hello"}]


def test_a_begun_answer_ends_without_white_space_or_not_at_all() -> None:
    begun = (HI, Message("assistant", (Text("1, 2, \n"),)))
    assert build(asked(*begun))[0]["messages"][-1] == {"role": "assistant", "content": "1, 2,"}
    body, losses = build(asked(*begun), Target(model="claude-opus-4-8"))
    assert body["messages"][-1] == {"role": "user", "content": "(continue)"}
    assert paths(losses) == {"messages"}
    assert build(asked(HI, Message("assistant", (Text(" "),))))[0]["messages"] == [{"role": "user", "content": "Hi"}]


def test_media_and_their_limits() -> None:
    content = (
        Media("image", Inline("image/jpg", "AA=="), detail="high"),
        Media("image", Inline("image/tiff", "AA==")),
        Media("document", Inline("text/csv", "YSxi"), filename="a.csv", cite=True, context="c"),
        Media("document", Inline("text/plain", "!!!")),
        Media("document", Nested((Text("x"),)), title="t"),
        Media("audio", Inline("audio/wav", "AA==")),
        Media("image", FileId("file_1", "claude")),
        Media("image", FileId("file-2", "openai_responses")),
        Media("audio", Link("https://a.example/a.wav")),
    )
    body, losses = build(asked(Message("user", content)))
    kinds = [(block["type"], block["source"]["type"]) for block in body["messages"][0]["content"]]
    assert kinds == [("image", "base64"), ("document", "text"), ("document", "content"), ("image", "file")]
    document = body["messages"][0]["content"][1]
    assert (document["title"], document["citations"], document["context"]) == ("a.csv", {"enabled": True}, "c")
    assert paths(losses) == {
        "messages[0].content[0].detail", *(f"messages[0].content[{n}]" for n in (1, 2, 3, 5, 7, 8)),
    }  # fmt: skip


def test_blocks_that_claude_does_not_take_back() -> None:
    content = (
        Reasoning("hm", Signature("openai", "gAAA")),
        Reasoning("secret", Signature("claude", "EqQB"), redacted=True),
        Opaque("openai_responses", "web_search_call", {}),
        Text("x", signature=Signature("gemini", "AAAA")),
        ToolCall("a.b", "f", "not json", signature=Signature("gemini", "AAAA")),
        ToolCall("c", "free", "text", "custom"),
    )
    body, losses = build(
        asked(HI, Message("assistant", content, name="Bob"), Message("user", (ToolResult("a.b", (Reasoning("x"),)),)))
    )
    redacted, text, call, custom = body["messages"][1]["content"]
    assert redacted == {"type": "redacted_thinking", "data": "EqQB"}
    assert text == {"type": "text", "text": "x"}
    assert call["input"] == {"__raw_arguments": "not json"}
    assert call["id"].startswith("a_b_")
    assert custom["input"] == {"input": "text"}
    results = body["messages"][2]["content"]
    assert [block["tool_use_id"] for block in results] == [call["id"], "c"]
    assert "content" not in results[0]
    assert results[1] == {
        "type": "tool_result",
        "tool_use_id": "c",
        "content": "[no result recorded]",
        "is_error": True,
    }
    assert {
        "messages[1].content[0]",
        "messages[1].content[2]",
        "messages[1].content[3].signature",
        "messages.name",
    } <= paths(losses)
    assert not any("AAAA" in json.dumps(value) or "gAAA" in json.dumps(value) for value in body["messages"])


def test_names_keep_neighbours_apart_only_until_they_are_written() -> None:
    body, losses = build(asked(Message("user", (Text("a"),), name="A"), Message("user", (Text("b"),), name="B")))
    assert [block["text"] for block in body["messages"][0]["content"]] == ["a", "b"]
    assert paths(losses) == {"messages.name"}


def test_a_begun_answer_may_end_in_anything() -> None:
    search = Opaque("claude", "server_tool_use", {"type": "server_tool_use"})
    assert build(asked(HI, Message("assistant", (search,))))[0]["messages"][-1]["content"] == [
        {"type": "server_tool_use"}
    ]


def test_files_of_its_own_come_back() -> None:
    node = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
    request = parse(messages=[{"role": "user", "content": [node, {"type": "text", "text": "x"}]}])
    assert build(request)[0]["messages"][0]["content"][0] == node


def test_citations_of_others_are_lost() -> None:
    request = parse(
        messages=[
            {"role": "assistant", "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]}
        ]
    )
    body, losses = build(request)
    assert body["messages"][1]["content"][0]["citations"] == [{"type": "char_location"}]
    assert losses == () or paths(losses) == {"messages"}
    _, losses = build(asked(HI, Message("assistant", (Text("x", (Citation("https://a.example"),)),)), HI))
    assert paths(losses) == {"messages[1].content[0].citations"}
    _, losses = build(asked(HI, Message("user", (ToolResult("x", (ToolCall("c", "f", "{}"),)),))))
    assert "messages" in paths(losses)


def test_looking_at_an_image_as_claude_does_anyway_is_no_loss() -> None:
    image = Media("image", Inline("image/png", "AA=="), detail="auto")
    assert build(asked(Message("user", (image,))))[1] == ()


def test_what_stands_on_an_instruction_is_told_and_its_image_stays() -> None:
    later = Message("system", (Text("look"), Media("image", Inline("image/png", "AAAA"))), name="x", phase="commentary")
    body, losses = build_request(ChatRequest("m", (HI, Message("assistant", (Text("a"),)), later, HI)), ANYBODY)
    assert b"AAAA" in body
    assert {("messages.name", "dropped"), ("messages.phase", "hint")} <= {(loss.path, loss.kind) for loss in losses}


def test_nobody_misses_a_store_that_was_not_wanted() -> None:
    assert build(asked(HI, store=False))[1] == ()
    assert [loss.path for loss in build(asked(HI, store=True))[1]] == ["store"]
