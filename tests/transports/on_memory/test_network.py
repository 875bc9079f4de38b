"""A network in memory: its clock, its latency, its windows."""

import pytest

from dragoman.adapters.demo_provider import DemoProvider
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import ConnectFailure, FailureKind, LocalAnswer, Origin
from dragoman.transports.on_memory.network import MemoryNetwork
from tests.core.conversation import Conversation, config, get, post, provider
from tests.transports.line_proxy import LineProxy

DEMO = Origin("http", "demo.test", 80)


def test_bytes_take_their_time() -> None:
    network = MemoryNetwork(now=100.0, latency=0.25)
    client = network.connect(DemoProvider(pace=0.0).connect)
    client.send(b"GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n")
    network.run_until(100.49)
    assert client.received == b""
    network.run_until_idle()
    assert client.received.startswith(b"HTTP/1.1 200")
    assert network.now >= 100.5


def test_deadlines_come_exactly() -> None:
    """Ten seconds are ten seconds, and cost none."""
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork(now=0.0)
    network.fail(DEMO, None)
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    client.send(post({"model": "acme-large", "messages": []}))
    network.run_until(9.999)
    assert client.received == b""
    network.run_until(10.0)
    assert client.received.startswith(b"HTTP/1.1 504")
    assert network.now == 10.0


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.TLS])
def test_connecting_fails_as_it_is_told(kind: FailureKind) -> None:
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork()
    if kind is FailureKind.TLS:
        network.fail(DEMO, ConnectFailure(kind, "expired"))
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    client.send(post({"model": "acme-large", "messages": []}))
    network.run_until_idle()
    assert client.received.startswith(b"HTTP/1.1 502")


def test_a_client_that_does_not_read_holds_back_its_upstream() -> None:
    """No more is on its way than the windows hold, however much there is."""
    network = MemoryNetwork(window=1000)
    network.serve(DEMO, DemoProvider(pace=0.0).connect)
    gateway = Conversation(config(provider(base_url="http://demo.test/v1", dialect="openai_chat"))).gateway
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    client.is_reading = False
    text = "word " * 20_000
    client.send(post({"model": "acme-large", "messages": [{"role": "user", "content": text}], "stream": True}))
    network.run_until_idle()
    assert client.received == b""
    client.resume()
    network.run_until_idle()
    assert client.received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert client.received.count(b"word") > 19_000


def test_draining_and_aborting() -> None:
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork()
    network.serve(DEMO, DemoProvider(pace=1.0).connect)
    idle = network.connect(lambda peer: ClientConnection(gateway, network.now))
    busy = network.connect(lambda peer: ClientConnection(gateway, network.now))
    busy.send(post({"model": "acme-large", "messages": [{"role": "user", "content": "a b c d"}], "stream": True}))
    network.run_until(2.5)
    network.drain()
    network.run_until(2.5)
    assert (idle.has_ended, busy.has_ended) == (True, False)
    network.abort()
    network.run_until(3.0)
    assert busy.has_ended
    assert b"shutting down" in busy.received


def test_a_fault_ends_one_connection_and_is_reported() -> None:
    network = MemoryNetwork()

    def fail(peer: str) -> LineProxy:
        raise RuntimeError("a bug")

    client = network.connect(fail)
    network.run_until_idle()
    assert client.has_ended
    assert [str(error) for error in network.errors] == ["a bug"]


def test_kept_connections_serve_again_and_expire() -> None:
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork(upstream_idle_seconds=5.0)
    made = []

    def connect(peer: str) -> object:
        made.append(peer)
        return DemoProvider(pace=0.0).connect(peer)

    network.serve(DEMO, connect)  # type: ignore[arg-type]
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    for seconds in (0.0, 1.0, 20.0):
        network.run_until(network.now + seconds)
        client.send(post({"model": "acme-large", "messages": [{"role": "user", "content": "a"}]}))
        network.run_until_idle()
    assert client.received.count(b"HTTP/1.1 200") == 3
    assert len(made) == 2


def test_what_is_answered_elsewhere_takes_no_time_and_comes_in_order() -> None:
    """At once, or after a step that would be a thread's."""
    network = MemoryNetwork(
        now=5.0,
        serve=lambda request: (
            LocalAnswer(200, b"now") if request.path.endswith("now") else lambda: lambda: LocalAnswer(200, b"later")
        ),
    )
    gateway = Conversation().gateway
    client = network.connect(lambda peer: ClientConnection(gateway, network.now, peer))
    client.send(get("/v0/management/later") + get("/v0/management/now"))
    network.run_until_idle()
    assert network.now == 5.0
    assert [part.partition(b"HTTP/")[0] for part in client.received.split(b"\r\n\r\n")[1:]] == [b"later", b"now"]
    assert network.errors == []


def test_a_provider_dies_and_comes_back() -> None:
    """All its connections end, at once; new ones stand."""
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork()
    network.serve(DEMO, DemoProvider(pace=1.0).connect)
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    ask = post({"model": "acme-large", "messages": [{"role": "user", "content": "a b c d"}], "stream": True})
    client.send(ask)
    network.run_until(1.5)
    network.cut(DEMO)
    network.run_until(1.5)
    assert b"cut its answer" in client.received
    network.connect(lambda peer: ClientConnection(gateway, network.now)).send(ask)
    network.cut(Origin("http", "nobody.test", 80))
    network.run_until(60.0)


def test_nothing_is_pending_in_the_end() -> None:
    gateway = Conversation(config(provider(base_url="http://demo.test/v1"))).gateway
    network = MemoryNetwork(latency=0.1)
    client = network.connect(lambda peer: ClientConnection(gateway, network.now))
    assert network.pending == 1  # the deadline of the first request's head
    client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert network.pending == 2
    network.run_until(1.0)
    client.close()
    network.run_until(10.0)
    assert network.pending == 0


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
def test_room_is_made_before_anybody_waits_for_ever(window: int) -> None:
    """However small the window, all of it arrives."""
    network = MemoryNetwork(latency=0.001, window=window)
    client = network.connect(DemoProvider(pace=0.0).connect)
    client.send(b"GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n")
    network.run_until_idle()
    head, _, body = client.received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.endswith(b"}")
