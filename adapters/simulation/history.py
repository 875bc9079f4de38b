"""One history of all credentials, in order of time: who was asked when, what came of it, and whether that may be.

Journals come in the order in which exchanges end; what happened at an instant is looked at once no exchange is open that began before it.
"""

import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from dragoman.adapters.simulation.laws import Verdicts
from dragoman.adapters.simulation.meters import Meter
from dragoman.adapters.simulation.provider import Said
from dragoman.adapters.simulation.scenario import Scenario
from dragoman.adapters.simulation.shadow import Shadow
from dragoman.core.config import Config, Credential
from dragoman.core.journal import Attempt, Journal

Key = tuple[int, int]  #: The number of an exchange, and of an attempt within it.
UNREACHED = frozenset({"refused", "unresolved", "tls", "proxy", "limit"})  #: Outcomes of attempts that no provider saw.


@attrs.frozen
class Seat:
    """A credential with one upstream model."""

    provider: str
    credential: str
    model: str


class Known:
    """What is known of one credential."""

    __slots__ = ("in_flight", "label", "limit", "meters", "models", "off_at", "on_at", "touched_at", "whole")

    def __init__(self, credential: Credential) -> None:
        self.label = credential.label
        self.whole = Shadow()
        self.models: dict[str, Shadow] = defaultdict(Shadow)
        self.meters = [Meter(rule) for rule in credential.quotas]
        self.limit = math.inf if credential.max_concurrency is None else credential.max_concurrency
        self.in_flight = 0
        self.touched_at = 0.0  # when something last happened to it
        self.off_at = math.inf  # since when it is switched off
        self.on_at = 0.0  # since when it is on again


class History:
    """What became of each credential.

    Args:
        scenario: The world.
        verdicts: Where violations go.

    Attributes:
        lanes: Who could answer for each model that clients ask for.
        legs: What is asked for, for each model, in order.

    """

    def __init__(self, scenario: Scenario, verdicts: Verdicts) -> None:
        self._config = config = scenario.config
        self._verdicts = verdicts
        self._known = {c.label: Known(c) for p in config.providers for c in p.credentials}
        self._touched: dict[str, Known] = {}  # at this instant
        self._unserved: list[tuple[str, Journal]] = []  # at this instant
        self._shares: Counter[tuple[str, str]] = Counter()  # by model and credential
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = itertools.count()
        self.lanes = _lanes(config)
        self.legs = {model: (model, *dict(config.fallbacks).get(model, ())) for model in self.lanes}

    def add(self, number: int, model: str, journal: Journal, pairs: Sequence[tuple[Attempt, Said | None]]) -> None:
        """Take the attempts of an exchange, each with what its provider said."""
        for n, (attempt, said) in enumerate(pairs):
            key = (number, n)
            self._note(attempt.started_at, partial(self._picked, key, attempt))
            is_last = n == len(pairs) - 1
            if is_last and journal.streamed and journal.status == 200 and journal.first_byte_at is not None:
                self._note(journal.first_byte_at, partial(self._began, key, attempt))
            self._note(attempt.ended_at, partial(self._ended, key, attempt, said))
        if journal.fault == "provider":
            self._note(journal.ended_at, lambda now: self._unserved.append((model, journal)))

    def switched(self, label: str, now: float, *, on: bool) -> None:
        """The operator switched a credential."""
        self._note(now, partial(self._switch, label, on))

    def _note(self, at: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._count), event))

    def settle(self, until: float) -> None:
        """Look at all that happened before `until`: nothing is going to be added to it."""
        events, verdicts = self._events, self._verdicts
        while events and events[0][0] < until:
            at, _, event = heapq.heappop(events)
            if at > verdicts.now:
                self._end_instant()
                verdicts.now = at
            event(at)
        if until == math.inf:
            self._end_instant()

    def _end_instant(self) -> None:
        """All that happened at one instant has; only now is the order of it of no account."""
        for known in self._touched.values():
            if known.limit < math.inf:
                self._verdicts.checked["concurrency"] += 1
                if known.in_flight > known.limit:
                    self._verdicts.broke(
                        "concurrency", f"{known.label}: {known.in_flight} under way, {known.limit:g} allowed"
                    )
        for model, journal in self._unserved:
            self._check_served(model, journal, self._verdicts.now)
        self._unserved.clear()
        self._touched.clear()

    def _touch(self, label: str, now: float) -> Known:
        known = self._touched[label] = self._known[label]
        known.touched_at = now
        return known

    def _began(self, key: Key, attempt: Attempt, now: float) -> None:
        """The first byte of a good stream went on: a probe has succeeded."""
        known = self._touch(attempt.credential, now)
        known.whole.succeeded(key)
        known.models[attempt.upstream_model].succeeded(key)

    def _switch(self, label: str, on: bool, now: float) -> None:
        known = self._touch(label, now)
        if on:
            known.off_at, known.on_at = math.inf, now
        else:
            known.whole.reset()
            known.off_at = now

    def _picked(self, key: Key, attempt: Attempt, now: float) -> None:
        known = self._touch(attempt.credential, now)
        who = f"attempt {key[1] + 1} of {key[0]} at {attempt.credential} {attempt.upstream_model}"
        self._verdicts.checked["rest"] += 1
        for shadow in (known.whole, known.models[attempt.upstream_model]):
            if wrong := shadow.picked(key, now):
                self._verdicts.broke("rest", f"{who}: {wrong}")
        if now > known.off_at:
            self._verdicts.broke("rest", f"{who}: it is switched off")
        known.in_flight += 1
        for meter in known.meters:
            self._verdicts.checked["windows"] += 1
            if wrong := meter.picked(now):
                self._verdicts.broke("windows", f"{who}: {wrong}")
        self._shares[attempt.upstream_model, attempt.credential] += 1

    def _ended(self, key: Key, attempt: Attempt, said: Said | None, now: float) -> None:
        known = self._touch(attempt.credential, now)
        model = known.models[attempt.upstream_model]
        known.in_flight -= 1
        times = self._config.cooldowns
        if said is not None and attempt.outcome == "ok":
            known.whole.succeeded(key)
            model.succeeded(key)
            for meter in known.meters:
                meter.used_tokens(said.tokens, now)
            if said.spent_delay is not None:
                model.limited(now, now + said.spent_delay, times)
        elif said is not None and attempt.outcome in ("status", "failed"):
            self._refused(attempt, said, known, model, now)
        known.whole.released(key)
        model.released(key)

    def _refused(self, attempt: Attempt, said: Said, known: Known, model: Shadow, now: float) -> None:
        times, it = self._config.cooldowns, said.refusal
        meaning = it.meaning if it is not None else "failed"
        until = None
        if it is not None:
            until = it.at if it.delay is None else now + it.delay
        is_off = known.off_at <= now
        match meaning:
            case "limited":
                model.limited(now, until, times)
            case "spent" if not is_off:
                known.whole.limited(now, until, times)
            case "refused" if it is not None and not is_off:
                known.whole.refused(now, getattr(times, it.setting))
            case "no-model" if it is not None:
                model.refused(now, getattr(times, it.setting))
            case "failed":
                seat = Seat(attempt.provider, attempt.credential, attempt.upstream_model)
                others = [other for other in self.lanes[seat.model.removeprefix("up-")] if other != seat]
                if any(self._is_free(other, now) for other in others):
                    model.failed(now, times.transient, certain=True)
                elif not all(self._is_blocked(other, now) for other in others):
                    model.failed(now, times.transient, certain=False)
            case _:
                pass

    def _is_free(self, seat: Seat, now: float) -> bool:
        """Whether it may be picked, for sure."""
        known = self._known[seat.credential]
        if known.touched_at == now or known.off_at < math.inf:
            return False
        if now - known.on_at < 60.0:  # exchanges that began before do not know of it
            return False
        is_well = known.whole.is_free(now) and known.models[seat.model].is_free(now)
        return is_well and known.in_flight < known.limit and not any(m.may_be_spent(now) for m in known.meters)

    def _is_blocked(self, seat: Seat, now: float) -> bool:
        """Whether it may not be picked, for sure."""
        known = self._known[seat.credential]
        if known.touched_at == now:
            return False
        if known.off_at < now or known.whole.is_blocked(now) or known.models[seat.model].is_blocked(now):
            return True
        return known.in_flight >= known.limit or any(meter.is_spent(now) for meter in known.meters)

    def _check_served(self, model: str, journal: Journal, now: float) -> None:
        """Nobody answered: then everybody was asked or could not be."""
        attempts = journal.attempts
        if journal.status == 200 and journal.streamed:
            return
        if attempts and (attempts[-1].ended_at < now or attempts[-1].outcome == "silent" or journal.status == 400):
            return  # it had to wait in vain, was out of time, or the request is at fault
        if self._config.max_retry_credentials and attempts:
            return
        self._verdicts.checked["served"] += 1
        tried = {(a.provider, a.credential, a.upstream_model) for a in attempts}
        shunned = {attempt.provider for attempt in attempts if attempt.outcome in UNREACHED or attempt.status is None}
        if not self._config.switch_project:
            shunned |= {attempt.provider for attempt in attempts if attempt.status == 429}
        for seat in self.lanes[self.legs[model][-1]]:
            is_tried = (seat.provider, seat.credential, seat.model) in tried
            if not is_tried and seat.provider not in shunned and self._is_free(seat, now):
                self._verdicts.broke(
                    "served", f"{journal.request_id} got {journal.status}, and {seat.credential} was well"
                )

    def check_fair(self) -> None:
        """Equal credentials had equal shares."""
        for model, lane in self.lanes.items():
            shares = [self._shares[seat.model, seat.credential] for seat in lane]
            self._verdicts.checked["fair"] += 1
            if max(shares) - min(shares) > 1:
                self._verdicts.broke("fair", f"{model}: {shares}")

    def check_recovered(self, answered: set[tuple[str, str]]) -> None:
        """Each credential answered for each of its models, after all was well."""
        for lane in self.lanes.values():
            for seat in lane:
                self._verdicts.checked["cooldowns end"] += 1
                if (seat.credential, seat.model) not in answered:
                    self._verdicts.broke("cooldowns end", f"{seat.credential} never answered for {seat.model} again")


def _lanes(config: Config) -> dict[str, list[Seat]]:
    """Who could answer for each model that clients ask for."""
    lanes: dict[str, list[Seat]] = {}
    for provider in config.providers:
        for model in provider.models:
            lanes.setdefault(model.alias, []).extend(
                Seat(provider.name, credential.label, model.name) for credential in provider.credentials
            )
    return lanes
