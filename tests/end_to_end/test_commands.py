"""The commands as a newcomer meets them: each a process of its own."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, ROOT, clean_environment, serving
from tests.end_to_end.sdk import sync_client
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ScriptedUpstream


def run(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m dragoman`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dragoman", *arguments],
        cwd=folder,
        env=environment or clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_init_check_serve(tmp_path: Path) -> None:
    """A newcomer's way with a file: written, checked, served."""
    written = run(tmp_path, "init")
    assert (written.returncode, written.stderr) == (0, "")
    path = tmp_path / "config.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run(tmp_path, "init").returncode == 1
    checked = run(tmp_path, "check")
    assert checked.returncode == 0
    found = re.search(r"key: (sk-dragoman-\w+)", path.read_text())
    assert found is not None
    assert found[1] not in checked.stdout + checked.stderr + written.stdout
    with serving(tmp_path, "trio", secrets=[found[1]]) as gateway:
        assert gateway.stdout.text.endswith("Configuration: config.yaml\n")
        answer = send(gateway, request(method="GET", path="/v1/models", key=found[1]), "GET")
        assert answer.json == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no client keys are configured"),
        ("host: 0.0.0.0\nallow-open: true\n", "serving without client keys is possible on a loopback address only"),
        ("api-keys: [abc]\nprot: 1\n", "config.yaml:2:1: prot: unknown key 'prot'; did you mean 'port'?"),
    ],
)
def test_refusing_to_start(tmp_path: Path, text: str, what: str) -> None:
    """Nothing is served, the exit code tells, and the reason is on stderr."""
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "config.yaml").chmod(0o600)
    ended = run(tmp_path, "serve")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert what in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken(tmp_path: Path, transport: str, running_upstream: ScriptedUpstream) -> None:
    """One sentence, exit code 1."""
    port = running_upstream.url.rpartition(":")[2]
    ended = run(tmp_path, "serve", "--transport", transport, "--port", port)
    assert ended.returncode == 1
    assert ended.stderr == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_open_on_loopback(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """With `allow-open` no key is asked for."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\nallow-open: true\nopenai-compatibility: [{{name: lab, base-url: {upstream.url}/v1}}]\n"
    )
    path.chmod(0o600)
    with serving(tmp_path, transport) as gateway:
        assert send(gateway, request(chat("lab/x"))).status == 200
        assert send(gateway, request(chat("lab/x"), key="whatever")).status == 200


def test_providers_of_the_environment(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Without a file: a provider's key in the environment is enough, its models are asked for as provider/model."""
    secret = "sk-env-5ecret"
    environment = clean_environment(OPENAI_API_KEY=secret, OPENAI_BASE_URL=f"{upstream.url}/v1")
    with serving(tmp_path, transport, environment=environment, secrets=[secret]) as gateway:
        assert "openai/MODEL" in gateway.stdout.text
        assert secret not in gateway.stdout.text
        with sync_client(gateway) as client:
            whole = client.chat.completions.create(model="openai/gpt-x", messages=[{"role": "user", "content": "x"}])
            assert whole.choices[0].message.content == "Hi ü"
            pieces = client.chat.completions.create(
                model="openai/gpt-x", messages=[{"role": "user", "content": "x"}], stream=True
            )
            assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Hello"
            deadline = time.monotonic() + PATIENCE
            while not (listed := [model.id for model in client.models.list()]) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert listed == ["openai/gpt-x", "openai/org/other"]  # the provider was asked
    assert [asked.model for asked in upstream.asked] == ["gpt-x", "gpt-x"]
    assert {asked.authorization for asked in upstream.asked} == {f"Bearer {secret}"}


def test_references_to_the_environment(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Secrets need not stand in the file."""
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "host: 127.0.0.1\napi-keys: ['${CLIENT}']\nopenai-compatibility:\n"
        f"  - {{name: lab, base-url: {upstream.url}/v1, api-key-entries: [{{api-key: '${{LAB}}'}}]}}\n"
    )
    environment = clean_environment(CLIENT="sk-c-5ecret", LAB="sk-l-5ecret", DRAGOMAN_CONFIG=str(path))
    with serving(tmp_path, transport, environment=environment, secrets=["5ecret"]) as gateway:
        assert send(gateway, request(chat("lab/x"), key="sk-c-5ecret")).status == 200
    assert upstream.asked[0].authorization == "Bearer sk-l-5ecret"


def test_the_greeting_can_be_pasted(tmp_path: Path, transport: str) -> None:
    """Its lines, letter for letter, in a shell."""
    with serving(tmp_path, transport) as gateway:
        lines = [line.strip() for line in gateway.stdout.text.splitlines() if line.startswith("  curl ")]
        whole, streamed, models = (paste(line) for line in lines)
    assert json.loads(whole)["choices"][0]["message"]["content"] == "You said: Hello, who are you?"
    assert streamed.startswith("data: {")
    assert streamed.endswith("data: [DONE]\n\n")
    assert "demo/echo" in [model["id"] for model in json.loads(models)["data"]]


def test_the_readme_names_commands_that_exist() -> None:
    """Each ``make`` and ``dragoman`` command in the text is one."""
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make (\w+)", text))
    assert named == {"serve", "test"} <= targets
    for command in set(re.findall(r"`dragoman (\w+)", text)):
        assert run(ROOT, command, "--help").returncode == 0


def paste(line: str) -> str:
    """Run a line as it is in a shell; curl has to be content."""
    ended = subprocess.run(
        ["sh", "-c", line], env=clean_environment(no_proxy="*"), capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout


def test_sigint_like_a_terminal(tmp_path: Path, transport: str) -> None:
    """Ctrl-C ends it as well as SIGTERM does, without a traceback."""
    with serving(tmp_path, transport) as gateway:
        os.kill(gateway.pid, signal.SIGINT)
        assert gateway.wait() == 0
        assert gateway.stderr.text == ""
