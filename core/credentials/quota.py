"""Allowances: how much of a window of time is used, and when there is more.

Three kinds. Fixed: the window begins with the first request after the last one ended, as the 5-hour and 7-day windows of subscriptions do.
Sliding: always the last so many seconds, counted in 60 steps, each forgotten as a whole when its youngest part is old enough, so never too
early. Reported: what a provider says of its own count in headers; it never blocks by itself (that is an outcome), but one that is nearly spent is
left for last.

Requests are counted when they are picked, so that no more begin than there may; tokens when they are known, so that at most those in flight
are too many.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs
import msgspec

from dragoman.core.config import QuotaRule

RESERVED: Final = 0.97  #: of a window; a credential that has used so much of it is chosen last
_STEPS: Final = 60
_MOST_REPORTED: Final = 16  # windows remembered of one credential; providers know fewer


class FixedCounter:
    """A count that ends as a whole, `window` seconds after it began.

    Args:
        window: Seconds.
        aligned: Windows begin at multiples of `window` since the epoch (days of UTC) instead of with the first request.

    """

    __slots__ = ("_aligned", "_ends_at", "_used", "window")

    def __init__(self, window: float, *, aligned: bool = False) -> None:
        self.window = window
        self._aligned = aligned
        self._used = 0
        self._ends_at = 0.0

    def used(self, now: float) -> int:
        """How much is used."""
        return self._used if now < self._ends_at else 0

    def add(self, amount: int, now: float) -> None:
        """Count `amount`."""
        if now >= self._ends_at:
            self._used = 0
            begins_at = now // self.window * self.window if self._aligned else now
            self._ends_at = begins_at + self.window
        self._used += max(0, amount)

    def resets_at(self, now: float) -> float:
        """When all of it is forgotten."""
        return max(now, self._ends_at)

    def save(self) -> list[object]:
        """As plain data."""
        return [self._used, self._ends_at]

    def restore(self, data: Sequence[object], now: float) -> None:
        """From what `save` gave; anything else is left alone."""
        if len(data) != 2:
            return
        used, ends_at = data
        # A clock that was wrong when this was saved must not lock the credential for longer than one window.
        if isinstance(used, int) and isinstance(ends_at, (int, float)) and now < ends_at <= now + self.window:
            self._used, self._ends_at = max(0, used), float(ends_at)


class SlidingCounter:
    """A count of the last `window` seconds."""

    __slots__ = ("_steps", "_total", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._steps: deque[tuple[float, int]] = deque()  # when each step is forgotten, and what it holds
        self._total = 0

    def used(self, now: float) -> int:
        """How much is used."""
        steps = self._steps
        while steps and steps[0][0] <= now:
            self._total -= steps.popleft()[1]
        return self._total

    def add(self, amount: int, now: float) -> None:
        """Count `amount`."""
        self.used(now)
        amount = max(0, amount)
        step = self.window / _STEPS
        forgotten_at = (now // step + 1) * step + self.window
        steps = self._steps
        if steps and steps[-1][0] >= forgotten_at:
            forgotten_at, before = steps.pop()
            amount, self._total = amount + before, self._total - before
        steps.append((forgotten_at, amount))
        self._total += amount

    def resets_at(self, now: float) -> float:
        """When the oldest part is forgotten."""
        self.used(now)
        return self._steps[0][0] if self._steps else now

    def save(self) -> list[object]:
        """As plain data."""
        return [[at, amount] for at, amount in self._steps]

    def restore(self, data: Sequence[object], now: float) -> None:
        """From what `save` gave, in place of what was counted; anything else is left alone."""
        self._steps.clear()
        self._total = 0
        latest = now + self.window * (1 + 1 / _STEPS)
        for item in list(data)[: _STEPS + 1]:
            if isinstance(item, (list, tuple)) and len(item) == 2:
                at, amount = item
                if isinstance(at, (int, float)) and isinstance(amount, int) and now < at <= latest and amount >= 0:
                    self._steps.append((float(at), amount))
                    self._total += amount
        self._steps = deque(sorted(self._steps))


class QuotaWindow:
    """One rule and what is counted against it."""

    __slots__ = ("requests", "rule", "tokens")

    def __init__(self, rule: QuotaRule) -> None:
        self.rule = rule
        self.requests = self._counter() if rule.requests is not None else None
        self.tokens = self._counter() if rule.tokens is not None else None

    def _counter(self) -> FixedCounter | SlidingCounter:
        return FixedCounter(self.rule.window) if self.rule.kind == "fixed" else SlidingCounter(self.rule.window)

    def limits(self) -> list[tuple[str, FixedCounter | SlidingCounter, int]]:
        """What is limited: ``requests`` or ``tokens``, the counter and its limit."""
        limits = []
        if self.requests is not None and self.rule.requests is not None:
            limits.append(("requests", self.requests, self.rule.requests))
        if self.tokens is not None and self.rule.tokens is not None:
            limits.append(("tokens", self.tokens, self.rule.tokens))
        return limits


class ReportedWindow(msgspec.Struct, frozen=True, gc=False):
    """What a provider said of one of its windows.

    Attributes:
        name: For example ``requests``, ``5h``, ``primary``.
        used: The share that is used, 0 to 1.
        resets_at: When it is whole again, epoch seconds.
        remaining: What is left, in the provider's units; None when it says only the share.
        scope: ``credential`` or ``model``: what it is counted for.

    """

    name: str
    used: float
    resets_at: float
    remaining: int | None = None
    scope: str = "credential"


@attrs.frozen
class Remaining:
    """How much is left of the tightest window.

    Attributes:
        share: Of its limit, 0 to 1; 1 when there is no window.
        quota_remaining: Requests or tokens, or None when nobody counts.
        resets_at: When there is more, epoch seconds; None when there is no window.
        name: Which window.

    """

    share: float = 1.0
    quota_remaining: int | None = None
    resets_at: float | None = None
    name: str = ""


class Quota:
    """All windows of one credential: those counted here and those its provider reports.

    Args:
        rules: The configured ones.

    """

    __slots__ = ("_limits", "reported", "windows")

    def __init__(self, rules: Sequence[QuotaRule]) -> None:
        self.windows = tuple(map(QuotaWindow, rules))
        self._limits = [limit for window in self.windows for limit in window.limits()]
        self.reported: dict[str, ReportedWindow] = {}

    def spent_until(self, now: float) -> float:
        """When a further request fits into all counted windows; 0 when it does now."""
        until = 0.0
        for _, counter, limit in self._limits:
            if counter.used(now) >= limit:
                until = max(until, counter.resets_at(now))
        return until

    def reserved_until(self, now: float) -> float:
        """Until when so little is left that others should be chosen first; 0 when there is enough."""
        until = 0.0
        for _, counter, limit in self._limits:
            if counter.used(now) >= RESERVED * limit:
                until = max(until, counter.resets_at(now))
        for window in self.reported.values():
            if window.used >= RESERVED and window.resets_at > now:
                until = max(until, window.resets_at)
        return until

    def picked(self, now: float) -> None:
        """A request begins."""
        for window in self.windows:
            if window.requests is not None:
                window.requests.add(1, now)

    def spend(self, tokens: int, now: float) -> None:
        """Tokens were used."""
        for window in self.windows:
            if window.tokens is not None:
                window.tokens.add(tokens, now)

    def note(self, reported: Sequence[ReportedWindow]) -> None:
        """A provider's word; the newest replaces what it said before, more or less."""
        for window in reported:
            self.reported.pop(window.name, None)
            self.reported[window.name] = window
        while len(self.reported) > _MOST_REPORTED:
            del self.reported[next(iter(self.reported))]

    def remaining(self, now: float) -> Remaining:
        """How much is left of the window of which the least is left."""
        tightest = Remaining()
        for name, counter, limit in self._limits:
            left = max(0, limit - counter.used(now))
            if left / limit < tightest.share or tightest.resets_at is None:
                tightest = Remaining(left / limit, left, counter.resets_at(now), name)
        for window in self.reported.values():
            if window.resets_at > now and (1 - window.used < tightest.share or tightest.resets_at is None):
                share = max(0.0, 1 - window.used)
                tightest = Remaining(share, window.remaining, window.resets_at, window.name)
        return tightest

    def save(self) -> list[object]:
        """The counts as plain data; the rules are configuration."""
        return [
            [w.rule.window, w.rule.kind, name, counter.save()] for w in self.windows for name, counter, _ in w.limits()
        ]

    def restore(self, data: object, now: float) -> None:
        """From what `save` gave, for the rules that are still there."""
        if not isinstance(data, (list, tuple)):
            return
        for item in data:
            if isinstance(item, (list, tuple)) and len(item) == 4 and isinstance(item[3], (list, tuple)):
                for window in self.windows:
                    for name, counter, _ in window.limits():
                        if [window.rule.window, window.rule.kind, name] == list(item[:3]):
                            counter.restore(item[3], now)
