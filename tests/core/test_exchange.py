"""One exchange, driven by hand on the bare core."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import ClientKey, Config, LogFiles, Timeouts
from dragoman.core.effects import ConnectFailure, Effect, FailureKind, LocalAnswer
from dragoman.core.errors import MisuseError
from dragoman.core.exchange import Exchange
from dragoman.core.exchange_states import TRANSITIONS, Input, State
from dragoman.core.journal import Journal
from tests.core.conversation import KEY, STREAM_HEAD, Conversation, chunked, config, get, post, provider, reply
from tests.strategies import cuts_of

ASK: dict[str, Any] = {"model": "acme-large", "messages": [{"role": "user", "content": "ping"}], "unknown": 1.0}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
ANSWER = {"id": "c1", "choices": [{"index": 0, "message": {"content": "pong"}}], "usage": USAGE}
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"po"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"ng"}}]}\n\n',
]
USAGE_EVENT = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def error_of(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer[2])["error"]
    return error


def test_an_answer_passes_byte_for_byte() -> None:
    talk = Conversation().client(post(ASK)).open()
    path, headers, body = talk.request_at()
    assert path == "/v1/chat/completions"
    assert body == ASK | {"model": "large"}
    assert headers["authorization"] == "Bearer sk-secret-acme-0"
    assert headers["host"] == "acme.test"
    assert headers["user-agent"] == "dragoman/1.2.3"
    answer = json.dumps(ANSWER, indent=3).encode()
    rates = (
        ("X-RateLimit-Remaining-Requests", "9"),
        ("Retry-After", "3"),
        ("X-Request-Id", "up-1"),
        ("Set-Cookie", "a=b"),
    )
    talk.upstream(reply(answer, headers=rates))
    status, headers, got = talk.answer()
    assert (status, got) == (200, answer)
    assert headers["x-ratelimit-remaining-requests"] == "9"
    assert headers["retry-after"] == "3"
    assert headers["x-upstream-request-id"] == "up-1"
    assert headers["x-request-id"] == "req-1"
    assert "set-cookie" not in headers
    assert talk.released == [talk.attempt]
    (journal,) = talk.journals
    assert journal.usage == TokenUsage(input=7, output=3)
    assert (journal.status, journal.fault, journal.client_key, journal.model) == (200, "", "alice", "acme-large")
    assert [(a.provider, a.credential, a.upstream_model, a.outcome) for a in journal.attempts] == [
        ("acme", "acme-0", "large", "ok")
    ]


def test_a_stream_asks_for_usage_and_hides_it() -> None:
    talk = Conversation().client(post(ASK | {"stream": True})).open()
    assert talk.request_at()[2]["stream_options"] == {"include_usage": True}
    talk.upstream(STREAM_HEAD)
    assert talk.to_client == b""  # nothing is committed before the first event
    talk.upstream(chunked(EVENTS[0], end=False))
    assert EVENTS[0] in talk.to_client
    talk.upstream(chunked(EVENTS[1], USAGE_EVENT, DONE))
    status, headers, got = talk.answer()
    assert (status, got) == (200, b"".join(EVENTS) + DONE)
    assert headers["content-type"] == "text/event-stream"
    assert talk.journals[0].usage == TokenUsage(input=7, output=3)
    assert talk.journals[0].streamed


def test_a_stream_that_asked_for_usage_keeps_it() -> None:
    talk = Conversation().client(post(ASK | {"stream": True, "stream_options": {"include_usage": True}})).open()
    talk.upstream(STREAM_HEAD + chunked(*EVENTS, USAGE_EVENT, DONE))
    assert talk.answer()[2] == b"".join(EVENTS) + USAGE_EVENT + DONE
    assert talk.journals[0].usage == TokenUsage(input=7, output=3)


@given(st.data())
def test_cuts_change_nothing(data: st.DataObject) -> None:
    """However the network cuts request and answer, the client's answer is the same."""
    request = post(ASK | {"stream": True})
    answer = STREAM_HEAD + chunked(*EVENTS, USAGE_EVENT, DONE)
    talk = Conversation()
    for piece in data.draw(cuts_of(request)):
        talk.client(piece)
    talk.open()
    for piece in data.draw(cuts_of(answer)):
        talk.upstream(piece)
    assert talk.answer()[2] == b"".join(EVENTS) + DONE
    assert talk.journals[0].usage == TokenUsage(input=7, output=3)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_fault_passes_unchanged_and_is_not_retried(status: int) -> None:
    talk = Conversation(config(provider(credentials=2), request_retry=3)).client(post(ASK)).open()
    body = b'{"error": {"message": "prompt is too long"} }'
    talk.upstream(reply(body, status=status))
    got = talk.answer()
    assert (got[0], got[2]) == (status, body)
    assert got[1]["x-dragoman-fault"] == "client"
    assert len(talk.opened) == 1


def test_a_model_that_one_credential_has_not_may_be_another_s() -> None:
    talk = Conversation(config(provider(credentials=2))).client(post(ASK)).open()
    body = b'{"error": {"code": "model_not_found"} }'
    talk.upstream(reply(b"{}", status=404)).open().upstream(reply(body, status=404))
    assert (talk.answer()[0], talk.answer()[2]) == (404, body)


def test_a_missing_side_door_says_nothing_about_the_model() -> None:
    talk = Conversation()
    talk.client(post({"model": "shared", "input": "a"}, path="/v1/embeddings")).open().upstream(reply({}, status=404))
    talk.client(post(ASK | {"model": "shared"})).open().upstream(reply(ANSWER))
    assert [a[0] for a in talk.answers()] == [404, 200]


def test_who_was_limited_is_not_asked_before_its_time() -> None:
    talk = Conversation(config(provider(credentials=2)))
    talk.client(post(ASK)).open().upstream(reply({}, status=429, headers=(("Retry-After", "60"),)))
    talk.open().upstream(reply({}, status=429, headers=(("Retry-After", "30"),)))
    talk.client(post(ASK))
    _, refused = talk.answers()
    assert (refused[0], refused[1]["retry-after"]) == (429, "30")
    assert error_of(refused)["code"] == "all_credentials_cooling"
    assert len(talk.opened) == 2
    talk.now += 31
    talk.client(post(ASK)).open().upstream(reply(ANSWER))
    assert talk.journals[-1].attempts[0].credential == "acme-1"
    assert "probe" in talk.journals[-1].attempts[0].why


def test_a_client_key_has_its_limits() -> None:
    limited = Config(
        providers=(provider(),),
        api_keys=(ClientKey(KEY, "alice", requests_per_minute=1, models=("acme-large",)),),
    )
    talk = Conversation(limited).client(post(ASK)).open().upstream(reply(ANSWER))
    talk.client(post(ASK)).client(get("/v1/models")).client(post(ASK | {"model": "shared"}))
    _, over, listed, denied = talk.answers("POST", "POST", "GET", "POST")
    assert (over[0], int(over[1]["retry-after"]) > 0) == (429, True)
    assert [m["id"] for m in json.loads(listed[2])["data"]] == ["acme-large"]
    assert denied[0] == 403


def test_the_next_credential_is_tried_and_the_last_error_passes() -> None:
    talk = Conversation(config(provider(credentials=2))).client(post(ASK)).open()
    talk.upstream(reply({"error": "slow down"}, status=429, headers=(("Retry-After", "60"),)))
    assert len(talk.opened) == 2
    talk.open().upstream(reply(b"{ }", status=503))
    got = talk.answer()
    assert (got[0], got[2], got[1]["x-dragoman-fault"]) == (503, b"{ }", "provider")
    assert [a.status for a in talk.journals[0].attempts] == [429, 503]
    assert [a.credential for a in talk.journals[0].attempts] == ["acme-0", "acme-1"]


def test_credentials_take_turns() -> None:
    talk = Conversation(config(provider(credentials=3)))
    for _ in range(4):
        talk.client(post(ASK)).open().upstream(reply(ANSWER))
    assert [j.attempts[0].credential for j in talk.journals] == ["acme-0", "acme-1", "acme-2", "acme-0"]


def test_rounds_pause_and_are_bounded() -> None:
    talk = Conversation(config(request_retry=2)).client(post(ASK))
    pauses = []
    for _ in range(2):
        talk.open().upstream(reply({}, status=500))
        pauses.append(talk.wait())
    talk.open().upstream(reply({}, status=500))
    assert talk.answer()[0] == 500
    assert len(talk.opened) == 3
    assert pauses == [0.25, 0.5]


def test_a_long_retry_after_is_not_waited_for() -> None:
    talk = Conversation(config(request_retry=2)).client(post(ASK)).open()
    talk.upstream(reply({}, status=429, headers=(("Retry-After", "60"),)))
    assert talk.answer()[0] == 429
    assert talk.answer()[1]["retry-after"] == "60"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_an_unreachable_provider_is_named_but_not_its_key(kind: FailureKind) -> None:
    talk = Conversation().client(post(ASK)).refuse(kind)
    status, headers, body = talk.answer()
    assert status == 502
    assert headers["x-dragoman-fault"] == "provider"
    assert b"acme" in body
    assert b"secret" not in talk.to_client
    assert talk.journals[0].attempts[0].outcome == kind.value


def test_an_unreachable_provider_gets_its_rounds_too() -> None:
    talk = Conversation(config(request_retry=1)).client(post(ASK)).refuse()
    talk.wait()
    talk.open().upstream(reply(ANSWER))
    assert talk.answer()[0] == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01binary",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_502(garbage: bytes) -> None:
    talk = Conversation().client(post(ASK)).open().upstream(garbage)
    assert talk.answer()[0] == 502
    assert talk.closed == [talk.attempt]


def test_a_page_for_people_is_a_502_that_says_so() -> None:
    talk = (
        Conversation().client(post(ASK)).open().upstream(reply(b"<html>", status=503, kind="text/html; charset=utf-8"))
    )
    status, _, body = talk.answer()
    assert status == 502
    assert b"HTML page" in body
    assert b"503" in body


def test_a_cut_answer_is_a_502() -> None:
    talk = Conversation().client(post(ASK)).open().upstream(reply(ANSWER)[:-5]).upstream(b"")
    status, _, body = talk.answer()
    assert status == 502
    assert b"acme cut its answer" in body
    assert talk.journals[0].attempts[0].outcome == "cut"


def test_an_empty_answer_is_a_502() -> None:
    talk = Conversation().client(post(ASK)).open().upstream(reply(b""))
    assert talk.answer()[0] == 502


def test_an_empty_stream_is_a_502() -> None:
    talk = Conversation().client(post(ASK | {"stream": True})).open().upstream(STREAM_HEAD + chunked())
    assert talk.answer()[0] == 502


def test_a_cut_stream_ends_with_an_error_event() -> None:
    talk = Conversation().client(post(ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(EVENTS[0], b'data: {"half', end=False)).upstream(b"")
    status, _, body = talk.answer()
    assert status == 200
    events = body.decode().split("\n\n")
    assert events[0] + "\n\n" == EVENTS[0].decode()
    assert "acme cut its answer" in json.loads(events[1].removeprefix("data: "))["error"]["message"]
    assert events[2:] == ["data: [DONE]", ""]
    assert (talk.journals[0].fault, talk.journals[0].status) == ("provider", 200)


def test_a_dead_kept_connection_is_tried_once_more_on_a_fresh_one() -> None:
    talk = Conversation().client(post(ASK)).open(reused=True).upstream(b"")
    assert talk.opened[-1].fresh
    talk.open().upstream(reply(ANSWER))
    assert talk.answer()[0] == 200
    assert len(talk.journals[0].attempts) == 1


def test_a_fresh_connection_that_closes_is_a_failure() -> None:
    talk = Conversation().client(post(ASK)).open().upstream(b"")
    assert talk.answer()[0] == 502
    assert talk.journals[0].attempts[0].outcome == "closed"


def test_late_news_changes_nothing() -> None:
    talk = Conversation(config(provider(credentials=2))).client(post(ASK)).open()
    first = talk.attempt
    talk.upstream(reply({}, status=500))
    second = talk.attempt
    talk.upstream(b"", first).open(first).open(second).upstream(b"late", first)
    talk.perform(talk.core.upstream_failed(first, ConnectFailure(FailureKind.REFUSED, "late"), talk.now))
    talk.upstream(reply(ANSWER), second)
    assert talk.answer()[0] == 200


# --- deadlines: exact, for time is an argument ---

TIMES = Timeouts(connect=1.0, first_byte=2.0, between_pieces=3.0, exchange=100.0)


def test_connecting_has_a_deadline() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(post(ASK))
    assert talk.wait() == 1.0
    assert talk.answer()[0] == 504
    assert talk.closed == [talk.attempt]


def test_another_provider_is_tried_when_connecting_takes_too_long() -> None:
    talk = Conversation(config(provider("acme"), provider("beta"), timeouts=TIMES)).client(
        post(ASK | {"model": "shared"})
    )
    talk.wait()
    talk.open().upstream(reply(ANSWER))
    assert talk.answer()[0] == 200
    assert [a.provider for a in talk.journals[0].attempts] == ["acme", "beta"]


def test_silence_is_a_504_and_is_not_paid_for_twice() -> None:
    talk = Conversation(config(provider(credentials=2), timeouts=TIMES, request_retry=2)).client(post(ASK)).open()
    assert talk.wait() == 2.0
    status, headers, body = talk.answer()
    assert (status, headers["x-dragoman-fault"]) == (504, "provider")
    assert b"acme sent nothing within 2 seconds" in body
    assert talk.closed == [talk.attempt]


def test_silence_in_a_stream_ends_it() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(post(ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(EVENTS[0], end=False))
    assert talk.wait() == 3.0
    assert b"sent nothing for 3 seconds" in talk.answer()[2]


def test_each_piece_moves_the_deadline_but_the_whole_has_one_too() -> None:
    times = Timeouts(between_pieces=3.0, exchange=10.0)
    talk = Conversation(config(timeouts=times)).client(post(ASK | {"stream": True})).open().upstream(STREAM_HEAD)
    for _ in range(4):
        talk.upstream(chunked(EVENTS[0], end=False))
        talk.now += 2
    talk.upstream(chunked(EVENTS[0], end=False))
    assert talk.wait() == 2.0
    assert b"had not finished after 10 seconds" in talk.answer()[2]


def test_the_whole_exchange_bounds_the_rounds() -> None:
    talk = Conversation(config(timeouts=Timeouts(exchange=0.1), request_retry=100)).client(post(ASK)).open()
    talk.upstream(reply({}, status=500))
    talk.wait()
    assert talk.answer()[0] == 500


def test_a_timer_that_comes_early_does_nothing() -> None:
    talk = Conversation().client(post(ASK)).open()
    talk.perform(talk.core.handle_timer(talk.now))
    assert talk.to_client == b""


# --- the client's part ---


def test_a_client_that_leaves_stops_the_upstream() -> None:
    talk = Conversation().client(post(ASK | {"stream": True})).open()
    talk.upstream(STREAM_HEAD + chunked(EVENTS[0], end=False)).client(b"")
    assert talk.closed == [talk.attempt]
    assert talk.is_over
    (journal,) = talk.journals
    assert (journal.status, journal.attempts[0].outcome) == (200, "abandoned")
    talk.upstream(b"late", talk.attempt)


def test_a_client_that_leaves_early_is_a_499() -> None:
    talk = Conversation().client(post(ASK)).client(b"")
    assert talk.journals[0].status == 499
    assert talk.closed == [talk.attempt]


def test_what_is_over_is_over() -> None:
    talk = Conversation().client(post(ASK)).open()
    exchange = talk.core._exchange
    assert exchange is not None
    talk.upstream(reply(ANSWER))
    effects: list[Effect] = []
    exchange.abandon(talk.now, effects)
    exchange.abort(talk.now, effects)
    assert effects == []
    assert len(talk.journals) == 1


def test_a_client_that_leaves_between_two_rounds() -> None:
    talk = Conversation(config(request_retry=1)).client(post(ASK)).open().upstream(reply({}, status=500)).client(b"")
    assert talk.journals[0].status == 499


def test_a_stop_between_two_rounds() -> None:
    talk = Conversation(config(request_retry=1)).client(post(ASK)).open().upstream(reply({}, status=500))
    talk.perform(talk.core.abort(talk.now))
    assert talk.answer()[0] == 503


def test_the_type_of_an_answer_may_be_its_last_field_or_none() -> None:
    for fields in (b"X-A: b\r\nContent-Type: application/json\r\n", b"X-A: b\r\n"):
        talk = Conversation().client(post(ASK)).open()
        talk.upstream(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\n{}")
        assert talk.answer()[2] == b"{}"


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b"{", "not JSON", None),
        (b"", "empty", None),
        (b"[]", "JSON object", None),
        (b"\xff\xfe", "not JSON", None),
        (b'{"messages": []}', "lacks `model`", "model"),
        (b'{"model": 7}', "`model`", "model"),
    ],
)
def test_bad_bodies_are_answered_clearly(body: bytes, message: str, param: str | None) -> None:
    status, headers, got = Conversation().client(post(body)).answer()
    error = json.loads(got)["error"]
    assert (status, headers["x-dragoman-fault"]) == (400, "client")
    assert message in error["message"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_an_unknown_model_is_a_404_with_near_matches() -> None:
    answer = Conversation().client(post(ASK | {"model": "acme-larg"})).answer()
    assert answer[0] == 404
    assert error_of(answer)["code"] == "model_not_found"
    assert "acme-large" in error_of(answer)["message"]


@pytest.mark.parametrize("key", [None, "wrong", ""])
def test_a_wrong_key_is_a_401_that_leaks_nothing(key: str | None) -> None:
    answer = Conversation().client(post(ASK, key=key)).answer()
    assert answer[0] == 401
    assert answer[1]["www-authenticate"] == "Bearer"
    assert b"wrong" not in answer[2]
    assert error_of(answer)["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/nowhere", {"error"}), ("/v1/messages/x", {"type", "error", "request_id"}), ("/v1beta/x", {"error"})],
)
def test_unknown_paths_are_404_in_the_dialect_of_the_path(path: str, shape: set[str]) -> None:
    status, _, body = Conversation().client(get(path)).answer()
    assert status == 404
    assert json.loads(body).keys() == shape


def test_a_wrong_method_is_a_405_with_allow() -> None:
    status, headers, _ = Conversation().client(get("/v1/chat/completions")).answer()
    assert (status, headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_needs_no_key(path: str) -> None:
    talk = Conversation()
    talk.now += 12.5
    status, _, body = talk.client(get(path, key=None)).answer()
    assert status == 200
    assert json.loads(body) == {"status": "ok", "version": "1.2.3", "transport": "none", "uptime_seconds": 12.5}


def test_head_is_get_without_a_body() -> None:
    talk = Conversation().client(get("/health", method="HEAD") + get("/health"))
    (head, full) = talk.answers("HEAD", "GET")
    assert head[2] == b""
    assert head[1]["content-length"] == full[1]["content-length"]


def test_models_are_listed_in_the_reader_s_dialect() -> None:
    talk = Conversation(config(provider(prefix="p")))
    talk.client(get("/v1/models")).client(get("/v1/models", headers=(("anthropic-version", "2023-06-01"),)))
    talk.client(get("/v1/models/p%2Facme-large")).client(get("/v1/models/none"))
    talk.client(get("/v1/models", headers=(("x-goog-api-key", "k"),)))
    openai, claude, one, none, gemini = talk.answers()
    assert json.loads(gemini[2])["models"][0]["name"] == "models/acme-large"
    assert [m["id"] for m in json.loads(openai[2])["data"]] == ["acme-large", "p/acme-large", "shared", "p/shared"]
    assert json.loads(openai[2])["data"][0].keys() == {"id", "object", "created", "owned_by"}
    assert json.loads(claude[2])["first_id"] == "acme-large"
    assert json.loads(one[2])["id"] == "p/acme-large"
    assert none[0] == 404


def test_embeddings_and_completions_pass_too() -> None:
    talk = Conversation()
    talk.client(post({"model": "shared", "input": "a"}, path="/v1/embeddings")).open()
    assert talk.request_at()[0] == "/v1/embeddings"
    talk.upstream(reply({"data": [], "usage": {"prompt_tokens": 2}}))
    talk.client(post({"model": "shared", "prompt": "a", "stream": True}, path="/v1/completions")).open()
    assert talk.request_at()[0] == "/v1/completions"
    talk.upstream(STREAM_HEAD + chunked(*EVENTS, USAGE_EVENT, DONE))
    assert [a[0] for a in talk.answers()] == [200, 200]
    assert [j.usage for j in talk.journals] == [TokenUsage(input=2), TokenUsage(input=7, output=3)]


def test_a_client_s_request_id_is_kept_if_it_is_harmless() -> None:
    talk = Conversation()
    talk.client(get("/health", headers=(("x-request-id", "abc-1"),)))
    talk.client(get("/health", headers=(("x-request-id", 'a" b=c'),)))
    assert [a[1]["x-request-id"] for a in talk.answers()] == ["abc-1", "req-1"]


def test_what_concerns_the_provider_is_forwarded_and_nothing_else() -> None:
    headers = (("OpenAI-Beta", "x=1"), ("Cookie", "secret"), ("X-Api-Key", "wrong"), ("traceparent", "00-1"))
    talk = Conversation().client(post(ASK, headers=headers)).open()
    sent = talk.request_at()[1]
    assert (sent["openai-beta"], sent["traceparent"]) == ("x=1", "00-1")
    assert not {"cookie", "x-api-key"} & sent.keys()


# --- answers of odd shapes ---


def test_a_long_answer_goes_on_as_it_comes() -> None:
    long = b'{"a":"' + b"x" * (9 * 1024 * 1024) + b'"}'
    talk = Conversation().client(post(ASK)).open()
    whole = reply(long)
    for at in range(0, len(whole), 1024 * 1024):
        talk.upstream(whole[at : at + 1024 * 1024])
    assert talk.answer()[2] == long


def test_a_long_answer_that_is_cut_is_cut_for_the_client_too() -> None:
    talk = Conversation().client(post(ASK)).open()
    talk.upstream(reply(b"x" * (9 * 1024 * 1024))[:-1]).upstream(b"")
    assert talk.is_over
    assert not talk.to_client.endswith(b"0\r\n\r\n")


def test_an_answer_without_a_length_ends_by_closing() -> None:
    talk = Conversation().client(post(ASK)).open()
    talk.upstream(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}").upstream(b"")
    assert talk.answer()[2] == b"{}"
    assert talk.released == []


def test_an_answer_with_no_content_passes() -> None:
    talk = Conversation().client(post(ASK)).open().upstream(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert talk.answer()[0] == 204


# --- CORS ---


def test_browsers_are_let_in_only_when_configured() -> None:
    ask = get(
        "/v1/models", method="OPTIONS", headers=(("Origin", "http://a"), ("Access-Control-Request-Headers", "x-a"))
    )
    assert Conversation().client(ask).answer()[0] == 405
    talk = (
        Conversation(config(cors_origins=("http://a",)))
        .client(ask)
        .client(get("/health", headers=(("Origin", "http://a"),)))
    )
    preflight, health = talk.answers("OPTIONS", "GET")
    assert preflight[0] == 204
    assert preflight[1]["access-control-allow-headers"] == "x-a"
    assert health[1]["access-control-allow-origin"] == "http://a"
    other = Conversation(config(cors_origins=("http://b",))).client(ask).answer()
    assert other[0] == 405
    every = Conversation(config(cors_origins=("*",))).client(ask).answers("OPTIONS")[0]
    assert every[1]["access-control-allow-origin"] == "*"


# --- the machine ---


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("received", list(Input))
def test_every_state_takes_every_input_or_says_no(state: State, received: Input) -> None:
    talk = Conversation().client(post(ASK))
    exchange = talk.core._exchange
    assert isinstance(exchange, Exchange)
    exchange.state = state
    if (state, received) in TRANSITIONS:
        exchange._receive(received)
        assert exchange.state is TRANSITIONS[state, received]
    else:
        with pytest.raises(MisuseError, match=f"{received.name} in state {state.name}"):
            exchange._receive(received)


@given(
    st.lists(
        st.sampled_from(["client", "leave", "open", "reused", "head", "event", "end", "eof", "wait", "refuse", "junk"])
    )
)
def test_whatever_happens_there_is_one_answer_and_one_record(steps: list[str]) -> None:
    """Any order of events: never two answers to one request, never a record missing, never an exception."""
    talk = Conversation(config(provider(credentials=2), request_retry=1, timeouts=TIMES))
    requests = 0
    for step in steps:
        if talk.is_over:
            break
        match step:
            case "client":
                requests += 1
                talk.client(post(ASK | {"stream": True}))
            case "leave":
                talk.client(b"")
            case "wait":
                talk.wait()
            case _ if not talk.opened:
                pass
            case "open" | "reused":
                talk.open(reused=step == "reused")
            case "head":
                talk.upstream(STREAM_HEAD)
            case "event":
                talk.upstream(chunked(EVENTS[0], end=False))
            case "end":
                talk.upstream(b"0\r\n\r\n")
            case "eof":
                talk.upstream(b"")
            case "refuse":
                talk.refuse()
            case _:
                talk.upstream(b"\x00")
    assert len(talk.journals) <= requests
    if not talk.is_over:
        talk.perform(talk.core.abort(talk.now))
    begun = talk.to_client.count(b"HTTP/1.1 ")
    assert begun <= len(talk.journals) <= max(requests, 1)
    assert b"secret" not in talk.to_client


def test_the_story_of_the_attempts_is_told_when_asked_for() -> None:
    talk = Conversation(config(provider(credentials=2)))
    talk.client(post(ASK, headers=(("x-dragoman-attempts", "1"),))).open().upstream(reply({}, status=500))
    talk.open().upstream(reply(ANSWER))
    assert talk.answer()[1]["x-dragoman-attempts"] == "acme/acme-0 500, acme/acme-1 200"


def test_a_model_with_a_colon_is_not_geminis() -> None:
    """Who asks for it under /v1 reads errors of OpenAI's."""
    status, _, body = Conversation().client(get("/v1/models/ft:gpt:acme")).answers("GET")[0]
    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")


# --- what is answered outside ---

ALERTS = "/v0/management/a%20b?x=%41"


def test_what_is_answered_outside_is_handed_over() -> None:
    """Decoded once, without a client key being asked for, HEAD as GET."""
    talk = Conversation(peer="192.0.2.7").client(get(ALERTS, key=None, method="HEAD"))
    (serve,) = talk.handed_over
    assert (serve.request.method, serve.request.path, serve.request.query) == ("GET", "/v0/management/a b", "x=%41")
    assert serve.request.peer == "192.0.2.7"
    assert serve.request.fields[b"host"] == b"gateway"
    talk.serve(LocalAnswer(200, b"{}", ((b"content-type", b"application/json"),)))
    status, headers, body = talk.answers("HEAD")[0]
    assert (status, headers["content-length"], body) == (200, "2", b"")
    assert [(j.status, j.fault, j.path) for j in talk.journals] == [(200, "", "/v0/management/a%20b")]


def test_a_body_is_handed_over() -> None:
    talk = Conversation().client(post(b"debug: true", path="/v0/management/config.yaml"))
    assert talk.handed_over[0].request.body == b"debug: true"
    assert "debug" not in repr(talk.handed_over[0])


@pytest.mark.parametrize(
    ("answer", "status", "fault", "message"),
    [
        (LocalAnswer(404, error="No such file.", code="not_found"), 404, "client", "No such file."),
        (LocalAnswer(503, error="The disk is full."), 503, "gateway", "The disk is full."),
        (None, 500, "gateway", "The gateway failed; its log says how."),
    ],
)
def test_errors_from_outside_are_told_in_the_dialect(
    answer: LocalAnswer | None, status: int, fault: str, message: str
) -> None:
    """And the connection lives on."""
    talk = Conversation().client(get(ALERTS)).serve(answer)
    talk.client(get("/health"))
    (first, second) = talk.answers("GET", "GET")
    assert (first[0], first[1]["x-dragoman-fault"], json.loads(first[2])["error"]["message"]) == (
        status,
        fault,
        message,
    )
    assert second[0] == 200
    assert talk.journals[0].fault == fault


def test_late_news_from_outside_is_dropped() -> None:
    """Of another request on this connection, or of one that is over."""
    talk = Conversation().client(get(ALERTS)).serve(LocalAnswer(200, b"1"))
    talk.serve(LocalAnswer(200, b"again"))
    talk.client(get(ALERTS)).serve(LocalAnswer(200, b"late"), attempt=1).serve(LocalAnswer(200, b"2"))
    assert [body for _, _, body in talk.answers("GET", "GET")] == [b"1", b"2"]
    assert talk.core.served(2, LocalAnswer(200, b"3"), talk.now) == []


def test_nobody_outside_answers() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(get(ALERTS))
    assert talk.wait() == TIMES.exchange
    status, headers, _ = talk.answers("GET")[0]
    assert (status, headers["x-dragoman-fault"]) == (504, "gateway")
    assert talk.serve(LocalAnswer(200, b"late")).journals[0].status == 504
    assert not talk.is_over


def test_a_client_that_leaves_does_not_wait_for_outside() -> None:
    talk = Conversation().client(get(ALERTS)).client(b"")
    assert talk.is_over
    assert talk.serve(LocalAnswer(200, b"late")).to_client == b""
    assert [j.status for j in talk.journals] == [499]


def test_draining_waits_for_outside_and_aborting_does_not() -> None:
    talk = Conversation().client(get(ALERTS))
    talk.perform(talk.core.drain(talk.now))
    before = talk.is_over
    talk.serve(LocalAnswer(200, b"{}"))
    assert (before, talk.is_over) == (False, True)
    assert talk.answers("GET")[0][1]["connection"] == "close"
    talk = Conversation().client(get(ALERTS))
    talk.perform(talk.core.abort(talk.now))
    assert talk.is_over
    assert talk.answers("GET")[0][0] == 503


def test_what_the_operator_does_has_no_file_of_its_own() -> None:
    """There may be secrets in it, and in its answer: a whole configuration, a credential file."""
    talk = Conversation(config(log_files=LogFiles(every_request=True)))
    shown: list[Journal] = []
    talk.gateway.show = lambda journal, evidence: shown.append(journal)
    talk.client(post(b"api-keys: [sk-5ecret]", path="/v0/management/config.yaml")).serve(LocalAnswer(422, error="no"))
    talk.client(get("/v0/management/config.yaml")).serve(LocalAnswer(200, b"sk-5ecret"))
    talk.client(get("/v0/management/config")).serve(None)
    assert [journal.status for journal in talk.journals] == [422, 200, 500]
    assert shown == []
