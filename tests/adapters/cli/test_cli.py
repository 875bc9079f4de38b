"""Commands: their exit codes, what they print where, and what they import."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman import __version__
from dragoman.adapters import planning
from dragoman.adapters.cli import COMMANDS, dragoman
from dragoman.adapters.cli import serve as serve_module
from dragoman.adapters.planning import Plan
from dragoman.core.providers import PROVIDERS

GOOD = "host: ''\napi-keys: [hunter2]\npprof: {enable: true}\nopenai-compatibility: [{name: lab, base-url: 'http://lab/v1'}]\n"
BAD = "api-keys: [hunter2]\nport: x\nprot: 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an environment without providers."""
    monkeypatch.chdir(tmp_path)
    for known in PROVIDERS:
        for variable in (*known.key_variables, *known.url_variables, planning.CONFIG_VARIABLE):
            monkeypatch.delenv(variable, raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run a command within this process."""
    return CliRunner().invoke(dragoman, arguments)


def test_version() -> None:
    """``python -m dragoman`` is the command; little is imported for so little."""
    code = "import sys, runpy\nsys.argv = ['dragoman', '--version']\ntry: runpy.run_module('dragoman', run_name='__main__')\n"
    code += "except SystemExit as e: print(e.code, {'yaml', 'trio', 'asyncio', 'logging'} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == f"dragoman, version {__version__}\n0 set()\n"


def test_help_names_every_command() -> None:
    """Without importing them; each has a help of its own."""
    text = run("--help").output
    for name, purpose in COMMANDS.items():
        assert f"{name} " in text
        assert purpose in text
        assert run(name, "--help").exit_code == 0
    assert run("sevre").exit_code == 2


def test_check_of_a_good_file(folder: Path) -> None:
    """What would be served on stdout, warnings on stderr, no secret anywhere."""
    (folder / "config.yaml").write_text(GOOD)
    (folder / "config.yaml").chmod(0o600)
    result = run("check")
    assert result.exit_code == 0
    assert "provider       lab" in result.stdout
    assert result.stderr == ("warning: config.yaml:3:1: pprof: 'pprof' is not implemented yet and has no effect\n")
    assert "hunter2" not in result.output


def test_check_of_a_bad_file(folder: Path) -> None:
    """A line for each mistake, with its place."""
    (folder / "bad.yaml").write_text(BAD)
    result = run("check", "--config", "bad.yaml")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.split(":")[:3] for line in result.stderr.splitlines()[:2]] == [
        ["bad.yaml", "2", "1"],
        ["bad.yaml", "3", "1"],
    ]
    assert result.stderr.endswith("2 mistakes; nothing can be served\n")
    assert "hunter2" not in result.output


def test_check_by_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is named must be there."""
    monkeypatch.setenv("DRAGOMAN_CONFIG", "elsewhere.yaml")
    result = run("check")
    assert result.exit_code == 1
    assert result.stderr.startswith("elsewhere.yaml: cannot be read: No such file")
    assert "1 mistake;" in result.stderr


def test_check_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file it is the environment's providers, or the demo."""
    assert "demo (built in)" in run("check").stdout
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    monkeypatch.setenv("GROQ_API_KEY", "hunter2")
    monkeypatch.setenv("GROQ_BASE_URL", "http://localhost:8317")
    result = run("check")
    assert "provider       openai" in result.stdout
    assert "warning: GROQ_BASE_URL: leads to this gateway itself" in result.stderr
    assert "hunter2" not in result.output


def test_init_writes_what_check_accepts(folder: Path) -> None:
    """Private, with a fresh key, and without a warning but that no provider is there yet."""
    result = run("init")
    assert result.exit_code == 0
    text = (folder / "config.yaml").read_text()
    if os.name == "posix":
        assert stat.S_IMODE((folder / "config.yaml").stat().st_mode) == 0o600
    checked = run("check")
    assert checked.exit_code == 0
    assert checked.stderr.count("warning") == 1
    assert "every model is unknown" in checked.stderr
    assert run("init", "other.yaml").output.endswith("dragoman check --config other.yaml\n")
    assert (folder / "other.yaml").read_text() != text


def test_init_with_everything_uncommented(folder: Path) -> None:
    """What the comments show is right, too: the defaults, and a provider."""
    run("init")
    lines = (folder / "config.yaml").read_text().splitlines()
    shown = [line[2:] if re.match(r"#   |# [a-z-]+:", line) else line for line in lines]
    shown = [line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in shown]
    path = folder / "all.yaml"
    path.write_text("\n".join(shown))
    path.chmod(0o600)
    secrets = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "LAB_API_KEY")
    plan = planning.plan_serving(path, dict.fromkeys(secrets, "x"))
    assert plan.notices == ()
    names = ["claude", "gemini", "codex", "openrouter", "ollama", "lab"]
    assert [provider.name for provider in plan.config.providers] == names
    default = planning.plan_serving(folder / "config.yaml", {}).config
    assert (plan.config.timeouts, plan.config.limits) == (default.timeouts, default.limits)


def test_init_never_overwrites(folder: Path) -> None:
    """Nor follows a link, nor makes folders."""
    (folder / "config.yaml").write_text("mine")
    (folder / "link.yaml").symlink_to(folder / "target.yaml")
    for arguments in (["init"], ["init", "."], ["init", "link.yaml"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "exists already and is left as it is" in result.output
    assert (folder / "config.yaml").read_text() == "mine"
    assert not (folder / "target.yaml").exists()
    assert "does not exist; make it first" in run("init", "no/where.yaml").output
    (folder / "file").write_text("")
    assert "cannot be written" in run("init", "file/x.yaml").output


def test_serve_plans_and_serves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options reach the plan; warnings go to stderr first; the greeting comes when it listens."""
    plans: list[Plan] = []

    def serve(plan: Plan, announce: Callable[[int], None]) -> None:
        plans.append(plan)
        announce(4242)

    monkeypatch.setattr(serve_module, "serve", serve)
    (folder / "config.yaml").write_text(GOOD)
    (folder / "config.yaml").chmod(0o600)
    result = run("serve", "--transport", "asyncio", "--host", "127.0.0.1", "--port", "0", "--log-format", "json")
    assert result.exit_code == 0
    assert result.stdout == "Dragoman listens on http://127.0.0.1:4242 (asyncio).\nConfiguration: config.yaml\n"
    assert "warning: config.yaml:3:1: pprof" in result.stderr
    (config, transport) = plans[0].config, plans[0].transport
    assert (config.host, config.port, config.log_format, transport) == ("127.0.0.1", 0, "json", "asyncio")


def test_serve_refuses(folder: Path) -> None:
    """A mistake ends it with 1 before anything listens; so does an open door."""
    (folder / "config.yaml").write_text("host: ''\nallow-open: true\n")
    result = run("serve")
    assert result.exit_code == 1
    assert "config.yaml:2:1: allow-open: serving without client keys" in result.stderr
    assert run("serve", "--transport", "curio").exit_code == 2
    assert run("serve", "--port", "65536").exit_code == 2
