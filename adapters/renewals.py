"""New tokens, from the event loop to their files: a thread writes them, so that the loop never waits for a disk.

A renewed token is used once it is written (`Renewals.kept`), for a provider may have taken the old one back; where a disk fails it is used all the
same, told once, and written as soon as that works again. A file that has another refresh token by now is left alone: it was renewed or logged in
again by somebody else.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from dragoman.adapters.credential_files import CredentialFileError, CredentialFiles, NoSuchFile
from dragoman.core.credentials.oauth import renewed_file
from dragoman.core.renewing import Kept

PATIENCE: Final = 3.0  # seconds that closing waits for a stuck disk
_AGAIN: Final = 5.0  # seconds until a failed writing is tried again
_MOST: Final = 10_000  # tokens that wait for a disk


class Renewals:
    """Writes new tokens to the files of a folder from a thread of its own.

    Args:
        folder: Gives the folder; it may change with the configuration.
        warn: Told what the operator should know, from the thread.
        again: Seconds until a failed writing is tried again.

    """

    def __init__(self, folder: Callable[[], Path], warn: Callable[[str], None], *, again: float = _AGAIN) -> None:
        self._folder = folder
        self._warn = warn
        self._again = again
        self._asked: queue.SimpleQueue[Kept | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._pending: dict[str, Kept] = {}  # by identity: only the newest counts
        self._thread = threading.Thread(target=self._run, name="dragoman-tokens", daemon=True)
        self._thread.start()

    def keep(self, kept: Kept) -> None:
        """Write a new token; returns at once."""
        self._asked.put(kept)

    def kept(self) -> list[str]:
        """The identities of those that were written, or could not be, each once. Never waits."""
        found = []
        try:
            while True:
                found.append(self._done.get_nowait())
        except queue.Empty:
            return found

    def close(self, patience: float = PATIENCE) -> None:
        """Write what is left, waiting for a stuck disk no longer than `patience` seconds."""
        self._asked.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            try:
                kept = self._asked.get(timeout=self._again if self._pending else None)
            except queue.Empty:
                self._try_again()
                continue
            if kept is None:
                self._try_again()
                return
            earlier = self._pending.get(kept.identity)
            if not self._write(kept if earlier is None else _over(earlier, kept)):
                self._warn(
                    f"{kept.file}: its new token could not be written; it is used, and written as soon as that works"
                )
            self._done.put(kept.identity)

    def _try_again(self) -> None:
        for kept in list(self._pending.values()):
            if self._write(kept):
                self._warn(f"{kept.file}: its new token is written now")

    def _write(self, kept: Kept) -> bool:
        self._pending.pop(kept.identity, None)
        try:
            CredentialFiles(self._folder()).update(
                kept.file, lambda data: renewed_file(data, kept.used, kept.token, kept.at)
            )
        except NoSuchFile:
            return True  # removed meanwhile: nobody wants it
        except CredentialFileError:
            if len(self._pending) < _MOST:
                self._pending[kept.identity] = kept
            return False
        return True


def _over(earlier: Kept, later: Kept) -> Kept:
    """What is to be written of two renewals, the first of which is not in the file yet: there is still the refresh token that it used."""
    token = attrs.evolve(later.token, refresh_token=later.token.refresh_token or earlier.token.refresh_token)
    return attrs.evolve(later, used=earlier.used, token=token)
