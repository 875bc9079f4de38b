"""The log over HTTP, where it goes to files (``logging-to-file``), and the files of exchanges."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragoman.adapters.log_files import LEVELS, chooser, delete_log, read_log
from dragoman.adapters.management.desk import Call, Desk, answer_file, answer_json, refused
from dragoman.adapters.management.routes import OBJECT, TEXT, Parameter, Reply, Route, Schema, reply
from dragoman.adapters.request_logs import is_file_of_exchange
from dragoman.core.effects import Step

_MOST_LINES: Final = 10_000
_USUAL_LINES: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def _folder(desk: Desk) -> Path:
    """Where the log is.

    Raises:
        Refused: It goes to no file.

    """
    if not desk.config.log_files.enabled:
        raise refused(400, "The log goes to stderr, not to files: set `logging-to-file: true`.", "no_log_files")
    return Path(desk.config.log_files.folder).expanduser()


def _number(call: Call, default: float, *names: str) -> float:
    text = call.parameter(*names)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise refused(400, f"`{names[0]}` is a number.", "bad_request")
    return float(text)


def read_lines(desk: Desk, call: Call) -> Step:
    """The last lines, or those after an instant."""
    after = _number(call, 0.0, "after", "cursor")
    limit = int(_number(call, _USUAL_LINES, "limit"))
    if not 1 <= limit <= _MOST_LINES:
        raise refused(400, f"`limit` is 1 to {_MOST_LINES}.", "bad_request")
    chosen = chooser(call.choice("level", LEVELS) or LEVELS[0], "")
    folder = _folder(desk)

    def read() -> Step:
        page = read_log(folder, after=after, limit=limit, chosen=chosen)
        latest = page.latest or after
        return answer_json({
            "lines": page.lines,
            "line-count": len(page.lines),
            "latest-timestamp": latest,
            "next-cursor": f"{latest:.6f}".rstrip("0").rstrip("."),
        })  # fmt: skip

    return read


def delete_lines(desk: Desk, call: Call) -> Step:
    """Delete the log; it goes on in a new file."""
    folder = _folder(desk)

    def delete() -> Step:
        removed = delete_log(folder)
        desk.logs.info("log deleted", files=removed, by="management")
        return answer_json(
            {"success": True, "message": "The log is deleted; it goes on in a new file.", "removed": removed}
        )

    return delete


# --- files of exchanges ---


def list_failed(desk: Desk, call: Call) -> Step:
    """Which exchanges that failed have a file, the newest first."""
    folder = Path(desk.config.log_files.folder).expanduser()

    def look() -> Step:
        found: list[tuple[os.stat_result, Path]] = []
        for path in _files(folder):
            with suppress(OSError):  # it was deleted meanwhile
                found += [(path.stat(), path)] if path.name.startswith("error-") else []
        found.sort(key=_newest)
        files = [{"name": path.name, "size": stat.st_size, "modified": int(stat.st_mtime)} for stat, path in found]
        return answer_json({"files": files})

    return look


def read_failed(desk: Desk, call: Call) -> Step:
    """The file of an exchange that failed."""
    return _file(desk, lambda path: path.name == call.parts["name"] and path.name.startswith("error-"))


def read_by_id(desk: Desk, call: Call) -> Step:
    """The file of an exchange, by the id that its answer and its line in the log have."""
    return _file(desk, lambda path: path.name.endswith(f"-{call.parts['id']}.log"))


def _file(desk: Desk, is_meant: Callable[[Path], bool]) -> Step:
    folder = Path(desk.config.log_files.folder).expanduser()

    def read() -> Step:
        path = next(filter(is_meant, _files(folder)), None)
        try:
            if path is not None:
                return answer_file(path.read_bytes(), "text/plain; charset=utf-8", path.name)
        except OSError:
            pass  # it was deleted meanwhile
        raise refused(404, "There is no such file; only so many are kept.", "not_found")

    return read


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if is_file_of_exchange(entry.name) and entry.is_file()]
    except OSError:
        return []


def _newest(found: tuple[os.stat_result, Path]) -> tuple[float, str]:
    return -found[0].st_mtime, found[1].name


_PAGE: Final[Schema] = {
    "type": "object",
    "required": ["lines", "line-count", "latest-timestamp", "next-cursor"],
    "properties": {
        "lines": {"type": "array", "items": {"type": "string"}},
        "line-count": {"type": "integer"},
        "latest-timestamp": {
            "type": "number",
            "description": "Of the last line, epoch seconds; `after` for the next call.",
        },
        "next-cursor": {"type": "string", "description": "The same, for `cursor`."},
    },
}

_FILES: Final[Schema] = {
    "type": "object",
    "required": ["files"],
    "properties": {"files": {"type": "array", "items": OBJECT}},
}
_FILE: Final = {200: Reply("What was said, without secrets.", {"text/plain": TEXT})}

ROUTES: Final = (
    Route(
        "GET", "/v0/management/logs", read_lines, "Lines of the log", {200: reply(_PAGE, "The oldest first.")},
        (
            Parameter("after", "Lines written later than this, epoch seconds.", {"type": "number", "minimum": 0}),
            Parameter("cursor", "`next-cursor` of the answer before."),
            Parameter("limit", "The most lines; the last ones.", {"type": "integer", "minimum": 1, "maximum": _MOST_LINES}),
            Parameter("level", "Lines at least as bad.", {"enum": [*LEVELS]}),
        ),
    ),
    Route("DELETE", "/v0/management/logs", delete_lines, "Delete the log"),
    Route(
        "GET", "/v0/management/request-error-logs", list_failed, "Files of exchanges that failed",
        {200: reply(_FILES, "The newest first.")},
    ),
    Route("GET", "/v0/management/request-error-logs/{name}", read_failed, "The file of an exchange that failed", _FILE),
    Route("GET", "/v0/management/request-log-by-id/{id}", read_by_id, "The file of an exchange", _FILE),
)  # fmt: skip
