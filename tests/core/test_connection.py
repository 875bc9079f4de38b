"""A client connection: one exchange after another, deadlines of reading, and ends."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Limits, Timeouts
from tests.core.conversation import STREAM_HEAD, Conversation, chunked, config, get, post, reply
from tests.strategies import cuts_of

ASK: dict[str, Any] = {"model": "acme-large", "messages": []}
TIMES = Timeouts(request_head=1.0, request_body=2.0, keep_alive=3.0)


def test_pipelined_requests_are_answered_in_order() -> None:
    talk = Conversation().client(post(ASK) + get("/health") + post(ASK))
    assert len(talk.opened) == 1
    talk.open().upstream(reply({"n": 1}))
    assert len(talk.opened) == 2
    talk.open().upstream(reply({"n": 2}))
    assert [json.loads(a[2]).get("n") for a in talk.answers("POST", "GET", "POST")] == [1, None, 2]


@given(st.data())
def test_cuts_between_requests_change_nothing(data: st.DataObject) -> None:
    talk = Conversation()
    for piece in data.draw(cuts_of(get("/health") + get("/nowhere") + get("/v1/models"))):
        talk.client(piece)
    assert [a[0] for a in talk.answers()] == [200, 404, 200]


def test_an_idle_connection_is_closed_in_time_without_a_word() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(get("/health"))
    assert talk.wait() == 3.0
    assert talk.is_over
    assert len(talk.answers()) == 1


def test_a_connection_that_never_says_anything_is_closed() -> None:
    talk = Conversation(config(timeouts=TIMES))
    assert talk.wait() == 1.0
    assert (talk.is_over, talk.to_client) == (True, b"")


def test_a_slow_head_is_a_408_however_steadily_it_drips() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(get("/health"))
    for byte in b"GET /health HTT":
        talk.now += 0.01
        talk.client(bytes([byte]))
    assert talk.wait() == pytest.approx(1.0 - 0.14)
    assert [a[0] for a in talk.answers()] == [200, 408]
    assert talk.is_over


def test_a_slow_body_is_a_408() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(post(ASK)[:-1])
    assert talk.wait() == 2.0
    status, headers, body = talk.answer()
    assert (status, headers["x-dragoman-fault"], headers["connection"]) == (408, "client", "close")
    assert "body" in json.loads(body)["error"]["message"]


def test_timers_that_come_early_do_nothing() -> None:
    talk = Conversation().client(b"GET")
    talk.perform(talk.core.handle_timer(talk.now))
    assert not talk.is_over


def test_a_body_over_the_limit_is_a_413_before_it_is_sent() -> None:
    talk = Conversation(config(limits=Limits(body=10)))
    talk.client(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
    status, headers, _ = talk.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert b"100 Continue" not in talk.to_client


def test_a_head_over_the_limit_is_a_431() -> None:
    talk = Conversation(config(limits=Limits(head=100))).client(b"GET /" + b"a" * 200)
    assert talk.answer()[0] == 431
    assert talk.is_over


def test_who_expects_a_continue_gets_it_once() -> None:
    request = post(ASK, headers=(("Expect", "100-continue"),))
    end = request.index(b"\r\n\r\n") + 4
    talk = Conversation().client(request[:end])
    assert talk.to_client == b"HTTP/1.1 100 Continue\r\n\r\n"
    talk.client(request[end : end + 3]).client(request[end + 3 :]).open().upstream(reply({"n": 1}))
    assert talk.to_client.count(b"100 Continue") == 1
    assert talk.answer()[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"{}\r\n\r\n",
    ],
)
def test_what_cannot_be_framed_is_refused_and_closed(head: bytes) -> None:
    talk = Conversation().client(head)
    status, headers, _ = talk.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert talk.is_over
    talk.client(b"more")  # told to nobody


def test_http_1_0_is_answered_and_closed() -> None:
    talk = Conversation().client(b"GET /health HTTP/1.0\r\n\r\n")
    assert talk.to_client.startswith(b"HTTP/1.1 200")
    assert talk.is_over


def test_http_1_0_gets_streams_without_chunks() -> None:
    request = post(ASK | {"stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0")
    talk = Conversation().client(request).open().upstream(STREAM_HEAD + chunked(b"data: {}\n\n", b"data: [DONE]\n\n"))
    assert talk.to_client.endswith(b"\r\n\r\ndata: {}\n\ndata: [DONE]\n\n")
    assert talk.is_over


def test_connection_close_is_honoured() -> None:
    talk = Conversation().client(get("/health", headers=(("Connection", "close"),)) + get("/health"))
    assert talk.is_over
    assert len(talk.answers()) == 1


def test_news_of_an_attempt_that_nobody_waits_for() -> None:
    talk = Conversation().client(post(ASK)).open().upstream(reply({"n": 1}))
    told = talk.to_client
    talk.refuse().open().upstream(b"late")
    assert talk.to_client == told
    assert not talk.is_over


def test_a_client_that_leaves_after_its_answer() -> None:
    assert Conversation().client(get("/health")).client(b"").is_over


def test_draining_closes_idle_connections_at_once() -> None:
    talk = Conversation().client(get("/health"))
    talk.perform(talk.core.drain(talk.now))
    assert talk.is_over
    talk.perform(talk.core.drain(talk.now))


def test_draining_lets_an_exchange_end() -> None:
    talk = Conversation().client(post(ASK)).open()
    talk.perform(talk.core.drain(talk.now))
    talk.client(post(ASK)).upstream(reply({"n": 1}))
    assert talk.is_over
    assert [(a[0], a[1]["connection"]) for a in talk.answers()] == [(200, "close")]


def test_what_was_sent_before_the_end_is_answered_and_is_the_last() -> None:
    talk = Conversation().client(post(ASK) + post(ASK) + post(ASK)).open()
    talk.perform(talk.core.drain(talk.now))
    talk.upstream(reply({"n": 1}))
    assert talk.is_over
    assert [a[1]["connection"] for a in talk.answers()] == ["close"]


def test_a_request_in_pieces_is_answered_while_draining_begins() -> None:
    """The rest of a half-read request is not waited for."""
    talk = Conversation().client(post(ASK)[:-1])
    talk.perform(talk.core.drain(talk.now))
    assert talk.is_over


def test_aborting_answers_what_is_owed() -> None:
    talk = Conversation().client(post(ASK)).open()
    talk.perform(talk.core.abort(talk.now))
    status, headers, _ = talk.answer()
    assert (status, headers["x-dragoman-fault"]) == (503, "gateway")
    assert talk.is_over
    assert talk.closed == [talk.attempt]


def test_aborting_ends_a_stream_with_an_error_event() -> None:
    talk = (
        Conversation()
        .client(post(ASK | {"stream": True}))
        .open()
        .upstream(STREAM_HEAD + chunked(b"data: {}\n\n", end=False))
    )
    talk.perform(talk.core.abort(talk.now))
    assert b"shutting down" in talk.answer()[2]
    assert talk.journals[0].fault == "gateway"


def test_aborting_an_idle_connection_closes_it() -> None:
    talk = Conversation()
    talk.perform(talk.core.abort(talk.now))
    assert talk.is_over
    assert talk.core.next_deadline() == math.inf
    for late in (talk.core.upstream_opened(1, 0.0), talk.core.upstream_sent(1, b"a", 0.0), talk.core.handle_timer(1e9)):
        assert late == []


def test_further_requests_are_not_hoarded() -> None:
    talk = Conversation().client(post(ASK))
    was_reading = [talk.core.is_reading]
    talk.client(post(ASK | {"messages": ["x" * 300_000]}))
    was_reading.append(talk.core.is_reading)
    talk.open().upstream(reply({"n": 1}))
    was_reading.append(talk.core.is_reading)
    assert was_reading == [True, False, True]


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_of_a_client_raise(pieces: list[bytes]) -> None:
    talk = Conversation()
    for piece in pieces:
        if not talk.is_over:
            talk.client(piece)


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_no_bytes_of_a_provider_raise(pieces: list[bytes], stream: bool) -> None:
    talk = Conversation().client(post(ASK | {"stream": stream})).open()
    for piece in [STREAM_HEAD if stream else b"", *pieces, b""]:
        talk.upstream(piece)
    assert len(talk.journals) == 1


def test_empty_lines_do_not_keep_a_connection_alive() -> None:
    talk = Conversation(config(timeouts=TIMES)).client(get("/health"))
    for _ in range(5):
        talk.now += 0.5
        talk.client(b"\r\n")
    assert talk.wait() == pytest.approx(0.5)
    assert talk.is_over
