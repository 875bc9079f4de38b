"""The load generator in Python, for machines without a C compiler: slower, with the arguments and the output of `lg.c`.

What it does, counts and refuses is written at the top of `lg.c`.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TAIL: Final = 128
MAX_FAILURES: Final = 1000


class Run:
    """What all connections share: the options, the clock of the run, and the counts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.port: int = options.port
        self.host: str = options.host
        self.conns: int = options.conns
        self.secs: float = options.secs
        self.warmup: float = options.warmup
        self.each: int = options.each
        self.limit: float = options.limit
        self.think: float = options.think_ms / 1000
        self.terminator: bytes = options.terminator.encode()
        self.length: int = options.length
        body: bytes = options.body.read_bytes()
        head = [f"POST {options.path} HTTP/1.1", f"Host: {self.host}:{self.port}", *options.header]
        self.request = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
        self.window = (math.inf, math.inf)
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []
        self.last_answer = 0.0
        self.gap_max = 0.0
        self.events = self.bytes = self.errors = self.non200 = self.finished = 0
        self.over = asyncio.Event()
        self.clients: list[Client] = []

    def in_window(self, now: float) -> bool:
        """Whether what happens at `now` is measured."""
        return self.window[0] <= now < self.window[1]

    def check(self) -> None:
        """End the run when every connection has finished or too much has failed."""
        if self.finished >= self.conns or self.errors + self.non200 >= MAX_FAILURES:
            self.over.set()

    async def measure(self) -> None:
        """Open all connections, then send on all of them at once, until the window or the last connection ends."""
        loop = asyncio.get_running_loop()
        hard_end = time.monotonic() + self.limit
        for _ in range(self.conns):
            try:
                await loop.create_connection(lambda: Client(self), self.host, self.port)
            except OSError:
                self.errors += 1
                self.finished += 1
        begun = time.monotonic()
        start = begun + self.warmup
        self.window = (start, hard_end if self.each else min(hard_end, start + self.secs))
        for client in self.clients:
            client.ask()
        self.check()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), self.window[1] - time.monotonic())
        if self.each:
            self.window = (start, self.last_answer if self.last_answer > begun else time.monotonic())
        for client in self.clients:
            client.abandon()

    def report(self) -> dict[str, object]:
        """The figures, under the keys of `lg.c`."""
        secs = max(self.window[1] - self.window[0], 1e-9)
        count = len(self.latencies)
        latencies, first = sorted(self.latencies), sorted(self.first_bytes)
        lat = {f"p{p}": percentile(latencies, p / 100) for p in (50, 90, 99)}
        mean = sum(latencies) / count * 1000 if count else 0.0
        return {
            "conns": self.conns,
            "secs": round(secs, 4),
            "measured": count,
            "unfinished": self.conns * self.each - count if self.each else 0,
            "rps": round(count / secs, 2),
            "lat_ms": {"mean": round(mean, 4), **lat, "max": percentile(latencies, 1.0)},
            "ttft_ms": {f"p{p}": percentile(first, p / 100) for p in (50, 90, 99)},
            "gapmax_ms": round(self.gap_max * 1000, 3),
            "events": self.events,
            "events_s": round(self.events / secs, 1),
            "bytes": self.bytes,
            "MB_s": round(self.bytes / secs / 1e6, 3),
            "errors": self.errors,
            "non200": self.non200,
            "driver": "python",
        }


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank, in milliseconds."""
    return round(ordered[max(math.ceil(share * len(ordered)), 1) - 1] * 1000, 4) if ordered else 0.0


class Client(asyncio.Protocol):
    """One connection in its closed loop."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._requests = 0
        self._over = False
        self._reset()

    def _reset(self) -> None:
        self._held = b""
        self._in_body = False
        self._chunked = self._is_stream = self._closes = False
        self._status = self._payload = self._left = 0
        self._until_close = False
        self._tail = b""
        self._asked = self._first = self._last = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio has set TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._run.clients.append(self)

    def ask(self) -> None:
        """Send the next request."""
        if self._over:
            return
        self._reset()
        self._asked = time.monotonic()
        self._transport.write(self._run.request)

    def abandon(self) -> None:
        """The run is over: whatever is in flight does not count."""
        self._over = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that ends with its connection is complete; any other is lost."""
        if self._over:
            return
        if self._in_body and self._until_close and exc is None:
            self._complete(time.monotonic())
        else:
            self._fail()

    def data_received(self, data: bytes) -> None:
        """Read the answer: its head, then its body."""
        now = time.monotonic()
        if self._in_body:
            self._take(data, now)
            return
        self._held += data
        head, blank, rest = self._held.partition(b"\r\n\r\n")
        if not blank:
            return
        self._held = b""
        self._read_head(head)
        self._in_body = True
        self._take(rest, now)

    def _read_head(self, head: bytes) -> None:
        lines = head.lower().split(b"\r\n")
        headers = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        status = lines[0][9:12]
        self._status = int(status) if status.isdigit() else 0
        self._closes = headers.get(b"connection") == b"close" or lines[0].startswith(b"http/1.0")
        self._is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._until_close = not self._chunked and b"content-length" not in headers
        self._left = int(headers.get(b"content-length", b"0"))

    def _take(self, data: bytes, now: float) -> None:
        if self._chunked:
            self._take_chunks(data, now)
            return
        self._take_payload(data, now)
        self._left -= len(data)
        if not self._until_close and self._left == 0:
            self._complete(now)
        elif not self._until_close and self._left < 0:
            self._fail()

    def _take_chunks(self, data: bytes, now: float) -> None:
        data = self._held + data
        at = 0
        payload = []
        while (eol := data.find(b"\r\n", at)) >= 0:
            try:
                size = int(data[at:eol].partition(b";")[0], 16)
            except ValueError:
                self._fail()
                return
            if len(data) < eol + 4 + size:
                break
            payload.append(data[eol + 2 : eol + 2 + size])
            at = eol + 4 + size
            if not size:
                self._take_payload(b"".join(payload), now)
                self._complete(now)
                return
        self._held = data[at:]
        self._take_payload(b"".join(payload), now)

    def _take_payload(self, payload: bytes, now: float) -> None:
        if not payload:
            return
        run = self._run
        self._first = self._first or now
        self._payload += len(payload)
        joined = self._tail + payload
        if run.in_window(now):
            run.bytes += len(payload)
            if self._is_stream:
                run.events += sum(joined.count(end) - self._tail.count(end) for end in (b"\n\n", b"\r\n\r\n"))
            run.gap_max = max(run.gap_max, now - self._last if self._last else 0.0)
            self._last = now
        self._tail = joined[-TAIL:]

    def _complete(self, now: float) -> None:
        run = self._run
        run.last_answer = now
        is_whole = not self._is_stream or run.terminator in self._tail
        if self._status != 200:
            run.non200 += 1
        elif not is_whole or (run.length >= 0 and self._payload != run.length):
            run.errors += 1
        elif run.in_window(now):
            run.latencies.append(now - self._asked)
            run.first_bytes.append(self._first - self._asked)
        self._next(reconnect=self._closes or self._until_close, wait=run.think)

    def _fail(self) -> None:
        self._run.errors += 1
        self._next(reconnect=True, wait=0.0)

    def _next(self, *, reconnect: bool, wait: float) -> None:
        run = self._run
        self._requests += 1
        run.check()
        loop = asyncio.get_running_loop()
        if run.each and self._requests >= run.each:
            self._over = True
            self._transport.abort()
            run.finished += 1
            run.check()
        elif reconnect:
            self._over = True
            self._transport.abort()
            self._task = loop.create_task(self._reconnect())
        elif wait:
            loop.call_later(wait, self.ask)
        else:
            self.ask()

    async def _reconnect(self) -> None:
        run = self._run
        try:
            _, client = await asyncio.get_running_loop().create_connection(lambda: Client(run), run.host, run.port)
        except OSError:
            run.errors += 1
            run.finished += 1
            run.check()
            return
        client._requests = self._requests
        client.ask()


def main() -> None:
    """Run once and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"port": None, "conns": 1, "each": 0, "length": -1}.items():
        parser.add_argument(f"--{name}", type=int, default=default, required=default is None)
    for name, seconds in {"secs": 1.0, "warmup": 0.0, "limit": 120.0, "think-ms": 0.0}.items():
        parser.add_argument(f"--{name}", type=float, default=seconds)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--path", default="/")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--terminator", default="")
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    if ipaddress.ip_address(options.host) not in ipaddress.ip_network("127.0.0.0/8"):
        parser.error("loopback only: --host must be an address in 127.0.0.0/8")

    async def measure() -> Run:
        run = Run(options)
        await run.measure()
        return run

    print(json.dumps(asyncio.run(measure()).report()))


if __name__ == "__main__":
    main()
