"""Signals read what was counted; each of the runbook's rules from the requests that break it to the alert."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.alert_rules import DEFAULT_RULES, SIGNALS, AlertRule
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import QuotaRule
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.pool import MemberRule, Pool
from dragoman.core.operations import signals as module
from dragoman.core.operations.alerts import Alerts, AlertState, Reading
from dragoman.core.operations.canary_tally import CanaryTally, Verdict
from dragoman.core.operations.metrics import Metrics
from dragoman.core.operations.signals import Signals
from tests.core.operations.journals import attempt, journal

NOW = 100_000.0
RULES = {rule.name: rule for rule in DEFAULT_RULES}


class Scene:
    """A gateway's counts and credentials, and what its alerts say."""

    def __init__(self, *members: MemberRule) -> None:
        self.metrics = Metrics(NOW)
        self.pool = Pool()
        self.pool.configure(members, NOW)
        self.canaries = CanaryTally()
        self.signals = Signals(self.metrics, self.pool, self.canaries)

    def asked(self, provider: str, model: str, statuses: list[int], now: float = NOW) -> None:
        for status in statuses:
            outcome = "ok" if status == 200 else "status"
            one = attempt(provider=provider, status=status, outcome=outcome, ended_at=now)
            fault = "" if status == 200 else "provider"
            self.metrics.record(journal(one, model=model, status=status, fault=fault, ended_at=now))

    def exhaust(self, identity: str, until: float = NOW + 10_000) -> None:
        standing = self.pool.members[identity].standing
        standing.state, standing.resumes_at = CredentialState.EXHAUSTED, until

    def firing(self, seconds: float = 600.0) -> set[str]:
        """Rules of the defaults that fire while nothing more happens."""
        alerts = Alerts(DEFAULT_RULES)
        found: set[str] = set()
        for step in range(int(seconds / 30) + 1):
            changes = alerts.look(self.signals.read, NOW + 30 * step)
            found |= {change.rule.name for change in changes if change.after is AlertState.FIRING}
        return found


def test_every_signal_reads() -> None:
    scene = Scene(MemberRule("i", "acme", "one"))
    scene.asked("acme", "m", [200])
    scene.canaries.record("c", Verdict(), NOW)
    for name, signal in SIGNALS.items():
        for scope in signal.scopes:
            rule = AlertRule("r", name, scope, threshold=0.1)
            assert all(reading.value == 0 for _, reading in scene.signals.read(rule, NOW)), (name, scope)


@pytest.mark.parametrize(
    ("provider", "model", "good", "status", "bad", "expected"),
    [
        ("acme", "m", 95, 429, 5, set()),
        ("acme", "m", 94, 429, 6, {"rate-limited"}),
        ("acme", "m", 90, 429, 10, {"rate-limited"}),
        ("acme", "m", 89, 429, 11, {"rate-limited", "rate-limited-critical"}),
        ("acme", "m", 0, 429, 19, set()),
        ("iflow", "m", 95, 500, 5, set()),
        ("iflow", "m", 94, 500, 6, {"iflow-errors"}),
        ("acme", "m", 0, 500, 100, set()),
        ("codex", "gpt-5.3-codex-spark", 98, 404, 2, set()),
        ("codex", "gpt-5.3-codex-spark", 97, 404, 3, {"spark-errors"}),
        ("codex", "gpt-5.3-codex-spark", 95, 400, 5, {"spark-errors"}),
        ("codex", "gpt-5.3-codex-spark", 94, 400, 6, {"spark-errors", "spark-errors-critical"}),
        ("codex", "gpt-5.3-codex", 0, 404, 100, set()),
    ],
)
def test_ratios_of_the_runbook(provider: str, model: str, good: int, status: int, bad: int, expected: set[str]) -> None:
    scene = Scene()
    scene.asked(provider, model, [200] * good + [status] * bad)
    assert scene.firing(300.0) == expected


@pytest.mark.parametrize(
    ("status", "count", "fires"), [(401, 10, False), (401, 11, True), (403, 11, True), (429, 11, True)]
)
def test_a_sustained_burst_of_refusals(status: int, count: int, fires: bool) -> None:
    """More than ten in a minute, for two minutes."""
    scene = Scene()
    alerts = Alerts([RULES["refusal-burst"]])
    changes = []
    for second in range(0, 240, 5):
        now = NOW + second
        if second % 60 == 0:
            scene.asked("acme", "m", [status] * count, now)
        changes += alerts.look(scene.signals.read, now)
    assert any(change.after is AlertState.FIRING for change in changes) == fires


# --- quotas ---


def test_an_exhausted_credential_is_told_at_once_and_resolved_when_its_quota_is_back() -> None:
    scene = Scene(MemberRule("a", "acme", "one"), MemberRule("b", "acme", "two"))
    alerts = Alerts([RULES["quota-exhausted"]])
    assert alerts.look(scene.signals.read, NOW) == []
    scene.exhaust("a", NOW + 100)
    assert [(c.subject, c.after) for c in alerts.look(scene.signals.read, NOW + 1)] == [("acme/one", AlertState.FIRING)]
    assert alerts.look(scene.signals.read, NOW + 100) == []
    assert [c.after for c in alerts.look(scene.signals.read, NOW + 160)] == [AlertState.RESOLVED]


def test_an_allowance_that_is_counted_here() -> None:
    rule = QuotaRule(3600.0, "fixed", 1, None)
    scene = Scene(
        MemberRule("a", "acme", "one", quotas=(rule,)), MemberRule("b", "acme", "off", quotas=(rule,), disabled=True)
    )
    assert list(scene.signals.read(RULES["quota-exhausted"], NOW)) == []
    for identity in "ab":
        scene.pool.members[identity].quota.picked(NOW)
    assert list(scene.signals.read(RULES["quota-exhausted"], NOW + 1)) == [("acme/one", Reading(1.0, 1))]
    assert list(scene.signals.read(attrs.evolve(RULES["quota-exhausted"], subject="other/*"), NOW + 1)) == []


@pytest.mark.parametrize(
    ("exhausted", "expected"),
    [("abc", 1.0), ("ab", 0.0), ("a", 0.0), ("abd", 0.0), ("abcd", 1.0)],
)
def test_the_top_two_providers(exhausted: str, expected: float) -> None:
    """`one` (a, b) and `two` (c) are asked more than `three` (d); a credential that is switched off counts for nobody."""
    scene = Scene(
        MemberRule("a", "one", "a"), MemberRule("b", "one", "b"), MemberRule("c", "two", "c"), MemberRule("d", "three", "d"),
        MemberRule("e", "one", "e", disabled=True),
    )  # fmt: skip
    for provider, count in (("three", 1), ("one", 3), ("two", 2), ("gone", 1)):
        scene.asked(provider, "m", [200] * count)
    for identity in exhausted:
        scene.exhaust(identity)
    rule = RULES["top-providers-exhausted"]
    assert list(scene.signals.read(rule, NOW)) == [("", Reading(expected, 2))]
    assert ("top-providers-exhausted" in scene.firing(270.0)) is False  # not steadily
    assert ("top-providers-exhausted" in scene.firing(300.0)) is (expected == 1.0)


def test_without_traffic_there_are_no_top_providers() -> None:
    scene = Scene(MemberRule("a", "one", "a"))
    scene.exhaust("a")
    assert list(scene.signals.read(RULES["top-providers-exhausted"], NOW)) == [("", Reading(0.0, 0))]


def test_what_was_summed_up_is_taken_again_within_a_second() -> None:
    scene = Scene()
    rule = RULES["rate-limited"]
    scene.asked("acme", "m", [429])
    assert list(scene.signals.read(rule, NOW)) == [("acme", Reading(1.0, 1))]
    scene.asked("acme", "m", [429])
    assert list(scene.signals.read(rule, NOW + 0.9)) == [("acme", Reading(1.0, 1))]
    assert list(scene.signals.read(rule, NOW + 1.0)) == [("acme", Reading(1.0, 2))]


# --- reasoning ---


@pytest.mark.parametrize(
    ("kept", "changed", "expected"),
    [
        (98, 2, set()),
        (97, 3, {"thinking-mismatch"}),
        (94, 6, {"thinking-mismatch", "thinking-mismatch-critical"}),
        (0, 19, set()),
    ],
)
def test_another_mode_than_was_asked_for(kept: int, changed: int, expected: set[str]) -> None:
    scene = Scene()
    high, low = Thinking("level", level="high"), Thinking("level", level="low")
    for applied in [high] * kept + [low] * changed:
        scene.metrics.record(
            journal(attempt(ended_at=NOW), ended_at=NOW, thinking_asked=high, thinking_applied=applied)
        )
    assert scene.firing(300.0) == expected


def reasoned(scene: Scene, tokens: int, now: float, count: int = 20) -> None:
    for _ in range(count):
        usage = TokenUsage(10, tokens, reasoning=tokens)
        scene.metrics.record(journal(attempt(ended_at=now), ended_at=now, usage=usage, model="m"))


@pytest.mark.parametrize(
    ("before", "after", "grown"), [(100, 124, False), (100, 160, True), (100, 50, False), (0, 50, True), (0, 1, False)]
)
def test_growth_of_reasoning(before: int, after: int, grown: bool) -> None:
    scene = Scene()
    alerts = Alerts([RULES["reasoning-growth"]])
    changes = []
    for minute in range(120):
        now = NOW + 60 * minute
        reasoned(scene, before if minute < 60 else after, now)
        changes += alerts.look(scene.signals.read, now)
    assert any(change.after is AlertState.FIRING for change in changes) == grown


def test_a_lasting_growth_is_the_new_measure() -> None:
    """Within a day at most."""
    scene = Scene()
    rule = RULES["reasoning-growth"]
    values = []
    for hour in range(49):
        now = NOW + 3600 * hour
        reasoned(scene, 100 if hour < 24 else 200, now)
        values.append(next(iter(scene.signals.read(rule, now)))[1].value)
    assert values[23] == pytest.approx(0.0)
    assert values[24] == pytest.approx(1.0)
    assert values[48] < 0.05


def test_too_few_answers_make_no_baseline_and_baselines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BASELINES", 1)
    scene = Scene()
    rule = RULES["reasoning-growth"]
    reasoned(scene, 100, NOW, 19)
    assert list(scene.signals.read(rule, NOW)) == [("m", Reading(0.0, 19))]
    reasoned(scene, 100, NOW, 1)
    assert list(scene.signals.read(rule, NOW + 1)) == [("m", Reading(0.0, 20))]
    reasoned(scene, 300, NOW, 20)
    assert next(iter(scene.signals.read(rule, NOW + 2)))[1].value == pytest.approx(1.0)
    other = attrs.evolve(rule, name="other")
    assert next(iter(scene.signals.read(other, NOW + 2)))[1].value == 0.0  # its own baseline, in the place of the first
    assert next(iter(scene.signals.read(rule, NOW + 3)))[1].value == 0.0


# --- canaries ---


@pytest.mark.parametrize(
    ("good", "statuses", "expected"),
    [
        (8, [502, 502], set()),
        (7, [502, 502, 502], {"canary-failures"}),
        (0, [502, 502], set()),
        (9, [400], set()),
        (8, [400, 404], {"canary-refused"}),
        (8, [401, 429], set()),
    ],
)
def test_canaries(good: int, statuses: list[int], expected: set[str]) -> None:
    scene = Scene()
    for status in [200] * good + statuses:
        scene.canaries.record("c", Verdict("" if status == 200 else "no", status), NOW)
    assert scene.firing(60.0) == expected


def test_canaries_that_have_not_run_for_long_say_nothing() -> None:
    scene = Scene()
    scene.canaries.record("c", Verdict("no", 500), NOW - 9000)
    assert list(scene.signals.read(RULES["canary-failures"], NOW)) == [("c", Reading(0.0, 0))]


@given(st.lists(st.sampled_from([200, 429, 401, 404, 500]), max_size=60))
def test_a_ratio_is_a_share(statuses: list[int]) -> None:
    scene = Scene()
    scene.asked("acme", "m", statuses)
    for signal in ("error-ratio", "rate-limited-ratio", "usage-missing-ratio"):
        for _, reading in scene.signals.read(AlertRule("r", signal, "provider"), NOW):
            assert 0.0 <= reading.value <= 1.0
            assert 0 <= reading.sample <= len(statuses)
