"""The state file: an SQLite database with one table of records, each a kind, a name and a value in JSON.

SQLite's journal makes it sound after a crash of the process at any point (https://www.sqlite.org/wal.html); with ``synchronous = NORMAL``
a crash of the whole machine may lose the last moments, and corrupts nothing. What cannot be read is moved aside, never deleted and never
a reason not to start: the gateway then learns anew, by asking, what it had known.
"""

import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

#: Tells our files from those of others: ``PRAGMA application_id``, "Drgm".
APPLICATION_ID: Final = 0x4472676D
VERSION: Final = 1

_FORGOTTEN: Final = 31 * 86400.0  # seconds after which a record nobody has renewed is about nobody any more
_BUSY: Final = 2.0  # seconds to wait for another process that writes to the same file
_MAGIC: Final = b"SQLite format 3\0"
_SIDES: Final = ("", "-wal", "-shm")
# An error without a code is our own; SQLITE_ERROR: a table of that name, but not with those columns.
_UNREADABLE: Final = frozenset({
    0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT,
})  # fmt: skip
_KINDS: Final = ("affinity", "allowance", "member")

Key = tuple[str, str]


class StateFileError(Exception):
    """The state file cannot be used; the message says why, for people."""


class _ForeignError(Exception):
    """It is a database, but not one of ours."""


class StateFile:
    """An open state file. It is used by one thread at a time, not always the same one.

    Args:
        path: The file; it and its folder are made if they are not there, for nobody but this user.
        now: Epoch seconds.

    Attributes:
        records: JSON texts by kind and name, as they were when it was opened.
        notices: What the operator should know, each as one line.

    Raises:
        StateFileError: It cannot be opened and cannot be moved aside either.

    """

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        self.notices: tuple[str, ...] = ()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connection, self.records = _open(path, now)
            except (_ForeignError, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.Error) and _code(error) not in _UNREADABLE:
                    raise
                aside = _move_aside(path, now)
                self.notices = (
                    f"the state file {path} is {'damaged' if isinstance(error, sqlite3.Error) else 'not one of ours'}: "
                    f"it is now {aside}, and a new one was begun",
                )
                self._connection, self.records = _open(path, now)
        except (OSError, sqlite3.Error, _ForeignError) as error:
            raise StateFileError(f"the state file {path} cannot be used ({_reason(error)})") from None

    def write(self, changes: Mapping[Key, str | None], now: float) -> None:
        """Write records, all or none; None deletes one.

        Raises:
            StateFileError: They cannot be written.

        """
        kept = [(*key, value, now) for key, value in changes.items() if value is not None]
        gone = [key for key, value in changes.items() if value is None]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", kept)
                self._connection.executemany("DELETE FROM records WHERE kind = ? AND name = ?", gone)
        except sqlite3.Error as error:
            raise StateFileError(f"the state file {self._path} cannot be written ({_reason(error)})") from None

    def close(self) -> None:
        """Close it."""
        with suppress(sqlite3.Error):
            self._connection.close()


def peek(path: Path) -> dict[Key, str]:
    """All records of a file that a running gateway may be writing to; none when there is no file.

    Raises:
        StateFileError: It cannot be read.

    """
    if not path.exists():
        return {}
    try:
        # Not read-only: reading the journal of a file whose writer was killed needs a file beside it.
        with closing(sqlite3.connect(path, timeout=_BUSY)) as connection:
            connection.execute("PRAGMA query_only = 1")
            _check_identity(connection)
            return _read(connection)
    except (sqlite3.Error, _ForeignError) as error:
        raise StateFileError(f"the state file {path} cannot be read ({_reason(error)})") from None


def _read(connection: sqlite3.Connection) -> dict[Key, str]:
    rows = connection.execute("SELECT kind, name, value FROM records")
    return {(kind, name): value for kind, name, value in rows if isinstance(value, str)}


def _open(path: Path, now: float) -> tuple[sqlite3.Connection, dict[Key, str]]:
    # Made before SQLite does, so that at no time anybody else may read it; the files beside it get the same permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) not in (b"", _MAGIC):  # SQLite takes a short one for an empty one, and writes over it
            raise _ForeignError
    connection = sqlite3.connect(path, timeout=_BUSY, check_same_thread=False)
    try:
        is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not is_new:
            _check_identity(connection)
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its pages contradict each other")
            with suppress(OSError):
                path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, "
                "saved_at REAL NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("DELETE FROM records WHERE saved_at < ?", (now - _FORGOTTEN,))
        return connection, _read(connection)
    except BaseException:
        connection.close()
        raise


def _check_identity(connection: sqlite3.Connection) -> None:
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if found != [APPLICATION_ID, VERSION]:
        raise _ForeignError


def _move_aside(path: Path, now: float) -> Path:
    """Rename a file and those beside it; whatever has the new name already is left alone."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    names = (path.with_name(f"{path.name}.aside-{stamp}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 100))))
    aside = next((name for name in names if not name.exists()), None)
    if aside is None:
        raise FileExistsError(f"{path.name}.aside-{stamp}")
    for side in _SIDES:
        with suppress(FileNotFoundError):
            os.replace(f"{path}{side}", f"{aside}{side}")
    return aside


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or "it is not one of ours"


# --- between records and what the core saves ---


def records_of(news: Mapping[str, object]) -> tuple[dict[Key, str], dict[Key, str | None]]:
    """Turn what `Router.take_news` gave into records: all of credentials and client keys; and changes of conversations."""
    whole: dict[Key, str] = {}
    pool, allowances, affinities = news["pool"], news["allowances"], news["affinities"]
    assert isinstance(pool, Mapping) and isinstance(allowances, Mapping) and isinstance(affinities, Sequence)  # noqa: PT018
    for kind, values in (("member", pool["members"]), ("allowance", allowances)):
        for name, value in values.items():
            whole[kind, name] = _json(value)
    changes: dict[Key, str | None] = {}
    for session, name, identity, model, until in affinities:
        changes["affinity", _json([session, name])] = _json([identity, model, until]) if identity else None
    return whole, changes


def saved_by(records: Mapping[Key, str]) -> dict[str, object]:
    """Turn records into what `Router.restore` takes; what is not JSON is left out."""
    values: dict[str, dict[str, object]] = {kind: {} for kind in _KINDS}
    for (kind, name), text in records.items():
        with suppress(ValueError, RecursionError):
            values.setdefault(kind, {})[name] = json.loads(text)
    affinities: list[object] = []
    for name, bound in values["affinity"].items():
        with suppress(ValueError, RecursionError):
            key = json.loads(name)
            if isinstance(key, list) and isinstance(bound, list):
                affinities.append([*key, *bound])
    affinities.sort(key=_until)  # the soonest forgotten is the first to go
    return {
        "pool": {"version": 1, "members": values["member"]},
        "allowances": values["allowance"],
        "affinities": affinities,
    }


def _until(item: object) -> float:
    last = item[-1] if isinstance(item, list) and item else None
    return float(last) if isinstance(last, (int, float)) else 0.0


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
