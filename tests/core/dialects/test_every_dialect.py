"""What holds for every dialect: each row of `DIALECTS` is taken through it all."""

import contextlib
import json
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Text, ToolCall, ToolResult
from dragoman.core.chat.fault import STATUS, Fault, FaultKind
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message
from dragoman.core.chat.stream import AnswerEnded, StreamFailed, fold, unfold
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects import DIALECTS, AnswerContext, Dialect
from dragoman.core.errors import BadAnswer, BadRequest, Untranslatable
from tests.sdk import check_answer, check_request
from tests.strategies import cuts_of
from tests.strategies_chat import (
    JSON,
    SCALARS,
    answers,
    assert_grammar,
    plain,
    read_all,
    requests,
)

pytestmark = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
CONTEXT = AnswerContext(ChatRequest("some-model", (), include_usage=True), created=1_800_000_000)


def written(dialect: Dialect, answer: Any) -> bytes:
    """An answer as a stream."""
    writer = dialect.writer(CONTEXT)
    return b"".join(writer.write([delta]) for delta in unfold(answer))


@given(st.data())
def test_an_answer_comes_back(dialect: Dialect, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=dialect.provider))
    body, _ = dialect.build_answer(answer, CONTEXT)
    check_answer(dialect.name, body)
    assert plain(dialect.parse_answer(body)[0]) == plain(answer)
    assert dialect.build_answer(answer, CONTEXT)[0] == body


@given(st.data())
def test_a_stream_folds_to_the_whole_answer(dialect: Dialect, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=dialect.provider))
    stream = written(dialect, answer)
    whole, _ = dialect.parse_answer(dialect.build_answer(answer, CONTEXT)[0])
    deltas = read_all(dialect.reader(), [stream])
    assert_grammar(deltas)
    assert plain(fold(deltas)) == plain(answer) == plain(whole)
    assert dialect.writer(CONTEXT).write(list(unfold(answer))) == stream
    assert not any(char in stream.decode() for char in "\x85\u2028\u2029")


@given(st.data())
def test_cuts_do_not_matter(dialect: Dialect, data: st.DataObject) -> None:
    stream = written(dialect, data.draw(answers(provider=dialect.provider)))
    ends = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    stream = stream.replace(b"\n", ends)
    whole = read_all(dialect.reader(), [stream])
    assert read_all(dialect.reader(), data.draw(cuts_of(stream))) == whole
    assert read_all(dialect.reader(), [stream[i : i + 1] for i in range(len(stream))]) == whole


@given(st.data())
def test_a_cut_stream_never_ends_well(dialect: Dialect, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=dialect.provider))
    stream = written(dialect, answer)
    at = data.draw(st.integers(0, len(stream)))
    deltas = read_all(dialect.reader(), [stream[:at]] if at else [])
    assert_grammar(deltas)
    if isinstance(deltas[-1], StreamFailed):
        assert deltas[-1].fault.kind == "truncated"
    else:  # all of the answer had come, if not the last word of the format
        whole = attrs.evolve(answer, usage=None)
        assert plain(attrs.evolve(fold(deltas), usage=None)) == plain(whole)


@given(st.data())
def test_an_error_ends_a_stream(dialect: Dialect, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=dialect.provider))
    deltas = [delta for delta in unfold(answer) if not isinstance(delta, AnswerEnded)]
    begun = deltas[: data.draw(st.integers(1, len(deltas)))]
    kinds: list[FaultKind] = ["overloaded", "rate_limit", "internal", "timeout"]
    kind = data.draw(st.sampled_from(kinds))
    writer = dialect.writer(CONTEXT)
    stream = writer.write([*begun, StreamFailed(Fault(kind, "so it goes", code=None))])
    read = read_all(dialect.reader(), [stream])
    assert_grammar(read)
    last = read[-1]
    assert isinstance(last, StreamFailed)
    assert last.fault.kind == kind
    assert "so it goes" in last.fault.message


@given(st.data())
def test_hostile_streams_end_in_order(dialect: Dialect, data: st.DataObject) -> None:
    stream = bytearray(written(dialect, data.draw(answers(provider=dialect.provider))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(stream) - 1)))
        end = at + data.draw(st.integers(0, 20))
        stream[at:end] = data.draw(st.binary(max_size=6) | st.sampled_from([b"null", b'"', b"{}", b"\n\n", b"[1]"]))
    reader = dialect.reader()
    assert_grammar(read_all(reader, [bytes(stream)] if stream else []))
    assert reader.feed(b"data: {}\n\n") == reader.close() == []


@given(st.data())
def test_what_follows_an_end_is_not_read(dialect: Dialect, data: st.DataObject) -> None:
    """An end, of this format or of another one, and an error, wherever they stand and however the stream is cut."""
    stream = written(dialect, data.draw(answers(provider=dialect.provider)))
    events = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    at = data.draw(st.integers(0, len(events)))
    end = data.draw(st.sampled_from([b"data: [DONE]\n\n", b'data: {"error":{"message":"so it goes"}}\n\n', events[-1]]))
    cut = [*events[:at], end, *events[max(0, at - 1) :]]  # the same again first: what a reader expects most
    together = read_all(dialect.reader(), [b"".join(cut)])
    assert_grammar(together)
    one_by_one = read_all(dialect.reader(), cut)
    assert_grammar(one_by_one)
    assert fold(together) == fold(one_by_one)


@given(st.data())
def test_events_of_any_json_do_no_harm(dialect: Dialect, data: st.DataObject) -> None:
    events = data.draw(st.lists(JSON | _twisted(dialect, data), max_size=4))
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    assert_grammar(read_all(dialect.reader(), [stream] if stream else []))


def _twisted(dialect: Dialect, data: st.DataObject) -> st.SearchStrategy[Any]:
    """True events with one value replaced by anything."""
    stream = written(dialect, data.draw(answers(provider=dialect.provider)))
    events = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return st.sampled_from(events).flatmap(_one_changed)


@st.composite
def _one_changed(draw: st.DrawFn, node: Any) -> Any:
    """A JSON value with some value in it replaced by anything."""
    if isinstance(node, dict) and node and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(node)))
        return {**node, key: draw(_one_changed(node[key]))}
    if isinstance(node, list) and node and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(node) - 1))
        return [*node[:at], draw(_one_changed(node[at])), *node[at + 1 :]]
    return draw(JSON)


# ---- requests


@given(st.data())
def test_a_request_is_one_to_its_own_sdk(dialect: Dialect, data: st.DataObject) -> None:
    request = data.draw(requests(odd=True))
    body, _ = dialect.build_request(request, ANYBODY)
    check_request(dialect.name, body)
    assert dialect.build_request(request, ANYBODY)[0] == body


@given(st.data())
def test_a_request_settles(dialect: Dialect, data: st.DataObject) -> None:
    """What a dialect has written once it writes again: the second time nothing is left to repair."""
    body, _ = dialect.build_request(data.draw(requests(odd=True)), ANYBODY)
    once, _ = dialect.parse_request(body, model="a-model")
    again, _ = dialect.build_request(once, ANYBODY)
    assert json.loads(again) == json.loads(
        dialect.build_request(dialect.parse_request(again, model="a-model")[0], ANYBODY)[0]
    )


@given(st.data())
def test_conversations_arrive(dialect: Dialect, data: st.DataObject) -> None:
    request = data.draw(requests())
    body, _ = dialect.build_request(request, ANYBODY)
    read, _ = dialect.parse_request(body, model="a-model")
    assert _calls(read) == _calls(request)
    assert _results(read) == _results(request)
    for role in ("assistant", "user"):
        said, got = _said(request.messages, role), _said(read.messages, role)
        assert all(text.strip() in got for text in said.split("\0")), (said, got)


def _calls(request: ChatRequest) -> list[Any]:
    blocks = (block for message in request.messages for block in message.content if isinstance(block, ToolCall))
    return [(call.id, call.name, json.dumps(json.loads(call.arguments), sort_keys=True)) for call in blocks]


def _results(request: ChatRequest) -> list[Any]:
    blocks = (block for message in request.messages for block in message.content if isinstance(block, ToolResult))
    return sorted(
        (
            result.call_id,
            "".join(block.text for block in result.content if isinstance(block, Text)),
            sum(not isinstance(block, Text) for block in result.content),
        )
        for result in blocks
    )


def _said(messages: tuple[Message, ...], role: str) -> str:
    said = (block for message in messages if message.role == role for block in message.content)
    return "\0".join(block.text for block in said if isinstance(block, Text))


@pytest.mark.parametrize("field", SCALARS)
@pytest.mark.parametrize("target", [ANYBODY, Target(is_official=False)], ids=["official", "compatible"])
def test_no_field_is_dropped_in_silence(dialect: Dialect, target: Target, field: str) -> None:
    tool = FunctionTool("f", schema={"type": "object"})
    request = ChatRequest("m", (Message("user", (Text("Hi"),)),), tools=(tool,))
    asked = attrs.evolve(request, **{field: SCALARS[field]})
    try:
        body, losses = dialect.build_request(asked, target)
    except Untranslatable:
        return  # said at once
    without, _ = dialect.build_request(request, target)
    is_said_elsewhere = field == "stream" and dialect.name in ("gemini", "code_assist")  # in the path
    assert body != without or any(loss.path.startswith(field) for loss in losses) or is_said_elsewhere


@given(st.data())
def test_hostile_requests_are_bad_requests(dialect: Dialect, data: st.DataObject) -> None:
    body = json.loads(dialect.build_request(data.draw(requests()), ANYBODY)[0])
    twisted = data.draw(_one_changed(body))
    with contextlib.suppress(BadRequest, Untranslatable):
        request, _ = dialect.parse_request(json.dumps(twisted).encode())
        dialect.build_request(request, ANYBODY)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_nothing(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(BadRequest):
        dialect.parse_request(body)
    assume(not (body.startswith(b"{") and (b'"choices"' in body or b'"content"' in body)))
    with contextlib.suppress(BadAnswer):
        dialect.parse_answer(body)


@given(st.data())
def test_hostile_answers_are_bad_answers(dialect: Dialect, data: st.DataObject) -> None:
    answer = data.draw(answers(provider=dialect.provider))
    body = json.loads(dialect.build_answer(answer, CONTEXT)[0])
    try:
        read, _ = dialect.parse_answer(json.dumps(data.draw(_one_changed(body))).encode())
    except BadAnswer:
        return
    for other in DIALECTS.values():  # whatever is left of it can be told in any dialect
        assert isinstance(json.loads(other.build_answer(read, CONTEXT)[0]), dict)
        assert other.writer(CONTEXT).write(list(unfold(read)))


# ---- errors


@pytest.mark.parametrize("kind", STATUS)
def test_an_error_keeps_its_kind(dialect: Dialect, kind: Any) -> None:
    status, body = dialect.build_error(Fault(kind, "so it goes"))
    fault = dialect.classify_error(status, {}, body, 0.0)
    alike = {
        "quota": {"quota", "billing", "rate_limit"},
        "billing": {"billing", "quota"},
        "truncated": {"truncated", "internal"},
    }
    assert fault.kind in alike.get(kind, {kind})
    assert "so it goes" in fault.message
    assert 400 <= status <= 599


@given(st.integers(400, 599), st.binary(max_size=40) | JSON.map(lambda value: json.dumps({"error": value}).encode()))
def test_any_error_can_be_told(dialect: Dialect, status: int, body: bytes) -> None:
    fault = dialect.classify_error(status, {"retry-after": "7"}, body, 0.0)
    assert fault.retry_after is not None
    assert fault.retry_after >= 7
    told, words = dialect.build_error(fault)
    assert 400 <= told <= 599
    assert isinstance(json.loads(words), dict)
