"""In which order the ready seats of a tier are taken.

Each strategy keeps its own order and touches, for one pick, a number of seats that does not grow with theirs.

round-robin            a ring: the first goes to the end. Counts of those always ready differ by at most 1.
weighted-round-robin   stride scheduling (Waldspurger and Weihl 1995): each seat's turn moves on by 1/weight, the earliest is next. For any two that
                       are always ready, |picks/weight - picks/weight| is at most the greater of 1/weight. Shares come as evenly as with the
                       "smooth" form, without adding to every weight at each pick.
fill-first             the first in the configuration; a heap, for those who come back.
least-busy             the fewest attempts in flight, of 4 neighbours at a drawn place; of all, if they are not more than 8. Looking at a
                       few drawn ones is nearly as good as looking at all, and does not send everybody to the same one (Mitzenmacher 2001).
lowest-latency         the same with (seconds to the first byte) x (attempts in flight + 1); who was never asked comes first.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from dragoman.core.credentials.lane import DROP, TAKE, Judge, Order, Seat

_SAMPLE: Final = 4
_ALL: Final = 8


class RoundRobin:
    """Each in turn."""

    def __init__(self) -> None:
        self._ring: deque[Seat] = deque()

    def add(self, seat: Seat) -> None:
        """To the end."""
        self._ring.append(seat)

    def take(self, judge: Judge, draw: float) -> Seat | None:
        """The first; it goes to the end."""
        ring = self._ring
        for _ in range(len(ring)):
            seat = ring[0]
            verdict = judge(seat)
            if verdict == DROP:
                ring.popleft()
                continue
            ring.rotate(-1)
            if verdict == TAKE:
                return seat
        return None


class _Heap:
    """The seat with the least key; those that are looked over stay where they are."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Seat]] = []

    def take(self, judge: Judge, draw: float) -> Seat | None:
        """The first by key."""
        heap = self._heap
        aside: list[tuple[float, int, Seat]] = []
        found: Seat | None = None
        while heap:
            seat = heap[0][2]
            verdict = judge(seat)
            if verdict == TAKE:
                found = seat
                self._taken(seat)
                break
            entry = heapq.heappop(heap)
            if verdict != DROP:
                aside.append(entry)
        for entry in aside:
            heapq.heappush(heap, entry)
        return found

    def _taken(self, seat: Seat) -> None:
        """The first was taken."""


class FillFirst(_Heap):
    """The first in the configuration as long as it can be picked."""

    def add(self, seat: Seat) -> None:
        """At its place in the configuration."""
        heapq.heappush(self._heap, (0.0, seat.index, seat))


class Weighted(_Heap):
    """Each as often as its weight says; who has none is never taken."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0.0

    def add(self, seat: Seat) -> None:
        """One who comes back has no claim to what was taken without it."""
        if seat.weight > 0:
            seat.turn = max(seat.turn, self._turn + 1 / seat.weight)
            heapq.heappush(self._heap, (seat.turn, seat.index, seat))

    def _taken(self, seat: Seat) -> None:
        self._turn = seat.turn
        seat.turn += 1 / seat.weight
        heapq.heapreplace(self._heap, (seat.turn, seat.index, seat))


class Sampled:
    """The best of a few neighbours at a drawn place.

    Args:
        cost: Of a seat; the least is taken, the first of equals.

    """

    def __init__(self, cost: Callable[[Seat], float]) -> None:
        self._cost = cost
        self._seats: list[Seat] = []

    def add(self, seat: Seat) -> None:
        """Anywhere."""
        self._seats.append(seat)

    def take(self, judge: Judge, draw: float) -> Seat | None:
        """The best of those that are looked at."""
        seats = self._seats
        best: Seat | None = None
        least = 0.0
        at = int(draw * len(seats))
        steps = len(seats)
        wanted = steps if steps <= _ALL else _SAMPLE
        while seats and steps and wanted:
            if at >= len(seats):
                at = 0
            seat = seats[at]
            verdict = judge(seat)
            if verdict == DROP:
                last = seats.pop()
                if last is not seat:  # the last takes its place, and is looked at next, perhaps again
                    seats[at] = last
                continue
            at += 1
            steps -= 1
            if verdict == TAKE:
                wanted -= 1
                cost = self._cost(seat)
                if best is None or cost < least:
                    best, least = seat, cost
        return best


def busyness(seat: Seat) -> float:
    """Attempts in flight."""
    return seat.member.in_flight


def expected_latency(seat: Seat) -> float:
    """Seconds to the first byte, as far as known, times those who wait for one."""
    return (seat.offer.latency or 1e-6) * (seat.member.in_flight + 1)


STRATEGIES: Final[Mapping[str, Callable[[], Order]]] = MappingProxyType({
    "round-robin": RoundRobin,
    "weighted-round-robin": Weighted,
    "fill-first": FillFirst,
    "least-busy": lambda: Sampled(busyness),
    "lowest-latency": lambda: Sampled(expected_latency),
})  # fmt: skip
