"""Another configuration while the gateway runs: the file is watched, read and checked by a thread; the event loop takes what is good.

The content is compared once a second, not the time of a change, which may lie: a Kubernetes ConfigMap swaps a link, editors rename, clocks are
coarse. Of the files in the folder of credentials it is what the system says of each (inode, size, times), for there may be thousands. A file that is just being written is left alone until it stays the same for 150 ms. SIGHUP reads at once, and also when the content is the same: what it
refers to may not be. A bad file is refused with all its mistakes in the log, and what was served before goes on.
"""

import hashlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from dragoman.adapters.config_file import MAX_BYTES, ConfigFileError
from dragoman.adapters.credential_files import is_credential_file
from dragoman.core.config import Config

PERIOD: Final = 1.0  # seconds between looks
_QUIET: Final = 0.15  # seconds for which a file must stay the same
_MOST_WAITS: Final = 20  # a file that is always being written is read in the end

#: What is settled when the gateway starts: key in the file, and where it is in a `Config`.
SETTLED: Final = (
    ("host", "host"), ("port", "port"), ("unix-socket", "unix_socket"), ("tls", "tls"), ("log-format", "log_format"),
    ("debug", "debug"), ("state-file", "state_file"), ("telemetry", "telemetry"),
    ("usage.enabled", "usage.enabled"), ("usage.file", "usage.file"), ("limits.client-connections", "limits.client_connections"),
    ("limits.upstream-connections", "limits.upstream_connections"), ("limits.upstream-idle", "limits.upstream_idle"),
    ("timeouts.upstream-idle", "timeouts.upstream_idle"), ("timeouts.drain", "timeouts.drain"),
)  # fmt: skip


@attrs.frozen
class News:
    """What came of reading the file again: a configuration and its notices, or mistakes."""

    config: Config | None = None
    notices: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()


@attrs.frozen
class Reloading:
    """How a change on the disk comes to be served.

    Attributes:
        read: Has the configuration and the credential files read, and waits for that so many seconds; for a worker thread. Whether it was in time.
        take_over: Serves what was read; for the loop's thread.

    """

    read: Callable[[float], bool]
    take_over: Callable[[], None]


def settled_changes(running: Config, config: Config) -> tuple[str, ...]:
    """The keys in which `config` differs from what runs, and that count at the next start only."""
    return tuple(key for key, path in SETTLED if _value(running, path) != _value(config, path))


def _value(config: Config, path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


class ConfigWatch:
    """Watches a configuration file from a thread of its own, from `start` to `close`.

    Args:
        path: The file.
        reread: Reads and checks it: the configuration and its notices. Raises ConfigFileError.
        period: Seconds between looks.
        folder: The folder of credential files, watched besides; a configuration that was read may name another.

    """

    def __init__(
        self,
        path: Path,
        reread: Callable[[], tuple[Config, tuple[str, ...]]],
        *,
        period: float = PERIOD,
        folder: Path | None = None,
    ) -> None:
        self._path = path
        self._reread = reread
        self._period = period
        self._folder = folder
        self._seen = self._look()
        # SimpleQueue.put may be called where put is already running, as in a signal handler; Event.set may not.
        self._asked: queue.SimpleQueue[bool | threading.Event] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dragoman-config", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def ask(self) -> None:
        """Have the file read now, whether or not it has changed; may be called by a signal handler."""
        self._asked.put(True)

    def read_now(self, seconds: float) -> bool:
        """Have the file read at once, for it was written whole; waits for that so many seconds. Whether it was in time."""
        done = threading.Event()
        self._asked.put(done)
        return done.wait(seconds)

    def take(self) -> News | None:
        """What came of the last reading, once; None when there was none. Never waits."""
        news = None
        try:
            while True:
                news = self._news.get_nowait()
        except queue.Empty:
            return news

    def close(self) -> None:
        """Stop watching."""
        self._asked.put(False)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                asked: bool | threading.Event | None = self._asked.get(timeout=self._period)
            except queue.Empty:
                asked = None
            if asked is False:
                return
            if asked or self._look() != self._seen:
                self._seen = self._look() if isinstance(asked, threading.Event) else self._settle()
                self._news.put(self._read())
            if isinstance(asked, threading.Event):
                asked.set()

    def _settle(self) -> bytes:
        """Wait until the file is no more being written."""
        digest = self._look()
        for _ in range(_MOST_WAITS):
            time.sleep(_QUIET)
            before, digest = digest, self._look()
            if before == digest:
                break
        return digest

    def _read(self) -> News:
        try:
            config, notices = self._reread()
        except ConfigFileError as error:
            return News(mistakes=error.lines)
        except Exception as error:  # a bug of ours must not end the watch; what an exception says may be a secret
            return News(mistakes=(f"{self._path}: cannot be read ({type(error).__name__})",))
        if self._folder is not None and self._folder != (folder := Path(config.auth_dir)):
            self._folder = folder
            self._seen = self._look()
        return News(config, notices)

    def _look(self) -> bytes:
        return _digest(self._path) + (b"" if self._folder is None else digest_of_folder(self._folder))


def digest_of_folder(folder: Path) -> bytes:
    """What the credential files in `folder` come to: another value after any change of them, without reading them."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if is_credential_file(entry.name))
    except OSError as error:
        return type(error).__name__.encode()
    digest = hashlib.sha256()
    for name in names:
        try:
            found = os.stat(folder / name)
            said: tuple[object, ...] = (
                found.st_ino,
                found.st_size,
                found.st_mtime_ns,
                found.st_ctime_ns,
                found.st_mode,
            )
        except OSError as error:
            said = (type(error).__name__,)
        digest.update(repr((name, said)).encode())
    return digest.digest()


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_BYTES + 1)).digest()
    except OSError as error:
        return type(error).__name__.encode()


@contextmanager
def on_hangup(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGHUP while the block runs, where there is that signal and this is the thread that gets it."""
    number = getattr(signal, "SIGHUP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(number, before)
