"""``dragoman run``: what is said when nothing is started. Starting is seen end to end."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters.cli import dragoman
from dragoman.adapters.connect import starting
from tests.small_server import Said, small_server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DRAGOMAN_URL", "DRAGOMAN_CONFIG", "DRAGOMAN_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("claude", "opencode"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 6\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, ["run", *arguments])


def test_no_key() -> None:
    found = run("claude")
    assert found.exit_code == 125
    assert "no client key is known: put it into $DRAGOMAN_CLIENT_KEY" in found.output


def test_not_installed() -> None:
    found = run("codex")
    assert found.exit_code == 127
    assert "Codex CLI is not installed" in found.output


def test_a_wrong_url() -> None:
    assert run("--url", "nonsense", "claude").exit_code == 125


@pytest.mark.parametrize("name", ["claude", "opencode"])
def test_a_tool_ends_as_it_ends(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(starting, "IS_POSIX", False)  # this process is needed still
    monkeypatch.setenv("DRAGOMAN_CLIENT_KEY", "sk-1")
    (folder / ".claude").mkdir()
    (folder / ".claude" / "settings.json").write_text('{"env": {"ANTHROPIC_BASE_URL": "http://elsewhere"}}')
    answers = {"/health": Said(200, b'{"status": "ok"}'), "/v1/models": Said(200, b'{"data": [{"id": "m"}]}')}
    with small_server(answers) as server:
        found = run("--url", server.url, name, "--anything")
    assert found.exit_code == 6
    assert ("warning: Claude Code's own settings.json sets ANTHROPIC_BASE_URL" in found.output) == (name == "claude")


def test_it_is_one_of_ours() -> None:
    assert run("openai").exit_code == 2
