"""The file of the usage ledger: an SQLite database with a row for each exchange.

Lives here: the table, writing and deleting rows. May not live here: what an exchange comes to and costs (`dragoman.core.ledger`), when rows
are written (`dragoman.adapters.storage.usage_writer`), sums of them (`dragoman.adapters.storage.usage`).

A count that the provider did not give is null. Costs are whole trillionths of the currency of the price table.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dragoman.adapters.storage.database import Schema, StorageError, is_unreadable, move_aside, open_database, reason
from dragoman.core.ledger import Entry

_COLUMNS: Final = MappingProxyType({
    "at": "REAL NOT NULL", "request_id": "TEXT NOT NULL", "client_key": "TEXT NOT NULL", "dialect": "TEXT NOT NULL",
    "model": "TEXT NOT NULL", "provider": "TEXT NOT NULL", "credential": "TEXT NOT NULL", "upstream_model": "TEXT NOT NULL",
    "status": "INTEGER NOT NULL", "fault": "TEXT NOT NULL", "streamed": "INTEGER NOT NULL", "attempts": "INTEGER NOT NULL",
    "has_usage": "INTEGER NOT NULL", "input": "INTEGER", "output": "INTEGER", "reasoning": "INTEGER", "cache_read": "INTEGER",
    "cache_write": "INTEGER", "total": "INTEGER", "latency": "REAL NOT NULL", "first_byte": "REAL", "cost": "INTEGER",
})  # fmt: skip

SCHEMA: Final = Schema(
    name="usage ledger",
    application_id=0x44726755,  # "DrgU"
    version=1,
    statements=(
        f"CREATE TABLE IF NOT EXISTS exchanges ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
        "CREATE INDEX IF NOT EXISTS exchanges_at ON exchanges (at)",
        f"SELECT {', '.join(_COLUMNS)} FROM exchanges LIMIT 0",
    ),
    is_checked=False,  # a year of it is too much to be read at every start
)

_AT_ONCE: Final = 100  # rows in a statement: each statement lets go of the interpreter once, each row would otherwise


class UsageFile:
    """An open ledger. It is used by one thread at a time.

    Args:
        path: The file; it and its folder are made if they are not there, for nobody but this user.
        now: Epoch seconds.

    Attributes:
        notices: What the operator should know, each as one line.

    Raises:
        StorageError: It cannot be opened.

    """

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        self._connection, self.notices = open_database(path, SCHEMA, now)
        self._identity = _identity(path)

    def add(self, entries: Sequence[Entry], now: float) -> None:
        """Add exchanges, all or none. A file that turns out to be damaged is moved aside; the next try begins a new one.

        Raises:
            StorageError: They cannot be written.

        """
        one = f"({', '.join('?' * len(_COLUMNS))})"
        try:
            with self._connection:
                for i in range(0, len(entries), _AT_ONCE):
                    rows = [_row(entry) for entry in entries[i : i + _AT_ONCE]]
                    values = [value for row in rows for value in row]
                    self._connection.execute(f"INSERT INTO exchanges VALUES {', '.join([one] * len(rows))}", values)
        except sqlite3.Error as error:
            raise self._broken(error, now) from None

    def prune(self, before: float, most: int = 10_000) -> bool:
        """Delete some of the exchanges that ended before an instant; returns whether there may be more.

        Raises:
            StorageError: They cannot be deleted.

        """
        some = "DELETE FROM exchanges WHERE rowid IN (SELECT rowid FROM exchanges WHERE at < ? LIMIT ?)"
        try:
            with self._connection:
                return self._connection.execute(some, (before, most)).rowcount == most
        except sqlite3.Error as error:
            raise self._broken(error, before) from None

    def is_there(self) -> bool:
        """Whether it is still the file of its name: SQLite would go on writing to one that was deleted."""
        return _identity(self._path) == self._identity

    def close(self) -> None:
        """Close it."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _broken(self, error: sqlite3.Error, now: float) -> StorageError:
        if not is_unreadable(error):
            return StorageError(f"the usage ledger {self._path} cannot be written ({reason(error)})")
        self.close()
        try:
            aside = move_aside(self._path, now)
        except OSError as failure:
            return StorageError(f"the usage ledger {self._path} is damaged and stays where it is ({reason(failure)})")
        return StorageError(f"the usage ledger {self._path} is damaged: it is now {aside}, and a new one is begun")


def _row(entry: Entry) -> tuple[object, ...]:
    usage = entry.usage
    counts: tuple[int | None, ...] = (None,) * 6
    if usage is not None:
        counts = (usage.input, usage.output, usage.reasoning, usage.cached, usage.cache_written, usage.total)
    return (
        entry.at,
        entry.request_id,
        entry.client_key,
        entry.dialect,
        entry.model,
        entry.provider,
        entry.credential,
        entry.upstream_model,
        entry.status,
        entry.fault,
        entry.streamed,
        entry.attempts,
        usage is not None,
        *counts,
        entry.latency,
        entry.first_byte,
        entry.cost,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
