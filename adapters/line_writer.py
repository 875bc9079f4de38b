"""Lines on their way to a file descriptor, without ever making the event loop wait.

`write` puts a line into a bounded buffer; a thread takes all that is there and writes it at once. When nobody reads the other end
(a stuck terminal, a full pipe) the buffer drops its oldest lines and, once it is heard again, says how many. The thread writes to
the descriptor itself: a buffered stream has a lock, and a thread that is stuck holding it would abort the interpreter's exit.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable

CAPACITY = 10_000  # lines; about 4 MB
PAUSE = (
    0.02  # seconds in which lines gather: waking a thread for each would cost the event loop more than formatting it
)
PATIENCE = 1.0  # seconds that closing waits for a stuck descriptor


class LineWriter:
    """Writes lines from a thread of its own, which starts with the first line.

    Args:
        send: Writes bytes, says how many were taken; may block, may raise OSError.
        capacity: How many lines may wait.

    """

    def __init__(self, send: Callable[[bytes], int] | None = None, capacity: int = CAPACITY) -> None:
        self._send = send if send is not None else _send_to_stderr
        self._lines: deque[str] = deque(maxlen=capacity)
        self._dropped = 0
        self._asleep = True
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Queue a line (without its newline) at once, whatever the other end does."""
        with self._lock:
            self._dropped += len(self._lines) == self._lines.maxlen
            self._lines.append(line)
            wake, self._asleep = self._asleep, False
        if wake:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dragoman-lines", daemon=True)
                self._thread.start()
            self._wake.set()

    def close(self, patience: float = PATIENCE) -> None:
        """Write what is left, waiting for a stuck descriptor no longer than `patience` seconds."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(PAUSE)
            self._wake.clear()
            batch = self._take()
            while batch:
                self._send_all(batch)
                batch = self._take()
            if self._closing.is_set():
                return

    def _take(self) -> bytes:
        with self._lock:
            lines, dropped = list(self._lines), self._dropped
            self._lines.clear()
            self._dropped = 0
            self._asleep = not lines
        if dropped:
            lines.insert(0, f"level=warning event=lines_dropped count={dropped}")
        return "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace")

    def _send_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._send(data) :]
            except BlockingIOError:  # a descriptor made non-blocking by whoever shares it with us
                if self._closing.is_set():
                    return
                time.sleep(PAUSE)
            except OSError:  # nobody is there to be told
                return


def _send_to_stderr(data: bytes) -> int:
    return os.write(2, data)
