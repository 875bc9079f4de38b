"""Queues of notices, one for each notifier, each with a thread of its own: who hands over a notice never waits for anybody.

A queue is bounded: when it is full, what comes next is dropped and counted. A sending that takes longer than `LIMIT` is no longer waited for; while it
goes on, at most one more is begun, then notices are dropped. That a notifier fails is told once, and once more when it works again.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from dragoman.adapters.notifications.sender import Notice, send
from dragoman.core.alert_rules import SEVERITIES, Notifier

LIMIT: Final = 30.0  # seconds for one notice, retries included
ROOM: Final = 100  # notices that wait for one notifier
PATIENCE: Final = 2.0  # seconds that closing waits for what is under way

Tell = Callable[[str, str], None]  # the notifier's name, and what is the matter
Send = Callable[[str, Notice], str]


@attrs.define
class Tally:
    """What became of the notices of one notifier."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0


class Channel:
    """One notifier with its queue.

    Args:
        notifier: Where notices go.
        tell: Told what the operator should know, from threads.
        send: Sends one.
        limit: Seconds for one.
        room: How many may wait.

    Attributes:
        notifier: Where notices go.
        tally: What became of them.

    """

    def __init__(
        self, notifier: Notifier, tell: Tell, send: Send = send, *, limit: float = LIMIT, room: int = ROOM
    ) -> None:
        self.notifier = notifier
        self.tally = Tally()
        self._tell = tell
        self._send = send
        self._limit = limit
        self._queue: queue.Queue[Notice | None] = queue.Queue(room)
        self._thread: threading.Thread | None = None
        self._sending: threading.Thread | None = None
        self._is_failing = False
        self._is_dropping = False

    def put(self, notice: Notice) -> bool:
        """Have a notice sent; False: it was dropped. Never waits. To be called by one thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dragoman-notify", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(notice)
        except queue.Full:
            self._drop()
            return False
        self._is_dropping = False
        return True

    def close(self) -> None:
        """Send what waits, then end; returns at once."""
        with contextlib.suppress(queue.Full):  # the thread is a daemon, and ends with the process
            self._queue.put_nowait(None)

    def join(self, seconds: float) -> None:
        """Wait until everything is sent, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _drop(self) -> None:
        self.tally.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            self._tell(self.notifier.name, f"notices are dropped: {self._queue.maxsize} wait already")

    def _run(self) -> None:
        while True:
            notice = self._queue.get()
            if notice is None:
                return
            self._deliver(notice)

    def _deliver(self, notice: Notice) -> None:
        if self._sending is not None:
            self._sending.join(self._limit)
            if self._sending.is_alive():
                self.tally.dropped += 1
                return
        problem = self._send_in_time(notice)
        if problem:
            self.tally.failed += 1
        else:
            self.tally.sent += 1
        if problem and not self._is_failing:
            self._tell(self.notifier.name, f"a notice could not be sent: {problem}")
        elif self._is_failing and not problem:
            self._tell(self.notifier.name, "notices can be sent again")
        self._is_failing = bool(problem)

    def _send_in_time(self, notice: Notice) -> str:
        problems: list[str] = []
        self._sending = threading.Thread(
            target=lambda: problems.append(self._send(self.notifier.url, notice)), name="dragoman-notice", daemon=True
        )
        self._sending.start()
        self._sending.join(self._limit)
        if self._sending.is_alive():
            return f"it takes longer than {self._limit:g} seconds"
        self._sending = None
        return problems[0] if problems else "it failed"


class Channels:
    """All notifiers of a configuration.

    Args:
        tell: Told what the operator should know, from threads.
        send: Sends one notice.

    """

    def __init__(self, tell: Tell, send: Send = send) -> None:
        self._tell = tell
        self._send = send
        self._channels: dict[Notifier, Channel] = {}

    def configure(self, notifiers: Sequence[Notifier]) -> None:
        """Take other notifiers; those that stay keep what waits for them."""
        before = self._channels
        self._channels = {
            one: before[one] if one in before else Channel(one, self._tell, self._send) for one in notifiers
        }
        for notifier in before.keys() - self._channels.keys():
            before[notifier].close()

    def put(self, notice: Notice, severity: str) -> None:
        """Have a notice sent to all who want to know of that severity."""
        for notifier, channel in self._channels.items():
            if SEVERITIES.index(severity) >= SEVERITIES.index(notifier.severity):
                channel.put(notice)

    def tallies(self) -> Mapping[str, Tally]:
        """What became of notices, by the notifier's name."""
        return {notifier.name: channel.tally for notifier, channel in self._channels.items()}

    def close(self, patience: float = PATIENCE) -> None:
        """Send what waits, but no longer than `patience` seconds in all."""
        channels = list(self._channels.values())
        for channel in channels:
            channel.close()
        for channel in channels:
            channel.join(patience / len(channels))
