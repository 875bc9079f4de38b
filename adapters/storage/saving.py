"""The thread that writes the state file, so that the event loop never waits for a disk.

The loop's thread hands over news (`Saver.take`) about twice a second; what has changed since the last writing is written at once, in one
transaction. A kill -9 so loses less than a second of news. A disk that is full or gone is told once, tried again with the next news, and told
once more when it is well; nothing is lost meanwhile, for news accumulate.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from dragoman.adapters.storage.sqlite import Key, StateFile, StateFileError, records_of

PERIOD: Final = 0.4  # seconds between news
PATIENCE: Final = 3.0  # seconds that closing waits for a stuck disk
_LATER: Final = 2.0  # seconds until a failed writing is tried again
_MOST: Final = 200_000  # changes that wait for a disk; a conversation costs about 200 bytes


class Saver:
    """Writes news to a state file from a thread of its own.

    Args:
        file: The open file; closed by `close`.
        now: The clock, epoch seconds.
        warn: Told what the operator should know, from the thread.

    """

    def __init__(self, file: StateFile, now: Callable[[], float], warn: Callable[[str], None]) -> None:
        self._file = file
        self._now = now
        self._warn = warn
        # Records of those who are in no configuration now are left alone: another gateway may share the file.
        self._written: dict[Key, str] = {}
        self._own: set[Key] = set()
        self._latest: Mapping[str, object] | None = None
        self._bound: deque[object] = deque(maxlen=_MOST)
        self._pending: dict[Key, str | None] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closing = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="dragoman-state", daemon=True)
        self._thread.start()

    def take(self, news: Mapping[str, object]) -> None:
        """Take what `Router.take_news` gave; returns at once."""
        affinities = news["affinities"]
        assert isinstance(affinities, list)
        with self._lock:
            self._latest = news
            self._bound.extend(affinities)
        self._wake.set()

    def close(self, patience: float = PATIENCE) -> None:
        """Write what is left and close the file, waiting for a stuck disk no longer than `patience` seconds."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            is_last = self._is_closing
            self._collect()
            if not self._write() and not is_last:
                time.sleep(_LATER)
                self._wake.set()
            if is_last:
                self._file.close()
                return

    def _collect(self) -> None:
        """From all news to the one change of each record that they come to."""
        with self._lock:
            latest, self._latest = self._latest, None
            bound, self._bound = self._bound, deque(maxlen=_MOST)
        if latest is None:
            return
        whole, changes = records_of({**latest, "affinities": bound})
        # What is pending of credentials and client keys is older than this whole, and part of it if it still holds.
        self._pending = {key: value for key, value in self._pending.items() if key[0] == "affinity"} | changes
        self._pending |= {key: value for key, value in whole.items() if self._written.get(key) != value}
        self._pending |= dict.fromkeys(self._own - whole.keys())
        self._own |= whole.keys()
        while len(self._pending) > _MOST:
            del self._pending[next(iter(self._pending))]

    def _write(self) -> bool:
        if not self._pending:
            return True
        try:
            self._file.write(self._pending, self._now())
        except StateFileError as error:
            if not self._is_failing:
                self._warn(str(error))
            self._is_failing = True
            return False
        if self._is_failing:
            self._warn("the state file can be written again")
        self._is_failing = False
        for key, value in self._pending.items():
            if value is None:
                self._written.pop(key, None)
                self._own.discard(key)
            elif key[0] != "affinity":
                self._written[key] = value
        self._pending = {}
        return True
