"""``/metrics``, for Prometheus: read on this machine, with a client key or the management key, or by everybody if the configuration says so."""

from typing import Final

from dragoman.adapters.management.access import is_local
from dragoman.adapters.management.desk import Call, Desk
from dragoman.adapters.management.routes import TEXT, Reply, Route
from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from dragoman.core.errors import AccessDenied


def may_read(desk: Desk, request: LocalRequest) -> bool:
    """Whether whoever asks may read ``/metrics`` without the management key."""
    if desk.config.metrics_open or is_local(request):
        return True
    try:
        desk.gateway.keys.check(request.fields, request.query)
    except AccessDenied:
        return False
    return True


def _metrics(desk: Desk, call: Call) -> Step:
    from dragoman.adapters.prometheus import exposition, take_readings

    readings = take_readings(desk.gateway, desk.now(), desk.watch)
    accept = call.request.fields.get(b"accept", b"").decode("latin-1")[:1000]

    def write() -> LocalAnswer:
        body, media_type = exposition(readings, accept)
        return LocalAnswer(200, body, ((b"content-type", media_type.encode("latin-1")),))

    return write


ROUTES: Final = (
    Route(
        "GET",
        "/metrics",
        _metrics,
        "The counts of the gateway, for Prometheus.",
        {200: Reply("In the text format of Prometheus, or OpenMetrics.", {"text/plain": TEXT})},
        lets_in=may_read,
    ),
)
