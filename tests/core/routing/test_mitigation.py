"""A model that fails too often is avoided, and asked for again when it is well."""

import itertools

import pytest

from dragoman.core.config import Config, MitigationRule
from dragoman.core.credentials.outcome import Kind
from dragoman.core.routing.mitigation import TRANSITIONS, Mitigation, MitigationInput, MitigationState, rules_of

RULE = MitigationRule("gpt-5.3-codex-spark", "gpt-5.3-codex")


def failing(count: int = 2, good: int = 18) -> Mitigation:
    made = Mitigation(RULE)
    for i in range(good + count):
        made.sample(Kind.OK if i < good else Kind.FAILED, 1000.0)
    return made


def test_every_state_and_input() -> None:
    assert set(TRANSITIONS) == set(itertools.product(MitigationState, MitigationInput))


@pytest.mark.parametrize(
    ("good", "failed", "critical"),
    [(18, 1, False), (19, 1, False), (18, 2, True), (0, 19, False), (0, 20, True), (95, 5, False)],
)
def test_when_it_is_critical(good: int, failed: int, critical: bool) -> None:
    """Over 5 % of at least 20 attempts in 10 minutes."""
    assert (failing(failed, good).state is MitigationState.CRITICAL) == critical


def test_what_is_no_sample() -> None:
    """A client's mistakes, and limits, say nothing about the model."""
    made = Mitigation(RULE)
    for kind in (Kind.REQUEST_FAULT, Kind.ABANDONED, Kind.RATE_LIMITED, Kind.QUOTA_SPENT):
        for _ in range(50):
            assert made.sample(kind, 1000.0) is None
    assert made.state is MitigationState.WELL


def test_probes_and_recovery() -> None:
    """One request in 20 s goes to the model itself; after a window without too many failures, all do."""
    made = failing()
    assert made.diverts(1000.0) == (True, None)
    assert [made.diverts(1000.0 + second)[0] for second in range(1, 41)].count(False) == 2
    made.sample(Kind.FAILED, 1100.0)
    assert made.diverts(1600.0)[0] is False  # a probe
    assert made.diverts(1601.0)[0] is True  # the failure of 1100 still counts
    diverted, switch = made.diverts(1711.0)
    assert diverted is False
    assert switch is not None
    assert not switch.is_critical
    assert str(switch) == "gpt-5.3-codex-spark: 0 of 0 attempts failed; it is asked for again"
    assert made.diverts(1711.0) == (False, None)


def test_it_says_so() -> None:
    made = Mitigation(RULE)
    switches = [made.sample(Kind.MODEL_UNSUPPORTED, 1000.0) for _ in range(25)]
    said = [str(switch) for switch in switches if switch is not None]
    assert said == ["gpt-5.3-codex-spark: 20 of 20 attempts failed; gpt-5.3-codex is asked for in its place"]


def test_alerts_that_mitigate_are_rules_of_ours() -> None:
    """The runbook's default; what a configuration says of the same model counts before it."""
    spark = MitigationRule("gpt-5.3-codex-spark", "gpt-5.3-codex", 0.05, 600.0, 20)
    assert rules_of(Config()) == (spark,)
    assert rules_of(Config(alerts=())) == ()
    own = MitigationRule("gpt-5.3-codex-spark", "mini")
    assert rules_of(Config(mitigations=(own,))) == (own,)
