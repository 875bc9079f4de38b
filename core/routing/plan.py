"""Who is asked next, within one exchange.

A plan has legs: the model, its fallbacks, and its preview or stable twin where that is wanted. A round asks, leg by leg, one credential after another,
none of them twice, until one answers, the request turns out to be at fault, or ``max-retry-credentials`` have been asked. A further round may follow where
``request-retry`` allows it and what came last may be better later; between two rounds the plan waits for the nearest cooldown to end, never for
longer than ``max-retry-interval``, or takes a breath where nobody is cooling.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs
import msgspec

from dragoman.core.config import ClientKey, Config
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.lane import Lane, Offer, Seat, blocked_until
from dragoman.core.credentials.outcome import Kind, Outcome
from dragoman.core.credentials.pool import Lease, Pool
from dragoman.core.errors import MisuseError
from dragoman.core.routing.catalog import Target
from dragoman.core.routing.names import Suffix

_ASKED_AGAIN: Final = frozenset({None, 403, 408, 429, 500, 502, 503, 504, 529})  # None: no status arrived
_BREATH: Final = 0.25  # seconds between two rounds where nobody is cooling; doubled each time
_LONGEST_BREATH: Final = 4.0
_JITTER: Final = 2.0
_LOOK_AGAIN: Final = 0.25  # seconds until a look at who is busy, or whose token is being renewed
_RENEWAL_LOOKS: Final = 120
_LIMITS: Final = frozenset({Kind.RATE_LIMITED, Kind.QUOTA_SPENT})
_FOR_THE_CREDENTIAL: Final = frozenset({
    Kind.UNAUTHORIZED, Kind.PAYMENT_REQUIRED, Kind.FORBIDDEN, Kind.INVALID_GRANT, Kind.RATE_LIMITED, Kind.QUOTA_SPENT,
    Kind.MODEL_UNSUPPORTED, Kind.NOT_FOUND, Kind.CHALLENGE,
})  # fmt: skip
_SHOWN: Final = 8  # credentials named in a refusal


class Choice(msgspec.Struct, frozen=True):
    """Ask this one.

    Attributes:
        target: Provider, upstream model and credential.
        model: The name it was found under; another than the client's after a fallback.
        reason: Why this one, for the journal.

    """

    target: Target
    model: str
    reason: str


@attrs.frozen
class Wait:
    """Ask again at `until` (epoch seconds); `reason` is for the journal."""

    until: float
    reason: str


@attrs.frozen
class GiveUp:
    """Nobody is left to ask.

    Attributes:
        has_tried: Somebody was asked: what the last one said is the better answer.
        status: For the client, where nobody was asked: 429 where limits are the reason, else 503.
        code: For programs.
        message: Who was wanted, and why none of them answers; for the client, without secrets.
        retry_at: When somebody may be well again; None when nobody knows.
        reason: For the journal.

    """

    has_tried: bool
    status: int
    code: str
    message: str
    retry_at: float | None
    reason: str


@attrs.frozen
class Leg:
    """One name that is asked for.

    Attributes:
        name: What is looked up.
        lane: Its seats.
        targets: The target of each seat.
        why: Why this name; empty for the one the client asked for.
        only_after_limits: Only where limits are what stopped those before.

    """

    name: str
    lane: Lane
    targets: Sequence[Target]
    why: str = ""
    only_after_limits: bool = False


class Books(Protocol):
    """Where a plan writes what came of its attempts."""

    def bound_to(self, session: str, name: str, lane: Lane, now: float) -> Seat | None:
        """The seat of a lane that a conversation is bound to, for the leg `name`."""
        ...

    def settled(self, key: ClientKey, session: str | None, name: str, seat: Seat, outcome: Outcome, now: float) -> None:
        """An attempt for the leg `name` has come to `outcome`."""
        ...


class Plan:
    """One exchange's way through those who may answer.

    Attributes:
        model: The name that was looked up first.
        suffix: What stood in parentheses behind the client's name.
        client_key: Who asks.

    """

    __slots__ = (
        "_attempts",
        "_books",
        "_breath",
        "_config",
        "_draw",
        "_in_round",
        "_last",
        "_lease",
        "_leg",
        "_legs",
        "_met_limits",
        "_pool",
        "_renewal_looks",
        "_renewing",
        "_retries",
        "_round",
        "_session",
        "_shunned",
        "_spent",
        "_tried",
        "_waited_from",
        "client_key",
        "model",
        "suffix",
    )

    def __init__(
        self, config: Config, pool: Pool, legs: Sequence[Leg], books: Books, draw: Callable[[], float],
        *, client_key: ClientKey, session: str | None = None, suffix: Suffix | None = None,
    ) -> None:  # fmt: skip
        self.model = legs[0].name
        self.suffix = suffix
        self.client_key = client_key
        self._config = config
        self._pool = pool
        self._legs = legs
        self._books = books
        self._session = session
        self._draw = draw
        self._leg = 0
        self._lease: Lease | None = None
        self._last: Outcome | None = None
        self._tried: set[Offer] = set()
        self._in_round = 0
        self._attempts = 0
        self._round = 0
        self._retries = -1
        self._shunned: set[str] = set()  # in this round: they cannot be reached
        self._spent: set[str] = set()  # for good: another of their credentials is not wanted
        self._met_limits = False
        self._breath = _BREATH
        self._waited_from: float | None = None
        self._renewing: Seat | None = None
        self._renewal_looks = 0

    # --- who next ---

    def next(self, now: float) -> Choice | Wait | GiveUp:
        """Whom to ask now, or when to ask again, or that nobody is left.

        Raises:
            MisuseError: The attempt in hand was not reported.

        """
        if self._lease is not None:
            raise MisuseError("the attempt in hand was not reported")
        if self._last is not None and self._last.ends_the_exchange:
            return self._give_up(None, "the last answer stands: no other credential would better it")
        if self._renewing is not None and (step := self._after_renewal(self._renewing, now)) is not None:
            return step
        limit = self._config.max_retry_credentials
        while not (limit and self._in_round >= limit) and self._leg < len(self._legs):
            leg = self._legs[self._leg]
            if not leg.only_after_limits or self._met_limits:
                choice = self._choose(leg, now)
                if choice is not None:
                    return choice
                self._met_limits |= self._attempts == 0 and self._is_limited(leg, now)
            self._leg += 1
        return self._next_round(now)

    def _choose(self, leg: Leg, now: float, seat: Seat | None = None) -> Choice | None:
        bound = seat
        if bound is None and self._session is not None:
            bound = self._books.bound_to(self._session, leg.name, leg.lane, now)
        shunned = self._shunned | self._spent if self._shunned or self._spent else ()
        lease = self._pool.pick(leg.lane, now, self._draw(), tried=self._tried, shunned=shunned, preferred=bound)
        if lease is None:
            return None
        self._lease = lease
        self._attempts += 1
        self._in_round += 1
        return Choice(leg.targets[lease.seat.index], leg.name, self._why(leg, lease.seat, bound))

    def _why(self, leg: Leg, seat: Seat, bound: Seat | None) -> str:
        whole, standing = seat.member.standing, seat.offer.standing
        if whole.state is CredentialState.PROBING or (
            standing is not None and standing.state is CredentialState.PROBING
        ):
            why = "its cooldown is over, this is the probe"
        elif seat is bound:
            why = "the conversation is bound to it"
        elif self._attempts > 1:
            why = f"next by {self._config.routing.strategy} after attempt {self._attempts - 1} failed"
        else:
            why = f"first by {self._config.routing.strategy}"
        return f"{leg.why}; {why}" if leg.why else why

    def _after_renewal(self, seat: Seat, now: float) -> Choice | Wait | None:
        """The same credential once more, as soon as its token is renewed."""
        if _is_renewing(seat) and self._renewal_looks < _RENEWAL_LOOKS:
            self._renewal_looks += 1
            return Wait(now + _LOOK_AGAIN, "its token is being renewed")
        self._renewing = None
        if seat.member.refresh_state != "valid":
            return None
        self._tried.discard(seat.offer)
        return self._choose(self._legs[min(self._leg, len(self._legs) - 1)], now, seat)

    def _next_round(self, now: float) -> Wait | GiveUp:
        retry_at = self._next_at(now)
        known = retry_at if retry_at < math.inf else None
        if self._attempts == 0:
            if self._renewal_looks < _RENEWAL_LOOKS and self._is_anybody_renewing():
                self._renewal_looks += 1
                self._leg = 0
                return Wait(now + _LOOK_AGAIN, "a token is being renewed")
            return self._wait_for_anybody(retry_at, now)
        status = self._last.status if self._last is not None else None
        if self._round >= self._retries:
            return self._give_up(known, f"no round of attempts is left after {self._attempts} attempts")
        if status not in _ASKED_AGAIN:
            return self._give_up(known, f"{status} would not be better in another round")
        until, reason = self._between_rounds(retry_at, now)
        if until is None:
            return self._give_up(known, reason)
        self._begin_round()
        return Wait(until, reason)

    def _is_anybody_renewing(self) -> bool:
        """Whether somebody of (the first few of) the legs will be there as soon as a new token is: that is no cooldown to be waited for."""
        return any(_is_renewing(seat) for leg in self._legs for seat in leg.lane.seats[:_SHOWN])

    def _next_at(self, now: float) -> float:
        """When the next round may find somebody: of those who were asked, and of those the lanes know to be blocked."""
        retry_at = min(leg.lane.next_at() for leg in self._legs)
        for leg in self._legs:
            for offer in self._tried:
                seat = leg.lane.seat_of(offer)
                if seat is not None:
                    retry_at = min(retry_at, blocked_until(seat, now))
        return retry_at

    def _between_rounds(self, retry_at: float, now: float) -> tuple[float | None, str]:
        limit = self._config.max_retry_credentials
        if retry_at <= now or (limit and self._in_round >= limit):  # some were not looked at
            until = now + self._breath * (1 + self._draw())
            self._breath = min(2 * self._breath, _LONGEST_BREATH)
            return until, "a breath before the next round"
        most = self._config.max_retry_interval
        if retry_at - now > most:
            return None, "the nearest cooldown ends later than max-retry-interval allows to wait"
        return min(retry_at + self._jitter(retry_at - now), now + most), "the nearest cooldown ends then"

    def _jitter(self, wait: float) -> float:
        return self._draw() * min(wait / 4, _JITTER)

    def _wait_for_anybody(self, retry_at: float, now: float) -> Wait | GiveUp:
        """Nobody could be asked at all: wait, if that is allowed and has an end in sight."""
        most = self._config.max_retry_interval
        if self._waited_from is None:
            self._waited_from = now
        ends_at = self._waited_from + most
        if retry_at == math.inf:
            until = now + _LOOK_AGAIN  # all are busy, or probed, or switched off
        else:
            until = min(retry_at + self._jitter(retry_at - now), max(ends_at, retry_at))
        if most <= 0 or until > ends_at:
            return self._give_up(retry_at if retry_at < math.inf else None, "nobody could be asked")
        self._begin_round()
        self._round -= 1  # nobody was asked in it
        return Wait(max(until, now + 0.001), "nobody can be asked yet")

    def _begin_round(self) -> None:
        self._round += 1
        self._leg = 0
        self._in_round = 0
        self._tried.clear()
        self._shunned.clear()

    # --- nobody ---

    def _is_limited(self, leg: Leg, now: float) -> bool:
        """Whether limits are what keeps (the first few of) a leg's credentials from answering."""
        return any(self._is_at_limit(seat, now) for seat in leg.lane.seats[:_SHOWN])

    def _is_at_limit(self, seat: Seat, now: float) -> bool:
        statuses = [self._pool.status(seat.member, offer, now) for offer in (None, seat.offer)]
        return any(status.state in (CredentialState.COOLING, CredentialState.EXHAUSTED) for status in statuses)

    def _give_up(self, retry_at: float | None, reason: str) -> GiveUp:
        return GiveUp(self._attempts > 0, 503, "no_deployment", "", retry_at, reason)

    def explain(self, refusal: GiveUp, now: float) -> GiveUp:
        """The same refusal in words for the client, with its status: for the case that nobody was asked."""
        names = [leg.name for leg in self._legs]
        seats = [seat for leg in self._legs for seat in leg.lane.seats[:_SHOWN]]
        is_limit = any(self._is_at_limit(seat, now) for seat in seats)
        # A client learns the provider and the model; the labels of its credentials are the operator's.
        reasons = [
            f"{seat.member.provider} ({seat.offer.model}) is {why}"
            for seat in seats[:_SHOWN]
            if (why := self._pool.why_not(seat, now))
        ]
        more = sum(len(leg.lane.seats) for leg in self._legs) - len(reasons)
        text = "; ".join(dict.fromkeys(reasons)) + (f"; and {more} more" if more > 0 else "")
        return attrs.evolve(
            refusal,
            status=429 if is_limit else 503,
            code="all_credentials_cooling" if is_limit else "no_deployment",
            message=f"Nobody can answer for {' or '.join(map(repr, names))} now: {text}.",
        )

    # --- what came of it ---

    def answered(self, outcome: Outcome, now: float) -> None:
        """A good answer has begun; what comes of it is reported later."""
        if self._lease is None:
            raise MisuseError("no attempt is in hand")
        self._pool.answered(self._lease, outcome, now)

    def report(self, outcome: Outcome, now: float) -> None:
        """The attempt in hand has ended.

        Raises:
            MisuseError: There is none.

        """
        lease, self._lease = self._lease, None
        if lease is None:
            raise MisuseError("no attempt is in hand")
        self._pool.report(lease, outcome, now)
        self._last = outcome
        seat = lease.seat
        leg = self._legs[min(self._leg, len(self._legs) - 1)]
        self._tried.add(seat.offer)
        retry = seat.member.request_retry
        self._retries = max(self._retries, self._config.request_retry if retry is None else retry)
        if outcome.kind in _LIMITS:
            self._met_limits = True
            if not self._config.switch_project:
                self._spent.add(seat.member.provider)
        elif outcome.kind is Kind.UNREACHABLE:
            self._shunned.add(seat.member.provider)
        elif outcome.kind is Kind.UNAUTHORIZED and seat.member.standing.state is CredentialState.REFRESHING:
            self._renewing, self._renewal_looks = seat, 0
        elif outcome.kind is Kind.UNAUTHORIZED and seat.member.renewed_at > lease.picked_at:
            self._renewing, self._renewal_looks = seat, 0  # another exchange's 401 had it renewed meanwhile
        self._books.settled(self.client_key, self._session, leg.name, seat, outcome, now)

    @property
    def attempts(self) -> int:
        """How many attempts were begun."""
        return self._attempts


def _is_renewing(seat: Seat) -> bool:
    """Its token is being renewed, or the first request with the new one is on its way."""
    member = seat.member
    state = member.standing.state
    return state is CredentialState.REFRESHING or (
        state is CredentialState.PROBING and member.refresh_state == "valid" and not member.is_proven
    )


def is_about_the_credential(outcome: Outcome) -> bool:
    """Whether a conversation should leave the credential after `outcome`."""
    return outcome.kind in _FOR_THE_CREDENTIAL
