"""The core alone: whole exchanges with no socket, no event loop and no clock.

``python -m benchmarks.bench_exchange [SECONDS]``: a recorded request goes in, a recorded answer comes back, effects are counted and
dropped. Prints exchanges/s, the microseconds of each input, and events/s of streams; no pass or fail. What a transport adds is the rest
of `bench_loopback`.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks import data
from benchmarks.mock.mock import take_chunks
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import Afterwards, Effect, OpenUpstream, WriteClient, WriteUpstream
from dragoman.core.gateway import Gateway

NOW: Final = 1_800_000_000.0
RECEIVE: Final = 65536  # what a transport takes from a socket at once


def make_connection(dialect: str = "openai_chat") -> ClientConnection:
    """A client connection of a gateway with one key and one provider: the only place that knows how one is made."""
    models = tuple(Model(name=m, alias=data.ALIAS_PREFIX + m) for m in data.MODELS)
    provider = Provider(
        name="mock", kind="openai-compatibility", dialect=dialect, base_url="http://127.0.0.1:9/v1",
        credentials=(Credential(label="mock#1", api_key=data.UPSTREAM_KEY),), models=models,
    )  # fmt: skip
    config = Config(api_keys=(ClientKey(key=data.CLIENT_KEY, label="bench"),), providers=(provider,))
    ids = itertools.count()
    gateway = Gateway(
        config, version="0", transport="none", now=NOW, new_id=lambda: f"req-{next(ids)}", draw=lambda: 0.5,
        record=lambda journal: None,
    )  # fmt: skip
    return ClientConnection(gateway, NOW)


def client_request(model: str) -> bytes:
    """A request as it comes from a client's socket."""
    body = data.request_body(data.ALIAS_PREFIX + model, stream=model != "bench-json")
    fields = "".join(f"{name}: {value}\r\n" for name, value in data.request_headers())
    head = f"POST {data.PATH['openai_chat']} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def json_answer() -> list[bytes]:
    """A provider's answer in one piece."""
    body = data.chat_answer()
    return [data.response_head("application/json", len(body)) + body]


def stream_answer(together: int, events: Sequence[bytes]) -> list[bytes]:
    """A provider's stream, `together` events arriving at once, never more than a transport would receive."""
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    chunks[0] = data.response_head("text/event-stream", None) + chunks[0]
    chunks[-1] += b"0\r\n\r\n"
    pieces = [b"".join(chunks[n : n + together]) for n in range(0, len(chunks), together)]
    return [piece[n : n + RECEIVE] for piece in pieces for n in range(0, len(piece), RECEIVE)]


class Driver:
    """Plays the transport: numbers of attempts out, numbers of attempts in."""

    def __init__(self, model: str, answer: Sequence[bytes], dialect: str = "openai_chat") -> None:
        self._connection = make_connection(dialect)
        self._request = client_request(model)
        self._answer = answer

    def exchange(self) -> list[Effect]:
        """One exchange from request to answer, on a connection that is kept; returns the effects of the provider's answer."""
        connection = self._connection
        opened = connection.client_sent(self._request, NOW)[-1]
        assert isinstance(opened, OpenUpstream)
        connection.upstream_opened(opened.attempt, NOW, True)
        effects: list[Effect] = []
        for piece in self._answer:
            effects += connection.upstream_sent(opened.attempt, piece, NOW)
        for effect in effects:
            if type(effect) is Afterwards:
                effect.call()
        return effects

    def timed_exchange(self, spent: dict[str, list[int]]) -> None:
        """The same, noting the nanoseconds of each input; the head and the body of the request are told apart."""
        connection, clock = self._connection, time.perf_counter_ns
        head_end = self._request.index(b"\r\n\r\n") + 4

        def note(stage: str, call: Callable[[], list[Effect]]) -> list[Effect]:
            begun = clock()
            effects = call()
            spent.setdefault(stage, []).append(clock() - begun)
            return effects

        note("client_sent: head", lambda: connection.client_sent(self._request[:head_end], NOW))
        opened = note("client_sent: body", lambda: connection.client_sent(self._request[head_end:], NOW))[-1]
        assert isinstance(opened, OpenUpstream)
        attempt = opened.attempt
        written = note("upstream_opened", lambda: connection.upstream_opened(attempt, NOW, True))
        assert isinstance(written[-1], WriteUpstream)
        for number, piece in enumerate(self._answer):
            place = "first" if number == 0 else "last" if number == len(self._answer) - 1 else "others"
            stage = "upstream_sent" + (f": {place} piece" if len(self._answer) > 1 else "")
            done = note(stage, lambda piece=piece: connection.upstream_sent(attempt, piece, NOW))  # type: ignore[misc]  # an early binding
            for effect in done:
                if type(effect) is Afterwards:
                    note("afterwards", lambda call=effect.call: call() or [])  # type: ignore[misc]  # the same

    def check(self, expected: bytes) -> None:
        """See that the client gets the provider's body, byte for byte."""
        sent = b"".join(effect.data for effect in self.exchange() if isinstance(effect, WriteClient))
        start = sent.index(b"\r\n\r\n") + 4
        if b"transfer-encoding: chunked" in sent[:start].lower():
            taken = take_chunks(bytearray(sent), start)
            body = taken[0] if taken else b""
        else:
            body = sent[start:]
        assert body == expected, "the client does not get what the provider sent"


def rate(driver: Driver, secs: float) -> float:
    """Exchanges/s over `secs` seconds."""
    rounds = 0
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < secs:
        driver.exchange()
        rounds += 1
    return rounds / spent


def print_stages(driver: Driver, rounds: int) -> None:
    """Print the median of each input."""
    spent: dict[str, list[int]] = {}
    for _ in range(rounds):
        driver.timed_exchange(spent)
    for stage, times in spent.items():
        print(f"    {stage:<32} {statistics.median(times) / 1000:>9.2f} µs")


def main() -> None:
    """Print the figures."""
    secs = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    driver = Driver("bench-json", json_answer())
    driver.check(data.chat_answer())
    print(f"exchange, one JSON answer           {rate(driver, secs):>12,.0f} exchanges/s")
    print_stages(driver, 2000)
    for together in (1, 5, 20, data.CHAT_EVENTS):
        driver = Driver("bench-fast", stream_answer(together, data.chat_events()))
        driver.check(b"".join(data.chat_events()))
        print(f"stream, {together:>3} events arriving at once {rate(driver, secs) * data.CHAT_EVENTS:>12,.0f} events/s")
        if together == 1:
            print_stages(driver, 100)
    for together in (1, 5, 20, data.CLAUDE_EVENTS):
        driver = Driver("bench-fast", stream_answer(together, data.claude_events()), "claude")
        figure = rate(driver, secs) * data.CLAUDE_EVENTS
        print(f"translated (Claude to Chat), {together:>3} arriving at once {figure:>12,.0f} events/s")


if __name__ == "__main__":
    main()
