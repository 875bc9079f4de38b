"""Lanes: any client dialect to any provider dialect, through whole exchanges."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from dragoman.core.chat.loss import Loss, dropped
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import Credential, Model, Timeouts
from dragoman.core.lanes import loss_header
from tests.core.conversation import KEY, STREAM_HEAD, Conversation, chunked, config, get, post, provider, reply

DATA = Path(__file__).parent.parent.parent / "data" / "wire"
CHAT_ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "ping"}]}
CLAUDE_ASK: dict[str, Any] = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "ping"}]}
CLAUDE_STREAM = (DATA / "anthropic.stream.plain-text.sse").read_bytes()
CLAUDE_ANSWER = (DATA / "anthropic.response.plain-text.json").read_bytes()
CHAT_STREAM = (DATA / "chat.stream.plain-text-with-usage.sse").read_bytes()
CHAT_ANSWER = (DATA / "chat.response.plain-text.json").read_bytes()


def talk_to(dialect: str, **more: Any) -> Conversation:
    """A gateway before one provider that speaks `dialect`, its model ``up`` called ``m``."""
    one = provider(dialect=dialect, base_url=f"https://{dialect.replace('_', '-')}.test", models=(Model("up", "m"),))
    return Conversation(config(one, **more))


def claude(body: object, **more: Any) -> bytes:
    """A client's request in Anthropic's dialect."""
    return post(body, path="/v1/messages?beta=true", **more)


def test_a_claude_client_before_an_openai_provider() -> None:
    talk = talk_to("openai_chat").client(claude(CLAUDE_ASK)).open()
    path, _, body = talk.request_at()
    assert path == "/chat/completions"
    assert body["model"] == "up"
    assert body["messages"] == [{"role": "user", "content": "ping"}]
    talk.upstream(reply(CHAT_ANSWER))
    status, headers, got = talk.answer()
    answer = json.loads(got)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert (answer["type"], answer["model"]) == ("message", "m")
    assert talk.journals[0].usage is not None
    assert talk.journals[0].dialect == "claude"


def test_an_openai_client_before_a_claude_provider_streams() -> None:
    talk = talk_to("claude").client(post(CHAT_ASK | {"stream": True, "seed": 7})).open()
    path, headers, body = talk.request_at()
    assert path == "/v1/messages"
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["authorization"] == "Bearer sk-secret-acme-0"
    assert body["stream"] is True
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM))
    status, headers, got = talk.answer()
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["x-dragoman-loss"] == "dropped seed"
    assert got.endswith(b"data: [DONE]\n\n")
    assert [loss.path for loss in talk.journals[0].losses] == ["seed"]
    assert talk.journals[0].usage is not None


def test_equal_dialects_pass_byte_for_byte() -> None:
    talk = talk_to("claude")
    asked = json.dumps(CLAUDE_ASK | {"new_field": {"b": 1.0}}).encode()
    beta = (("anthropic-beta", "a-2026,b"), ("anthropic-version", "2026-10-21"))
    talk.client(claude(asked, headers=beta)).open()
    assert talk.to_upstream[talk.attempt].endswith(asked.replace(b'"m"', b'"up"'))
    sent = talk.request_at()[1]
    assert (sent["anthropic-beta"], sent["anthropic-version"]) == ("a-2026,b", "2026-10-21")
    talk.upstream(reply(CLAUDE_ANSWER))
    talk.client(claude(CLAUDE_ASK | {"stream": True})).open().upstream(STREAM_HEAD + chunked(CLAUDE_STREAM))
    talk.client(claude(CLAUDE_ASK)).open().upstream(reply(b'{"odd": "answer"}'))
    one, two, odd = talk.answers()
    assert (one[2], two[2], odd[2]) == (CLAUDE_ANSWER, CLAUDE_STREAM, b'{"odd": "answer"}')
    assert all(j.usage is not None for j in talk.journals[:2])
    assert talk.journals[2].usage is None


def test_beta_methods_of_anthropic_s_sdk_stay_such() -> None:
    """They say so in the query; whatever else is there (a key, say) is for us."""
    talk = talk_to("claude")
    talk.client(post(CLAUDE_ASK, path=f"/v1/messages?key={KEY}&beta=true", key=None)).open()
    assert talk.request_at()[0] == "/v1/messages?beta=true"
    other = talk_to("openai_chat")
    other.client(claude(CLAUDE_ASK)).open()
    assert other.request_at()[0] == "/chat/completions"


def test_an_error_between_different_dialects_is_said_in_the_client_s() -> None:
    talk = talk_to("claude").client(post(CHAT_ASK)).open()
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    talk.upstream(reply(body, status=429, headers=(("retry-after", "7"), ("anthropic-ratelimit-requests-limit", "5"))))
    status, headers, got = talk.answer()
    assert status == 429
    assert json.loads(got)["error"]["message"] == "Slow down"
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("7", "7000")
    assert headers["x-dragoman-fault"] == "provider"


def test_an_overloaded_claude_stays_529_for_claude_clients() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    talk = talk_to("claude").client(claude(CLAUDE_ASK)).open().upstream(reply(body, status=529))
    assert talk.answer()[0] == 529
    assert talk.answer()[2] == body


def test_an_error_hidden_in_a_stream_before_its_first_delta_is_an_error() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    for path_of, asked in ((post, CHAT_ASK), (claude, CLAUDE_ASK)):
        talk = talk_to("claude").client(path_of(asked | {"stream": True})).open()
        talk.upstream(STREAM_HEAD + chunked(event))
        status, headers, got = talk.answer()
        assert status in {503, 529}
        assert "Overloaded" in json.loads(got)["error"]["message"]
        assert headers["content-type"] == "application/json"
        assert talk.journals[0].attempts[0].outcome == "status"


def test_an_error_hidden_in_an_openai_stream_fails_over() -> None:
    talk = Conversation(config(provider("acme"), provider("beta")))
    talk.client(post({"model": "shared", "messages": [], "stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(b'data: {"error":{"message":"no capacity","code":503}}\n\n', end=False))
    talk.open().upstream(STREAM_HEAD + chunked(CHAT_STREAM))
    assert talk.answer()[0] == 200
    assert [a.provider for a in talk.journals[0].attempts] == ["acme", "beta"]


def test_an_error_in_mid_stream_ends_it_in_the_client_s_dialect() -> None:
    stream = (DATA / "anthropic.stream.mid-stream-overloaded-error.sse").read_bytes()
    talk = talk_to("claude").client(post(CHAT_ASK | {"stream": True})).open()
    at = stream.index(b"event: error")
    talk.upstream(STREAM_HEAD + chunked(stream[:at], end=False)).upstream(chunked(stream[at:], end=False))
    status, _, got = talk.answer()
    assert status == 200
    assert b'"error"' in got
    assert (talk.journals[0].fault, talk.journals[0].attempts[0].outcome) == ("provider", "failed")
    assert talk.closed == [talk.attempt]


@pytest.mark.parametrize("dialect", ["openai_chat", "claude"])
def test_a_cut_stream_ends_in_the_client_s_dialect(dialect: str) -> None:
    stream = CHAT_STREAM if dialect == "openai_chat" else CLAUDE_STREAM
    talk = talk_to(dialect).client(claude(CLAUDE_ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(stream[: len(stream) * 3 // 4], end=False)).upstream(b"")
    assert b"event: error\n" in talk.answer()[2]
    assert talk.journals[0].attempts[0].outcome == "cut"


def test_a_provider_that_answers_whole_where_a_stream_was_asked() -> None:
    talk = talk_to("openai_chat").client(claude(CLAUDE_ASK | {"stream": True})).open().upstream(reply(CHAT_ANSWER))
    status, headers, got = talk.answer()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert b"event: message_stop" in got


def test_a_provider_that_streams_where_a_whole_answer_was_asked() -> None:
    talk = talk_to("claude").client(post(CHAT_ASK)).open().upstream(STREAM_HEAD + chunked(CLAUDE_STREAM))
    assert json.loads(talk.answer()[2])["object"] == "chat.completion"


def test_what_is_no_answer_is_a_502() -> None:
    talk = talk_to("claude").client(post(CHAT_ASK)).open().upstream(reply(b"[1]"))
    assert talk.answer()[0] == 502
    assert talk.journals[0].attempts[0].outcome == "garbage"


def test_what_cannot_be_said_is_refused_before_anybody_is_asked() -> None:
    talk = talk_to("claude").client(post(CHAT_ASK | {"n": 2}))
    status, _, got = talk.answer()
    assert (status, json.loads(got)["error"]["param"]) == (400, "n")
    assert talk.opened == []


def test_another_provider_may_take_what_one_cannot() -> None:
    both = config(
        provider("acme", dialect="claude", models=(Model("a", "m"),)), provider("beta", models=(Model("b", "m"),))
    )
    talk = Conversation(both).client(post(CHAT_ASK | {"n": 2})).open()
    assert talk.request_at()[2]["model"] == "b"


def test_after_a_failure_it_is_the_failure_that_is_told() -> None:
    both = config(
        provider("beta", models=(Model("b", "m"),)), provider("acme", dialect="claude", models=(Model("a", "m"),))
    )
    talk = Conversation(both).client(post(CHAT_ASK | {"n": 2})).open().upstream(reply({"e": 1}, status=500))
    assert talk.answer()[0] == 500


def test_strict_translation_refuses_losses() -> None:
    talk = talk_to("claude", strict_translation=True).client(post(CHAT_ASK | {"seed": 7}))
    status, _, got = talk.answer()
    assert (status, json.loads(got)["error"]["param"]) == (400, "seed")


def test_reasoning_in_the_model_s_name() -> None:
    talk = talk_to("openai_chat").client(post(CHAT_ASK | {"model": "m(high)"})).open()
    assert talk.request_at()[2]["reasoning_effort"] == "high"
    assert talk.request_at()[2]["model"] == "up"
    applied = talk.journals[0] if talk.journals else None
    assert applied is None
    talk.upstream(reply(CHAT_ANSWER))
    assert talk.journals[0].thinking_applied is not None
    assert talk.journals[0].thinking_applied.level == "high"


def test_a_name_that_ends_in_brackets_may_be_just_that() -> None:
    odd = config(provider(models=(Model("x(high)", "x(high)"),)))
    talk = Conversation(odd).client(post(CHAT_ASK | {"model": "x(high)"})).open()
    assert talk.request_at()[2] == CHAT_ASK | {"model": "x(high)"}


def test_what_a_provider_has_not_is_said() -> None:
    talk = talk_to("claude").client(post({"model": "m", "input": "a"}, path="/v1/embeddings"))
    status, _, got = talk.answer()
    assert status == 400
    assert b"embeddings" in got


# --- keep-alives ---

ALIVE = {"keepalive_seconds": 5.0, "timeouts": Timeouts(first_byte=12.0, between_pieces=12.0)}


def test_a_waiting_client_hears_something() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True})).open()
    assert [talk.wait(), talk.wait()] == [5.0, 5.0]
    assert talk.to_client.count(b"text/event-stream") == 1
    assert talk.wait() == 2.0
    status, _, got = talk.answer()
    assert status == 200
    assert b"sent nothing within 12 seconds" in got
    assert got.startswith(b":")


def test_keep_alives_go_on_between_pieces_and_stop_with_the_end() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True})).open()
    half = len(CLAUDE_STREAM) // 2
    talk.wait()
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM[:half], end=False))
    talk.wait()
    talk.upstream(chunked(CLAUDE_STREAM[half:]))
    assert talk.answer()[2].endswith(b"data: [DONE]\n\n")


def test_an_error_after_a_keep_alive_goes_into_the_stream() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True})).open()
    talk.wait()
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    whole = reply(body, status=429)
    talk.upstream(whole[:-10]).upstream(whole[-10:])
    assert b"Slow down" in talk.answer()[2]


def test_an_error_after_a_keep_alive_may_begin_with_its_head_alone() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True})).open()
    talk.wait()
    body = b'{"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}'
    whole = reply(body, status=429)
    talk.upstream(whole[: -len(body)]).upstream(body)
    assert b"Slow down" in talk.answer()[2]


def test_a_stream_that_only_has_its_head_is_kept_alive() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True, "seed": 7})).open()
    talk.upstream(STREAM_HEAD)
    talk.wait()
    assert b"\r\n\r\n" in talk.to_client
    talk.upstream(chunked(CLAUDE_STREAM))
    _, headers, got = talk.answer()
    assert got.startswith(b":")
    assert got.endswith(b"data: [DONE]\n\n")
    assert headers["x-dragoman-loss"] == "dropped seed"


def test_losses_are_told_with_a_keep_alive() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK | {"stream": True, "seed": 7})).open()
    talk.wait()
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM))
    assert talk.answer()[1]["x-dragoman-loss"] == "dropped seed"


def test_a_stream_that_ends_well_in_http_only_is_cut() -> None:
    for asked in (claude(CLAUDE_ASK | {"stream": True}), post(CHAT_ASK | {"stream": True})):
        talk = talk_to("claude").client(asked).open()
        talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM[: len(CLAUDE_STREAM) * 3 // 4], end=False))
        talk.upstream(chunked())
        assert b"error" in talk.answer()[2]
        assert talk.journals[0].attempts[0].outcome == "cut"


def test_an_error_hidden_in_a_stream_says_when_to_come_again() -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down", "details": [retry]}}
    talk = talk_to("gemini").client(post(CHAT_ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(b"data: " + json.dumps(error).encode() + b"\r\n\r\n"))
    status, headers, _ = talk.answer()
    assert (status, headers["retry-after"]) == (429, "7")


def test_an_error_that_says_nothing_passes() -> None:
    empty = b'data: {"error":{}}\n\n'
    talk = talk_to("openai_chat").client(post(CHAT_ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(empty + CHAT_STREAM))
    assert talk.answer()[2].startswith(empty)


def test_an_error_in_a_whole_answer_that_began_as_a_success() -> None:
    body = {"error": {"message": "no capacity", "code": 503}}
    talk = talk_to("openai_chat").client(claude(CLAUDE_ASK)).open().upstream(reply(body))
    status, _, got = talk.answer()
    assert status >= 500
    assert b"no capacity" in got


def test_same_dialect_streams_are_kept_alive_too() -> None:
    for path_of, asked, dialect in ((post, CHAT_ASK, "openai_chat"), (claude, CLAUDE_ASK, "claude")):
        talk = talk_to(dialect, **ALIVE).client(path_of(asked | {"stream": True})).open()
        talk.wait()
        assert talk.to_client.count(b"200 OK") == 1


def test_whole_answers_are_not_kept_alive() -> None:
    talk = talk_to("claude", **ALIVE).client(post(CHAT_ASK)).open()
    assert talk.wait() == 12.0
    assert talk.answer()[0] == 504


# --- small things ---


def test_the_loss_header_is_bounded() -> None:
    losses = [dropped(f"messages[{n}].content[0].é", "") for n in range(200)]
    header = loss_header(losses)
    assert len(header) <= 2010
    assert header.endswith(b", ...")
    assert loss_header([Loss("a", "changed", "")]) == b"changed a"


def test_gemini_s_list_of_models() -> None:
    talk = talk_to("gemini").client(get("/v1beta/models")).client(get("/v1beta/models/m")).client(get("/"))
    models, one, home = talk.answers()
    assert json.loads(models[2])["models"][0]["name"] == "models/m"
    assert json.loads(one[2])["name"] == "models/m"
    assert "/v1/messages" in json.loads(home[2])["endpoints"]


def test_usage_of_a_stream_the_client_leaves_is_kept() -> None:
    talk = talk_to("claude").client(claude(CLAUDE_ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM[:-40], end=False)).client(b"")
    assert isinstance(talk.journals[0].usage, TokenUsage)


def test_reasoning_that_passes_is_noted_when_somebody_watches() -> None:
    for asked, level in (({"reasoning_effort": "low"}, "low"), ({"messages": 7}, None)):
        talk = talk_to("openai_chat", debug=True).client(post(CHAT_ASK | asked)).open().upstream(reply(CHAT_ANSWER))
        thinking = talk.journals[0].thinking_asked
        assert (thinking.level if thinking else None) == level
    talk = talk_to("openai_chat", debug=True).client(post({"model": "m", "input": "a"}, path="/v1/embeddings")).open()
    talk.upstream(reply({"data": []}))
    assert talk.journals[0].thinking_asked is None


GEMINI_ASK: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "ping"}]}]}
GEMINI_STREAM = (DATA / "gemini.stream.plain-text.sse").read_bytes()


def gemini(action: str, body: object = GEMINI_ASK, query: str = "", version: str = "v1beta") -> bytes:
    """A client's request in Gemini's dialect."""
    return post(body, path=f"/{version}/models/m:{action}{query}")


@pytest.mark.parametrize("dialect", ["gemini", "openai_chat", "claude", "openai_responses"])
@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_a_gemini_client_reaches_everybody(dialect: str, version: str) -> None:
    talk = talk_to(dialect).client(gemini("generateContent", version=version)).open()
    path, _, body = talk.request_at()
    assert path == {
        "gemini": "/v1beta/models/up:generateContent", "openai_chat": "/chat/completions", "claude": "/v1/messages",
        "openai_responses": "/responses",
    }[dialect]  # fmt: skip
    assert body.get("model", "up") == "up"
    name = {"gemini": "gemini", "openai_chat": "chat", "claude": "anthropic", "openai_responses": "responses"}[dialect]
    talk.upstream(reply((DATA / f"{name}.response.plain-text.json").read_bytes()))
    assert "candidates" in json.loads(talk.answer()[2])


@pytest.mark.parametrize("dialect", ["gemini", "claude"])
def test_gemini_streams_are_events_or_an_array(dialect: str) -> None:
    stream = GEMINI_STREAM if dialect == "gemini" else CLAUDE_STREAM
    texts = []
    for query in ("?alt=sse", "", "?key=x&alt=json"):
        talk = talk_to(dialect).client(gemini("streamGenerateContent", query=query)).open()
        if dialect == "gemini":
            assert talk.request_at()[0] == "/v1beta/models/up:streamGenerateContent?alt=sse"
        at = len(stream) // 2
        talk.upstream(STREAM_HEAD + chunked(stream[:at], stream[at:]))
        _, headers, got = talk.answer()
        if query == "?alt=sse":
            assert headers["content-type"] == "text/event-stream"
            elements = [json.loads(line[6:]) for line in got.decode().splitlines() if line.startswith("data: ")]
        else:
            assert headers["content-type"] == "application/json"
            elements = json.loads(got)
        texts.append([c["candidates"][0]["content"]["parts"] for c in elements if "content" in c["candidates"][0]])
    assert texts[0] == texts[1] == texts[2]


def test_an_array_that_is_cut_ends_with_its_error_and_is_still_json() -> None:
    talk = talk_to("claude").client(gemini("streamGenerateContent")).open()
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM[:-120], end=False)).upstream(b"")
    elements = json.loads(talk.answer()[2])
    assert "error" in elements[-1]
    assert talk.journals[0].attempts[0].outcome == "cut"


def test_an_array_is_kept_alive_by_white_space() -> None:
    talk = talk_to("claude", **ALIVE).client(gemini("streamGenerateContent")).open()
    talk.wait()
    talk.upstream(STREAM_HEAD + chunked(CLAUDE_STREAM))
    assert isinstance(json.loads(talk.answer()[2]), list)


def on_code_assist() -> Conversation:
    one = provider(
        dialect="code_assist", base_url="https://cloudcode-pa.googleapis.com", models=(Model("up", "m"),), takes_bearer=True
    )  # fmt: skip
    key = Credential("c", "sk-secret-acme-0", project="p-1", headers=(("x-own", "1"),))
    return Conversation(config(attrs.evolve(one, credentials=(key,))))


def test_code_assist_is_told_on_whose_account() -> None:
    talk = on_code_assist().client(claude(CLAUDE_ASK)).open()
    path, headers, body = talk.request_at()
    assert path == "/v1internal:generateContent"
    assert headers["authorization"] == "Bearer sk-secret-acme-0"
    assert (headers["user-agent"], headers["x-own"]) == ("dragoman/1.2.3", "1")
    assert (body["model"], body["project"], sorted(body)) == ("up", "p-1", ["model", "project", "request"])
    talk.upstream(reply((DATA / "codeassist.response.envelope.json").read_bytes()))
    assert json.loads(talk.answer()[2])["type"] == "message"


def test_code_assist_streams() -> None:
    talk = on_code_assist().client(post(CHAT_ASK | {"stream": True})).open()
    assert talk.request_at()[0] == "/v1internal:streamGenerateContent?alt=sse"
    talk.upstream(STREAM_HEAD + chunked((DATA / "codeassist.stream.envelope-thoughts-tool.sse").read_bytes()))
    status, _, got = talk.answer()
    assert status == 200
    assert got.endswith(b"data: [DONE]\n\n")


def test_code_assist_fails_and_counts_as_others_do() -> None:
    talk = on_code_assist().client(gemini("generateContent")).open()
    talk.upstream(reply((DATA / "codeassist.error.429-quota-reset-delay.json").read_bytes(), status=429))
    assert talk.answer()[0] == 429
    talk = on_code_assist().client(claude(CLAUDE_ASK).replace(b"/v1/messages", b"/v1/messages/count_tokens", 1))
    assert talk.opened == []  # estimated here
    assert talk.answer()[0] == 200


def test_losses_of_a_whole_answer_are_told() -> None:
    answer = json.loads(CLAUDE_ANSWER) | {"new_field": 1}
    talk = talk_to("claude").client(post(CHAT_ASK | {"seed": 7})).open().upstream(reply(answer))
    assert talk.answer()[1]["x-dragoman-loss"] == "dropped seed, dropped answer.new_field"
    assert [loss.path for loss in talk.journals[0].losses] == ["seed", "answer.new_field"]


def test_hints_are_told_and_never_refused() -> None:
    talk = talk_to("claude", strict_translation=True).client(post(CHAT_ASK | {"prompt_cache_key": "k"})).open()
    talk.upstream(reply(CLAUDE_ANSWER))
    status, headers, _ = talk.answer()
    assert (status, headers["x-dragoman-loss"]) == (200, "hint cache_key")


def test_a_whole_answer_is_an_array_where_one_was_asked() -> None:
    for query, begin in (("", b"[{"), ("?alt=sse", b"data: ")):
        talk = talk_to("claude").client(gemini("streamGenerateContent", query=query)).open()
        _, _, got = talk.upstream(reply(CLAUDE_ANSWER)).answer()
        assert got.startswith(begin)
    talk = talk_to("claude").client(gemini("streamGenerateContent")).open().upstream(reply(CLAUDE_ANSWER))
    _, headers, got = talk.answer()
    assert headers["content-type"] == "application/json"
    assert json.loads(got)[-1]["candidates"][0]["finishReason"] == "STOP"


def test_an_error_in_a_whole_answer_is_no_array() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    talk = talk_to("claude").client(gemini("streamGenerateContent")).open().upstream(reply(body))
    status, _, got = talk.answer()
    assert (status, "error" in json.loads(got)) == (503, True)


FAILED_INSIDE: dict[str, bytes] = {
    "openai_chat": b'{"error": {"message": "Overloaded.", "type": "server_error"}}',
    "openai_responses": b'{"error": {"message": "Overloaded.", "code": "server_error"}}',
    "claude": b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded."}}',
    "gemini": b'{"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}',
}
ASKS: dict[str, bytes] = {
    "openai_chat": post(CHAT_ASK),
    "openai_responses": post({"model": "m", "input": "ping"}, path="/v1/responses"),
    "claude": post(CLAUDE_ASK, path="/v1/messages"),
    "gemini": post(
        {"contents": [{"role": "user", "parts": [{"text": "ping"}]}]}, path="/v1beta/models/m:generateContent"
    ),
}


@pytest.mark.parametrize("dialect", FAILED_INSIDE)
def test_a_failure_that_calls_itself_a_success_is_a_failure(dialect: str) -> None:
    """Between equal dialects, too: the next credential is asked, and the last one's words pass as they are, with an honest status."""
    one = provider(dialect=dialect, base_url="https://one.test", models=(Model("up", "m"),), credentials=2)
    talk = Conversation(config(one)).client(ASKS[dialect])
    for _ in range(2):
        talk.open().upstream(reply(FAILED_INSIDE[dialect]))
    status, _, body = talk.answer()
    assert (status >= 500, body) == (True, FAILED_INSIDE[dialect])
    assert [attempt.outcome for attempt in talk.journals[0].attempts] == ["status", "status"]


@pytest.mark.parametrize("dialect", FAILED_INSIDE)
def test_what_is_not_json_is_no_answer(dialect: str) -> None:
    """Between equal dialects, too; what is JSON passes, for the client may read what we cannot."""
    talk = talk_to(dialect).client(ASKS[dialect]).open().upstream(reply(b"}:-("))
    assert talk.answer()[0] == 502
    assert talk.journals[0].attempts[0].outcome == "garbage"
    talk = talk_to(dialect).client(ASKS[dialect]).open().upstream(reply(b'{"new": 1}'))
    assert (talk.answer()[0], talk.answer()[2]) == (200, b'{"new": 1}')


def test_no_content_is_an_answer() -> None:
    talk = talk_to("claude").client(ASKS["claude"]).open().upstream(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert talk.answer()[0] == 204
