"""The thread that writes: everything in the end, again after a failure, and never in the way of whoever hands over."""

import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import attrs
import msgspec.structs
import pytest

from dragoman.adapters.storage import database, usage_writer
from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage import UsageQuery, UsageSums, read_usage
from dragoman.adapters.storage.usage_file import UsageFile
from dragoman.adapters.storage.usage_writer import UsageWriter
from dragoman.core.config import Ledger, Price
from dragoman.core.ledger import Entry
from tests.core.test_ledger import JOURNAL, NOW

LEDGER = Ledger()
NOBODY_WARNS: Callable[[str], None] = pytest.fail


def sums(path: Path) -> UsageSums:
    return read_usage(path, UsageQuery(())).total


def wait_for(path: Path, requests: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(StorageError):  # locked, where a test has made patience short
            if sums(path).requests == requests:
                return
        time.sleep(0.01)
    pytest.fail("not written")


def writer(path: Path, warn: Callable[[str], None] = NOBODY_WARNS, ledger: Ledger = LEDGER) -> UsageWriter:
    return UsageWriter(path, lambda: ledger, lambda: NOW + 10, warn)


def test_what_is_left_is_written_at_the_end(tmp_path: Path) -> None:
    one = writer(tmp_path / "usage")
    for n in range(12_000):
        one.take(msgspec.structs.replace(JOURNAL, request_id=f"req-{n}"))
    one.take(msgspec.structs.replace(JOURNAL, model=""))  # a probe
    one.close()
    assert sums(tmp_path / "usage").requests == 12_000


def test_soon_and_again_after_sleep(tmp_path: Path) -> None:
    """It wakes for each that comes after it fell asleep."""
    one = writer(tmp_path / "usage")
    for n in range(3):
        one.take(JOURNAL)
        wait_for(tmp_path / "usage", n + 1)
        time.sleep(0.3 * n)  # with nothing to do, it sleeps
    one.close()


def test_prices_may_change(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    ledgers = [Ledger()]
    one = UsageWriter(path, lambda: ledgers[-1], lambda: NOW, NOBODY_WARNS)
    one.take(JOURNAL)
    wait_for(path, 1)
    ledgers.append(Ledger(prices=(Price("*", 1, 1, 1, 1),)))
    one.take(JOURNAL)
    one.close()
    assert (sums(path).cost, sums(path).unpriced) == (18, 1)


@pytest.mark.parametrize(("days", "kept"), [(0, 25_001), (1, 1)])
def test_retention(tmp_path: Path, days: int, kept: int, entry: Entry) -> None:
    path = tmp_path / "usage"
    file = UsageFile(path, NOW)
    file.add([attrs.evolve(entry, at=NOW - 86400 * 1.5)] * 25_000 + [entry], NOW)
    file.close()
    one = writer(path, ledger=Ledger(retention_days=days))
    wait_for(path, kept)
    one.close()
    assert sums(path).requests == kept


@pytest.fixture
def entry() -> Entry:
    from tests.adapters.storage.test_usage import entry

    return entry()


def test_locked_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once, and once when it is well; nothing is lost."""
    monkeypatch.setattr(usage_writer, "_LATER", 0.01)
    monkeypatch.setattr(database, "BUSY", 0.01)
    path, told = tmp_path / "usage", queue.SimpleQueue[str]()
    one = writer(path, told.put)
    one.take(JOURNAL)
    wait_for(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        one.take(JOURNAL)
        assert "locked" in told.get(timeout=20)
        one.take(JOURNAL)
        time.sleep(0.1)
    assert told.get(timeout=20) == "the usage ledger can be written again"
    wait_for(path, 3)
    one.close()
    assert told.empty()


def test_no_folder_then_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path on which there is no folder to be made, mended while it runs."""
    monkeypatch.setattr(usage_writer, "_LATER", 0.01)
    told = queue.SimpleQueue[str]()
    (tmp_path / "kept").write_text("a file where a folder should be")
    one = writer(tmp_path / "kept" / "usage", told.put)
    assert "cannot be used" in told.get(timeout=20)
    one.take(JOURNAL)
    (tmp_path / "kept").unlink()
    assert "can be written again" in told.get(timeout=20)
    one.close()
    assert sums(tmp_path / "kept" / "usage").requests == 1


def test_too_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are given up, and that is told."""
    monkeypatch.setattr(usage_writer, "_LATER", 0.01)
    monkeypatch.setattr(usage_writer, "_MOST", 50)
    told = queue.SimpleQueue[str]()
    add, is_full = UsageFile.add, [True]

    def fail_while_full(self: UsageFile, entries: Sequence[Entry], now: float) -> None:
        if is_full and entries:
            raise StorageError("the disk is full")
        add(self, entries, now)

    monkeypatch.setattr(UsageFile, "add", fail_while_full)
    one = writer(tmp_path / "usage", told.put)
    one.take(JOURNAL)
    assert told.get(timeout=20).startswith("the disk is full; requests go on")
    for _ in range(300):
        one.take(JOURNAL)
        time.sleep(0.0005)
    time.sleep(0.1)
    is_full.clear()
    assert "can be written again" in told.get(timeout=20)
    said = told.get(timeout=20)
    one.close()
    kept = sums(tmp_path / "usage").requests
    assert said.startswith(f"{301 - kept} exchanges are not in the usage ledger")
    assert 50 <= kept <= 100


def test_a_bug_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_writer, "_LATER", 0.01)
    told = queue.SimpleQueue[str]()
    one = writer(tmp_path / "usage", told.put)
    one.take(msgspec.structs.replace(JOURNAL, status=2**70))
    assert told.get(timeout=20) == "the usage ledger failed (OverflowError)"
    assert "again" in told.get(timeout=20)
    assert told.get(timeout=20).startswith("1 exchanges are not in")
    one.take(JOURNAL)
    one.close()
    assert sums(tmp_path / "usage").requests == 1


def test_deleted_while_it_runs(tmp_path: Path) -> None:
    """A new file is begun, where SQLite would go on writing to the one that has no name any more."""
    path = tmp_path / "usage"
    one = writer(path)
    one.take(JOURNAL)
    wait_for(path, 1)
    for side in tmp_path.iterdir():
        side.unlink()
    one.take(JOURNAL)
    one.close()
    assert sums(path).requests == 1


def test_what_was_not_ours_is_told(tmp_path: Path) -> None:
    told = queue.SimpleQueue[str]()
    (tmp_path / "usage").write_bytes(b"something else " * 100)
    writer(tmp_path / "usage", told.put).close()
    assert "is not one of ours: it is now" in told.get(timeout=20)
