"""What an operator reads on stderr: one line for each exchange, complete, in the form asked for."""

import json
import re
import time
from pathlib import Path

import openai
import pytest

from dragoman.adapters.log_files import read_log
from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.sdk import sync_client
from tests.end_to_end.setting import CLIENT_KEY, SECRETS, config_text
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ANSWER, ScriptedUpstream

_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)(?: |$)')


def line_of(gateway: Gateway, request_id: str, start: int) -> str:
    """The one line of an exchange."""
    mark = re.compile(rf'request_id"?[=:]"?{re.escape(request_id)}[" ]').search
    return gateway.stderr.wait_for(lambda line: mark(line) is not None, start)


def test_a_line_for_each_exchange(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Who asked, who answered, how long it took, what it cost."""
    start = gateway.stderr.count()
    data = request(chat("lab/nice"), key=gateway.key, headers={"x-request-id": "line-1"})
    assert send(gateway, data).status == 200
    line = line_of(gateway, "line-1", start)
    fields = {name: json.loads(value) if value.startswith('"') else value for name, value in _FIELD.findall(line)}
    assert "".join(match[0] for match in _FIELD.finditer(line)) == line
    assert fields.pop("credential") in {"key-1", "key-2"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert int(fields.pop("ttfb_ms")) <= int(fields.pop("duration_ms"))
    assert fields == {
        "level": "info",
        "event": "exchange",
        "request_id": "line-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": "200",
        "client_key": "anna",
        "model": "lab/nice",
        "provider": "lab",
        "upstream_model": "real/model-name",
        "streamed": "false",
        "attempts": "1",
        "tokens_in": "11",
        "tokens_out": "7",
        "tokens_cached": "3",
        "tokens_reasoning": "0",
        "bytes_in": str(len(chat("lab/nice"))),
        "bytes_out": str(len(ANSWER)),
    }
    assert gateway.stderr.text.count("request_id=line-1 ") == 1


def test_json(strict: Gateway, upstream: ScriptedUpstream) -> None:
    """The same as JSON, every line of it; a failover shows in the attempts."""
    start = strict.stderr.count()
    data = request(chat("limited-once"), key=strict.key, headers={"x-request-id": "line-2"})
    assert send(strict, data).status == 200
    fields = json.loads(line_of(strict, "line-2", start))
    assert (fields["attempts"], fields["status"], fields["client_key"]) == (2, 200, "anna")
    assert isinstance(fields["duration_ms"], int)
    for line in strict.stderr.text.splitlines():
        assert json.loads(line)["level"] in {"info", "warning", "error"}


def test_nobody_fakes_a_line(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Whatever is in a name or a path."""
    start = gateway.stderr.count()
    evil = "x\n time=now level=info event=exchange \x1b[2J\u2028 client_key=root"
    answer = send(gateway, request(chat(evil), key=gateway.key))
    line = line_of(gateway, answer.headers["x-request-id"], start)
    assert line.isascii()
    assert line.isprintable()
    assert line.count(" level=") >= 1
    assert re.search(r'\bmodel="x\\n time=now', line)
    assert not [line for line in gateway.stderr.text.splitlines() if line.startswith(" time=now")]
    assert gateway.stderr.text.count(answer.headers["x-request-id"]) == 1


def test_a_request_id_that_cannot_be_logged(gateway: Gateway) -> None:
    """Is not taken over."""
    for name in ("a b", "a=b", "x" * 129, '"', "é"):
        data = request(method="GET", path="/health", headers={"x-request-id": name})
        assert send(gateway, data, "GET").headers["x-request-id"].isalnum()


def test_the_greeting_holds_no_secret_of_a_file(gateway: Gateway) -> None:
    """Keys of a file are not shown; a generated one is, on stdout only."""
    assert gateway.stdout.text.splitlines() == [
        f"Dragoman listens on {gateway.url} ({gateway.transport}).",
        "Configuration: config.yaml",
    ]


def test_the_generated_key_is_not_logged(demo: Gateway) -> None:
    """It is on stdout; stderr may go to a collector."""
    with sync_client(demo) as client:
        client.models.list()
    with sync_client(demo, key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as error:
        client.models.list()
    demo.stderr.wait_for(lambda line: f"request_id={error.value.request_id} " in line)
    assert demo.key in demo.stdout.text
    assert demo.key not in demo.stderr.text
    assert "client_key=generated" in demo.stderr.text


def test_to_a_file(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Where the runbook looks; what was said before and after a reload is where it belongs, and nothing is said twice."""
    path = tmp_path / "config.yaml"
    text = config_text(upstream.url, 9) + "debug: true\nlogging-to-file: true\n"
    path.write_text(text)
    path.chmod(0o600)
    with serving(tmp_path, transport, secrets=SECRETS) as gateway:
        data = request(chat("lab/limited", reasoning_effort="high"), key=CLIENT_KEY, headers={"x-request-id": "line-9"})
        assert send(gateway, data).status == 429
        deadline = time.monotonic() + PATIENCE
        while "request_id=line-9 " not in (found := "\n".join(read_log(tmp_path / "logs").lines)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for words in (
            "iflow|account|retry|cooldown|429|403",
            "antigravity|claude|tool_use|custom_model|request.*model",
        ):
            assert re.search(words, found)
        assert "event=cooldown" in found
        assert "line-9" not in gateway.stderr.text
        assert not [secret for secret in SECRETS if secret in found]
        path.write_text(text.replace("logging-to-file: true", "logging-to-file: false"))
        gateway.stderr.wait_for(lambda line: "configuration reloaded" in line)


def test_a_file_for_each_failure(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Also of a stream, and none of what is well, of strangers, or with a secret in it."""
    path = tmp_path / "config.yaml"
    path.write_text(config_text(upstream.url, 9))
    path.chmod(0o600)
    with serving(tmp_path, transport, secrets=SECRETS) as gateway:
        for n, (model, key) in enumerate(
            [("plain", CLIENT_KEY), ("naughty", "wrong"), ("naughty", CLIENT_KEY), ("cut-stream", CLIENT_KEY)]
        ):
            body = chat(f"lab/{model}", stream=model == "cut-stream", text=f"my key is {CLIENT_KEY}")
            send(gateway, request(body, key=key, headers={"x-request-id": f"file-{n}"}))
        deadline = time.monotonic() + PATIENCE
        while len(files := sorted((tmp_path / "logs").glob("*.log"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert [file.name.rpartition("-")[2] for file in files] == ["2.log", "3.log"]
    for file in files:
        text = file.read_text()
        assert file.name.startswith("error-v1-chat-completions-")
        assert '"messages"' in text
        assert not [secret for secret in SECRETS if secret in text]
