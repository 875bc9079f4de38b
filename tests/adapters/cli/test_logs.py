"""``dragoman logs``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters import planning
from dragoman.adapters.cli import dragoman
from dragoman.adapters.logs import text_line
from dragoman.core.providers import PROVIDERS

LINES = [
    text_line(1_800_000_000.0 + n, level, "exchange", {"n": n}) for n, level in enumerate(["info", "error", "info"])
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for known in PROVIDERS:
        for variable in (*known.key_variables, *known.url_variables, planning.CONFIG_VARIABLE):
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "config.yaml").write_text("host: 127.0.0.1\napi-keys: [hunter2]\nlogs-dir: kept\n")
    (tmp_path / "config.yaml").chmod(0o600)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "main.log").write_text("".join(f"{line}\n" for line in LINES))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, ("logs", *arguments))


def test_lines() -> None:
    assert run().stdout.splitlines() == LINES
    assert run("-n", "1").stdout.splitlines() == LINES[2:]
    assert run("--level", "error").stdout.splitlines() == [LINES[1]]
    assert run("--grep", "n=[01]").stdout.splitlines() == LINES[:2]


def test_what_ends_it(folder: Path) -> None:
    assert run("--dir", "nowhere").exit_code == 1
    assert "logging-to-file: true" in run("--dir", "nowhere").stderr
    assert run("--grep", "(").exit_code == 2
    (folder / "config.yaml").write_text("nonsense: 1")
    assert run().exit_code == 1


def test_followed(folder: Path) -> None:
    """A process of its own sees what another writes, and nothing moves its cursor."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dragoman", "logs", "-f", "-n", "1", "--grep", "n="]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().decode().rstrip("\n") == LINES[2]
        with (folder / "kept" / "main.log").open("a") as file:
            file.write("other\nn=1 \x1b[2J\n")
        assert process.stdout.readline() == b"n=1 \\x1b[2J\n"
        process.stdout.close()
    finally:
        process.kill()
        process.wait()
