"""A journal as measurements: the histograms of the conventions. Attributes are bounded: a model that is not configured is ``other``."""

from opentelemetry.metrics import Histogram, Meter

from dragoman.adapters.telemetry import names
from dragoman.adapters.telemetry.spans import error_type
from dragoman.core.journal import Attempt, Journal


class Measures:
    """The instruments.

    Args:
        meter: Makes them.

    """

    def __init__(self, meter: Meter) -> None:
        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=names.SECOND_BOUNDS
            )

        self._tokens = meter.create_histogram(
            names.TOKEN_USAGE, "{token}", "Tokens taken.", explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDS
        )
        self._duration = seconds(names.CLIENT_DURATION, "Seconds an attempt at a provider took.")
        self._first_chunk = seconds(names.CLIENT_FIRST_CHUNK, "Seconds until the first piece of a provider's stream.")
        self._served = seconds(names.SERVER_DURATION, "Seconds a client's request took.")
        self._first_token = seconds(names.SERVER_FIRST_TOKEN, "Seconds until the first piece went to a client.")

    def record(self, journal: Journal, model: str) -> None:
        """Measure an exchange that has ended; `model` is what it may be called."""
        operation = names.operation_name(journal.path)
        for attempt in journal.attempts:
            self._record_attempt(journal, attempt, operation, model)
        served: dict[str, str | int] = {
            names.OPERATION: operation,
            names.PROVIDER: "dragoman",
            names.REQUEST_MODEL: model,
            names.STATUS: journal.status,
        }
        if journal.fault:
            served[names.ERROR_TYPE] = str(journal.status)
        self._served.record(journal.ended_at - journal.started_at, served)
        last = journal.attempts[-1] if journal.attempts else None
        if last is not None and last.first_token_at is not None:
            self._first_token.record(last.first_token_at - journal.started_at, served)

    def _record_attempt(self, journal: Journal, attempt: Attempt, operation: str, model: str) -> None:
        said = {
            names.OPERATION: operation,
            names.PROVIDER: names.provider_name(attempt.provider),
            names.OWN_PROVIDER: attempt.provider,
            names.REQUEST_MODEL: model,
        }
        if attempt is journal.attempts[-1] and journal.usage is not None:
            for kind, n in (("input", journal.usage.input), ("output", journal.usage.output)):
                self._tokens.record(n, {**said, names.TOKEN_TYPE: kind})
        if attempt.outcome not in ("ok", "abandoned"):
            said[names.ERROR_TYPE] = error_type(attempt)
        self._duration.record(max(0.0, attempt.ended_at - attempt.started_at), said)
        if attempt.first_token_at is not None:
            self._first_chunk.record(attempt.first_token_at - attempt.started_at, said)
