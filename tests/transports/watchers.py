"""Sockets and who watches them, for the tests of readiness and links."""

import contextlib
import selectors
import socket
from collections.abc import Callable, Iterator

from dragoman.transports.readiness import Watched


class NoFile(selectors.SelectSelector):
    """What there is on Windows: a selector without a number."""


class Windows:
    """In place of the module `selectors`, where it is asked for the best selector there is."""

    DefaultSelector = NoFile


def nothing() -> None:
    """Do nothing."""


class Watcher(Watched):
    """Somebody who waits for a socket.

    Args:
        readable: Called when there is something to read.
        writable: Called when the socket takes more.
        flush: Called at the end of a turn.

    """

    def __init__(
        self,
        readable: Callable[[], object] = nothing,
        writable: Callable[[], object] = nothing,
        flush: Callable[[], object] = nothing,
    ) -> None:
        self._readable = readable
        self._writable = writable
        self._flush = flush

    def readable(self) -> None:
        """There is something to read."""
        self._readable()

    def writable(self) -> None:
        """The socket takes more."""
        self._writable()

    def flush(self) -> None:
        """The turn is over."""
        self._flush()


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, ours not blocking."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs
