"""Writing somebody's file and taking it back: a copy first, the new text in one step, the old bytes again on demand.

The copy lies beside the file. Its name holds the beginning of the SHA-256 of what was written, so a file that was changed by somebody
else since is recognised, and there is nothing besides the copy to keep in step. Where there was no file, the copy is an empty marker.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 8 * 1024 * 1024
_COPY: Final = ".before-dragoman-"
_ABSENT: Final = ".absent-before-dragoman-"
_DIGITS: Final = 16


class ToolFileError(Exception):
    """A file that is not written or not taken back, and why, in words for the user."""


def write(path: Path, edit: Callable[[str], str], *, has_secret: bool) -> bool:
    """Edit a file, keeping a copy of what it was before we first wrote it.

    Writing again without `take_back` in between starts from that copy: what an earlier call put in does not stay.

    Args:
        path: The file; a link is followed. It need not be there, nor its folder.
        edit: From the old text to the new.
        has_secret: Only its owner may read the new file.

    Returns:
        Whether anything had to change.

    Raises:
        ToolFileError: It cannot be read or written.

    """
    try:
        return _write(Path(os.path.realpath(path)), edit, has_secret=has_secret)
    except OSError as error:
        raise ToolFileError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ToolFileError(f"{path}: not a text in UTF-8, so it is left as it is") from None


def _write(path: Path, edit: Callable[[str], str], *, has_secret: bool) -> bool:
    current = _content(path)
    earlier = None if current is None else _copy_for(path, current)
    original = current if earlier is None else _original(earlier)
    old = (original or b"").decode()
    new = edit(old).encode()
    if new == current:
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = path if earlier is None else earlier
    if new != original:
        for stale in _copies(path):  # markers of a file that somebody has removed or changed since
            if stale != earlier and (_ABSENT in stale.name or stale.name.endswith(_digest(new))):
                stale.unlink()
        kind = _ABSENT if original is None else _COPY
        _place(path.with_name(path.name + kind + _digest(new)), original or b"", _mode(source, has_secret=False))
    _place(path, new, _mode(path, has_secret=has_secret))
    if earlier is not None:
        earlier.unlink()
    return True


def take_back(path: Path) -> Path:
    """Make a file what it was before `write`: the same bytes, or not there.

    Raises:
        ToolFileError: There is nothing to take back, or somebody has changed the file since.

    """
    path = Path(os.path.realpath(path))
    try:
        current = _content(path)
        copy = None if current is None else _copy_for(path, current)
        if copy is None:
            raise ToolFileError(_why_not(path))
        if _ABSENT in copy.name:
            path.unlink()
            copy.unlink()
        else:
            os.replace(copy, path)
    except OSError as error:
        raise ToolFileError(f"{path}: {error.strerror or error}") from None
    return path


def _why_not(path: Path) -> str:
    copies = [*_copies(path)]
    if not copies:
        return f"{path}: nothing was written here, so there is nothing to take back"
    newest = max(copies, key=lambda copy: copy.stat().st_mtime_ns)
    before = "before, there was no file" if _ABSENT in newest.name else f"what was before is in {newest}"
    return f"{path}: changed since it was written, so it is left as it is; {before}"


def _copies(path: Path) -> list[Path]:
    fronts = (path.name + _COPY, path.name + _ABSENT)
    if not path.parent.is_dir():
        return []
    return [found for found in path.parent.iterdir() if found.name.startswith(fronts)]


def _copy_for(path: Path, content: bytes) -> Path | None:
    """The copy that was made when `content` was written."""
    end = _digest(content)
    return next((copy for copy in _copies(path) if copy.name.endswith(end)), None)


def _original(copy: Path) -> bytes | None:
    return None if _ABSENT in copy.name else copy.read_bytes()


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_BYTES:
        raise ToolFileError(f"{path}: larger than {MAX_BYTES} bytes, so it is left as it is")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _mode(path: Path, *, has_secret: bool) -> int:
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o600
    return mode & 0o700 if has_secret else mode


def _place(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in its place, or nothing at all."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        if path.exists():
            _give_owner(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _give_owner(model: Path, path: Path) -> None:
    """Give `path` the owner of `model`, where we may."""
    if hasattr(os, "chown") and os.geteuid() == 0:
        found = model.stat()
        shutil.chown(path, found.st_uid, found.st_gid)
