"""New tokens on their way to their files."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.adapters.renewals import Renewals
from dragoman.core.credentials.oauth import NewToken
from dragoman.core.renewing import Kept

DATA = {"type": "claude", "access_token": "at-0", "refresh_token": "rt-0", "zz": 1}


def new(n: int, used: str, *, rotates: bool = True) -> Kept:
    return Kept("id", "a.json", used, NewToken(f"at-{n}", f"rt-{n}" if rotates else ""), 1_795_564_800.0)


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def held(folder: Path) -> tuple[str, str]:
    data = json.loads((folder / "a.json").read_text())
    assert data["zz"] == 1
    return data["access_token"], data["refresh_token"]


def told(renewals: Renewals, count: int = 1) -> list[str]:
    """Whom it is done with; waits for `count` of them."""
    done: list[str] = []

    def enough() -> bool:
        done.extend(renewals.kept())
        return len(done) >= count

    until(enough)
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text(json.dumps(DATA))
    return tmp_path


def test_written_then_told(folder: Path) -> None:
    warnings: list[str] = []
    renewals = Renewals(lambda: folder, warnings.append)
    assert renewals.kept() == []
    renewals.keep(new(1, "rt-0"))
    assert told(renewals) == ["id"]
    assert held(folder) == ("at-1", "rt-1")
    renewals.keep(new(2, "rt-1"))
    renewals.close()  # what is left is written
    assert held(folder) == ("at-2", "rt-2")
    assert warnings == []


def test_a_file_of_somebody_else_and_none(folder: Path) -> None:
    warnings: list[str] = []
    renewals = Renewals(lambda: folder, warnings.append)
    renewals.keep(new(1, "another"))
    told(renewals)
    assert held(folder) == ("at-0", "rt-0")
    (folder / "a.json").unlink()
    renewals.keep(new(1, "rt-0"))
    renewals.close()
    assert not (folder / "a.json").exists()
    assert warnings == []


@pytest.mark.parametrize("ends", [False, True])
def test_a_disk_that_fails_for_a_while(folder: Path, ends: bool) -> None:
    """Told once; the token is used all the same; both renewals come to one writing, which finds the refresh token that the first used."""
    (folder / "a.json").write_text("{")
    warnings: list[str] = []
    renewals = Renewals(lambda: folder, warnings.append, again=60.0 if ends else 0.05)
    renewals.keep(new(1, "rt-0"))
    renewals.keep(new(2, "rt-1", rotates=False))
    told(renewals, 2)
    assert [line.partition(":")[0] for line in warnings] == ["a.json", "a.json"]
    assert all("could not be written" in line for line in warnings)
    assert "at-" not in str(warnings)
    (folder / "new").write_text(json.dumps(DATA))
    (folder / "new").replace(folder / "a.json")
    if ends:
        renewals.close()
    until(lambda: len(warnings) == 3)
    assert "is written now" in warnings[2]
    assert held(folder) == ("at-2", "rt-1")
    renewals.close()


def test_a_disk_that_fails_to_the_end(folder: Path) -> None:
    (folder / "a.json").write_text("{")
    renewals = Renewals(lambda: folder, lambda text: None)
    renewals.keep(new(1, "rt-0"))
    renewals.close()
    assert (folder / "a.json").read_text() == "{"
