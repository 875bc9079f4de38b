"""All credentials: who is picked, what came of it, when somebody is well again.

The way of one attempt: `Pool.pick` gives a lease, `Pool.answered` may tell that a good answer has begun (so that a probe need not wait for its end),
`Pool.report` tells what came of it and gives the lease back, exactly once. What a failure means for whom is `outcome.MEANING`; how long it is
remembered is `outcome.wait_for`; this file joins them. The last who could answer is not sent to rest for a failure that is not its own: a request that
may fail is better than none.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import attrs

from dragoman.core.config import Cooldowns, QuotaRule
from dragoman.core.credentials.credential import PAUSES, CredentialInput, CredentialState, Standing
from dragoman.core.credentials.lane import Lane, Member, Offer, Order, Seat, blocked_until
from dragoman.core.credentials.outcome import MEANING, Kind, Outcome, Scope, wait_for
from dragoman.core.credentials.quota import Quota, ReportedWindow
from dragoman.core.errors import MisuseError

_RENEWAL: Final = 60.0  # seconds until a renewal counts as lost
_MOST_CHANGES: Final = 1000
_LATENCY_WEIGHT: Final = 0.2  # of the newest answer in the moving average
_SPARED: Final = frozenset({Kind.FAILED, Kind.NOT_FOUND})  # does not send the last who could answer to rest
_REMEMBERED: Final = frozenset({Kind.MODEL_UNSUPPORTED})  # even where cooling is disabled: asking again is of no use
_LIMITED: Final = frozenset({CredentialState.COOLING, CredentialState.EXHAUSTED})
_FAILURES: Final = frozenset({
    CredentialInput.RATE_LIMITED, CredentialInput.QUOTA_SPENT, CredentialInput.REFUSED, CredentialInput.FAILED,
})  # fmt: skip


@attrs.frozen
class MemberRule:
    """What a configuration says of a credential.

    Attributes:
        identity: Its name in saved data.
        provider: Its provider's name.
        label: What logs call it.
        limit: Attempts at a time; None for any.
        cools: Whether failures are remembered.
        quotas: Its allowances.
        is_refreshable: A 401 may be mended by a new token.
        disabled: It is switched off.
        request_retry: Further rounds that it allows.

    """

    identity: str
    provider: str = ""
    label: str = ""
    limit: int | None = None
    cools: bool = True
    quotas: tuple[QuotaRule, ...] = ()
    is_refreshable: bool = False
    disabled: bool = False
    request_retry: int | None = None


@attrs.frozen
class Change:
    """A change of state, for logs and metrics; `model` is empty when it is about the credential as a whole."""

    at: float
    provider: str
    credential: str
    model: str
    before: CredentialState
    after: CredentialState
    reason: str
    resumes_at: float


@attrs.frozen
class Status:
    """How a credential (or one model of it) stands.

    Attributes:
        provider_key: The provider's name.
        credential: The credential's label.
        identity: Its name in saved data.
        model_id: The upstream model; empty for the credential as a whole.
        state: Of `CredentialState`, or EXHAUSTED while a window that is counted here is spent.
        reason: Why; empty when all is well.
        resumes_at: When it may be picked again; None when it may, or when nobody knows.
        quota_remaining: What is left of its tightest window; None when nobody counts.
        quota_reset_seconds: Until there is more; None when there is no window.
        refresh_state: ``none``, ``valid``, ``refreshing`` or ``failed``.
        in_flight: Attempts under way.

    """

    provider_key: str
    credential: str
    identity: str
    model_id: str
    state: CredentialState
    reason: str
    resumes_at: float | None
    quota_remaining: int | None
    quota_reset_seconds: float | None
    refresh_state: str
    in_flight: int


class Lease:
    """An attempt under way, to be reported once."""

    __slots__ = ("_generations", "has_answered", "is_open", "picked_at", "seat")

    def __init__(self, seat: Seat, now: float) -> None:
        self.seat = seat
        self.picked_at = now
        self.is_open = True
        self.has_answered = False
        standing = seat.offer.standing
        self._generations = (seat.member.standing.generation, standing.generation if standing is not None else -1)

    def is_current(self, standing: Standing, *, is_model: bool) -> bool:
        """Whether `standing` has not changed since the attempt began."""
        return standing.generation == self._generations[is_model]


class Pool:
    """The credentials of a gateway.

    Args:
        times: How long failures are remembered where providers say nothing.

    """

    def __init__(self, times: Cooldowns | None = None) -> None:
        self.times = times or Cooldowns()
        self.members: dict[str, Member] = {}
        self._deadlines: list[tuple[float, int, Standing]] = []
        self._pushes = 0
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)
        self._renewals: deque[str] = deque()

    # --- who is in it ---

    def configure(self, rules: Sequence[MemberRule], now: float) -> None:
        """Take the credentials of a (new) configuration. Who stays keeps its state; who goes is forgotten once its attempts end."""
        members: dict[str, Member] = {}
        for rule in rules:
            member = self.members.get(rule.identity) or Member(rule.identity, rule.provider, rule.label)
            member.provider, member.label = rule.provider, rule.label
            member.configure(
                limit=rule.limit, cools=rule.cools, rules=rule.quotas, is_refreshable=rule.is_refreshable, retry=rule.request_retry, now=now
            )  # fmt: skip
            members[rule.identity] = member
        self.members = members
        for rule in rules:
            self.switch(rule.identity, on=not rule.disabled, now=now)

    def lane(self, seats: Sequence[tuple[str, str, int, int]], new_order: Callable[[], Order]) -> Lane:
        """A lane of seats: identity, upstream model, priority and weight of each."""
        members = self.members
        return Lane(
            [(members[identity], model, priority, weight) for identity, model, priority, weight in seats], new_order
        )

    # --- picking ---

    def pick(
        self,
        lane: Lane,
        now: float,
        draw: float = 0.0,
        *,
        tried: Collection[Offer] = (),
        shunned: Collection[str] = (),
        preferred: Seat | None = None,
    ) -> Lease | None:
        """Begin an attempt with whose turn it is; None when nobody can be picked (`Lane.next_at` says until when)."""
        seat = lane.pick(now, draw, tried, shunned, preferred)
        if seat is None:
            return None
        member = seat.member
        if member.standing.state is not CredentialState.ACTIVE:
            self._picked(member, None, now)
        if seat.offer.standing is not None and seat.offer.standing.state is not CredentialState.ACTIVE:
            self._picked(member, seat.offer, now)
        member.in_flight += 1
        if member.quota.windows:
            member.quota.picked(now)
        return Lease(seat, now)

    def _picked(self, member: Member, offer: Offer | None, now: float) -> None:
        standing = member.standing if offer is None else offer.standing
        assert standing is not None  # the caller looked
        while True:  # a lost renewal is first a refusal, then a probe
            before = standing.state
            if not standing.settle(now):
                break
            self._note(member, offer, standing, before, now)
        before = standing.state
        standing.receive(CredentialInput.PICKED, now)
        self._note(member, offer, standing, before, now)

    # --- what came of it ---

    def answered(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """A good answer has begun: what `outcome` says of limits counts now, and a probe has succeeded."""
        if lease.has_answered:
            return
        lease.has_answered = True
        seat = lease.seat
        offer, member = seat.offer, seat.member
        latency = max(0.0, now - lease.picked_at)
        offer.latency += (latency - offer.latency) * (_LATENCY_WEIGHT if offer.latency else 1.0)
        member.is_proven = True
        self._receive(lease, member, None, CredentialInput.SUCCEEDED, now)
        self._receive(lease, member, offer, CredentialInput.SUCCEEDED, now)
        self._take_windows(seat, outcome.windows, now)

    def report(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """An attempt has ended.

        Raises:
            MisuseError: It was reported already.

        """
        if not lease.is_open:
            raise MisuseError("an attempt was reported twice")
        lease.is_open = False
        seat = lease.seat
        member = seat.member
        was_full = member.in_flight >= member.limit
        member.in_flight -= 1
        if outcome.tokens and member.quota.windows:
            member.quota.spend(outcome.tokens, now)
        if outcome.kind is Kind.OK:
            self.answered(lease, outcome, now)
        else:
            self._failed(lease, outcome, now)
        if was_full:
            self._wake(member)

    def _failed(self, lease: Lease, outcome: Outcome, now: float) -> None:
        seat = lease.seat
        member, offer = seat.member, seat.offer
        received = MEANING[outcome.kind][0]
        if outcome.windows:
            self._keep_windows(seat, outcome.windows)
        if received not in _FAILURES or not self._is_remembered(lease, outcome, now):
            self._receive(lease, member, None, CredentialInput.RELEASED, now)
            self._receive(lease, member, offer, CredentialInput.RELEASED, now)
            return
        is_whole = outcome.scope is Scope.CREDENTIAL
        about = None if is_whole else offer
        if outcome.kind is Kind.UNAUTHORIZED and member.is_refreshable and member.is_proven:
            self._ask_renewal(member, now)
        else:
            standing = self._standing(member, about)
            # Several requests that hit one limit together are one failure: the wait is not doubled for each.
            level = standing.level - (standing.state in _LIMITED and standing.level > 0)
            until, told = wait_for(outcome, level, self.times, now)
            resets_at = outcome.retry_at or 0.0
            self._pause(member, about, received, until, outcome.detail, now, told=told, resets_at=resets_at)
        # The other half learnt nothing, should this have been its probe.
        self._receive(lease, member, offer if is_whole else None, CredentialInput.RELEASED, now)

    def _is_remembered(self, lease: Lease, outcome: Outcome, now: float) -> bool:
        seat = lease.seat
        member = seat.member
        if outcome.kind in _REMEMBERED:
            return True
        if not member.cools or (outcome.kind is Kind.FAILED and self.times.transient <= 0 and outcome.retry_at is None):
            return False
        if outcome.kind in _SPARED and not seat.lane.has_other(seat, now):
            return False
        # A token that was renewed meanwhile is not the one that was refused.
        return not (outcome.kind is Kind.UNAUTHORIZED and member.renewed_at > lease.picked_at)

    def _standing(self, member: Member, offer: Offer | None) -> Standing:
        if offer is None:
            return member.standing
        if offer.standing is None:
            offer.standing = Standing()
        return offer.standing

    def _receive(
        self, lease: Lease, member: Member, offer: Offer | None, received: CredentialInput, now: float
    ) -> None:
        """Good news, or none, of an attempt that began in the present state; of an older one it counts for nothing."""
        standing = member.standing if offer is None else offer.standing
        if standing is None or standing.state in (CredentialState.ACTIVE, CredentialState.DISABLED):
            return
        if lease.is_current(standing, is_model=offer is not None):
            before = standing.state
            standing.receive(received, now)
            self._note(member, offer, standing, before, now)
            self._wake(member)

    def _pause(
        self,
        member: Member,
        offer: Offer | None,
        received: CredentialInput,
        until: float,
        reason: str,
        now: float,
        *,
        told: bool,
        resets_at: float = 0.0,
    ) -> None:
        standing = self._standing(member, offer)
        before, level = standing.state, standing.level
        is_earlier = standing.pause(received, until, reason, now, told=told, resets_at=resets_at)
        if standing.state in PAUSES:
            self._push(standing)
        if standing.state is not before:
            standing.level = level if told else level + 1
            self._note(member, offer, standing, before, now)
        if is_earlier or before is CredentialState.PROBING:
            self._wake(member)

    # --- what providers say of their own counts ---

    def _take_windows(self, seat: Seat, windows: Sequence[ReportedWindow], now: float) -> None:
        """With a good answer: what is spent now rests before it is refused."""
        if not windows:
            return
        self._keep_windows(seat, windows)
        member, offer = seat.member, seat.offer
        if not member.cools:
            return
        spent = [window for window in windows if window.used >= 1]
        if not spent:
            return
        for scope, about, received in (
            ("credential", None, CredentialInput.QUOTA_SPENT),
            ("model", offer, CredentialInput.RATE_LIMITED),
        ):
            resets_at = max((w.resets_at for w in spent if w.scope == scope), default=0.0)
            if resets_at > now:
                until = min(resets_at, now + self.times.longest_told)
                reason = "its provider says that its allowance is spent"
                self._pause(member, about, received, until, reason, now, told=True, resets_at=resets_at)

    def _keep_windows(self, seat: Seat, windows: Sequence[ReportedWindow]) -> None:
        own = tuple([window for window in windows if window.scope == "model"])
        if own:
            seat.offer.reported = own
            seat.offer.reserved_until = max([w.resets_at for w in own if w.used >= 0.97], default=0.0)
        if len(own) < len(windows):
            seat.member.quota.note([window for window in windows if window.scope == "credential"])
            self._wake(seat.member)  # less may be used than was believed

    # --- tokens ---

    def _ask_renewal(self, member: Member, now: float) -> None:
        if member.standing.state is not CredentialState.REFRESHING:
            self.begin_renewal(member.identity, now)
            self._renewals.append(member.identity)

    def take_renewals(self) -> list[str]:
        """Whose token should be renewed at once; each is told once."""
        renewals, self._renewals = list(self._renewals), deque()
        return renewals

    def want_renewal(self, identity: str) -> None:
        """The operator wants a new token now; the present one goes on until it comes."""
        self._renewals.append(self.members[identity].identity)

    def begin_renewal(self, identity: str, now: float) -> None:
        """A new token was asked for, because the old one was refused."""
        member = self.members[identity]
        member.refresh_state = "refreshing"
        self._pause(
            member, None, CredentialInput.RENEWAL_BEGUN, now + _RENEWAL, "its token is being renewed", now, told=True
        )

    def note_renewal(self, identity: str, refresh_state: str) -> None:
        """What becomes of a renewal in good time, which changes nothing else; see `Status.refresh_state`."""
        self.members[identity].refresh_state = refresh_state

    def end_renewal(
        self, identity: str, now: float, *, renewed: bool, reason: str = "its token could not be renewed"
    ) -> None:
        """The new token came, or was refused."""
        member = self.members[identity]
        member.refresh_state = "valid" if renewed else "failed"
        if renewed:
            member.renewed_at, member.is_proven = now, False
            self._turn(member, CredentialInput.RENEWED, now)
            return
        until = now + self.times.invalid_grant
        self._pause(member, None, CredentialInput.RENEWAL_FAILED, until, reason, now, told=True)

    def replaced(self, identity: str, now: float) -> None:
        """It has another secret, which came from outside: what was held against the one before is looked at again."""
        member = self.members[identity]
        member.renewed_at, member.is_proven = now, True
        if member.is_refreshable:
            member.refresh_state = "valid"
        self._turn(member, CredentialInput.RENEWED, now)

    # --- the operator ---

    def switch(self, identity: str, *, on: bool, now: float) -> None:
        """Switch a credential on or off."""
        member = self.members[identity]
        if on != (member.standing.state is not CredentialState.DISABLED):
            self._turn(member, CredentialInput.SWITCHED_ON if on else CredentialInput.SWITCHED_OFF, now)

    def clear(self, identity: str, now: float, model: str = "") -> None:
        """Forget what is held against a credential, or against one model of it: the operator, or fresh news of its quota, says so."""
        member = self.members[identity]
        if model:
            if model in member.offers:
                self._turn(member, CredentialInput.CLEARED, now, member.offers[model])
            return
        member.quota.reported.clear()
        for offer in member.offers.values():
            self._turn(member, CredentialInput.CLEARED, now, offer)
        self._turn(member, CredentialInput.CLEARED, now)

    def reset(self, identity: str, now: float) -> None:
        """Begin anew with a credential: nothing is held against it, and nothing is counted yet; the operator says so."""
        member = self.members[identity]
        member.quota = Quota([window.rule for window in member.quota.windows])
        self.clear(identity, now)

    def _turn(self, member: Member, received: CredentialInput, now: float, offer: Offer | None = None) -> None:
        standing = member.standing if offer is None else offer.standing
        if offer is not None:
            offer.reserved_until = 0.0
        if standing is not None:
            before = standing.state
            standing.receive(received, now)
            self._note(member, offer, standing, before, now)
        self._wake(member)

    # --- time ---

    def _push(self, standing: Standing) -> None:
        self._pushes += 1
        heapq.heappush(self._deadlines, (standing.resumes_at, self._pushes, standing))
        if len(self._deadlines) > 4 * len(self.members) + 1024:
            latest = {id(entry[2]): entry for entry in self._deadlines if entry[0] == entry[2].resumes_at}
            self._deadlines = list(latest.values())
            heapq.heapify(self._deadlines)

    def next_deadline(self) -> float:
        """When the next pause ends; infinite when there is none. Nobody need act then: picks look at the time themselves."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] != deadlines[0][2].resumes_at:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else math.inf

    def _wake(self, member: Member) -> None:
        if member.waiting:
            waiting, member.waiting = member.waiting, set()
            for seat in sorted(waiting, key=_by_index):
                seat.lane.readmit(seat)

    # --- what is known ---

    def _note(
        self, member: Member, offer: Offer | None, standing: Standing, before: CredentialState, now: float
    ) -> None:
        if standing.state is not before:
            model = offer.model if offer is not None else ""
            self._changes.append(
                Change(
                    now,
                    member.provider,
                    member.label,
                    model,
                    before,
                    standing.state,
                    standing.reason,
                    standing.resumes_at,
                )
            )

    def take_changes(self) -> list[Change]:
        """The changes of state since the last call, for logs and metrics."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def snapshot(self, now: float) -> list[Status]:
        """How everybody stands: each credential, and each of its models that is not well or that its provider counts."""
        rows = []
        for member in self.members.values():
            rows.append(self.status(member, None, now))
            rows += [self.status(member, offer, now) for offer in told_offers(member, now)]
        return rows

    def status(self, member: Member, offer: Offer | None, now: float) -> Status:
        """How one credential, or one model of it, stands."""
        standing = (member.standing if offer is None else offer.standing) or Standing()
        state, reason = standing.state, standing.reason
        resumes_at = standing.resumes_at if state in PAUSES else None
        if state in PAUSES and standing.resumes_at <= now:
            state, resumes_at = CredentialState.HALF_OPEN, None
        remaining = member.quota.remaining(now)
        left, resets_at = remaining.quota_remaining, remaining.resets_at
        if offer is not None and (own := [window for window in offer.reported if window.resets_at > now]):
            tightest = max(own, key=lambda window: window.used)
            left, resets_at = tightest.remaining, tightest.resets_at
        spent_until = member.quota.spent_until(now)
        if offer is None and state is CredentialState.ACTIVE and spent_until > now:
            state, resumes_at, reason = (
                CredentialState.EXHAUSTED,
                spent_until,
                f"its allowance of {remaining.name} is spent",
            )
        if standing.resets_at > now:
            resets_at = standing.resets_at
        return Status(
            provider_key=member.provider,
            credential=member.label,
            identity=member.identity,
            model_id=offer.model if offer is not None else "",
            state=state,
            reason=reason,
            resumes_at=resumes_at,
            quota_remaining=0 if state is CredentialState.EXHAUSTED else left,
            quota_reset_seconds=None if resets_at is None else max(0.0, resets_at - now),
            refresh_state=member.refresh_state,
            in_flight=member.in_flight,
        )

    def why_not(self, seat: Seat, now: float) -> str:
        """Why a seat cannot be picked; empty when it can."""
        if blocked_until(seat, now) <= now:
            return ""
        member = seat.member
        for offer in (None, seat.offer):
            status = self.status(member, offer, now)
            if status.state not in (CredentialState.ACTIVE, CredentialState.HALF_OPEN):
                until = f" for {status.resumes_at - now:.0f} s" if status.resumes_at is not None else ""
                return f"{status.state.name.lower()}{until}" + (f": {status.reason}" if status.reason else "")
        return f"busy: {member.in_flight} attempts in flight, no more than {member.limit:g} are allowed"

    # --- over restarts ---

    def save(self, *, with_states: bool = True) -> dict[str, object]:
        """What should survive a restart, as plain data: states with their instants, and counts."""
        saved: dict[str, object] = {}
        for member in self.members.values():
            models = {
                name: _saved(offer.standing)
                for name, offer in member.offers.items()
                if with_states and _is_worth(offer.standing)
            }
            counts = member.quota.save()
            is_worth = with_states and _is_worth(member.standing)
            if models or counts or is_worth:
                standing = _saved(member.standing) if is_worth else None
                saved[member.identity] = {"standing": standing, "models": models, "quota": counts}
        return {"version": 1, "members": saved}

    def restore(self, data: object, now: float, *, with_states: bool = True) -> None:
        """Take up what `save` gave. What is not understood, or about nobody here, is left out."""
        members = data.get("members") if isinstance(data, Mapping) else None
        if not isinstance(members, Mapping):
            return
        for identity, saved in members.items():
            member = self.members.get(identity) if isinstance(identity, str) else None
            if member is None or not isinstance(saved, Mapping):
                continue
            member.quota.restore(saved.get("quota"), now)
            if not with_states:
                continue
            self._restore(member.standing, saved.get("standing"))
            models = saved.get("models")
            for model, standing in models.items() if isinstance(models, Mapping) else ():
                if isinstance(model, str):
                    self._restore(self._standing(member, member.offer(model)), standing)

    def _restore(self, standing: Standing, data: object) -> None:
        if not isinstance(data, (list, tuple)) or len(data) != 5 or standing.state is CredentialState.DISABLED:
            return
        name, resumes_at, resets_at, reason, level = data
        is_read = (
            isinstance(resumes_at, (int, float)) and isinstance(resets_at, (int, float)) and isinstance(level, int)
        )
        if name not in _RESTORED or not is_read or not math.isfinite(resumes_at) or not math.isfinite(resets_at):
            return
        standing.state = CredentialState[str(name)]
        standing.generation += 1
        standing.level = min(max(level, 0), 64)
        standing.reason = str(reason)[:200]
        if standing.state in PAUSES:
            standing.resumes_at = standing.blocked_until = float(resumes_at)
            standing.resets_at = float(resets_at)
            self._push(standing)


_RESTORED: Final = ("COOLING", "EXHAUSTED", "REJECTED", "HALF_OPEN")


def told_offers(member: Member, now: float) -> list[Offer]:
    """The models of a credential of which there is something to tell: not well, or counted by the provider."""
    return [
        offer
        for offer in member.offers.values()
        if (offer.standing is not None and offer.standing.state is not CredentialState.ACTIVE)
        or any(window.resets_at > now for window in offer.reported)
    ]


def _by_index(seat: Seat) -> int:
    return seat.index


def _is_worth(standing: Standing | None) -> bool:
    return standing is not None and standing.state not in (CredentialState.ACTIVE, CredentialState.DISABLED)


def _saved(standing: Standing | None) -> list[object]:
    """A probe or a renewal under way does not survive: what comes next is a probe."""
    assert standing is not None  # the caller looked
    state = standing.state
    if state in (CredentialState.PROBING, CredentialState.REFRESHING):
        return [CredentialState.HALF_OPEN.name, 0.0, 0.0, standing.reason, standing.level]
    return [state.name, standing.resumes_at, standing.resets_at, standing.reason, standing.level]
