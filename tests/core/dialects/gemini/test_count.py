"""Counting tokens."""

import json

import pytest

from dragoman.core.chat.blocks import Text
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.dialects.gemini.count import (
    build_count_answer,
    build_count_request,
    parse_count_answer,
    parse_count_request,
)
from dragoman.core.errors import BadAnswer, BadRequest
from tests.wire import by_name


def test_a_request_is_read_from_either_form() -> None:
    request, _ = parse_count_request(by_name("gemini.request.count-tokens.json"), model="gemini-3-flash")
    assert request == ChatRequest("gemini-3-flash", request.messages)
    whole = {
        "generateContentRequest": {
            "model": "models/g",
            "contents": [{"parts": [{"text": "Hi"}]}],
            "systemInstruction": "s",
        }
    }
    request, _ = parse_count_request(json.dumps(whole).encode())
    assert (request.model, request.instructions) == ("g", (Text("s"),))
    with pytest.raises(BadRequest):
        parse_count_request(b'{"generate_content_request": 7}')


def test_everything_is_counted() -> None:
    request = ChatRequest(
        "m",
        (Message("user", (Text("Hi"),)),),
        (Text("s"),),
        (FunctionTool("f"),),
        extras=Extras("gemini", {"code_assist": {}}),
    )
    body, losses = build_count_request(request, Target("gemini-3-pro"))
    node = json.loads(body)["generateContentRequest"]
    assert sorted(node) == ["contents", "model", "systemInstruction", "tools"]
    assert node["model"] == "models/gemini-3-pro"
    assert losses == ()
    assert parse_count_request(build_count_request(request, ANYBODY)[0])[0].tools == request.tools


def test_answers() -> None:
    assert parse_count_answer(by_name("gemini.response.count-tokens.json")) == 7
    assert parse_count_answer(build_count_answer(9)) == parse_count_answer(b'{"total_tokens": 9}') == 9
    with pytest.raises(BadAnswer):
        parse_count_answer(b"{}")
