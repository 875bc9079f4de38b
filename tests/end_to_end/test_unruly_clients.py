"""Clients of every bad kind at once, and good ones between them: the good are served, and nothing of anybody is left over.

``DRAGOMAN_UNRULY=60x15 python -m pytest -s tests/end_to_end/test_unruly_clients.py`` has 60 of them for 15 seconds.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from tests.demo_server import serve_demo
from tests.end_to_end.processes import PATIENCE, Gateway, serving

KEY = "sk-client-5ecret"
CLIENTS, SECONDS = (int(part) for part in os.environ.get("DRAGOMAN_UNRULY", "20x2").split("x"))

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(model: str, *, stream: bool, words: int = 3) -> bytes:
    """One request."""
    asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello " * words}]}
    body = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


async def good(streams: Streams, dice: Random) -> None:
    """Asks, reads, asks again."""
    reader, writer = streams
    for _ in range(dice.randint(1, 3)):
        writer.write(request("demo/talk", stream=False, words=dice.randint(1, 400)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        assert b'"usage"' in await reader.readexactly(length)


async def streaming(streams: Streams, dice: Random) -> None:
    """Reads a stream to its end."""
    streams[1].write(request("demo/talk", stream=True, words=dice.randint(1, 50)))
    assert (await streams[0].readuntil(b"data: [DONE]\n\n")).startswith(b"HTTP/1.1 200 ")


async def pipelining(streams: Streams, dice: Random) -> None:
    """Asks for many things before it reads any, and leaves in the middle."""
    streams[1].write(request("demo/talk", stream=False) * dice.randint(2, 20))
    await streams[0].readexactly(500)


async def breaking_off(streams: Streams, dice: Random) -> None:
    """Sends a part of a request."""
    asked = request("demo/talk", stream=True)
    streams[1].write(asked[: dice.randrange(len(asked))])
    await asyncio.sleep(dice.random() / 5)


async def resetting(streams: Streams, dice: Random) -> None:
    """Tears the connection while it is served."""
    streams[1].write(request("demo/talk", stream=True))
    await asyncio.sleep(dice.random() / 10)
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def half_closing(streams: Streams, dice: Random) -> None:
    """Says that it will say nothing more, which is to leave."""
    streams[1].write(request("demo/talk", stream=True))
    streams[1].write_eof()
    await streams[0].read()


async def reading_nothing(streams: Streams, dice: Random) -> None:
    """Asks for more than sockets hold."""
    streams[1].write(request("demo/talk", stream=True, words=3000) * 10)
    await asyncio.sleep(dice.random())


async def babbling(streams: Streams, dice: Random) -> None:
    """Speaks no HTTP."""
    streams[1].write(dice.randbytes(dice.randint(1, 5000)) + b"\n\n")
    streams[1].write_eof()
    await streams[0].read()


async def failing(streams: Streams, dice: Random) -> None:
    """Asks for what goes wrong."""
    streams[1].write(request(dice.choice(["demo/429", "demo/500", "demo/cut", "nobody"]), stream=True))
    await streams[0].readuntil(b"\r\n\r\n")


KINDS: list[Callable[[Streams, Random], Awaitable[None]]] = [
    good, streaming, pipelining, breaking_off, resetting, half_closing, reading_nothing, babbling, failing,
]  # fmt: skip


async def client(port: int, dice: Random, until: float, served: Counter[str]) -> None:
    """One after another."""
    while time.monotonic() < until:
        kind = dice.choice(KINDS)
        streams = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(PATIENCE):
                await kind(streams, dice)
        finally:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()
        served[kind.__name__] += 1


def open_files(gateway: Gateway) -> int:
    """How many files its process has open."""
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted where Linux shows them")
@pytest.mark.timeout(120 + 2 * SECONDS)
def test_unruly_clients(tmp_path: Path, transport: str) -> None:
    path = tmp_path / "config.yaml"
    with serve_demo() as url:
        path.write_text(
            f"host: 127.0.0.1\napi-keys: [{KEY}]\ndisable-cooling: true\ntimeouts: {{upstream-idle: 200ms, keep-alive: 1s}}\n"
            f"openai-compatibility: [{{name: demo, base-url: '{url}/v1', models: "
            "[{name: demo/talk}, {name: demo/429}, {name: demo/500}, {name: demo/cut}]}]\n"
        )
        path.chmod(0o600)
        with serving(tmp_path, transport, secrets=[KEY]) as gateway:
            served: Counter[str] = Counter()

            async def crowd(clients: int, seconds: float) -> None:
                until = time.monotonic() + seconds
                await asyncio.gather(*(client(gateway.port, Random(n), until, served) for n in range(clients)))

            asyncio.run(crowd(2, 0.2))  # what is opened once is not what is looked for
            time.sleep(1.5)
            before = open_files(gateway)
            asyncio.run(crowd(CLIENTS, SECONDS))
            print(f"\n{transport}: {dict(served)}")  # noqa: T201 - shown with -s
            deadline = time.monotonic() + PATIENCE
            while open_files(gateway) > before:
                assert time.monotonic() < deadline, "something is still open"
                time.sleep(0.1)
            asyncio.run(good_at(gateway.port))
            assert "connection failed" not in gateway.stderr.text  # a bug of ours
            assert set(served) == {kind.__name__ for kind in KINDS}


async def good_at(port: int) -> None:
    """One good client more."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    await good(streams, Random(1))
    streams[1].close()
