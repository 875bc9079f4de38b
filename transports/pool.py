"""Idle upstream connections, kept for the next exchange with the same origin.

The youngest is taken first: it is the likeliest to be alive, and the old ones get to grow old enough to be closed.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

from dragoman.core.effects import Origin


class Kept(Protocol):
    """What a pool needs of a connection.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's own.

    """

    origin: Origin
    idle_since: float

    def close(self) -> None:
        """Close it."""
        ...


K = TypeVar("K", bound=Kept)


class Pool(Generic[K]):
    """Idle connections, and how many are open in all.

    Args:
        idle_limit: Most idle connections of one origin.
        open_limit: Most open connections of one origin.
        idle_seconds: How long an idle connection is kept.

    """

    def __init__(self, idle_limit: int, open_limit: int, idle_seconds: float) -> None:
        self._idle_limit = idle_limit
        self._open_limit = open_limit
        self._idle_seconds = idle_seconds
        self._idle: dict[Origin, deque[K]] = {}
        self._open: dict[Origin, int] = {}

    def take(self, origin: Origin) -> K | None:
        """An idle connection to `origin`, or None."""
        idle = self._idle.get(origin)
        return idle.pop() if idle else None

    def may_open(self, origin: Origin) -> bool:
        """Whether another connection to `origin` may be opened; an idle one is closed to make room."""
        if self._open.get(origin, 0) < self._open_limit:
            return True
        idle = self._idle.get(origin)
        if not idle:
            return False
        idle.popleft().close()
        return True

    def count(self, origin: Origin, change: int) -> None:
        """A connection (or an attempt at one) to `origin` began (1) or ended (-1)."""
        count = self._open.get(origin, 0) + change
        if count:
            self._open[origin] = count
        else:
            self._open.pop(origin, None)

    def keep(self, link: K, now: float) -> None:
        """Keep a connection that is not in use."""
        link.idle_since = now
        idle = self._idle.setdefault(link.origin, deque())
        idle.append(link)
        if len(idle) > self._idle_limit:
            idle.popleft().close()

    def drop(self, link: K) -> None:
        """An idle connection is gone."""
        idle = self._idle.get(link.origin)
        if idle and link in idle:
            idle.remove(link)

    def expire(self, now: float) -> None:
        """Close what was idle for too long."""
        for origin, idle in list(self._idle.items()):
            while idle and now - idle[0].idle_since >= self._idle_seconds:
                idle.popleft().close()
            if not idle:
                del self._idle[origin]

    def close(self) -> None:
        """Close all idle connections."""
        for idle in list(self._idle.values()):
            while idle:
                idle.pop().close()
        self._idle.clear()
