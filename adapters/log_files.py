"""The log on disk: ``main.log`` in a folder, with its predecessors ``main.1.log`` (the youngest) and so on, bounded in all.

Lives here: writing it, which the thread of a `LineWriter` does, and reading it. May not live here: what a line says (`dragoman.adapters.logs`).

The standard library's `RotatingFileHandler` renames and deletes; `logging` is imported when the first line goes to a file, for a start without
one has no time for it. A folder that cannot be written to is told once, lines go to stderr meanwhile, and the end of it is told, too.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from dragoman.core.config import LogFiles

if TYPE_CHECKING:
    from logging.handlers import RotatingFileHandler

NAME: Final = "main.log"
LEVELS: Final = ("debug", "info", "warning", "error")

_MIB: Final = 1024 * 1024
_PART: Final = 10 * _MIB  # of one file
_MOST_FILES: Final = 1000
_TIME: Final = re.compile(r'(?:^time=|"time":")([0-9T:.-]+Z)')
_LEVEL: Final = re.compile(r'(?:^| )level=([a-z]+)|"level":"([a-z]+)"')


class LogFile:
    """Takes lines for a `LineWriter`: writes them to the file, or to stderr.

    Args:
        settings: Of files; asked each time, for they may change while the gateway runs.

    """

    def __init__(self, settings: Callable[[], LogFiles]) -> None:
        self.settings = settings
        self._made_for: LogFiles | None = None
        self._handler: RotatingFileHandler | None = None
        self._is_failing = False

    def send(self, data: bytes) -> int:
        """Write whole lines; says how many bytes were taken."""
        settings = self.settings()
        if settings != self._made_for:
            self.close()
            self._made_for = settings
        if not settings.enabled:
            return os.write(2, data)
        try:
            self._write(settings, data)
        except OSError as error:
            self.close()
            if not self._is_failing:
                self._is_failing = True
                reason = error.strerror or type(error).__name__
                self._say(
                    f'level=error event=logs detail="the folder of logs cannot be written to ({reason}): lines go here"'
                )
            return os.write(2, data)
        if self._is_failing:
            self._is_failing = False
            self._say('level=info event=logs detail="the folder of logs can be written to again: lines go there"')
        return len(data)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._handler is not None:
            self._handler.close()
        self._handler = None

    def _say(self, line: str) -> None:
        os.write(2, line.encode() + b"\n")

    def _write(self, settings: LogFiles, data: bytes) -> None:
        import logging

        path = Path(settings.folder, NAME)
        if self._handler is not None and not path.exists():  # deleted: what is open has no name any more
            self.close()
        if self._handler is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handler = _make_handler(path, settings.total_mb * _MIB)
        self._handler.emit(logging.makeLogRecord({"msg": data.decode("utf-8", "replace")}))


def _make_handler(path: Path, total: int) -> "RotatingFileHandler":
    from logging.handlers import RotatingFileHandler

    class Handler(RotatingFileHandler):
        terminator = ""  # lines bring their own

        def _open(self) -> TextIOWrapper:
            file = os.open(
                self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
            )
            return open(file, "a", encoding="utf-8", newline="")

        def handleError(self, record: object) -> None:  # noqa: N802 - the library's name
            raise  # the library calls this while it handles the error

    part = min(_PART, total // 2) if total else _PART
    handler = Handler(path, maxBytes=part, backupCount=min(total // part - 1, _MOST_FILES) if total else _MOST_FILES)
    handler.namer = _name
    return handler


def _name(default: str) -> str:
    """``main.log.3`` becomes ``main.3.log``, so that ``*.log`` finds it."""
    stem, _, number = default.rpartition(".")
    return f"{stem.removesuffix('.log')}.{number}.log"


# --- reading ---


@attrs.frozen
class LogPage:
    """Lines of the log.

    Attributes:
        lines: The oldest first.
        latest: When the last of them was written, epoch seconds; 0.0 when there is none.

    """

    lines: tuple[str, ...]
    latest: float = 0.0


def files_of(folder: Path) -> list[Path]:
    """The files of the log, the oldest first."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob("main*.log"):
        match = re.fullmatch(r"main(?:\.([0-9]{1,6}))?\.log", path.name)
        if match is not None:
            found.append((int(match[1] or 0), path))
    return [path for _, path in sorted(found, reverse=True)]


def read_log(
    folder: Path, *, after: float = 0.0, limit: int = 1000, chosen: Callable[[str], bool] = lambda line: True
) -> LogPage:
    """The last lines of the log, in a worker thread. A file that is renamed meanwhile is read once or not at all.

    Args:
        folder: Of the log.
        after: Only lines written later than this, epoch seconds.
        limit: The most lines; the last ones.
        chosen: Which lines.

    """
    lines: deque[str] = deque(maxlen=limit)
    for path in files_of(folder):
        for line in _lines_of(path):
            if chosen(line) and (not after or time_of(line) > after):
                lines.append(line)
    return LogPage(tuple(lines), max((time_of(line) for line in lines), default=0.0))


def delete_log(folder: Path) -> int:
    """Delete what is in the log; returns how many files went. The next line begins a new one."""
    files = files_of(folder)
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def time_of(line: str) -> float:
    """When a line was written, epoch seconds; 0.0 when it does not say.

    >>> time_of("time=1970-01-01T00:00:01.500Z level=info event=x"), time_of('{"time":"1970-01-01T00:00:01.500Z"}'), time_of("x")
    (1.5, 1.5, 0.0)
    """
    match = _TIME.search(line)
    try:
        return datetime.fromisoformat(match[1]).timestamp() if match else 0.0
    except ValueError:
        return 0.0


def level_of_line(line: str) -> str:
    """How bad a line is, one of `LEVELS`; ``info`` when it does not say.

    >>> level_of_line('{"level":"error"}'), level_of_line("time=x level=warning event=y"), level_of_line("?")
    ('error', 'warning', 'info')
    """
    match = _LEVEL.search(line)
    word = (match[1] or match[2]) if match else "info"
    return word if word in LEVELS else "info"


def chooser(level: str, pattern: str) -> Callable[[str], bool]:
    """Chooses lines at least as bad as `level` that a regular expression is found in.

    Raises:
        ValueError: It is no regular expression.

    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"{pattern[:60]!r} is no regular expression: {error}") from None
    least = LEVELS.index(level)
    return lambda line: LEVELS.index(level_of_line(line)) >= least and search(line) is not None


class Follower:
    """Gives lines as they are written, from its making on, also when the file is renamed, or not there yet.

    Args:
        folder: Of the log.

    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._rest = ""
        self._file = _opened(self._path)
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def lines(self, wait: Callable[[], object]) -> Iterator[str]:
        """Lines, without an end; `wait` is called when there is nothing new."""
        while True:
            piece = self._file.read() if self._file is not None else ""
            if piece:
                *lines, self._rest = (self._rest + piece).split("\n")
                yield from lines
            elif not self._is_another() or not self._take_another():
                wait()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _take_another(self) -> bool:
        file = _opened(self._path)
        if file is None:
            return False
        self.close()
        self._file, self._rest = file, ""
        return True

    def _is_another(self) -> bool:
        """Whether there is a file of that name that is not the one that is open."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        if self._file is None:
            return True
        ours = os.fstat(self._file.fileno())
        return (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino)


def _opened(path: Path) -> TextIOWrapper | None:
    try:
        return path.open(encoding="utf-8", errors="replace", newline="\n")
    except OSError:
        return None


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")
    except OSError:  # renamed or deleted meanwhile
        return
