"""Readiness on trio: one task waits for the selector; where selectors are no files (Windows), a task waits for each socket."""

import contextlib
import selectors
import socket
from collections.abc import Awaitable, Callable

import trio

from dragoman.transports.readiness import READ, WRITE, Readiness, Selected, Watched


def readiness(nursery: trio.Nursery, on_error: Callable[[Exception], None]) -> Readiness:
    """The best there is here.

    Args:
        nursery: Where its tasks live.
        on_error: Receives what a call raises, which is a bug; its socket is ignored from then on.

    """
    selector = selectors.DefaultSelector()
    if not hasattr(selector, "fileno"):
        selector.close()
        return Awaited(nursery, on_error)
    selected = TrioSelected(selector, _soon(nursery), on_error)
    nursery.start_soon(selected.run)
    return selected


class TrioSelected(Selected):
    """A selector that a task waits for."""

    async def run(self) -> None:
        """Wait, until it is closed."""
        with contextlib.suppress(trio.ClosedResourceError):
            while not self.is_closed:
                await trio.lowlevel.wait_readable(self.number)
                self.turn()

    def close(self) -> None:
        """Call nobody any more."""
        trio.lowlevel.notify_closing(self.number)
        super().close()


def _soon(nursery: trio.Nursery) -> Callable[[Callable[[], None]], None]:
    async def do(call: Callable[[], None]) -> None:
        call()

    return lambda call: nursery.start_soon(do, call)


class Awaited:
    """A task for each socket and each thing to wait for. What is written is sent at once.

    Args:
        nursery: Where they live.
        on_error: Receives what a call raises; its socket is ignored from then on.

    """

    def __init__(self, nursery: trio.Nursery, on_error: Callable[[Exception], None]) -> None:
        self._nursery = nursery
        self._on_error = on_error
        self._scopes: dict[tuple[socket.socket, int], trio.CancelScope] = {}
        self.is_turning = False
        self.soon = _soon(nursery)

    def watch(self, sock: socket.socket, watched: Watched, events: int) -> None:
        """Call `watched` whenever one of `events` is there."""
        for event, wait, call in (
            (READ, trio.lowlevel.wait_readable, watched.readable),
            (WRITE, trio.lowlevel.wait_writable, watched.writable),
        ):
            scope = self._scopes.get((sock, event))
            if events & event and scope is None:
                scope = self._scopes[sock, event] = trio.CancelScope()
                self._nursery.start_soon(self._wait, scope, sock, wait, call)
            elif not events & event and scope is not None:
                del self._scopes[sock, event]
                scope.cancel()

    def later(self, watched: Watched) -> None:
        """Nothing waits for the end of a turn here."""
        watched.flush()

    def close(self) -> None:
        """Call nobody any more."""
        for scope in self._scopes.values():
            scope.cancel()

    async def _wait(
        self,
        scope: trio.CancelScope,
        sock: socket.socket,
        wait: Callable[[socket.socket], Awaitable[None]],
        call: Callable[[], None],
    ) -> None:
        with scope:
            while not scope.cancel_called:
                await wait(sock)
                try:
                    call()
                except Exception as error:
                    self._on_error(error)
                    scope.cancel()
