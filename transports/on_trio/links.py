"""Sockets as links: what arrives is handed on at once; what cannot be sent at once is kept, and somebody is told when it is gone.

Plain non-blocking sockets rather than trio's streams, called back by `dragoman.transports.on_trio.readiness`: no task waits for a link.
"""

import contextlib
import socket
import ssl
from collections import deque
from typing import Final

import trio

from dragoman.transports.on_trio.readiness import Readiness
from dragoman.transports.tls import TLSPipe

READ_SIZE: Final = 64 * 1024


class Link:
    """A connected, non-blocking socket.

    Args:
        sock: The socket; it is the link's from now on.
        tls: TLS on it, brought up; or None.
        nursery: Where what cannot be sent at once is sent from.
        readiness: Says when there is something to read.

    Attributes:
        is_backed_up: Bytes wait for the socket to take them.
        is_waiting: It has stopped reading, until `wake`.
        is_closed: `close` was called.

    """

    def __init__(self, sock: socket.socket, tls: TLSPipe | None, nursery: trio.Nursery, readiness: Readiness) -> None:
        self._sock = sock
        self._tls = tls
        self._nursery = nursery
        self._readiness = readiness
        self._kept: deque[bytes | memoryview] = deque()
        self.is_waiting = True
        self._is_finishing = False
        self.is_backed_up = False
        self.is_closed = False

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        return sum(map(len, self._kept))

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        if self.is_closed or self._is_finishing:
            return
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLError):  # the peer is gone; whoever reads will see it
                self._tls.write(data)
            data = self._tls.take()
        self._send(data)

    def finish(self) -> None:
        """Send what is kept, then shut down writing; go on reading."""
        if self.is_closed or self._is_finishing:
            return
        if self._tls is not None:
            self._tls.finish()
            self._send(self._tls.take())
        self._is_finishing = True
        if not self.is_backed_up:
            self._shut_down()

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self.is_closed = True
            self._kept.clear()
            if not self.is_waiting:
                self._readiness.ignore(self._sock)
            if self.is_backed_up:
                trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def wake(self) -> None:
        """Read, from now on or again."""
        if self.is_waiting and not self.is_closed:
            self.is_waiting = False
            self._readiness.watch(self._sock, self._read)
            if self._tls is not None:
                self._nursery.start_soon(self._go_on)

    @property
    def wants(self) -> bool:
        """Whether what arrives is wanted now."""
        return True

    def received(self, data: bytes) -> None:
        """Take what arrived; nothing: the peer closed, or was reset."""

    def caught_up(self) -> None:
        """Called when what was kept is sent, or never will be."""

    def _read(self) -> None:
        """There is something to read. What is not wanted stays in the socket, until `wake`."""
        if self.is_closed:
            return
        if not self.wants:
            self._pause()
            return
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self._tls is None:
            self.received(data)
        else:
            self._tls.feed(data)
            self._decrypt(self._tls)

    async def _go_on(self) -> None:
        """Hand on what was decrypted before: by the handshake, or while nothing was wanted."""
        if self._tls is not None:
            self._decrypt(self._tls)

    def _pause(self) -> None:
        if not self.is_waiting:
            self.is_waiting = True
            self._readiness.ignore(self._sock)

    def _decrypt(self, tls: TLSPipe) -> None:
        while not self.is_closed:
            if not self.wants:
                self._pause()
                return
            plain = tls.read()
            self._send(tls.take())  # an answer to a key update, for example
            if plain or tls.is_at_end:
                self.received(plain)
            if not plain:
                return

    def _send(self, data: bytes) -> None:
        if self.is_backed_up:
            self._kept.append(data)
            return
        if not data:
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the peer is gone; whoever reads will see it
        if sent < len(data):
            self._kept.append(memoryview(data)[sent:])
            self.is_backed_up = True
            self._nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        """Send what is kept, as the socket takes it."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            while self._kept:
                await trio.lowlevel.wait_writable(self._sock)
                while self._kept:
                    data = self._kept[0]
                    try:
                        sent = self._sock.send(data)
                    except BlockingIOError:
                        break
                    if sent == len(data):
                        self._kept.popleft()
                    else:
                        self._kept[0] = memoryview(data)[sent:]
        self._kept.clear()
        self.is_backed_up = False
        if self._is_finishing:
            self._shut_down()
        self.caught_up()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send everything, waiting as long as it takes."""
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


async def receive_some(sock: socket.socket) -> bytes:
    """Wait for bytes and return them; none: the peer closed."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv(READ_SIZE)
        except BlockingIOError:
            continue


async def shake_hands(sock: socket.socket, tls: TLSPipe) -> None:
    """Bring up TLS; raises `ssl.SSLError` or another `OSError`."""
    try:
        while not tls.shake_hands():
            await send_all(sock, tls.take())
            tls.feed(await receive_some(sock))
    except ssl.SSLError:
        with contextlib.suppress(OSError):
            sock.send(tls.take())  # the alert: the peer is to know, too
        raise
    await send_all(sock, tls.take())
