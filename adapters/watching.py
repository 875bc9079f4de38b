"""Looking after a gateway that runs: about every two seconds its alerts are looked at; what changed goes to the log, and to whoever is notified.

Runs on the event loop's thread (`Chore`), where the gateway may be touched; notices go out by threads of their own (`notifications`).
"""

import socket
from typing import Final

from dragoman.adapters.logs import Logs
from dragoman.adapters.notifications.channels import Channels
from dragoman.adapters.notifications.sender import Kind, Notice
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.config import Config
from dragoman.core.gateway import Gateway
from dragoman.core.operations.alerts import AlertChange, Alerts, AlertState, describe
from dragoman.core.operations.canary_tally import CanaryTally, Verdict
from dragoman.core.operations.signals import Signals

STEP: Final = 0.15  # seconds between looks at one rule and the next; at all that hold by default, so, within two


class Watch:
    """Looks after a gateway.

    Args:
        gateway: The gateway.
        logs: Where is said what changes.

    Attributes:
        alerts: Of the gateway.
        canaries: What its canaries came to.
        channels: Who is notified.

    """

    def __init__(self, gateway: Gateway, logs: Logs) -> None:
        self._gateway = gateway
        self._logs = logs
        self._config: Config | None = None
        self.alerts = Alerts()
        self.canaries = CanaryTally()
        self.channels = Channels(lambda name, text: logs.warning("notification", notifier=name, detail=text))
        self._signals = Signals(gateway.metrics, gateway.router.pool, self.canaries)

    def look(self, now: float) -> None:
        """Look at everything once."""
        self._adopt(self._gateway.config, now)
        for change in self.alerts.look(self._signals.read, now):
            self._tell(change)

    def step(self, now: float) -> None:
        """Look at the next rule."""
        self._adopt(self._gateway.config, now)
        for change in self.alerts.look_at_next(self._signals.read, now):
            self._tell(change)

    def _adopt(self, config: Config, now: float) -> None:
        """After the start, and after each reload."""
        if config is self._config:
            return
        self._config = config
        for change in self.alerts.configure(config.alerts, now):
            self._tell(change)
        self.channels.configure(config.notifications)
        self._gateway.metrics.watch(rule.subject for rule in config.alerts if rule.scope == "model")

    def _tell(self, change: AlertChange) -> None:
        is_bad = change.after is AlertState.FIRING
        tell = (
            (self._logs.error if change.rule.severity == "critical" else self._logs.warning)
            if is_bad
            else self._logs.info
        )
        tell(
            "alert",
            alert=change.rule.name,
            subject=change.subject or None,
            state=change.after.name.lower(),
            severity=change.rule.severity,
            detail=describe(change.rule, change.subject, change.reading),
        )
        if change.is_news:
            self.channels.put(notice_of(change), change.rule.severity)

    def canary_ran(self, spec: CanarySpec, verdict: Verdict, now: float) -> None:
        """A canary has run: count it, and say what came of it."""
        self.canaries.record(spec.name, verdict, now)
        (self._logs.info if verdict.is_good else self._logs.warning)(
            "canary",
            canary=spec.name,
            model=spec.model,
            kind=spec.kind,
            passed=verdict.is_good,
            difference=verdict.difference or None,
            status=verdict.status,
            tokens_in=verdict.usage.input,
            tokens_out=verdict.usage.output,
        )

    def close(self) -> None:
        """Send what waits to be sent."""
        self.channels.close()


def notice_of(change: AlertChange) -> Notice:
    """An alert's change for people outside."""
    rule, is_bad = change.rule, change.after is AlertState.FIRING
    kind: Kind = ("failure" if rule.severity == "critical" else "warning") if is_bad else "success"
    state = "firing" if is_bad else "resolved"
    body = describe(rule, change.subject, change.reading)
    if is_bad and rule.action == "mitigate":
        body += f"; {rule.fallback} is asked for in its place while it fails"
    return Notice(f"dragoman on {socket.gethostname()}: {rule.name} {state} ({rule.severity})", body, kind)
