"""When too many attempts at a model fail, ask for another until it is well.

A rule counts the attempts at its model and those that failed, over a sliding window. Over the ratio, with enough of a sample: CRITICAL, and
the fallback is asked for. From then on a request now and then (one in each thirtieth of the window) still goes to the model itself; when a whole window has
passed and the share of failures in it is no longer over the ratio, the model is WELL and asked for again.

The entry this was made for: ``{model: gpt-5.3-codex-spark, fallback: gpt-5.3-codex, error-ratio: 5%, window: 10m}``.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.config import Config, MitigationRule
from dragoman.core.credentials.outcome import Kind
from dragoman.core.credentials.quota import SlidingCounter

_PROBES: Final = 30  # in a window
# What says nothing about the model: the client's own mistakes and impatience, and limits, for which there is the pool.
_NO_SAMPLE: Final = frozenset({Kind.REQUEST_FAULT, Kind.ABANDONED, Kind.RATE_LIMITED, Kind.QUOTA_SPENT})


def rules_of(config: Config) -> tuple[MitigationRule, ...]:
    """The rules of a configuration: its own, then those of alerts whose action it is to mitigate; one for each model."""
    own = tuple(
        MitigationRule(alert.subject, alert.fallback, alert.threshold, alert.window, alert.minimum_sample)
        for alert in config.alerts
        if alert.action == "mitigate"
    )
    return tuple({rule.model: rule for rule in (*reversed(own), *config.mitigations)}.values())


class MitigationState(Enum):
    """How a model is."""

    WELL = auto()  #: asked for as it is named
    CRITICAL = auto()  #: its fallback is asked for


class MitigationInput(Enum):
    """What the counts say."""

    OVER = auto()  #: the share of failures is over the ratio
    UNDER = auto()  #: a window has passed, and it is not


TRANSITIONS: Final[Mapping[tuple[MitigationState, MitigationInput], MitigationState]] = MappingProxyType({
    (MitigationState.WELL, MitigationInput.OVER): MitigationState.CRITICAL,
    (MitigationState.WELL, MitigationInput.UNDER): MitigationState.WELL,
    (MitigationState.CRITICAL, MitigationInput.OVER): MitigationState.CRITICAL,
    (MitigationState.CRITICAL, MitigationInput.UNDER): MitigationState.WELL,
})  # fmt: skip


@attrs.frozen
class Switch:
    """A rule took effect, or ended; for logs and metrics."""

    at: float
    model: str
    fallback: str
    is_critical: bool
    failed: int
    attempts: int

    def __str__(self) -> str:
        what = f"{self.failed} of {self.attempts} attempts failed"
        if self.is_critical:
            return f"{self.model}: {what}; {self.fallback} is asked for in its place"
        return f"{self.model}: {what}; it is asked for again"


class Mitigation:
    """One rule with its counts.

    Attributes:
        rule: The rule.
        state: How its model is.

    """

    def __init__(self, rule: MitigationRule) -> None:
        self.rule = rule
        self.state = MitigationState.WELL
        self._attempts = SlidingCounter(rule.window)
        self._failed = SlidingCounter(rule.window)
        self._critical_at = 0.0
        self._probed_at = 0.0

    def sample(self, kind: Kind, now: float) -> Switch | None:
        """Count an attempt at the model. Returns the switch if it made one."""
        if kind in _NO_SAMPLE:
            return None
        self._attempts.add(1, now)
        if kind is not Kind.OK:
            self._failed.add(1, now)
        return self._look(now)

    def diverts(self, now: float) -> tuple[bool, Switch | None]:
        """Whether the next request should ask for the fallback, and the switch that looking made."""
        switch = self._look(now) if self.state is MitigationState.CRITICAL else None
        if self.state is MitigationState.WELL:
            return False, switch
        if now - self._probed_at >= self.rule.window / _PROBES:
            self._probed_at = now
            return False, switch
        return True, switch

    def _look(self, now: float) -> Switch | None:
        attempts, failed = self._attempts.used(now), self._failed.used(now)
        is_over = failed > self.rule.error_ratio * attempts
        if self.state is MitigationState.WELL:
            received = (
                MitigationInput.OVER if is_over and attempts >= self.rule.minimum_sample else MitigationInput.UNDER
            )
        else:
            is_settled = now - self._critical_at >= self.rule.window and not is_over
            received = MitigationInput.UNDER if is_settled else MitigationInput.OVER
        state = TRANSITIONS[self.state, received]
        if state is self.state:
            return None
        self.state = state
        is_critical = state is MitigationState.CRITICAL
        if is_critical:
            self._critical_at = self._probed_at = now
        return Switch(now, self.rule.model, self.rule.fallback, is_critical, failed, attempts)
