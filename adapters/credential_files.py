"""The folder of credential files (``auth-dir``): listed, read, written; one JSON file is one credential.

What a file means is `dragoman.core.credentials.files`. A bad file is told of by name and breaks nothing. Files are written whole or not at all
(a temporary file, fsync, rename), readable by their owner alone. Every method waits for the disk: not to be called on an event loop.
Nothing here returns a secret but `CredentialFiles.read`, which is the file itself.
"""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from dragoman.adapters.config_file import printable
from dragoman.adapters.whole_files import write_whole
from dragoman.core.credentials.file_names import BadFileName, auth_index, name_of, normal_name
from dragoman.core.credentials.files import FileCredential, parse_credential_file

MAX_BYTES: Final = 256 * 1024  # of one file; real ones have 1 to 5 KiB
MAX_FILES: Final = 10_000
_LOCK: Final = threading.RLock()  # one writer at a time, whoever made the object


class CredentialFileError(Exception):
    """A credential file cannot be used as asked; `lines` say why and what to do, without any secret."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class NoSuchFile(CredentialFileError):
    """There is no credential file of that name."""


@attrs.frozen
class CredentialFile:
    """A credential file as the operator sees it; no secret in it.

    Attributes:
        name: The one name of the file: what all methods of `CredentialFiles` take.
        auth_index: The same over restarts and on every system; also the `identity` of its credential in the pool.
        type: As in the file; empty when that cannot be read.
        provider: The provider whose credential it is (``provider/model``); empty when that is not known.
        label: For people: the e-mail address in it, or its name.
        disabled: It answers nothing while True.
        size: Bytes.
        modified_at: Epoch seconds.
        problem: Why it serves nothing, and what to do; None when it does (or would, but for `disabled`).
        is_spoken: False for a type that is known and not spoken to providers.
        email: In the file; empty when it is not there.
        prefix: In the file, or None.
        priority: In the file, or None.
        note: In the file; empty when it is not there.
        expires_at: When its token ends, epoch seconds; None when nobody knows.
        last_refresh: When its token was last renewed, epoch seconds; None when nobody knows.
        has_refresh_token: It can be renewed, if it is also known where.

    """

    name: str
    auth_index: str
    type: str
    provider: str
    label: str
    disabled: bool
    size: int
    modified_at: float
    problem: str | None = None
    is_spoken: bool = True
    email: str = ""
    prefix: str | None = None
    priority: int | None = None
    note: str = ""
    expires_at: float | None = None
    last_refresh: float | None = None
    has_refresh_token: bool = False


Files = list[CredentialFile]  # within the class, `list` is a method
Lines = list[str]


@attrs.frozen
class Scan:
    """One look at the folder.

    Attributes:
        files: All of them, by name.
        credentials: Those that serve, or would but for `disabled`: pairs of file and what it says.
        notices: What the operator should know, each as one line.

    """

    files: tuple[CredentialFile, ...]
    credentials: tuple[tuple[CredentialFile, FileCredential], ...] = attrs.field(repr=False)
    notices: tuple[str, ...]


class CredentialFiles:
    """The credential files of a folder.

    Args:
        folder: The folder; it need not exist.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- looking ---

    def list(self) -> Files:
        """Every credential file, by name; those that cannot be used too."""
        return [*self.scan().files]

    def scan(self) -> Scan:
        """Read the whole folder."""
        notices: list[str] = []
        files: list[CredentialFile] = []
        credentials: list[tuple[CredentialFile, FileCredential]] = []
        cautions: dict[str, Path] = {}
        for name, path in self._found(notices):
            file, credential, notice = _look(name, path)
            files.append(file)
            if credential is not None and file.problem is None:
                credentials.append((file, credential))
            notices += [f"{path}: {text}" for text in (notice, file.problem) if text]
            if credential is not None and credential.login.caution:
                cautions.setdefault(credential.login.caution, path)
        notices += [f"{path}: {text}" for text, path in cautions.items()]
        return Scan(tuple(files), tuple(credentials), tuple(map(printable, notices)))

    def _found(self, notices: Lines) -> Iterator[tuple[str, Path]]:
        """Name and path of each file, by name; one path for each name."""
        try:
            with os.scandir(self.folder) as entries:
                spelled = sorted(entry.name for entry in entries if is_credential_file(entry.name))
            mode = stat.S_IMODE(self.folder.stat().st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            notices.append(f"{self.folder}: the credential files in it cannot be listed: {error.strerror}")
            return
        if os.name == "posix" and mode & 0o077 and spelled:
            notices.append(f"{self.folder}: other users may look into it (mode {mode:04o}): chmod 700 it")
        names: dict[str, str] = {}
        for spelling in spelled:
            name = name_of(spelling)
            first = names.setdefault(name, spelling)
            if spelling == name != first:
                names[name], spelling = spelling, first  # who is spelled as all systems spell it goes first
            if names[name] != spelling:
                notices.append(
                    f"{self.folder / spelling}: is not used, for some systems cannot tell it from {names[name]}: rename or remove it"
                )
        if len(names) > MAX_FILES:
            notices.append(f"{self.folder}: holds more than {MAX_FILES} credential files; the last are not used")
        for name in sorted(names)[:MAX_FILES]:
            yield name, self.folder / names[name]

    def path(self, name: str) -> Path:
        """Where the file of that name is.

        Raises:
            NoSuchFile: Nowhere.

        """
        wanted = name_of(name)
        for found, path in self._found([]):
            if found == wanted:
                return path
        raise NoSuchFile(f"there is no credential file {wanted!r}")

    # --- one file ---

    def read(self, name: str) -> bytes:
        """The content of a file, secrets and all.

        Raises:
            CredentialFileError: There is none, or it cannot be read.

        """
        return _read(self.path(name))[0]

    def write(self, name: str, data: bytes) -> CredentialFile:
        """Add a file, or put another content in its place.

        Raises:
            CredentialFileError: It is not a credential; nothing was written.

        """
        try:
            name = normal_name(name)
        except BadFileName as error:
            raise CredentialFileError(f"{name!r}: {error}") from None
        if len(data) > MAX_BYTES:
            raise CredentialFileError(f"{name}: larger than {MAX_BYTES} bytes: is it a credential file at all?")
        mistakes = parse_credential_file(_decode(name, data)).mistakes
        if mistakes:
            raise CredentialFileError(*(_told(name, mistake.dotted(), mistake.message) for mistake in mistakes))
        with _LOCK:
            try:
                path = self.path(name)
            except NoSuchFile:
                path = self.folder / name
                if len(tuple(self._found([]))) >= MAX_FILES:
                    raise CredentialFileError(f"there are {MAX_FILES} credential files already: remove some") from None
            _write(path, data)
        return _look(name, path)[0]

    def delete(self, name: str) -> None:
        """Remove a file.

        Raises:
            CredentialFileError: There is none, or it cannot be removed.

        """
        with _LOCK:
            path = self.path(name)
            try:
                path.unlink()
            except OSError as error:
                raise CredentialFileError(f"{path.name}: cannot be removed: {error.strerror}") from None

    def set_disabled(self, name: str, disabled: bool) -> CredentialFile:
        """Switch a credential off or on; everything else in its file stays as it is.

        Raises:
            CredentialFileError: There is none, or it holds no JSON object.

        """
        self.update(name, lambda data: {**data, "disabled": disabled})
        return _look(name_of(name), self.path(name))[0]

    def update(self, name: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]) -> bool:
        """Read a file, change it, write it, with nobody in between.

        Args:
            name: The file's.
            change: From what the file holds to what it should hold; None: leave it alone.

        Returns:
            Whether it was written.

        Raises:
            CredentialFileError: There is none, it holds no JSON object, or cannot be written.

        """
        with _LOCK:
            path = self.path(name)
            data = _decode(path.name, _read(path)[0])
            if not isinstance(data, dict):
                raise CredentialFileError(f"{path.name}: expected one JSON object")
            changed = change(data)
            if changed is None:
                return False
            _write(path, json.dumps(changed, indent=2).encode() + b"\n")
        return True


def is_credential_file(spelling: str) -> bool:
    """Whether a file of that name in the folder is one: no hidden one, nothing that another software keeps beside."""
    return spelling.lower().endswith(".json") and not spelling.startswith(".")


def _look(name: str, path: Path) -> tuple[CredentialFile, FileCredential | None, str | None]:
    """What one file comes to: for the operator, for the gateway, and a warning."""
    size, modified_at, mode, problem, warning = 0, 0.0, 0o600, None, None
    credential: FileCredential | None = None
    kind = ""
    try:
        normal_name(name)
        content, found = _read(path)
        size, modified_at, mode = found.st_size, found.st_mtime, stat.S_IMODE(found.st_mode)
        data = _decode(name, content)
        kind = str(data.get("type", ""))[:60] if isinstance(data, dict) else ""
        reading = parse_credential_file(data)
        credential = reading.credential
        problem = "; ".join(f"{m.dotted()}: {m.message}" if m.path else m.message for m in reading.mistakes) or None
    except BadFileName as error:
        problem = str(error)
    except CredentialFileError as error:
        problem = error.lines[0].removeprefix(f"{name}: ")
    if os.name == "posix" and mode & 0o077:
        warning = f"holds secrets and other users may read it (mode {mode:04o}): chmod 600 it"
    if credential is None:
        return CredentialFile(name, auth_index(name), kind, "", name, False, size, modified_at, problem), None, warning
    why_not = credential.login.why_not
    file = CredentialFile(
        name=name,
        auth_index=auth_index(name),
        type=credential.type,
        provider=credential.login.channel,
        label=credential.email or name,
        disabled=credential.disabled,
        size=size,
        modified_at=modified_at,
        problem=f"serves nothing: {why_not}" if why_not else None,
        is_spoken=not why_not,
        email=credential.email,
        prefix=credential.prefix,
        priority=credential.priority,
        note=credential.note,
        expires_at=credential.expires_at,
        last_refresh=credential.last_refresh,
        has_refresh_token=bool(credential.refresh_token),
    )
    return file, credential, warning


def _told(name: str, field: str, message: str) -> str:
    return printable(f"{name}: {field}: {message}" if field else f"{name}: {message}")


def _decode(name: str, content: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise CredentialFileError(f"{name}: is not valid JSON in UTF-8: was it copied whole?") from None


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """The content of a regular file, within bounds. A pipe or a device of that name is not waited for."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise CredentialFileError(f"{path.name}: is not a file that can be read")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CredentialFileError(f"{path.name}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise CredentialFileError(f"{path.name}: larger than {MAX_BYTES} bytes: is it a credential file at all?")
    return content, found


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone; its folder is made if there is none."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, data, is_secret=True)
    except OSError as error:
        raise CredentialFileError(f"{path.name}: cannot be written: {error.strerror}") from None
