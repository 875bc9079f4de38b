"""Writing streams of Responses: what real clients insist on."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Inline, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    CitationDelta,
    Delta,
    Finished,
    LogprobsDelta,
    Ping,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    WholeBlock,
    unfold,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import AnswerContext
from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES
from dragoman.core.dialects.openai_responses.stream_writer import Writer
from dragoman.core.translate import StreamTranslator
from tests.sdk import read_stream
from tests.strategies_chat import answers
from tests.wire import by_name

NAME = "openai_responses"
CONTEXT = AnswerContext(ChatRequest("m", ()), created=9)


def events_of(stream: bytes) -> list[Any]:
    """The events, each checked for its name and number."""
    found: list[Any] = []
    for block in stream.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == len(found)
        found.append(event)
    return found


def write(*deltas: Delta) -> list[Any]:
    return events_of(Writer(CONTEXT).write(deltas))


def kinds(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def assert_consistent(events: list[Any]) -> None:
    """Properties T9 to T11 of a stream: one beginning, one end, items that agree with their pieces."""
    assert kinds(events)[:2] == ["created", "in_progress"]
    assert sum(kind in ("completed", "incomplete", "failed") for kind in kinds(events)) == 1
    opened: dict[int, Any] = {}
    closed: list[Any] = []
    pieces: dict[tuple[Any, ...], str] = {}
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(opened)
            opened[event["output_index"]] = event["item"]
        elif kind == "response.output_item.done":
            assert event["output_index"] == len(closed)
            item = opened[event["output_index"]]
            assert (event["item"]["id"], event["item"]["type"]) == (item["id"], item["type"])
            closed.append(event["item"])
        elif "item_id" in event:
            assert event["item_id"] == opened[event["output_index"]]["id"]
            place = (event["item_id"], event.get("content_index"), event.get("summary_index"))
            if kind.endswith(".delta"):
                assert event["delta"]
                pieces[place] = pieces.get(place, "") + event["delta"]
            elif kind.endswith((".text.done", "_text.done", "refusal.done", "arguments.done", "input.done")):
                whole = next(event[key] for key in ("text", "refusal", "arguments", "input") if key in event)
                assert pieces.get(place, "") == whole
    ids = [item["id"] for item in closed]
    assert len(set(ids)) == len(ids)
    assert len({e["response"]["id"] for e in events if "response" in e}) == 1
    assert next(e for e in reversed(events) if "response" in e)["response"]["output"] == closed


@given(st.data())
def test_every_stream_agrees_with_itself_and_the_whole(data: st.DataObject) -> None:
    answer = data.draw(answers(provider=data.draw(st.sampled_from(["openai", "claude"]))))
    stream = Writer(CONTEXT).write([piece for delta in unfold(answer) for piece in _halves(delta)])
    events = events_of(stream)
    assert_consistent(events)
    whole, _ = OPENAI_RESPONSES.build_answer(answer, CONTEXT)
    assert events[-1]["response"] == json.loads(whole)
    assert not read_stream(NAME, stream).error


def _halves(delta: Any) -> list[Any]:
    """A delta in two, where it has text enough."""
    field = "arguments" if isinstance(delta, ToolCallDelta) else "text"
    text = getattr(delta, field, "")
    if len(text) < 2:
        return [delta]
    return [msgspec.structs.replace(delta, **{field: half}) for half in (text[:1], text[1:])]


def test_the_runbooks_filter_finds_usage() -> None:
    """``jq .usage`` over the data lines prints exactly one line, the same as in the whole answer."""
    answer = Answer("a", "m", (Choice((Text("x"),), Finish("end")),), 1, TokenUsage(5, 3, 2, 1, 1))
    stream = Writer(CONTEXT).write(list(unfold(answer)))
    found = [event["usage"] for event in events_of(stream) if event.get("usage")]
    assert found == [json.loads(OPENAI_RESPONSES.build_answer(answer, CONTEXT)[0])["usage"]]
    seen = read_stream(NAME, stream)
    assert (seen.error, seen.usage["input_tokens"]) == ("", 5)
    assert "usage" not in write(AnswerStarted("a", "m"), Finished(Finish("end")), AnswerEnded())[-1]


def test_a_failure_is_told_in_every_way_there_is() -> None:
    """Even at once: created first, then the failed response, then the error, flat and nested."""
    fault = Fault("rate_limit", "Slow down.", retry_after=2.0)
    events = write(StreamFailed(fault), TextDelta("late"), AnswerEnded())
    assert kinds(events) == ["created", "in_progress", "failed", "error"]
    assert_consistent(events[:-1])
    assert events[2]["response"]["error"]["code"] == "rate_limit_exceeded"
    assert events[3]["message"] == events[3]["error"]["message"] == "Slow down."
    assert read_stream(NAME, Writer(CONTEXT).write([StreamFailed(fault)])).error == "APIError"


def test_a_failure_keeps_what_was_complete() -> None:
    call = (ToolCallStarted("c", "f"), ToolCallDelta("{}"))
    begun = (AnswerStarted("a", "m"), TextDelta("x"), BlockEnded(), *call)
    failed = StreamFailed(Fault("internal", "x"))
    assert [item["type"] for item in write(*begun, BlockEnded(), failed)[-2]["response"]["output"]] == [
        "message",
        "function_call",
    ]
    assert [item["type"] for item in write(*begun, failed)[-2]["response"]["output"]] == ["message"]


def test_a_call_that_was_cut_does_not_look_whole() -> None:
    call = (AnswerStarted("a", "m"), ToolCallStarted("c", "f"), ToolCallDelta('{"a'), BlockEnded())
    events = write(*call, Finished(Finish("length")), AnswerEnded())
    assert kinds(events)[-1] == "incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
    writer = Writer(CONTEXT)
    writer.write(call)
    assert b"output_item.done" in writer.write([TextDelta("on")])  # something else follows: it was whole


def test_arguments_are_never_empty() -> None:
    events = write(
        AnswerStarted("a", "m"), ToolCallStarted("c", "f"), BlockEnded(), Finished(Finish("tool")), AnswerEnded()
    )
    assert events[-1]["response"]["output"][0]["arguments"] == "{}"
    assert_consistent(events)
    free = ToolCallStarted("c", "f", kind="custom", namespace="n", item_id="ctc_9")
    events = write(AnswerStarted("a", "m"), free, BlockEnded(), Finished(Finish("tool")), AnswerEnded())
    item = events[-1]["response"]["output"][0]
    assert item == {
        "id": "ctc_9", "type": "custom_tool_call", "call_id": "c", "name": "f", "namespace": "n", "input": "",
    }  # fmt: skip


def test_blocks_of_every_kind() -> None:
    gemini = Signature("gemini", "c2ln")
    blocks = (
        Reasoning("why", Signature("claude", "EqQB")), Reasoning("raw", is_summary=False), Reasoning("", gemini, item_id="rs_7"),
        Reasoning("", Signature("claude", "EmwK"), redacted=True), Reasoning("", redacted=True), Text("a"), Text("b"),
        Refusal("no"), Text("c", signature=gemini), ToolCall("c", "f", "{}", signature=gemini), ToolCall("d", "g", "x", "custom"),
        Media("image", Inline("image/png", "iVBO")), Opaque(NAME, "web_search_call", {"id": "ws_1", "type": "web_search_call"}),
        Opaque("claude", "x", {}), Opaque(NAME, "content part y", {}),
    )  # fmt: skip
    answer = Answer("a", "m", (Choice(blocks, Finish("tool")),), 1)
    writer = Writer(CONTEXT)
    events = events_of(writer.write(list(unfold(answer))))
    assert_consistent(events)
    whole, losses = OPENAI_RESPONSES.build_answer(answer, CONTEXT)
    assert events[-1]["response"] == json.loads(whole)
    assert set(writer.losses) == set(losses)
    assert [loss.path for loss in losses] == ["answer.blocks", "answer.blocks"]


def test_citations_probabilities_and_signs_of_life() -> None:
    token = {"token": "ab", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    deltas: list[Delta] = [
        AnswerStarted("a", "m"), TextDelta("ab"), LogprobsDelta([token]), CitationDelta(Citation("https://a.example", "A")),
        CitationDelta(Citation()), BlockEnded(), TextDelta("cd"), BlockEnded(), Ping(), TextDelta("other", 1), BlockEnded(1),
        Finished(Finish("end")), UsageUpdate(TokenUsage(1, 1)), AnswerEnded(),
    ]  # fmt: skip
    writer = Writer(CONTEXT)
    stream = writer.write(deltas)
    assert b": ping\n\n" in stream
    events = events_of(stream)
    first, second = events[-1]["response"]["output"][0]["content"]
    assert first["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "A", "url": "https://a.example"}
    ]
    assert first["logprobs"] == [token]
    assert second == {"type": "output_text", "text": "cd", "annotations": []}
    assert [loss.path for loss in writer.losses] == ["answer.citations", "answer.choices"]
    assert "late" not in str(write(AnswerStarted("a", "m"), CitationDelta(Citation("late")), Finished(Finish("end"))))


def test_what_keeps_no_grammar_does_no_harm() -> None:
    events = write(
        AnswerStarted("a", "m"), ToolCallDelta("of no call"), BlockEnded(), TextDelta("x"), Finished(Finish("end")), AnswerEnded()
    )  # fmt: skip
    assert_consistent(events)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "x"


def test_without_a_beginning_one_is_made() -> None:
    assert kinds(write(AnswerEnded())) == ["created", "in_progress", "completed"]
    assert kinds(write(WholeBlock(Opaque(NAME, "x", {"type": "x"}))))[:2] == ["created", "in_progress"]


def test_a_stream_that_passes_and_breaks_off_goes_on_where_it_was() -> None:
    translator = StreamTranslator(NAME, NAME)
    out = translator.feed(by_name("responses.stream.truncated-mid-item.sse")) + translator.close()
    assert out.count(b'"type":"response.created"') == 1
    assert out.count(b'"type":"response.failed"') == 1
    assert read_stream(NAME, out).error == "APIError"


def test_the_models_own_name_for_a_renamed_model() -> None:
    """Through the hub and back: ids of encrypted reasoning stay, for it is bound to them."""
    translator = StreamTranslator(NAME, NAME, model="mine")
    out = translator.feed(by_name("responses.stream.reasoning-text-tool.sse")) + translator.close()
    events = events_of(out)
    assert_consistent(events)
    assert {event["response"]["model"] for event in events if "response" in event} == {"mine"}
    assert [item["id"] for item in events[-1]["response"]["output"]] == ["rs_1", "msg_68a1_1", "fc_1"]
