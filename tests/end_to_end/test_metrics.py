"""What a running gateway tells of itself: the runbook's probes with curl and jq, Prometheus, and an OTLP receiver."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.adapters.telemetry.collector import collecting
from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.wire import Answer, chat, request, send
from tests.scripted_upstream import scripted_upstream

KEY = "sk-client-5ecret"
UPSTREAM_KEY = "sk-up5tream-0123456789"


def configuration(url: str, more: str = "") -> str:
    entry = f"models: [{{name: plain}}, {{name: limited}}], api-key-entries: [{{api-key: {UPSTREAM_KEY}}}]"
    return f"""\
api-keys: [{KEY}]
disable-cooling: true
openai-compatibility:
  - {{name: iflow, base-url: {url}/v1, {entry}}}
  - {{name: providers, base-url: {url}/v1, prefix: p, models: [{{name: m}}], api-key-entries: [{{api-key: {UPSTREAM_KEY}}}]}}
{more}"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(f"{text}auth-dir: {folder / 'auth'}\n")
    path.chmod(0o600)
    return folder


def jq(gateway: Gateway, command: str) -> Any:
    """Run a probe as it is written, its address filled in."""
    for program in ("bash", "curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("http://localhost:8317", gateway.url)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NO_PROXY": "*"},
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(run.stdout)


def ask(gateway: Gateway, model: str, **more: object) -> int:
    return send(gateway, request(chat(model, "hello", **more), key=KEY)).status


def get(gateway: Gateway, path: str) -> Answer:
    return send(gateway, request(method="GET", path=path), "GET")


def test_the_probes_of_the_runbook(transport: str, tmp_path: Path) -> None:
    with scripted_upstream() as upstream:
        folder = written(tmp_path, configuration(upstream.url))
        with serving(folder, transport, secrets=(KEY, UPSTREAM_KEY)) as gateway:
            every = jq(gateway, "curl -sS http://localhost:8317/v1/metrics/providers | jq")
            assert list(every) == ["iflow", "providers"]
            assert every["providers"]["providers"]["request_count"] == 0
            assert [ask(gateway, "plain"), ask(gateway, "plain", stream=True), ask(gateway, "limited")] == [
                200,
                200,
                429,
            ]
            row = jq(
                gateway,
                "curl -sS http://localhost:8317/v1/metrics/providers | jq '.iflow // .providers.iflow'",
            )
            assert (row["request_count"], row["success_count"], row["failure_count"]) == (3, 2, 1)
            assert row["windows"]["10m"]["ratio_429"] == pytest.approx(1 / 3)
            assert row["windows"]["10m"]["latency_seconds"]["p99"] > 0
            assert row["windows"]["10m"]["time_to_first_token_seconds"]["p50"] > 0
            assert row["total_tokens"] == 36
            counts = {
                (s.labels["provider"], s.labels["outcome"]): s.value
                for family in text_string_to_metric_families(get(gateway, "/metrics").body.decode())
                for s in family.samples
                if s.name == "dragoman_provider_requests_total"
            }
            assert (counts["iflow", "success"], counts["iflow", "limited"], counts["providers", "success"]) == (2, 1, 0)


def test_counts_outlive_a_reload(transport: str, tmp_path: Path) -> None:
    with scripted_upstream() as upstream:
        folder = written(tmp_path, configuration(upstream.url))
        with serving(folder, transport) as gateway:
            assert ask(gateway, "plain") == 200
            written(folder, configuration(upstream.url).replace("name: providers", "name: other"))
            ends = time.monotonic() + PATIENCE
            while "other" not in (found := get(gateway, "/v1/metrics/providers").json):
                assert time.monotonic() < ends
                time.sleep(0.05)
            assert found["iflow"]["request_count"] == 1


def test_a_collector_is_told(transport: str, tmp_path: Path) -> None:
    with scripted_upstream() as upstream, collecting() as collector:
        more = f"telemetry: {{exporter: otlp, endpoint: '{collector.url}', service-name: gate}}\n"
        folder = written(tmp_path, configuration(upstream.url, more))
        with serving(folder, transport, secrets=(KEY, UPSTREAM_KEY)) as gateway:
            assert [ask(gateway, "plain"), ask(gateway, "limited")] == [200, 429]
        # The end of the process sends what is left.
    assert sorted(span.name for span in collector.spans) == [
        "POST /v1/chat/completions", "POST /v1/chat/completions", "chat limited", "chat plain",
    ]  # fmt: skip
    assert collector.services == {"gate"}
    assert "gen_ai.client.operation.duration" in collector.metrics
