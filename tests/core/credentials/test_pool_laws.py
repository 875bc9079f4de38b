"""The laws of the pool, held by random histories in virtual time. Each law has a name here."""

import json
import math
from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragoman.core.config import Cooldowns, QuotaRule
from dragoman.core.credentials.credential import PAUSES, CredentialState
from dragoman.core.credentials.lane import Lane, Seat
from dragoman.core.credentials.outcome import MEANING, Kind, Outcome, Scope
from dragoman.core.credentials.pool import Lease, MemberRule, Pool
from dragoman.core.credentials.quota import ReportedWindow
from dragoman.core.routing.strategy import STRATEGIES

WELL = (CredentialState.ACTIVE, CredentialState.HALF_OPEN)
LONGEST = max(Cooldowns().not_found, Cooldowns().longest_told)
RULES = st.builds(
    QuotaRule,
    window=st.sampled_from([60.0, 3600.0]),
    kind=st.sampled_from(["fixed", "sliding"]),
    requests=st.none() | st.integers(1, 5),
    tokens=st.none() | st.integers(1, 500),
)
WINDOWS = st.builds(
    lambda name, used, ahead, scope: (name, used, ahead, scope),
    st.sampled_from(["5h", "7d", "requests"]),
    st.sampled_from([0.0, 0.5, 0.97, 1.0]),
    st.floats(0.1, 1e6),
    st.sampled_from(["credential", "model"]),
)
KINDS = st.sampled_from([kind for kind in Kind if kind is not Kind.OK])


def state_of(standing: Any, now: float) -> CredentialState:
    """The state as of `now`, worked out without the pool's own short cuts."""
    if standing is None:
        return CredentialState.ACTIVE
    state: CredentialState = standing.state
    return CredentialState.HALF_OPEN if state in PAUSES and standing.resumes_at <= now else state


def is_well(seat: Seat, now: float) -> bool:
    """Whether a seat may be picked, asked of nothing but its states and counts."""
    member = seat.member
    if any(state_of(standing, now) not in WELL for standing in (member.standing, seat.offer.standing)):
        return False
    if member.in_flight >= member.limit:
        return False
    return all(counter.used(now) < limit for window in member.quota.windows for _, counter, limit in window.limits())


class PoolLaws(RuleBasedStateMachine):
    """One pool and its twin, which gets the same inputs."""

    members: list[MemberRule]
    pools: tuple[Pool, Pool]
    lanes: list[list[Lane]]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.open: list[tuple[Lease, Lease]] = []
        self.probes: dict[int, int] = {}

    @initialize(
        strategy=st.sampled_from(sorted(STRATEGIES)),
        quotas=st.lists(st.lists(RULES, max_size=2), min_size=1, max_size=4),
        limits=st.lists(st.none() | st.integers(1, 3), min_size=4, max_size=4),
        priorities=st.lists(st.integers(0, 1), min_size=4, max_size=4),
        refreshable=st.booleans(),
    )
    def begin(
        self,
        strategy: str,
        quotas: list[list[QuotaRule]],
        limits: list[int | None],
        priorities: list[int],
        refreshable: bool,
    ) -> None:
        self.members = [
            MemberRule(
                f"id{i}", "lab", f"key-{i}", limits[i], quotas=tuple(rules), is_refreshable=refreshable and i == 0
            )
            for i, rules in enumerate(quotas)
        ]
        self.pools, self.lanes = (Pool(), Pool()), []
        for pool in self.pools:
            pool.configure(self.members, self.now)
            seats = [(f"id{i}", model, priorities[i], 1 + i) for i in range(len(quotas)) for model in ("m", "n")]
            lanes = [pool.lane(seats, STRATEGIES[strategy]), pool.lane(seats[:1], STRATEGIES[strategy])]
            self.lanes.append(lanes)

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 30.0, 61.0, 1801.0, 3601.0, 43_201.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        which=st.integers(0, 1),
        draw=st.floats(0, 1, exclude_max=True),
        tried=st.sets(st.integers(0, 7)),
        bound=st.integers(-1, 7),
    )
    def pick(self, which: int, draw: float, tried: set[int], bound: int) -> None:
        leases = []
        for pool, lanes in zip(self.pools, self.lanes, strict=True):
            lane: Lane = lanes[which]
            not_these = {seat.offer for seat in lane.seats if seat.index in tried}
            preferred = lane.seats[bound] if 0 <= bound < len(lane.seats) else None
            well = [seat for seat in lane.seats if is_well(seat, self.now) and seat.offer not in not_these]
            was_probe = {
                seat: [
                    state_of(s, self.now) is CredentialState.HALF_OPEN
                    for s in (seat.member.standing, seat.offer.standing)
                ]
                for seat in well
            }
            lease = pool.pick(lane, self.now, draw, tried=not_these, preferred=preferred)
            # LAW: when any credential is well, a request is served; and no pick of a cooling, exhausted, rejected or disabled one.
            assert (lease is None) == (not well)
            if lease is not None:
                assert lease.seat in well
                # LAW: a pause ends with exactly one half-open probe: after this pick the state is PROBING, and nobody else gets it.
                for standing, is_probe in zip(
                    (lease.seat.member.standing, lease.seat.offer.standing), was_probe[lease.seat], strict=True
                ):
                    if is_probe:
                        assert standing is not None
                        assert standing.state is CredentialState.PROBING
            leases.append(lease)
        first, second = leases
        # LAW: same inputs, same outputs.
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.seat.index == second.seat.index
            self.open.append((first, second))

    def made(
        self,
        kind: Kind,
        wait: float | None,
        tokens: int,
        scope: Scope | None,
        windows: list[tuple[str, float, float, str]],
    ) -> Outcome:
        reported = tuple(
            ReportedWindow(name, used, self.now + ahead, None, about) for name, used, ahead, about in windows
        )
        retry_at = None if wait is None else self.now + wait
        return Outcome(kind, scope or MEANING[kind][1], 500, retry_at, reported, "x", tokens)

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        kind=KINDS | st.just(Kind.OK),
        wait=st.none() | st.sampled_from([0.0, 1.0, 45.0, 1e6]),
        tokens=st.integers(0, 300),
        scope=st.none() | st.sampled_from([Scope.CREDENTIAL, Scope.MODEL]),
        windows=st.lists(WINDOWS, max_size=2),
    )
    def report(
        self, data: st.DataObject, kind: Kind, wait: float | None, tokens: int, scope: Scope | None, windows: Any
    ) -> None:
        leases = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        outcome = self.made(kind, wait, tokens, scope, windows)
        for pool, lease in zip(self.pools, leases, strict=True):
            pool.report(lease, outcome, self.now)

    @precondition(lambda self: self.open)
    @rule(windows=st.lists(WINDOWS, max_size=2))
    def answer_begins(self, windows: Any) -> None:
        outcome = self.made(Kind.OK, None, 0, None, windows)
        for pool, lease in zip(self.pools, self.open[0], strict=True):
            pool.answered(lease, outcome, self.now)

    @rule(who=st.integers(0, 3), what=st.sampled_from(["on", "off", "clear", "clear model", "renewed", "not renewed"]))
    def operate(self, who: int, what: str) -> None:
        identity = self.members[who % len(self.members)].identity
        for pool in self.pools:
            if what in ("on", "off"):
                pool.switch(identity, on=what == "on", now=self.now)
            elif what == "clear":
                pool.clear(identity, self.now)
            elif what == "clear model":
                pool.clear(identity, self.now, "n")
            elif pool.members[identity].standing.state is CredentialState.REFRESHING:
                pool.end_renewal(identity, self.now, renewed=what == "renewed")

    @rule()
    def renewals_are_told_once(self) -> None:
        told = [pool.take_renewals() for pool in self.pools]
        assert told[0] == told[1]
        assert len(set(told[0])) <= 1

    @rule()
    def reload(self) -> None:
        """A new configuration with the same credentials changes nothing of what is known."""
        for pool in self.pools:
            before = pool.snapshot(self.now)
            pool.configure([attrs_without_disabled(rule, pool) for rule in self.members], self.now)
            assert pool.snapshot(self.now) == before

    @rule()
    def restart(self) -> None:
        """LAW: save and restore keep instants and counts; what was on its way becomes a probe to come."""
        pool, other = self.pools[0], Pool()
        other.configure(self.members, self.now)
        other.restore(json.loads(json.dumps(pool.save())), self.now)
        for identity, member in pool.members.items():
            found = other.members[identity]
            pairs: list[tuple[Any, Any]] = [(member.standing, found.standing)]
            pairs += [
                (offer.standing, found.offers[model].standing)
                for model, offer in member.offers.items()
                if model in found.offers
            ]
            for before, after in pairs:
                if before is not None and before.state in PAUSES - {CredentialState.REFRESHING}:
                    assert after is not None
                    assert (after.state, after.resumes_at, after.resets_at, after.level, after.reason) == (
                        before.state, before.resumes_at, before.resets_at, before.level, before.reason,
                    )  # fmt: skip
                elif before is not None and before.state in (CredentialState.PROBING, CredentialState.REFRESHING):
                    assert after is not None
                    assert after.state is CredentialState.HALF_OPEN
            for one, two in zip(member.quota.windows, found.quota.windows, strict=True):
                for (_, a, _), (_, b, _) in zip(one.limits(), two.limits(), strict=True):
                    assert a.used(self.now) == b.used(self.now)

    @invariant()
    def leases_are_counted(self) -> None:
        """LAW: concurrency limits hold, leases are given back exactly once."""
        if not hasattr(self, "members"):
            return
        for i, pool in enumerate(self.pools):
            for member in pool.members.values():
                open_leases = [pair[i] for pair in self.open if pair[i].seat.member is member]
                assert member.in_flight == len(open_leases)
                assert member.in_flight <= member.limit

    @invariant()
    def every_pause_ends(self) -> None:
        """LAW: every cooldown ends, and no later than the longest configured one."""
        if not hasattr(self, "members"):
            return
        for pool in self.pools:
            for member in pool.members.values():
                for standing in (member.standing, *(offer.standing for offer in member.offers.values())):
                    if standing is not None and standing.state in PAUSES:
                        assert standing.resumes_at <= self.now + LONGEST
                        assert standing.blocked_until == standing.resumes_at
                        assert pool.next_deadline() <= standing.resumes_at

    @invariant()
    def windows_are_never_negative(self) -> None:
        """LAW: windows are never negative; requests never over-spent; tokens by no more than what was in flight."""
        if not hasattr(self, "members"):
            return
        for pool in self.pools:
            for member in pool.members.values():
                remaining = member.quota.remaining(self.now)
                assert remaining.quota_remaining is None or remaining.quota_remaining >= 0
                assert 0 <= remaining.share <= 1
                for window in member.quota.windows:
                    for name, counter, limit in window.limits():
                        assert counter.used(self.now) >= 0
                        if name == "requests":
                            assert counter.used(self.now) <= limit
            for status in pool.snapshot(self.now):
                assert status.quota_remaining is None or status.quota_remaining >= 0
                assert status.quota_reset_seconds is None or 0 <= status.quota_reset_seconds < math.inf
        assert self.pools[0].snapshot(self.now) == self.pools[1].snapshot(self.now)
        assert self.pools[0].take_changes() == self.pools[1].take_changes()


def attrs_without_disabled(rule_: MemberRule, pool: Pool) -> MemberRule:
    """The rule as a configuration would say it now."""
    return attrs.evolve(rule_, disabled=pool.members[rule_.identity].standing.state is CredentialState.DISABLED)


TestPoolLaws = PoolLaws.TestCase
TestPoolLaws.settings = settings(stateful_step_count=40)
