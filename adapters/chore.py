"""Something to be done now and then on the event loop's own thread, where the gateway may be touched without a lock.

A `Chore` has the border of a client connection without a client: a transport drives it by its deadline alone.
"""

import math
from collections.abc import Callable

from dragoman.core.effects import Effect
from dragoman.core.half_borders import Clientless


class Chore(Clientless):
    """Calls `act` again and again.

    Args:
        act: What is to be done; gets the time in epoch seconds, must be quick and must not raise.
        period: Seconds between calls.
        now: When to begin to count, epoch seconds.

    """

    def __init__(self, act: Callable[[float], None], period: float, now: float) -> None:
        self._act = act
        self._period = period
        self._due = now + period

    def next_deadline(self) -> float:
        """When `handle_timer` is due, epoch seconds."""
        return self._due

    def handle_timer(self, now: float) -> list[Effect]:
        """Do it."""
        if now >= self._due:
            self._due = now + self._period
            self._act(now)
        return []

    def drain(self, now: float) -> list[Effect]:
        """Stop."""
        self._due = math.inf
        return []
