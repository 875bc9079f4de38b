"""Running canaries on the real way: a client connection without a client, made anew for each request, is fed HTTP and read as a client reads it.

`CanaryRuns` has the border of a client connection (`dragoman.core.effects`): a transport drives it like any other, and what the connections within ask for
goes out under numbers of its own. So a canary is read, routed, translated, tried again and written like the request of any client; only its key is
not asked for, and no limit of client keys applies.
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from dragoman.core.canary_specs import CanarySpec
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import (
    Afterwards,
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    OpenUpstream,
    ReleaseUpstream,
    Serve,
    WriteClient,
)
from dragoman.core.errors import UpstreamError
from dragoman.core.gateway import Gateway
from dragoman.core.half_borders import Clientless
from dragoman.core.operations.canaries import CanaryRequest, Schedule, Seen, judge, read_answer, requests_of
from dragoman.core.operations.canary_tally import Verdict
from dragoman.core.upstream import AnswerTooLong, WholeAnswer

_LIMIT: Final = 8 * 1024 * 1024  # bytes of an answer
LOOK: Final = 2.0  # seconds between looks whether the gateway has another configuration


class _Run:
    """One run of a canary: its requests, one after another."""

    def __init__(self, spec: CanarySpec, gateway: Gateway, now: float) -> None:
        self.spec = spec
        self.left = requests_of(spec)
        self.seen: list[Seen] = []
        self.connection = ClientConnection(gateway, now, "canary", canary=spec.name)
        self.attempts: dict[int, int] = {}  # numbers within the connection, and outside
        self.until = math.inf
        self.request: CanaryRequest = self.left[0]
        self._answer: WholeAnswer | None = None

    def begin(self, gateway: Gateway, now: float) -> list[Effect]:
        """Send the next request on a connection of its own."""
        request = self.request = self.left.pop(0)
        self.connection = ClientConnection(gateway, now, "canary", canary=self.spec.name)
        self.attempts = {}
        self.until = now + self.spec.timeout
        self._answer = WholeAnswer(gateway.heads, _LIMIT)
        lines = [f"POST {request.path} HTTP/1.1", "host: dragoman", f"content-length: {len(request.body)}"]
        lines += [f"{name}: {value}" for name, value in request.fields]
        return self.connection.client_sent("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + request.body, now)

    def take(self, data: bytes) -> None:
        """What the client would read; nothing: the connection was closed."""
        answer = self._answer
        if answer is None:
            return
        try:
            whole = answer.take(data)
        except AnswerTooLong:
            self.end("the answer is too long")
            return
        except UpstreamError:
            self.end("the answer was cut")
            return
        if whole is not None:
            head, body = whole
            fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields}
            self._see(read_answer(self.spec, self.request.streams, head.status, fields, body))

    def end(self, problem: str) -> None:
        """The request came to nothing."""
        self._see(Seen(self.request.streams, 0, problem))

    def _see(self, seen: Seen) -> None:
        self._answer = None
        self.seen.append(seen)

    @property
    def is_answered(self) -> bool:
        """Whether the request in hand has come to something."""
        return self._answer is None


class CanaryRuns(Clientless):
    """Runs the canaries of a gateway's configuration.

    Args:
        gateway: The gateway.
        now: When to begin, epoch seconds.
        draw: Draws numbers in [0, 1).
        record: Told of each run: the canary, and what it came to.

    """

    def __init__(
        self,
        gateway: Gateway,
        now: float,
        *,
        draw: Callable[[], float],
        record: Callable[[CanarySpec, Verdict, float], None],
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._schedule = Schedule(draw)
        self._config = gateway.config
        self._schedule.configure(gateway.config.canaries, now)
        self._look_at = now + LOOK
        self._runs: dict[str, _Run] = {}
        self._attempts = 0
        self._by_attempt: dict[int, tuple[_Run, int]] = {}
        self._is_over = False

    def next_deadline(self) -> float:
        """When `handle_timer` is due, epoch seconds."""
        if self._is_over:
            return math.inf
        least = min(self._look_at, self._schedule.next_at)
        for run in self._runs.values():
            least = min(least, run.until, run.connection.next_deadline())
        return least

    def handle_timer(self, now: float) -> list[Effect]:
        """Begin what is due, end what takes too long."""
        effects: list[Effect] = []
        if now >= self._look_at:
            self._look_at = now + LOOK
            if self._gateway.config is not self._config:
                self._config = self._gateway.config
                self._schedule.configure(self._config.canaries, now)
        for run in list(self._runs.values()):
            connection = run.connection
            if now >= run.until:
                run.end(f"no whole answer after {run.spec.timeout:g} seconds")
                effects += self._perform(run, [], now)
            elif now >= connection.next_deadline():
                effects += self._perform(run, connection.handle_timer(now), now)
        for spec in self._schedule.take_due(now):
            if spec.name not in self._runs:
                run = self._runs[spec.name] = _Run(spec, self._gateway, now)
                effects += self._perform(run, run.begin(self._gateway, now), now)
        return effects

    def _perform(self, run: _Run, asked: list[Effect], now: float) -> list[Effect]:
        """Pass on what a run's connection asks for, read what it says; go on with the next request, or conclude."""
        effects = self._pass_on(run, asked)
        while run.is_answered:
            effects += self._leave(run, now)
            if run.seen[-1].problem or not run.left:
                del self._runs[run.spec.name]
                self._record(run.spec, judge(run.spec, run.seen), now)
                break
            effects += self._pass_on(run, run.begin(self._gateway, now))
        return effects

    def _leave(self, run: _Run, now: float) -> list[Effect]:
        """Leave the connection as a client leaves, so that whatever is still done for it ends."""
        return self._pass_on(run, run.connection.client_sent(b"", now))

    def _pass_on(self, run: _Run, asked: list[Effect]) -> list[Effect]:
        effects: list[Effect] = []
        for effect in asked:
            match effect:
                case WriteClient():
                    run.take(effect.data)
                case CloseClient():
                    run.take(b"")
                case OpenUpstream() | Serve():
                    self._attempts += 1
                    run.attempts[effect.attempt] = self._attempts
                    self._by_attempt[self._attempts] = run, effect.attempt
                    effects.append(msgspec.structs.replace(effect, attempt=self._attempts))
                case Afterwards():
                    effects.append(effect)
                case _:
                    outside = run.attempts[effect.attempt]
                    effects.append(msgspec.structs.replace(effect, attempt=outside))
                    if isinstance(effect, ReleaseUpstream | CloseUpstream):
                        self._by_attempt.pop(outside, None)
        return effects

    # --- what happens to attempts ---

    def _of(self, attempt: int) -> tuple[_Run, ClientConnection, int] | None:
        """Whose attempt it is, unless it is over."""
        run, inside = self._by_attempt.get(attempt, (None, 0))
        return None if run is None else (run, run.connection, inside)

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """A connection stands."""
        found = self._of(attempt)
        if found is None:
            return []
        run, connection, inside = found
        return self._perform(run, connection.upstream_opened(inside, now, reused), now)

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """A provider cannot be reached."""
        found = self._of(attempt)
        if found is None:
            return []
        run, connection, inside = found
        self._by_attempt.pop(attempt)
        return self._perform(run, connection.upstream_failed(inside, failure, now), now)

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """A provider answers; nothing: it closed."""
        found = self._of(attempt)
        if found is None:
            return []
        run, connection, inside = found
        return self._perform(run, connection.upstream_sent(inside, data, now), now)

    def drain(self, now: float) -> list[Effect]:
        """Stop; what is under way is no verdict."""
        self._is_over = True
        runs, self._runs = list(self._runs.values()), {}
        return [effect for run in runs for effect in self._leave(run, now)]
