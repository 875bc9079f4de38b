"""What canaries came to, counted by canary: over all time and over the last hour. They are counted nowhere else."""

from collections.abc import Mapping
from typing import Final

import attrs

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.operations.rolling import Cell, Rolling

MOST_CANARIES: Final = 1000
_RUNS, _FAILED, _REFUSED, _INPUT, _OUTPUT = range(5)
_LIMITS: Final = (401, 403, 408, 429)  # about the credential or the moment, not about the request


@attrs.frozen
class Verdict:
    """What one run of a canary came to.

    Attributes:
        difference: What is not as it should be; empty when it passed.
        status: The worst HTTP status that was answered; 0 when none was.
        usage: Counted tokens of all its requests.

    """

    difference: str = ""
    status: int = 200
    usage: TokenUsage = attrs.field(factory=TokenUsage)

    @property
    def is_good(self) -> bool:
        """Whether it passed."""
        return not self.difference

    @property
    def is_refused(self) -> bool:
        """Whether the request itself was not accepted, as after an error of translation."""
        return 400 <= self.status < 500 and self.status not in _LIMITS


@attrs.frozen
class CanaryCounts:
    """What was counted of one canary: runs, those that failed, those that were refused, tokens."""

    runs: int = 0
    failed: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@attrs.frozen
class LastRun:
    """A canary's last run: when it ended, epoch seconds, and what came of it."""

    at: float
    verdict: Verdict


class CanaryTally:
    """The counts of all canaries; they outlive configurations."""

    def __init__(self) -> None:
        self._by_name: dict[str, Rolling] = {}
        self._last: dict[str, LastRun] = {}

    def record(self, name: str, verdict: Verdict, now: float) -> None:
        """A run has ended."""
        rolling = self._by_name.get(name)
        if rolling is None:
            if len(self._by_name) >= MOST_CANARIES:
                self._by_name.pop(gone := next(iter(self._by_name)))
                self._last.pop(gone)
            rolling = self._by_name[name] = Rolling(5)
        counts = rolling.cell(now).counts
        counts[_RUNS] += 1
        counts[_FAILED] += not verdict.is_good
        counts[_REFUSED] += verdict.is_refused
        counts[_INPUT] += verdict.usage.input
        counts[_OUTPUT] += verdict.usage.output
        self._last[name] = LastRun(now, verdict)

    def names(self) -> list[str]:
        """Those that ran."""
        return list(self._by_name)

    def last(self, name: str, seconds: float, now: float) -> CanaryCounts:
        """Of the last `seconds`."""
        rolling = self._by_name.get(name)
        return CanaryCounts() if rolling is None else _counts(rolling.last(seconds, now))

    def total(self, name: str) -> CanaryCounts:
        """Of all time."""
        rolling = self._by_name.get(name)
        return CanaryCounts() if rolling is None else _counts(rolling.total())

    def last_runs(self) -> Mapping[str, LastRun]:
        """The last run of each."""
        return dict(self._last)


def _counts(cell: Cell) -> CanaryCounts:
    return CanaryCounts(*cell.counts)
