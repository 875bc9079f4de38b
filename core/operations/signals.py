"""What an alert rule's signal reads: from the counts of requests, from the pool of credentials, from canaries.

`reasoning-growth` is measured against a baseline: a mean of the model's (or provider's) own, of tokens of reasoning per answer that counted tokens. It
begins with the first window that holds a rule's `minimum_sample`, follows what comes with a time constant of six hours, and is forgotten by a restart.
So a growth within minutes stands out, and one that lasts is the new measure after some hours.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.alert_rules import AlertRule
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.lane import Member
from dragoman.core.credentials.pool import Pool
from dragoman.core.operations.alerts import Reading
from dragoman.core.operations.canary_tally import CanaryTally
from dragoman.core.operations.metrics import Counts, Metrics
from dragoman.core.wildcards import compile_wildcards

_BASELINE: Final = 6 * 3600.0  # seconds
_RANKED_OVER: Final = 3600.0  # whoever is exhausted is asked no more, and is a top provider all the same
_TOP: Final = 2
_FRESH: Final = 1.0  # seconds for which what was summed up is taken again

Readings = Iterable[tuple[str, Reading]]


@attrs.define
class _Baseline:
    value: float
    at: float


class Signals:
    """Reads signals.

    Args:
        metrics: The counts of requests.
        pool: The credentials.
        canaries: The counts of canaries.

    """

    def __init__(self, metrics: Metrics, pool: Pool, canaries: CanaryTally) -> None:
        self._metrics = metrics
        self._pool = pool
        self._canaries = canaries
        self._baselines: dict[tuple[str, str], _Baseline] = {}
        self._now = -math.inf
        self._counted: dict[tuple[str, str, float], Counts] = {}
        self._exhausted: dict[str, bool] | None = None

    def read(self, rule: AlertRule, now: float) -> Readings:
        """The readings of a rule's signal, by subject."""
        if not 0.0 <= now - self._now < _FRESH:  # several rules look at the same
            self._now = now
            self._counted.clear()
            self._exhausted = None
        if rule.signal == "top-providers-exhausted":
            return [("", self._top_providers(now))]
        pattern = compile_wildcards([rule.subject])
        assert pattern is not None  # for there is one
        if rule.signal == "quota-exhausted":
            everybody: Readings = (
                (_name(m), Reading(1.0, 1)) for m in self._pool.members.values() if _is_exhausted(m, now)
            )
        elif rule.scope == "canary":
            everybody = self._of_canaries(rule, now)
        else:
            everybody = self._of_traffic(rule, lambda name: pattern.fullmatch(name) is not None, now)
        return [(name, reading) for name, reading in everybody if pattern.fullmatch(name)]

    # --- traffic ---

    def _of_traffic(self, rule: AlertRule, is_meant: Callable[[str], bool], now: float) -> Readings:
        for name, count in self._subjects(rule.scope):
            if is_meant(name):
                counts = self._counts(rule, name, count, now)
                yield (
                    name,
                    self._growth(rule, name, counts, now)
                    if rule.signal == "reasoning-growth"
                    else _OF[rule.signal](counts),
                )

    def _subjects(self, scope: str) -> Iterable[tuple[str, Callable[[float, float], Counts]]]:
        metrics = self._metrics
        if scope == "provider":
            return [(name, partial(metrics.of_provider, name)) for name in metrics.providers()]
        if scope == "model":
            return [(name, partial(metrics.of_model, name)) for name in metrics.models()]
        members = self._pool.members.values()
        return [(_name(member), partial(metrics.of_credential, member.provider, member.label)) for member in members]

    def _counts(self, rule: AlertRule, name: str, count: Callable[[float, float], Counts], now: float) -> Counts:
        key = rule.scope, name, rule.window
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = count(rule.window, now)
        return found

    def _growth(self, rule: AlertRule, name: str, counts: Counts, now: float) -> Reading:
        answers = counts.successes - counts.usage_missing
        if answers < rule.minimum_sample:
            return Reading(0.0, answers)
        mean = counts.reasoning_tokens / answers
        known = self._baselines.get((rule.name, name))
        if known is None:
            if len(self._baselines) >= _MOST_BASELINES:
                self._baselines.pop(next(iter(self._baselines)))
            known = self._baselines[rule.name, name] = _Baseline(mean, now)
        growth = mean / max(known.value, 1.0) - 1.0
        known.value += (mean - known.value) * -math.expm1(-(now - known.at) / _BASELINE)
        known.at = now
        return Reading(max(0.0, growth), answers)

    # --- the rest ---

    def _top_providers(self, now: float) -> Reading:
        asked = [
            (self._metrics.of_provider(name, _RANKED_OVER, now).attempts, name) for name in self._metrics.providers()
        ]
        top = [name for attempts, name in sorted(asked, key=lambda pair: -pair[0]) if attempts][:_TOP]
        are_exhausted = self._providers_exhausted(now)
        return Reading(float(bool(top) and all(are_exhausted.get(name, False) for name in top)), len(top))

    def _providers_exhausted(self, now: float) -> Mapping[str, bool]:
        """By provider: whether all credentials that are not switched off are exhausted."""
        if self._exhausted is None:
            self._exhausted = {}
            for member in self._pool.members.values():
                if member.standing.state is not CredentialState.DISABLED:
                    before = self._exhausted.get(member.provider, True)
                    self._exhausted[member.provider] = before and _is_exhausted(member, now)
        return self._exhausted

    def _of_canaries(self, rule: AlertRule, now: float) -> Readings:
        for name in self._canaries.names():
            counts = self._canaries.last(name, rule.window, now)
            if rule.signal == "canary-refused-count":
                yield name, Reading(counts.refused, counts.runs)
            else:
                yield name, Reading(counts.failed / counts.runs if counts.runs else 0.0, counts.runs)


_MOST_BASELINES: Final = 2000

_OF: Final[Mapping[str, Callable[[Counts], Reading]]] = MappingProxyType({
    "error-ratio": lambda c: Reading(c.error_ratio, c.attempts - c.abandoned),
    "rate-limited-ratio": lambda c: Reading(c.limited_ratio, c.attempts - c.abandoned),
    "refused-count": lambda c: Reading(c.limited + c.refused, c.attempts - c.abandoned),
    "usage-missing-ratio": lambda c: Reading(c.usage_missing_ratio, c.successes),
    "thinking-mismatch-ratio": lambda c: Reading(c.thinking_mismatch_ratio, c.thinking_checked),
})  # fmt: skip


def _name(member: Member) -> str:
    return f"{member.provider}/{member.label}"


def _is_exhausted(member: Member, now: float) -> bool:
    """As `Pool.status` has it, for much less: there may be many of them."""
    state = member.standing.state
    if state is CredentialState.EXHAUSTED:
        return member.standing.resumes_at > now
    return state is CredentialState.ACTIVE and bool(member.quota.windows) and member.quota.spent_until(now) > now
