"""Who may be picked for one route: seats in tiers, each seat a credential with an upstream model.

A pick must not look at those who cannot be picked, be they ten thousand. So a seat is in one of three places: READY, in the order that the
strategy keeps; RESERVE, with so little left of a quota window that others go first; PARKED, where nobody looks. Seats are moved when they are
found in the wrong place: a blocked one leaves READY when a pick comes upon it, and comes back when its instant comes (`Lane._wakes`, a heap) or when
something good happens to its credential (`Member.waiting`). Each move is paid for by one change of state; a pick among well seats costs the same whatever
their number.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from dragoman.core.config import QuotaRule
from dragoman.core.credentials.credential import Standing
from dragoman.core.credentials.quota import Quota, ReportedWindow

#: What a judge says of a seat: take it, leave it where it is and look on, or strike it from the order.
TAKE: Final = 0
SKIP: Final = 1
DROP: Final = 2

_NEIGHBOURS: Final = 16  # seats looked at to find out whether anybody else could answer
_MOST_OFFERS: Final = 512  # models remembered of one credential; clients of open providers may make up any number


class Place(Enum):
    """Where a seat is within its lane."""

    READY = auto()
    RESERVE = auto()
    PARKED = auto()


class Offer:
    """One model of one credential, whatever names lead to it.

    Attributes:
        model: The upstream model.
        standing: Its own state; None while nothing ever happened to it.
        latency: A moving average of the seconds to the first byte; 0 while unknown.
        reserved_until: The provider says that little is left for this model until then.
        reported: What it said.

    """

    __slots__ = ("latency", "model", "reported", "reserved_until", "standing")

    def __init__(self, model: str) -> None:
        self.model = model
        self.standing: Standing | None = None
        self.latency = 0.0
        self.reserved_until = 0.0
        self.reported: tuple[ReportedWindow, ...] = ()


class Member:
    """A credential of the pool.

    Attributes:
        identity: Its name in saved data; tells nothing of the secret.
        provider: Its provider's name.
        label: What logs call it.
        limit: Attempts at a time.
        cools: Whether failures are remembered.
        is_refreshable: A 401 may be mended by a new token.
        request_retry: Further rounds that it allows; None: as many as are configured for all.
        in_flight: Attempts under way.
        standing: Its state.
        quota: Its windows.
        offers: Its models, as far as asked for.
        refresh_state: ``none`` (a key), ``valid``, ``refreshing`` or ``failed``.
        renewed_at: When its token was last renewed; 0 for never.
        is_proven: Something succeeded since then.
        waiting: Seats to be looked at again when something good happens to it.

    """

    __slots__ = (
        "cools",
        "identity",
        "in_flight",
        "is_proven",
        "is_refreshable",
        "label",
        "limit",
        "offers",
        "provider",
        "quota",
        "refresh_state",
        "renewed_at",
        "request_retry",
        "standing",
        "waiting",
    )

    def __init__(self, identity: str, provider: str, label: str) -> None:
        self.identity = identity
        self.provider = provider
        self.label = label
        self.limit = math.inf
        self.cools = True
        self.is_refreshable = False
        self.request_retry: int | None = None
        self.in_flight = 0
        self.standing = Standing()
        self.quota = Quota(())
        self.offers: dict[str, Offer] = {}
        self.refresh_state = "none"
        self.renewed_at = 0.0
        self.is_proven = True
        self.waiting: set[Seat] = set()

    def configure(
        self,
        *,
        limit: int | None,
        cools: bool,
        rules: Sequence[QuotaRule],
        is_refreshable: bool,
        retry: int | None,
        now: float,
    ) -> None:
        """Take what a (new) configuration says; counts of windows that are still there are kept."""
        self.limit = math.inf if limit is None else limit
        self.cools = cools
        self.request_retry = retry
        self.is_refreshable = is_refreshable
        if not is_refreshable:
            self.refresh_state = "none"
        elif self.refresh_state == "none":
            self.refresh_state = "valid"
        if tuple(rules) != tuple(window.rule for window in self.quota.windows):
            before, self.quota = self.quota, Quota(rules)
            self.quota.reported = before.reported
            self.quota.restore(before.save(), now)

    def offer(self, model: str) -> Offer:
        """One of its models."""
        offer = self.offers.get(model)
        if offer is None:
            if len(self.offers) >= _MOST_OFFERS:
                self._forget_offers()
            offer = self.offers[model] = Offer(model)
        return offer

    def _forget_offers(self) -> None:
        """Forget the models that were never in trouble; if all were, the one asked for first."""
        self.offers = {name: offer for name, offer in self.offers.items() if offer.standing is not None}
        if len(self.offers) >= _MOST_OFFERS:
            del self.offers[next(iter(self.offers))]


class Seat:
    """A credential with an upstream model, within one lane.

    Attributes:
        index: Its place in the configuration; lane-wide.
        member: The credential.
        offer: The model.
        weight: Its share.
        turn: For strategies: what they keep of it.
        place: Where it is.
        version: Grows with each move; tells stale entries of the heap.
        tier: Of which it is.

    """

    __slots__ = ("index", "lane", "member", "offer", "place", "tier", "turn", "version", "weight")

    def __init__(self, index: int, member: Member, offer: Offer, weight: int, tier: "Tier", lane: "Lane") -> None:
        self.index = index
        self.member = member
        self.offer = offer
        self.weight = weight
        self.turn = 0.0
        self.place = Place.READY
        self.version = 0
        self.tier = tier
        self.lane = lane


Judge = Callable[[Seat], int]


class Order(Protocol):
    """In which order ready seats are taken; see `dragoman.core.routing.strategy`."""

    def add(self, seat: Seat) -> None:
        """A seat becomes ready."""
        ...

    def take(self, judge: Judge, draw: float) -> Seat | None:
        """The next seat of which `judge` says TAKE; those of which it says DROP are struck; None when there is none."""
        ...


class Tier:
    """The seats of one priority."""

    __slots__ = ("priority", "ready", "reserve")

    def __init__(self, priority: int, ready: Order) -> None:
        self.priority = priority
        self.ready = ready
        self.reserve: OrderedDict[Seat, None] = OrderedDict()


class Lane:
    """The seats of one route.

    Args:
        offers: Member, upstream model, priority and weight of each, in order of configuration.
        new_order: Makes the strategy's order; one for each priority.

    """

    def __init__(self, offers: Sequence[tuple[Member, str, int, int]], new_order: Callable[[], Order]) -> None:
        priorities = sorted({priority for _, _, priority, _ in offers}, reverse=True)
        self._tiers = [Tier(priority, new_order()) for priority in priorities]
        by_priority = dict(zip(priorities, self._tiers, strict=True))
        self._wakes: list[tuple[float, int, Seat, int]] = []
        self._pushes = 0
        self.seats = [
            Seat(index, member, member.offer(model), weight, by_priority[priority], self)
            for index, (member, model, priority, weight) in enumerate(offers)
        ]
        self._by_offer = {seat.offer: seat for seat in reversed(self.seats)}
        for seat in self.seats:
            seat.tier.ready.add(seat)

    def seat_of(self, offer: Offer) -> Seat | None:
        """The seat of a credential's model, if it is one of this lane."""
        return self._by_offer.get(offer)

    def pick(
        self,
        now: float,
        draw: float,
        tried: Collection[Offer] = (),
        shunned: Collection[str] = (),
        preferred: Seat | None = None,
    ) -> Seat | None:
        """The seat whose turn it is; None when none can be picked.

        Args:
            now: Epoch seconds.
            draw: In [0, 1).
            tried: Not these.
            shunned: Not the credentials of these providers.
            preferred: This one if it is well, whosever turn it is.

        """
        wakes = self._wakes
        while wakes and wakes[0][0] <= now:
            _, _, seat, version = heapq.heappop(wakes)
            if seat.version == version:
                self.readmit(seat)

        def judge(seat: Seat) -> int:
            member, offer = seat.member, seat.offer
            if tried and offer in tried:
                return SKIP
            if shunned and member.provider in shunned:
                return SKIP
            # The common case first, in one condition: a pick under `least-busy` asks this several times.
            standing, quota = offer.standing, member.quota
            if (
                member.standing.blocked_until <= now
                and (standing is None or standing.blocked_until <= now)
                and member.in_flight < member.limit
                and offer.reserved_until <= now
                and not quota.windows
                and not quota.reported
            ):
                return TAKE
            until = blocked_until(seat, now)
            if until > now:
                self._park(seat, until)
                return DROP
            reserved = reserved_until(seat, now)
            if reserved > now and seat.place is Place.READY:
                self._reserve(seat, reserved)
                return DROP
            return TAKE

        if preferred is not None and preferred.place is Place.READY:
            # Judged without being moved: the order does not know that it was looked at.
            is_free = preferred.offer not in tried and preferred.member.provider not in shunned
            if is_free and blocked_until(preferred, now) <= now and reserved_until(preferred, now) <= now:
                return preferred
        for tier in self._tiers:
            found = tier.ready.take(judge, draw)
            if found is not None:
                return found
        for tier in self._tiers:
            found = self._take_reserve(tier, judge, preferred)
            if found is not None:
                return found
        return None

    def _take_reserve(self, tier: Tier, judge: Judge, preferred: Seat | None) -> Seat | None:
        reserve = tier.reserve
        if preferred is not None and preferred in reserve and judge(preferred) == TAKE:
            return preferred
        for _ in range(len(reserve)):
            seat = next(iter(reserve))
            verdict = judge(seat)  # parking takes it out
            if seat in reserve:
                reserve.move_to_end(seat)
            if verdict == TAKE:
                return seat
        return None

    def _park(self, seat: Seat, until: float) -> None:
        if seat.place is Place.RESERVE:
            del seat.tier.reserve[seat]
        seat.place = Place.PARKED
        self._wake_at(seat, until)

    def _reserve(self, seat: Seat, until: float) -> None:
        seat.place = Place.RESERVE
        seat.tier.reserve[seat] = None
        self._wake_at(seat, until)

    def _wake_at(self, seat: Seat, until: float) -> None:
        seat.version += 1
        seat.member.waiting.add(seat)
        if until < math.inf:
            self._pushes += 1
            heapq.heappush(self._wakes, (until, self._pushes, seat, seat.version))
            if len(self._wakes) > 2 * len(self.seats) + 64:
                self._wakes = [entry for entry in self._wakes if entry[2].version == entry[3]]
                heapq.heapify(self._wakes)

    def readmit(self, seat: Seat) -> None:
        """Look at a seat again that was parked or left for last."""
        if seat.place is Place.READY:
            return
        if seat.place is Place.RESERVE:
            del seat.tier.reserve[seat]
        seat.place = Place.READY
        seat.version += 1
        seat.tier.ready.add(seat)

    def next_at(self) -> float:
        """When the next parked seat may be picked, as far as known; infinite when nobody knows."""
        wakes = self._wakes
        while wakes and wakes[0][2].version != wakes[0][3]:
            heapq.heappop(wakes)
        return wakes[0][0] if wakes else math.inf

    def has_other(self, seat: Seat, now: float) -> bool:
        """Whether somebody else could answer: one of the next seats in the configuration, the whole lane if it is small."""
        seats = self.seats
        for step in range(1, min(len(seats), _NEIGHBOURS)):
            other = seats[(seat.index + step) % len(seats)]
            if blocked_until(other, now) <= now:
                return True
        return False


def blocked_until(seat: Seat, now: float) -> float:
    """Until when a seat may not be picked: at most `now` if it may; infinite when no instant is known."""
    member = seat.member
    until = member.standing.blocked_until
    standing = seat.offer.standing
    if standing is not None and standing.blocked_until > until:
        until = standing.blocked_until
    if member.in_flight >= member.limit:
        return math.inf
    if member.quota.windows:
        until = max(until, member.quota.spent_until(now))
    return until


def reserved_until(seat: Seat, now: float) -> float:
    """Until when others should be picked before it: at most `now` if it has its turn."""
    quota = seat.member.quota
    until = seat.offer.reserved_until
    if quota.windows or quota.reported:
        until = max(until, quota.reserved_until(now))
    return until
