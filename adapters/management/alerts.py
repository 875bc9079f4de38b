"""Alerts, as they stand."""

from typing import Any, Final

from dragoman.adapters.management.desk import Call, Desk, answer_json
from dragoman.adapters.management.routes import OBJECT, Route, reply
from dragoman.adapters.watching import Watch
from dragoman.core.effects import Step
from dragoman.core.operations.alerts import NOTHING, AlertState, AlertView


def read_alerts(desk: Desk, call: Call) -> Step:
    """Every alert that is not inactive, then the rules about which there is nothing to tell; and what became of notices."""
    watch = desk.watch or Watch(desk.gateway, desk.logs)
    views = watch.alerts.views()
    busy = {view.rule.name for view in views}
    quiet = [AlertView(r, "", AlertState.INACTIVE, 0.0, NOTHING) for r in watch.alerts.rules if r.name not in busy]
    return answer_json({
        "alerts": [shown(view) for view in (*views, *quiet)],
        "firing": sum(view.state is AlertState.FIRING for view in views),
        "notifications": [
            {"name": name, "sent": tally.sent, "failed": tally.failed, "dropped": tally.dropped}
            for name, tally in watch.channels.tallies().items()
        ],
    })  # fmt: skip


def shown(view: AlertView) -> dict[str, Any]:
    """One alert."""
    rule, is_quiet = view.rule, view.state is AlertState.INACTIVE
    return {
        "name": rule.name,
        "state": view.state.name.lower(),
        "severity": rule.severity,
        "scope": rule.scope,
        "subject": view.subject or rule.subject,
        "since": None if is_quiet else round(view.since, 3),
        "value": None if is_quiet else round(view.reading.value, 6),
        "sample": None if is_quiet else view.reading.sample,
        "signal": rule.signal,
        "threshold": rule.threshold,
        "window_seconds": rule.window,
        "hold_seconds": rule.hold,
        "minimum_sample": rule.minimum_sample,
        "action": rule.action,
        "fallback": rule.fallback or None,
    }


_ALERT: Final = {
    "type": "object",
    "required": ["name", "state", "severity", "scope", "subject", "signal", "threshold", "action"],
    "properties": {
        "name": {"type": "string"},
        "state": {"enum": ["inactive", "pending", "firing", "resolved"]},
        "severity": {"enum": ["warning", "critical"]},
        "scope": {"type": "string"},
        "subject": {"type": "string"},
        "since": {"type": ["number", "null"], "description": "Epoch seconds."},
        "value": {"type": ["number", "null"]},
        "sample": {"type": ["integer", "null"]},
        "signal": {"type": "string"},
        "threshold": {"type": "number"},
        "window_seconds": {"type": "number"},
        "hold_seconds": {"type": "number"},
        "minimum_sample": {"type": "integer"},
        "action": {"enum": ["none", "notify", "mitigate"]},
        "fallback": {"type": ["string", "null"]},
    },
}
_ALERTS: Final = {
    "type": "object",
    "required": ["alerts", "firing", "notifications"],
    "properties": {
        "alerts": {"type": "array", "items": _ALERT},
        "firing": {"type": "integer"},
        "notifications": {"type": "array", "items": OBJECT},
    },
}

ROUTES: Final = (
    Route("GET", "/v0/management/alerts", read_alerts, "Alerts as they stand", {200: reply(_ALERTS, "Firing first.")}),
)
