"""Requests of Responses: what is special to them."""

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
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.translate import translate_request

NAME = "openai_responses"
GPT = Signature("openai", "gAAAAB")


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "gpt-5.5", "input": "Hi", **fields}
    return OPENAI_RESPONSES.parse_request(json.dumps(body).encode())[0]


def build(request: ChatRequest, target: Target = ANYBODY) -> tuple[Any, set[str]]:
    body, losses = OPENAI_RESPONSES.build_request(request, target)
    return json.loads(body), {loss.path for loss in losses}


def again(**fields: Any) -> Any:
    return build(parse(**fields))[0]


def ask(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("m", messages or (Message("user", (Text("Hi"),)),), **fields)


# What Codex CLI 0.169 sends, cut to one item of each kind.
CODEX = {
    "model": "gpt-5.5",
    "instructions": None,
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "ls"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAAB"},
        {"type": "function_call", "name": "shell", "arguments": '{"cmd":"ls"}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
        {"type": "function_call", "name": "send", "namespace": "mail", "arguments": "{}", "call_id": "call_2"},
        {"type": "function_call_output", "call_id": "call_2", "output": "sent"},
        {"type": "message", "role": "assistant", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "One file.", "annotations": []}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "thanks"}]},
    ],
    "tools": [
        {"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object", "properties": {}}},
        {"type": "namespace", "name": "mail", "description": "Letters.", "tools": [
            {"type": "function", "name": "send", "strict": False, "parameters": {"type": "object", "properties": {}}},
            {"type": "custom", "name": "draft", "format": {"type": "grammar", "syntax": "lark", "definition": "s: /x/"}},
        ]},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "high", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k-1",
    "client_metadata": {"x": "y"},
}  # fmt: skip


def test_what_codex_sends_comes_back_as_it_was() -> None:
    request, losses = OPENAI_RESPONSES.parse_request(json.dumps(CODEX).encode())
    assert losses == ()
    node, lost = build(request)
    assert lost == set()
    sent = json.loads(json.dumps(CODEX).replace('"content": null, ', "").replace('"instructions": null, ', ""))
    assert node == sent


def test_what_codex_sends_reaches_claude_without_openais_secrets() -> None:
    done = translate_request(json.dumps(CODEX).encode(), NAME, "claude", model="claude-opus-4-8")
    node = json.loads(done.body)
    assert b"gAAAAB" not in done.body
    assert {tool["name"] for tool in node["tools"]} == {"shell", "mail__send", "mail__draft", "web_search"}
    assert {loss.path for loss in done.losses} >= {"client_metadata", "messages[2].content[0]"}
    assert not any(loss.path.startswith("include") for loss in done.losses)


def test_the_users_words_may_be_a_string() -> None:
    assert parse(input="Hi").messages == (Message("user", (Text("Hi"),)),)
    assert parse(input="").messages == (Message("user", ()),)
    assert again(input="")["input"] == [{"type": "message", "role": "user", "content": ""}]
    assert again(input=[{"role": "assistant", "content": ""}])["input"] == []
    assert parse(input=[{"role": "user", "content": "Hi"}]).messages == parse().messages


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


# ---- what lies with the provider


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1", "input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1", "variables": {"a": "b"}}, "input": None},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Hi"}]},
    ],
)
def test_what_only_the_provider_knows_goes_nowhere_else(fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "input": "Hi", **fields}).encode()
    for target in ("claude", "openai_chat"):
        with pytest.raises(Untranslatable) as caught:
            translate_request(body, NAME, target)
        assert caught.value.param == "previous_response_id"
    node = again(**fields)
    kept = {key: node.get(key) for key in ("previous_response_id", "conversation", "prompt")}
    assert kept == {key: fields.get(key) for key in kept}
    if fields.get("input"):
        assert node["input"][0].items() >= fields["input"][0].items()


# ---- items


def test_reasoning_goes_only_to_who_signed_it() -> None:
    mine = Reasoning("why", GPT, is_summary=True, item_id="rs_1")
    message = Message("assistant", (mine, Reasoning("", Signature("claude", "EqQB")), Text("so"), Reasoning("open")))
    node, lost = build(ask(message))
    assert node["input"] == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}], "encrypted_content": "gAAAAB",
         "id": "rs_1"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
    ]  # fmt: skip
    assert lost == {"messages[0].content[1]", "messages[0].content[3]"}
    node, lost = build(ask(message), Target(provider="claude", is_official=False, reads_reasoning=True))
    assert [item.get("encrypted_content") for item in node["input"]] == ["EqQB", None, None]
    assert node["input"][2]["summary"] == [{"type": "summary_text", "text": "open"}]


def test_reasoning_comes_in_several_forms() -> None:
    kept = {"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "by name"}]}
    raw = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}], "id": "r9"}
    redacted = {"type": "reasoning", "summary": [], "encrypted_content": "sig1~claude~redacted~EmwK"}
    request = parse(input=[kept, raw, redacted])
    blocks = [block for message in request.messages for block in message.content]
    assert blocks == [
        Reasoning("by name", is_summary=True, item_id="rs_9"),
        Reasoning("a", is_summary=False, item_id="r9"),
        Reasoning("", Signature("claude", "EmwK"), redacted=True),
    ]
    assert build(request)[0]["input"] == [kept, raw]


def test_geminis_signature_finds_its_call() -> None:
    carrier = {"type": "reasoning", "summary": [], "encrypted_content": "sig1~gemini~~c2ln"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
    result = {"type": "function_call_output", "call_id": "c", "output": ""}
    request = parse(input=[carrier, call, result, carrier])
    assert request.messages[0].content == (ToolCall("c", "f", "{}", signature=Signature("gemini", "c2ln")),)
    assert request.messages[1].content == (ToolResult("c"),)
    node, lost = build(request)
    assert [item["type"] for item in node["input"]] == ["function_call", "function_call_output"]
    assert lost == {"messages[0].content[0].signature", "messages[2].content[0]"}


def test_ids_of_calls_come_back_only_where_they_can() -> None:
    calls = [
        {"type": "function_call", "id": ident, "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        for n, ident in enumerate(["fc_1", "toolu_1", "fc_" + "x" * 70])
    ]
    calls.append({"type": "custom_tool_call", "id": "ctc_1", "call_id": "c3", "name": "g", "input": ""})
    results = [{"type": "function_call_output", "call_id": f"c{n}", "output": "x"} for n in range(4)]
    assert [item.get("id") for item in again(input=[*calls, *results])["input"][:4]] == ["fc_1", None, None, "ctc_1"]


@pytest.mark.parametrize("output", ['[{"type":"input_image","image_url":"https://i.example/a.png"}]', None])
def test_pictures_of_tools(output: str | None) -> None:
    parts = [{"type": "input_image", "image_url": "https://i.example/a.png"}]
    call = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}
    request = parse(input=[call, {"type": "custom_tool_call_output", "call_id": "c", "output": output or parts}])
    picture = Media("image", Link("https://i.example/a.png"))
    assert request.messages[1].content == (ToolResult("c", (picture,), kind="custom"),)
    node, _ = build(request)
    assert node["input"][1]["type"] == "custom_tool_call_output"
    assert node["input"][1]["output"] == [{**parts[0], "detail": "auto"}]


@pytest.mark.parametrize("text", ['["input_image"]', '[{"input_image"', '[{"type":"x","a":"input_image"}]', "[1]"])
def test_other_brackets_are_words(text: str) -> None:
    item = {"type": "function_call_output", "call_id": "c", "output": text}
    assert parse(previous_response_id="r", input=[item]).messages[0].content == (ToolResult("c", (Text(text),)),)


def test_items_of_its_own_pass_and_are_losses_elsewhere() -> None:
    items = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "local_shell_call_output", "id": "l", "output": "x"},
        {"type": "function_call_output", "output": "to nobody"},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBO", "output_format": "webp"},
        {"type": "image_generation_call", "id": "ig_2", "status": "failed", "result": None},
        {"type": "compaction", "encrypted_content": "gAAA"},
        {"type": "message", "role": "user", "content": [{"type": "input_hologram", "x": 1}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_hologram", "x": 1}]},
    ]  # fmt: skip
    request = parse(input=items)
    assert [message.role for message in request.messages] == [
        "assistant", "user", "user", "assistant", "assistant", "assistant", "user", "assistant",
    ]  # fmt: skip
    made = request.messages[3].content[0]
    assert isinstance(made, Media)
    assert made.source == Inline("image/webp", "iVBO")
    assert build(request)[0]["input"] == items
    done = translate_request(json.dumps({"input": items, "model": "m"}).encode(), NAME, "claude")
    assert sum(loss.detail.count(NAME) for loss in done.losses) >= 7


def test_histories_are_repaired() -> None:
    call, result = ToolCall("a", "f", "{}"), ToolResult("a", (Text("1"),))
    histories: list[list[ToolCall | ToolResult]] = [[call], [result], [call, call, result], [call, result, result]]
    for content in histories:
        messages = [Message("assistant" if isinstance(b, ToolCall) else "user", (b,)) for b in content]
        node, lost = build(ask(*messages))
        calls = [i["call_id"] for i in node["input"] if i["type"] == "function_call"]
        results = [i["call_id"] for i in node["input"] if i["type"] == "function_call_output"]
        assert calls == results
        assert "messages" in lost or len(calls) == 2


def test_annotations_of_its_own_come_back() -> None:
    notes = [
        {"type": "file_citation", "file_id": "f", "filename": "n", "index": 3},
        {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "A", "url": "https://a.example"},
    ]
    parts = [{"type": "output_text", "text": "ab", "annotations": notes}]
    item = {"type": "message", "role": "assistant", "content": parts}
    assert again(input=[item])["input"] == [item]
    hollow = {**item, "content": [{"type": "output_text", "text": "", "annotations": []}]}
    assert again(input=[hollow])["input"] == []


def test_blocks_in_strange_places_are_losses() -> None:
    gemini = Signature("gemini", "c2ln")
    everything = (
        Text("a", (Citation("https://a.example", "A"), Citation()), gemini, CacheMark()),
        Refusal("no", CacheMark("5m")),
        Media("image", Link("https://i.example/a.png")),
        ToolCall("c", "f", "{}", cache=CacheMark()),
        Opaque("claude", "server_tool_use", {}),
    )
    result = ToolResult("c", (Text("x", cache=CacheMark()),), is_error=True, cache=CacheMark())
    node, lost = build(
        ask(
            Message("assistant", everything),
            Message("user", (result, Refusal("they said no"), Opaque("claude", "x", {}), Opaque(NAME, "content part y", 1))),
            Message("user", (Text("x", (Citation(),)),), name="Ada", cache=CacheMark()),
        )
    )  # fmt: skip
    said = node["input"][0]["content"]
    assert said[0]["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "A", "url": "https://a.example"}
    ]
    assert said[1] == {"type": "refusal", "refusal": "no"}
    assert node["input"][2]["output"] == "x"
    assert node["input"][3]["content"] == [{"type": "input_text", "text": "they said no"}, 1]
    assert lost == {
        "answer.citations", "messages[0].content[0].signature", "messages[0].content[0].cache",
        "messages[0].content[1].cache", "messages[0].content[2]", "messages[0].content[3].cache", "messages[0].content[4]",
        "messages[1].content[0].is_error", "messages[1].content[0].cache", "messages.cache", "messages[1].content[2]",
        "messages[2].content[0].citations", "messages[2].name", "messages[2].cache",
    }  # fmt: skip


def test_media_of_every_kind() -> None:
    parts = [
        {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,iVBO"},
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://a.example/a.pdf"},
        {"type": "input_file", "file_id": "file-2", "filename": "b.pdf"},
        {"type": "input_file", "filename": "c.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_image"},
        {"type": "input_file"},
        {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    ]
    assert again(input=[{"role": "user", "content": parts}])["input"][0]["content"] == parts
    odd = [
        {"type": "input_image", "image_url": {"url": "https://a.example/a.png"}},
        {"type": "input_file", "file_data": "JVBE"},
        {"type": "input_file", "file_data": "data:video/mp4;base64,AAAA"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
    ]
    request = parse(input=[{"role": "user", "content": odd}])
    assert [getattr(block, "kind", "text") for block in request.messages[0].content] == [
        "image", "document", "video", "audio", "text",
    ]  # fmt: skip
    node, lost = build(request)
    assert len(node["input"][0]["content"]) == 3
    assert lost == {f"messages[0].content[{n}]" for n in (2, 3)} | {"messages[0].content[4].cache"}
    nested = Media("document", Nested((Text("inside"), Text(""))))
    foreign = Media("image", FileId("f", "claude"))
    node, lost = build(ask(Message("user", (nested, foreign)), Message("user", (Media("image", foreign.source),))))
    assert node["input"] == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "inside"}]}]
    assert lost == {"messages[0].content[0]", "messages[0].content[1]", "messages[1].content[0]"}


def test_instructions_stay_apart_from_each_other() -> None:
    assert build(ask(instructions=(Text("one"),)))[0]["instructions"] == "one"
    node, _ = build(ask(instructions=(Text("one"), Text("two"))))
    assert "instructions" not in node
    assert [part["text"] for part in node["input"][0]["content"]] == ["one", "two"]
    assert node["input"][0]["role"] == "developer"


# ---- fields


def test_defaults_of_other_dialects_are_said_aloud() -> None:
    """Answers are stored and functions strict unless somebody says no, which clients of other dialects mean."""
    node, _ = build(ask(tools=(FunctionTool("f"),), thinking=Thinking("level", level="low")))
    assert node["store"] is False
    assert node["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    ]
    assert node["reasoning"] == {"effort": "low", "summary": "auto"}
    assert node["include"] == ["reasoning.encrypted_content"]
    own = again(tools=[{"type": "function", "name": "f", "parameters": {}}], reasoning={"effort": "low"})
    assert "store" not in own
    assert "strict" not in own["tools"][0]
    assert own["reasoning"] == {"effort": "low"}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"effort": "high", "context": "all_turns"}, "include": ["reasoning.encrypted_content"]},
        {"include": ["file_search_call.results", "message.output_text.logprobs"], "top_logprobs": 3},
        {"text": {"format": {"type": "json_object"}, "verbosity": "low", "later": 1}},
        {"text": {"format": {"type": "text"}}},
        {"text": {"format": {"type": "grammar", "syntax": "lark"}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "description": "d", "strict": True}}},
        {"max_output_tokens": 5, "truncation": "auto", "background": True, "store": True, "service_tier": "flex"},
        {"safety_identifier": "u", "metadata": {"a": "b"}, "prompt_cache_key": "k", "temperature": 0.5, "top_p": 0.5},
        {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}], "tool_choice": {"type": "file_search"}},
        {"tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [{"type": "custom", "name": "g", "description": "d"}], "tool_choice": {"type": "custom", "name": "g"}},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "s"}]}},
        {"tools": [{"type": "namespace", "name": "n", "description": "d", "tools": []}]},
        {"tools": [{"type": "web_search_preview", "search_context_size": "low", "search_content_types": ["text"],
                    "user_location": {"type": "approximate", "city": "Oslo"},
                    "filters": {"allowed_domains": ["a.example"], "more": 1}}]},
        {"tools": [{"type": "namespace", "name": n, "description": n, "tools": [{"type": "custom", "name": "x"}]}
                   for n in ("a", "b")]},
        {"stream_options": {"include_obfuscation": False}, "stream": True},
    ],
)  # fmt: skip
def test_fields_come_back(fields: dict[str, Any]) -> None:
    node = again(**fields)
    for key, value in fields.items():
        got = node[key]
        if key == "include":
            got, value = sorted(got), sorted(value)
        assert got == value, key


def test_old_and_borrowed_words() -> None:
    assert parse(reasoning={"generate_summary": "detailed"}).thinking == Thinking(show="detailed")
    assert parse(user="u").user == "u"
    assert parse(include=["reasoning.encrypted_content"]).thinking == Thinking()
    assert again(include=["reasoning.encrypted_content"])["include"] == ["reasoning.encrypted_content"]
    nested = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    assert parse(tools=[nested]).tools == (FunctionTool("f", schema={"type": "object"}, strict=True),)
    assert build(ask(user="u"), Target(is_official=False))[0]["user"] == "u"


def test_what_it_cannot_say_is_a_loss() -> None:
    search = WebSearchTool(
        blocked_domains=("b.example",), max_uses=2, variant="web_search_20250305", location={"city": "Oslo"}
    )
    tools = (search, OpaqueTool("claude", "bash", {}), CustomTool("c", cache=CacheMark()), FunctionTool("f"))
    request = ask(
        tools=tools,
        max_tokens=5,
        service_tier="fast",
        stop=("x",),
        seed=1,
        cache=CacheMark(),
        thinking=Thinking("budget", budget=9000),
        output=OutputFormat("schema"),
        tool_choice=ToolChoice("allowed_any", ("c", "f")),
        choices=1,
    )
    node, lost = build(request)
    assert lost == {
        "tools[0].blocked_domains", "tools[0].max_uses", "tools[0].variant", "tools[1]", "tools[2].cache", "max_tokens",
        "service_tier", "stop", "seed", "cache", "thinking.budget",
    }  # fmt: skip
    assert node["max_output_tokens"] == 16
    assert node["service_tier"] == "priority"
    assert node["tools"][0] == {"type": "web_search", "user_location": {"type": "approximate", "city": "Oslo"}}
    assert node["text"]["format"] == {"type": "json_schema", "name": "response", "schema": {}}
    assert node["tool_choice"]["tools"] == [{"type": "custom", "name": "c"}, {"type": "function", "name": "f"}]
    with pytest.raises(Untranslatable, match="n: "):
        build(ask(choices=2))
    assert build(ask(tools=(tools[1],), tool_choice=ToolChoice("any")))[1] == {"tools[0]", "tool_choice"}
    assert build(ask(tools=(tools[1],), tool_choice=ToolChoice("none")))[1] == {"tools[0]"}
    assert "include" not in build(ask(thinking=Thinking("off", show="off")))[0]
