"""Files written whole or not at all: a reader, or a start after a crash, sees what was there before or what was meant, never half of it.

Waits for the disk: not to be called on an event loop.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes, *, is_secret: bool = False) -> None:
    """Put a whole file in the place of `path`; where that is a link, of what it leads to.

    A new file is for its owner alone, and so is one that `is_secret`, whatever it was before. Any other that was there keeps its permissions, and
    its owner where we may give it one.

    Raises:
        OSError: It cannot be written; what was there is still there.

    """
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(beside, flags, 0o600), "wb") as file:
            if os.name == "posix" and not is_secret:
                _keep_rights(path, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    if os.name == "posix":
        _flush_folder(path.parent)


def _keep_rights(path: Path, number: int) -> None:
    with suppress(FileNotFoundError):
        before = path.stat()
        with suppress(OSError):  # somebody else's file stays somebody else's, where we may
            os.fchown(number, before.st_uid, before.st_gid)
        os.fchmod(number, stat.S_IMODE(before.st_mode))


def _flush_folder(folder: Path) -> None:
    """The new name is on the disk only when its folder is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
