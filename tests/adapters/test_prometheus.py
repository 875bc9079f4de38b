"""The text of ``/metrics``, read back by prometheus-client's own parsers."""

import io
import math
import shutil
import subprocess
from collections.abc import Iterator

import attrs
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.logs import Logs
from dragoman.adapters.prometheus import exposition, take_readings
from dragoman.adapters.watching import Watch
from dragoman.core.alert_rules import AlertRule
from dragoman.core.chat.request import Thinking
from dragoman.core.config import QuotaRule
from dragoman.core.gateway import Gateway
from dragoman.core.operations.canary_tally import Verdict
from tests.core.conversation import Conversation, config, provider
from tests.core.operations.journals import USAGE, attempt, journal

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ODD = 'odd"\\name\n'
HIGH = Thinking("level", level="high")


@pytest.fixture
def gateway() -> Gateway:
    """One that has seen a bit of everything."""
    rule = QuotaRule(window=60.0, requests=5)
    talk = Conversation(config(provider(quotas=(rule,)), attrs.evolve(provider("odd"), name=ODD), provider("idle")))
    gateway = talk.gateway
    gateway.record(journal(attempt(first_token_at=999.3), thinking_asked=HIGH, thinking_applied=None))
    gateway.record(journal(attempt(started_at=900.0), started_at=900.0, usage=None))
    gateway.record(journal(attempt("status", 429), status=429, fault="provider", usage=None))
    gateway.record(journal(attempt("status", 500, provider=ODD), model="made-up", status=500, fault="provider"))
    gateway.record(journal(model="unheard-of", status=404, fault="client", usage=None))
    (lane,) = [member for member in gateway.router.pool.members.values() if member.provider == "acme"]
    lane.quota.picked(1000.0)
    return gateway


def samples(gateway: Gateway, accept: str = "") -> Iterator[tuple[str, dict[str, str], float]]:
    body, media_type = exposition(take_readings(gateway, 1000.0), accept)
    is_open = "openmetrics" in media_type
    for family in (read_openmetrics if is_open else read_text)(body.decode()):
        assert family.documentation
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", OPENMETRICS])
def test_what_is_counted_is_written(gateway: Gateway, accept: str) -> None:
    rows = {(name, *sorted(labels.values())): value for name, labels, value in samples(gateway, accept)}

    def at(name: str, *labels: str) -> float | None:
        return rows.get((f"dragoman_{name}", *sorted(labels)))

    assert at("info", "1.2.3", "none") == 1
    assert at("exchanges_total", "openai_chat", "2xx", "none") == 2
    assert at("exchanges_total", "openai_chat", "4xx", "client") == 1
    outcomes = ("success", "abandoned", "limited", "refused", "rejected", "unavailable")
    assert [at("provider_requests_total", "acme", o) for o in outcomes] == [2, 0, 1, 0, 0, 0]
    assert [at("provider_requests_total", "idle", o) for o in outcomes] == [0] * 6
    assert at("provider_requests_total", ODD, "unavailable") == 1
    assert at("provider_tokens_total", "acme", "input") == 100
    assert at("provider_tokens_total", "acme", "cached") == 60
    assert at("provider_usage_missing_total", "acme") == 1
    assert at("provider_thinking_checked_total", "acme") == 1
    assert at("provider_thinking_mismatched_total", "acme") == 1
    latency = "provider_latency_seconds"
    assert [at(f"{latency}_bucket", "acme", le) for le in ("0.64", "1.28", "81.92", "+Inf")] == [0, 1, 1, 2]
    assert (at(f"{latency}_count", "acme"), at(f"{latency}_sum", "acme")) == (2, 101)
    assert at("provider_time_to_first_token_seconds_sum", "acme") == pytest.approx(0.3)
    assert at("provider_last_seen_timestamp_seconds", "acme") == 1000
    assert at("provider_last_seen_timestamp_seconds", "idle") is None
    assert at("credentials", "acme", "active") == 1
    assert at("credentials", "acme", "cooling") == 0
    assert at("attempts_in_flight", "acme") == 0
    assert at("quota_remaining", "acme") == 4
    assert at("quota_reset_seconds", "acme") == 60
    assert at("quota_remaining", "idle") is None


def test_models_are_those_that_are_configured(gateway: Gateway) -> None:
    """A name that a client made up is no label, but it is counted."""
    rows = {
        (labels["model"], labels["outcome"]): n
        for name, labels, n in samples(gateway)
        if name == "dragoman_model_requests_total"
    }
    assert {model for model, _ in rows} == {"acme-large", "other"}
    assert (rows["acme-large", "success"], rows["acme-large", "limited"]) == (2, 1)
    assert (rows["other", "unavailable"], rows["other", "rejected"]) == (1, 1)


def test_labels_are_few(gateway: Gateway) -> None:
    labels = {name for _, labels, _ in samples(gateway) for name in labels}
    assert labels == {
        "provider",
        "model",
        "outcome",
        "type",
        "state",
        "dialect",
        "status",
        "fault",
        "le",
        "version",
        "transport",
    }
    body, _ = exposition(take_readings(gateway, 1000.0))
    for secret in (b"sk-", b"acme-0", b"alice", b"made-up", b"unheard-of"):
        assert secret not in body


def test_histograms_rise(gateway: Gateway) -> None:
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, labels, value in samples(gateway):
        if name.endswith("_bucket"):
            key = (name, labels.get("provider", labels.get("model", "")))
            rows.setdefault(key, []).append((math.inf if labels["le"] == "+Inf" else float(labels["le"]), value))
    assert rows
    for row in rows.values():
        assert row == sorted(row)
        assert [n for _, n in row] == sorted(n for _, n in row)
        assert len(row) == 15


def test_alerts_and_canaries_are_told() -> None:
    rule = AlertRule("errors", "error-ratio", "provider", threshold=0.5, hold=0.0, minimum_sample=1)
    gateway = Conversation(config(provider(), alerts=(rule,))).gateway
    watch = Watch(gateway, Logs(LineWriter(io.BytesIO().write), lambda: 0.0))
    watch.look(999.0)
    gateway.record(journal(attempt("status", 500), status=500, fault="provider", usage=None))
    watch.look(1000.0)
    watch.canaries.record("image", Verdict(usage=USAGE), 1000.0)
    watch.canaries.record("image", Verdict("it differs"), 1000.0)
    watch.close()
    body, _ = exposition(take_readings(gateway, 1000.0, watch))
    told = {
        (s.name.removeprefix("dragoman_"), *sorted(s.labels.values())): s.value
        for family in read_text(body.decode())
        for s in family.samples
    }
    assert told["alerts", "errors", "firing", "warning"] == 1
    assert told["alerts", "errors", "pending", "warning"] == 0
    assert told["canary_runs_total", "image", "success"] == told["canary_runs_total", "failure", "image"] == 1
    assert told["canary_tokens_total", "image", "input"] == 100


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_against_it(gateway: Gateway) -> None:
    body, _ = exposition(take_readings(gateway, 1000.0))
    run = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")
