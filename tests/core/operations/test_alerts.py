"""An alert fires above its threshold, is resolved when all is well, and does not flap: in virtual time."""

import itertools
from collections.abc import Mapping
from types import MappingProxyType

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.alert_rules import DEFAULT_RULES, SIGNALS, AlertRule
from dragoman.core.operations import alerts as room
from dragoman.core.operations.alerts import (
    NOTHING,
    TRANSITIONS,
    Alert,
    AlertChange,
    AlertInput,
    Alerts,
    AlertState,
    Reading,
)

RULE = AlertRule("limited", "rate-limited-ratio", "provider", threshold=0.05, hold=60.0, settle=120.0)
OVER, AT, NEAR, CLEAR, LOW = (Reading(v, 100) for v in (0.051, 0.05, 0.045, 0.04, 0.0))
FEW = Reading(1.0, 19)
_S = AlertState


def alerts_of(*rules: AlertRule) -> Alerts:
    return Alerts(rules)


def look(made: Alerts, now: float, said: Mapping[str, Reading] = MappingProxyType({})) -> list[AlertChange]:
    return made.look(lambda rule, _: said.items(), now)


def test_every_state_and_input() -> None:
    assert set(TRANSITIONS) == set(itertools.product(AlertState, AlertInput))


@pytest.mark.parametrize("state", AlertState)
def test_a_rule_that_is_gone_ends_whatever_there_is(state: AlertState) -> None:
    assert TRANSITIONS[state, AlertInput.WITHDRAWN] is _S.INACTIVE


@pytest.mark.parametrize("rule", DEFAULT_RULES, ids=lambda rule: rule.name)
def test_each_default_fires_above_its_threshold_and_not_at_it(rule: AlertRule) -> None:
    """Nor with one less than its sample; nor before its time; and it is resolved when all is well."""
    at, above = Reading(rule.threshold, 1000), Reading(rule.threshold + 1e-6, rule.minimum_sample)
    few = attrs.evolve(above, sample=rule.minimum_sample - 1)
    for reading in (at, few):
        made = alerts_of(rule)
        assert [c for now in range(0, 4000, 5) for c in look(made, float(now), {"x": reading})] == []
    made = alerts_of(rule)
    changes = [c for now in range(0, 4000, 5) for c in look(made, float(now), {"x": above})]
    fired = [change for change in changes if change.after is _S.FIRING]
    assert [change.at for change in fired] == [rule.hold]
    assert [view.state for view in made.views()] == [_S.FIRING]
    well = [c for now in range(4000, 9000, 5) for c in look(made, float(now), {"x": Reading(rule.clear, 1000)})]
    assert [(c.after, c.at) for c in well] == [
        (_S.RESOLVED, 4000 + rule.settle),
        (_S.INACTIVE, 4000 + rule.settle + rule.window),
    ]
    assert made.views() == []


def test_the_defaults_are_the_runbooks() -> None:
    said = {
        rule.name: (rule.signal, rule.subject, rule.threshold, rule.window, rule.severity) for rule in DEFAULT_RULES
    }
    assert len(said) == len(DEFAULT_RULES)
    assert said["rate-limited"] == ("rate-limited-ratio", "*", 0.05, 600.0, "warning")
    assert said["rate-limited-critical"] == ("rate-limited-ratio", "*", 0.10, 600.0, "critical")
    assert said["iflow-errors"] == ("error-ratio", "iflow", 0.05, 600.0, "warning")
    assert said["spark-errors"] == ("error-ratio", "gpt-5.3-codex-spark", 0.02, 600.0, "warning")
    assert said["spark-errors-critical"] == ("error-ratio", "gpt-5.3-codex-spark", 0.05, 600.0, "critical")
    assert said["thinking-mismatch"] == ("thinking-mismatch-ratio", "*", 0.02, 600.0, "warning")
    assert said["thinking-mismatch-critical"] == ("thinking-mismatch-ratio", "*", 0.05, 600.0, "critical")
    assert said["reasoning-growth"] == ("reasoning-growth", "*", 0.25, 600.0, "warning")
    assert all(rule.scope in SIGNALS[rule.signal].scopes for rule in DEFAULT_RULES)


def test_its_way() -> None:
    """Broken for a minute, told; near the threshold is neither the one nor the other; well for two minutes, told."""
    made = Alert(RULE, "acme", 0.0)
    said = [(0, OVER), (59, OVER), (60, NEAR), (61, OVER), (120, OVER), (121, OVER)]
    states = [(made.read(reading, float(now)), made.state)[1] for now, reading in said]
    assert states == [_S.PENDING, _S.PENDING, _S.INACTIVE, _S.PENDING, _S.PENDING, _S.FIRING]
    said = [(130, AT), (200, CLEAR), (310, NEAR), (311, LOW), (430, FEW), (431, LOW)]
    states = [(made.read(reading, float(now)), made.state)[1] for now, reading in said]
    assert states == [_S.FIRING] * 5 + [_S.RESOLVED]
    said = [
        (440, NEAR),
        (450, OVER),
        (460, LOW),
        (461, OVER),
        (521, OVER),
        (700, LOW),
        (820, LOW),
        (1419, LOW),
        (1420, LOW),
    ]
    states = [(made.read(reading, float(now)), made.state)[1] for now, reading in said]
    assert states == [
        _S.RESOLVED, _S.PENDING, _S.INACTIVE, _S.PENDING, _S.FIRING, _S.FIRING, _S.RESOLVED, _S.RESOLVED, _S.INACTIVE,
    ]  # fmt: skip


def test_without_a_hold_it_fires_at_once_also_when_it_was_resolved() -> None:
    made = Alert(attrs.evolve(RULE, hold=0.0, settle=0.0), "acme", 0.0)
    states = [(made.read(r, float(i)), made.state)[1] for i, r in enumerate([OVER, LOW, OVER])]
    assert states == [_S.FIRING, _S.RESOLVED, _S.FIRING]


STEPS = st.lists(
    st.tuples(st.floats(0.0, 90.0), st.sampled_from([OVER, AT, NEAR, CLEAR, LOW, FEW, NOTHING])), max_size=60
)


@given(STEPS)
def test_it_does_not_flap(steps: list[tuple[float, Reading]]) -> None:
    """Each firing has a whole `hold` above the threshold behind it, each end a whole `settle` of what is well."""
    made = Alert(RULE, "acme", 0.0)
    now, history = 0.0, list[tuple[float, Reading]]()
    for pause, reading in steps:
        now += pause
        history.append((now, reading))
        change = made.read(reading, now)
        if change is None:
            continue
        assert change.before is not change.after
        if change.after is _S.FIRING:
            assert (
                _stretch(history, lambda r: r.value > RULE.threshold and r.sample >= RULE.minimum_sample) >= RULE.hold
            )
        if change.after is _S.RESOLVED:
            assert change.before is _S.FIRING
            assert _stretch(history, lambda r: r.value <= RULE.clear or r.sample < RULE.minimum_sample) >= RULE.settle


def _stretch(history: list[tuple[float, Reading]], holds: object) -> float:
    assert callable(holds)
    last = list(itertools.takewhile(lambda entry: holds(entry[1]), reversed(history)))
    return last[0][0] - last[-1][0] if last else -1.0


@given(st.lists(st.floats(0.0, 0.05), max_size=50))
def test_it_never_fires_at_or_below_its_threshold(values: list[float]) -> None:
    made = alerts_of(attrs.evolve(RULE, hold=0.0))
    assert [c for i, v in enumerate(values) for c in look(made, float(i), {"a": Reading(v, 100)})] == []


@given(st.lists(st.floats(0.0400001, 1.0), max_size=50))
def test_what_fires_goes_on_until_all_is_well(values: list[float]) -> None:
    made = Alert(attrs.evolve(RULE, hold=0.0, settle=0.0), "a", 0.0)
    made.read(OVER, 0.0)
    assert all(made.read(Reading(v, 100), 1.0 + i) is None for i, v in enumerate(values))
    assert made.state is _S.FIRING


# --- all of them ---


def test_each_subject_is_judged_alone_and_one_that_vanishes_settles() -> None:
    made = alerts_of(attrs.evolve(RULE, hold=0.0))
    assert [c.subject for c in look(made, 0.0, {"a": OVER, "b": LOW, "c": OVER})] == ["a", "c"]
    assert look(made, 100.0, {"c": OVER}) == []
    assert [(c.subject, c.after) for c in look(made, 220.0, {"c": OVER})] == [("a", _S.RESOLVED)]
    assert [(view.subject, view.state, view.since) for view in made.views()] == [
        ("c", _S.FIRING, 0.0),
        ("a", _S.RESOLVED, 220.0),
    ]
    assert [c.after for c in look(made, 1000.0)] == [_S.INACTIVE]


def test_other_rules() -> None:
    """What stays as it is goes on; what fires and is gone is told."""
    one, two, three = (attrs.evolve(RULE, name=name, hold=0.0) for name in ("one", "two", "three"))
    made = alerts_of(one, two, three)
    look(made, 0.0, {"a": OVER})
    changes = made.configure([one, attrs.evolve(two, threshold=0.5)], 5.0)
    assert [(c.rule.name, c.before, c.after, c.is_news) for c in changes] == [
        ("two", _S.FIRING, _S.INACTIVE, True),
        ("three", _S.FIRING, _S.INACTIVE, True),
    ]
    assert [view.rule for view in made.views()] == [one]
    assert [rule.name for rule in made.rules] == ["one", "two"]


def test_one_rule_after_the_other() -> None:
    one, two = (attrs.evolve(RULE, name=name, hold=0.0) for name in ("one", "two"))
    made = alerts_of(one, two)
    turns = [made.look_at_next(lambda rule, _: [("a", OVER)], float(now)) for now in range(4)]
    assert [[change.rule.name for change in turn] for turn in turns] == [["one"], ["two"], [], []]
    made.configure([], 5.0)
    assert made.look_at_next(lambda rule, _: [("a", OVER)], 6.0) == []


def test_what_is_news() -> None:
    made = alerts_of(RULE, attrs.evolve(RULE, name="quiet", action="none"))
    changes = [c for now in range(0, 1000, 60) for c in look(made, float(now), {"a": OVER if now < 300 else LOW})]
    assert [(c.rule.name, c.after.name) for c in changes if c.is_news] == [
        ("limited", "FIRING"),
        ("limited", "RESOLVED"),
    ]
    assert len(changes) == 6


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_MOST_ALERTS", 2)
    made = alerts_of(attrs.evolve(RULE, hold=0.0))
    assert len(look(made, 0.0, dict.fromkeys("abc", OVER))) == 2
    assert len(made.views()) == 2


def test_in_words() -> None:
    change = Alert(RULE, "acme", 0.0).read(Reading(0.5, 40), 0.0)
    assert (
        str(change)
        == "limited pending: provider acme: rate-limited-ratio 50.0 % of 40 attempts in 10 minutes (threshold 5 %)"
    )
    burst = attrs.evolve(RULE, signal="refused-count", threshold=10.0, window=60.0)
    assert room.describe(burst, "acme", Reading(12, 13)).endswith(
        "refused-count 12 of 13 attempts in 60 seconds (threshold 10)"
    )
    spent = AlertRule("spent", "top-providers-exhausted", "global")
    assert room.describe(spent, "", Reading(1.0, 2)) == "global: top-providers-exhausted true"
    assert room.describe(spent, "", NOTHING) == "global: top-providers-exhausted false"
