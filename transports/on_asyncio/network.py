"""What opening a connection takes of asyncio; see `dragoman.transports.upstreams.Network`."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dragoman.transports.links import READ_SIZE
from dragoman.transports.services import HAPPY_EYEBALLS
from dragoman.transports.upstreams import numeric


class AsyncioNetwork:
    """Opens connections."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, do: Callable[[], Awaitable[None]], stopped: Callable[[], None]) -> Callable[[], object]:
        """Do something meanwhile; returns what stops it."""

        async def run() -> None:
            await do()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it begins runs nothing, not even a `finally`.
        task.add_done_callback(lambda done: stopped() if done.cancelled() else None)
        return task.cancel

    async def close(self) -> None:
        """Stop everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Connect to one of the addresses of `host`; where there is but one, there is nothing to race."""
        known = numeric(host, port)
        if known is not None:
            return await _connect_one(known)
        return await _race(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))

    async def resolve(self, host: str, port: int) -> str:
        """One address of `host`."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return str(found[0][4][0])

    async def send_all(self, sock: socket.socket, data: bytes) -> None:
        """Send everything, waiting as long as it takes."""
        if data:
            await asyncio.get_running_loop().sock_sendall(sock, data)

    async def receive_some(self, sock: socket.socket) -> bytes:
        """Wait for bytes and return them; none: the peer closed."""
        return await asyncio.get_running_loop().sock_recv(sock, READ_SIZE)


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


async def _race(found: Sequence[_Address]) -> socket.socket:
    """Connect to one of several addresses: each next one begins when one failed, or all are slow (RFC 8305).

    asyncio's own connecting keeps its sockets to itself.
    """
    addresses = _interleaved(found)
    tries: list[asyncio.Task[socket.socket]] = []
    pending: set[asyncio.Task[socket.socket]] = set()
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (addresses or pending):
            if addresses:
                tries.append(asyncio.create_task(_connect_one(addresses.pop(0))))
                pending.add(tries[-1])
            done, pending = await asyncio.wait(
                pending, timeout=HAPPY_EYEBALLS if addresses else None, return_when=asyncio.FIRST_COMPLETED
            )
            winner = next((one for one in done if one.exception() is None), None)
    finally:
        for one in pending:
            one.cancel()
        try:
            await asyncio.gather(*tries, return_exceptions=True)
        except asyncio.CancelledError:
            winner = None  # nobody is left to take its socket
            raise
        finally:
            for one in tries:
                if one is not winner and one.done() and not one.cancelled() and one.exception() is None:
                    one.result().close()
    if winner is None:
        raise tries[-1].exception() or OSError("no address")
    return winner.result()


def _interleaved(found: Sequence[_Address]) -> list[_Address]:
    """The families by turns, the first one's first."""
    first = [address for address in found if address[0] == found[0][0]]
    rest = [address for address in found if address[0] != found[0][0]]
    out: list[_Address] = []
    while first or rest:
        for family in (first, rest):
            if family:
                out.append(family.pop(0))
    return out


async def _connect_one(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
