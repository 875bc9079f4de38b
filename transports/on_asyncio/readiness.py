"""Readiness on asyncio: the loop calls us when the selector is readable; where selectors are no files (Windows), for each socket."""

import asyncio
import selectors
import socket
from collections.abc import Callable

from dragoman.transports.readiness import READ, WRITE, Readiness, Selected, Watched


def readiness(on_error: Callable[[Exception], None]) -> Readiness:
    """The best there is here.

    Args:
        on_error: Receives what a call raises, which is a bug; its socket is ignored from then on.

    """
    loop = asyncio.get_running_loop()
    selector = selectors.DefaultSelector()
    if not hasattr(selector, "fileno"):
        selector.close()
        return Called(loop, on_error)
    selected = LoopSelected(selector, loop.call_soon, on_error)
    loop.add_reader(selected.number, selected.turn)
    return selected


class LoopSelected(Selected):
    """A selector that the running loop waits for."""

    def close(self) -> None:
        """Call nobody any more."""
        asyncio.get_running_loop().remove_reader(self.number)
        super().close()


class Called:
    """The loop calls for each socket and each thing to wait for. What is written is sent at once.

    Args:
        loop: The loop.
        on_error: Receives what a call raises; its socket is ignored from then on.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._on_error = on_error
        self._events: dict[socket.socket, int] = {}
        self.is_turning = False

    def watch(self, sock: socket.socket, watched: Watched, events: int) -> None:
        """Call `watched` whenever one of `events` is there."""
        before = self._events.pop(sock, 0)
        if events:
            self._events[sock] = events
        for event, add, remove, call in (
            (READ, self._loop.add_reader, self._loop.remove_reader, watched.readable),
            (WRITE, self._loop.add_writer, self._loop.remove_writer, watched.writable),
        ):
            if events & event and not before & event:
                add(sock, self._call, sock, watched, call)
            elif before & event and not events & event:
                remove(sock)

    def later(self, watched: Watched) -> None:
        """Nothing waits for the end of a turn here."""
        watched.flush()

    def soon(self, call: Callable[[], None]) -> None:
        """Call it in the next turn of the loop."""
        self._loop.call_soon(call)

    def close(self) -> None:
        """Call nobody any more."""
        for sock in list(self._events):
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        self._events.clear()

    def _call(self, sock: socket.socket, watched: Watched, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._on_error(error)
            self.watch(sock, watched, 0)
