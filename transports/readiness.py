"""Who can be read and who can be written: one wait for all sockets, a call back for each, and at the end of each turn all sending at once.

A wait for each socket costs a task (trio) or a handle (asyncio), a system call to arm and turns of the scheduler for every piece that
arrives: half of what a small exchange takes. So the sockets stand in a selector of our own (epoll, kqueue), which stays armed, and the
event loop waits for that selector to become readable itself.

What is written while sockets are called is sent when all were, or a crowd of them: whoever it goes to is woken once for many answers, not
for each, and waking is the dearest part of sending to a neighbour (a fifth of a small exchange's time). Where one socket alone is ready, what it
leads to is sent as soon as it was before.
"""

import selectors
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE
_MOST: Final = 64  # sockets called before what they wrote is sent: the first should not wait for a crowd
_LONGEST: Final = (
    0.005  # seconds of a turn after which nobody else is looked for: clients that come, and deadlines, wait meanwhile
)


class Watched(Protocol):
    """Whoever waits for a socket."""

    def readable(self) -> None:
        """There is something to read, or the end."""
        ...

    def writable(self) -> None:
        """The socket takes more."""
        ...

    def flush(self) -> None:
        """Send what was written in this turn."""
        ...


class Readiness(Protocol):
    """Tells who can be read and written.

    Attributes:
        is_turning: Sockets are being called: what is written now may wait for `Watched.flush`, if `later` is told.

    """

    is_turning: bool

    def watch(self, sock: socket.socket, watched: Watched, events: int) -> None:
        """Call `watched` whenever one of `events` (`READ`, `WRITE`) is there, from now on until told otherwise; 0: never.

        A call that was decided on in this turn still comes. A socket is ignored before it is closed.
        """
        ...

    def later(self, watched: Watched) -> None:
        """Have it flushed at the end of this turn; only while `is_turning`."""
        ...

    def soon(self, call: Callable[[], None]) -> None:
        """Call it once what is going on now is over."""
        ...

    def close(self) -> None:
        """Call nobody any more."""
        ...


class Selected:
    """With a selector.

    Args:
        selector: One that is a file, so that it can be waited for: see `number`.
        soon: Calls something in a turn of the event loop to come.
        on_error: Receives what a call raises, which is a bug; its socket is ignored from then on.

    Attributes:
        is_turning: See `Readiness`.
        is_closed: `close` was called.

    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        soon: Callable[[Callable[[], None]], object],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._selector = selector
        self._call_soon = soon
        self._on_error = on_error
        self._written: list[Watched] = []
        self._called_soon: list[Callable[[], None]] = []
        self.is_turning = False
        self.is_closed = False

    @property
    def number(self) -> int:
        """The file that is readable whenever `turn` has something to do."""
        number: int = self._selector.fileno()  # type: ignore[attr-defined]  # whoever made it looked
        return number

    def watch(self, sock: socket.socket, watched: Watched, events: int) -> None:
        """Call `watched` whenever one of `events` is there."""
        if self.is_closed:
            return
        is_known = sock in self._selector.get_map()  # else a bug may have had it ignored
        if not events:
            if is_known:
                self._selector.unregister(sock)
        elif is_known:
            self._selector.modify(sock, events, watched)
        else:
            self._selector.register(sock, events, watched)

    def later(self, watched: Watched) -> None:
        """Have it flushed at the end of this turn."""
        self._written.append(watched)

    def soon(self, call: Callable[[], None]) -> None:
        """Call it at the end of this turn, or in another one."""
        if self.is_turning:
            self._called_soon.append(call)
        else:
            self._call_soon(call)

    def close(self) -> None:
        """Call nobody any more."""
        self.is_closed = True
        self._selector.close()

    def turn(self) -> None:
        """Call all who are ready, and those who become ready meanwhile, until it is enough; never waits."""
        called, until = 0, time.monotonic() + _LONGEST
        self.is_turning = True
        while ready := self._selector.select(0):
            for key, events in ready:
                called += 1
                watched: Watched = key.data
                try:
                    if events & WRITE:
                        watched.writable()
                    if events & READ:
                        watched.readable()
                except Exception as error:
                    self._on_error(error)
                    if self._selector.get_map().get(key.fd) is key:  # it may be closed, and another have its number
                        self._selector.unregister(key.fd)
                if called % _MOST == 0:
                    self._flush()
            if len(ready) == 1:  # nobody to be sent with
                self._flush()
            if called >= _MOST or time.monotonic() >= until:
                break
        self._flush()
        self.is_turning = False
        while self._called_soon:
            calls, self._called_soon = self._called_soon, []
            for call in calls:
                self._call(call)

    def _flush(self) -> None:
        written, self._written = self._written, []
        for watched in written:
            try:
                watched.flush()
            except Exception as error:
                self._on_error(error)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._on_error(error)
