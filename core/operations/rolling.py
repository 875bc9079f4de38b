"""Sums over the last minutes, in bounded memory: time is cut into cells, and an event is added to the cell of its time.

An event touches one cell, whatever windows are read later. A cell is `FINE` seconds long; once it is over, it is added to the cell of its minute
(`COARSE`) and to the sum of all time. So at most `_FINE_CELLS` + `_COARSE_CELLS` cells are kept, and only those in which something happened.

The law: `Rolling.last(seconds, now)` counts every event of the last `seconds`, and none that is older than `seconds` and one cell more: `FINE` for
windows of up to a minute, `COARSE` for longer ones, of up to `LONGEST`.

Times (latencies) are counted in buckets whose bounds grow by `GROWTH`, so a quantile is told with a relative error of at most `ERROR`, whatever the
times are (the idea of DDSketch: Masson, Rim, Lee, 2019). Bounds include 0.01 · 2ᵏ seconds, the bounds that OpenTelemetry recommends: histograms
of these are exact.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from math import ceil, log2
from typing import Final

FINE: Final = 10.0
COARSE: Final = 60.0
LONGEST: Final = 3600.0
GROWTH: Final = 2 ** (1 / 8)
ERROR: Final = math.sqrt(GROWTH) - 1

_FINE_CELLS: Final = int(COARSE / FINE) + 1
_COARSE_CELLS: Final = int(LONGEST / COARSE) + 1
_UNIT: Final = 100.0  # a hundredth of a second has bucket 0
_FIRST: Final = -64  # 39 µs, and whatever is less
_LAST: Final = 160  # 2.9 hours, and whatever is more
_MOST_MEMOS: Final = 8

Buckets = dict[int, int]  # how many times by number of the bucket


def bucket_of(seconds: float) -> int:
    """The number of the bucket that a time is counted in: that of the least bound which is not below it.

    >>> bucket_of(0.01), bucket_of(0.0101), bucket_of(0.02), bucket_of(0.0), bucket_of(1e9)
    (0, 1, 8, -64, 160)
    """
    if seconds <= 0.0:
        return _FIRST
    bucket = ceil(log2(seconds * _UNIT) * 8)
    if bucket < _FIRST:
        return _FIRST
    return bucket if bucket < _LAST else _LAST


def bound_of(bucket: int) -> float:
    """The upper bound of a bucket, in seconds.

    >>> bound_of(0), bound_of(8), round(bound_of(1), 6)
    (0.01, 0.02, 0.010905)
    """
    return math.exp2(bucket / 8) / _UNIT


#: Bounds of histograms for others: numbers of buckets, and seconds. They are those of OpenTelemetry's conventions for GenAI.
BOUNDS: Final = tuple((8 * k, bound_of(8 * k)) for k in range(14))


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The time that `share` of all times do not exceed, in seconds, right but for `ERROR`; None when there are none.

    >>> round(quantile({8: 99, 80: 1}, 0.5) or 0.0, 6), quantile({}, 0.5)
    (0.019152, None)
    """
    rank = share * sum(buckets.values())
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return bound_of(bucket) / math.sqrt(GROWTH)  # the middle, as factors go
    return None


def cumulated(buckets: Mapping[int, int]) -> list[tuple[float, int]]:
    """How many times did not exceed each of `BOUNDS`; infinity is the last bound."""
    whole, seen, rest = [], 0, sorted(buckets)
    for number, bound in BOUNDS:
        while rest and rest[0] <= number:
            seen += buckets[rest.pop(0)]
        whole.append((bound, seen))
    return [*whole, (math.inf, sum(buckets.values()))]


class Cell:
    """What is counted in one stretch of time.

    Attributes:
        counts: By what the owner counts; all of one length.
        buckets: Histograms of times, likewise.

    """

    __slots__ = ("buckets", "counts")

    def __init__(self, counts: int, histograms: int) -> None:
        self.counts = [0] * counts
        self.buckets: tuple[Buckets, ...] = tuple([{} for _ in range(histograms)])

    def add(self, other: "Cell") -> None:
        """Add all that another cell counts."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        for mine, theirs in zip(self.buckets, other.buckets, strict=True):
            for bucket, n in theirs.items():
                mine[bucket] = mine.get(bucket, 0) + n


class Rolling:
    """Cells of one thing that is counted.

    Args:
        counts: How many counters there are.
        histograms: How many histograms of times there are.
        coarse: How many minutes are kept beside the present one; windows longer than that are cut.

    Attributes:
        seen_at: When something was last counted, epoch seconds; -inf: never.

    """

    __slots__ = ("_coarse", "_fine", "_kept", "_memos", "_now", "_shape", "_sum", "_until", "seen_at")

    def __init__(self, counts: int, histograms: int = 0, *, coarse: int = _COARSE_CELLS - 1) -> None:
        self._shape = (counts, histograms)
        self._kept = coarse
        self._until = -math.inf  # when the present cell is over
        self._now = self._new()
        self._fine: deque[tuple[int, Cell]] = (
            deque()
        )  # those that are over, by number: that of the time divided by the length
        self._coarse: deque[tuple[int, Cell]] = deque()
        self._sum = self._new()
        self._memos: dict[int, tuple[int, int, Cell]] = {}
        self.seen_at = -math.inf

    def _new(self) -> Cell:
        return Cell(*self._shape)

    def cell(self, now: float) -> Cell:
        """The cell to count an event in that happens now; of `now` only the order is trusted: what comes late counts as present."""
        self.seen_at = now
        if now >= self._until:
            self._turn(now)
        return self._now

    def _turn(self, now: float) -> None:
        """The present cell is over, another begins."""
        if self._until > -math.inf:
            self._put_away(self._now, round(self._until / FINE) - 1)
            self._now = self._new()
        self._until = (now // FINE + 1) * FINE

    def _put_away(self, cell: Cell, number: int) -> None:
        self._sum.add(cell)
        self._fine.append((number, cell))
        while self._fine[0][0] <= number - _FINE_CELLS:
            self._fine.popleft()
        minute = int(number * FINE // COARSE)
        if not self._coarse or self._coarse[-1][0] != minute:
            self._coarse.append((minute, self._new()))
        self._coarse[-1][1].add(cell)
        while self._coarse[0][0] < minute - self._kept:
            self._coarse.popleft()

    def last(self, seconds: float, now: float) -> Cell:
        """What was counted in the last `seconds`; not to be changed."""
        since = now - seconds
        whole = self._new()
        if seconds <= COARSE:
            self._add_since(whole, self._fine, math.floor(since / FINE))
        else:
            self._add_minutes(whole, math.floor(since / COARSE))
        if self._until > since:
            whole.add(self._now)
        return whole

    def _add_minutes(self, whole: Cell, first: int) -> None:
        """Add the minutes from number `first` on. All but the last one will not change again, so their sum is remembered."""
        if not self._coarse:
            return
        newest, cell = self._coarse[-1]
        span = newest - first
        memo = self._memos.get(span)
        if memo is None or memo[:2] != (first, newest):
            closed = self._new()
            self._add_since(closed, list(self._coarse)[:-1], first)
            if len(self._memos) >= _MOST_MEMOS:
                self._memos.clear()
            memo = self._memos[span] = (first, newest, closed)
        whole.add(memo[2])
        if newest >= first:
            whole.add(cell)

    @staticmethod
    def _add_since(whole: Cell, cells: Iterable[tuple[int, Cell]], first: int) -> None:
        for number, cell in cells:
            if number >= first:
                whole.add(cell)

    def absorb(self, cell: Cell) -> None:
        """Add what was counted elsewhere to the sum of all time, and to no window."""
        self._sum.add(cell)

    def total(self) -> Cell:
        """What was counted since the beginning; not to be changed."""
        whole = self._new()
        whole.add(self._sum)
        whole.add(self._now)
        return whole
