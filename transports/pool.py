"""Idle upstream connections, kept for the next exchange with the same origin.

The youngest is taken first: it is the likeliest to be alive, and the old ones get to grow old enough to be closed.
"""

from typing import Generic, Protocol, TypeVar

from dragoman.core.effects import ConnectFailure, FailureKind, Origin


class Kept(Protocol):
    """What a pool needs of a connection.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's own.

    """

    origin: Origin
    idle_since: float

    def close(self) -> None:
        """Close it; it calls `Pool.ended` before it returns."""
        ...


K = TypeVar("K", bound=Kept)


class Pool(Generic[K]):
    """Idle connections, and how many are open in all.

    Args:
        idle_limit: Most idle connections of one origin.
        open_limit: Most connections of one origin, those being opened among them.
        idle_seconds: How long an idle connection is kept.

    """

    def __init__(self, idle_limit: int, open_limit: int, idle_seconds: float) -> None:
        self._idle_limit = idle_limit
        self._open_limit = open_limit
        self._idle_seconds = idle_seconds
        # Oldest first. A dict for its order and for taking one out of the middle, which happens whenever a peer closes.
        self._idle: dict[Origin, dict[K, None]] = {}
        self._open: dict[Origin, int] = {}

    def take(self, origin: Origin) -> K | None:
        """Take the youngest idle connection to `origin`, or None."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        link, _ = idle.popitem()
        if not idle:
            del self._idle[origin]
        return link

    def begin(self, origin: Origin) -> ConnectFailure | None:
        """Count a connection that is to be opened; an idle one is closed to make room.

        Returns:
            None, or why it may not be opened.

        """
        if self._open.get(origin, 0) >= self._open_limit:
            idle = self._idle.get(origin)
            if not idle:
                return ConnectFailure(FailureKind.LIMIT, f"{self._open_limit} connections are open already")
            self._close_oldest(idle)
        self._open[origin] = self._open.get(origin, 0) + 1
        return None

    def keep(self, link: K, now: float) -> None:
        """Keep a connection that is not in use."""
        link.idle_since = now
        idle = self._idle.setdefault(link.origin, {})
        idle[link] = None
        if len(idle) > self._idle_limit:
            self._close_oldest(idle)

    def ended(self, origin: Origin, link: K | None = None) -> None:
        """A connection that was counted is closed, or could not be opened; if it was idle, it is idle no more."""
        idle = self._idle.get(origin)
        if idle and link is not None:
            idle.pop(link, None)
        if idle is not None and not idle:
            del self._idle[origin]
        left = self._open[origin] - 1
        if left:
            self._open[origin] = left
        else:
            del self._open[origin]

    def expire(self, now: float) -> None:
        """Close what was idle for too long."""
        for idle in list(self._idle.values()):
            while idle and now - next(iter(idle)).idle_since >= self._idle_seconds:
                self._close_oldest(idle)

    def close(self) -> None:
        """Close all idle connections."""
        for idle in list(self._idle.values()):
            while idle:
                self._close_oldest(idle)

    def count_idle(self, origin: Origin) -> int:
        """Count the idle connections to `origin`."""
        return len(self._idle.get(origin, ()))

    def count_open(self, origin: Origin) -> int:
        """Count the connections to `origin`, idle, in use, and being opened."""
        return self._open.get(origin, 0)

    @staticmethod
    def _close_oldest(idle: dict[K, None]) -> None:
        link = next(iter(idle))
        del idle[link]
        link.close()
