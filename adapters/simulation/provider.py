"""A simulated provider: it reads just enough of a request, draws what goes wrong, and notes what it saw and said."""

import math
import random
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

from dragoman.adapters.simulation.faults import ANSWER_FAULTS
from dragoman.adapters.simulation.refusals import Refusal, error_inside, framed, refusal
from dragoman.adapters.simulation.wire import MARK, VARIANTS, answer
from dragoman.core.effects import CloseClient, Effect, WriteClient
from dragoman.core.half_borders import Upstreamless

_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_KEY: Final = re.compile(rb"sk-(p\d+-k\d+)")
_MODEL: Final = re.compile(rb"up-[a-z]+")
_REFUSALS: Final = frozenset({
    "limited", "limited-silently", "skewed", "spent", "unauthorized", "unpaid", "forbidden", "no-model", "failed", "bad-request",
})  # fmt: skip
_STEP: Final = 0.03  # seconds between the pieces of a stream, on average


class Said:
    """One request that a provider saw, and what it answered.

    Attributes:
        number: Of the exchange.
        credential: The label of the credential it was shown.
        model: The upstream model.
        at: When it came.
        first_at: When the first byte of the answer was sent, which is when a good stream is known to be good; infinite while none was.
        fault: What went wrong; empty when all was well.
        refusal: The error it answered with, or None.
        tokens: What its good answer says it took.
        is_good: The answer was good, and complete.
        spent_delay: Its good answer says that no further request is allowed for so many seconds; None when it does not.
        is_reused: The connection had served before.

    """

    __slots__ = (
        "at", "credential", "fault", "first_at", "is_good", "is_reused", "model", "number", "refusal", "spent_delay", "tokens",
    )  # fmt: skip

    def __init__(self, number: int, credential: str, model: str, at: float, *, is_reused: bool) -> None:
        self.number = number
        self.credential = credential
        self.model = model
        self.at = at
        self.first_at = math.inf
        self.fault = ""
        self.refusal: Refusal | None = None
        self.tokens = 0
        self.is_good = False
        self.spent_delay: float | None = None
        self.is_reused = is_reused


class SimulatedProvider:
    """One provider.

    Args:
        name: Its name.
        dialect: What it speaks.
        dice: Its own.
        shares: Of faults, by name.
        rate: How many requests it takes of a credential in how many seconds; None for any.
        on_seen: Told of each request, once it is decided what is said.
        on_bytes: Told of all that comes, for the digest.

    Attributes:
        open: Its connections.
        counts: Faults by name.
        is_well: Nothing goes wrong any more.
        died_at: When its connections were last ended from outside, all of them.

    """

    def __init__(
        self,
        name: str,
        dialect: str,
        dice: random.Random,
        shares: Mapping[str, float],
        rate: tuple[int, float] | None,
        on_seen: Callable[[Said], None],
        on_bytes: Callable[[bytes], None],
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.dice = dice
        self.open: dict[ProviderConnection, None] = {}
        self.counts: Counter[str] = Counter()
        self.is_well = False
        self.died_at = 0.0
        self.on_seen = on_seen
        self.on_bytes = on_bytes
        self._rate = rate
        self._counted: dict[str, tuple[float, int]] = {}
        self._faults: list[tuple[float, str]] = []
        share = 0.0
        for fault in ANSWER_FAULTS:
            if shares.get(fault):
                share += shares[fault]
                self._faults.append((share, fault))
        self._most = share

    def connect(self, peer: str) -> "ProviderConnection":
        """A new connection to it."""
        return ProviderConnection(self)

    def draw_fault(self) -> str:
        """What goes wrong with the next request; most often nothing."""
        if self.is_well or (drawn := self.dice.random()) >= self._most:
            return ""
        return next(fault for share, fault in self._faults if drawn < share)

    def count(self, credential: str, now: float) -> tuple[int, float] | None:
        """Count a request of a credential: how many more it may send, and the seconds until it may again; None where nobody counts.

        Less than 0: this one is one too many.
        """
        if self._rate is None or self.is_well:
            return None
        limit, seconds = self._rate
        began, count = self._counted.get(credential, (now, 0))
        if now >= began + seconds:
            began, count = now, 0
        self._counted[credential] = began, count + 1
        return limit - count - 1, began + seconds - now


class ProviderConnection(Upstreamless):
    """A provider's end of a connection, with the border of `dragoman.core.effects`.

    Attributes:
        is_closed: It has asked to be closed.

    """

    def __init__(self, provider: SimulatedProvider) -> None:
        self.is_closed = False
        self._provider = provider
        self._got = b""
        self._served = 0
        self._script: deque[tuple[float, bytes]] = deque()  # what is to be written, and when; nothing: close
        self._said: Said | None = None  # until it was begun to be said
        self._last: Said | None = None
        provider.open[self] = None

    @property
    def is_reading(self) -> bool:
        """Always: a request waits for its turn here."""
        return True

    def next_deadline(self) -> float:
        """When the next piece is due."""
        return self._script[0][0] if self._script else math.inf

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """The gateway sends, or closes."""
        self._provider.on_bytes(data)
        if not data:
            if self._last is not None and self._provider.died_at == now:
                self._last.fault = self._last.fault or "outage"
            return self.close()
        self._got += data
        if self._script:
            return []
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return []
        length = _LENGTH.search(self._got, 0, end)
        size = end + 4 + (int(length[1]) if length is not None else 0)
        if len(self._got) < size:
            return []
        request, self._got = self._got[:size], self._got[size:]
        self._answer(request, now)
        return self.handle_timer(now)

    def handle_timer(self, now: float) -> list[Effect]:
        """Write what is due."""
        effects: list[Effect] = []
        script = self._script
        while script and script[0][0] <= now:
            _, data = script.popleft()
            if not data:
                return effects + self.close()
            if self._said is not None:
                self._said.first_at = now
                self._said = None
            effects.append(WriteClient(data))
        return effects

    def close(self) -> list[Effect]:
        """End it, whatever is under way."""
        if self.is_closed:
            return []
        self.is_closed = True
        self._script.clear()
        self._provider.open.pop(self, None)
        return [CloseClient()]

    def drain(self, now: float) -> list[Effect]:
        """Close."""
        return self.close()

    def abort(self, now: float) -> list[Effect]:
        """Close."""
        return self.close()

    # --- what is said ---

    def _answer(self, request: bytes, now: float) -> None:
        provider = self._provider
        dice = provider.dice
        key, model = _KEY.search(request), _MODEL.search(request)
        at = request.find(b"question-") + 9
        if key is None or model is None or at < 9:
            raise ValueError(f"a provider got a request that nobody sent: {request[:2000]!r}")
        mark = request[at : at + 8]
        said = Said(int(mark), key[1].decode(), model[0].decode(), now, is_reused=self._served > 0)
        self._served += 1
        self._said = self._last = said
        is_stream = b'"stream":true' in request or b":streamGenerateContent" in request
        fault = provider.draw_fault()
        if (fault == "raced" and not said.is_reused) or (fault in ("error-late", "stalled") and not is_stream):
            fault = ""
        left = provider.count(said.credential, now)
        begins_at = now + dice.uniform(0.01, 0.3)
        if fault == "slow":
            begins_at = now + dice.uniform(2.0, 12.0)
        if left is not None and left[0] < 0 and not fault:
            fault = "rate-limits"
            said.refusal = Refusal(
                "limited", 429, b'{"error":{"message":"Slow down."}}', _left(0, left[1]), _told(left[1])
            )
        elif fault in _REFUSALS:
            said.refusal = refusal(fault, provider.dialect, dice, begins_at)
        said.fault = fault
        if fault:
            provider.counts[fault] += 1
        if said.refusal is not None:
            it = said.refusal
            self._script.append((begins_at, framed(it.status, it.fields, it.body)))
        else:
            self._say(said, mark, left, begins_at, stream=is_stream)
        provider.on_seen(said)

    def _say(self, said: Said, mark: bytes, left: tuple[int, float] | None, begins_at: float, *, stream: bool) -> None:
        script, fault, dice = self._script, said.fault, self._provider.dice
        dialect = self._provider.dialect
        match fault:
            case "reset" | "raced":
                script.append((begins_at if fault == "reset" else said.at, b""))
                return
            case "silent":
                script.append((begins_at + 1000.0, b""))
                return
            case "page":
                script.append((begins_at, framed(502, (), b"<html><body>Bad gateway</body></html>", b"text/html")))
                return
            case "garbage" | "empty":
                script.append((begins_at, framed(200, (), b"}:-(" if fault == "garbage" else b"")))
                return
            case "error-inside" if not stream:
                script.append((begins_at, framed(200, (), error_inside(dialect, stream=False))))
                return
        good = answer(dialect, dice.randrange(VARIANTS), stream=stream)
        head = good.head
        if left is not None and not stream and not fault:
            head += b"".join([b"%b: %b\r\n" % field for field in _left(*left)])
            said.spent_delay = _told(left[1]) if left[0] < 1 else None
        if fault == "error-inside":
            event = error_inside(dialect, stream=True)
            script.append((begins_at, b"%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(event), event)))
            return
        first = b"%b\r\n%b" % (head, good.pieces[0].replace(MARK, mark))
        if fault == "cut":
            script.append((begins_at, first[: dice.randrange(1, len(first))]))
            script.append((begins_at + 0.05, b""))
            return
        script.append((begins_at, first))
        if fault == "error-late":
            event = error_inside(dialect, stream=True)
            script.append((begins_at + 0.05, b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)))
            return
        if fault == "stalled":
            script.append((begins_at + 1000.0, b""))
            return
        said.tokens, said.is_good = good.tokens, True
        at = begins_at
        for piece in good.pieces[1:]:
            at += dice.uniform(0.0, 2 * _STEP)
            script.append((at, piece.replace(MARK, mark)))


def _told(seconds: float) -> float:
    return math.ceil(seconds * 1000) / 1000


def _left(remaining: int, seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    start = b"x-ratelimit-"
    return (
        (start + b"limit-requests", b"1000"),
        (start + b"remaining-requests", b"%d" % max(0, remaining)),
        (start + b"reset-requests", b"%gs" % _told(seconds)),
    )
