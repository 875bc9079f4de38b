"""Reading streams of Responses: what real servers do to them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Inline, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.loss import Extras, Loss
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import Delta, StreamFailed, fold, unfold
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import DIALECTS, AnswerContext
from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES
from dragoman.core.dialects.openai_responses.stream import Reader
from tests.strategies_chat import assert_grammar, read_all
from tests.wire import by_name

USAGE = {"input_tokens": 3, "output_tokens": 2}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}


def said(*events: Any, ended: bool = True) -> bytes:
    """A stream of (kind, fields) with a beginning and, unless told otherwise, an end."""
    whole = [("created", {"response": {"id": "resp_1", "model": "m", "created_at": 5}}), *events]
    if ended:
        whole.append(("completed", {"response": {"id": "resp_1", "status": "completed", "output": [], "usage": USAGE}}))
    return b"".join(
        b"data: " + json.dumps({"type": f"response.{kind}", **fields}).encode() + b"\n\n" for kind, fields in whole
    )


def deltas_of(*events: Any, ended: bool = True) -> list[Delta]:
    deltas = read_all(Reader(), [said(*events, ended=ended)])
    assert_grammar(deltas)
    return deltas


def blocks_of(*events: Any) -> tuple[Any, ...]:
    answer = fold(deltas_of(*events))
    assert answer.usage == TokenUsage(3, 2)
    return answer.blocks


def added(item: Any, index: int | None = 0) -> Any:
    return ("output_item.added", {"item": item} | ({} if index is None else {"output_index": index}))


def done(item: Any, index: int | None = 0) -> Any:
    return ("output_item.done", {"item": item} | ({} if index is None else {"output_index": index}))


def text(delta: str, item: str | None = "msg_1", index: int | None = 0, part: int = 0, **more: Any) -> Any:
    where = {"item_id": item, "output_index": index, "content_index": part}
    return (
        "output_text.delta",
        {key: value for key, value in where.items() if value is not None} | {"delta": delta} | more,
    )


def folded(name: str) -> Answer:
    return fold(read_all(Reader(), [by_name(name)]))


def test_a_recorded_stream_is_the_recorded_answer() -> None:
    """Where both were recorded, they say the same."""
    for stream, whole in [
        ("plain-text", "plain-text"), ("parallel-tools", "parallel-tools"), ("refusal", "refusal-part"),
        ("reasoning-text-tool", "reasoning-text-then-tool"), ("cached-usage", "cached-usage"),
        ("incomplete-max-output-tokens", "incomplete-max-output-tokens"), ("web-search-citations", "web-search-with-citations"),
    ]:  # fmt: skip
        answer, _ = OPENAI_RESPONSES.parse_answer(by_name(f"responses.response.{whole}.json"))
        assert folded(f"responses.stream.{stream}.sse") == answer, stream


def test_done_events_alone_are_enough() -> None:
    assert folded("responses.stream.done-events-only-no-deltas.sse").blocks == (
        Text("42"),
        ToolCall("call_oslo1", "get_weather", '{"city":"Oslo","unit":"c"}', item_id="fc_1"),
    )


def test_items_that_only_the_last_event_knows() -> None:
    whole = {
        **MESSAGE,
        "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": [{"token": "Hi"}]}],
    }
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    response = {"status": "completed", "output": [reasoning, whole, {**CALL, "arguments": "{}"}]}
    answer = fold(deltas_of(("completed", {"response": response, "usage": USAGE}), ended=False))
    call = ToolCall("call_1", "f", "{}", item_id="fc_1")
    assert answer.blocks == (Reasoning("", Signature("openai", "gAAA"), item_id="rs_1"), Text("Hi"), call)
    assert answer.choices[0].logprobs == ({"token": "Hi"},)
    assert answer.usage == TokenUsage(3, 2)
    assert answer.finish == Finish("tool", raw=("openai_responses", "completed"))


def test_what_was_lost_on_the_way_comes_with_the_whole() -> None:
    part = {"type": "output_text", "text": "Hello", "annotations": []}
    assert blocks_of(added(MESSAGE), text("He"), done({**MESSAGE, "content": [part]})) == (Text("Hello"),)
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    assert blocks_of(added(MESSAGE), text("He"), ("output_text.done", {**where, "text": "Hello"})) == (Text("Hello"),)
    arguments = ("function_call_arguments.delta", {"item_id": "fc_1", "output_index": 0, "delta": '{"a"'})
    assert blocks_of(added(CALL), arguments, done({**CALL, "arguments": '{"a":1}'}))[0].arguments == '{"a":1}'
    reader = Reader()
    answer = fold(read_all(reader, [said(added(MESSAGE), text("Hx"), done({**MESSAGE, "content": [part]}))]))
    assert answer.blocks == (Text("Hx"),)
    assert [loss.kind for loss in reader.losses] == ["changed"]


def test_neither_ids_nor_indices_nor_names() -> None:
    events = [
        added({"type": "message", "role": "assistant"}, None), text("a", None, None), text("b", None, None),
        done({"type": "message", "role": "assistant", "content": []}, None),
        added({**CALL, "id": None}, None), ("function_call_arguments.done", {"arguments": "{}"}),
        done({**CALL, "id": None, "arguments": "{}"}, None),
    ]  # fmt: skip
    assert fold(deltas_of(*events)).blocks[0] == Text("ab")
    lines = [b'event: response.output_text.delta\ndata: {"item_id":"m","delta":"%c"}\n\n' % c for c in b"xy"]
    assert fold(read_all(Reader(), lines)).blocks == (Text("xy"),)


def test_deltas_before_their_item() -> None:
    assert blocks_of(text("Hi"), done({**MESSAGE, "content": [{"type": "output_text", "text": "Hi"}]})) == (Text("Hi"),)
    early = ("function_call_arguments.delta", {"item_id": "fc_1", "output_index": 0, "delta": "{"})
    late = ("function_call_arguments.delta", {"item_id": "fc_1", "output_index": 0, "delta": "}"})
    call = ToolCall("call_1", "f", "{}", item_id="fc_1")
    assert blocks_of(early, added(CALL), late, done(CALL)) == (call,)
    assert blocks_of(added({**CALL, "name": ""}), early, late, done(CALL)) == (call,)
    nothing = ("function_call_arguments.done", {"item_id": "fc_1", "output_index": 0, "arguments": ""})
    assert blocks_of(added(CALL), nothing, done(CALL)) == (call,)
    unnamed = blocks_of(early, late)[0]
    assert unnamed.id.startswith("call_")
    assert unnamed.arguments == "{}"


def test_items_may_interleave() -> None:
    """Only one block is open at a time: what comes too early waits."""
    other = {**CALL, "id": "fc_2", "call_id": "call_2"}

    def more(item: str, index: int, delta: str) -> Any:
        return ("function_call_arguments.delta", {"item_id": item, "output_index": index, "delta": delta})

    events = [
        added(CALL, 0), added(other, 1), more("fc_1", 0, "[1"), more("fc_2", 1, "[2"), more("fc_1", 0, "1]"),
        done({**other, "arguments": "[2"}, 1), added(MESSAGE, 2), text("Hi", index=2), done(CALL, 0), text("!", index=2),
    ]  # fmt: skip
    assert blocks_of(*events) == (
        ToolCall("call_1", "f", "[11]", item_id="fc_1"), ToolCall("call_2", "f", "[2", item_id="fc_2"), Text("Hi!"),
    )  # fmt: skip


def test_repeated_and_late_events_change_nothing() -> None:
    part = {"type": "output_text", "text": "Hi", "annotations": []}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = done({**MESSAGE, "content": [part]})
    events = [
        added(MESSAGE), added(MESSAGE), text("Hi"), ("content_part.done", {**where, "part": part}),
        ("content_part.done", {**where, "part": part}), text("late"), ("output_text.done", {**where, "text": "Hi"}),
        ("refusal.done", {**where, "refusal": "no"}), whole, whole, text("later"), ("refusal.delta", {**where, "delta": "x"}),
        ("output_text.done", {**where, "text": "Hi"}), ("output_text.annotation.added", {**where, "annotation": {}}),
        ("content_part.done", {**where, "part": part}), ("reasoning_text.delta", {**where, "delta": "x"}),
        ("function_call_arguments.delta", {**where, "delta": "x"}),
    ]  # fmt: skip
    assert blocks_of(*events) == (Text("Hi"),)


def test_an_index_used_twice_is_two_items() -> None:
    second = {**MESSAGE, "id": "msg_2", "content": [{"type": "output_text", "text": "b"}]}
    assert blocks_of(added(MESSAGE), text("a"), done(MESSAGE), done(second)) == (Text("a"), Text("b"))


def test_parts_are_blocks() -> None:
    note = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "A", "url": "https://a.example"}
    where = {"item_id": "msg_1", "output_index": 0}
    parts = [
        {"type": "output_text", "text": "a", "annotations": [note, note]}, {"type": "output_text", "text": "b"},
        {"type": "refusal", "refusal": "no"}, {"type": "output_text", "text": ""}, {"type": "hologram"},
    ]  # fmt: skip
    events = [
        added(MESSAGE), text("a"), ("output_text.annotation.added", {**where, "content_index": 0, "annotation": note}),
        text("b", part=1), ("refusal.delta", {**where, "content_index": 2, "delta": "n"}),
        ("refusal.done", {**where, "content_index": 2, "refusal": "no"}), done({**MESSAGE, "content": parts}),
    ]  # fmt: skip
    cited = Citation("https://a.example", "A", 0, 1)
    assert blocks_of(*events) == (Text("a", (cited,)), Text("b"), Refusal("no"))
    assert blocks_of(added(MESSAGE), done({**MESSAGE, "content": parts})) == (
        Text("a", (cited, cited)), Text("b"), Refusal("no"),
    )  # fmt: skip
    refused = fold(deltas_of(added(MESSAGE), done({**MESSAGE, "content": parts[2:]})))
    assert refused.finish is not None
    assert refused.finish.kind == "refusal"
    empty = ("output_text.done", {**where, "content_index": 0, "text": ""})
    assert blocks_of(added(MESSAGE), empty, done(MESSAGE)) == ()
    uncited = ("output_text.annotation.added", {**where, "content_index": 0, "annotation": note})
    assert blocks_of(added(MESSAGE), uncited, done(MESSAGE)) == ()
    behind = {**where, "content_index": 0, "part": parts[0]}
    assert blocks_of(added(MESSAGE), text("b", part=1), ("content_part.done", behind)) == (
        Text("b"),
        Text("a", (cited, cited)),
    )


def test_probabilities_come_once() -> None:
    token = {"token": "a", "logprob": -1.0}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = ("output_text.done", {**where, "text": "a", "logprobs": [token]})
    for events in ([text("a", logprobs=[token]), whole], [text("a"), whole], [whole]):
        answer = fold(deltas_of(added(MESSAGE), *events, done(MESSAGE)))
        assert answer.choices[0].logprobs == (token,)


# ---- reasoning


def thought(kind: str, part: int, words: str, word: str = "delta") -> Any:
    index = "content_index" if kind == "reasoning_text" else "summary_index"
    name = "text" if word == "done" else "delta"
    return (f"{kind}.{word}", {"item_id": "rs_1", "output_index": 0, index: part, name: words})


THOUGHTS = {"id": "rs_1", "type": "reasoning", "summary": []}


def test_parts_of_reasoning_are_one_block() -> None:
    summary = "reasoning_summary_text"
    whole = {**THOUGHTS, "summary": [{"text": "ab"}, {"text": "cd"}, {"text": "e"}], "encrypted_content": "gAAA"}
    events = [
        added(THOUGHTS), thought(summary, 0, "a"), thought(summary, 0, "b"), thought(summary, 0, "ab", "done"),
        thought(summary, 1, "c"), thought(summary, 1, "cd", "done"), thought(summary, 0, "ab", "done"), done(whole),
    ]  # fmt: skip
    assert blocks_of(*events) == (
        Reasoning("ab\n\ncd\n\ne", Signature("openai", "gAAA"), is_summary=True, item_id="rs_1"),
    )
    assert blocks_of(added(THOUGHTS), done(whole)) == blocks_of(*events)


def test_raw_reasoning() -> None:
    raw = {**THOUGHTS, "content": [{"type": "reasoning_text", "text": "ab"}]}
    plain = (Reasoning("ab", is_summary=False, item_id="rs_1"),)
    assert blocks_of(added(THOUGHTS), thought("reasoning_text", 0, "a"), done(raw)) == plain
    both = {**raw, "summary": [{"text": "short"}]}
    other = thought("reasoning_summary_text", 0, "short")
    assert blocks_of(added(THOUGHTS), thought("reasoning_text", 0, "ab"), other, done(both)) == plain
    assert blocks_of(thought("reasoning_text", 0, ""), done(THOUGHTS)) == ()


def test_wrapped_reasoning_comes_out_again() -> None:
    redacted = {**THOUGHTS, "encrypted_content": "sig1~claude~redacted~EmwK"}
    assert blocks_of(added(THOUGHTS), done(redacted)) == (Reasoning("", Signature("claude", "EmwK"), redacted=True),)
    gemini = {**THOUGHTS, "encrypted_content": "sig1~gemini~~c2ln"}
    lone = Reasoning("", Signature("gemini", "c2ln"), item_id="rs_1")
    call = ToolCall("call_1", "f", "{}", signature=lone.signature, item_id="fc_1")
    assert blocks_of(added(THOUGHTS), done(gemini), added(CALL, 1), done(CALL, 1)) == (call,)
    assert blocks_of(added(THOUGHTS), done(gemini)) == (lone,)
    hello = done({**MESSAGE, "content": [{"type": "output_text", "text": "Hi"}]}, 1)
    assert blocks_of(added(THOUGHTS), done(gemini), hello) == (lone, Text("Hi"))
    assert blocks_of(added(THOUGHTS), added(MESSAGE, 1), text("Hi", index=1), done(gemini)) == (lone, Text("Hi"))


# ---- items of its own


def test_other_items_come_whole() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    image = {"id": "ig_1", "type": "image_generation_call", "result": "iVBO"}
    broken = {"id": "msg_2", "type": "image_generation_call", "role": 7}
    blocks = blocks_of(
        added(search), ("web_search_call.searching", {"item_id": "ws_1"}), done(search), done(image, 1), done(broken, 2),
        added({"id": "x_1"}, 3), done({"id": "x_1", "type": "custom_tool_call", "call_id": "c", "name": "g", "input": ""}, 3),
        added({"id": "lost", "type": "mcp_call"}, 4),
    )  # fmt: skip
    assert blocks[0] == Opaque("openai_responses", "web_search_call", search)
    assert isinstance(blocks[1], Media)
    assert blocks[1].source == Inline("image/png", "iVBO")
    assert blocks[2] == Opaque("openai_responses", "image_generation_call", broken)
    assert blocks[3] == ToolCall("c", "g", "", "custom", item_id="x_1")
    assert len(blocks) == 4


def test_an_item_that_is_none_is_a_loss() -> None:
    reader = Reader()
    read_all(reader, [said(added({"id": "x", "type": "mcp_call"}), done({"id": "x", "type": "function_call"}))])
    assert [loss.kind for loss in reader.losses] == ["dropped"]


def test_free_text_keeps_its_kind() -> None:
    answer = folded("responses.stream.custom-tool.sse")
    assert answer.blocks == (ToolCall("call_c1", "run_sql", "select 1;", "custom", item_id="ctc_1"),)


# ---- ends


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"type": "error", "code": "server_error", "message": "flat", "param": None}, "internal", "flat"),
        ({"type": "error", "error": {"code": "server_error", "message": "nested"}}, "internal", "nested"),
        ({"error": {"type": "insufficient_quota", "message": "no type"}}, "billing", "no type"),
        ({"type": "error", "error": "words"}, "internal", "words"),
        ({"type": "error", "status_code": 429, "error": {"type": "usage_limit_reached", "message": "x"}}, "quota", "x"),
        ({"type": "response.failed", "response": {"error": {"code": "slow_down", "message": "x"}}}, "overloaded", "x"),
        ({"type": "response.failed", "response": {"status": "failed", "usage": USAGE}}, "internal", "the response failed"),
        ({"type": "response.cancelled", "response": {"status": "cancelled"}}, "internal", "the response failed"),
    ],
)  # fmt: skip
def test_an_error_has_many_shapes(event: Any, kind: str, message: str) -> None:
    reader = Reader()
    for stream in (said(text("Half"), ended=False), b""):
        reader = Reader()
        deltas = reader.feed(stream + b"data: " + json.dumps(event).encode() + b"\n\n")
        assert_grammar(deltas)
        last = deltas[-1]
        assert isinstance(last, StreamFailed)
        assert (last.fault.kind, last.fault.message) == (kind, message)
        assert reader.feed(stream) == reader.close() == []


def test_the_last_event_may_hold_less_than_it_should() -> None:
    assert fold(deltas_of(("completed", {}), ended=False)).finish == Finish(
        "end", raw=("openai_responses", "completed")
    )
    cut = fold(
        deltas_of(("incomplete", {"response": {"incomplete_details": {"reason": "content_filter"}}}), ended=False)
    )
    assert cut.finish is not None
    assert cut.finish.kind == "filter"
    assert cut.usage is None


def test_without_the_last_event_it_was_cut() -> None:
    for end in (b"", b"data: [DONE]\n\n", b"data: [DONE]\n\ndata: {}\n\n"):
        reader = Reader()
        deltas = read_all(reader, [said(text("Half"), ended=False) + end])
        assert isinstance(deltas[-1], StreamFailed)
        assert deltas[-1].fault.kind == "truncated"
        assert reader.losses == []
    reader = Reader()
    assert read_all(reader, [said() + b"data: [DONE]\n\n"]) == deltas_of()


def test_what_is_no_event_is_skipped() -> None:
    reader = Reader()
    odd = b"data: what?\n\ndata: 7\n\ndata: \n\n" + said(
        ("output_text.delta", {"item_id": 7, "output_index": "x", "delta": {"a": 1}, "logprobs": 3}),
        ("shell_call_output_content.delta", {"delta": {"stdout": "x"}}),
        text("Hi"),
    )
    assert fold(read_all(reader, [odd])).blocks == (Text("Hi"),)
    assert [loss.detail for loss in reader.losses] == ["an event of the stream is not JSON"]


def test_an_event_too_large_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.core.sse.EventReader.__init__.__kwdefaults__", {"max_event": 10})
    (failed,) = Reader().feed(b"data: " + b"x" * 20)
    assert isinstance(failed, StreamFailed)
    assert failed.fault.kind == "internal"


@given(st.lists(st.sampled_from([added(MESSAGE), added(CALL, 1), text("x"), text("y", part=1), text("z", "msg_2", 2),
                                 done(MESSAGE), done(CALL, 1), done({**CALL, "arguments": "{}"}, 1), done(THOUGHTS, 3),
                                 thought("reasoning_text", 0, "t"), thought("reasoning_summary_text", 1, "t", "done"),
                                 ("function_call_arguments.delta", {"item_id": "fc_1", "output_index": 1, "delta": "{}"}),
                                 done({"id": "ws", "type": "web_search_call"}, 4)]), max_size=12))  # fmt: skip
def test_events_in_any_order_keep_the_grammar(events: list[Any]) -> None:
    deltas_of(*events)
    deltas_of(*events, ended=False)


def test_the_phase_of_a_message_goes_through_the_hub() -> None:
    """It is a label that its provider wants back; it may come with the beginning of its message or with the end."""
    phased = Extras("openai_responses", {"phase": "commentary"}, frozenset({"phase"}))
    final = Extras("openai_responses", {"phase": "final_answer"}, frozenset({"phase"}))
    blocks = (Text("a", extras=phased), Text("b"), Refusal("no"), Text("c", extras=final), Text("d", extras=final))
    answer = Answer("r", "m", (Choice(blocks, Finish("end")),))
    writer = OPENAI_RESPONSES.writer(AnswerContext())
    stream = writer.write(list(unfold(answer)))
    deltas = read_all(Reader(), [stream])
    assert_grammar(deltas)
    assert fold(deltas).blocks == (*blocks[:4], Text("d"))
    assert writer.losses == []
    for name in ("claude", "openai_chat", "gemini"):
        other = DIALECTS[name].writer(AnswerContext())
        other.write(list(unfold(answer)))
        assert Loss("answer.blocks.phase", "hint", "only openai_responses knows this field") in other.losses


@pytest.mark.parametrize("early", [None, "commentary"])
def test_a_phase_may_come_late(early: str | None) -> None:
    part = {"type": "output_text", "text": "a"}
    done = {**MESSAGE, "phase": "commentary", "content": [part]}
    added = ("output_item.added", {"output_index": 0, "item": MESSAGE | ({"phase": early} if early else {})})
    (text,) = blocks_of(added, ("output_item.done", {"output_index": 0, "item": done}))
    assert text.extras == Extras("openai_responses", {"phase": "commentary"}, frozenset({"phase"}))
    refused = {**done, "content": [{"type": "refusal", "refusal": "no"}, part]}
    assert blocks_of(added, ("output_item.done", {"output_index": 0, "item": refused})) == (Refusal("no"), Text("a"))
