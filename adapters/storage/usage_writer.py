"""The thread that writes the usage ledger, so that no request ever waits for a disk.

The loop's thread only hands over the journal of an exchange (`UsageWriter.take`, a third of a microsecond); what it comes to and costs is made
out here, and written a few times a second, all that there is in one transaction. A kill -9 so loses less than a second. A disk that is full, gone
or locked is told once, tried again, and told once more when it is well; meanwhile exchanges wait, the oldest are given up when too many do, and
that is told, too.
"""

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage_file import UsageFile
from dragoman.core.config import Ledger
from dragoman.core.journal import Journal
from dragoman.core.ledger import Entry, Prices, is_counted, make_entry

PATIENCE: Final = 3.0  # seconds that closing waits for a stuck disk
_GATHERING: Final = 0.25  # seconds between writings
_LATER: Final = 2.0  # seconds until a failed writing is tried again
_MOST: Final = 50_000  # exchanges that wait for the thread, and as many for a disk; about a kilobyte each
_AT_ONCE: Final = 5000  # exchanges in a transaction
_PRUNING: Final = 3600.0  # seconds between deletions of what is too old
_DAY: Final = 86400.0


class UsageWriter:
    """Writes exchanges to a ledger from a thread of its own, which also opens it.

    Args:
        path: The file.
        settings: What the configuration says now: prices and retention may change while the gateway runs.
        now: The clock, epoch seconds.
        warn: Told what the operator should know, from the thread.

    """

    def __init__(
        self, path: Path, settings: Callable[[], Ledger], now: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self._path = path
        self._settings = settings
        self._now = now
        self._warn = warn
        self._file: UsageFile | None = None
        self._taken: deque[Journal] = deque(maxlen=_MOST)
        self._entries: deque[Entry] = deque(maxlen=_MOST)
        self._overrun = 0  # given up by the loop's thread, from the beginning; only it writes here
        self._lost = 0  # given up by this thread, from the beginning
        self._told = 0  # of both
        self._ledger = settings()
        self._prices = Prices(self._ledger.prices)
        self._prune_at = 0.0
        self._is_pruning = False
        self._is_failing = False
        self._is_asleep = True
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dragoman-usage", daemon=True)
        self._thread.start()

    def take(self, journal: Journal) -> None:
        """Take the journal of an exchange; returns at once. For one thread."""
        if is_counted(journal):
            if len(self._taken) == _MOST:
                self._overrun += 1
            self._taken.append(journal)
            if self._is_asleep:
                self._is_asleep = False
                self._wake.set()

    def close(self, patience: float = PATIENCE) -> None:
        """Write what is left and close the file, waiting for a stuck disk no longer than `patience` seconds."""
        self._closing.set()
        self._wake.set()
        self._thread.join(patience)

    def _run(self) -> None:
        self._work()  # so that the file is there, and what is wrong with it is told, before the first exchange
        while not self._closing.is_set():
            self._is_asleep = not self._taken  # `take` looks at it after it has appended: nothing is overslept
            if self._is_asleep and not (self._taken or self._is_failing or self._is_pruning):
                self._wake.wait(_PRUNING)
            self._wake.clear()
            self._closing.wait(_LATER if self._is_failing else _GATHERING)
            self._work()
        self._work()
        if self._file is not None:
            self._file.close()

    def _work(self) -> None:
        """Do what there is to be done; whatever goes wrong, this thread goes on."""
        try:
            self._make_entries()
            self._write(self._opened())
        except StorageError as error:
            if not self._is_failing:
                self._warn(f"{error}; requests go on, and what they used waits to be written")
            self._let_go()
        except Exception as error:  # a bug of ours; what brought it about must not come again and again
            self._warn(f"the usage ledger failed ({type(error).__name__})")
            self._lost += len(self._entries)
            self._entries.clear()
            self._let_go()
        else:
            self._tell_recovery()

    def _let_go(self) -> None:
        self._is_failing = True
        if self._file is not None:
            self._file.close()
        self._file = None

    def _write(self, file: UsageFile) -> None:
        while self._entries:
            some = list(islice(self._entries, _AT_ONCE))
            file.add(some, self._now())
            for _ in some:
                self._entries.popleft()
        now, days = self._now(), self._ledger.retention_days
        if now >= self._prune_at and days:
            self._is_pruning = file.prune(now - days * _DAY)  # in small steps: what is new is written in between
            if not self._is_pruning:
                self._prune_at = now + _PRUNING

    def _tell_recovery(self) -> None:
        if self._is_failing:
            self._warn("the usage ledger can be written again")
        self._is_failing = False
        lost = self._lost + self._overrun
        if lost > self._told:
            self._warn(f"{lost - self._told} exchanges are not in the usage ledger, for too many waited to be written")
        self._told = lost

    def _opened(self) -> UsageFile:
        if self._file is not None and not self._file.is_there():
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = UsageFile(self._path, self._now())
            for notice in self._file.notices:
                self._warn(notice)
        return self._file

    def _make_entries(self) -> None:
        ledger = self._settings()
        if ledger is not self._ledger:
            self._ledger, self._prices = ledger, Prices(ledger.prices)
        for _ in range(len(self._taken)):
            self._lost += len(self._entries) == _MOST
            self._entries.append(make_entry(self._taken.popleft(), self._prices))
