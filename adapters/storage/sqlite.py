"""The state file: an SQLite database with one table of records, each a kind, a name and a value in JSON.

Without it, or with one that cannot be read, the gateway learns anew, by asking, what it had known.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragoman.adapters.storage.database import Schema, StorageError, open_database, reading, reason

SCHEMA: Final = Schema(
    name="state file",
    application_id=0x4472676D,  # "Drgm"
    version=1,
    statements=(
        "CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, "
        "saved_at REAL NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID",
        "SELECT kind, name, value, saved_at FROM records LIMIT 0",  # a table of that name with others is not ours
    ),
)

_FORGOTTEN: Final = 31 * 86400.0  # seconds after which a record nobody has renewed is about nobody any more
_KINDS: Final = ("affinity", "allowance", "member")

Key = tuple[str, str]


class StateFileError(Exception):
    """The state file cannot be used; the message says why, for people."""


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
        try:
            self._connection, self.notices = open_database(path, SCHEMA, now)
        except StorageError as error:
            raise StateFileError(str(error)) from None
        try:
            with self._connection:
                self._connection.execute("DELETE FROM records WHERE saved_at < ?", (now - _FORGOTTEN,))
            self.records = _read(self._connection)
        except sqlite3.Error as error:
            self.close()
            raise StateFileError(f"the state file {path} cannot be used ({reason(error)})") from None

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
            raise StateFileError(f"the state file {self._path} cannot be written ({reason(error)})") from None

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
        with reading(path, SCHEMA) as connection:
            return {} if connection is None else _read(connection)
    except StorageError as error:
        raise StateFileError(str(error)) from None


def _read(connection: sqlite3.Connection) -> dict[Key, str]:
    rows = connection.execute("SELECT kind, name, value FROM records")
    return {(kind, name): value for kind, name, value in rows if isinstance(value, str)}


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
