"""Canaries, and what became of them."""

from typing import Any, Final

from dragoman.adapters.management.desk import Call, Desk, answer_json
from dragoman.adapters.management.routes import OBJECT, Route, reply
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.effects import Step
from dragoman.core.operations.canary_tally import CanaryTally


def read_canaries(desk: Desk, call: Call) -> Step:
    """Each canary of the configuration, with its runs of the last hour and since the start."""
    tally = desk.watch.canaries if desk.watch is not None else CanaryTally()
    return answer_json({"canaries": [_shown(spec, tally, desk.now()) for spec in desk.config.canaries]})


def _shown(spec: CanarySpec, tally: CanaryTally, now: float) -> dict[str, Any]:
    hour, total, last = tally.last(spec.name, 3600.0, now), tally.total(spec.name), tally.last_runs().get(spec.name)
    return {
        "name": spec.name,
        "model_id": spec.model,
        "kind": spec.kind,
        "dialect": spec.speaks,
        "every_seconds": spec.every,
        "runs": total.runs,
        "failed": total.failed,
        "tokens": {"input": total.input_tokens, "output": total.output_tokens},
        "last_hour": {"runs": hour.runs, "failed": hour.failed, "refused": hour.refused},
        "last_run": None
        if last is None
        else {
            "at": round(last.at, 3),
            "passed": last.verdict.is_good,
            "status": last.verdict.status,
            "difference": last.verdict.difference or None,
        },
    }


_CANARY: Final = {
    "type": "object",
    "required": [
        "name",
        "model_id",
        "kind",
        "dialect",
        "every_seconds",
        "runs",
        "failed",
        "tokens",
        "last_hour",
        "last_run",
    ],
    "properties": {
        "name": {"type": "string"},
        "model_id": {"type": "string"},
        "kind": {"type": "string"},
        "dialect": {"type": "string"},
        "every_seconds": {"type": "number"},
        "runs": {"type": "integer"},
        "failed": {"type": "integer"},
        "tokens": OBJECT,
        "last_hour": OBJECT,
        "last_run": {"type": ["object", "null"]},
    },
}
_LIST: Final = {
    "type": "object",
    "required": ["canaries"],
    "properties": {"canaries": {"type": "array", "items": _CANARY}},
}

ROUTES: Final = (
    Route(
        "GET",
        "/v0/management/canaries",
        read_canaries,
        "Canaries and their runs",
        {200: reply(_LIST, "Of the configuration.")},
    ),
)
