"""``dragoman notify``: checks without sending, or sends one notice; shows no secret."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dragoman.adapters.cli import notify
from tests.adapters.notifications.webhook import SECRET, webhook


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(notify.command, list(arguments))
    return result.exit_code, result.output


def test_the_form_is_checked_and_nothing_is_sent() -> None:
    with webhook() as hook:
        assert run("--dry-run", hook.url) == (0, "argument 1: ok (JSON)\n")
        code, output = run("--dry-run", hook.url, f"jsn://{SECRET}")
        assert hook.told.empty()
    assert code == 1
    assert "argument 2: Apprise cannot read this URL" in output
    assert SECRET not in output


def test_a_canary_to_everybody_of_the_configuration(tmp_path: Path) -> None:
    with webhook() as hook:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"allow-open: true\nhost: 127.0.0.1\nnotifications:\n- {{name: ops, url: '{hook.url}'}}\n- '{hook.url}&x=1'\n"
        )
        assert run("--canary", "--config", str(config)) == (0, "ops: sent\njson-2: sent\n")
        told = [hook.told.get(timeout=10) for _ in range(2)]
    assert {one["title"] for one in told} == {"dragoman canary"}
    assert {one["message"] for one in told} == {"provider routing notification check"}


def test_nobody_accepts_it() -> None:
    with webhook() as hook:
        hook.statuses += [500] * 3
        assert run("--canary", hook.url) == (1, "argument 1: it was not accepted, or nobody is there\n")


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--dry-run", "--canary")[0] == run()[0] == 2
    config = tmp_path / "config.yaml"
    config.write_text("allow-open: true\nhost: 127.0.0.1\n")
    code, output = run("--dry-run", "--config", str(config))
    assert (code, "nobody is notified" in output) == (1, True)
    config.write_text(f"notifications: [{SECRET}]\n")
    code, output = run("--dry-run", "--config", str(config))
    assert code == 1
    assert "expected an Apprise URL" in output
    assert SECRET not in output
    monkeypatch.setattr(notify, "is_installed", lambda: False)
    code, output = run("--dry-run", "json://x")
    assert (code, "pip install" in output) == (1, True)
