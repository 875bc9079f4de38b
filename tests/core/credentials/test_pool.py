"""What the pool does in the cases that users of other gateways complain about."""

import math
from typing import Any

import pytest

from dragoman.core.config import Cooldowns, QuotaRule
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.lane import Lane, Offer
from dragoman.core.credentials.outcome import Kind, Outcome, Scope, broken, classify, succeeded
from dragoman.core.credentials.pool import Lease, MemberRule, Pool
from dragoman.core.errors import MisuseError
from dragoman.core.routing.strategy import STRATEGIES

NOW = 1_700_000_000.0
GOOD = succeeded({}, NOW)
LIMITED = classify(429, [], b"", NOW)
SPENT = classify(429, [], b'{"error": {"code": "insufficient_quota"}}', NOW)
FAILED = classify(503, [], b"", NOW)


def made(size: int = 2, strategy: str = "round-robin", models: str = "m", **rule: Any) -> tuple[Pool, Lane]:
    pool = Pool(Cooldowns())
    pool.configure([MemberRule(f"id{i}", "lab", f"key-{i}", **rule) for i in range(size)], NOW)
    seats = [(f"id{i}", model, 0, 1) for i in range(size) for model in models]
    return pool, pool.lane(seats, STRATEGIES[strategy])


def take(pool: Pool, lane: Lane, now: float = NOW) -> Lease:
    lease = pool.pick(lane, now)
    assert lease is not None
    return lease


def once(pool: Pool, lane: Lane, outcome: Outcome = GOOD, now: float = NOW) -> str:
    """One attempt, from pick to report; who it was."""
    lease = take(pool, lane, now)
    pool.report(lease, outcome, now)
    return lease.seat.member.identity


def state(pool: Pool, identity: str = "id0", model: str = "", now: float = NOW) -> CredentialState:
    member = pool.members[identity]
    return pool.status(member, member.offers[model] if model else None, now).state


def test_a_lease_is_given_back_once() -> None:
    """A second report is a bug."""
    pool, lane = made()
    lease = take(pool, lane)
    pool.report(lease, GOOD, NOW)
    with pytest.raises(MisuseError, match="reported twice"):
        pool.report(lease, GOOD, NOW)
    assert pool.members["id0"].in_flight == 0


def test_one_limit_does_not_cool_others() -> None:
    """One 429 put eight accounts to rest elsewhere."""
    pool, lane = made(8)
    assert once(pool, lane, LIMITED) == "id0"
    assert [once(pool, lane) for _ in range(8)] == ["id1", "id2", "id3", "id4", "id5", "id6", "id7", "id1"]


def test_fill_first_moves_on_and_comes_back() -> None:
    """It stayed with an exhausted one elsewhere."""
    pool, lane = made(3, "fill-first")
    once(pool, lane, classify(429, [(b"retry-after", b"10")], b"", NOW))
    assert {once(pool, lane, now=NOW + 9) for _ in range(5)} == {"id1"}
    assert once(pool, lane, now=NOW + 10) == "id0"


def test_backoff_grows_and_is_forgotten() -> None:
    """1, 2, 4 s where nothing is said; several failures in one window count once; a success ends it."""
    pool, lane = made(1)
    leases = [take(pool, lane) for _ in range(3)]
    for lease in leases:
        pool.report(lease, LIMITED, NOW)
    assert pool.next_deadline() == NOW + 1
    once(pool, lane, LIMITED, NOW + 1)
    assert pool.next_deadline() == NOW + 3
    once(pool, lane, LIMITED, NOW + 3)
    assert pool.next_deadline() == NOW + 7
    once(pool, lane, GOOD, NOW + 7)
    once(pool, lane, LIMITED, NOW + 8)
    assert pool.next_deadline() == NOW + 9


def test_no_stampede_after_a_cooldown() -> None:
    """One probe; the others wait for what comes of it, and for the head of its answer only."""
    pool, lane = made(1)
    once(pool, lane, LIMITED)
    probe = take(pool, lane, NOW + 1)
    assert state(pool, "id0", "m") is CredentialState.PROBING
    assert pool.pick(lane, NOW + 2) is None
    assert lane.next_at() == math.inf
    pool.answered(probe, GOOD, NOW + 2)
    pool.answered(probe, GOOD, NOW + 2)
    take(pool, lane, NOW + 2)
    pool.report(probe, broken(Kind.CUT), NOW + 3)
    assert state(pool, "id0", "m") is CredentialState.ACTIVE


def test_a_pause_that_is_over_is_half_open_for_whoever_looks() -> None:
    """Even if nobody has asked since."""
    pool, lane = made(1)
    once(pool, lane, LIMITED)
    assert state(pool, "id0", "m", NOW + 0.5) is CredentialState.COOLING
    assert state(pool, "id0", "m", NOW + 100_000) is CredentialState.HALF_OPEN


def test_a_refusal_says_what_is_left_too() -> None:
    """Its windows are remembered as those of a success are."""
    pool, lane = made(1)
    fields = [(b"x-ratelimit-limit-requests", b"10"), (b"x-ratelimit-remaining-requests", b"4")]
    once(pool, lane, classify(429, [*fields, (b"x-ratelimit-reset-requests", b"60s")], b"", NOW))
    member = pool.members["id0"]
    assert pool.status(member, member.offers["m"], NOW).quota_remaining == 4


def test_a_probe_that_tells_nothing() -> None:
    """The client left: the next request is the probe."""
    pool, lane = made(1)
    once(pool, lane, LIMITED)
    once(pool, lane, broken(Kind.ABANDONED), NOW + 1)
    assert state(pool, "id0", "m", NOW + 1) is CredentialState.HALF_OPEN
    once(pool, lane, GOOD, NOW + 1)
    assert state(pool, "id0", "m", NOW + 1) is CredentialState.ACTIVE


def test_an_old_answer_proves_nothing() -> None:
    """One that was sent before the limit was hit ends no cooldown, and takes no probe's place."""
    pool, lane = made(1)
    old = take(pool, lane)
    once(pool, lane, LIMITED)
    probe = take(pool, lane, NOW + 1)
    pool.report(old, GOOD, NOW + 1)
    assert state(pool, "id0", "m", NOW + 1) is CredentialState.PROBING
    pool.report(probe, LIMITED, NOW + 1)
    assert state(pool, "id0", "m", NOW + 1) is CredentialState.COOLING


def test_no_cooldown_of_156_hours() -> None:
    """An instant far away is believed for an hour; then one request finds out that the quota is back."""
    pool, lane = made(1)
    far = b'{"error": {"type": "usage_limit_reached", "resets_in_seconds": 561635}}'
    once(pool, lane, classify(429, [], far, NOW))
    status = pool.status(pool.members["id0"], None, NOW)
    assert (status.state, status.resumes_at) == (CredentialState.EXHAUSTED, NOW + 3600)
    assert (status.quota_remaining, status.quota_reset_seconds) == (0, 561_635)
    assert pool.pick(lane, NOW + 3599) is None
    once(pool, lane, GOOD, NOW + 3600)
    assert state(pool, now=NOW + 3600) is CredentialState.ACTIVE


def test_scope_of_a_limit() -> None:
    """An account's limit stops all its models, a model's only that."""
    pool, lane = made(1, models="mn")
    once(pool, lane, LIMITED)
    assert take(pool, lane).seat.offer.model == "n"
    pool, lane = made(1, models="mn")
    once(pool, lane, classify(429, [], b'{"error": {"code": "insufficient_quota"}}', NOW))
    assert pool.pick(lane, NOW) is None


def test_entitlement() -> None:
    """`model_not_found` marks the credential without the model, even where cooling is disabled."""
    pool, lane = made(2, cools=False, models="mn")
    once(pool, lane, classify(404, [], b'{"error": {"code": "model_not_found"}}', NOW))
    assert state(pool, "id0", "m") is CredentialState.REJECTED
    assert {(lease.seat.member.identity, lease.seat.offer.model) for lease in (take(pool, lane) for _ in range(9))} == {
        ("id0", "n"), ("id1", "m"), ("id1", "n"),
    }  # fmt: skip


def test_disabled_cooling() -> None:
    """Nothing else is remembered, spent windows that are told with a success included."""
    pool, lane = made(1, cools=False)
    once(pool, lane, LIMITED)
    once(pool, lane, succeeded({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"9s"}, NOW))
    once(pool, lane, classify(401, [], b"", NOW))
    assert take(pool, lane).is_open


def test_the_last_one_is_spared() -> None:
    """A 503 locked the only credential for a minute elsewhere; where there is another, it rests."""
    pool, lane = made(1)
    once(pool, lane, FAILED)
    assert take(pool, lane).is_open
    pool, lane = made(2)
    once(pool, lane, FAILED)
    assert {once(pool, lane) for _ in range(4)} == {"id1"}
    once(pool, lane, FAILED)
    assert once(pool, lane) == "id1"


def test_no_cooldown_for_transient_errors() -> None:
    """-1 in the configuration; but what the provider asks for counts."""
    pool, lane = made(2)
    pool.times = Cooldowns(transient=-1)
    once(pool, lane, FAILED)
    assert {once(pool, lane) for _ in range(4)} == {"id0", "id1"}
    once(pool, lane, classify(503, [(b"retry-after", b"9")], b"", NOW))
    assert len({once(pool, lane) for _ in range(4)}) == 1


def test_told_before_it_is_hit() -> None:
    """An allowance that is spent by this very answer rests now; a nearly spent one comes last."""
    pool, lane = made(3)
    spent = [(b"x-codex-primary-used-percent", b"100"), (b"x-codex-primary-reset-after-seconds", b"60")]
    nearly = [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"2"),
        (b"x-ratelimit-reset-requests", b"60s"),
    ]
    once(pool, lane, succeeded(dict(spent), NOW))
    once(pool, lane, succeeded(dict(nearly), NOW))
    assert state(pool) is CredentialState.EXHAUSTED
    assert {once(pool, lane) for _ in range(4)} == {"id2"}
    rows = {(row.credential, row.model_id): row for row in pool.snapshot(NOW)}
    assert (rows["key-1", "m"].quota_remaining, rows["key-1", "m"].quota_reset_seconds) == (2, 60)
    pool.switch("id2", on=False, now=NOW)
    assert once(pool, lane) == "id1"
    pool.switch("id2", on=True, now=NOW)
    assert {once(pool, lane) for _ in range(4)} == {"id2"}
    assert {once(pool, lane, now=NOW + 60) for _ in range(6)} == {"id0", "id1", "id2"}


def test_the_reserve_takes_turns() -> None:
    """When only nearly spent ones are left; a bound conversation stays."""
    pool, lane = made(4, quotas=(QuotaRule(60.0, requests=4),))
    for _ in range(16 - 4):
        once(pool, lane)
    first = take(pool, lane)  # 4 of 4 would be spent: 97 % is reached only then
    assert state(pool, first.seat.member.identity) is CredentialState.EXHAUSTED
    pool, lane = made(3, quotas=(QuotaRule(60.0, requests=100),))
    for _ in range(3 * 97):
        once(pool, lane)
    assert [once(pool, lane) for _ in range(4)] == ["id0", "id1", "id2", "id0"]
    bound = pool.pick(lane, NOW, preferred=lane.seats[2])
    assert bound is not None
    assert bound.seat is lane.seats[2]
    while pool.pick(lane, NOW) is not None:
        pass
    assert all(row.state is CredentialState.EXHAUSTED for row in pool.snapshot(NOW))
    assert lane.next_at() == NOW + 60
    assert "its allowance of requests is spent" in pool.why_not(lane.seats[0], NOW)
    assert once(pool, lane, now=NOW + 60)


def test_the_operator_begins_anew() -> None:
    """What was counted is forgotten, the rules are not; who waited may be picked at once."""
    pool, lane = made(2, quotas=(QuotaRule(60.0, requests=2, tokens=9),))
    for _ in range(4):
        once(pool, lane)
    assert pool.pick(lane, NOW) is None
    pool.clear("id0", NOW)
    assert pool.pick(lane, NOW) is None
    pool.reset("id0", NOW)
    assert [row.quota_remaining for row in pool.snapshot(NOW)] == [2, 0]
    assert [once(pool, lane), once(pool, lane)] == ["id0", "id0"]
    assert pool.pick(lane, NOW) is None


def test_concurrency() -> None:
    """No more attempts at a time than allowed; the next begins when one ends."""
    pool, lane = made(1, limit=2)
    first, _ = take(pool, lane), take(pool, lane)
    assert pool.pick(lane, NOW) is None
    assert pool.why_not(lane.seats[0], NOW) == "busy: 2 attempts in flight, no more than 2 are allowed"
    pool.report(first, GOOD, NOW)
    assert take(pool, lane).is_open


def test_preference() -> None:
    """The bound seat out of turn, unless it was tried, cannot be reached, or is not well."""
    pool, lane = made(3)
    seat = lane.seats[2]
    kept = pool.pick(lane, NOW, preferred=seat)
    assert kept is not None
    assert kept.seat is seat
    for tried, shunned in (({seat.offer}, set[str]()), (set[Offer](), {"lab"})):
        found = pool.pick(lane, NOW, preferred=seat, tried=tried, shunned=shunned)
        assert found is None or found.seat is not seat
    pool.report(kept, LIMITED, NOW)
    assert all(take(pool, lane).seat is not seat for _ in range(4))
    assert pool.pick(lane, NOW, tried={s.offer for s in lane.seats}) is None


def test_renewal() -> None:
    """A 401 of a token that can be renewed asks for it once; the refusals of the old token that come later count for nothing."""
    pool, lane = made(1, is_refreshable=True)
    first, second, third = take(pool, lane), take(pool, lane), take(pool, lane)
    refused = classify(401, [], b"", NOW)
    pool.report(first, refused, NOW)
    pool.report(second, refused, NOW)
    assert pool.take_renewals() == ["id0"]
    assert pool.take_renewals() == []
    assert (state(pool), pool.snapshot(NOW)[0].refresh_state) == (CredentialState.REFRESHING, "refreshing")
    assert pool.pick(lane, NOW) is None
    pool.end_renewal("id0", NOW + 5, renewed=True)
    pool.report(third, refused, NOW + 6)
    assert state(pool, now=NOW + 6) is CredentialState.HALF_OPEN
    # The new token is refused as well: that is not a matter of renewing.
    once(pool, lane, refused, NOW + 7)
    assert state(pool, now=NOW + 7) is CredentialState.REJECTED
    assert pool.take_renewals() == []


def test_renewal_that_fails_or_is_lost() -> None:
    """It says so; and it does not stay so for ever."""
    pool, lane = made(1, is_refreshable=True)
    once(pool, lane, classify(401, [], b"", NOW))
    pool.end_renewal("id0", NOW, renewed=False)
    assert (state(pool), pool.snapshot(NOW)[0].refresh_state) == (CredentialState.REJECTED, "failed")
    assert pool.why_not(lane.seats[0], NOW) == "rejected for 1800 s: its token could not be renewed"
    once(pool, lane, GOOD, NOW + 1800)
    once(pool, lane, classify(401, [], b"", NOW), NOW + 1801)
    lost = [change.after for change in pool.take_changes()][-1]
    assert lost is CredentialState.REFRESHING
    once(pool, lane, GOOD, NOW + 1861)
    assert [change.after.name for change in pool.take_changes()] == ["REJECTED", "HALF_OPEN", "PROBING", "ACTIVE"]


def test_a_renewal_beside_a_cooldown() -> None:
    """Tokens were not renewed while cooling elsewhere; nor does a renewal end the cooldown."""
    pool, lane = made(1, is_refreshable=True)
    once(pool, lane, classify(429, [(b"retry-after", b"100")], b'{"error":{"code":"quota_exceeded"}}', NOW))
    pool.begin_renewal("id0", NOW)
    pool.end_renewal("id0", NOW + 5, renewed=True)
    assert pool.status(pool.members["id0"], None, NOW + 5).resumes_at == NOW + 100


def test_the_operator() -> None:
    """Switches off and on, and forgets what is held against a credential, as a whole or for a model."""
    pool, lane = made(1, models="mn")
    once(pool, lane, LIMITED)
    pool.clear("id0", NOW, "m")
    pool.clear("id0", NOW, "unknown")
    assert state(pool, "id0", "m") is CredentialState.ACTIVE
    once(pool, lane, classify(402, [], b"", NOW))
    pool.clear("id0", NOW)
    assert state(pool) is CredentialState.ACTIVE
    pool.switch("id0", on=False, now=NOW)
    assert pool.pick(lane, NOW) is None
    assert pool.why_not(lane.seats[0], NOW) == "disabled"
    pool.switch("id0", on=True, now=NOW)
    assert take(pool, lane).is_open


def test_latency_is_an_average() -> None:
    """The first answer is taken as it is, later ones count a fifth."""
    pool, lane = made(1)
    for seconds in (1.0, 2.0):
        lease = take(pool, lane)
        pool.answered(lease, GOOD, NOW + seconds)
        pool.report(lease, GOOD, NOW + 50)
    assert lane.seats[0].offer.latency == pytest.approx(1.2)


def test_reload() -> None:
    """Who stays keeps state and attempts in flight, with the new limits; who goes is gone."""
    pool, lane = made(3)
    flying = take(pool, lane)
    once(pool, lane, LIMITED)
    rules = [MemberRule(f"id{i}", "lab", f"key-{i}", limit=5, quotas=(QuotaRule(60.0, requests=9),)) for i in range(2)]
    pool.configure(rules, NOW)
    pool.configure(
        [*rules[:1], MemberRule("id1", "lab", "key-1", quotas=(QuotaRule(60.0, tokens=9),), is_refreshable=True)], NOW
    )
    assert list(pool.members) == ["id0", "id1"]
    assert state(pool, "id1", "m") is CredentialState.COOLING
    assert pool.members["id0"].in_flight == 1
    pool.report(flying, GOOD, NOW)
    assert pool.members["id0"].in_flight == 0
    assert pool.members["id1"].refresh_state == "valid"


@pytest.mark.parametrize(
    "data",
    [
        None, {}, {"members": []}, {"members": {"id0": 5, "other": {}, 5: {}}}, {"members": {"id0": {"standing": [1, 2]}}},
        {"members": {"id0": {"standing": ["COOLING", "x", 0, "", 0]}}}, {"members": {"id0": {"standing": ["PROBING", 0, 0, "", 0]}}},
        {"members": {"id0": {"standing": ["COOLING", float("inf"), 0, "", 0]}}}, {"members": {"id0": {"models": {5: []}, "quota": 5}}},
    ],
)  # fmt: skip
def test_nonsense_is_not_restored(data: Any) -> None:
    """A file of another version, or a broken one, must not stop the gateway."""
    pool, lane = made(1)
    pool.restore(data, NOW)
    assert take(pool, lane).is_open


def test_memory_is_bounded() -> None:
    """Names that clients make up, limits that are hit again and again, changes that nobody takes."""
    pool, lane = made(2)
    member = pool.members["id0"]
    for i in range(2000):
        member.offer(f"made-up-{i}")
    assert len(member.offers) <= 512
    for i in range(600):
        pool._standing(member, member.offer(f"trouble-{i}"))
    assert len(member.offers) <= 512
    now = NOW
    for _ in range(1200):
        now += 0.5
        lease = pool.pick(lane, now)
        if lease is not None:
            pool.report(lease, Outcome(Kind.RATE_LIMITED, Scope.MODEL, 429, now + 1000), now)
        pool.clear("id0", now)
        pool.clear("id1", now)
    assert len(pool._deadlines) < 2048
    assert len(lane._wakes) < 256
    assert len(pool.take_changes()) == 1000


def test_parking_and_waking_many_times() -> None:
    """Stale entries of the heap of wakes are swept out."""
    pool, lane = made(2)
    now = NOW
    for _ in range(300):
        for _ in range(2):
            lease = take(pool, lane, now)
            pool.report(lease, Outcome(Kind.RATE_LIMITED, Scope.MODEL, 429, now + 1000), now)
        assert pool.pick(lane, now) is None
        assert lane.next_at() == now + 1000
        for identity in ("id0", "id1"):
            pool.clear(identity, now)
    assert len(lane._wakes) <= 70
    for seat in lane.seats:
        lane.readmit(seat)
    assert take(pool, lane, now).is_open
    assert take(pool, lane, now + 5000).is_open  # what is left in the heap is over, and of no interest


def test_what_is_saved_of_what_is_under_way() -> None:
    """A probe, a renewal: what comes after a restart is a probe. A credential that is switched off has no say in it."""
    pool, lane = made(3, is_refreshable=True)
    once(pool, lane, LIMITED)
    for _ in range(3):
        take(pool, lane, NOW + 1)
    once(pool, lane, classify(401, [], b"", NOW), NOW + 1)
    pool.switch("id2", on=False, now=NOW)
    other, _ = made(3)
    other.switch("id2", on=False, now=NOW)
    data = pool.save()
    other.restore({"members": {**data["members"], "id2": {"standing": ["COOLING", NOW + 9, 0.0, "", 0]}}}, NOW + 1)  # type: ignore[dict-item]
    found = [row.state.name for row in other.snapshot(NOW + 1)]
    assert found.count("HALF_OPEN") >= 2
    assert state(other, "id2") is CredentialState.DISABLED


def test_a_limit_on_one_that_is_switched_off() -> None:
    """Its attempts end; nothing is due for it."""
    pool, lane = made(1)
    lease = take(pool, lane)
    pool.switch("id0", on=False, now=NOW)
    pool.report(lease, SPENT, NOW)
    assert pool.next_deadline() == math.inf
    assert pool.take_changes()[-1].after is CredentialState.DISABLED
