"""What an operator wants to be told of: alert rules as values, and those that hold where a configuration says nothing.

Lives here: what a rule consists of, what may be measured (`SIGNALS`), and the defaults, which are those of the operator's runbook. May not
live here: measuring (`dragoman.core.operations.signals`) and concluding (`dragoman.core.operations.alerts`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

SEVERITIES: Final = ("warning", "critical")
ACTIONS: Final = ("none", "notify", "mitigate")


@attrs.frozen
class Signal:
    """Something that can be measured.

    Attributes:
        scopes: Of what; the first is what is meant where nothing is said.
        is_ratio: Its threshold is a share, else a number of things.
        sample: What its sample counts, for people.

    """

    scopes: tuple[str, ...]
    is_ratio: bool
    sample: str


_TRAFFIC: Final = ("provider", "model", "credential")

#: By the name that a rule has for it.
SIGNALS: Final[Mapping[str, Signal]] = MappingProxyType({
    "quota-exhausted": Signal(("credential",), False, "credentials"),
    "top-providers-exhausted": Signal(("global",), False, "providers"),
    "error-ratio": Signal(_TRAFFIC, True, "attempts"),
    "rate-limited-ratio": Signal(_TRAFFIC, True, "attempts"),
    "refused-count": Signal(_TRAFFIC, False, "attempts"),
    "usage-missing-ratio": Signal(_TRAFFIC, True, "answers"),
    "thinking-mismatch-ratio": Signal(("model", "provider"), True, "requests that say how to think"),
    "reasoning-growth": Signal(("model", "provider"), True, "answers"),
    "canary-failure-ratio": Signal(("canary",), True, "runs"),
    "canary-refused-count": Signal(("canary",), False, "runs"),
})  # fmt: skip


@attrs.frozen
class AlertRule:
    """When somebody is to be told.

    Attributes:
        name: Unique.
        signal: Of `SIGNALS`.
        scope: ``provider``, ``model``, ``credential``, ``canary`` or ``global``: each one in it is judged alone.
        subject: Which of them, ``*`` stands for anything: ``iflow``, ``acme/key-1`` (a credential), ``gpt-*``.
        threshold: The value above which the rule is broken: a share for ratios, else a number.
        window: Seconds over which is counted.
        hold: Seconds for which it must stay broken until the alert fires.
        settle: Seconds for which the value must stay at or below `clear` until the alert is resolved.
        minimum_sample: With fewer in the window nothing is concluded.
        severity: ``warning`` or ``critical``.
        action: ``none``: only logs and metrics say it; ``notify``: notifications are sent; ``mitigate``: and `fallback` is asked for.
        fallback: With ``mitigate``: the model that is asked for in the place of `subject`.

    """

    name: str
    signal: str
    scope: str
    subject: str = "*"
    threshold: float = 0.0
    window: float = 600.0
    hold: float = 60.0
    settle: float = 60.0
    minimum_sample: int = 20
    severity: str = "warning"
    action: str = "notify"
    fallback: str = ""

    @property
    def clear(self) -> float:
        """The value at or below which it is well again: four fifths of the threshold, so that a value near it changes nothing."""
        return 0.8 * self.threshold


@attrs.frozen
class Notifier:
    """Whom to notify.

    Attributes:
        name: What logs call it; unique.
        url: An Apprise URL; there are secrets in it.
        severity: Of the least that it wants to know.

    """

    name: str
    url: str = attrs.field(repr=False)
    severity: str = "warning"


_SPARK: Final = "gpt-5.3-codex-spark"

#: What holds where a configuration does not say otherwise.
DEFAULT_RULES: Final = (
    AlertRule("quota-exhausted", "quota-exhausted", "credential", hold=0.0, minimum_sample=1),
    AlertRule("rate-limited", "rate-limited-ratio", "provider", threshold=0.05),
    AlertRule("rate-limited-critical", "rate-limited-ratio", "provider", threshold=0.10, severity="critical"),
    AlertRule(
        "top-providers-exhausted", "top-providers-exhausted", "global", hold=300.0, minimum_sample=1, severity="critical"
    ),
    AlertRule("iflow-errors", "error-ratio", "provider", "iflow", threshold=0.05),
    AlertRule("spark-errors", "error-ratio", "model", _SPARK, threshold=0.02),
    AlertRule(
        "spark-errors-critical", "error-ratio", "model", _SPARK, threshold=0.05, severity="critical", action="mitigate",
        fallback="gpt-5.3-codex",
    ),
    AlertRule("thinking-mismatch", "thinking-mismatch-ratio", "model", threshold=0.02),
    AlertRule("thinking-mismatch-critical", "thinking-mismatch-ratio", "model", threshold=0.05, severity="critical"),
    AlertRule("reasoning-growth", "reasoning-growth", "model", threshold=0.25),
    AlertRule("canary-failures", "canary-failure-ratio", "canary", threshold=0.20, window=3600.0, hold=0.0, minimum_sample=3),
    AlertRule(
        "canary-refused", "canary-refused-count", "canary", threshold=1, window=3600.0, hold=0.0, minimum_sample=2
    ),
    AlertRule("refusal-burst", "refused-count", "provider", threshold=10, window=60.0, hold=120.0, minimum_sample=1),
)  # fmt: skip
