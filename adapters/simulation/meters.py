"""Counting what a credential was used for, in the plainest way: a list of instants, no steps, no state to be saved."""

from collections import deque

from dragoman.core.config import QuotaRule

_EPS = 1e-3


class Meter:
    """One allowance of one credential.

    Args:
        rule: It.

    """

    def __init__(self, rule: QuotaRule) -> None:
        self.rule = rule
        self._limit = rule.requests if rule.requests is not None else rule.tokens or 0
        self._entries: deque[tuple[float, int]] = deque()  # of a sliding one
        self._count = 0
        self._ends_at = 0.0  # of a fixed one

    def _used(self, now: float, seconds: float) -> int:
        """What was used in the last `seconds`; for a fixed one, in its window."""
        if self.rule.kind == "fixed":
            return self._count if now < self._ends_at else 0
        entries = self._entries
        while entries and entries[0][0] <= now - 2 * self.rule.window:
            entries.popleft()
        return sum(amount for at, amount in entries if at > now - seconds)

    def add(self, amount: int, now: float) -> None:
        """Something was used."""
        if not amount:
            return
        if self.rule.kind == "fixed":
            if now >= self._ends_at:
                self._count, self._ends_at = 0, now + self.rule.window
            self._count += amount
        else:
            self._entries.append((now, amount))

    def picked(self, now: float) -> str:
        """A request is sent. What is wrong with that, or nothing."""
        used = self._used(now, self.rule.window - _EPS)
        what = "requests" if self.rule.requests is not None else "tokens"
        if self.rule.requests is not None:
            self.add(1, now)
        return f"{used} of {self._limit} {what} were used in {self.rule.window:g} s" if used >= self._limit else ""

    def used_tokens(self, tokens: int, now: float) -> None:
        """An answer took tokens."""
        if self.rule.tokens is not None:
            self.add(tokens, now)

    def is_spent(self, now: float) -> bool:
        """Whether nothing more fits, for sure."""
        return self._used(now, self.rule.window - _EPS) >= self._limit

    def may_be_spent(self, now: float) -> bool:
        """Whether the gateway, which forgets in steps, may think that nothing more fits."""
        return self._used(now, self.rule.window * (1 + 1 / 60) + _EPS) >= self._limit
