"""Each law of a gateway, held in worlds with faults and in one without."""

import pytest

from dragoman.adapters.simulation.faults import FAULTS
from dragoman.adapters.simulation.laws import LAWS
from dragoman.adapters.simulation.scenario import make_scenario
from dragoman.adapters.simulation.world import Result, World

SEEDS = (7, 23, 25)
#: How much worse than usual a small world is, so that everything happens in it.
WORSE = 3.0


@pytest.fixture(scope="module")
def faulty() -> list[Result]:
    """Worlds in which everything goes wrong."""
    worse = {name: share * (WORSE if name not in ("rate-limits", "spent") else 1.0) for name, share in FAULTS.items()}
    return [World(make_scenario(seed, exchanges=1500, faults=worse)).run() for seed in SEEDS]


@pytest.fixture(scope="module")
def calm() -> Result:
    """A world in which nothing does."""
    return World(make_scenario(31, exchanges=600, faults={})).run()


@pytest.mark.parametrize("law", [law for law in LAWS if law != "fair"])
def test_law(law: str, faulty: list[Result]) -> None:
    """The law named here was looked at, and kept."""
    assert sum(result.checked.get(law, 0) for result in faulty) > 0
    assert [found for result in faulty for found in result.violations if found.law == law] == []


def test_equal_credentials_have_equal_shares(calm: Result) -> None:
    assert calm.checked["fair"] == 3
    assert calm.violations == ()
    assert set(calm.statuses) == {200}
    assert calm.faults == {}


def test_every_fault_happens(faulty: list[Result]) -> None:
    """What is not simulated proves nothing."""
    happened = {fault for result in faulty for fault in result.faults}
    assert set(FAULTS) - happened <= {"silent", "stalled", "spent"}  # the rare ones


def test_answers_and_failures_are_told(faulty: list[Result]) -> None:
    """Nothing is lost: each exchange has a status, or its client left."""
    for result in faulty:
        assert sum(result.statuses.values()) == result.exchanges >= 1500
        assert sum(result.outcomes.values()) == result.attempts
        assert result.broken == 0
