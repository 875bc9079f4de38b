"""Any dialect to any other, over every ordered pair of `DIALECTS`."""

import itertools
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Media, Text, ToolCall, ToolResult
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import ChatRequest, CustomTool, FunctionTool, Message, Thinking
from dragoman.core.chat.stream import AnswerEnded, fold, unfold
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects import DIALECTS, AnswerContext
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.translate import (
    StreamCollector,
    StreamTranslator,
    replace_model,
    translate_answer,
    translate_error,
    translate_request,
)
from tests.sdk import NO_CUSTOM_TOOLS, READS_STREAMS, check_answer, check_request, read_stream
from tests.strategies import cuts_of
from tests.strategies_chat import answers, assert_grammar, plain, read_all, requests
from tests.wire import Fixture, fixtures

PAIRS = [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.product(DIALECTS, DIALECTS)]
CROSS = [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.permutations(DIALECTS, 2)]
ASKED = ChatRequest("a-model", (), include_usage=True)


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", fixtures(kind), ids=lambda fixture: fixture.name)


targets = pytest.mark.parametrize("target", DIALECTS)


# ---- recorded shapes


@each("request")
@targets
def test_every_recorded_request_is_one_everywhere(fixture: Fixture, target: str) -> None:
    try:
        done = translate_request(fixture.data, fixture.dialect, target, path_model="a-model")
    except Untranslatable as error:
        assert error.param in ("n", "previous_response_id")  # noqa: PT017
        return
    check_request(target, done.body)
    if fixture.dialect == target:
        assert done.body == fixture.data
        assert done.losses == ()


@each("request")
def test_a_recorded_request_comes_back_through_the_hub(fixture: Fixture) -> None:
    dialect = DIALECTS[fixture.dialect]
    request, _ = dialect.parse_request(fixture.data, model="a-model")
    try:
        body, _ = dialect.build_request(request, ANYBODY)
    except Untranslatable:
        return
    check_request(fixture.dialect, body)
    again, _ = dialect.parse_request(body, model="a-model")
    assert _calls(again) == _calls(request)
    assert _results(again) == _results(request)
    everything = _everything(again)
    assert all(text in everything for text in _texts(request))
    assert again.tools == request.tools


@each("response")
@targets
def test_every_recorded_answer_is_one_everywhere(fixture: Fixture, target: str) -> None:
    done = translate_answer(fixture.data, fixture.dialect, target, created=1_800_000_000)
    if done.fault is not None:
        assert (
            DIALECTS[target].classify_error(500, {}, done.body, 0.0).kind == done.fault.kind
            or fixture.dialect == target
        )
        return
    check_answer(target, done.body)
    if fixture.dialect == target:
        assert done.body == fixture.data


@each("stream")
@targets
def test_every_recorded_stream_is_one_everywhere(fixture: Fixture, target: str) -> None:
    expect = fixture.expect
    translator = StreamTranslator(fixture.dialect, target, request=ASKED, created=1_800_000_000)
    out = translator.feed(fixture.data) + translator.close()
    if expect["outcome"] != "ok":
        assert translator.fault is not None
        if not translator.has_begun:
            assert out == b""
        elif target in READS_STREAMS and fixture.dialect != target:
            assert read_stream(target, out).error
        return
    assert translator.fault is None
    if target not in READS_STREAMS or (fixture.dialect == target and not fixture.name.endswith(".sse")):
        return
    seen = read_stream(target, out)
    if seen.error:  # the helper of the openai package raises for these two endings
        assert seen.error in ("LengthFinishReasonError", "ContentFilterFinishReasonError", NO_CUSTOM_TOOLS)
        return
    assert seen.text in (expect["text"], expect.get("refusal"))
    if not expect.get("function_call"):
        # Gemini has no form for a call that the limit of tokens cut.
        is_cut = target == "gemini" and any("args_text" in tool for tool in expect["tools"])
        assert is_cut or [name for _, name, _ in seen.tools] == [tool["name"] for tool in expect["tools"]]
        for (*_, arguments), tool in zip(seen.tools, expect["tools"], strict=not is_cut):
            assert "args_text" in tool or isinstance(tool["args"], str) or arguments == tool["args"]


@each("stream")
def test_every_recorded_stream_reads_the_same_in_any_cut(fixture: Fixture) -> None:
    whole = read_all(DIALECTS[fixture.dialect].reader(), [fixture.data])
    assert_grammar(whole)
    pieces = [fixture.data[i : i + 1] for i in range(len(fixture.data))]
    assert read_all(DIALECTS[fixture.dialect].reader(), pieces) == whole
    usage = fixture.expect.get("usage")
    assert (fold(whole).usage is not None) == bool(usage) or fixture.expect["outcome"] != "ok"


@each("error")
@targets
def test_every_recorded_error_can_be_told_everywhere(fixture: Fixture, target: str) -> None:
    recorded = json.loads(fixture.data)
    body = json.dumps(recorded["body"]).encode()
    status, told, fault = translate_error(recorded["status"], recorded["headers"], body, fixture.dialect, target, 0.0)
    if fixture.dialect == target:
        assert (status, told) == (recorded["status"], body)
    else:
        assert DIALECTS[target].classify_error(status, {}, told, 0.0).message.endswith(fault.message)


# ---- every pair


@pytest.mark.parametrize(("source", "target"), CROSS)
@given(data=st.data())
def test_what_was_asked_arrives(source: str, target: str, data: st.DataObject) -> None:
    asked = data.draw(requests())
    body, _ = DIALECTS[source].build_request(asked, ANYBODY)
    done = translate_request(body, source, target, path_model="a-model")
    check_request(target, done.body)
    got, _ = DIALECTS[target].parse_request(done.body, model="a-model")
    assert done.request is not None
    assert _calls(got) == _calls(done.request)
    assert _results(got) == _results(done.request)
    everything = _everything(got)
    assert all(text.strip() in everything for text in _texts(done.request))
    assert done.body == translate_request(body, source, target, path_model="a-model").body


def _calls(request: ChatRequest) -> list[Any]:
    calls = (block for message in request.messages for block in message.content if isinstance(block, ToolCall))
    return [(call.id, call.name, _value(call.arguments)) for call in calls]


def _value(arguments: str) -> Any:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments  # free text


def _results(request: ChatRequest) -> list[Any]:
    results = [block for message in request.messages for block in message.content if isinstance(block, ToolResult)]
    return sorted((r.call_id, "".join(b.text for b in r.content if isinstance(b, Text)), _images(r)) for r in results)


def _images(result: ToolResult) -> tuple[str, ...]:
    return tuple(
        block.source.data for block in result.content if isinstance(block, Media) and hasattr(block.source, "data")
    )


def _texts(request: ChatRequest) -> list[str]:
    said = [block.text for message in request.messages for block in message.content if isinstance(block, Text)]
    return said + [block.text for block in request.instructions]


def _everything(request: ChatRequest) -> str:
    return "\0".join(_texts(request))


@pytest.mark.parametrize(("source", "target"), CROSS)
@given(data=st.data())
def test_hostile_histories_arrive_in_a_form_the_target_takes(source: str, target: str, data: st.DataObject) -> None:
    body, _ = DIALECTS[source].build_request(data.draw(requests(odd=True)), ANYBODY)
    check_request(target, translate_request(body, source, target, path_model="a-model").body)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@given(data=st.data())
def test_whole_and_stream_say_the_same(source: str, target: str, data: st.DataObject) -> None:
    """The square commutes: translating the stream and folding is folding and translating the whole."""
    answer = data.draw(answers(provider=DIALECTS[source].provider))
    context = AnswerContext(ASKED, created=1_800_000_000)
    stream = DIALECTS[source].writer(context).write(list(unfold(answer)))
    whole, _ = DIALECTS[source].build_answer(answer, context)
    done = translate_answer(whole, source, target, request=ASKED, created=1_800_000_000)
    check_answer(target, done.body)
    translator = StreamTranslator(source, target, request=ASKED, created=1_800_000_000)
    out = b"".join(translator.feed(piece) for piece in data.draw(cuts_of(stream))) + translator.close()
    deltas = read_all(DIALECTS[target].reader(), [out])
    assert_grammar(deltas)
    assert plain(fold(deltas)) == plain(DIALECTS[target].parse_answer(done.body)[0])
    assert translator.usage == done.usage == answer.usage
    assert translator.fault is None
    collector = StreamCollector(source, target, request=ASKED, created=1_800_000_000)
    collector.feed(stream)
    collected = collector.close()
    assert plain(DIALECTS[target].parse_answer(collected.body)[0]) == plain(fold(deltas))
    assert collected.usage == answer.usage


@pytest.mark.parametrize(("source", "target"), PAIRS)
@given(data=st.data())
def test_a_cut_stream_ends_in_an_error_of_the_client(source: str, target: str, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=DIALECTS[source].provider))
    stream = DIALECTS[source].writer(AnswerContext(ASKED)).write(list(unfold(answer)))
    at = data.draw(st.integers(1, len(stream)))
    translator = StreamTranslator(source, target, request=ASKED)
    out = translator.feed(stream[:at]) + translator.close()
    if translator.fault is None:  # what was lost said nothing
        assert isinstance(read_all(DIALECTS[target].reader(), [out])[-1], AnswerEnded)
    elif translator.has_begun:
        assert fold(read_all(DIALECTS[target].reader(), [out])).fault is not None
    else:
        assert out == b""
    assert translator.feed(b"data: {}\n\n") == b"" or source == target


@pytest.mark.parametrize(("source", "target"), PAIRS)
@given(st.data())
def test_garbage_does_no_harm(source: str, target: str, data: st.DataObject) -> None:
    translator = StreamTranslator(source, target)
    for piece in data.draw(st.lists(st.binary(min_size=1, max_size=30), max_size=5)):
        translator.feed(piece)
    translator.close()
    assert translator.fault is not None or translator.has_begun


@pytest.mark.parametrize(("source", "target"), CROSS)
def test_names_and_kinds_of_tools_come_back(source: str, target: str) -> None:
    """Names the provider cannot write, and tools it does not have, come back as the client declared them."""
    upstream, client = DIALECTS[source], DIALECTS[target]
    asked = ChatRequest(
        "m",
        (Message("user", (Text("go"),)),),
        tools=(
            FunctionTool("a.b"),
            FunctionTool("a:b"),
            CustomTool("sql"),
            FunctionTool("send", namespace="mail"),
            FunctionTool("plain"),
        ),
    )
    body, _ = upstream.build_request(asked, ANYBODY)
    sent, _ = upstream.parse_request(body, model="m")
    assert len({(t.namespace, t.name) for t in sent.tools if isinstance(t, FunctionTool | CustomTool)}) == 5
    calls = []
    for n, tool in enumerate(sent.tools):
        assert isinstance(tool, FunctionTool | CustomTool)
        is_free = isinstance(tool, CustomTool)
        arguments = "select 1" if is_free else '{"input":"select 1"}' if n == 2 else "{}"
        calls.append(ToolCall(f"call_{n}", tool.name, arguments, "custom" if is_free else "function", tool.namespace))
    answer = attrs.evolve(ANSWER, choices=(Choice(tuple(calls), Finish("tool")),))
    stream = upstream.writer(AnswerContext(sent)).write(list(unfold(answer)))
    whole, _ = upstream.build_answer(answer, AnswerContext(sent))
    translator = StreamTranslator(source, target, request=asked)
    streamed = fold(read_all(client.reader(), [translator.feed(stream) + translator.close()]))
    done = client.parse_answer(translate_answer(whole, source, target, request=asked).body)[0]
    for found in (streamed, done):
        names = [(block.namespace, block.name) for block in found.blocks if isinstance(block, ToolCall)]
        assert names[:2] == [(None, "a.b"), (None, "a:b")]
        assert names[3] in ((None, "send"), ("mail", "send"))
        assert names[4] == (None, "plain")
        free = [block for block in found.blocks if isinstance(block, ToolCall)][2]
        assert free.arguments in ("select 1", '{"input":"select 1"}')
        assert free.kind == "custom" or not client.has_custom_tools


ANSWER = Answer("a1", "m", (Choice((Text("x"),), Finish("end")),), 1)


# ---- particulars


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "a-model", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


def test_equal_dialects_change_only_the_model() -> None:
    body = b'{ "model" :  "a\\u002dmodel", "messages":[ {"role":"user","content":"x"} ], "x":1.50 }'
    done = translate_request(body, "openai_chat", "openai_chat", model="b")
    assert done.body == b'{ "model" :  "b", "messages":[ {"role":"user","content":"x"} ], "x":1.50 }'
    assert done.losses == ()


def test_a_model_named_twice_is_renamed_once() -> None:
    body = b'{"metadata":{"model":"a"},"model":"a","n":1.0}'
    assert replace_model(body, "b") == b'{"metadata":{"model":"a"},"model":"b","n":1.0}'


def test_json_that_few_can_read_is_renamed_too() -> None:
    body = b'{"model": "a", "text": "\\ud800"}'
    assert json.loads(replace_model(body, "b")) == {"model": "b", "text": "\ud800"}
    assert replace_model(b'{"text": "\\ud800"}', "b") == b'{"text": "\\ud800"}'


def test_a_body_without_a_model_stays() -> None:
    assert replace_model(b'{"contents": []}', "b") == b'{"contents": []}'
    assert replace_model(b'{"model": "a"}', None) == b'{"model": "a"}'
    with pytest.raises(BadRequest):
        replace_model(b"[]", "b")


def test_unknown_fields_are_losses_with_their_names() -> None:
    body = chat(prediction={"type": "content", "content": "x"}, tools=[{"type": "retrieval", "x": 1}])
    done = translate_request(body, "openai_chat", "claude")
    assert {loss.path for loss in done.losses} == {"prediction", "tools[0]"}


def test_strictness_names_the_first_loss() -> None:
    with pytest.raises(Untranslatable, match="seed") as caught:
        translate_request(chat(seed=1), "openai_chat", "claude", is_strict=True)
    assert caught.value.param == "seed"


def test_a_suffix_overrides_the_body_even_between_equal_dialects() -> None:
    body = chat(reasoning_effort="low", unknown=1)
    done = translate_request(
        body, "openai_chat", "openai_chat", model="gpt-5.5", suffix=Thinking("level", level="high")
    )
    assert json.loads(done.body)["reasoning_effort"] == "high"
    assert json.loads(done.body)["unknown"] == 1
    assert done.asked == done.applied == Thinking("level", level="high", show="auto")
    assert translate_request(body, "openai_chat", "openai_chat").body == body


def test_thinking_is_fitted_to_the_model() -> None:
    body = chat(reasoning_effort="high")
    done = translate_request(body, "openai_chat", "claude", model="claude-sonnet-4-5")
    assert json.loads(done.body)["thinking"] == {"type": "enabled", "budget_tokens": 24576, "display": "summarized"}
    assert done.asked == Thinking("level", level="high", show="auto")
    assert done.applied == Thinking("budget", budget=24576, show="auto")


def test_a_target_with_facts_needs_no_table() -> None:
    done = translate_request(chat(), "openai_chat", "claude", to=Target(model="mine"))
    assert json.loads(done.body)["model"] == "mine"


def test_free_text_of_nothing_comes_back_as_nothing() -> None:
    asked = ChatRequest("m", (Message("user", (Text("go"),)),), tools=(CustomTool("sql"),))
    answer = attrs.evolve(ANSWER, choices=(Choice((ToolCall("c", "sql", '{"input":""}'),), Finish("tool")),))
    translator = StreamTranslator("claude", "openai_chat", request=asked)
    out = translator.feed(DIALECTS["claude"].writer(AnswerContext()).write(list(unfold(answer)))) + translator.close()
    assert fold(read_all(DIALECTS["openai_chat"].reader(), [out])).blocks == (ToolCall("c", "sql", "", "custom"),)


def test_extras_inside_of_blocks_are_told() -> None:
    block = {"type": "text", "text": "x", "odd": 1}
    document = {"type": "document", "source": {"type": "content", "content": [block]}, "odd": 1}
    results = [
        {"type": "tool_result", "tool_use_id": "t", "content": [block], "odd": 1},
        document,
        {"type": "search_result"},
    ]
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": [block],
        "messages": [{"role": "user", "content": results, "odd": 1}],
    }
    done = translate_request(json.dumps(body).encode(), "claude", "openai_chat")
    lost = {loss.path for loss in done.losses if loss.path.endswith("odd")}
    assert lost == {
        "instructions[0].odd", "messages[0].odd", "messages[0].content[0].odd", "messages[0].content[0].content[0].odd",
        "messages[0].content[1].odd", "messages[0].content[1].source[0].odd",
    }  # fmt: skip


def test_an_error_in_an_answer_is_an_error() -> None:
    body = b'{"error":{"message":"busy","code":"server_is_overloaded"}}'
    done = translate_answer(body, "openai_chat", "claude")
    assert done.fault is not None
    assert json.loads(done.body)["error"]["type"] == "overloaded_error"
    assert translate_answer(body, "openai_chat", "openai_chat").body == body


def test_an_answer_without_its_last_newline_passes() -> None:
    event = b'data: {"id":"c","choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}'
    translator = StreamTranslator("openai_chat", "openai_chat")
    assert translator.feed(event) == b""
    assert translator.close() == event
    assert translator.fault is None


def test_an_error_first_leaves_the_client_without_a_byte() -> None:
    error = b'data: {"error":{"message":"no","type":"server_error","code":"server_is_overloaded"}}\n\n'
    for target in DIALECTS:
        translator = StreamTranslator("openai_chat", target)
        assert translator.feed(error) == translator.close() == b""
        assert translator.fault is not None
        assert translator.fault.kind == "overloaded"
        assert not translator.has_begun


def test_a_silent_upstream_is_told_in_mid_stream() -> None:
    for target in DIALECTS:
        translator = StreamTranslator("openai_chat", target)
        out = translator.feed(b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"Hi"}}]}\n\n')
        out += translator.fail(Fault("timeout", "the provider went silent"))
        fault = fold(read_all(DIALECTS[target].reader(), [out])).fault
        assert fault is not None
        assert fault.kind == "timeout"
        translator.fail(Fault("internal", "and something else"))
        assert translator.fault is not None
        assert translator.fault.kind == "timeout"  # what came first is what ended it


def test_losses_of_a_stream_are_told() -> None:
    translator = StreamTranslator("openai_chat", "claude")
    translator.feed(
        b'data: {"id":"c","model":"m","choices":[{"index":1,"delta":{"content":"Hi"}}]}\n\ndata: nonsense\n\n'
    )
    assert {loss.path for loss in translator.losses} == {"answer", "answer.choices"}


def test_a_collected_stream_may_fail() -> None:
    collector = StreamCollector("openai_chat", "claude")
    collector.feed(b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"Hi"}}]}\n\n')
    done = collector.close()
    assert done.fault is not None
    assert json.loads(done.body)["type"] == "error"


def test_a_whole_answer_can_be_streamed() -> None:
    body = DIALECTS["gemini"].build_answer(ANSWER, AnswerContext())[0]
    for target in DIALECTS:
        done = translate_answer(body, "gemini", target, as_stream=True)
        assert done.is_stream
        assert plain(fold(read_all(DIALECTS[target].reader(), [done.body])))[:2] == plain(ANSWER)[:2]


def test_a_whole_answer_that_is_streamed_names_the_tools_of_the_client() -> None:
    asked = ChatRequest("m", (Message("user", (Text("go"),)),), tools=(CustomTool("sql"),))
    answer = attrs.evolve(ANSWER, choices=(Choice((ToolCall("c", "sql", '{"input":"x"}'),), Finish("tool")),))
    body = DIALECTS["claude"].build_answer(answer, AnswerContext())[0]
    done = translate_answer(body, "claude", "openai_chat", request=asked, as_stream=True)
    out = fold(read_all(DIALECTS["openai_chat"].reader(), [done.body]))
    assert out.blocks == (ToolCall("c", "sql", "x", "custom"),)


def test_fields_of_an_answer_that_only_its_provider_knows_are_told_wherever_they_stand() -> None:
    node = {
        "candidates": [
            {
                "content": {"parts": [{"text": "x"}], "role": "model"},
                "finishReason": "STOP",
                "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT"}],
            }
        ],
        "modelStatus": {"message": "old"},
    }
    done = translate_answer(json.dumps(node).encode(), "gemini", "openai_chat")
    assert [loss.path for loss in done.losses] == ["answer.modelStatus", "answer.choices.safetyRatings"]
    text = {"type": "text", "text": "x", "odd": 1}
    node = {"type": "message", "content": [text, {"type": "server_tool_use", "id": "s"}], "stop_reason": "end_turn"}
    done = translate_answer(json.dumps(node).encode(), "claude", "openai_chat")
    assert [loss.path for loss in done.losses] == ["answer.blocks.odd", "answer.blocks"]


def test_hints_pass_strict_translation() -> None:
    text = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    node = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [text]}]}
    body = json.dumps(node).encode()
    done = translate_request(body, "claude", "openai_chat", is_strict=True)
    assert done.losses == (Loss("messages[0].content[0].cache", "hint", "OpenAI caches without marks"),)
    body = json.dumps({**node, "top_k": 3}).encode()
    with pytest.raises(Untranslatable) as caught:
        translate_request(body, "claude", "openai_chat", is_strict=True)
    assert caught.value.param == "top_k"


def test_an_empty_error_of_an_equal_dialect_is_filled() -> None:
    status, body, fault = translate_error(502, {}, b"", "claude", "claude", 0.0)
    assert (status, fault.kind) == (502, "internal")
    assert json.loads(body)["error"]["type"] == "api_error"
