"""``dragoman doctor``, ``status`` and ``top`` before a real gateway with a provider that answers and one that does not."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.demo_server import serve_demo
from tests.end_to_end.processes import PATIENCE, Gateway, clean_environment, serving
from tests.end_to_end.test_commands import run
from tests.end_to_end.wire import chat, request, send

KEY = "sk-client-5ecret"
MANAGEMENT = "management-5ecret"
TEXT = """\
host: 127.0.0.1
api-keys: [{{name: anna, key: {key}}}]
remote-management: {{secret-key: {management}}}
state-file: none
auth-dir: auth
openai-compatibility:
  - {{name: lab, base-url: '{url}/v1', models: [{{name: demo/talk}}, {{name: demo/401}}], api-key-entries: [{{api-key: sk-up-5ecret}}]}}
  - {{name: gone, base-url: 'http://127.0.0.1:1/v1', models: [{{name: x}}]}}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Gateway]]:
    folder = tmp_path_factory.mktemp("gateway")
    with serve_demo() as url:
        path = folder / "config.yaml"
        path.write_text(TEXT.format(url=url, key=KEY, management=MANAGEMENT))
        path.chmod(0o600)
        with serving(folder, "trio") as gateway:
            assert send(gateway, request(chat("demo/talk"), key=KEY)).status == 200
            yield folder, gateway


def ask(running: tuple[Path, Gateway], *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    folder, gateway = running
    ended = run(folder, *arguments, environment=clean_environment(DRAGOMAN_URL=gateway.url, **more))
    assert "5ecret" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_doctor(running: tuple[Path, Gateway]) -> None:
    ended = ask(running, "doctor", "--json")
    assert (ended.returncode, ended.stderr) == (1, "")
    found = json.loads(ended.stdout)
    assert found["exit_code"] == 1
    levels = {(one["check"], one["subject"]): one["level"] for one in found["findings"]}
    assert levels["configuration", "config.yaml"] == levels["permissions", "config.yaml"] == "ok"
    assert levels["port", running[1].url.removeprefix("http://")] == "ok"
    assert levels["credential", "lab/key-1"] == levels["provider", "lab/key-1"] == "ok"
    assert levels["provider", "gone/keyless"] == "problem"
    plain = ask(running, "doctor", "--no-network")
    assert plain.returncode == 0
    assert plain.stdout.splitlines()[0].split("\t") == ["level", "check", "subject", "found", "advice"]
    assert "provider\t" not in plain.stdout


def test_doctor_of_a_client(running: tuple[Path, Gateway]) -> None:
    """0, 1 and 2, as a launcher needs them."""
    url = running[1].url
    well = {"OPENAI_API_BASE": f"{url}/v1", "OPENAI_API_KEY": KEY}
    assert ask(running, "doctor", "--client", "--variable", "OPENAI_API_BASE", **well).returncode == 0
    assert ask(running, "doctor", "--client", **well).returncode == 0
    assert ask(running, "doctor", "--client", **well | {"OPENAI_API_KEY": "sk-wrong"}).returncode == 1
    assert ask(running, "doctor", "--client", **well | {"OPENAI_API_BASE": "https://api.openai.com/v1"}).returncode == 1
    assert ask(running, "doctor", "--client", "--variable", "OPENAI_API_BASE").returncode == 1
    assert ask(running, "doctor", "--client", ANTHROPIC_BASE_URL="", OPENAI_BASE_URL="").returncode == 2
    assert ask(running, "doctor", "--client", "--url", "nonsense").returncode == 1


def test_doctor_of_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("prot: 1\n")
    ended = run(tmp_path, "doctor", "--json", environment=clean_environment(DRAGOMAN_URL="http://127.0.0.1:1"))
    assert ended.returncode == 1
    levels = [(one["check"], one["level"]) for one in json.loads(ended.stdout)["findings"]]
    assert ("configuration", "problem") in levels
    assert ("port", "note") in levels


def test_status(running: tuple[Path, Gateway]) -> None:
    ended = ask(running, "status", "--json")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert found["health"]["status"] == "ok"
    assert found["providers"]["lab"]["request_count"] >= 1
    assert {row["provider_key"] for row in found["credentials"]} == {"lab", "gone"}
    plain = ask(running, "status")
    assert re.search(r"^lab\t\d+\t", plain.stdout, re.MULTILINE)
    assert "0 requests in flight" in plain.stdout
    assert re.search(r"^gone\tkeyless\tactive\t0\t", plain.stdout, re.MULTILINE)


def test_status_without_the_right_management_key(running: tuple[Path, Gateway], tmp_path: Path) -> None:
    wrong = ask(running, "status", DRAGOMAN_MANAGEMENT_KEY="wrong")
    assert wrong.returncode == 0
    assert "the gateway does not take this management key" in wrong.stdout
    elsewhere = run(tmp_path, "status", environment=clean_environment(DRAGOMAN_URL=running[1].url))
    assert "credentials are shown to who has the management key: $DRAGOMAN_MANAGEMENT_KEY" in elsewhere.stdout


def test_nobody_answers(tmp_path: Path) -> None:
    for command in ("status", "top"):
        ended = run(tmp_path, command, "--url", "http://127.0.0.1:1")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "Error: no answer from the gateway at http://127.0.0.1:1: Connection refused\n"
        assert run(tmp_path, command, "--url", "nonsense").returncode == 2
    shown = json.loads(run(tmp_path, "status", "--json", "--url", "http://127.0.0.1:1").stdout)
    assert shown["fault"] == "Connection refused"


def test_top_in_a_pipe(running: tuple[Path, Gateway]) -> None:
    ended = ask(running, "top", "--interval", "0.2", "--count", "2")
    assert ended.returncode == 0
    assert ended.stdout.count("requests in flight") == 2


def test_top_on_a_terminal(running: tuple[Path, Gateway]) -> None:
    """Drawn, drawn again, ended with Ctrl-C, the screen given back."""
    folder, gateway = running
    ours, theirs = pty.openpty()
    environment = clean_environment(DRAGOMAN_URL=gateway.url, TERM="xterm-256color", COLUMNS="140", LINES="40")
    process = subprocess.Popen(
        [sys.executable, "-m", "dragoman", "top", "--interval", "0.2"], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )  # fmt: skip
    os.close(theirs)
    try:
        seen = _read_until(ours, lambda text: text.count("Ctrl-C ends") >= 2)
        assert "lab" in seen
        assert "5ecret" not in seen
        process.send_signal(signal.SIGINT)
        rest = _read_until(ours, lambda text: "\x1b[?1049l" in text)
        assert "Traceback" not in rest
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(descriptor: int, found: Callable[[str], bool]) -> str:
    text = ""
    deadline = time.monotonic() + PATIENCE
    while not found(text):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, text
        try:
            text += os.read(descriptor, 65536).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            assert found(text), text
    return text


def test_a_gateway_behind_tls(tmp_path: Path) -> None:
    """Its own certificate is trusted, whatever name it is for, as its configuration names it."""
    certificate = trustme.CA().issue_cert("gateway.example")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    path = tmp_path / "config.yaml"
    path.write_text(f"host: 127.0.0.1\napi-keys: [{KEY}]\ntls: {{enable: true, cert: cert.pem, key: key.pem}}\n")
    path.chmod(0o600)
    with serving(tmp_path, "trio") as gateway:
        assert gateway.url.startswith("https://")
        shown = json.loads(run(tmp_path, "status", "--json", "--url", gateway.url).stdout)
        assert shown["health"]["status"] == "ok"
        client = clean_environment(OPENAI_BASE_URL=f"{gateway.url}/v1", OPENAI_API_KEY=KEY)
        checked = run(tmp_path, "doctor", "--client", "--url", gateway.url, environment=client)
        assert checked.returncode == 0, checked.stdout
        (tmp_path / "elsewhere").mkdir()
        refused = run(tmp_path / "elsewhere", "status", "--url", gateway.url)
        assert "its certificate is not accepted" in refused.stderr
