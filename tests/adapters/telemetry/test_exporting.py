"""Journals in, spans and measurements out: in memory, and to a real receiver."""

import io
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec.structs
import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dragoman.adapters.telemetry import exporting as module
from dragoman.adapters.telemetry.exporting import Exporting, export_to
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Journal
from dragoman.core.telemetry_settings import Telemetry
from tests.adapters.telemetry.collector import collecting
from tests.core.operations.journals import attempt, journal

USAGE = TokenUsage(input=100, output=20, cached=60, cache_written=7, reasoning=5)


class Rig:
    """An exporter whose ends are in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.warnings: list[str] = []
        self.exporting = Exporting(
            SimpleSpanProcessor(self._spans),
            self._reader,
            Telemetry(),
            "1.2.3",
            lambda model: model if model == "acme-large" else "other",
            self.warnings.append,
        )

    def after(self, *journals: Journal) -> tuple[ReadableSpan, ...]:
        """The spans of journals, in the order in which they began."""
        for each in journals:
            self.exporting.record(each)
        self.exporting._queue.put(None)
        self.exporting._thread.join()
        return tuple(sorted(self._spans.get_finished_spans(), key=lambda span: (span.start_time or 0, span.kind.value)))

    def points(self) -> dict[str, list[HistogramDataPoint]]:
        """The points of each metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = [*metric.data.data_points]
        return found


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.exporting.close()


FAILED_THEN_GOOD = journal(
    attempt("status", 429, provider="claude", started_at=990.0, ended_at=995.0),
    attempt(number=2, started_at=995.0, first_token_at=996.0),
    usage=USAGE, streamed=True, started_at=989.5, path="/v1/messages", dialect="claude",
)  # fmt: skip


def test_an_exchange_is_a_span_with_one_below_it_for_each_attempt(rig: Rig) -> None:
    server, first, second = rig.after(FAILED_THEN_GOOD)
    assert (server.name, server.kind, server.parent) == ("POST /v1/messages", SpanKind.SERVER, None)
    assert (first.name, first.kind) == ("chat large", SpanKind.CLIENT)
    assert [span.parent and span.parent.span_id for span in (first, second)] == [server.context.span_id] * 2
    assert [(s.start_time, s.end_time) for s in (server, first, second)] == [
        (989_500_000_000, 1_000_000_000_000),
        (990_000_000_000, 995_000_000_000),
        (995_000_000_000, 1_000_000_000_000),
    ]
    assert dict(server.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/v1/messages", "http.response.status_code": 200,
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "acme-large", "gen_ai.request.stream": True,
        "dragoman.dialect": "claude", "dragoman.request_id": "req-1", "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20, "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 7, "gen_ai.usage.reasoning.output_tokens": 5,
    }  # fmt: skip
    assert dict(first.attributes or {}) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "large",
        "dragoman.provider": "claude", "dragoman.outcome": "status", "http.response.status_code": 429, "error.type": "429",
    }  # fmt: skip
    assert (second.attributes or {})["http.request.resend_count"] == 1
    assert (second.attributes or {})["gen_ai.response.time_to_first_chunk"] == 1.0
    assert (second.attributes or {})["gen_ai.usage.input_tokens"] == 100
    assert [s.status.status_code for s in (server, first, second)] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert server.resource.attributes["service.name"] == "dragoman"
    assert server.resource.attributes["service.version"] == "1.2.3"


def test_whose_fault_it_was(rig: Rig) -> None:
    cut = journal(attempt("cut"), fault="provider", usage=None)
    left = journal(attempt("abandoned", None), status=499, fault="client", usage=None, started_at=998.5)
    _, attempt_cut = (spans := rig.after(cut, left))[0], spans[2]
    servers = [span for span in spans if span.kind is SpanKind.SERVER]
    assert [s.status.status_code for s in servers] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [(s.attributes or {})["dragoman.fault"] for s in servers] == ["provider", "client"]
    clients = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert {(s.attributes or {}).get("error.type") for s in clients} == {"cut", None}
    assert attempt_cut is not None


def test_missing_usage_is_said(rig: Rig) -> None:
    _, client = rig.after(journal(attempt(), usage=None))
    assert (client.attributes or {})["dragoman.usage_missing"] is True
    assert "gen_ai.usage.input_tokens" not in (client.attributes or {})


def test_measurements_have_the_names_and_bounds_of_the_conventions(rig: Rig) -> None:
    rig.after(FAILED_THEN_GOOD, journal(attempt(), model="made-up", usage=None))
    points = rig.points()
    tokens = {p.attributes["gen_ai.token.type"]: p for p in points["gen_ai.client.token.usage"] if p.attributes}
    assert (tokens["input"].sum, tokens["output"].sum) == (100, 20)
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    durations = points["gen_ai.client.operation.duration"]
    assert {(p.attributes or {}).get("error.type") for p in durations} == {"429", None}
    assert durations[0].explicit_bounds[-1] == pytest.approx(81.92)
    served = points["gen_ai.server.request.duration"]
    assert {(p.attributes or {})["gen_ai.request.model"] for p in served} == {"acme-large", "other"}
    assert points["gen_ai.server.time_to_first_token"][0].sum == pytest.approx(6.5)
    assert points["gen_ai.client.operation.time_to_first_chunk"][0].sum == pytest.approx(1.0)
    assert not any("made-up" in str(p.attributes) for found in points.values() for p in found)


def test_what_is_about_no_model_is_not_told(rig: Rig) -> None:
    assert rig.after(journal(model="", path="/health")) == ()


def test_nothing_secret_is_sent(rig: Rig) -> None:
    tried = attempt(credential="s3cr3t@example.test", detail="s3cr3t", why="s3cr3t")
    spans = rig.after(journal(tried, client_key="s3cr3t", error="s3cr3t", fault="provider"))
    assert not any("s3cr3t" in span.to_json() for span in spans)


def test_names_that_cannot_be_sent_are_mended(rig: Rig) -> None:
    spans = rig.after(
        journal(attempt(upstream_model="\ud800" * 300), model="\ud800x", path="/v1beta/models/m\ud800:generateContent")
    )
    for span in spans:
        span.to_json().encode()
        assert len(span.name) < 300


def test_a_full_queue_makes_nobody_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stands still; what does not fit is counted."""
    going = threading.Event()
    monkeypatch.setattr(module, "trace", lambda *_: going.wait())
    begun = time.monotonic()
    for _ in range(module._QUEUE + 50):
        rig.exporting.record(FAILED_THEN_GOOD)
    assert time.monotonic() - begun < 5.0
    assert rig.warnings == ["1 exchanges were left out: more come than can be sent"]
    assert rig.exporting._left_out >= 49
    going.set()


def test_one_that_cannot_be_told_of_does_not_end_it(rig: Rig) -> None:
    bad = msgspec.structs.replace(FAILED_THEN_GOOD, ended_at=None)
    assert len(rig.after(bad, journal(attempt()))) >= 2
    assert rig.warnings[0].startswith("an exchange could not be told of (")


def test_a_receiver_gets_spans_and_metrics() -> None:
    warnings: list[str] = []
    with collecting() as collector:
        settings = Telemetry("otlp", collector.url, (("x-key", "k"),), "gate")
        exporting = export_to(settings, "1.2.3", lambda model: model, warnings.append)
        exporting.record(FAILED_THEN_GOOD)
        exporting.close()
    assert [span.name for span in collector.spans].count("POST /v1/messages") == 1
    assert len(collector.spans) == 3
    assert len({span.trace_id for span in collector.spans}) == 1
    assert collector.services == {"gate"}
    assert {"gen_ai.client.token.usage", "gen_ai.server.request.duration"} <= collector.metrics
    assert collector.keys == {"k"}
    assert warnings == []


def test_nobody_there_delays_neither_requests_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(module, "_EXPORT_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        warnings: list[str] = []
        exporting = export_to(Telemetry("otlp", f"http://127.0.0.1:{port}"), "1", lambda model: model, warnings.append)
        begun = time.monotonic()
        for _ in range(100):
            exporting.record(FAILED_THEN_GOOD)
        assert time.monotonic() - begun < 1.0
        exporting.close()
        assert time.monotonic() - begun < module._CLOSE_SECONDS + 2.0
        for thread in threading.enumerate():  # its tries, with their drawn pauses, would go on beside other tests
            if thread.name == "telemetry-end":
                thread.join(20)
                assert not thread.is_alive()


def test_the_console_is_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    exporting = export_to(Telemetry("console"), "1", lambda model: model, print)
    exporting.record(FAILED_THEN_GOOD)
    exporting.close()
    assert "POST /v1/messages" in out.getvalue()
    assert "gen_ai.server.request.duration" in out.getvalue()
