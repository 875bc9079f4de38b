"""``dragoman connect``: the lines, and the tools' files."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from dragoman.adapters.cli import dragoman
from dragoman.adapters.connect.tools import ALIASES, TOOLS

KEY = "sk-c1ient-5ecret"
CONFIG = f"""\
host: 127.0.0.1
port: 18417
api-keys: [{{name: anna, key: {KEY}}}, {{name: bert, key-hash: '{"0" * 64}'}}, {{name: carl, key: sk-carl}}]
openai-compatibility: [{{name: lab, base-url: 'http://lab.example/v1', models: [{{name: big}}, {{name: small}}]}}]
"""
FILES = {
    "claude-code": ".claude/settings.json", "codex": ".codex/config.toml", "gemini": ".gemini/settings.json",
    "opencode": ".config/opencode/opencode.json", "aider": ".aider.conf.yml",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for tool in TOOLS.values():
        for name in (*dict(tool.variables), *tool.clears, *(file.moved_by for file in tool.files)):
            monkeypatch.delenv(name or "NONE", raising=False)
    for name in ("DRAGOMAN_URL", "DRAGOMAN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "config.yaml").chmod(0o600)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, ["connect", *arguments])


@pytest.mark.parametrize("name", [*TOOLS, *ALIASES])
def test_the_key_is_shown_only_when_asked_for(name: str) -> None:
    plain, shown, as_json = run(name), run(name, "--show-key"), run(name, "--json")
    assert (plain.exit_code, shown.exit_code, as_json.exit_code) == (0, 0, 0)
    assert KEY not in plain.output + as_json.output
    assert KEY in shown.output
    assert "http://127.0.0.1:18417" in plain.output
    assert json.loads(as_json.output)["url"] == "http://127.0.0.1:18417"


@pytest.mark.parametrize("name", ["openai", "anthropic", "google-genai", "claude-code", "gemini", "aider"])
def test_the_lines_can_be_evaluated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "old")
    script = f"{run(name, '--model', 'big').output}\nenv"
    found = subprocess.run(["sh", "-eu", "-c", script], env={**os.environ, "DRAGOMAN_CLIENT_KEY": "sk-here"}, capture_output=True, text=True, check=True)  # fmt: skip
    environment = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    for variable, template in TOOLS[name].variables:
        assert environment[variable] == template.format(url="http://127.0.0.1:18417", key="sk-here", model="big")
    assert ("ANTHROPIC_API_KEY" in environment) == (name != "claude-code")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("show_key", [False, True])
def test_write_and_undo(home: Path, name: str, show_key: bool) -> None:
    path = home / FILES[name]
    options = ["--show-key"] if show_key else []
    wrote = run(name, "--write", *options)
    assert wrote.exit_code == 0, wrote.output
    assert f"wrote {path}" in wrote.output
    assert KEY not in wrote.output
    text = "".join(file.read_text() for file in home.rglob("*") if file.is_file() and file.name != "config.yaml")
    assert (KEY in text) == show_key
    assert "18417" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = run(name, "--write", *options)
    assert "says so already" in again.output
    assert "wrote" not in again.output
    undone = run(name, "--undo")
    assert undone.exit_code == 0
    assert [file.name for file in home.rglob("*") if file.is_file()] == ["config.yaml"]
    nothing = run(name, "--undo")
    assert nothing.exit_code == 1
    assert "nothing to take back" in nothing.output


def test_what_was_there_stays(home: Path) -> None:
    path = home / ".aider.conf.yml"
    path.write_text("# mine\ndark-mode: true\n")
    run("aider", "--write", "--show-key", "--model", "big")
    assert yaml.safe_load(path.read_text()) == {
        "dark-mode": True,
        "openai-api-base": "http://127.0.0.1:18417/v1",
        "openai-api-key": KEY,
        "model": "openai/big",
    }
    assert path.read_text().startswith("# mine\n")
    run("aider", "--undo")
    assert path.read_text() == "# mine\ndark-mode: true\n"


def test_a_file_that_cannot_be_edited_stays(home: Path) -> None:
    path = home / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text("{nonsense")
    found = run("claude-code", "--write")
    assert found.exit_code == 1
    assert f"{path}: it is not valid JSON at character 2; it is left as it is" in found.output
    assert path.read_text() == "{nonsense"
    path.write_bytes(b"\xff")
    assert "not a text in UTF-8" in run("claude-code", "--write").output


def test_opencode_is_told_what_the_configuration_has(home: Path) -> None:
    run("opencode", "--write")
    models = json.loads((home / FILES["opencode"]).read_text())["provider"]["dragoman"]["models"]
    assert models == {"big": {}, "small": {}}
    (home / "config.yaml").unlink()
    found = run("opencode", "--url", "http://127.0.0.1:1")
    assert found.exit_code == 1
    assert "say --model NAME" in found.output
    assert run("opencode", "--url", "http://127.0.0.1:1", "--model", "x").exit_code == 0


def test_which_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sk-carl" in run("openai", "--show-key", "--key-name", "carl").output
    assert "only the hash is known" in run("openai", "--show-key", "--key-name", "bert").output
    unknown = run("openai", "--key-name", "dora")
    assert unknown.exit_code == 1
    assert "no client key named 'dora' in the configuration; there are: anna, bert, carl" in unknown.output
    monkeypatch.setenv("DRAGOMAN_CLIENT_KEY", "sk-env")
    assert "sk-env" in run("openai", "--show-key").output
    monkeypatch.delenv("DRAGOMAN_CLIENT_KEY")
    (home / "config.yaml").unlink()
    none = run("openai", "--show-key")
    assert none.exit_code == 1
    assert "no client key is known: put it into $DRAGOMAN_CLIENT_KEY" in none.output


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://x", "unknown scheme"), ("socks5://x", "expected http:// or https://"), ("nonsense", "expected a URL"),
        ("http://x/v1", "without /v1 at its end"), ("http://x/v1beta/", "without /v1 at its end"),
    ],
)  # fmt: skip
def test_urls_that_will_not_do(url: str, what: str) -> None:
    found = run("openai", "--url", url)
    assert found.exit_code == 1
    assert what in found.output


def test_which_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_URL", "http://env.example:1/")
    assert "export OPENAI_BASE_URL=http://env.example:1/v1\n" in run("openai").output
    assert "http://option.example/v1" in run("openai", "--url", "http://option.example").output
    monkeypatch.delenv("DRAGOMAN_URL")
    (home / "config.yaml").unlink()
    assert "http://127.0.0.1:8317/v1" in run("openai").output


def test_a_wrong_configuration_is_said(home: Path) -> None:
    (home / "config.yaml").write_text("prot: 1\n")
    found = run("openai")
    assert found.exit_code == 1
    assert "did you mean 'port'" in found.output


def test_what_cannot_be(home: Path) -> None:
    assert run("codex", "--write", "--undo").exit_code == 2
    assert "it reads the environment" in run("openai", "--write").output
    assert run("nobody").exit_code == 2
