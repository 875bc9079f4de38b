"""Alerts: a rule and a series of readings, and what is concluded from them.

Rule 1: every change of state is a row of `TRANSITIONS`. Rule 2: a rule is broken above its threshold, not at it, and only by enough of a
sample; it is well at or below `AlertRule.clear`, and a value in between changes nothing that has been told. Rule 3: an alert fires when its rule has
been broken for `hold` without a break, and is resolved when all has been well for `settle` without a break: so between two messages of
one alert there is at least the one or the other, whatever the values do. Rule 4: too small a sample is no sign of trouble: traffic that has
ended lets an alert settle.

May not live here: where readings come from (`dragoman.core.operations.signals`), who is told (adapters).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.alert_rules import SIGNALS, AlertRule

_MOST_ALERTS: Final = 10_000  # that are not inactive; subjects beyond that wait until others are well


class AlertState(Enum):
    """How an alert is."""

    INACTIVE = auto()  #: nothing is wrong
    PENDING = auto()  #: the rule is broken, not long enough yet
    FIRING = auto()  #: it has been told
    RESOLVED = auto()  #: that it is well again has been told; shown for a while


class AlertInput(Enum):
    """What a reading says to an alert."""

    OVER = auto()  #: above the threshold
    OVER_LONG = auto()  #: for as long as the rule says
    BETWEEN = auto()  #: neither
    UNDER = auto()  #: at or below where all is well, or too small a sample
    UNDER_LONG = auto()  #: for as long as it takes to believe it
    WITHDRAWN = auto()  #: the rule is gone


_S = AlertState
_I = AlertInput

TRANSITIONS: Final[Mapping[tuple[AlertState, AlertInput], AlertState]] = MappingProxyType({
    (_S.INACTIVE, _I.OVER): _S.PENDING,
    (_S.INACTIVE, _I.OVER_LONG): _S.FIRING,
    (_S.INACTIVE, _I.BETWEEN): _S.INACTIVE,
    (_S.INACTIVE, _I.UNDER): _S.INACTIVE,
    (_S.INACTIVE, _I.UNDER_LONG): _S.INACTIVE,
    (_S.INACTIVE, _I.WITHDRAWN): _S.INACTIVE,
    (_S.PENDING, _I.OVER): _S.PENDING,
    (_S.PENDING, _I.OVER_LONG): _S.FIRING,
    (_S.PENDING, _I.BETWEEN): _S.INACTIVE,
    (_S.PENDING, _I.UNDER): _S.INACTIVE,
    (_S.PENDING, _I.UNDER_LONG): _S.INACTIVE,
    (_S.PENDING, _I.WITHDRAWN): _S.INACTIVE,
    (_S.FIRING, _I.OVER): _S.FIRING,
    (_S.FIRING, _I.OVER_LONG): _S.FIRING,
    (_S.FIRING, _I.BETWEEN): _S.FIRING,
    (_S.FIRING, _I.UNDER): _S.FIRING,
    (_S.FIRING, _I.UNDER_LONG): _S.RESOLVED,
    (_S.FIRING, _I.WITHDRAWN): _S.INACTIVE,
    (_S.RESOLVED, _I.OVER): _S.PENDING,
    (_S.RESOLVED, _I.OVER_LONG): _S.FIRING,
    (_S.RESOLVED, _I.BETWEEN): _S.RESOLVED,
    (_S.RESOLVED, _I.UNDER): _S.RESOLVED,
    (_S.RESOLVED, _I.UNDER_LONG): _S.INACTIVE,
    (_S.RESOLVED, _I.WITHDRAWN): _S.INACTIVE,
})  # fmt: skip


@attrs.frozen
class Reading:
    """A value, and how many things it was taken from."""

    value: float
    sample: int


NOTHING: Final = Reading(0.0, 0)

#: What a rule's signal reads now, by subject: only those that the rule is about.
Read = Callable[[AlertRule, float], Iterable[tuple[str, Reading]]]


@attrs.frozen
class AlertChange:
    """An alert has changed its state; for logs, metrics and notifications."""

    at: float
    rule: AlertRule
    subject: str
    before: AlertState
    after: AlertState
    reading: Reading

    @property
    def is_news(self) -> bool:
        """Whether somebody is to be notified: it fires, or what fired is over."""
        return self.rule.action != "none" and AlertState.FIRING in (self.before, self.after)

    def __str__(self) -> str:
        return f"{self.rule.name} {self.after.name.lower()}: {describe(self.rule, self.subject, self.reading)}"


@attrs.frozen
class AlertView:
    """An alert as it stands; `since` is when it came into its state, epoch seconds."""

    rule: AlertRule
    subject: str
    state: AlertState
    since: float
    reading: Reading


def describe(rule: AlertRule, subject: str, reading: Reading) -> str:
    """A reading in words.

    >>> describe(AlertRule("r", "rate-limited-ratio", "provider", threshold=0.05), "acme", Reading(0.5, 40))
    'provider acme: rate-limited-ratio 50.0 % of 40 attempts in 10 minutes (threshold 5 %)'
    """
    signal = SIGNALS[rule.signal]
    who = rule.scope if not subject else f"{rule.scope} {subject}"
    if rule.signal in ("quota-exhausted", "top-providers-exhausted"):
        return f"{who}: {rule.signal} {'true' if reading.value > rule.threshold else 'false'}"
    if signal.is_ratio:
        value, threshold = f"{100 * reading.value:.1f} %", f"{100 * rule.threshold:g} %"
    else:
        value, threshold = f"{reading.value:g}", f"{rule.threshold:g}"
    return f"{who}: {rule.signal} {value} of {reading.sample} {signal.sample} in {_span(rule.window)} (threshold {threshold})"


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} seconds"


def _level(rule: AlertRule, reading: Reading) -> AlertInput:
    if reading.sample < rule.minimum_sample or reading.value <= rule.clear:
        return AlertInput.UNDER
    return AlertInput.OVER if reading.value > rule.threshold else AlertInput.BETWEEN


class Alert:
    """One rule about one subject.

    Args:
        rule: The rule.
        subject: Whom it is about.
        now: Epoch seconds.

    Attributes:
        state: How it is.
        since: Since when, epoch seconds.
        reading: The last one.

    """

    def __init__(self, rule: AlertRule, subject: str, now: float) -> None:
        self.rule = rule
        self.subject = subject
        self.state = AlertState.INACTIVE
        self.since = now
        self.reading = NOTHING
        self._level = AlertInput.UNDER
        self._level_since = now

    def read(self, reading: Reading, now: float) -> AlertChange | None:
        """Take a reading. Returns the change it made, if any."""
        level = _level(self.rule, reading)
        if level is not self._level:
            self._level, self._level_since = level, now
        if level is AlertInput.OVER and now - self._level_since >= self.rule.hold:
            level = AlertInput.OVER_LONG
        elif level is AlertInput.UNDER and now - max(self._level_since, self.since) >= self._patience():
            level = AlertInput.UNDER_LONG  # what was well before it came into this state does not count
        self.reading = reading
        return self.receive(level, now)

    def _patience(self) -> float:
        return self.rule.window if self.state is AlertState.RESOLVED else self.rule.settle

    def receive(self, received: AlertInput, now: float) -> AlertChange | None:
        """Change the state, if the table says so."""
        before, after = self.state, TRANSITIONS[self.state, received]
        if after is before:
            return None
        self.state, self.since = after, now
        return AlertChange(now, self.rule, self.subject, before, after, self.reading)


class Alerts:
    """The alerts of a gateway; those that are inactive take no memory.

    Args:
        rules: The rules that are on; their names are unique.

    """

    def __init__(self, rules: Sequence[AlertRule] = ()) -> None:
        self._rules = tuple(rules)
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._turn = -1

    def configure(self, rules: Sequence[AlertRule], now: float) -> list[AlertChange]:
        """Take other rules. Alerts of rules that stay as they are go on; the others end."""
        self._rules = tuple(rules)
        kept = {rule.name: rule for rule in rules}
        gone = [key for key, alert in self._alerts.items() if kept.get(alert.rule.name) != alert.rule]
        changes = [self._alerts.pop(key).receive(AlertInput.WITHDRAWN, now) for key in gone]
        return [change for change in changes if change is not None]

    def look(self, read: Read, now: float) -> list[AlertChange]:
        """Read every rule's signal, and conclude."""
        return [change for rule in self._rules for change in self._look_at(rule, read, now)]

    def look_at_next(self, read: Read, now: float) -> list[AlertChange]:
        """Do so for one rule, each in its turn: there may be many subjects, and nobody else is served meanwhile."""
        if not self._rules:
            return []
        self._turn = (self._turn + 1) % len(self._rules)
        return self._look_at(self._rules[self._turn], read, now)

    def _look_at(self, rule: AlertRule, read: Read, now: float) -> list[AlertChange]:
        readings = dict(read(rule, now))
        for name, subject in self._alerts:
            if name == rule.name and subject not in readings:
                readings[subject] = NOTHING
        return [change for subject, reading in readings.items() for change in self._take(rule, subject, reading, now)]

    def _take(self, rule: AlertRule, subject: str, reading: Reading, now: float) -> list[AlertChange]:
        key = rule.name, subject
        alert = self._alerts.get(key) or Alert(rule, subject, now)
        change = alert.read(reading, now)
        if alert.state is AlertState.INACTIVE:
            self._alerts.pop(key, None)
        elif key in self._alerts or len(self._alerts) < _MOST_ALERTS:
            self._alerts[key] = alert
        else:
            return []
        return [] if change is None else [change]

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """The rules that are on."""
        return self._rules

    def views(self) -> list[AlertView]:
        """Every alert that is not inactive, the firing ones first, then by age."""
        order = {AlertState.FIRING: 0, AlertState.PENDING: 1, AlertState.RESOLVED: 2}
        alerts = sorted(self._alerts.values(), key=lambda alert: (order[alert.state], alert.since))
        return [AlertView(a.rule, a.subject, a.state, a.since, a.reading) for a in alerts]
