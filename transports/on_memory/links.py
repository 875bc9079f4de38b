"""Connections in memory: two ends, each with a window as a socket has buffers, and a latency between them."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from dragoman.transports.driver import Driver


class Agenda(Protocol):
    """What is going to happen, and when."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something later; what is due at the same instant is done in the order it was asked for."""
        ...


class End:
    """One end of a connection.

    Args:
        agenda: Where what arrives is put down.
        latency: Seconds from one end to the other.
        window: Bytes that may be on their way or unread; more is kept by the sender.

    Attributes:
        peer: The other end.
        is_closed: `close` was called.

    """

    def __init__(self, agenda: Agenda, latency: float, window: int) -> None:
        self._agenda = agenda
        self._latency = latency
        self._room = window
        self._enough = max(1, window // 2)
        self._owed = 0  # room that was made and not told of yet
        self._kept: deque[bytes] = deque()
        self._unread: deque[bytes] = deque()
        self._is_reading_now = False
        self._is_shut = False
        self._has_said_end = False
        self.peer: End | None = None
        self.is_closed = False

    @property
    def is_backed_up(self) -> bool:
        """Whether bytes wait for room."""
        return bool(self._kept)

    @property
    def unsent(self) -> int:
        """How many bytes wait for room."""
        return sum(map(len, self._kept))

    @property
    def wants(self) -> bool:
        """Whether what arrives is wanted now."""
        return True

    def receive(self, data: bytes) -> None:
        """Bytes arrived and are wanted; nothing: the other end closed."""

    def drained(self) -> None:
        """Nothing waits for room any more."""

    def write(self, data: bytes) -> None:
        """Send, or keep what there is no room for."""
        if not self.is_closed and not self._is_shut:
            self._kept.append(data)
            self._push()

    def shut(self) -> None:
        """Send what is kept, then say that nothing more comes."""
        self._is_shut = True
        self._push()

    def close(self) -> None:
        """Close at once; the other end learns of it when what is on its way has arrived."""
        if not self.is_closed:
            self.is_closed = True
            self._kept.clear()
            self._unread.clear()
            self._say_end()

    def read(self) -> None:
        """Take what has arrived, as far as it is wanted."""
        if self._is_reading_now:
            return
        self._is_reading_now = True
        try:
            while self._unread and not self.is_closed and self.wants:
                data = self._unread.popleft()
                self._make_room(len(data))
                self.receive(data)
        finally:
            self._is_reading_now = False

    @property
    def is_waiting(self) -> bool:
        """Whether something has arrived that is not read, until `wake`."""
        return bool(self._unread)

    def wake(self) -> None:
        """Reading may be wanted again."""
        if self._unread:
            self._agenda.after(0, self.read)

    def _push(self) -> None:
        while self._kept and self._room:
            data = self._kept.popleft()
            if len(data) > self._room:
                self._kept.appendleft(data[self._room :])
                data = data[: self._room]
            self._room -= len(data)
            self._send(data)
        if self._is_shut and not self._kept:
            self._say_end()

    def _send(self, data: bytes) -> None:
        peer = self.peer
        if peer is not None:
            self._agenda.after(self._latency, lambda: peer._arrive(data))

    def _say_end(self) -> None:
        if not self._has_said_end:
            self._has_said_end = True
            self._send(b"")

    def _arrive(self, data: bytes) -> None:
        if self.is_closed:
            self._make_room(len(data))
        else:
            self._unread.append(data)
            self.read()

    def _make_room(self, size: int) -> None:
        """Tell the other end of room, as TCP does: not of each byte, but before it has to wait for what there is."""
        peer = self.peer
        self._owed += size
        if peer is not None and self._owed >= self._enough:
            room, self._owed = self._owed, 0
            self._agenda.after(self._latency, lambda: peer._gain_room(room))

    def _gain_room(self, size: int) -> None:
        was_backed_up = self.is_backed_up
        self._room += size
        if not self.is_closed:
            self._push()
            if was_backed_up and not self._kept:
                self.drained()


def joined(one: End, other: End) -> None:
    """Make two ends one connection."""
    one.peer, other.peer = other, one


class ClientLink(End):
    """The end of a client's connection that is served.

    Attributes:
        on_gone: Called once, when it is closed.

    """

    def __init__(self, agenda: Agenda, latency: float, window: int) -> None:
        super().__init__(agenda, latency, window)
        self._driver: Driver | None = None
        self.on_gone: Callable[[], None] = lambda: None

    def begin(self, driver: Driver) -> None:
        """Serve it."""
        self._driver = driver
        driver.start()

    def afterwards(self, call: Callable[[], None]) -> None:
        """Nothing waits here."""
        call()

    @property
    def wants(self) -> bool:
        """Whether the client's bytes are wanted now."""
        return self._driver is not None and self._driver.is_reading

    def receive(self, data: bytes) -> None:
        """Tell the driver."""
        if self._driver is not None:
            self._driver.client_sent(data)

    def drained(self) -> None:
        """The client reads again: so may the upstream, and so do we."""
        if self._driver is not None:
            self._driver.client_caught_up()

    def finish(self) -> None:
        """Send what is kept, then shut down writing; go on reading."""
        self.shut()
        self.wake()

    def close(self) -> None:
        """Close at once; the driver is told soon."""
        if not self.is_closed:
            super().close()
            self._agenda.after(0, self._end)

    def _end(self) -> None:
        if self._driver is not None:
            self._driver.closed()
        self.on_gone()
