"""Which sockets have something to read: one wait for all of them, and a call back for each that does.

`trio.lowlevel.wait_readable` costs a task, a system call to arm and two turns of the scheduler for every piece that arrives: half of
what a small exchange takes. So the sockets stand in a selector of our own (epoll, kqueue), which stays armed, and one task waits
for that selector to become readable itself. Where selectors are no files (Windows), a task waits for each socket.
"""

import selectors
import socket
from collections.abc import Callable
from typing import Protocol

import trio


class Readiness(Protocol):
    """Tells who can read."""

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """Call `ready` whenever there is something to read, or the end, until `ignore`; a socket is watched once."""
        ...

    def ignore(self, sock: socket.socket) -> None:
        """Call nobody about it any more: before it is closed at the latest."""
        ...

    def close(self) -> None:
        """Call nobody any more."""
        ...


def readiness(nursery: trio.Nursery, on_error: Callable[[Exception], None]) -> Readiness:
    """The best there is here.

    Args:
        nursery: Where its tasks live.
        on_error: Receives what a call raises, which is a bug; its socket is ignored from then on.

    """
    selector = selectors.DefaultSelector()
    if hasattr(selector, "fileno"):
        return Selected(nursery, on_error, selector)
    selector.close()
    return Awaited(nursery, on_error)


class Selected:
    """One task for all sockets."""

    def __init__(
        self, nursery: trio.Nursery, on_error: Callable[[Exception], None], selector: selectors.BaseSelector
    ) -> None:
        self._selector = selector
        self._on_error = on_error
        nursery.start_soon(self._run)

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """Call `ready` whenever there is something to read."""
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def ignore(self, sock: socket.socket) -> None:
        """Call nobody about it any more. A call that was decided on in this turn still comes."""
        if sock in self._selector.get_map():  # else a bug has had it ignored already
            self._selector.unregister(sock)

    def close(self) -> None:
        """Call nobody any more."""
        self._selector.close()

    async def _run(self) -> None:
        selector = self._selector
        number: int = selector.fileno()  # type: ignore[attr-defined]  # `readiness` looked
        while True:
            await trio.lowlevel.wait_readable(number)
            for key, _ in selector.select(0):
                try:
                    key.data()
                except Exception as error:
                    self._on_error(error)
                    if selector.get_map().get(key.fd) is key:  # it may have ignored itself, and another have its number
                        selector.unregister(key.fd)


class Awaited:
    """A task for each socket."""

    def __init__(self, nursery: trio.Nursery, on_error: Callable[[Exception], None]) -> None:
        self._nursery = nursery
        self._on_error = on_error
        self._scopes: dict[socket.socket, trio.CancelScope] = {}

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """Call `ready` whenever there is something to read."""
        scope = self._scopes[sock] = trio.CancelScope()
        self._nursery.start_soon(self._wait, scope, sock, ready)

    def ignore(self, sock: socket.socket) -> None:
        """Call nobody about it any more."""
        self._scopes.pop(sock).cancel()

    def close(self) -> None:
        """Call nobody any more."""
        for scope in self._scopes.values():
            scope.cancel()

    async def _wait(self, scope: trio.CancelScope, sock: socket.socket, ready: Callable[[], None]) -> None:
        with scope:
            while not scope.cancel_called:
                await trio.lowlevel.wait_readable(sock)
                try:
                    ready()
                except Exception as error:
                    self._on_error(error)
                    scope.cancel()
