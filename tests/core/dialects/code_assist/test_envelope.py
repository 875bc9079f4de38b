"""Code Assist's envelope around Gemini."""

import json

import pytest

from dragoman.core.chat.blocks import Reasoning, Text, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message
from dragoman.core.chat.stream import AnswerStarted, StreamFailed, fold, unfold
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects.code_assist import CODE_ASSIST
from dragoman.core.dialects.code_assist.count import (
    build_count_answer,
    build_count_request,
    parse_count_answer,
    parse_count_request,
)
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.errors import BadRequest
from dragoman.core.translate import translate_request
from tests.strategies_chat import read_all
from tests.wire import by_name

REQUEST = by_name("codeassist.request.envelope-tools.json")


def test_a_request_is_written_as_it_was_read() -> None:
    request, losses = CODE_ASSIST.parse_request(REQUEST, stream=True)
    assert losses == ()
    assert (request.model, request.stream) == ("gemini-3-flash", True)
    body, losses = CODE_ASSIST.build_request(request, ANYBODY)
    assert json.loads(body) == json.loads(REQUEST)
    assert losses == ()


def test_what_is_inside_crosses_over_and_the_envelope_does_not() -> None:
    inner = {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "safetySettings": [{"category": "c", "threshold": "OFF"}],
    }
    body = json.dumps({"model": "g", "project": "p", "request": {**inner, "sessionId": "s"}}).encode()
    out = translate_request(body, "code_assist", "gemini")
    assert json.loads(out.body) == inner
    assert [loss.path for loss in out.losses] == ["project", "sessionId"]
    back = translate_request(json.dumps(inner).encode(), "gemini", "code_assist", path_model="g")
    assert json.loads(back.body) == {"model": "g", "request": inner}
    assert back.losses == ()
    assert CODE_ASSIST.parse_request(back.body)[0].model == "g"
    request, _ = CODE_ASSIST.parse_request(body)
    assert json.loads(CODE_ASSIST.build_request(request, Target("h"))[0])["request"]["sessionId"] == "s"


def test_what_code_assist_lacks() -> None:
    request = ChatRequest("m", (Message("user", (Text("Hi"),)),), service_tier="flex", store=True)
    body, losses = CODE_ASSIST.build_request(request, ANYBODY)
    assert sorted(json.loads(body)["request"]) == ["contents"]
    assert [loss.path for loss in losses] == ["service_tier", "store"]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"request":7}', b'{"request":{"contents":' + b"[" * 480 + b"]" * 480 + b"}}"]
)
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        CODE_ASSIST.parse_request(body)


def test_answers() -> None:
    recorded = by_name("codeassist.response.envelope.json")
    answer, _ = CODE_ASSIST.parse_answer(recorded)
    assert (answer.id, answer.blocks) == ("Xk3bZ", (Text("noon"),))
    built = json.loads(CODE_ASSIST.build_answer(answer, AnswerContext())[0])
    assert built == {**json.loads(recorded), "traceId": "Xk3bZ"}
    inner = json.loads(recorded)["response"]
    del inner["responseId"]
    assert CODE_ASSIST.parse_answer(json.dumps({"response": inner, "traceId": "t"}).encode())[0].id == "t"
    bare = CODE_ASSIST.parse_answer(json.dumps(inner).encode())[0]  # not every door wraps
    assert (bare.id, bare.blocks) == ("", answer.blocks)
    assert b"traceId" not in CODE_ASSIST.build_answer(bare, AnswerContext())[0]


def test_streams() -> None:
    recorded = by_name("codeassist.stream.envelope-thoughts-tool.sse")
    answer = fold(read_all(CODE_ASSIST.reader(), [recorded]))
    assert [type(block) for block in answer.blocks] == [Reasoning, ToolCall]
    assert answer.usage is not None
    data = CODE_ASSIST.writer(AnswerContext()).write(list(unfold(answer)))
    chunks = [json.loads(line[6:]) for line in data.split(b"\n") if line]
    assert all(chunk.keys() == {"response", "traceId"} for chunk in chunks)
    assert fold(read_all(CODE_ASSIST.reader(), [data])) == answer
    nameless = CODE_ASSIST.writer(AnswerContext()).write([AnswerStarted("", "m"), *list(unfold(answer))[1:]])
    assert all(json.loads(line[6:]).keys() == {"response"} for line in nameless.split(b"\n") if line)


def test_odd_streams() -> None:
    part = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    for event in (part, {"response": part, "traceId": "t"}, {"response": {**part, "usageMetadata": 7}, "traceId": "t"}):
        answer = fold(read_all(CODE_ASSIST.reader(), [b"data: " + json.dumps(event).encode() + b"\n\n"]))
        assert answer.blocks == (Text("a"),)
        assert answer.id == ("t" if "traceId" in event else "")
    for error in ({"error": {"code": 503, "message": "m"}}, {"error": {"message": "m", "code": 503}, "response": 7}):
        last = read_all(CODE_ASSIST.reader(), [b"data: " + json.dumps(error).encode() + b"\n\n"])[-1]
        assert isinstance(last, StreamFailed)
        assert last.fault.kind == "overloaded"
    written = CODE_ASSIST.writer(AnswerContext()).write([StreamFailed(Fault("internal", "x"))])
    assert list(json.loads(written[6:])) == ["error"]


def test_counting() -> None:
    request, _ = parse_count_request(by_name("codeassist.request.count-tokens.json"))
    assert request.model == "gemini-3-flash"
    said = (*request.messages, Message("assistant", (Reasoning("hm"), Text("noon"))))
    whole = ChatRequest("m", said, (Text("short"),), (FunctionTool("f"),))
    body, losses = build_count_request(whole, Target("models/g"))
    node = json.loads(body)
    assert node["request"]["model"] == "models/g"
    assert [c["parts"] for c in node["request"]["contents"]] == [
        [{"text": "short"}],
        [{"text": "time?"}],
        [{"text": "hm"}, {"text": "noon"}],
    ]
    assert [loss.path for loss in losses] == ["tools"]
    assert json.loads(build_count_request(request, ANYBODY)[0]) == json.loads(
        by_name("codeassist.request.count-tokens.json")
    )
    assert parse_count_answer(build_count_answer(3)) == 3
