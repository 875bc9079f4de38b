"""What opening a connection takes of trio; see `dragoman.transports.upstreams.Network`."""

import socket
from collections.abc import Awaitable, Callable

import trio

from dragoman.transports.links import READ_SIZE
from dragoman.transports.services import HAPPY_EYEBALLS
from dragoman.transports.upstreams import numeric


class TrioNetwork:
    """Opens connections.

    Args:
        nursery: Where its tasks live.

    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, do: Callable[[], Awaitable[None]], stopped: Callable[[], None]) -> Callable[[], object]:
        """Do something meanwhile; returns what stops it."""
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await do()
            if scope.cancelled_caught:
                stopped()

        self._nursery.start_soon(run)
        return scope.cancel

    async def connect(self, host: str, port: int) -> socket.socket:
        """Connect to one of the addresses of `host`; where there is but one, there is nothing to race."""
        known = numeric(host, port)
        if known is not None:
            family, kind, protocol, _, address = known
            with trio.socket.socket(family, kind, protocol) as sock:
                await sock.connect(address)
                return socket.socket(fileno=sock.detach())
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS)
        return socket.socket(fileno=stream.socket.detach())

    async def resolve(self, host: str, port: int) -> str:
        """One address of `host`."""
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return str(found[0][4][0])

    async def send_all(self, sock: socket.socket, data: bytes) -> None:
        """Send everything, waiting as long as it takes."""
        while data:
            try:
                data = data[sock.send(data) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)

    async def receive_some(self, sock: socket.socket) -> bytes:
        """Wait for bytes and return them; none: the peer closed."""
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                return sock.recv(READ_SIZE)
            except BlockingIOError:
                continue
