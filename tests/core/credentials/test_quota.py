"""Windows of time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import QuotaRule
from dragoman.core.credentials.quota import FixedCounter, Quota, ReportedWindow, SlidingCounter

STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=40)


@given(STEPS)
def test_sliding_forgets_nothing_too_early(steps: list[tuple[float, int]]) -> None:
    """The count is at least the truth of the last 60 s, and at most that of the last 61 s and a step."""
    counter, now = SlidingCounter(60.0), 1000.0
    log: list[tuple[float, int]] = []
    for wait, amount in steps:
        now += wait
        counter.add(amount, now)
        log.append((now, amount))
        truth = sum(amount for at, amount in log if at > now - 60.0)
        assert truth <= counter.used(now) <= sum(amount for at, amount in log if at >= now - 61.001)
        assert now <= counter.resets_at(now) <= now + 61.001
        assert len(counter.save()) <= 62


@given(STEPS, st.booleans())
def test_fixed_counts_from_its_first_request(steps: list[tuple[float, int]], aligned: bool) -> None:
    """It ends as a whole; negative amounts count nothing."""
    counter, now, begun, truth = FixedCounter(60.0, aligned=aligned), 1000.0, -1e9, 0
    for wait, amount in steps:
        now += wait
        if now >= begun + 60.0:
            begun, truth = (now // 60 * 60 if aligned else now), 0
        truth += amount
        counter.add(amount, now)
        counter.add(-3, now)
        assert counter.used(now) == truth
        assert counter.resets_at(now) == begun + 60.0
        assert counter.used(begun + 60.0) == 0


@given(STEPS, st.sampled_from(["fixed", "sliding"]))
def test_saved_and_restored(steps: list[tuple[float, int]], kind: str) -> None:
    """With their instants; for a rule that is still there."""
    rules = (QuotaRule(60.0, kind, requests=9, tokens=100), QuotaRule(600.0, kind, tokens=5))
    quota, now = Quota(rules), 1000.0
    for wait, amount in steps:
        now += wait
        quota.picked(now)
        quota.spend(amount, now)
    other = Quota(rules[:1])
    for _ in range(2):  # what was restored before is replaced
        other.restore(quota.save(), now)
    for (_, a, _), (_, b, _) in zip(quota.windows[0].limits(), other.windows[0].limits(), strict=True):
        assert (a.used(now), a.resets_at(now)) == (b.used(now), b.resets_at(now))


@pytest.mark.parametrize(
    "data",
    [None, 5, [5], [[60.0, "fixed", "requests", 5]], [[60.0, "fixed", "requests", []]], [[60.0, "fixed", "requests", ["a", 2]]],
     [[60.0, "fixed", "requests", [5, 1e12]]], [[60.0, "sliding", "requests", [5, [1e12, 5], [1030.0, "x"], [1030.0, -2]]]]],
)  # fmt: skip
def test_nonsense_is_not_restored(data: Any) -> None:
    """Least of all an end that lies further away than a window is long."""
    quota = Quota([QuotaRule(60.0, kind, requests=2) for kind in ("fixed", "sliding")])
    quota.restore(data, 1000.0)
    assert quota.spent_until(1000.0) == 0
    assert quota.remaining(1000.0).quota_remaining == 2


def test_spent_and_reserved() -> None:
    """At 97 % it is chosen last, at 100 % not at all, and when the window ends it is whole again."""
    quota = Quota([QuotaRule(3600.0, "fixed", requests=100), QuotaRule(60.0, "sliding", tokens=1000)])
    for _ in range(96):
        quota.picked(1000.0)
    assert quota.reserved_until(1000.0) == 0
    quota.picked(1000.0)
    assert quota.reserved_until(1000.0) == 4600.0
    assert quota.spent_until(1000.0) == 0
    assert quota.remaining(1000.0).name == "requests"
    assert quota.remaining(1000.0).quota_remaining == 3
    quota.spend(5000, 1000.0)
    assert quota.spent_until(1000.0) == pytest.approx(1061, abs=1)
    assert quota.remaining(1000.0).quota_remaining == 0
    assert quota.reserved_until(4600.0) == quota.spent_until(4600.0) == 0


def test_what_a_provider_reports() -> None:
    """It reserves and does not block; the newest word replaces the last; there is room for so many only."""
    quota = Quota(())
    assert quota.remaining(0.0).resets_at is None
    quota.note([ReportedWindow("5h", 0.98, 500.0, 7)])
    assert (quota.reserved_until(100.0), quota.spent_until(100.0)) == (500.0, 0)
    assert quota.remaining(100.0).quota_remaining == 7
    quota.note([ReportedWindow("5h", 0.2, 500.0)])
    assert quota.reserved_until(100.0) == 0
    assert quota.remaining(500.0).resets_at is None
    quota.note([ReportedWindow(str(i), 0.1, 500.0) for i in range(40)])
    assert len(quota.reported) == 16
    assert quota.remaining(100.0).share == pytest.approx(0.9)
