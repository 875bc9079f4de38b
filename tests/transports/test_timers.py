"""Deadlines, against a model that looks at everything each time."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dragoman.transports.timers import Timers


class Thing:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.watched_at = math.inf
        self.at = math.inf
        self.is_forgotten = False

    def next_deadline(self) -> float:
        """When."""
        return self.at

    def handle_timer(self) -> None:
        """Handle nothing: the test does."""


INSTANTS = st.integers(0, 30).map(float) | st.just(math.inf)
STEPS = st.lists(
    st.tuples(st.just("move"), st.integers(0, 4), INSTANTS)
    | st.tuples(st.just("forget"), st.integers(0, 4), st.just(0.0))
    | st.tuples(st.just("wait"), st.just(0), st.integers(0, 5).map(float)),
    max_size=60,
)


@given(STEPS)
def test_like_looking_at_everything(steps: list[tuple[str, int, float]]) -> None:
    """Each thing is due when its deadline has come, whatever moves in between, and not before."""
    waked: list[float] = []
    timers = Timers(waked.append)
    things = [Thing() for _ in range(5)]
    now = 0.0
    for step, number, value in steps:
        thing = things[number]
        before = timers.next_instant()
        if step == "move":
            thing.at, thing.is_forgotten = max(now, value), False
            timers.watch(thing)
        elif step == "forget":
            thing.is_forgotten = True
            timers.forget(thing)
        else:
            now += value
        assert timers.watched == sum(thing.watched_at < math.inf for thing in things)
        if step == "wait":
            expected = {id(thing) for thing in things if thing.at <= now and not thing.is_forgotten}
            due = timers.due(now)
            assert {id(thing) for thing in due} == expected
            assert len(due) == len(expected)
            for one in due:
                assert isinstance(one, Thing)
                one.at = math.inf
                timers.watch(one)
        elif timers.next_instant() < before:
            assert waked[-1] == timers.next_instant()
        soonest = min((thing.at for thing in things if not thing.is_forgotten), default=math.inf)
        assert timers.next_instant() <= soonest


def test_moving_on_costs_nothing() -> None:
    """A deadline that moves to later instants leaves the heap alone."""
    timers = Timers(lambda at: None)
    thing = Thing()
    for at in range(1, 10_000):
        thing.at = float(at)
        timers.watch(thing)
    assert len(timers) == 1


def test_heap_stays_small() -> None:
    """Whatever comes earlier each time leaves stale entries, which are swept."""
    timers = Timers(lambda at: None)
    things = [Thing() for _ in range(100)]
    for at in range(1000, 0, -1):
        for thing in things:
            thing.at = float(at)
            timers.watch(thing)
    assert len(timers) <= 200
    for thing in things:
        timers.forget(thing)
    assert len(timers) <= 64


def test_nothing_to_wait_for() -> None:
    """Without things, never."""
    assert Timers(lambda at: None).next_instant() == math.inf
