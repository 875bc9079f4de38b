"""The ledger's file: whole transactions, nobody else's business, and what is damaged is moved aside."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from dragoman.adapters.storage import database
from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage import UsageQuery, read_usage
from dragoman.adapters.storage.usage_file import UsageFile
from dragoman.core.chat.usage import TokenUsage
from tests.adapters.storage.test_usage import NOW, entry


def count(path: Path) -> int:
    return read_usage(path, UsageQuery(())).total.requests


def test_rows_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a" / "usage"
    file = UsageFile(path, NOW)
    file.add([entry(), attrs.evolve(entry(), streamed=True, usage=None, first_byte=None)], NOW)
    file.add([], NOW)
    file.close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM exchanges").fetchall()
    same = (NOW, "req", "anna", "claude", "m", "lab", "key-1", "up-m", 200, "")
    assert rows == [
        (*same, 0, 1, 1, 10, 5, 1, 3, 2, 15, 0.5, 0.25, None),
        (*same, 1, 1, 0, None, None, None, None, None, None, 0.5, None, None),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_all_or_none(tmp_path: Path) -> None:
    file = UsageFile(tmp_path / "usage", NOW)
    too_large = attrs.evolve(entry(), usage=TokenUsage(2**63))
    with pytest.raises(OverflowError):
        file.add([entry()] * 150 + [too_large], NOW)
    file.add([entry()], NOW)
    file.close()
    assert count(tmp_path / "usage") == 1


def test_pruned_in_steps(tmp_path: Path) -> None:
    file = UsageFile(tmp_path / "usage", NOW)
    file.add([entry(NOW + n) for n in range(10)], NOW)
    assert file.prune(NOW + 7, most=4)
    assert count(tmp_path / "usage") == 6
    assert not file.prune(NOW + 7, most=4)
    file.close()
    assert count(tmp_path / "usage") == 3


def test_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is locked is not damaged: it stays where it is."""
    monkeypatch.setattr(database, "BUSY", 0.01)
    path = tmp_path / "usage"
    file = UsageFile(path, NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"usage ledger .* cannot be written \(database is locked\)"):
            file.add([entry()], NOW)
        with pytest.raises(StorageError, match="locked"):
            file.prune(NOW)
    file.add([entry()], NOW)
    file.close()
    assert [found.name for found in tmp_path.iterdir()] == ["usage"]


def damage(path: Path) -> None:
    """Overwrite its pages behind the back of whoever has it open."""
    with path.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * (path.stat().st_size - 4096))


def test_damaged_while_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage"
    file = UsageFile(path, NOW)
    file.add([entry(NOW + n) for n in range(500)], NOW)
    file.close()
    file = UsageFile(path, NOW)
    damage(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(StorageError, match="is damaged and stays where it is"):
            file.add([entry()], NOW)
    file = UsageFile(path, NOW)
    with pytest.raises(StorageError, match=r"is damaged: it is now .*usage\.aside-20270115T080000Z"):
        file.add([entry()], NOW)
    file = UsageFile(path, NOW)
    file.add([entry()], NOW)
    assert file.is_there()
    path.unlink()
    assert not file.is_there()
    file.close()
    assert (tmp_path / "usage.aside-20270115T080000Z").exists()


def test_a_table_of_that_name_with_others(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE exchanges (a)")
    file = UsageFile(path, NOW)
    assert "not one of ours: it is now" in file.notices[0]
    file.close()
