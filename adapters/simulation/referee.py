"""Each exchange as clients and providers saw it, against what its journal says.

The gateway is never asked how its credentials stand. What clients and providers note is compared with the journal of the exchange as soon as both are
whole; then its attempts go into the history of all credentials.
"""

import math
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from dragoman.adapters.simulation.history import UNREACHED, History
from dragoman.adapters.simulation.laws import Verdicts
from dragoman.adapters.simulation.provider import Said
from dragoman.adapters.simulation.scenario import Scenario
from dragoman.core.journal import Attempt, Journal
from dragoman.core.ledger import Prices, make_entry

_PRICES: Final = Prices(())
_GRACE: Final = 1.0  # seconds after which nothing of an exchange is on its way any more
_OFTEN: Final = 64  # exchanges between two looks at the history


class Record:
    """One exchange as it is seen from outside."""

    __slots__ = (
        "asked_at",
        "body",
        "heard_at",
        "is_over",
        "journal",
        "legs",
        "model",
        "number",
        "out",
        "said",
        "status",
    )

    def __init__(self, number: int, model: str, asked_at: float) -> None:
        self.number = number
        self.model = model
        self.asked_at = asked_at
        self.heard_at = math.inf
        self.status = 0
        self.body = b""
        self.is_over = False
        self.journal: Journal | None = None
        self.said: list[Said] = []


class Referee:
    """Sees to it that the laws are kept.

    Args:
        scenario: The world.

    Attributes:
        verdicts: What it found.
        history: Of all credentials.
        statuses: What clients got: how many of each HTTP status; 0 for those who left.
        attempts: How many were made.
        tokens: What providers said was used.
        closed: Exchanges that are over.

    """

    def __init__(self, scenario: Scenario) -> None:
        self.verdicts = Verdicts()
        self.history = History(scenario, self.verdicts)
        self.statuses: Counter[int] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.attempts = 0
        self.tokens = 0
        self.closed = 0
        self._is_calm = scenario.is_calm
        self._latency = scenario.latency
        config, history = scenario.config, self.history
        rounds = config.request_retry + 1
        self._most = {
            model: rounds * (config.max_retry_credentials or sum(len(history.lanes[leg]) for leg in legs))
            for model, legs in history.legs.items()
        }
        self._open: dict[int, Record] = {}  # in order of time
        self._ripe: deque[tuple[float, Record]] = deque()

    # --- what is seen ---

    def asked(self, number: int, model: str, now: float) -> None:
        """A client sent a request."""
        self._open[number] = Record(number, model, now)

    def heard(self, number: int, at: float) -> None:
        """The gateway sent the first byte of an answer."""
        if number in self._open:
            self._open[number].heard_at = at

    def answered(self, number: int, status: int, body: bytes, now: float) -> None:
        """A client has its answer."""
        record = self._open[number]
        record.status, record.body = status, body
        self._over(record, now)

    def left(self, number: int, now: float) -> None:
        """A client left."""
        self._over(self._open[number], now)

    def _over(self, record: Record, now: float) -> None:
        record.is_over = True
        if record.journal is not None:
            self._ripe.append((now, record))

    def seen(self, said: Said) -> None:
        """A provider saw a request."""
        record = self._open.get(said.number)
        if record is None:
            self.broke("true journal", f"a provider got a request of {said.number}, which was over")
        else:
            record.said.append(said)

    def recorded(self, journal: Journal) -> None:
        """The gateway wrote a journal."""
        number = int(journal.request_id.removeprefix("sim-")) if journal.request_id.startswith("sim-") else 0
        record = self._open.get(number)
        if record is None:
            self.broke("one answer", f"there is a journal of {journal.request_id!r}, which nobody asked or is over")
            return
        if record.journal is not None:
            self.broke("one answer", f"{number} has two journals")
            return
        record.journal = journal
        if record.is_over:
            self._ripe.append((journal.ended_at, record))
        if number % _OFTEN == 0:
            self.settle(journal.ended_at)

    def broke(self, law: str, detail: str) -> None:
        """A law is broken."""
        self.verdicts.broke(law, detail)

    # --- each exchange ---

    def settle(self, now: float) -> None:
        """Look at what is over, and at the history as far as it is complete."""
        while self._ripe and self._ripe[0][0] < now - _GRACE:
            _, record = self._ripe.popleft()
            del self._open[record.number]
            self._close(record)
        first = next(iter(self._open.values()), None)
        self.history.settle(min(now, first.asked_at) if first is not None else now)

    def end(self, now: float) -> None:
        """Nothing follows."""
        self.settle(now + 2 * _GRACE)
        for record in self._open.values():
            lacks = "its journal" if record.journal is None else "its answer"
            self.broke("one answer", f"{record.number} never got {lacks}")
        self._open.clear()
        self.settle(math.inf)

    def _close(self, record: Record) -> None:
        journal = record.journal
        assert journal is not None  # that is what made it ripe
        self.closed += 1
        self.attempts += len(journal.attempts)
        self.statuses[record.status] += 1
        self.verdicts.checked["one answer"] += 1
        self._check_answer(record, journal)
        self._check_attempts(record, journal)
        pairs = list(self._paired(record, journal))
        self._check_tokens(record, journal, pairs)
        self.outcomes.update(attempt.outcome for attempt in journal.attempts)
        self.history.add(record.number, record.model, journal, pairs)

    def _check_answer(self, record: Record, journal: Journal) -> None:
        number, body = record.number, record.body
        if record.status and record.status != journal.status:
            self.broke("one answer", f"{number} got {record.status}, its journal says {journal.status}")
        if not record.status:
            return
        self.verdicts.checked["own answer"] += 1
        own = b"answer-%08d" % number
        is_good = bool(journal.attempts) and journal.attempts[-1].outcome == "ok"
        if body.count(b"answer-") != body.count(own):
            self.broke("own answer", f"{number} got the answer of another: {body[:500]!r}")
        elif is_good and own not in body:
            self.broke("own answer", f"{number} did not get what its provider said: {body[:500]!r}")
        elif is_good != (record.status == 200) and not journal.streamed:
            self.broke("own answer", f"{number} got {record.status} of a provider that said otherwise")
        if self._is_calm and not is_good:
            self.broke("served", f"nothing goes wrong here, and {number} got {record.status}: {body[:300]!r}")

    def _check_attempts(self, record: Record, journal: Journal) -> None:
        number = record.number
        self.verdicts.checked["bounded"] += 1
        if len(journal.attempts) > self._most[record.model]:
            self.broke("bounded", f"{number} made {len(journal.attempts)} attempts, of {self._most[record.model]}")
        if record.heard_at < math.inf:
            self.verdicts.checked["first byte"] += 1
            sent = [said.at - self._latency for said in record.said]
            begun = [attempt.started_at for attempt in journal.attempts]
            if max([*sent, *begun], default=0.0) > record.heard_at + 1e-6:
                self.broke("first byte", f"{number} was tried again after the first byte of its answer")

    def _paired(self, record: Record, journal: Journal) -> Iterator[tuple[Attempt, Said | None]]:
        """Each attempt with what its provider said last within it; a second look at a dead connection is no attempt of its own."""
        self.verdicts.checked["true journal"] += 1
        left = deque(record.said)
        for attempt in journal.attempts:
            said = None
            while left and left[0].credential == attempt.credential and left[0].at <= attempt.ended_at:
                if said is not None and not (said.is_reused and said.fault in ("reset", "raced", "outage")):
                    self.broke("true journal", f"{record.number} was sent twice in one attempt")
                said = left.popleft()
            self._check_told(record, attempt, said)
            meaning = said.refusal.meaning if said is not None and said.refusal is not None else ""
            is_final = attempt.outcome == "ok" or (attempt.outcome == "status" and meaning == "request")
            if is_final and attempt is not journal.attempts[-1]:
                self.broke("bounded", f"{record.number} was tried again after {attempt.outcome} {attempt.status}")
            yield attempt, said
        # What was on its way when the client left or the time was over came too late to be answered.
        if left and (len(left) > 1 or journal.attempts[-1].outcome not in ("abandoned", "silent")):
            self.broke("true journal", f"{record.number} was sent to {left[0].credential}, and no attempt says so")

    def _check_told(self, record: Record, attempt: Attempt, said: Said | None) -> None:
        outcome, wrong = attempt.outcome, ""
        if said is None:
            may_be = outcome in UNREACHED or outcome in ("silent", "abandoned", "closed")
            wrong = "" if may_be else "though no provider saw it"
        elif outcome == "ok":
            wrong = "" if said.is_good else f"though it was {said.fault or said.refusal}"
        elif outcome == "status" and said.refusal is not None:
            wrong = "" if said.refusal.status == attempt.status else f"but {said.refusal.status} was said"
        elif outcome in ("status", "failed"):
            wrong = "" if said.fault in ("error-inside", "error-late") else f"but it was {said.fault or 'good'}"
        elif outcome in ("cut", "closed", "garbage", "empty"):
            wrong = "" if said.fault else "though nothing was wrong"
        if wrong:
            self.broke("true journal", f"{record.number} says {outcome} {attempt.status} ({attempt.detail}), {wrong}")

    def _check_tokens(self, record: Record, journal: Journal, pairs: list[tuple[Attempt, Said | None]]) -> None:
        attempt, said = pairs[-1] if pairs else (None, None)
        if attempt is None or said is None or attempt.outcome != "ok":
            return
        self.verdicts.checked["tokens"] += 1
        self.tokens += said.tokens
        entry = make_entry(journal, _PRICES)
        for place, usage in (("journal", journal.usage), ("ledger", entry.usage)):
            counted = usage.total if usage is not None else None
            if counted != said.tokens:
                told = f"the provider of {record.number} said {said.tokens} tokens, the {place} {counted}"
                self.broke("tokens", told)
