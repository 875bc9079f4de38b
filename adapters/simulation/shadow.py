"""How long a credential has to rest, said once more from `docs/reference/routing.md`, by who stands outside and knows what providers said.

A `Shadow` is not the gateway's state but what can be known of it: an instant before which a pause cannot have ended (`floor`), one at which it must have
(`ceiling`), whether what comes next must be the one probe. Where two things happen at one instant, either order is taken for right: so what it calls
wrong is wrong.
"""

import math
from typing import Final

from dragoman.core.config import Cooldowns

CERTAIN: Final = 2
MAYBE: Final = 1
_EPS: Final = 1e-3  # seconds; what is told is rounded on its way


class Shadow:
    """What is known of one credential, or of one model of it.

    Attributes:
        floor: No request may be sent before.
        ceiling: A request may be sent from then on, unless a probe is on its way.
        since: When the last pause was learnt of.
        half: Whether it has paused and not been well since: `CERTAIN`, `MAYBE` or 0.
        probe: The attempt that is the probe, as far as one must be; None for none.
        guesses: How many pauses in a row nobody named the end of.
        is_rejected: It was refused: what older attempts come to changes nothing until the pause is over and somebody asks.

    """

    __slots__ = ("ceiling", "floor", "guesses", "half", "is_rejected", "probe", "since")

    def __init__(self) -> None:
        self.floor = 0.0
        self.ceiling = 0.0
        self.since = 0.0
        self.half = 0
        self.probe: object = None
        self.guesses = 0
        self.is_rejected = False

    def picked(self, attempt: object, now: float) -> str:
        """A request is sent. What is wrong with that, or nothing."""
        self.is_rejected = False
        if not self.half:
            return ""
        wrong = ""
        if self.since < now < self.floor - _EPS:
            wrong = f"it rests for {self.floor - now:.3f} s more"
        elif self.probe is not None and self.half == CERTAIN and self.since < now:
            wrong = "its probe is on its way"
        elif self.probe is not None and self.half == MAYBE:
            self.half = 0  # so it did not pause
            self.probe = None
            return ""
        if self.probe is None:
            self.probe = attempt
        return wrong

    def is_blocked(self, now: float) -> bool:
        """Whether nobody may pick it, for sure."""
        return self.since < now < self.floor - _EPS or (self.half == CERTAIN and self.probe is not None)

    def is_free(self, now: float) -> bool:
        """Whether anybody may pick it, for sure."""
        return not self.half or (now >= self.ceiling + _EPS and self.probe is None)

    def succeeded(self, attempt: object) -> None:
        """A good answer began: if it was the probe, all is well."""
        if self.probe == attempt and self.half:
            self.half = 0
            self.guesses = 0
            self.probe = None

    def released(self, attempt: object) -> None:
        """An attempt ended and says nothing: if it was the probe, the next is."""
        if self.probe == attempt:
            self.probe = None

    def paused(self, now: float, floor: float, ceiling: float, *, replaces: bool, certain: bool = True) -> None:
        """It has to rest; `replaces`: the newest word about it counts, be it earlier or later, else the later one."""
        if not certain:
            self.ceiling = max(self.ceiling, ceiling)
            self.half = max(self.half, MAYBE)
            return
        if not replaces and self.half:
            floor, ceiling = max(floor, self.floor), max(ceiling, self.ceiling)
        self.floor, self.ceiling, self.since = floor, ceiling, now
        self.half = CERTAIN
        self.probe = None

    def limited(self, now: float, until: float | None, times: Cooldowns) -> None:
        """A limit was met, which ends at `until` if anybody said so."""
        if self.is_rejected:
            return
        if until is not None:
            until = min(max(until, now), now + times.longest_told)
            self.paused(now, until, until, replaces=True)
            return
        longest = min(times.first_backoff * 2.0**self.guesses, times.longest_backoff)
        self.guesses += 1
        self.paused(now, now + times.first_backoff, now + longest, replaces=False)

    def refused(self, now: float, seconds: float) -> None:
        """The provider does not want it."""
        if not self.is_rejected:
            self.guesses += 1
            self.paused(now, now + seconds, now + seconds, replaces=False)
            self.is_rejected = True

    def failed(self, now: float, seconds: float, *, certain: bool) -> None:
        """It failed, and others could answer."""
        if not self.is_rejected:
            self.guesses += 1
            self.paused(now, now + seconds, now + seconds, replaces=False, certain=certain)

    def reset(self) -> None:
        """The operator switched it on anew: nothing is held against it."""
        self.floor = self.ceiling = 0.0
        self.half = self.guesses = 0
        self.probe = None
        self.is_rejected = False

    def __repr__(self) -> str:
        probe = "" if self.probe is None else f", probed by {self.probe}"
        end = f", until {self.floor:.3f}..{self.ceiling:.3f}" if self.floor < math.inf else ""
        return f"<half={self.half}{end}{probe}>"
