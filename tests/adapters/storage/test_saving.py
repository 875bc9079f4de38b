"""The thread that writes: only what changed, everything in the end, and again after a failure."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from dragoman.adapters.storage import saving
from dragoman.adapters.storage.saving import Saver
from dragoman.adapters.storage.sqlite import Key, StateFile, StateFileError, peek

NOW = 1_800_000_000.0


def news(*bound: list[object], **members: object) -> dict[str, object]:
    return {"pool": {"version": 1, "members": members}, "allowances": {"anna": [1]}, "affinities": list(bound)}


def test_what_is_left_is_written_at_the_end(tmp_path: Path) -> None:
    saver = Saver(StateFile(tmp_path / "s", NOW), lambda: NOW, pytest.fail)
    saver.take(news(["s", "m", "id", "up", 5.0], ["t", "m", "id", "up", 5.0], a=1, b=2))
    saver.take(news(["s", "m", "", "", 0.0], b=3))
    saver.close()
    assert peek(tmp_path / "s") == {
        ("allowance", "anna"): "[1]", ("affinity", '["t","m"]'): '["id","up",5.0]', ("member", "b"): "3",
    }  # fmt: skip


def test_who_is_well_again_is_deleted_and_others_are_not(tmp_path: Path) -> None:
    """Records of credentials that this gateway does not have may be another's."""
    file = StateFile(tmp_path / "s", NOW)
    file.write({("member", "theirs"): "1"}, NOW)
    written: list[Mapping[Key, str | None]] = []
    write = file.write

    def note(changes: Mapping[Key, str | None], now: float) -> None:
        written.append(dict(changes))
        write(changes, now)

    file.write = note  # type: ignore[method-assign]
    saver = Saver(file, lambda: NOW, pytest.fail)
    for one, is_kept in ((news(a=1), True), (news(), False)):
        saver.take(one)
        deadline = time.monotonic() + 10
        while (("member", "a") in peek(tmp_path / "s")) is not is_kept:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    saver.take(news())
    saver.close()
    assert peek(tmp_path / "s") == {("member", "theirs"): "1", ("allowance", "anna"): "[1]"}
    assert written == [{("member", "a"): "1", ("allowance", "anna"): "[1]"}, {("member", "a"): None}]


def test_a_disk_that_fails_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once, and once when it is well; nothing is lost."""
    monkeypatch.setattr(saving, "_LATER", 0.001)
    file = StateFile(tmp_path / "s", NOW)
    failures = 3
    write = file.write

    def fail(changes: Mapping[Key, str | None], now: float) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StateFileError("disk full")
        write(changes, now)

    file.write = fail  # type: ignore[method-assign]
    told: list[str] = []
    saver = Saver(file, lambda: NOW, told.append)
    saver.take(news(["s", "m", "id", "up", 5.0], a=1))
    while len(told) < 2:
        saver.take(news(a=1))
    saver.close()
    assert told == ["disk full", "the state file can be written again"]
    assert peek(tmp_path / "s").keys() == {("allowance", "anna"), ("affinity", '["s","m"]'), ("member", "a")}
