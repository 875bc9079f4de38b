"""Load for a soak: paced streams, both ends of them, in one asyncio loop with raw sockets.

The provider writes the same events to all streams on one clock; each stream's own number and each event's are in its text, so a piece
that is lost, doubled, late behind another, or another client's, is seen. No client library, no task for each stream: the load must cost
less than what it measures.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import psutil

from tests.end_to_end.processes import PATIENCE, Gateway
from tests.end_to_end.wire import chat, request

_NUMBER: Final = re.compile(rb'"content":\s*"stream (\d+)"')
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_DONE: Final = b"data: [DONE]\n\n"
_SAMPLES: Final = 20


def event(stream: int, number: int) -> bytes:
    """One event of one stream."""
    return (
        b'data: {"id":"s%d","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":{"content":"s%d-e%d "},"finish_reason":null}]}\n\n' % (stream, stream, number)
    )


def chunk(data: bytes) -> bytes:
    """HTTP's frame around a piece."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    """The provider's end of one connection."""

    def __init__(self, streams: "set[Provider]") -> None:
        self._streams = streams
        self._received = b""
        self.number = -1
        self.sent = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """No more of this."""
        self._streams.discard(self)

    def data_received(self, data: bytes) -> None:
        """Begin a stream once the question is there."""
        self._received += data
        found = _NUMBER.search(self._received)
        if found is None or not self._received.endswith(b"}"):
            return
        self._received = b""
        self.number, self.sent = int(found[1]), 0
        self._streams.add(self)
        assert self.transport is not None
        self.transport.write(_HEAD)

    def tick(self, events: int) -> None:
        """Write the next event, and after the last one the end."""
        assert self.transport is not None
        data = chunk(event(self.number, self.sent))
        self.sent += 1
        if self.sent == events:
            self._streams.discard(self)
            data += chunk(_DONE) + b"0\r\n\r\n"
        self.transport.write(data)


class Reader(asyncio.Protocol):
    """A client's end of one stream."""

    def __init__(self, number: int, question: bytes) -> None:
        self.number = number
        self.received = bytearray()
        self.is_lost = False
        self.is_over = asyncio.get_running_loop().create_future()
        self._question = question
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._question)

    def data_received(self, data: bytes) -> None:
        """Keep what comes, until the end."""
        self.received += data
        if self.received.endswith(b"\r\n0\r\n\r\n"):
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, or none."""
        if not self.is_over.done():
            self.is_over.set_result(None)

    def is_right(self, events: int) -> bool:
        """Whether every event came, once, in order, and the end."""
        head, _, body = bytes(self.received).partition(b"\r\n\r\n")
        expected = b"".join(event(self.number, number) for number in range(events)) + _DONE
        return head.startswith(b"HTTP/1.1 200 OK\r\n") and dechunked(body) == expected


def dechunked(body: bytes) -> bytes:
    """What is in the chunks; nothing if they are not well formed to the end."""
    out: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        size = int(body[at:end], 16) if end > 0 else -1
        if size <= 0:
            return b"".join(out) if size == 0 and body[end:] == b"\r\n\r\n" else b""
        out.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


@attrs.frozen
class Figures:
    """What a soak came to.

    Attributes:
        streams: Begun.
        right: Of those, complete and right.
        events: Received in all.
        seconds: From the first question to the last end.
        cpu: CPU seconds of the gateway.
        before: Its resident memory in bytes before the streams.
        samples: While all of them ran.
        after: When all was over.
        left_over: Connections of the gateway, beyond its listener, when all was over.
        files_left_over: Open files beyond those of before.

    """

    streams: int
    right: int
    events: int
    seconds: float
    cpu: float
    before: int
    samples: Sequence[int]
    after: int
    left_over: int
    files_left_over: int

    def __str__(self) -> str:
        """One line for people."""
        mib = 2**20
        return (
            f"{self.right}/{self.streams} streams right, {self.events} events in {self.seconds:.1f} s, CPU {self.cpu:.2f} s "
            f"({self.cpu / self.events * 1e6:.1f} us an event), RSS {self.before / mib:.1f} MiB before, "
            f"{self.samples[0] / mib:.1f} to {max(self.samples) / mib:.1f} MiB during, {self.after / mib:.1f} MiB after; "
            f"left over: {self.left_over} connections, {self.files_left_over} files"
        )


class Soak:
    """The load, and the provider that it is for.

    Args:
        pace: Seconds between two events of a stream.

    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._answering: set[Provider] = set()

    async def provide(self) -> tuple[asyncio.Server, int]:
        """Listen as a provider; returns the server and its port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Provider(self._answering), "127.0.0.1", 0, backlog=1000)
        return server, int(server.sockets[0].getsockname()[1])

    async def run(self, gateway: Gateway, model: str, streams: int, seconds: float) -> Figures:
        """Stream through a gateway whose `model` leads to `provide`'s port: so many at once, for so long."""
        events = max(2, round(seconds / self._pace))
        process = psutil.Process(gateway.pid)
        before, files, cpu, start = process.memory_info().rss, process.num_fds(), _cpu(process), time.monotonic()
        readers = [await self._ask(gateway, model, number) for number in range(streams)]
        await self._until(lambda: len(self._answering) == streams)
        samples = await self._keep_pace(process, events)
        await asyncio.wait_for(asyncio.gather(*(reader.is_over for reader in readers)), PATIENCE)
        seconds, cpu = time.monotonic() - start, _cpu(process) - cpu
        await self._until(lambda: not _connections(process), strict=False)  # a kept connection has its time
        return Figures(
            streams=streams,
            right=sum(reader.is_right(events) for reader in readers),
            events=sum(reader.received.count(b"data: {") for reader in readers),
            seconds=seconds,
            cpu=cpu,
            before=before,
            samples=samples,
            after=process.memory_info().rss,
            left_over=len(_connections(process)),
            files_left_over=process.num_fds() - files,
        )

    @staticmethod
    async def _ask(gateway: Gateway, model: str, number: int) -> Reader:
        question = request(chat(model, f"stream {number}", stream=True), key=gateway.key)
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: Reader(number, question), gateway.host, gateway.port)
        return reader

    async def _keep_pace(self, process: psutil.Process, events: int) -> list[int]:
        """Write an event to every stream each `pace`, spread over it; returns samples of the gateway's memory."""
        loop = asyncio.get_running_loop()
        samples = []
        due = loop.time()
        for number in range(events):
            for place, stream in enumerate(list(self._answering)):
                stream.tick(events)
                if place % 25 == 24:
                    await asyncio.sleep(0)
            if number % max(1, events // _SAMPLES) == 0:
                samples.append(process.memory_info().rss)
            due += self._pace
            await asyncio.sleep(max(0.0, due - loop.time()))
        return samples

    @staticmethod
    async def _until(is_so: Callable[[], bool], *, strict: bool = True) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                assert not strict, "the streams did not begin"
                return
            await asyncio.sleep(0.05)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _connections(process: psutil.Process) -> list[object]:
    """Open connections, without what listens."""
    return [found for found in process.net_connections("tcp") if found.status != psutil.CONN_LISTEN]
