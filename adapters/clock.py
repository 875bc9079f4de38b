"""The only clock: epoch seconds that never run backwards.

Wall time is read once, and monotonic time since then is added: quota windows and Retry-After dates are wall times, so the core's
one axis is too; and a step of the system's clock must neither end a cooldown early nor make a deadline wait for hours.
"""

import time
from collections.abc import Callable


class Clock:
    """Tells the time to whoever is handed it.

    Args:
        wall: Epoch seconds; read once.
        monotonic: Seconds that only grow.

    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._offset = wall() - monotonic()
        self._monotonic = monotonic

    def now(self) -> float:
        """Epoch seconds, never less than the last time."""
        return self._offset + self._monotonic()
