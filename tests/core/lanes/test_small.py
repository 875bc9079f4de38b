"""Tokens counted beforehand, and embeddings, between dialects."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Text
from dragoman.core.chat.request import ChatRequest, Message
from dragoman.core.errors import UpstreamError
from dragoman.core.http_heads import ResponseHead
from dragoman.core.lanes import Ask, Reply
from dragoman.core.lanes.estimate import estimate
from dragoman.core.lanes.small import Estimating
from tests.core.conversation import Conversation, get, post, reply
from tests.core.lanes.test_lanes import CLAUDE_ASK, GEMINI_ASK, claude, gemini, talk_to

TOOL = {
    "name": "f",
    "description": "does it",
    "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
COUNTED: dict[str, Any] = {
    "model": "m",
    "system": "Be brief",
    "tools": [TOOL],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hello"}, IMAGE]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "b"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [IMAGE]}]},
    ],
}


def count(body: object = COUNTED) -> bytes:
    return post(body, path="/v1/messages/count_tokens")


def input_tokens(body: object) -> bytes:
    return post(body, path="/v1/responses/input_tokens")


def test_a_provider_of_the_same_dialect_counts() -> None:
    talk = talk_to("claude").client(count()).open()
    path, _, body = talk.request_at()
    assert path == "/v1/messages/count_tokens"
    assert body == COUNTED | {"model": "up"}
    talk.upstream(reply(b'{"input_tokens": 12}'))
    assert talk.answer()[2] == b'{"input_tokens": 12}'


@pytest.mark.parametrize(
    ("dialect", "path", "counted"),
    [
        ("claude", "/v1/messages/count_tokens", {"input_tokens": 12}),
        ("gemini", "/v1beta/models/up:countTokens", {"totalTokens": 12}),
        ("openai_responses", "/responses/input_tokens", {"object": "response.input_tokens", "input_tokens": 12}),
    ],
)
def test_any_client_is_counted_by_any_provider(dialect: str, path: str, counted: dict[str, Any]) -> None:
    clients = {
        "claude": (count(), {"input_tokens": 12}),
        "gemini": (gemini("countTokens"), {"totalTokens": 12}),
        "openai_responses": (
            input_tokens({"model": "m", "input": "hi"}), {"object": "response.input_tokens", "input_tokens": 12}
        ),
    }  # fmt: skip
    for request, expected in clients.values():
        talk = talk_to(dialect).client(request).open()
        asked, _, body = talk.request_at()
        assert asked == path
        assert "max_tokens" not in body
        assert "stream" not in body
        talk.upstream(reply(counted))
        assert json.loads(talk.answer()[2]) == expected


def test_where_nobody_counts_it_is_estimated_and_said() -> None:
    talk = talk_to("openai_chat").client(count())
    status, headers, body = talk.answer()
    assert (status, headers["x-dragoman-estimate"]) == (200, "tokens")
    assert json.loads(body)["input_tokens"] > 1600  # a picture alone is that much
    assert json.loads(body)["estimated"] is True
    assert talk.opened == []


@pytest.mark.parametrize("dialect", ["claude", "gemini"])
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_provider_that_cannot_count_is_stood_in_for(dialect: str, status: int) -> None:
    talk = talk_to(dialect).client(count()).open().upstream(reply({"error": "no such thing"}, status=status))
    assert talk.answer()[0] == 200
    assert json.loads(talk.answer()[2])["estimated"] is True
    talk.client(claude(CLAUDE_ASK)).open()  # and the model is as well as before


def test_other_errors_of_counting_are_errors() -> None:
    for dialect in ("claude", "gemini"):
        talk = talk_to(dialect).client(count()).open().upstream(reply({"error": {"message": "no"}}, status=400))
        assert talk.answer()[0] == 400


@pytest.mark.parametrize("body", [b"[]", b"{}", b"{", b'{"input_tokens":"7"}'])
def test_what_counts_nothing_is_a_502(body: bytes) -> None:
    talk = talk_to("claude").client(gemini("countTokens")).open().upstream(reply(body))
    assert talk.answer()[0] == 502


def test_a_request_nobody_can_read_is_estimated_by_its_length() -> None:
    talk = talk_to("claude").client(count({"model": "m", "messages": 7})).open().upstream(reply({}, status=404))
    assert json.loads(talk.answer()[2])["input_tokens"] == len(json.dumps({"model": "m", "messages": 7})) // 4


def test_embeddings_from_openai_to_gemini() -> None:
    talk = (
        talk_to("gemini").client(post({"model": "m", "input": ["a", "b"], "user": "u"}, path="/v1/embeddings")).open()
    )
    path, _, body = talk.request_at()
    assert path == "/v1beta/models/up:batchEmbedContents"
    assert [r["content"]["parts"][0]["text"] for r in body["requests"]] == ["a", "b"]
    talk.upstream(reply({"embeddings": [{"values": [0.5]}, {"values": [1.0]}]}))
    _, headers, got = talk.answer()
    assert [d["embedding"] for d in json.loads(got)["data"]] == [[0.5], [1.0]]
    assert headers["x-dragoman-loss"] == "dropped user"


def test_embeddings_from_gemini_to_openai() -> None:
    ask = {"content": {"parts": [{"text": "a"}]}}
    talk = talk_to("openai_chat").client(gemini("embedContent", ask)).open()
    path, _, body = talk.request_at()
    assert (path, body["input"]) == ("/embeddings", ["a"])
    talk.upstream(reply({"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}}))
    assert json.loads(talk.answer()[2])["embedding"] == {"values": [0.5]}


def test_embeddings_to_who_has_none() -> None:
    talk = talk_to("claude").client(gemini("batchEmbedContents", {"requests": [{"content": "a"}]}))
    assert talk.answer()[0] == 400
    talk = talk_to("openai_responses").client(post({"model": "m", "input": "a"}, path="/v1/embeddings"))
    assert talk.answer()[0] == 400


def test_compaction_is_for_those_who_have_it() -> None:
    ask = post({"model": "m", "input": "a"}, path="/v1/responses/compact")
    talk = talk_to("openai_responses").client(ask).open()
    assert talk.request_at()[0] == "/responses/compact"
    talk.upstream(reply({"object": "response.compaction", "output": []}))
    assert talk.answer()[0] == 200
    assert talk_to("claude").client(ask).answer()[0] == 400


def test_small_answers_never_stream_whatever_the_client_says() -> None:
    talk = talk_to("claude", keepalive_seconds=1.0).client(count(COUNTED | {"stream": True})).open()
    talk.upstream(reply(b'{"input_tokens": 12}'))
    assert talk.answer()[0] == 200
    talk = talk_to("gemini", keepalive_seconds=1.0).client(count(COUNTED | {"stream": True})).open()
    talk.upstream(reply({"totalTokens": 3}))
    assert json.loads(talk.answer()[2]) == {"input_tokens": 3}


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens(one: str, more: str) -> None:
    def tokens(text: str) -> int:
        return estimate(ChatRequest("m", (Message("user", (Text(text),)),), instructions=(Text(text),)))

    assert 1 <= tokens(one) <= tokens(one + more)


def test_gemini_has_its_own_way_to_ask() -> None:
    talk = talk_to("openai_chat").client(gemini("countTokens", {"generateContentRequest": GEMINI_ASK}))
    assert json.loads(talk.answer()[2])["totalTokens"] > 0
    assert isinstance(talk, Conversation)
    assert talk.client(get("/health")).answers("POST", "GET")[1][0] == 200


def test_what_only_one_dialect_knows_counts_as_something() -> None:
    counts = []
    for more in ([], [{"type": "server_tool_use", "id": "s1", "name": "code_execution", "input": {"code": "1"}}]):
        content = [{"type": "text", "text": "hello"}, *more]
        talk = talk_to("openai_chat").client(count(COUNTED | {"messages": [{"role": "assistant", "content": content}]}))
        counts.append(json.loads(talk.answer()[2])["input_tokens"])
    assert counts[0] < counts[1]


def test_an_estimate_is_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a provider, if one were asked, would say."""
    said = Reply(200, [], b"{}", None)
    monkeypatch.setattr("dragoman.core.lanes.small._estimated", lambda _: said)
    lane = Estimating(cast("Ask", None))
    head = ResponseHead(200, [], {}, 0, is_chunked=False, keeps_alive=True)
    assert lane.answer(head, b"", 0.0) is lane.error(head, b"", 0.0) is said
    assert lane.flow(head, 0.0) is None
    with pytest.raises(UpstreamError, match="no stream"):
        lane.early_flow(0.0)


def test_a_document_of_blocks_counts_as_what_it_is_made_of() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "word " * 1000}]}
    body = COUNTED | {"messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}
    short = json.dumps(body).replace("word " * 1000, "word")
    counts = []
    for asked in (body, json.loads(short)):
        talk = talk_to("openai_chat").client(count(asked))
        counts.append(json.loads(talk.answer()[2])["input_tokens"])
    assert counts[0] > counts[1] + 1000
