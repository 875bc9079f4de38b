"""Windows of time against a plain list of events; quantiles against sorted times."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.operations.rolling import (
    COARSE,
    ERROR,
    FINE,
    LONGEST,
    Cell,
    Rolling,
    bound_of,
    bucket_of,
    cumulated,
    quantile,
)

gaps = st.one_of(st.floats(0, 30), st.sampled_from([0.0, FINE, COARSE, 59.9, 600.0, 3600.0, 100_000.0]))


@given(
    gaps=st.lists(gaps, max_size=60),
    seconds=st.one_of(st.sampled_from([60.0, 600.0, 3600.0]), st.floats(0.1, LONGEST)),
    later=st.floats(0, 700),
)
def test_a_window_counts_the_young_and_not_the_old(gaps: list[float], seconds: float, later: float) -> None:
    rolling, times, now = Rolling(2, 1), [], 1_800_000_000.0
    for gap in gaps:
        now += gap
        times.append(now)
        cell = rolling.cell(now)
        cell.counts[1] += 1
        cell.buckets[0][7] = cell.buckets[0].get(7, 0) + 1
        rolling.last(seconds, now)  # reading changes nothing
    now += later
    width = FINE if seconds <= COARSE else COARSE
    found = rolling.last(seconds, now)
    young = sum(time > now - seconds for time in times)
    assert young <= found.counts[1] <= sum(time > now - seconds - width for time in times)
    assert found.counts[0] == 0
    assert found.buckets[0].get(7, 0) == found.counts[1]
    assert rolling.total().counts == [0, len(times)]
    assert rolling.total().buckets[0].get(7, 0) == len(times)
    assert rolling.seen_at == (times[-1] if times else -math.inf)
    assert len(rolling._fine) <= 7
    assert len(rolling._coarse) <= 61


def test_windows_at_a_minute_and_at_an_hour() -> None:
    """Deterministic: an event each ten seconds for two hours."""
    rolling, start = Rolling(1), 7200.0
    for n in range(720):
        rolling.cell(start + 10 * n).counts[0] += 1
    now = start + 7199.0
    assert [rolling.last(s, now).counts[0] for s in (1, 59, 60, 600, 3600)] == [1, 6, 7, 66, 366]
    assert rolling.last(60, now + 300).counts[0] == 0
    assert rolling.last(600, now + 300).counts[0] == 36
    assert rolling.last(3600, now + 10_000).counts[0] == 0
    assert rolling.total().counts == [720]


def test_what_comes_late_counts_as_present() -> None:
    rolling = Rolling(1)
    rolling.cell(1000.0)
    rolling.cell(500.0).counts[0] += 1
    assert rolling.last(1, 1000.0).counts == [1]


def test_any_number_of_windows_may_be_read() -> None:
    rolling = Rolling(1)
    for n in range(100):
        rolling.cell(60.0 * n).counts[0] += 1
    for seconds in range(61, 3600, 17):
        assert rolling.last(seconds, 5940.0).counts[0] == min(100, (5940 - (5940 - seconds) // 60 * 60) // 60 + 1)
    assert len(rolling._memos) <= 8


def test_fewer_minutes_may_be_kept() -> None:
    rolling = Rolling(1, coarse=10)
    for n in range(100):
        rolling.cell(60.0 * n).counts[0] += 1
    assert rolling.last(3600, 5940.0).counts == [12]
    assert len(rolling._coarse) == 11


def test_what_is_absorbed_is_in_no_window() -> None:
    rolling, other = Rolling(1, 1), Cell(1, 1)
    other.counts[0], other.buckets[0][3] = 5, 5
    rolling.absorb(other)
    assert rolling.last(3600, 0.0).counts == [0]
    assert (rolling.total().counts, rolling.total().buckets) == ([5], ({3: 5},))


@given(st.floats(0.00005, 10_000))
def test_a_bucket_holds_what_its_bounds_say(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert bound_of(bucket - 1) * (1 - 1e-9) <= seconds <= bound_of(bucket) * (1 + 1e-9)


@pytest.mark.parametrize(("seconds", "bucket"), [(-1.0, -64), (0.0, -64), (1e-9, -64), (1e12, 160)])
def test_times_beyond_measure_have_a_bucket(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


@given(times=st.lists(st.floats(0.0001, 9000), min_size=1, max_size=50), share=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_as_near_as_it_says(times: list[float], share: float) -> None:
    buckets: dict[int, int] = {}
    for time in times:
        buckets[bucket_of(time)] = buckets.get(bucket_of(time), 0) + 1
    exact = sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
    found = quantile(buckets, share)
    assert found is not None
    assert abs(found - exact) <= exact * (ERROR + 0.001)


@given(st.lists(st.floats(0.0001, 9000), max_size=50))
def test_histograms_for_others_are_exact(times: list[float]) -> None:
    buckets: dict[int, int] = {}
    for time in times:
        buckets[bucket_of(time)] = buckets.get(bucket_of(time), 0) + 1
    for bound, n in cumulated(buckets):
        assert n == sum(time <= bound for time in times)


def test_bounds_are_those_of_opentelemetry() -> None:
    bounds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    assert [bound for bound, _ in cumulated({})] == [*bounds, math.inf]
    assert cumulated({0: 1, 8: 2, 9: 3, 160: 4})[:3] == [(0.01, 1), (0.02, 3), (0.04, 6)]
    assert cumulated({160: 4})[-1] == (math.inf, 4)


def test_no_times_have_no_quantile() -> None:
    assert quantile({}, 0.5) is None
