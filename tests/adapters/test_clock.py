"""Time goes on, whatever somebody does to the system's clock."""

from dragoman.adapters.clock import Clock


def test_steps_of_the_wall_clock_are_not_seen() -> None:
    """Only what the monotonic clock says is added."""
    wall, monotonic = [1000.0], [5.0]
    clock = Clock(lambda: wall[0], lambda: monotonic[0])
    assert clock.now() == 1000.0
    wall[0], monotonic[0] = 10.0, 7.5
    assert clock.now() == 1002.5


def test_the_real_clock() -> None:
    """It is later than this test was written, and does not run backwards."""
    clock = Clock()
    times = [clock.now() for _ in range(100)]
    assert times[0] > 1_700_000_000
    assert times == sorted(times)
