"""A journal as spans: one of kind SERVER for the exchange, below it one of kind CLIENT for each attempt, with the journal's own instants."""

from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from dragoman.adapters.telemetry import names
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal

_NANOS: Final = 1_000_000_000
_MOST_TEXT: Final = 200  # characters of what a client wrote


def trace(tracer: Tracer, journal: Journal) -> None:
    """Make the spans of an exchange that has ended."""
    operation = names.operation_name(journal.path)
    route = _text(names.route_of(journal.path))
    span = tracer.start_span(
        f"{journal.method} {route}",
        kind=SpanKind.SERVER,
        start_time=_nanos(journal.started_at),
        attributes={
            names.METHOD: journal.method,
            names.ROUTE: route,
            names.STATUS: journal.status,
            names.OPERATION: operation,
            names.REQUEST_MODEL: _text(journal.model),
            names.REQUEST_STREAM: journal.streamed,
            names.OWN_DIALECT: journal.dialect,
            names.OWN_REQUEST_ID: journal.request_id,
        },
    )
    if journal.fault:
        span.set_attribute(names.OWN_FAULT, journal.fault)
        span.set_attribute(names.ERROR_TYPE, str(journal.status))
    if journal.fault in ("gateway", "provider"):  # what a client did wrong is no failure of ours, say the conventions
        span.set_status(Status(StatusCode.ERROR))
    if journal.usage is not None:
        _set_usage(span, journal.usage)
    context = set_span_in_context(span)
    for attempt in journal.attempts:
        child = tracer.start_span(
            f"{operation} {_text(attempt.upstream_model)}",
            context=context,
            kind=SpanKind.CLIENT,
            start_time=_nanos(attempt.started_at),
            attributes=_attributes(attempt, operation),
        )
        if attempt.outcome not in ("ok", "abandoned"):
            child.set_status(Status(StatusCode.ERROR))
        if attempt is journal.attempts[-1]:
            if journal.usage is not None:
                _set_usage(child, journal.usage)
            elif attempt.outcome == "ok":
                child.set_attribute(names.OWN_USAGE_MISSING, True)
        child.end(_nanos(attempt.ended_at))
    span.end(_nanos(journal.ended_at))


def _attributes(attempt: Attempt, operation: str) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        names.OPERATION: operation,
        names.PROVIDER: names.provider_name(attempt.provider),
        names.REQUEST_MODEL: _text(attempt.upstream_model),
        names.OWN_PROVIDER: attempt.provider,
        names.OWN_OUTCOME: attempt.outcome,
    }
    if attempt.number > 1:
        found[names.RESEND_COUNT] = attempt.number - 1
    if attempt.status is not None:
        found[names.STATUS] = attempt.status
    if attempt.outcome not in ("ok", "abandoned"):
        found[names.ERROR_TYPE] = error_type(attempt)
    if attempt.first_token_at is not None:
        found[names.FIRST_CHUNK] = attempt.first_token_at - attempt.started_at
    return found


def error_type(attempt: Attempt) -> str:
    """The status a provider answered with, or our word for what happened."""
    return str(attempt.status) if attempt.outcome == "status" else attempt.outcome


def _set_usage(span: Span, usage: TokenUsage) -> None:
    for name, n in (
        (names.INPUT_TOKENS, usage.input),
        (names.OUTPUT_TOKENS, usage.output),
        (names.CACHE_READ_TOKENS, usage.cached),
        (names.CACHE_CREATION_TOKENS, usage.cache_written),
        (names.REASONING_TOKENS, usage.reasoning),
    ):
        span.set_attribute(name, n)


def _text(text: str) -> str:
    """What a client wrote, short, and such that it can be sent: one half of a surrogate pair would spoil a whole batch."""
    return text[:_MOST_TEXT].encode("utf-8", "replace").decode()


def _nanos(seconds: float) -> int:
    return int(seconds * _NANOS)
