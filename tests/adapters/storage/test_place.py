"""Where the state file is."""

from pathlib import Path

import pytest

from dragoman.adapters.planning import plan_serving, state_path
from dragoman.core.config import Config


def test_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the configuration says; else in the user's folder of state."""
    monkeypatch.setenv("HOME", "/home/anna")
    assert state_path(Config(state_file="none"), {"XDG_STATE_HOME": "/s"}) is None
    assert state_path(Config(state_file="/x/y"), {"XDG_STATE_HOME": "/s"}) == Path("/x/y")
    assert state_path(Config(), {"XDG_STATE_HOME": "/s"}) == Path("/s/dragoman/state.sqlite3")
    usual = Path("/home/anna/.local/state/dragoman/state.sqlite3")
    assert state_path(Config(), {}) == state_path(Config(), {"XDG_STATE_HOME": "relative"}) == usual


def test_without_a_file() -> None:
    """The demo saves nothing; providers of the environment are saved as others are. There is nothing to watch."""
    demo = plan_serving(None, {"XDG_STATE_HOME": "/s"})
    assert demo.is_demo
    assert demo.state_file is None
    assert demo.reread is None
    found = plan_serving(None, {"XDG_STATE_HOME": "/s", "OPENAI_API_KEY": "sk-1"})
    assert found.state_file == Path("/s/dragoman/state.sqlite3")
    assert found.reread is None


def test_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    path = tmp_path / "config.yaml"
    path.write_text("host: 127.0.0.1\napi-keys: [hunter2]\nstate-file: ~/kept\n")
    plan = plan_serving(path, {})
    assert plan.state_file == Path("/home/anna/kept")
    assert plan.reread is not None
    assert plan.reread() == plan
