"""``dragoman run`` with programs that say how they were started, in front of a real gateway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, Gateway, clean_environment, serving

_SAYS = """\
#!{python}
import json, os, pathlib, sys
home = os.environ.get("GEMINI_CLI_HOME", "/nowhere")
folder = pathlib.Path(home, ".gemini")
files = {{f.name: f.read_text() for f in folder.iterdir() if f.is_file()}} if folder.is_dir() else {{}}
print(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ), "files": files, "pid": os.getpid()}}))
sys.exit(7)
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serving(tmp_path_factory.mktemp("gateway"), "trio") as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("claude", "codex", "gemini", "opencode", "aider", "amp"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(_SAYS.format(python=sys.executable))
        path.chmod(0o755)
    return tmp_path


def run(home: Path, gateway: Gateway, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = clean_environment(
        HOME=str(home),
        PATH=str(home / "bin"),
        DRAGOMAN_URL=gateway.url,
        DRAGOMAN_CLIENT_KEY=gateway.key,
        TMPDIR=str(home),
    )
    return subprocess.run(
        [sys.executable, "-m", "dragoman", "run", *arguments],
        cwd=home, env=given | environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "variables"),
    [
        ("claude", {"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_AUTH_TOKEN": "{key}", "ANTHROPIC_MODEL": "demo/talk"}),
        ("claude-code", {"ANTHROPIC_BASE_URL": "{url}"}),
        ("codex", {"DRAGOMAN_CLIENT_KEY": "{key}"}),
        ("gemini", {"GOOGLE_GEMINI_BASE_URL": "{url}", "GEMINI_API_KEY": "{key}", "GEMINI_MODEL": "demo/talk"}),
        ("opencode", {"DRAGOMAN_CLIENT_KEY": "{key}"}),
        ("aider", {"OPENAI_API_BASE": "{url}/v1", "OPENAI_API_KEY": "{key}", "AIDER_MODEL": "openai/demo/talk"}),
    ],
)
def test_a_tool_is_started(home: Path, gateway: Gateway, tool: str, variables: dict[str, str]) -> None:
    """With its own arguments untouched; its exit code is ours; nothing stays on the disk."""
    before = sorted(home.rglob("*"))
    ended = run(
        home, gateway, "--model", "demo/talk", tool, "-p", "--model", "x", "--", "hi there", ANTHROPIC_API_KEY="no"
    )
    assert ended.returncode == 7, ended.stderr
    assert ended.stderr == ""
    found = json.loads(ended.stdout)
    assert found["arguments"][-5:] == ["-p", "--model", "x", "--", "hi there"]
    for name, template in variables.items():
        assert found["environment"][name] == template.format(url=gateway.url, key=gateway.key)
    assert ("ANTHROPIC_API_KEY" in found["environment"]) == (tool not in ("claude", "claude-code"))
    assert gateway.key not in " ".join(found["arguments"])
    assert sorted(home.rglob("*")) == before


def test_opencode_gets_a_whole_configuration(home: Path, gateway: Gateway) -> None:
    found = json.loads(run(home, gateway, "opencode").stdout)
    config = json.loads(found["environment"]["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["dragoman"]["options"]["baseURL"] == f"{gateway.url}/v1"
    assert "demo/talk" in config["provider"]["dragoman"]["models"]
    assert gateway.key not in found["environment"]["OPENCODE_CONFIG_CONTENT"]


def test_gemini_gets_a_home_for_the_while(home: Path, gateway: Gateway) -> None:
    real = home / ".gemini"
    (real / "tmp").mkdir(parents=True)
    (real / "settings.json").write_text(
        '{"theme": "x", // mine\n "security": {"auth": {"selectedType": "oauth-personal"}}}'
    )
    (real / "GEMINI.md").write_text("remember")
    (real / ".env").write_text("GEMINI_API_KEY=other")
    before = (real / "settings.json").read_bytes()
    found = json.loads(run(home, gateway, "gemini").stdout)
    assert '"theme": "x", // mine' in found["files"]["settings.json"]
    assert '"selectedType": "gemini-api-key"' in found["files"]["settings.json"]
    assert found["files"]["GEMINI.md"] == "remember"
    assert ".env" not in found["files"]
    assert (real / "settings.json").read_bytes() == before
    assert not Path(found["environment"]["GEMINI_CLI_HOME"]).exists()
    (real / "settings.json").write_text("[]")
    refused = run(home, gateway, "gemini")
    assert refused.returncode == 125
    assert "settings.json: it is not an object" in refused.stderr


def test_a_proxy_is_not_asked(home: Path, gateway: Gateway) -> None:
    found = json.loads(run(home, gateway, "codex", https_proxy="http://127.0.0.1:1", NO_PROXY="a,b").stdout)
    assert found["environment"]["no_proxy"] == found["environment"]["NO_PROXY"] == "a,b,127.0.0.1"


def test_settings_that_win_over_us_are_told(home: Path, gateway: Gateway) -> None:
    path = home / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://elsewhere", "X": "1"}}))
    ended = run(home, gateway, "claude")
    assert "warning: Claude Code's own settings.json sets ANTHROPIC_BASE_URL, which wins over this" in ended.stderr
    assert ended.returncode == 7
    path.write_text("[]")
    assert run(home, gateway, "claude").stderr == ""


def test_early_failures(home: Path, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each with its sentence and its exit code, before the tool is started."""
    empty = str(tmp_path_factory.mktemp("empty"))
    missing = run(home, gateway, "claude", PATH=empty)
    assert (missing.returncode, missing.stdout) == (127, "")
    assert "Claude Code is not installed: there is no 'claude' in $PATH" in missing.stderr
    for arguments, environment, what in (
        (
            ("--url", "http://127.0.0.1:1", "claude"),
            {},
            "no gateway answers at http://127.0.0.1:1 (Connection refused)",
        ),
        (("claude",), {"DRAGOMAN_CLIENT_KEY": "sk-wrong"}, "does not take this client key"),
        (("claude",), {"DRAGOMAN_CLIENT_KEY": ""}, "no client key is known"),
        (("amp",), {}, "Amp's CLI asks the server at AMP_URL for its account first (/api/internal)"),
        (("--key-name", "x", "claude"), {}, "there is no client key named 'x'"),
    ):
        ended = run(home, gateway, *arguments, **environment)
        assert (ended.returncode, ended.stdout) == (125, "")
        assert what in ended.stderr
    broken = home / "bin" / "claude"
    broken.write_bytes(b"\x7fELF nonsense")
    ended = run(home, gateway, "claude")
    assert ended.returncode == 126
    assert "Claude Code cannot be started: Exec format error" in ended.stderr


def test_another_server_is_no_gateway(home: Path, gateway: Gateway, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )  # fmt: skip
    with server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            ended = run(home, gateway, "--url", f"http://127.0.0.1:{port}", "claude")
        finally:
            server.kill()
    assert ended.returncode == 125
    assert "is not this gateway: /health gave 404" in ended.stderr


def test_signals_reach_gemini(home: Path, gateway: Gateway) -> None:
    """It does not take our place, so they are handed on; its home is taken away all the same."""
    (home / "bin" / "gemini").write_text(
        f"#!{sys.executable}\nimport os, signal\nprint(os.environ['GEMINI_CLI_HOME'], flush=True)\nsignal.pause()\n"
    )
    environment = clean_environment(
        HOME=str(home), PATH=str(home / "bin"), DRAGOMAN_URL=gateway.url, DRAGOMAN_CLIENT_KEY=gateway.key
    )
    with subprocess.Popen(
        [sys.executable, "-m", "dragoman", "run", "gemini"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        place = process.stdout.readline().strip()
        assert os.path.isdir(place)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not os.path.exists(place)


def test_an_open_gateway_wants_no_key(home: Path, gateway: Gateway) -> None:
    """Tools insist on a key; any will do."""
    config = home / "config.yaml"
    config.write_text("host: 127.0.0.1\nallow-open: true\n")
    config.chmod(0o600)
    with serving(home, "trio") as opened:
        found = json.loads(run(home, opened, "claude", DRAGOMAN_CLIENT_KEY="").stdout)
    assert found["environment"]["ANTHROPIC_AUTH_TOKEN"] == "none"
