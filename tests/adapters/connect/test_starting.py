"""What is looked at before a tool is started, and how it is; the starting itself is seen end to end."""

import json
import signal
import sys
from pathlib import Path

import attrs
import pytest

from dragoman.adapters.connect import starting
from dragoman.adapters.connect.starting import StartError, check_gateway, find_program, overriders, prepared, start
from dragoman.adapters.connect.telling import Told
from dragoman.adapters.connect.tools import TOOLS
from tests.small_server import Said, small_server

TOLD = Told("http://127.0.0.1:8317", "sk-5ecret", "m")
WELL = {"/health": Said(200, b'{"status": "ok"}'), "/v1/models": Said(200, b'{"data": []}')}


def test_a_gateway_that_is_well() -> None:
    with small_server(WELL | {"/api/internal": Said(200)}) as server:
        for name in ("claude-code", "amp"):
            check_gateway(TOOLS[name], attrs.evolve(TOLD, url=server.url), None)
        assert server.asked[1][2]["authorization"] == "Bearer sk-5ecret"


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({}, "is not this gateway: /health gave 404"),
        ({"/health": Said(200, b"{}")}, "is not this gateway: /health gave 200"),
        (WELL | {"/v1/models": Said(401)}, "does not take this client key"),
        (WELL, "is not started"),
    ],
)
def test_failing_early(answers: dict[str, Said], what: str) -> None:
    with small_server(answers) as server, pytest.raises(StartError, match=what) as raised:
        check_gateway(TOOLS["amp"], attrs.evolve(TOLD, url=server.url), None)
    assert raised.value.code == 125
    assert "5ecret" not in str(raised.value)


def test_nobody_there() -> None:
    with pytest.raises(StartError, match="no gateway answers at"):
        check_gateway(TOOLS["codex"], attrs.evolve(TOLD, url="http://127.0.0.1:1"), None)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="Aider is not installed") as raised:
        find_program(TOOLS["aider"], {"PATH": str(tmp_path)})
    assert raised.value.code == 127


def test_the_environment() -> None:
    given = {"ANTHROPIC_API_KEY": "other", "HTTPS_PROXY": "http://p", "no_proxy": "x", "MINE": "1"}
    found = prepared(TOOLS["claude-code"], TOLD, given)
    assert found["ANTHROPIC_AUTH_TOKEN"] == "sk-5ecret"
    assert found["no_proxy"] == found["NO_PROXY"] == "x,127.0.0.1"
    assert found["MINE"] == "1"
    assert "ANTHROPIC_API_KEY" not in found
    assert "NO_PROXY" not in prepared(TOOLS["claude-code"], TOLD, {})
    config = json.loads(prepared(TOOLS["opencode"], TOLD, {})["OPENCODE_CONFIG_CONTENT"])
    assert config["model"] == "dragoman/m"


def test_who_wins_over_the_environment(tmp_path: Path) -> None:
    environment = {"CLAUDE_CONFIG_DIR": str(tmp_path)}
    assert overriders(TOOLS["claude-code"], TOLD, environment) == []
    (tmp_path / "settings.json").write_text(
        json.dumps({"env": {"ANTHROPIC_BASE_URL": TOLD.url, "ANTHROPIC_AUTH_TOKEN": "other", "ANTHROPIC_API_KEY": "x"}})
    )
    assert overriders(TOOLS["claude-code"], TOLD, environment) == ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"]
    assert overriders(TOOLS["codex"], TOLD, environment) == []


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return {"PATH": str(path.parent), "HOME": str(folder)}


def test_gemini_is_run_with_a_home_of_its_own(tmp_path: Path) -> None:
    said = tmp_path / "said"
    environment = program(
        tmp_path,
        "gemini",
        "import os, pathlib, sys\n"
        "home = pathlib.Path(os.environ['GEMINI_CLI_HOME'], '.gemini')\n"
        f"pathlib.Path({str(said)!r}).write_text(home.joinpath('settings.json').read_text() + str(home) + home.joinpath('note').read_text())\n"
        "sys.exit(3)",
    )
    (tmp_path / ".gemini").mkdir()
    (tmp_path / ".gemini" / "note").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        start(TOOLS["gemini"], TOLD, ["-p", "x"], environment)
    assert ended.value.code == 3
    assert '"selectedType": "gemini-api-key"' in said.read_text()
    assert said.read_text().endswith("mine")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_gemini_ended_by_a_signal(tmp_path: Path) -> None:
    environment = program(tmp_path, "gemini", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(SystemExit) as ended:
        start(TOOLS["gemini"], TOLD, [], environment)
    assert ended.value.code == 128 + signal.SIGKILL


def test_settings_that_cannot_be_edited(tmp_path: Path) -> None:
    environment = program(tmp_path, "gemini", "")
    (tmp_path / ".gemini").mkdir()
    (tmp_path / ".gemini" / "settings.json").write_text("{nonsense")
    with pytest.raises(StartError, match=r"settings\.json: it is not valid JSON"):
        start(TOOLS["gemini"], TOLD, [], environment)


def test_other_tools_take_our_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen end to end in processes of their own; here, that it is `execve` where there is one, and a child elsewhere."""
    environment = program(tmp_path, "codex", "import sys\nsys.exit(4)")
    monkeypatch.setattr(starting, "IS_POSIX", False)
    with pytest.raises(SystemExit) as ended:
        start(TOOLS["codex"], TOLD, [], environment)
    assert ended.value.code == 4
    (tmp_path / "bin" / "codex").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(StartError, match="Codex CLI cannot be started") as raised:
        start(TOOLS["codex"], TOLD, [], environment)
    assert raised.value.code == 126
    monkeypatch.setattr(starting, "IS_POSIX", True)
    with pytest.raises(StartError, match="Codex CLI cannot be started"):
        start(TOOLS["codex"], TOLD, [], environment)
