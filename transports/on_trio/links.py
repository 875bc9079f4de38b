"""Sockets as links: what cannot be sent at once is kept, and somebody is told when it is gone.

Plain non-blocking sockets and `trio.lowlevel.wait_readable` rather than trio's streams: half the time for each wake-up. A TLS socket is
a non-blocking `ssl.SSLSocket`, which differs only in what it raises when it would block.
"""

import contextlib
import socket
from collections import deque
from typing import Final

import trio

READ_SIZE: Final = 64 * 1024
DROP_LIMIT: Final = 256 * 1024  # of what a client sends after its last answer

# What "would block" looks like, by kind of socket; SSLWantReadError and SSLWantWriteError have these errno values.
_WANTS: Final = frozenset({2, 3})


def would_block(error: OSError) -> bool:
    """Whether `error` only says: not now."""
    return isinstance(error, BlockingIOError) or (type(error).__module__ == "ssl" and error.errno in _WANTS)


class Link:
    """A connected, non-blocking socket.

    Args:
        sock: The socket; it is the link's from now on.
        nursery: Where what cannot be sent at once is sent from.

    Attributes:
        sock: The socket.
        is_backed_up: Bytes wait for the socket to take them.
        is_closed: `close` was called.

    """

    def __init__(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        self.sock = sock
        self._nursery = nursery
        self._kept: deque[bytes | memoryview] = deque()
        self._sent: trio.Event | None = None
        self.is_backed_up = False
        self.is_closed = False
        self._is_finishing = False

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        if self.is_backed_up:
            self._kept.append(data)
            return
        if self.is_closed:
            return
        try:
            sent = self.sock.send(data)
        except OSError as error:
            if not would_block(error):
                return  # the peer is gone; whoever reads will see it
            sent = 0
        if sent < len(data):
            self._kept.append(memoryview(data)[sent:])
            self.is_backed_up = True
            self._sent = trio.Event()
            self._nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        """Send what is kept, as the socket takes it."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            while self._kept and not self.is_closed:
                try:
                    data = self._kept[0]
                    sent = self.sock.send(data)
                except OSError as error:
                    if not would_block(error):
                        raise
                    await trio.lowlevel.wait_writable(self.sock)
                    continue
                if sent == len(data):
                    self._kept.popleft()
                else:
                    self._kept[0] = memoryview(data)[sent:]
        self._kept.clear()
        self.is_backed_up = False
        if self._sent is not None:
            self._sent.set()
        self.flushed()

    def flushed(self) -> None:
        """Everything that was kept is sent, or never will be."""

    async def drained(self) -> None:
        """Wait until nothing is kept."""
        while self.is_backed_up and self._sent is not None:
            await self._sent.wait()

    def receive(self) -> bytes | None:
        """Read what is there; None: nothing yet; nothing in it: the peer closed or reset."""
        try:
            return self.sock.recv(READ_SIZE)
        except OSError as error:
            return None if would_block(error) else b""
        except ValueError:  # an SSLSocket that was closed under us
            return b""

    @property
    def has_more(self) -> bool:
        """Whether bytes are here that the system's poll does not know of: a TLS record is decrypted whole."""
        pending = getattr(self.sock, "pending", None)
        return pending is not None and pending() > 0

    def shut_down(self) -> None:
        """Tell the peer that nothing more comes."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close at once; whoever waits for the socket wakes."""
        if not self.is_closed:
            self.is_closed = True
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()
            if self._sent is not None:
                self._sent.set()


async def handshake(wrapped: socket.socket) -> None:
    """Bring up TLS on a non-blocking SSLSocket; raises `ssl.SSLError` or `OSError`."""
    import ssl

    assert isinstance(wrapped, ssl.SSLSocket)  # the caller wrapped it
    while True:
        try:
            wrapped.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(wrapped)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(wrapped)
        else:
            return
