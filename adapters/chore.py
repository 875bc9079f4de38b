"""Something to be done now and then on the event loop's own thread, where the gateway may be touched without a lock.

A `Chore` has the border of a client connection (`dragoman.core.effects`) without a client, as `dragoman.core.listing` has: a transport drives
it by its deadline alone.
"""

import math
from collections.abc import Callable

from dragoman.core.effects import ConnectFailure, Effect, LocalAnswer


class Chore:
    """Calls `act` again and again.

    Args:
        act: What is to be done; gets the time in epoch seconds, must be quick and must not raise.
        period: Seconds between calls.
        now: When to begin to count, epoch seconds.

    """

    is_reading = False

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

    def abort(self, now: float) -> list[Effect]:
        """Stop."""
        return self.drain(now)

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """Nothing is served."""
        return []

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """There is no client."""
        return []

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """No provider is asked."""
        return []

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """No provider is asked."""
        return []

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """No provider is asked."""
        return []
