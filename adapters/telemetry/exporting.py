"""From the loop's thread to a collector: a bounded queue, a thread that makes spans and measurements, and the SDK's own threads that send them.

The loop's thread does no more than put a journal into the queue. When the queue is full the journal is left out, counted, and told of: telemetry never
makes a request wait. A collector that is not there costs nothing but what it misses.
"""

import logging
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from dragoman.adapters.telemetry import names
from dragoman.adapters.telemetry.measures import Measures
from dragoman.adapters.telemetry.spans import trace
from dragoman.core.journal import Journal
from dragoman.core.telemetry_settings import Telemetry

_QUEUE: Final = 4096  # journals
_EXPORT_SECONDS: Final = 5.0  # that one export may take
_CLOSE_SECONDS: Final = 3.0  # that the end of the process waits for the last export

Named = tuple[Journal, str]


class Exporting:
    """Sends what is recorded.

    Args:
        spans: Where spans go.
        reader: Reads measurements.
        settings: How the gateway is called.
        version: Of this software.
        model_of: What a model may be called in measurements; called on the loop's thread.
        warn: Is told what went wrong, from any thread.

    """

    def __init__(
        self,
        spans: SpanProcessor,
        reader: MetricReader,
        settings: Telemetry,
        version: str,
        model_of: Callable[[str], str],
        warn: Callable[[str], None],
    ) -> None:
        resource = Resource.create({"service.name": settings.service_name, "service.version": version})
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(spans)
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._tracer = self._tracers.get_tracer("dragoman", version, names.SCHEMA_URL)
        self._measures = Measures(self._meters.get_meter("dragoman", version, names.SCHEMA_URL))
        self._model_of = model_of
        self._warn = warn
        self._queue: queue.Queue[Named | None] = queue.Queue(_QUEUE)
        self._left_out = 0
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def record(self, journal: Journal) -> None:
        """Take an exchange that has ended; those about no model (health, lists) are nobody's business there. Never waits."""
        if not journal.model:
            return
        try:
            self._queue.put_nowait((journal, self._model_of(journal.model)))
        except queue.Full:
            self._left_out += 1
            if self._left_out == 1 or self._left_out % 1000 == 0:
                self._warn(f"{self._left_out} exchanges were left out: more come than can be sent")

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            journal, model = taken
            try:
                trace(self._tracer, journal)
                self._measures.record(journal, model)
            except Exception as error:  # a bug of ours, or of the SDK; the next one may fare better
                self._warn(f"an exchange could not be told of ({type(error).__name__})")

    def close(self) -> None:
        """Send what is left, for as long as `_CLOSE_SECONDS` allow."""
        closing = threading.Thread(target=self._close, name="telemetry-end", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._tracers.shutdown()
        self._meters.shutdown()


def export_to(
    settings: Telemetry, version: str, model_of: Callable[[str], str], warn: Callable[[str], None]
) -> Exporting:
    """Make what `settings` ask for; `settings.exporter` is not ``none``."""
    _heed_sdk(warn)
    spans, metrics = _exporters(settings)
    reader = PeriodicExportingMetricReader(metrics, settings.interval * 1000, _EXPORT_SECONDS * 1000)
    return Exporting(BatchSpanProcessor(spans), reader, settings, version, model_of, warn)


def _exporters(settings: Telemetry) -> tuple[SpanExporter, MetricExporter]:
    if settings.exporter == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr), ConsoleMetricExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base, headers = settings.endpoint, dict(settings.headers) or None  # None: what the environment says
    return (
        OTLPSpanExporter(f"{base}/v1/traces" if base else None, headers=headers, timeout=_EXPORT_SECONDS),
        OTLPMetricExporter(f"{base}/v1/metrics" if base else None, headers=headers, timeout=_EXPORT_SECONDS),
    )


def _heed_sdk(warn: Callable[[str], None]) -> None:
    """What the SDK has to say goes into our log, without tracebacks, and not to stderr."""

    class Heeding(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warn(record.getMessage()[:500])

    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [Heeding(logging.WARNING)]
    logger.propagate = False
