"""The log on disk: whole lines, bounded, and never a reason for a line to be lost."""

import os
import stat
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters import log_files
from dragoman.adapters.log_files import (
    Follower,
    LogFile,
    LogPage,
    chooser,
    delete_log,
    files_of,
    level_of_line,
    read_log,
    time_of,
)
from dragoman.adapters.logs import json_line, text_line
from dragoman.core.config import LogFiles

NOW = 1_800_000_000.0
LINE = text_line(NOW, "info", "exchange", {"model": "m"})


@pytest.fixture
def settings(tmp_path: Path) -> LogFiles:
    return LogFiles(enabled=True, folder=str(tmp_path / "logs"))


def wrote(file: LogFile, *lines: str) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    assert file.send(data) == len(data)


def test_lines_and_permissions(settings: LogFiles) -> None:
    file = LogFile(lambda: settings)
    wrote(file, "one", "two % ü")
    wrote(file, "three")
    file.close()
    path = Path(settings.folder, "main.log")
    assert path.read_text() == "one\ntwo % ü\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_bounded_and_in_order(settings: LogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts together come to no more than what is said, and the youngest lines are kept."""
    monkeypatch.setattr(log_files, "_MIB", 1024)
    monkeypatch.setattr(log_files, "_PART", 1024)
    file = LogFile(lambda: attrs.evolve(settings, total_mb=4))
    for n in range(1000):
        wrote(file, f"{n:015d}")
    file.close()
    parts = files_of(Path(settings.folder))
    assert [part.name for part in parts] == ["main.3.log", "main.2.log", "main.1.log", "main.log"]
    assert sum(part.stat().st_size for part in parts) <= 4096
    assert {stat.S_IMODE(part.stat().st_mode) for part in parts} == {0o600}
    lines = read_log(Path(settings.folder)).lines
    assert lines == tuple(f"{n:015d}" for n in range(1000 - len(lines), 1000))
    assert len(lines) > 3 * 60
    assert read_log(Path(settings.folder), limit=3).lines == lines[-3:]


@pytest.mark.parametrize(
    ("total", "part", "files"), [(0, 10, 1000), (1, 0.5, 1), (15, 7.5, 1), (100, 10, 9), (99_999, 10, 1000)]
)
def test_how_it_is_divided(settings: LogFiles, total: int, part: float, files: int) -> None:
    file = LogFile(lambda: attrs.evolve(settings, total_mb=total))
    wrote(file, "x")
    assert file._handler is not None
    assert (file._handler.maxBytes, file._handler.backupCount) == (part * 1024 * 1024, files)
    file.close()


def test_a_folder_that_cannot_be(settings: LogFiles, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines go to stderr, that is told once, and once when it is well."""
    folder = Path(settings.folder)
    folder.write_text("no folder")
    file = LogFile(lambda: settings)
    wrote(file, "one")
    wrote(file, "two")
    told = capfd.readouterr().err.splitlines()
    assert told[1:] == ["one", "two"]
    assert "cannot be written to (" in told[0]
    folder.unlink()
    wrote(file, "three")
    wrote(file, "four")
    assert capfd.readouterr().err.count("can be written to again") == 1
    assert read_log(folder).lines == ("three", "four")
    file.close()


def test_settings_may_change(settings: LogFiles, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    now = [attrs.evolve(settings, enabled=False)]
    file = LogFile(lambda: now[-1])
    wrote(file, "to stderr")
    now.append(settings)
    wrote(file, "to the file")
    now.append(attrs.evolve(settings, folder=str(tmp_path / "other")))
    wrote(file, "to another")
    now.append(now[0])
    wrote(file, "to stderr again")
    assert capfd.readouterr().err == "to stderr\nto stderr again\n"
    assert read_log(tmp_path / "logs").lines == ("to the file",)
    assert read_log(tmp_path / "other").lines == ("to another",)


def test_deleted_while_open(settings: LogFiles) -> None:
    file = LogFile(lambda: settings)
    wrote(file, "one")
    assert delete_log(Path(settings.folder)) == 1
    assert delete_log(Path(settings.folder)) == 0
    wrote(file, "two")
    file.close()
    assert read_log(Path(settings.folder)).lines == ("two",)


def test_what_is_read(tmp_path: Path) -> None:
    assert read_log(tmp_path) == LogPage(())
    for name in ("main.log", "main.2.log", "main.10.log", "mainly.log", "main.x.log", "error-main.log"):
        (tmp_path / name).write_text(f"{LINE} {name}\n")
    assert [line.split()[-1] for line in read_log(tmp_path).lines] == ["main.10.log", "main.2.log", "main.log"]
    (tmp_path / "main.log").write_text(text_line(NOW + 5, "error", "x", {}) + "\nhalf a li")
    page = read_log(tmp_path, after=NOW)
    assert page == LogPage((text_line(NOW + 5, "error", "x", {}),), NOW + 5)
    (tmp_path / "main.7.log").mkdir()  # no file
    assert len(read_log(tmp_path).lines) == 4


@given(st.sampled_from(log_files.LEVELS), st.floats(0, 4e9), st.text(), st.sampled_from([text_line, json_line]))
def test_times_and_levels(level: str, at: float, text: str, form: Callable[..., str]) -> None:
    """LAW: what the log wrote is read again, in both forms, whatever a client sent."""
    line = form(at, level, "exchange", {"model": text})
    assert level_of_line(line) == level
    assert abs(time_of(line) - at) < 0.002


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    assert level_of_line(line) in log_files.LEVELS
    assert time_of(line) >= 0.0


def test_what_is_no_time() -> None:
    assert time_of("time=9999-99-99T99:99:99Z") == 0.0
    assert level_of_line("time=x level=loud") == "info"


def test_chosen_lines() -> None:
    lines = [text_line(NOW, level, level, {}) for level in log_files.LEVELS]
    assert [*filter(chooser("warning", ""), lines)] == lines[2:]
    assert [*filter(chooser("debug", "event=(info|error)"), lines)] == [lines[1], lines[3]]
    with pytest.raises(ValueError, match="no regular expression"):
        chooser("info", "(")


def test_followed(settings: LogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, over a file that is not there yet, a renaming, a half line and a deletion."""
    monkeypatch.setattr(log_files, "_MIB", 1024)
    file = LogFile(lambda: attrs.evolve(settings, total_mb=2))
    steps: list[Callable[[], object]] = [
        lambda: wrote(file, "1", "2"),
        lambda: wrote(file, "x" * 800),
        lambda: wrote(file, "y" * 800),  # makes a new file
        lambda: file.send(b"ha"),
        lambda: file.send(b"lf\n"),
        lambda: delete_log(Path(settings.folder)),
        lambda: wrote(file, "3"),
    ]
    follower = Follower(Path(settings.folder))
    found = follower.lines(lambda: steps.pop(0)())
    assert [*islice(found, 6)] == ["1", "2", "x" * 800, "y" * 800, "half", "3"]
    follower.close()
    file.close()


def test_followed_from_now_on(settings: LogFiles) -> None:
    file = LogFile(lambda: settings)
    wrote(file, "before")
    follower = Follower(Path(settings.folder))
    assert next(follower.lines(lambda: wrote(file, "after"))) == "after"
    follower.close()
    file.close()


def test_written_by_another_thread_while_it_is_read(settings: LogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "_MIB", 1024)
    file = LogFile(lambda: attrs.evolve(settings, total_mb=8))

    def write() -> None:
        for n in range(2000):
            wrote(file, f"{n:015d}")

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        lines = read_log(Path(settings.folder)).lines
        assert all(len(line) <= 15 for line in lines)
    thread.join()
    file.close()
    assert read_log(Path(settings.folder)).lines[-1] == f"{1999:015d}"
    assert os.listdir(settings.folder)
