"""A small core to drive transports with: a proxy for lines.

A request is a line. It goes to the upstream as it comes; what comes back goes to the client as it comes, and an answer is over when
it ends in the line ``end``. A line that begins with ``serve`` is answered elsewhere. Without an upstream, `LineProxy` answers itself: with the line, and ``end``.
"""

import math
import threading

from dragoman.core.effects import (
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    LocalAnswer,
    LocalRequest,
    OpenUpstream,
    Origin,
    ReleaseUpstream,
    Serve,
    WriteClient,
    WriteUpstream,
)

END = b"end\n"


class Notes:
    """What connections saw, in order; made on the loop's thread, read on the test's."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Take a note."""
        with self._lock:
            self.lines.append(line)
            self._lock.notify_all()

    def wait_for(self, line: str, seconds: float = 5) -> None:
        """Wait until a line was noted."""
        with self._lock:
            assert self._lock.wait_for(lambda: line in self.lines, seconds), f"no {line!r} in {self.lines}"


class LineProxy:
    """One client connection.

    Args:
        origin: Where lines go; None: answer here.
        notes: Where to note what happens.
        seconds: How long an exchange, or the wait for one, may take.

    """

    def __init__(self, origin: Origin | None, notes: Notes, seconds: float = math.inf) -> None:
        self._origin = origin
        self._notes = notes
        self._seconds = seconds
        self._deadline = math.inf
        self._attempt = 0
        self._is_open = False
        self._was_reused = False
        self._is_draining = False
        self._line: bytes | None = None  # of the exchange in hand
        self._has_answer = False
        self._tail = b""
        self._closed = False
        self._is_serving = False

    @property
    def is_reading(self) -> bool:
        """Not while an exchange waits for its upstream with a good deal in hand."""
        return self._line is None or self._is_open or len(self._line) < 65536

    def next_deadline(self) -> float:
        """When it gives up."""
        return self._deadline

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Pass it on."""
        if not data:
            self._notes.add("client left")
            return self._close()
        if self._line is not None:
            if len(self._line) < 65536:  # more is never sent again
                self._line += data
            return [WriteUpstream(self._attempt, data)] if self._is_open else []
        if data == b"bug\n":
            raise RuntimeError("a bug")
        if data.startswith(b"serve"):
            self._attempt += 1
            self._is_serving = True
            return [Serve(self._attempt, LocalRequest("GET", data.decode().strip(), "", {}, b""))]
        if self._origin is None:
            # In two effects, which are to be one write.
            effects: list[Effect] = [WriteClient(data)]
            if data.endswith(b"\n"):
                effects.append(WriteClient(END))
            return [*effects, CloseClient()] if data == b"bye\n" else effects
        self._line = data
        self._deadline = now + self._seconds
        return self._open(self._origin)

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """Send what there is."""
        assert attempt == self._attempt
        assert self._line is not None
        self._notes.add(f"opened {attempt}{' reused' if reused else ''}")
        self._is_open, self._was_reused = True, reused
        return [WriteUpstream(attempt, self._line[:1]), WriteUpstream(attempt, self._line[1:])]

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """Say so."""
        self._notes.add(f"failed {attempt} {failure.kind.value}")
        return [WriteClient(f"{failure.kind.value}: {failure.detail}\n".encode()), *self._close()]

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """Pass it on."""
        if attempt != self._attempt or self._line is None:
            return []
        if not data:
            self._notes.add("upstream left")
            if self._was_reused and not self._has_answer and self._origin is not None:
                self._is_open = False
                return self._open(self._origin, fresh=True)
            return self._close()
        self._has_answer = True
        self._tail = (self._tail + data)[-len(END) :]
        effects: list[Effect] = [WriteClient(data)]
        if self._tail == END:
            effects.append(ReleaseUpstream(attempt))
            self._line, self._is_open, self._has_answer, self._tail = None, False, False, b""
            self._deadline = math.inf
            if self._is_draining:
                effects += self._close()
        return effects

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """Say it."""
        self._notes.add(f"served {attempt}")
        text = b"failed" if answer is None else answer.body
        self._is_serving = False
        if self._closed:
            return []
        return [WriteClient(text + b"\n"), WriteClient(END), *(self._close() if self._is_draining else [])]

    def handle_timer(self, now: float) -> list[Effect]:
        """Give up."""
        assert now >= self._deadline
        self._notes.add("too late")
        return [WriteClient(b"too late\n"), *self._close()]

    def drain(self, now: float) -> list[Effect]:
        """Finish what is in hand."""
        self._notes.add("drain")
        self._is_draining = True
        return self._close() if self._line is None and not self._is_serving else []

    def abort(self, now: float) -> list[Effect]:
        """End."""
        self._notes.add("abort")
        return [WriteClient(b"aborted\n"), *self._close()]

    def _open(self, origin: Origin, fresh: bool = False) -> list[Effect]:
        self._attempt += 1
        return [OpenUpstream(self._attempt, origin, fresh)]

    def _close(self) -> list[Effect]:
        assert not self._closed
        self._closed = True
        self._deadline = math.inf
        return [*([CloseUpstream(self._attempt)] if self._line is not None else []), CloseClient()]
