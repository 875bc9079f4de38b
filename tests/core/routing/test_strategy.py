"""Each strategy keeps its promise, and looks at few."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials.lane import DROP, SKIP, TAKE, Lane, Member, Seat
from dragoman.core.credentials.outcome import succeeded
from dragoman.core.credentials.pool import MemberRule, Pool
from dragoman.core.routing.strategy import STRATEGIES

NOW = 1000.0


def lane_of(strategy: str, weights: list[int]) -> tuple[Pool, Lane]:
    pool = Pool()
    pool.configure([MemberRule(str(i)) for i in range(len(weights))], NOW)
    return pool, pool.lane([(str(i), "m", 0, weight) for i, weight in enumerate(weights)], STRATEGIES[strategy])


@given(st.integers(1, 9), st.integers(1, 60))
def test_round_robin_is_fair_within_one(size: int, picks: int) -> None:
    pool, lane = lane_of("round-robin", [1] * size)
    counts = Counter(lease.seat.index for _ in range(picks) if (lease := pool.pick(lane, NOW)) is not None)
    assert sum(counts.values()) == picks
    assert max(counts[i] for i in range(size)) - min(counts[i] for i in range(size)) <= 1


@given(st.lists(st.integers(-1, 20), min_size=1, max_size=8), st.integers(1, 200))
def test_weights_are_respected(weights: list[int], picks: int) -> None:
    """After any number of picks, for any two; who has no weight is never taken."""
    pool, lane = lane_of("weighted-round-robin", weights)
    counts = Counter(lease.seat.index for _ in range(picks) if (lease := pool.pick(lane, NOW)) is not None)
    assert sum(counts.values()) == (picks if any(w > 0 for w in weights) else 0)
    shares = [(counts[i] / w, w) for i, w in enumerate(weights) if w > 0]
    assert all(counts[i] == 0 for i, w in enumerate(weights) if w <= 0)
    for one, w in shares:
        for other, v in shares:
            assert abs(one - other) <= max(1 / w, 1 / v) + 1e-9


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.floats(0, 1, exclude_max=True))
def test_least_busy(busy: list[int], draw: float) -> None:
    """Exactly, where there are few."""
    pool, lane = lane_of("least-busy", [1] * len(busy))
    for seat, flying in zip(lane.seats, busy, strict=True):
        seat.member.in_flight = flying
    lease = pool.pick(lane, NOW, draw)
    assert lease is not None
    assert busy[lease.seat.index] == min(busy)


def test_lowest_latency() -> None:
    """Everybody is asked once; then the fastest, until too many wait for it."""
    pool, lane = lane_of("lowest-latency", [1] * 3)
    leases = [pool.pick(lane, NOW, 0.0) for _ in range(3)]
    assert {lease.seat.index for lease in leases if lease is not None} == {0, 1, 2}
    for lease, seconds in zip(leases, (3.0, 1.0, 2.5), strict=True):
        assert lease is not None
        pool.answered(lease, succeeded({}, NOW), NOW + seconds)
        pool.report(lease, succeeded({}, NOW), NOW + 9)
    order = [lease.seat.offer.latency for _ in range(4) if (lease := pool.pick(lane, NOW + 10, 0.9)) is not None]
    assert order == [1.0, 1.0, 2.5, 1.0] or order == [1.0, 1.0, 2.5, 3.0]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(
    verdicts=st.lists(st.sampled_from([TAKE, SKIP, DROP]), min_size=1, max_size=12),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_dropped_are_gone_and_skipped_stay(strategy: str, verdicts: list[int], draw: float) -> None:
    """Whatever the judge says; one that comes back has its turn again."""
    _, lane = lane_of(strategy, [1] * len(verdicts))
    order = lane._tiers[0].ready
    dropped: list[Seat] = []

    def judge(seat: Seat) -> int:
        assert seat not in dropped
        if verdicts[seat.index] == DROP:
            dropped.append(seat)
        return verdicts[seat.index]

    for _ in range(3):
        found = order.take(judge, draw)
        assert (found is None) == (TAKE not in verdicts)
        assert found is None or verdicts[found.index] == TAKE
    order.take(lambda seat: DROP, draw)
    while order.take(lambda seat: DROP, draw) is not None:
        pass
    for seat in lane.seats:
        order.add(seat)
    seen: set[int] = set()
    for _ in range(len(verdicts)):
        next_one = order.take(lambda seat: SKIP if seat.index in seen else TAKE, draw)
        assert next_one is not None
        seen.add(next_one.index)
    assert len(seen) == len(verdicts)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_pick_looks_at_few(strategy: str) -> None:
    """Of a thousand well ones, at most four, whatever the strategy."""
    _, lane = lane_of(strategy, [1] * 1000)
    looked_at = 0

    def judge(seat: Seat) -> int:
        nonlocal looked_at
        looked_at += 1
        return TAKE

    for i in range(100):
        assert lane._tiers[0].ready.take(judge, i / 100) is not None
    assert looked_at <= 400


def test_tiers() -> None:
    """Only the highest priority of which somebody is well."""
    pool = Pool()
    pool.configure([MemberRule(str(i), limit=1) for i in range(4)], NOW)
    lane = pool.lane(
        [(str(i), "m", priority, 1) for i, priority in enumerate([0, 5, 5, -1])], STRATEGIES["round-robin"]
    )
    picked = [lease.seat.index for _ in range(5) if (lease := pool.pick(lane, NOW)) is not None]
    assert picked == [1, 2, 0, 3]


def test_members_are_plain() -> None:
    """A member starts well, with no limit and no memory."""
    member = Member("id", "lab", "key")
    assert member.in_flight < member.limit
    assert member.waiting == set()
