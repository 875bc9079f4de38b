"""One suite for memory, trio, asyncio and uvloop: the same requests get the same answers, whatever moves the bytes."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import h11
import pytest

from dragoman.adapters.demo_provider import DemoProvider
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider, Timeouts
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import Origin
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Journal
from dragoman.transports.listeners import listen_tcp
from dragoman.transports.on_memory.network import MemoryNetwork
from dragoman.transports.services import Service, Settings
from tests.core.conversation import KEY, get, post
from tests.transports.conformance import CLOCK, ServerThread
from tests.transports.on_asyncio.test_conformance import serving_on
from tests.transports.on_trio.test_conformance import server_thread as on_trio
from tests.transports.peers import PATIENCE

MODELS = ("echo", "429", "500", "cut", "garbage", "html", "empty", "error-mid-stream", "think", "tools")
DIALECTS = {"": ("openai_chat", "/v1"), "c/": ("claude", ""), "g/": ("gemini", ""), "r/": ("openai_responses", "/v1")}


def a_gateway(port: int, now: float, journals: list[Journal]) -> Gateway:
    """The real core in front of the demo provider, in each dialect."""
    providers = tuple(
        Provider(
            name=f"demo-{dialect}",
            kind="test",
            dialect=dialect,
            base_url=f"http://127.0.0.1:{port}{root}",
            credentials=(Credential("k"),),
            models=tuple(Model(f"demo/{name}", f"{prefix}{name}") for name in MODELS),
        )
        for prefix, (dialect, root) in DIALECTS.items()
    )
    config = Config(
        providers=providers,
        api_keys=(ClientKey(KEY, "alice"),),
        disable_cooling=True,
        timeouts=Timeouts(first_byte=5.0),
    )
    ids = itertools.count(1)
    return Gateway(
        config, version="1", transport="any", now=now, new_id=lambda: f"req-{next(ids)}", draw=lambda: 0.0,
        record=journals.append,
    )  # fmt: skip


def ask(model: str, *, stream: bool = False, **more: Any) -> bytes:
    return post({"model": model, "messages": [{"role": "user", "content": "hello you"}], "stream": stream, **more})


TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
CONVERSATIONS: dict[str, list[bytes]] = {
    "models": [get("/v1/models"), get("/v1beta/models"), get("/nowhere"), get("/v1/models", key="wrong")],
    "one after another": [ask("echo"), ask("echo", stream=True), ask("c/echo"), ask("c/echo", stream=True)],
    "pipelined": [ask("echo") + get("/v1/models") + ask("g/echo", stream=True)],
    "failures": [ask(model, stream=stream) for model in ("429", "500", "html", "empty") for stream in (False, True)],
    "broken": [ask("garbage"), ask("cut"), ask("cut", stream=True), ask("error-mid-stream", stream=True)],
    "tools": [ask(f"{prefix}tools", tools=[TOOL], stream=True) for prefix in DIALECTS],
    "thinking": [ask(f"{prefix}think", reasoning_effort="low") for prefix in DIALECTS],
    "claude's client": [
        post({"model": f"{prefix}echo", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}], "stream": True},
             path="/v1/messages")
        for prefix in DIALECTS
    ],
    "gemini's client": [
        post({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, path=f"/v1beta/models/{prefix}echo:streamGenerateContent")
        for prefix in DIALECTS
    ],
    "bad input": [post(b"{"), post({"model": 7}), ask("nothing"), b"GET / HTTP/1.1\r\n\r\n"],
    "a body in pieces": [ask("echo", padding="x" * 300_000)],
    "embeddings": [post({"model": "echo", "input": ["a", "b"]}, path="/v1/embeddings")],
}  # fmt: skip


@attrs.frozen
class Heard:
    """What a client got for one write: status, headers and body of each answer, framing undone; and what the journal says."""

    answers: list[tuple[int, dict[bytes, bytes], bytes]]
    has_ended: bool


def read_answers(data: bytes, count: int, *, has_ended: bool) -> Heard:
    """Undo the framing, which may differ: a transport may read a stream in other pieces."""
    reader = h11.Connection(h11.CLIENT)
    reader.receive_data(data)
    answers = []
    for _ in range(count):
        reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        reader.send(h11.EndOfMessage())
        head = reader.next_event()
        if not isinstance(head, h11.Response):
            break
        body = b""
        while isinstance(event := reader.next_event(), h11.Data):
            body += bytes(event.data)
        headers = {bytes(name): bytes(value) for name, value in head.headers}
        for framing in (b"transfer-encoding", b"content-length"):
            headers.pop(framing, None)
        answers.append((head.status_code, headers, body))
        if not isinstance(event, h11.EndOfMessage) or reader.their_state is not h11.DONE:
            break
        reader.start_next_cycle()
    return Heard(answers, has_ended)


def is_complete(data: bytes, count: int) -> bool:
    """Whether all answers are there, whole."""
    if not data:  # which h11 takes for the end
        return False
    reader = h11.Connection(h11.CLIENT)
    reader.receive_data(data)
    for _ in range(count):
        reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        reader.send(h11.EndOfMessage())
        event = reader.next_event()
        while isinstance(event, h11.Response | h11.Data):
            event = reader.next_event()
        if not isinstance(event, h11.EndOfMessage):
            return False
        if reader.their_state is h11.DONE:
            reader.start_next_cycle()
    return True


def heads_in(request: bytes) -> int:
    return request.count(b" HTTP/1.1\r\n")


def in_memory(name: str) -> list[Heard]:
    network = MemoryNetwork(now=1000.0, latency=0.01)
    network.serve(Origin("http", "127.0.0.1", 1), lambda peer: DemoProvider(pace=0.0).connect(peer))
    journals: list[Journal] = []
    gateway = a_gateway(1, network.now, journals)
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    heard = []
    for request in CONVERSATIONS[name]:
        client.received = b""
        client.send(request)
        network.run_until_idle()
        heard.append(read_answers(client.received, heads_in(request), has_ended=client.has_ended))
    assert network.errors == []
    assert len(journals) == sum(map(heads_in, CONVERSATIONS[name]))
    return heard


def over_sockets(server_thread: ServerThread) -> Callable[[str], list[Heard]]:
    def converse(name: str) -> list[Heard]:
        demo, front = listen_tcp("127.0.0.1", 0), listen_tcp("127.0.0.1", 0)
        errors: list[Exception] = []
        journals: list[Journal] = []
        gateway = a_gateway(demo[0].getsockname()[1], CLOCK(), journals)
        services = [
            Service(demo, DemoProvider(pace=0.0).connect),
            Service(front, lambda peer: ClientConnection(gateway, CLOCK())),
        ]
        where = front[0].getsockname()
        heard = []
        with (
            server_thread(services, Settings(now=CLOCK, on_error=errors.append, drain_seconds=0.5)),
            socket.create_connection(where, PATIENCE) as client,
        ):
            for request in CONVERSATIONS[name]:
                client.sendall(request)
                data, has_ended = b"", False
                while not has_ended and not is_complete(data, heads_in(request)):
                    piece = client.recv(65536)
                    data, has_ended = data + piece, not piece
                if not has_ended and b"connection: close" in data:
                    has_ended = client.recv(1) == b""
                heard.append(read_answers(data, heads_in(request), has_ended=has_ended))
        assert errors == []
        assert len(journals) == sum(map(heads_in, CONVERSATIONS[name]))
        return heard

    return converse


@contextlib.contextmanager
def uvloop_thread(*args: Any) -> Iterator[Any]:
    uvloop = pytest.importorskip("uvloop")
    with serving_on(uvloop.new_event_loop)(*args) as server:
        yield server


TRANSPORTS = {
    "trio": over_sockets(on_trio),
    "asyncio": over_sockets(serving_on(asyncio.new_event_loop)),
    "uvloop": over_sockets(uvloop_thread),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_is_heard_as_in_memory(name: str, transport: str) -> None:
    expected = in_memory(name)
    heard = TRANSPORTS[transport](name)
    assert [without_clock(h) for h in heard] == [without_clock(h) for h in expected]


def without_clock(heard: Heard) -> Heard:
    """What a provider dates, or the gateway in its place."""

    def undated(body: bytes) -> bytes:
        return b'"created":0'.join(
            part if not n else part.lstrip(b"0123456789") for n, part in enumerate(body.split(b'"created":'))
        )

    return Heard([(status, headers, undated(body)) for status, headers, body in heard.answers], heard.has_ended)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_memory_is_deterministic(name: str) -> None:
    assert in_memory(name) == in_memory(name)


def test_the_suite_hears_something() -> None:
    """Or it would prove nothing."""
    answers = [answer for name in CONVERSATIONS for heard in in_memory(name) for answer in heard.answers]
    assert len(answers) == sum(map(heads_in, itertools.chain(*CONVERSATIONS.values())))
    assert {200, 400, 401, 404, 429, 500, 502} <= {status for status, _, _ in answers}
    assert any(b"[DONE]" in body for _, _, body in answers)
    assert json.loads(answers[0][2])["object"] == "list"
