"""Deadlines of many connections, kept so that moving one to a later instant costs nothing.

Each watched thing stands in a heap under the earliest instant it is known to want. When that comes, it is asked again: usually it has
moved on, and goes back under the new instant. A busy connection moves its deadline with every piece; the heap sees a tenth of
a percent of that.
"""

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Protocol


class Watched(Protocol):
    """Something with a deadline.

    Attributes:
        watched_at: Where it stands in the heap; math.inf when it does not. The heap's own.

    """

    watched_at: float

    def next_deadline(self) -> float:
        """When it is due, epoch seconds; math.inf for never."""
        ...

    def handle_timer(self) -> None:
        """It is due."""
        ...


class Timers:
    """The deadlines of a server.

    Args:
        on_earlier: Called with the next instant when it has become an earlier one.

    """

    def __init__(self, on_earlier: Callable[[float], None]) -> None:
        self._on_earlier = on_earlier
        self._heap: list[tuple[float, int, Watched]] = []
        self._count = itertools.count()
        self._watched = 0  # things that stand in the heap; its other entries are stale

    def __len__(self) -> int:
        """Count the entries, stale ones too: at most twice the things watched, and 64."""
        return len(self._heap)

    @property
    def watched(self) -> int:
        """How many things have a deadline."""
        return self._watched

    def watch(self, watched: Watched) -> None:
        """Take note of a deadline that may have moved."""
        at = watched.next_deadline()
        if at < watched.watched_at:
            if watched.watched_at == math.inf:
                self._watched += 1
            watched.watched_at = at
            is_next = not self._heap or at < self._heap[0][0]
            heapq.heappush(self._heap, (at, next(self._count), watched))
            self._sweep()
            if is_next:
                self._on_earlier(at)

    def forget(self, watched: Watched) -> None:
        """It is over."""
        if watched.watched_at < math.inf:
            watched.watched_at = math.inf
            self._watched -= 1
            self._sweep()

    def next_instant(self) -> float:
        """When `due` is to be called, epoch seconds; math.inf for never."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> list[Watched]:
        """Take out whatever is due; `watch` each again when it has been handled."""
        out = []
        while self._heap and self._heap[0][0] <= now:
            at, _, watched = heapq.heappop(self._heap)
            if at != watched.watched_at:
                continue  # stale: it was forgotten, or has moved to an earlier instant
            watched.watched_at = math.inf
            self._watched -= 1
            if watched.next_deadline() <= now:
                out.append(watched)
            else:
                self.watch(watched)
        return out

    def _sweep(self) -> None:
        """Throw stale entries away when they are the greater part; each costs its share of one pass."""
        if len(self._heap) > max(64, 2 * self._watched):
            self._heap = [entry for entry in self._heap if entry[0] == entry[2].watched_at]
            heapq.heapify(self._heap)
