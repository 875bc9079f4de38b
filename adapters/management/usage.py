"""Sums of the usage ledger over HTTP."""

from typing import Final

from dragoman.adapters.management.desk import Call, Desk, answer_json, refused
from dragoman.adapters.management.routes import OBJECT, Parameter, Route, Schema, reply
from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage import FILTERS, GROUPS, parse_usage_query, read_usage, report_values
from dragoman.core.effects import Step

_COUNTS: Final = ("request_count", "success_count", "failure_count", "streamed_count", "attempt_count", "usage_missing_count", "unpriced_count")  # fmt: skip
_PERHAPS: Final = (
    "input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens", "latency_ms", "ttfb_ms",
)  # fmt: skip


def read_sums(desk: Desk, call: Call) -> Step:
    """Sums of what exchanges used."""
    path = desk.usage_file
    if path is None:
        raise refused(404, "No usage ledger is kept: the configuration says so, or this is the demo.", "no_ledger")
    given = {name: values[0] for name, values in call.query.items()}
    by, since, until = given.pop("by", "model"), given.pop("since", ""), given.pop("until", "")
    try:
        query = parse_usage_query(by, since, until, given, desk.now())
    except ValueError as error:
        raise refused(400, f"{error}.", "bad_request") from None

    def read() -> Step:
        try:
            return answer_json(report_values(read_usage(path, query)))
        except StorageError as error:
            raise refused(503, f"{error}.", "ledger_unreadable") from None

    return read


_SUMS: Final[Schema] = {
    "type": "object",
    "required": [*_COUNTS, *_PERHAPS, "cost"],
    "properties": {
        **{name: {"type": "integer", "minimum": 0} for name in _COUNTS},
        **{name: {"type": ["integer", "null"], "minimum": 0} for name in _PERHAPS},
        "cost": {"type": ["number", "null"], "minimum": 0, "description": "Null when nothing has a price."},
    },
}
_REPORT: Final[Schema] = {
    "type": "object",
    "required": ["by", "since", "until", "filters", "usage", "total", "is_cut"],
    "properties": {
        "by": {"type": "array", "items": {"type": "string"}},
        "since": {"type": ["string", "null"]},
        "until": {"type": ["string", "null"]},
        "filters": OBJECT,
        "usage": {"type": "array", "items": _SUMS},
        "total": _SUMS,
        "is_cut": {"type": "boolean", "description": "There are more groups than are told."},
    },
}
_WHEN: Final = "how long ago (`7d`), or a date or instant of ISO 8601"

ROUTES: Final = (
    Route(
        "GET",
        "/v0/management/usage",
        read_sums,
        "Sums of the usage ledger",
        {
            200: reply(_REPORT, "Sums by group, and of all."),
            400: reply(description="A parameter that is not understood."),
            404: reply(description="No ledger is kept."),
            503: reply(description="The ledger cannot be read."),
        },
        (
            Parameter("by", f"Groups, with commas between them: {', '.join(GROUPS)}. `model` when not given, empty for one sum."),
            Parameter("since", f"Exchanges that ended then or later: {_WHEN}."),
            Parameter("until", f"Exchanges that ended before: {_WHEN}."),
            *(Parameter(name.replace("-", "_"), f"Exchanges with this {name.replace('-', ' ')}.") for name in FILTERS),
        ),
    ),
)  # fmt: skip
