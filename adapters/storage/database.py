"""Opening our SQLite databases: made for nobody but this user, told from those of others, moved aside when they cannot be read.

SQLite's journal makes them sound after a crash of the process at any point (https://www.sqlite.org/wal.html); with ``synchronous = NORMAL``
a crash of the whole machine may lose the last moments, and corrupts nothing. What cannot be read is moved aside, never deleted and never
a reason not to start.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

BUSY: Final = 2.0  # seconds to wait for another process that writes to the same file

_MAGIC: Final = b"SQLite format 3\0"
_SIDES: Final = ("", "-wal", "-shm")
# An error without a code is our own; SQLITE_ERROR: a table of that name, but not with those columns.
_UNREADABLE: Final = frozenset({
    0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT,
})  # fmt: skip


class StorageError(Exception):
    """A database cannot be used; the message says why, for people."""


class _ForeignError(Exception):
    """It is a database, but not one of ours."""


@attrs.frozen
class Schema:
    """A kind of database of ours.

    Attributes:
        name: What people are told it is, like ``state file``.
        application_id: Tells it from others: ``PRAGMA application_id``.
        version: Of the tables: ``PRAGMA user_version``.
        statements: Make the tables where they are not there.
        is_checked: Its pages are looked at when it is opened; not for what may be large.

    """

    name: str
    application_id: int
    version: int
    statements: tuple[str, ...]
    is_checked: bool = True


def open_database(path: Path, schema: Schema, now: float) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open a database for writing; it and its folder are made if they are not there. It may be used by one thread at a time.

    Returns:
        The connection, and what the operator should know, each as one line.

    Raises:
        StorageError: It cannot be opened and cannot be moved aside either.

    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _open(path, schema), ()
        except (_ForeignError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.Error) and not is_unreadable(error):
                raise
            what = "damaged" if isinstance(error, sqlite3.Error) else "not one of ours"
            aside = move_aside(path, now)
            notice = f"the {schema.name} {path} is {what}: it is now {aside}, and a new one was begun"
            return _open(path, schema), (notice,)
    except (OSError, sqlite3.Error, _ForeignError) as error:
        raise StorageError(f"the {schema.name} {path} cannot be used ({reason(error)})") from None


@contextmanager
def reading(path: Path, schema: Schema) -> Iterator[sqlite3.Connection | None]:
    """A connection that cannot write, to a file that a running gateway may be writing to; None when nothing is in it yet.

    Raises:
        StorageError: It cannot be read; also for what SQLite says inside the block.

    """
    try:
        # Not opened as read-only: reading the journal of a file whose writer was killed needs a file beside it.
        with closing(sqlite3.connect(path, timeout=BUSY)) as connection:
            connection.execute("PRAGMA query_only = 1")
            if _is_new(connection):
                yield None
            else:
                _check_identity(connection, schema)
                yield connection
    except (sqlite3.Error, _ForeignError) as error:
        raise StorageError(f"the {schema.name} {path} cannot be read ({reason(error)})") from None


def move_aside(path: Path, now: float) -> Path:
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


def is_unreadable(error: sqlite3.Error) -> bool:
    """Whether it is the file itself that is bad, and not the disk, a lock or a permission."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in _UNREADABLE


def reason(error: Exception) -> str:
    """Why it cannot be used, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or "it is not one of ours"


def _open(path: Path, schema: Schema) -> sqlite3.Connection:
    # Made before SQLite does, so that at no time anybody else may read it; the files beside it get the same permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) not in (b"", _MAGIC):  # SQLite takes a short one for an empty one, and writes over it
            raise _ForeignError
    connection = sqlite3.connect(path, timeout=BUSY, check_same_thread=False)
    try:
        if not _is_new(connection):
            _check_identity(connection, schema)
            if schema.is_checked and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its pages contradict each other")
            with suppress(OSError):
                path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # whoever reads meanwhile finds nothing, or all of it
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
        return connection
    except BaseException:
        connection.close()
        raise


def _is_new(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _check_identity(connection: sqlite3.Connection, schema: Schema) -> None:
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if found != [schema.application_id, schema.version]:
        raise _ForeignError
