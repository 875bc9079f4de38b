"""The scripted upstream in Python, for machines without a C compiler: slower, with the arguments and the bytes of `mock.c`.

``python benchmarks/mock/mock.py PORT PAYLOADS [PACE_MS]``; what it answers is written at the top of `mock.c`.
"""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

MAX_REQUEST: Final = 8 << 20
MAX_EVENTS: Final = 20_000
LIFETIME_S: Final = 900

# Path of a dialect -> name of its recording, and how many events at both ends are not to be repeated.
DIALECTS: Final = {b"/v1/chat/completions": ("chat", 1, 3), b"/v1/messages": ("messages", 3, 3)}
# An escaped quote keeps a "model" inside of a text from being taken for the key.
MODEL: Final = re.compile(rb'(?<!\\)"model"[ :]+"[^"]*?bench-([a-z]+)(?:-(\d+))?')


class Request(NamedTuple):
    """One whole request."""

    method: bytes
    path: bytes
    body: bytes
    closes: bool


class BadRequest(Exception):
    """The request cannot be read."""


def error_answer(status: str, message: str) -> bytes:
    """An answer after which the connection is closed."""
    body = f'{{"error":{{"message":"{message}"}}}}'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


class Recordings:
    """What the mock can say, read from the folder that `benchmarks.data.write_payloads` wrote."""

    def __init__(self, folder: Path) -> None:
        self._head = (folder / "stream.head").read_bytes()
        self.json = {name: (folder / f"{name}.json").read_bytes() for name, _, _ in DIALECTS.values()}
        self._events = {
            name: re.findall(rb".+?\n\n", (folder / f"{name}.sse").read_bytes(), re.DOTALL) for name in self.json
        }
        self.stream = cache(self._stream)

    def _stream(self, dialect: tuple[str, int, int], count: int | None) -> list[bytes]:
        """The stream of `count` events (as recorded when None), one write each; empty when so many (or few) cannot be made."""
        name, opening, closing = dialect
        recorded = self._events[name]
        count = len(recorded) if count is None else count
        if not opening + closing < count <= MAX_EVENTS:
            return []
        middle = recorded[opening:-closing]
        repeated = [middle[n % len(middle)] for n in range(count - opening - closing)]
        pieces = [b"%x\r\n%b\r\n" % (len(e), e) for e in (*recorded[:opening], *repeated, *recorded[-closing:])]
        pieces[0] = self._head + pieces[0]
        pieces[-1] += b"0\r\n\r\n"
        return pieces


class Connection(asyncio.Protocol):
    """One client: answers its requests one after the other."""

    def __init__(self, recordings: Recordings, pace: float) -> None:
        self._recordings = recordings
        self._pace = pace
        self._in = bytearray()
        self._answering = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio has set TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a paced stream."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._in += data
        if len(self._in) > MAX_REQUEST:
            self._transport.abort()
        self._serve()

    def _serve(self) -> None:
        while not self._answering and not self._transport.is_closing():
            try:
                request = self._take_request()
            except BadRequest:
                self._refuse("400 Bad Request", "cannot be read")
                return
            if request is None:
                return
            self._answer(request)

    def _take_request(self) -> Request | None:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = bytes(self._in[:end]).split(b"\r\n")
        fields = [line.partition(b":") for line in lines[1:]]
        headers = {name.lower(): value.strip().lower() for name, _, value in fields}
        method, path, version = [*lines[0].split(b" "), b"", b""][:3]
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            framed = take_chunks(self._in, end + 4)
        else:
            length = headers.get(b"content-length", b"0")
            stop = end + 4 + (int(length) if length.isdigit() else 0)
            framed = (bytes(self._in[end + 4 : stop]), stop) if len(self._in) >= stop else None
        if framed is None:
            if headers.get(b"expect") == b"100-continue" and len(self._in) == end + 4:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body, used = framed
        del self._in[:used]
        connection = headers.get(b"connection", b"")
        closes = b"close" in connection or (version == b"HTTP/1.0" and b"keep-alive" not in connection)
        return Request(method, path.partition(b"?")[0], body, closes)

    def _answer(self, request: Request) -> None:
        dialect = DIALECTS.get(request.path) if request.method == b"POST" else None
        found = MODEL.search(request.body) if dialect else None
        if dialect is None or found is None:
            self._refuse("404 Not Found", "no such path or model")
            return
        mode, count = found.groups()
        if mode == b"json":
            self._write([self._recordings.json[dialect[0]]], request.closes)
            return
        pieces = self._recordings.stream(dialect, int(count) if count else None)
        if not pieces or mode not in (b"fast", b"split", b"paced"):
            self._refuse("404 Not Found", "no such path or model")
        elif mode == b"paced":
            self._answering = True
            self._write_paced(iter(pieces), request.closes, asyncio.get_running_loop().time())
        else:
            self._write([b"".join(pieces)] if mode == b"fast" else pieces, request.closes)

    def _write_paced(self, pieces: Iterator[bytes], closes: bool, due: float) -> None:
        piece = next(pieces, None)
        if piece is None:
            self._answering = False
            self._write([], closes)
            self._serve()
            return
        self._transport.write(piece)
        due += self._pace
        last = piece.endswith(b"\r\n0\r\n\r\n")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() if last else due, self._write_paced, pieces, closes, due)

    def _write(self, pieces: list[bytes], closes: bool) -> None:
        for piece in pieces:
            if self._transport.is_closing():
                return
            self._transport.write(piece)
        if closes:
            self._transport.close()

    def _refuse(self, status: str, message: str) -> None:
        self._write([error_answer(status, message)], True)


def take_chunks(data: bytearray, start: int) -> tuple[bytes, int] | None:
    """Take the chunks off a body.

    Returns:
        The body and where it ends in `data`, or None when more must come.

    Raises:
        BadRequest: A chunk is malformed.

    """
    body: list[bytes] = []
    at = start
    while (eol := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(bytes(data[at:eol]).partition(b";")[0], 16)
        except ValueError as error:
            raise BadRequest from error
        at = eol + 2
        if not size:
            if data.startswith(b"\r\n", at):
                return b"".join(body), at + 2
            end = data.find(b"\r\n\r\n", at)
            return (b"".join(body), end + 4) if end >= 0 else None
        if len(data) < at + size + 2:
            return None
        if data[at + size : at + size + 2] != b"\r\n":
            raise BadRequest
        body.append(bytes(data[at : at + size]))
        at += size + 2
    return None


async def serve(port: int, recordings: Recordings, pace: float) -> None:
    """Serve on loopback until terminated, or for `LIFETIME_S`."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(recordings, pace), "127.0.0.1", port, backlog=4096)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    bound: socket.socket = server.sockets[0]
    print("listening", bound.getsockname()[1], flush=True)
    try:
        await asyncio.wait_for(stopped.wait(), LIFETIME_S)
    finally:
        server.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: mock.py PORT PAYLOADS [PACE_MS]")
    pace_ms = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0
    asyncio.run(serve(int(sys.argv[1]), Recordings(Path(sys.argv[2])), pace_ms / 1000))
