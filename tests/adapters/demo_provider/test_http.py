"""The demo provider's HTTP, with no socket: bytes and times in, effects out."""

import json
import math

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.demo_provider import DemoConnection, DemoProvider
from dragoman.core.effects import CloseClient, Effect, WriteClient
from tests.strategies import cuts_of


def post(path: str = "/v1/chat/completions", body: object = None, **more: object) -> bytes:
    """A request's bytes."""
    asked = {"model": "demo", "messages": [{"role": "user", "content": "hello there"}]} | more if body is None else body
    raw = body if isinstance(body, bytes) else json.dumps(asked).encode()
    return f"POST {path} HTTP/1.1\r\nHost: demo\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def written(effects: list[Effect]) -> bytes:
    """All that was written."""
    return b"".join(effect.data for effect in effects if isinstance(effect, WriteClient))


def talk(connection: DemoConnection, pieces: list[bytes]) -> tuple[bytes, bool]:
    """Send pieces, let all deadlines come; what was written, and whether it was closed."""
    effects: list[Effect] = []
    now = 100.0
    for piece in pieces:
        effects += connection.client_sent(piece, now)
    for _ in range(10_000):
        if connection.next_deadline() == math.inf:
            return written(effects), connection.is_closed
        now = max(now, connection.next_deadline())
        effects += connection.handle_timer(now)
    raise AssertionError("it never stops")


def bodies(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """Read `count` responses with h11, the client's side."""
    client = h11.Connection(h11.CLIENT)
    out = []
    client.receive_data(data)
    for _ in range(count):
        client.send(h11.Request(method="GET", target="/", headers=[("host", "demo")]))
        client.send(h11.EndOfMessage())
        head = client.next_event()
        assert isinstance(head, h11.Response)
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        out.append((head.status_code, body))
        if client.our_state is h11.DONE and client.their_state is h11.DONE:
            client.start_next_cycle()
    return out


REQUESTS = [
    post(),
    post(stream=True),
    post(stream=True, model="demo/cut"),
    post(model="demo/cut"),
    post(model="demo/slow"),
    post(model="demo/garbage"),
    post(model="demo/429"),
    post(body=b"{"),
    post("/nowhere"),
    b"POST / HTTP/1.1\r\nHost: demo\r\nContent-Length: x\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n",
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nHost: demo\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}   \r\n0\r\n\r\n",
]  # fmt: skip


@given(st.data(), st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3))
def test_cut_anywhere(data: st.DataObject, requests: list[bytes]) -> None:
    """The bytes of pipelined requests may be cut anywhere; the answers are the same."""
    conversation = b"".join(requests)
    pieces = data.draw(cuts_of(conversation))
    assert talk(DemoConnection(), pieces) == talk(DemoConnection(), [conversation])


@given(st.lists(st.binary(min_size=1) | st.sampled_from(REQUESTS), max_size=4))
def test_any_bytes_are_answered(pieces: list[bytes]) -> None:
    """Nothing a client sends makes it raise, and after it closed it says no more."""
    connection = DemoConnection(pace=0.5)
    talk(connection, pieces)
    end = connection.client_sent(b"", 1000.0)
    assert connection.is_closed
    assert not connection.is_reading
    assert end in ([], [CloseClient()])
    assert connection.client_sent(b"more", 1001.0) == connection.handle_timer(1001.0) == connection.abort(1001.0) == []


def test_pace_spreads_a_stream() -> None:
    """One event per deadline, on a clock that runs late too; without pace all is one write."""
    connection = DemoConnection(pace=0.5)
    first = connection.client_sent(post(stream=True), 10.0)
    assert written(first).count(b"data:") == 1
    assert connection.next_deadline() == 10.5
    assert connection.handle_timer(10.4) == []
    assert written(connection.handle_timer(11.1)).count(b"data:") == 2
    slow, _ = talk(DemoConnection(pace=0.5), [post(stream=True)])
    [at_once] = DemoConnection().client_sent(post(stream=True), 0.0)
    assert at_once == WriteClient(slow)


def test_keeps_alive() -> None:
    """Requests one behind the other, one of them pipelined."""
    data, closed = talk(DemoConnection(pace=0.1), [post(stream=True) + post(), post("/nowhere")])
    assert [status for status, _ in bodies(data, 3)] == [200, 200, 404]
    assert not closed


def test_stream_and_whole_have_one_id() -> None:
    """And everything else is the same every time."""
    (_, one), (_, again), (_, streamed) = bodies(talk(DemoConnection(), [post() + post() + post(stream=True)])[0], 3)
    assert one == again
    assert json.loads(one)["id"].encode() in streamed


def test_asks_to_continue() -> None:
    """A client that waits for 100 gets it."""
    connection = DemoConnection()
    raw = b"{}"
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: demo\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert written(connection.client_sent(head, 0.0)).startswith(b"HTTP/1.1 100 ")
    assert written(connection.client_sent(raw, 0.0)).startswith(b"HTTP/1.1 400 ")


def test_too_large_is_refused_early() -> None:
    """At the limit, not at the end of the body."""
    connection = DemoConnection()
    connection.client_sent(b"POST / HTTP/1.1\r\nHost: demo\r\nContent-Length: 99999999999\r\n\r\n", 0.0)
    effects: list[Effect] = []
    for _ in range(65):
        effects += connection.client_sent(b" " * 2**20, 0.0)
    assert written(effects).startswith(b"HTTP/1.1 413 ")
    assert effects[-1] == CloseClient()


def test_head_too_large() -> None:
    """431, and the end."""
    data, closed = talk(DemoConnection(), [b"GET / HTTP/1.1\r\nHost: demo\r\nX: " + b"x" * 70_000])
    assert data.startswith(b"HTTP/1.1 431 ")
    assert closed


def test_head_request_has_no_body() -> None:
    """But the same head."""
    data, _ = talk(DemoConnection(), [b"HEAD /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n"])
    assert data.endswith(b"\r\n\r\n")


def test_drain_lets_the_answer_end() -> None:
    """Idle: at once. In the middle: at the end of the answer."""
    assert DemoConnection().drain(0.0) == [CloseClient()]
    connection = DemoConnection(pace=0.5)
    connection.client_sent(post(stream=True), 0.0)
    assert connection.drain(0.1) == []
    assert connection.handle_timer(99.0)[-1] == CloseClient()


def test_abort_ends_at_once() -> None:
    """In mid-stream, and a silent one."""
    connection = DemoConnection(pace=0.5)
    connection.client_sent(post(stream=True), 0.0)
    assert connection.abort(0.1) == [CloseClient()]
    assert connection.next_deadline() == math.inf
    silent = DemoConnection()
    assert silent.client_sent(post(model="demo/silent"), 0.0) == []
    assert silent.next_deadline() == math.inf
    assert silent.abort(5.0) == [CloseClient()]


def test_slow_is_as_slow_as_told() -> None:
    """And then complete."""
    connection = DemoProvider(pace=0, slowness=3.0).connect()
    assert connection.client_sent(post(model="demo/slow"), 10.0) == []
    assert connection.next_deadline() == 13.0
    assert written(connection.handle_timer(13.0)).startswith(b"HTTP/1.1 200 ")


def test_reading_stops_while_ahead() -> None:
    """A client cannot make it hold more than a little of what comes next."""
    connection = DemoConnection(pace=0.5)
    connection.client_sent(post(stream=True), 0.0)
    before = connection.is_reading
    connection.client_sent(post(body=b" " * 70_000), 0.0)
    ahead = connection.is_reading
    connection.handle_timer(99.0)
    assert (before, ahead, connection.is_reading) == (True, False, True)


@pytest.mark.parametrize("where", ["half a body", "half a stream"])
def test_cut_is_cut(where: str) -> None:
    """h11 says so."""
    connection = DemoConnection()
    effects = connection.client_sent(post(model="demo/cut", stream=where == "half a stream"), 0.0)
    assert effects[-1] == CloseClient()
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "demo")]))
    client.send(h11.EndOfMessage())
    client.receive_data(written(effects))
    assert isinstance(client.next_event(), h11.Response)
    assert isinstance(client.next_event(), h11.Data)
    client.receive_data(b"")
    with pytest.raises(h11.RemoteProtocolError):
        list(iter(client.next_event, None))
