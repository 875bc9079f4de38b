"""Canaries for real: in a gateway that runs, by the command in its own process, and through a gateway."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, clean_environment, serving
from tests.end_to_end.wire import request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"
MANAGER = "manage-5ecret"


def configured(folder: Path, url: str) -> None:
    path = folder / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{KEY}]\nremote-management: {{secret-key: {MANAGER}}}\n"
        f"openai-compatibility: [{{name: lab, base-url: {url}/v1, models: [{{name: plain}}, {{name: naughty}}]}}]\n"
        "canaries:\n"
        "  - {name: ping, model: plain, every: 10s, expect: hi}\n"
        "  - {name: parity, model: plain, kind: usage_parity, every: 10s}\n"
        "  - {name: picture, model: plain, kind: tool_result_image, every: 10s}\n"
        "  - {name: think, model: plain, kind: thinking, dialect: claude, every: 10s}\n"
        "  - {name: bad, model: naughty, every: 10s}\n"
        "alerts: [{name: canary-failures, minimum-sample: 1}]\n"
    )
    path.chmod(0o600)


def run(folder: Path, name: str, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "dragoman", "canary", "run", name, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout + done.stderr


EXPECTED = [
    ("ping", 0, "ping: pass (plain, plain, 11 tokens in, 7 out)\n"),
    ("parity", 0, "parity: pass (usage_parity, plain, 22 tokens in, 14 out)\n"),
    ("picture", 0, "picture: pass (tool_result_image, plain, 22 tokens in, 14 out)\n"),
    ("think", 0, "think: pass (thinking, plain, 11 tokens in, 7 out)\n"),
    ("bad", 1, "bad: without a stream: answered 400 (bad_request) (plain, naughty, 0 tokens in, 0 out)\n"),
]


@pytest.mark.parametrize("name", [name for name, _, _ in EXPECTED])
def test_the_command_in_its_own_process(tmp_path: Path, transport: str, upstream: ScriptedUpstream, name: str) -> None:
    configured(tmp_path, upstream.url)
    assert (name, *run(tmp_path, name, "--transport", transport)) in EXPECTED


def test_in_a_gateway_and_through_it(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """They run by themselves within seconds, fail loudly, are counted apart; and the command finds the same."""
    configured(tmp_path, upstream.url)
    with serving(tmp_path, transport, secrets=(KEY, MANAGER)) as gateway:
        for name, code, _ in EXPECTED:
            passed = "false" if code else "true"
            line = gateway.stderr.wait_for(lambda line, name=name: f"event=canary canary={name} " in line)  # type: ignore[misc]
            assert f" passed={passed} " in line, line
        gateway.stderr.wait_for(lambda line: "event=alert" in line and "alert=canary-failures subject=bad" in line)
        metrics = send(gateway, request(method="GET", path="/v1/metrics/providers"), "GET").json
        assert all(not row["request_count"] for row in metrics["providers"].values())
        for name, code, text in EXPECTED:
            assert run(tmp_path, name, "--url", gateway.url) == (code, text)
        metrics = send(gateway, request(method="GET", path="/v1/metrics/providers"), "GET").json
        assert metrics["providers"]["lab"]["request_count"] == 7  # those were requests of a client


def test_mistakes(tmp_path: Path) -> None:
    configured(tmp_path, "http://127.0.0.1:1")
    code, text = run(tmp_path, "pong")
    assert (code, text) == (
        1,
        "error: there is no canary 'pong' in the configuration; there are: ping, parity, picture, think, bad\n",
    )
    code, text = run(tmp_path, "ping", "--url", "http://127.0.0.1:1")
    assert (code, text.startswith("ping: without a stream: Connection refused")) == (1, True)
    code, text = run(tmp_path, "ping", "--url", "nonsense")
    assert (code, text.startswith("error: the gateway's URL:")) == (1, True)
    (tmp_path / "config.yaml").write_text("nonsense: 1\n")
    assert run(tmp_path, "ping")[0] == 1
