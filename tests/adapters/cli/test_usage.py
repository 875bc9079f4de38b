"""``dragoman usage``."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters import planning
from dragoman.adapters.cli import dragoman
from dragoman.core.providers import PROVIDERS
from tests.adapters.storage.test_usage import entry, filled

TEXT = "host: 127.0.0.1\napi-keys: [hunter2]\nusage: {file: usage}\n"


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
    return CliRunner().invoke(dragoman, ("usage", *arguments))


ENTRIES = [
    entry(cost=720_000_000),
    entry(cost=10**12),
    entry(model="=evil\x1b[2J"),
    entry(model="=evil\x1b[2J", usage=None),
]


def test_a_table_when_piped(folder: Path) -> None:
    """Columns and nothing else; what is not known is said, and not as nothing."""
    filled(folder, ENTRIES)
    result = run()
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        [
            "model",
            "requests",
            "failed",
            "input",
            "output",
            "cache",
            "read",
            "cache",
            "write",
            "reasoning",
            "total",
            "not",
            "counted",
            "cost",
            "no",
            "price",
            "ms",
        ],
        ["m", "2", "0", "20", "10", "6", "4", "2", "30", "0", "1.0007", "0", "500"],
        ["=evil\\x1b[2J", "2", "0", "10", "5", "3", "2", "1", "15", "1", "-", "1", "500"],
        ["total", "4", "0", "30", "15", "9", "6", "3", "45", "1", "1.0007", "1", "500"],
    ]
    assert result.stderr == (
        "of 1 exchanges no provider counted the tokens: they are in no sum; "
        "1 have tokens without a price (`usage.prices`): they are in no cost\n"
    )


def test_columns_with_nothing_to_see_are_left_out(folder: Path) -> None:
    filled(folder, [entry(usage=None, status=429), entry(cost=1)])
    result = run("--by", "", "--status", "429")
    assert result.stdout.split() == [
        "requests",
        "failed",
        "input",
        "output",
        "total",
        "cost",
        "ms",
        "1",
        "1",
        "-",
        "-",
        "-",
        "-",
        "500",
    ]
    assert run("--by", "", "--status", "200").stdout.split()[-2] == "<0.0001"


def test_for_programs(folder: Path) -> None:
    filled(folder, ENTRIES)
    told = json.loads(run("--by", "provider,model", "--format", "json").stdout)
    assert [row["model"] for row in told["usage"]] == ["m", "=evil\x1b[2J"]
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv").stdout)))
    assert (rows[0]["model"], rows[0]["cost"], rows[0]["total_tokens"]) == ("m", "1.00072", "30")
    assert (rows[1]["model"], rows[1]["cost"]) == ("'=evil\\x1b[2J", "")  # no formula
    (row,) = csv.DictReader(io.StringIO(run("--format", "csv", "--by", "", "--since", "2027-01-16").stdout))
    assert (row["request_count"], row["total_tokens"], row["cost"]) == ("0", "", "")


def test_on_a_terminal(folder: Path) -> None:
    """With lines; nothing that a client chose moves the cursor."""
    filled(folder, ENTRIES)
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "dragoman", "usage"], stdout=slave, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "160", "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        assert process.wait() == 0
    os.close(master)
    text = shown.decode()
    assert "────" in text
    assert "\x1b[1m" in text
    assert "\x1b[2J" not in text
    assert "=evil\\x1b[2J" in text


def test_what_ends_it(folder: Path) -> None:
    missing = run()
    assert (missing.exit_code, missing.stderr) == (
        1,
        "there is no usage ledger at usage yet; a gateway begins one when it starts\n",
    )
    (folder / "usage").write_bytes(b"something else " * 100)
    assert run().exit_code == 1
    assert "cannot be read" in run().stderr
    for wrong in (["--since", "soon"], ["--by", "colour"], ["--until", "x"]):
        assert run(*wrong).exit_code == 2
    assert "--since: expected how long ago" in run("--since", "soon").stderr
    (folder / "config.yaml").write_text(TEXT.replace("file: usage", "enabled: false"))
    assert (run().exit_code, "no usage ledger is kept" in run().stderr) == (1, True)
    (folder / "config.yaml").write_text("nonsense: 1")
    assert run().exit_code == 1


def test_a_file_of_that_name(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    filled(folder, ENTRIES)
    assert run("--file", "usage", "--by", "").stdout.split()[-1] == "500"
    assert "xdg" in run().stderr


def test_more_groups_than_are_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(folder, [entry(model=f"m-{n}", cost=1) for n in range(1005)])
    result = run()
    assert "there are more groups than these 1000" in result.stderr
    assert result.stdout.splitlines()[-1].split()[:2] == ["total", "1,005"]
