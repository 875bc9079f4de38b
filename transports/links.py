"""Connections as links: what arrives is handed on at once; what cannot be sent at once is kept, and somebody is told when it is gone.

Plain non-blocking sockets, called back by `dragoman.transports.readiness`, the same on every event loop: no task waits for a link.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from dragoman.core.effects import Origin
from dragoman.transports.driver import Driver
from dragoman.transports.readiness import READ, WRITE, Readiness

if TYPE_CHECKING:
    from dragoman.transports.tls import TLSPipe

READ_SIZE: Final = 64 * 1024


def prepare(sock: socket.socket) -> None:
    """Make a connected socket ready to be a link: it blocks nobody, and nothing small waits in it for more."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Link:
    """A connected, non-blocking socket.

    Args:
        sock: The socket; it is the link's from now on.
        tls: TLS on it, brought up; or None.
        readiness: Says when it can be read and written.

    Attributes:
        is_backed_up: Bytes wait for the socket to take them.
        is_waiting: It has stopped reading, until `wake`.
        is_closed: `close` was called.

    """

    def __init__(self, sock: socket.socket, tls: "TLSPipe | None", readiness: Readiness) -> None:
        self._sock = sock
        self._tls = tls
        self._readiness = readiness
        self._rest: memoryview | None = None  # of what the socket took only in part
        self._written: list[bytes] = []  # in this turn, or behind the rest
        self._is_finishing = False
        self.is_waiting = True
        self.is_backed_up = False
        self.is_closed = False

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        return sum(map(len, self._written)) + (len(self._rest) if self._rest is not None else 0)

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        if self.is_closed or self._is_finishing:
            return
        if self._tls is not None:
            with contextlib.suppress(OSError):  # the peer is gone; whoever reads will see it
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
        self.flush()
        self._is_finishing = True
        if not self.is_backed_up:
            self._shut_down()

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self.is_closed = True
            self._written.clear()
            self._rest = None
            self._readiness.watch(self._sock, self, 0)
            self._sock.close()

    def wake(self) -> None:
        """Read, from now on or again."""
        if self.is_waiting and not self.is_closed:
            self.is_waiting = False
            self._watch()
            if self._tls is not None:  # what was decrypted before, by the handshake or while nothing was wanted
                self._readiness.soon(self._decrypt)

    @property
    def wants(self) -> bool:
        """Whether what arrives is wanted now."""
        return True

    def received(self, data: bytes) -> None:
        """Take what arrived; nothing: the peer closed, or was reset."""

    def caught_up(self) -> None:
        """Called when what was kept is sent, or never will be."""

    def readable(self) -> None:
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
            self._decrypt()

    def writable(self) -> None:
        """The socket takes more of what is kept."""
        rest, self._rest = self._rest, None
        if rest is not None and self._send_now(rest) and self._send_written():
            self.is_backed_up = False
            self._watch()
            if self._is_finishing:
                self._shut_down()
            self.caught_up()

    def flush(self) -> None:
        """Send what was written in this turn, in one piece."""
        if self._rest is None:
            self._send_written()

    def _send_written(self) -> bool:
        written = self._written
        if not written:
            return True
        data = written[0] if len(written) == 1 else b"".join(written)
        written.clear()
        return self._send_now(data)

    def _send(self, data: bytes) -> None:
        if not data:
            return
        if self._rest is not None:
            self._written.append(data)
        elif self._readiness.is_turning:
            if not self._written:
                self._readiness.later(self)
            self._written.append(data)
        else:
            self._send_now(data)

    def _send_now(self, data: bytes | memoryview) -> bool:
        """Send as much as the socket takes, and have it say when it takes more. Returns whether nothing is left."""
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return True  # the peer is gone; whoever reads will see it
        if sent == len(data):
            return True
        self._rest = memoryview(data)[sent:]
        if not self.is_backed_up:
            self.is_backed_up = True
            self._watch()
        return False

    def _watch(self) -> None:
        self._readiness.watch(self._sock, self, READ * (not self.is_waiting) | WRITE * self.is_backed_up)

    def _pause(self) -> None:
        if not self.is_waiting:
            self.is_waiting = True
            self._watch()

    def _decrypt(self) -> None:
        tls = self._tls
        while tls is not None and not self.is_closed:
            if not self.wants:
                self._pause()
                return
            plain = tls.read()
            self._send(tls.take())  # an answer to a key update, for example
            if plain or tls.is_at_end:
                self.received(plain)
            if not plain:
                return

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)


class ClientLink(Link):
    """A client's socket.

    Args:
        sock: The socket; it is the link's from now on.
        tls: TLS on it, brought up; or None.
        readiness: Says when it can be read and written.
        on_gone: Called soon after it is closed.

    """

    driver: Driver

    def __init__(
        self,
        sock: socket.socket,
        tls: "TLSPipe | None",
        readiness: Readiness,
        on_gone: Callable[["ClientLink"], None],
    ) -> None:
        super().__init__(sock, tls, readiness)
        self._on_gone = on_gone

    @property
    def wants(self) -> bool:
        """Whether the driver reads."""
        return self.driver.is_reading

    def received(self, data: bytes) -> None:
        """Tell the driver."""
        self.driver.client_sent(data)

    def caught_up(self) -> None:
        """The client takes more."""
        self.driver.client_caught_up()

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call it at the end of the turn, or now."""
        if self._readiness.is_turning:
            self._readiness.soon(call)
        else:
            call()

    def close(self) -> None:
        """Close at once; the driver is told soon."""
        if not self.is_closed:
            self.flush()
            super().close()
            self._readiness.soon(lambda: self._on_gone(self))


class Keeper(Protocol):
    """Where connections that are not in use are kept."""

    def keep(self, link: "UpstreamLink") -> None:
        """It is not in use."""
        ...

    def ended(self, link: "UpstreamLink") -> None:
        """It is closed."""
        ...


class UpstreamLink(Link):
    """An open connection to a provider.

    Args:
        sock: The socket; it is the link's from now on.
        tls: TLS on it, brought up; or None.
        readiness: Says when it can be read and written.
        origin: Where it leads.
        keeper: Keeps it while it is not in use.

    Attributes:
        origin: The same.
        idle_since: Epoch seconds; the pool's.
        is_open: It stands.

    """

    def __init__(
        self, sock: socket.socket, tls: "TLSPipe | None", readiness: Readiness, origin: Origin, keeper: Keeper
    ) -> None:
        super().__init__(sock, tls, readiness)
        self.origin = origin
        self.idle_since = 0.0
        self.is_open = True
        self._keeper = keeper
        self._driver: Driver | None = None
        self._attempt = 0
        self._was_asked = False

    def serve(self, driver: Driver, attempt: int) -> None:
        """Serve an attempt from now on."""
        self._driver, self._attempt = driver, attempt
        self._was_asked = False

    def release(self) -> None:
        """Keep the connection for others."""
        self._driver = None
        if self._written or self.is_backed_up:
            self.close()  # the answer came before the request was sent: the rest would meet the next one
        elif not self.is_closed:
            if self.is_waiting:  # for the client to catch up: its end is to be noticed
                self.wake()
            self._keeper.keep(self)

    def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self._driver = None
            super().close()
            self._keeper.ended(self)

    def caught_up(self) -> None:
        """The provider takes more."""
        if self._driver is not None:
            self._driver.upstream_caught_up()

    @property
    def wants(self) -> bool:
        """Whether the client takes what arrives."""
        return self._driver is None or not self._driver.client.is_backed_up

    def received(self, data: bytes) -> None:
        """Tell whom it serves. What comes before the request has gone is no answer to it: such a connection counts as closed."""
        if self._driver is not None:
            data = data if self._was_asked else b""
            self._driver.upstream_sent(self._attempt, data)
            if data:
                return
        self.close()  # or it was idle, and says something nobody asked

    def _send_now(self, data: bytes | memoryview) -> bool:
        self._was_asked = True
        return super()._send_now(data)
