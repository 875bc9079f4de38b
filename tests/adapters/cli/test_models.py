"""``dragoman models`` and what ``dragoman check`` says of names."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters import planning
from dragoman.adapters.cli import dragoman
from dragoman.adapters.clock import Clock
from dragoman.adapters.planning import plan_serving
from dragoman.adapters.storage.sqlite import StateFile, records_of
from dragoman.core.providers import PROVIDERS
from dragoman.core.routing.router import Router

TEXT = """\
host: 127.0.0.1
api-keys: [hunter2]
state-file: state
openai-compatibility:
  - {name: a, base-url: 'http://a/v1', models: [{name: up, alias: big}], api-key-entries: [{api-key: sk-1}, {api-key: sk-2}], priority: 2}
  - {name: b, base-url: 'http://b/v1', models: [{name: big}]}
  - {name: c, base-url: 'http://c/v1', models: [{name: big}], disabled: true}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    for known in PROVIDERS:
        for variable in (*known.key_variables, *known.url_variables, planning.CONFIG_VARIABLE):
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "config.yaml").write_text(TEXT)
    (tmp_path / "config.yaml").chmod(0o600)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, arguments)


def test_a_list() -> None:
    assert run("models").output == "big  (a)\n"
    assert json.loads(run("models", "--json").output) == [{"id": "big", "provider": "a"}]


def test_an_explanation(folder: Path) -> None:
    """In order, with the reason of each who is out: here a cooldown from the state file, and a provider that is disabled."""
    assert run("models", "--explain", "big(high)").exit_code == 0
    config = plan_serving(folder / "config.yaml", {}).config
    now = Clock().now()
    router = Router(config, "test", draw=lambda: 0.5, now=now)
    identity = next(name for name, member in router.pool.members.items() if member.label == "key-1")
    standing = ["REJECTED", now + 500, 0.0, "401: who is that?", 0]
    saved = {"members": {identity: {"standing": standing, "models": {}, "quota": []}}}
    whole, _ = records_of({"pool": saved, "allowances": {}, "affinities": []})
    file = StateFile(folder / "state", now)
    file.write(dict(whole), now)
    file.close()
    result = run("models", "--explain", "big(high)")
    lines = result.output.splitlines()
    assert lines[0] == "big(high):"
    assert "  1. a/key-2 as up (priority 2, weight 1)" in lines
    assert "  2. b/keyless as big (priority 0, weight 1)" in lines
    assert any(line.startswith("  -  a/key-1 as up (priority 2, weight 1): rejected for ") for line in lines)
    assert "  -  c as big: the provider is disabled" in lines
    assert "sk-1" not in result.output
    data = json.loads(run("models", "--explain", "big", "--json").output)
    assert [one["credential"] for one in data["candidates"]] == ["key-2", "keyless", "key-1", ""]


def test_nobody(folder: Path) -> None:
    """Exit code 1; a state file that cannot be read is a warning."""
    (folder / "state").write_text("something else")
    result = run("models", "--explain", "bog")
    assert result.exit_code == 1
    assert "big" in result.output
    assert "cooldowns are not known" in result.output
    (folder / "config.yaml").write_text("prot: 1")
    assert run("models").exit_code == 1


def test_the_demo(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    assert "demo/echo  (demo)" in run("models").output
    assert run("models", "--explain", "demo/echo").exit_code == 0
    assert not (folder / "xdg").exists()


def test_check_tells_of_names_that_are_shared() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "'big'" in result.stderr
