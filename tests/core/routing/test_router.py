"""Plans: who is asked next, from the request to the last refusal."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import msgspec.structs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.access import ANONYMOUS
from dragoman.core.config import (
    ClientKey,
    Config,
    Cooldowns,
    Credential,
    Mapped,
    MitigationRule,
    Model,
    Provider,
    QuotaRule,
    Routing,
)
from dragoman.core.credentials.outcome import Kind, Outcome, broken, classify, succeeded
from dragoman.core.errors import AccessDenied, MisuseError, ModelDenied, OverLimit, UnknownModel
from dragoman.core.routing.names import Suffix
from dragoman.core.routing.plan import Choice, GiveUp, Plan, Wait
from dragoman.core.routing.router import Router

NOW = 1_700_000_000.0
GOOD = succeeded({}, NOW)
LIMITED = classify(429, [], b"", NOW)
SPENT = classify(429, [], b'{"error": {"code": "insufficient_quota"}}', NOW)
FAILED = classify(503, [], b"", NOW)
REFUSED = classify(401, [], b"", NOW)
NO_MODEL = classify(404, [], b'{"error": {"code": "model_not_found"}}', NOW)


def provider(name: str, *models: str, keys: int = 1, **more: Any) -> Provider:
    credentials = more.pop("credentials", tuple(Credential(f"{name}{i}", f"s-{name}-{i}") for i in range(keys)))
    pairs = tuple(Model(m.partition("=")[0], m.rpartition("=")[2]) for m in models)
    return Provider(name, "x", "openai_chat", f"https://{name}.test/v1", credentials=credentials, models=pairs, **more)


def router(
    *providers: Provider, draw: Callable[[], float] = lambda: 0.0, previous: Router | None = None, **more: Any
) -> Router:
    return Router(Config(providers=providers, **more), "dragoman/0", draw=draw, now=NOW, previous=previous)


def after(kind_of: Outcome, seconds: float) -> Outcome:
    return msgspec.structs.replace(kind_of, retry_at=NOW + seconds)


def ask(plan: Plan, now: float = NOW) -> str:
    """Who is next, as ``credential/upstream model``."""
    step = plan.next(now)
    assert isinstance(step, Choice), step
    return f"{step.target.credential}/{step.target.upstream_model}"


def fail(plan: Plan, outcome: Outcome = LIMITED, now: float = NOW) -> str:
    who = ask(plan, now)
    plan.report(outcome, now)
    return who


def answer(made: Router, model: str = "m", now: float = NOW, **more: Any) -> str:
    return fail(made.begin(model, more.pop("client_key", ANONYMOUS), now, **more), GOOD, now)


def over(plan: Plan, now: float = NOW) -> GiveUp:
    step = plan.next(now)
    assert isinstance(step, GiveUp), step
    return step


def waits(plan: Plan, now: float = NOW) -> float:
    step = plan.next(now)
    assert isinstance(step, Wait), step
    assert step.until > now
    return step.until - now


# --- names ---


def test_the_way_of_a_name() -> None:
    """Mapping, suffix, mapping of what is left; a listed name with parentheses is itself."""
    mappings = (Mapped("claude-opus", "m"), Mapped("gpt-(.*)", r"x-\1", is_regex=True), Mapped("hard", "m(max)"))
    made = router(provider("a", "m", "x-5", "odd(high)", keys=1), model_mappings=mappings)
    for name, upstream, suffix in [
        ("m", "m", None), ("m(high)", "m", Suffix("high", level="high")), ("claude-opus(low)", "m", Suffix("low", level="low")),
        ("gpt-5(8192)", "x-5", Suffix("8192", budget=8192)), ("odd(high)", "odd(high)", None), ("hard(low)", "m", Suffix("max", level="max")),
    ]:  # fmt: skip
        plan = made.begin(name, ANONYMOUS, NOW)
        assert ask(plan) == f"a0/{upstream}"
        assert plan.suffix == suffix
    with pytest.raises(UnknownModel, match="'n'"):
        made.begin("n", ANONYMOUS, NOW)


def test_auto() -> None:
    """The first listed model that somebody can answer for now."""
    made = router(provider("a", "one"), provider("b", "two"))
    assert answer(made, "auto") == "a0/one"
    fail(made.begin("one", ANONYMOUS, NOW), LIMITED)
    assert answer(made, "auto(high)") == "b0/two"
    fail(made.begin("two", ANONYMOUS, NOW), LIMITED)
    assert made.begin("auto", ANONYMOUS, NOW).model == "one"
    assert answer(router(provider("a", "x", "y=auto")), "auto") == "a0/y"
    with pytest.raises(UnknownModel):
        router(provider("a")).begin("auto", ANONYMOUS, NOW)


def test_client_keys() -> None:
    """Models, limits and expiry, before anybody is asked; the list shows the same."""
    made = router(provider("a", "large", "small", prefix="p"))
    key = ClientKey(
        "", "ci", models=("sm*",), prefixes=("p",), requests_per_minute=2, tokens_per_minute=10, expires=NOW + 1000
    )
    assert [card.id for card in made.models(key)] == ["p/large", "small", "p/small"]
    with pytest.raises(ModelDenied, match="'ci' may not ask for 'large'") as denied:
        made.begin("large", key, NOW)
    assert (denied.value.status, denied.value.param) == (403, "model")
    plan = made.begin("small(high)", key, NOW)
    plan.next(NOW)
    plan.report(msgspec.structs.replace(GOOD, tokens=10), NOW)
    with pytest.raises(OverLimit, match="10 tokens a minute") as limit:
        made.begin("small", key, NOW)
    assert (limit.value.status, limit.value.code) == (429, "rate_limit_exceeded")
    made.begin("small", key, limit.value.retry_at)
    with pytest.raises(AccessDenied):
        made.begin("small", key, NOW + 1000)


# --- rounds ---


def test_one_after_another() -> None:
    """None twice in a round; with the reasons of the journal; then the last answer stands."""
    made = router(provider("a", "m", keys=2))
    plan = made.begin("m", ANONYMOUS, NOW)
    step = plan.next(NOW)
    assert isinstance(step, Choice)
    assert step.reason == "first by round-robin"
    with pytest.raises(MisuseError, match="was not reported"):
        plan.next(NOW)
    plan.report(FAILED, NOW)
    second = plan.next(NOW)
    assert isinstance(second, Choice)
    assert second.reason == "next by round-robin after attempt 1 failed"
    plan.report(FAILED, NOW)
    assert over(plan).has_tried
    assert plan.attempts == 2
    for call in (plan.report, plan.answered):
        with pytest.raises(MisuseError, match="no attempt is in hand"):
            call(GOOD, NOW)


@pytest.mark.parametrize("outcome", [GOOD, classify(400, [], b"", NOW), broken(Kind.ABANDONED)])
def test_what_ends_an_exchange(outcome: Outcome) -> None:
    """An answer, a fault of the request, a client that left."""
    plan = router(provider("a", "m", keys=5), request_retry=5).begin("m", ANONYMOUS, NOW)
    fail(plan, outcome)
    assert "no other credential would better it" in over(plan).reason


def test_rounds() -> None:
    """As many as are configured, with a breath that grows where nobody cools."""
    plan = router(provider("a", "m"), request_retry=3).begin("m", ANONYMOUS, NOW)
    pauses = []
    for _ in range(3):
        fail(plan, FAILED)
        pauses.append(waits(plan))
    fail(plan, FAILED)
    assert "no round of attempts is left after 4 attempts" in over(plan).reason
    assert pauses == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("outcome", "again"),
    [(REFUSED, False), (NO_MODEL, False), (classify(403, [], b"", NOW), True), (broken(Kind.CUT), True)],
)
def test_what_is_worth_another_round(outcome: Outcome, again: bool) -> None:
    plan = router(provider("a", "m"), request_retry=1, disable_cooling=True).begin("m", ANONYMOUS, NOW)
    fail(plan, outcome)
    assert isinstance(plan.next(NOW), Wait) == again


def test_max_retry_credentials() -> None:
    """So many in each round."""
    plan = router(provider("a", "m", keys=5), max_retry_credentials=2, request_retry=1).begin("m", ANONYMOUS, NOW)
    assert [fail(plan, FAILED), fail(plan, FAILED)] == ["a0/m", "a1/m"]
    waits(plan)
    assert [fail(plan, FAILED), fail(plan, FAILED)] == ["a2/m", "a3/m"]
    assert over(plan).has_tried


def test_waiting_for_a_cooldown() -> None:
    """For the nearest, if it is near enough; with jitter, and never longer than allowed."""
    made = router(provider("a", "m", keys=2), max_retry_interval=30.0, request_retry=1, draw=lambda: 0.5)
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, after(LIMITED, 20))
    fail(plan, after(LIMITED, 50))
    assert waits(plan) == 21.0
    assert fail(plan, GOOD, NOW + 21) == "a0/m"
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, after(LIMITED, 45))
    assert "later than max-retry-interval" in over(plan).reason
    assert plan.next(NOW).retry_at == NOW + 45  # type: ignore[union-attr]


def test_own_number_of_rounds() -> None:
    """A credential's own beats the global one; the greatest of those that were asked counts."""
    keys = (Credential("a0", "x", request_retry=0), Credential("a1", "y"))
    made = router(provider("a", "m", credentials=keys, request_retry=2), max_retry_credentials=1)
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, FAILED)
    assert over(plan).has_tried
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, FAILED)
    waits(plan)


def test_nobody_can_be_asked() -> None:
    """At once 429 with the instant, in words that name each reason; with max-retry-interval it waits instead."""
    made = router(provider("a", "m", keys=2))
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, after(LIMITED, 20))
    fail(plan, after(LIMITED, 20))
    second = made.begin("m", ANONYMOUS, NOW)
    refusal = second.explain(over(second), NOW)
    assert (refusal.has_tried, refusal.status, refusal.code, refusal.retry_at) == (
        False,
        429,
        "all_credentials_cooling",
        NOW + 20,
    )
    assert refusal.message == "Nobody can answer for 'm' now: a (m) is cooling for 20 s: answered 429."
    patient = router(provider("a", "m", keys=2), previous=made, max_retry_interval=30.0).begin("m", ANONYMOUS, NOW)
    assert waits(patient) == 20.0
    assert fail(patient, GOOD, NOW + 20) == "a0/m"


def test_everybody_is_busy() -> None:
    """A look now and then, as long as one may wait; 503, for no limit is the reason."""
    made = router(provider("a", "m", max_concurrency=1), max_retry_interval=1.0)
    ask(made.begin("m", ANONYMOUS, NOW))
    plan, now = made.begin("m", ANONYMOUS, NOW), NOW
    while isinstance(step := plan.next(now), Wait):
        now = step.until
    assert now == NOW + 1.0
    assert isinstance(step, GiveUp)
    refusal = plan.explain(step, now)
    assert (refusal.status, refusal.retry_at) == (503, None)
    assert "is busy: 1 attempts in flight" in refusal.message
    many = router(provider("a", "m", keys=20, max_concurrency=1))
    for _ in range(20):
        ask(many.begin("m", ANONYMOUS, NOW))
    plan = many.begin("m", ANONYMOUS, NOW)
    assert plan.explain(over(plan), NOW).message.endswith("; and 12 more.")


def test_refused_while_others_are_busy() -> None:
    """No instant is known then."""
    made = router(provider("a", "m", keys=2, max_concurrency=1), request_retry=1)
    ask(made.begin("m", ANONYMOUS, NOW))
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, broken(Kind.CUT))
    made.pool.switch(next(reversed(made.pool.members)), on=False, now=NOW)
    assert over(plan).retry_at is None


def test_a_provider_that_cannot_be_reached() -> None:
    """Its other credentials would not reach it either; in the next round it has another chance."""
    plan = router(provider("a", "m", keys=3), provider("b", "m"), request_retry=1).begin("m", ANONYMOUS, NOW)
    assert [fail(plan, broken(Kind.UNREACHABLE)), fail(plan, broken(Kind.CUT))] == ["a0/m", "b0/m"]
    waits(plan)
    assert fail(plan, GOOD).startswith("a")


# --- tokens ---


def test_a_token_is_renewed_and_asked_again() -> None:
    """Once, before anybody else."""
    keys = (Credential("a0", "x", is_refreshable=True), Credential("a1", "y"))
    made = router(provider("a", "m", credentials=keys))
    plan = made.begin("m", ANONYMOUS, NOW)
    other = made.begin("m", ANONYMOUS, NOW)
    assert [ask(plan), ask(other)] == ["a0/m", "a1/m"]
    plan.report(REFUSED, NOW)
    (identity,) = made.pool.take_renewals()
    assert waits(plan) == 0.25
    made.pool.end_renewal(identity, NOW + 1, renewed=True)
    assert fail(plan, REFUSED, NOW + 1) == "a0/m"
    assert made.pool.take_renewals() == []
    other.report(FAILED, NOW + 1)
    assert fail(plan, GOOD, NOW + 100) == "a1/m"


def test_a_renewal_of_another_exchange() -> None:
    """A 401 of the old token that comes after the renewal: the same credential again, at once."""
    made = router(provider("a", "m", credentials=(Credential("a0", "x", is_refreshable=True),)))
    first, second = made.begin("m", ANONYMOUS, NOW), made.begin("m", ANONYMOUS, NOW)
    ask(first)
    ask(second)
    first.report(REFUSED, NOW)
    made.pool.end_renewal(made.pool.take_renewals()[0], NOW + 1, renewed=True)
    second.report(REFUSED, NOW + 2)
    assert fail(second, GOOD, NOW + 2) == "a0/m"


@pytest.mark.parametrize("lost", [False, True])
def test_a_renewal_that_fails(lost: bool) -> None:
    """Others are asked; one that never ends is waited for half a minute."""
    keys = (Credential("a0", "x", is_refreshable=True), Credential("a1", "y"))
    made = router(provider("a", "m", credentials=keys))
    plan, now = made.begin("m", ANONYMOUS, NOW), NOW
    fail(plan, REFUSED)
    if not lost:
        made.pool.end_renewal(made.pool.take_renewals()[0], NOW, renewed=False)
    while isinstance(step := plan.next(now), Wait):
        now = step.until
    assert now == (NOW + 30 if lost else NOW)
    assert isinstance(step, Choice)
    assert step.target.credential == "a1"


# --- fallbacks, twins, projects ---


def test_fallbacks() -> None:
    """In order, theirs too, each once; when nobody else can answer."""
    made = router(provider("a", "m", "n", "o"), fallbacks=(("m", ("gone", "n")), ("n", ("m", "o"))))
    plan = made.begin("m", ANONYMOUS, NOW)
    assert [fail(plan, FAILED) for _ in range(3)] == ["a0/m", "a0/n", "a0/o"]
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, FAILED)
    step = plan.next(NOW)
    assert isinstance(step, Choice)
    assert (step.model, step.reason) == ("n", "a fallback of 'm'; next by round-robin after attempt 1 failed")


def test_a_fallback_needs_no_permission() -> None:
    """The operator sends the key's requests there."""
    made = router(provider("a", "m", "n"), fallbacks=(("m", ("n",)),))
    plan = made.begin("m", ClientKey("", "ci", models=("m",)), NOW)
    assert [fail(plan), fail(plan)] == ["a0/m", "a0/n"]


def test_twins() -> None:
    """The preview of a model, only when limits stopped the model itself, also those met by others before."""
    made = router(
        provider("a", "m", "m-preview", "t"),
        switch_preview_model=True,
        preview_models=(("t", "m"),),
        fallbacks=(("m", ("t",)),),
    )
    plan = made.begin("m", ANONYMOUS, NOW)
    assert [fail(plan, LIMITED), fail(plan, LIMITED), fail(plan, GOOD)] == ["a0/m", "a0/m-preview", "a0/t"]
    made = router(provider("a", "m", "m-preview"), switch_preview_model=True)
    plan = made.begin("m", ANONYMOUS, NOW)
    fail(plan, FAILED)
    assert over(plan).has_tried
    fail(made.begin("m", ANONYMOUS, NOW), LIMITED)
    assert fail(made.begin("m", ANONYMOUS, NOW), GOOD) == "a0/m-preview"
    named = router(provider("a", "m", "t"), switch_preview_model=True, preview_models=(("t", "m"),))
    plan = named.begin("t", ANONYMOUS, NOW)
    assert [fail(plan), fail(plan)] == ["a0/t", "a0/m"]


@pytest.mark.parametrize(("switch", "second"), [(True, "a1/m"), (False, "b0/m")])
def test_switch_project(switch: bool, second: str) -> None:
    """Another credential of the same provider after a spent quota, or not."""
    plan = router(provider("a", "m", keys=2), provider("b", "m"), switch_project=switch).begin("m", ANONYMOUS, NOW)
    assert [fail(plan, SPENT), fail(plan, SPENT)] == ["a0/m", second]


# --- affinity ---


def test_a_conversation_stays_and_moves() -> None:
    """Where it was answered; elsewhere when that cools; and there from then on, with a reason for the journal."""
    made = router(provider("a", "m", keys=3))
    assert [answer(made, session="s") for _ in range(3)] == ["a0/m"] * 3
    plan = made.begin("m", ANONYMOUS, NOW, session="s")
    step = plan.next(NOW)
    assert isinstance(step, Choice)
    assert step.reason == "the conversation is bound to it"
    plan.report(LIMITED, NOW)
    moved = ask(plan)
    assert moved != "a0/m"
    plan.report(GOOD, NOW)
    assert {answer(made, session="s", now=NOW + 100) for _ in range(3)} == {moved}


def test_a_failure_of_the_provider_moves_nobody_for_good() -> None:
    """The binding is left; only what is about the credential takes it away."""
    made = router(provider("a", "m", keys=2))
    answer(made, session="s")
    fail(made.begin("m", ANONYMOUS, NOW, session="s"), FAILED)
    assert answer(made, session="s") == "a1/m"  # and is bound anew
    fail(made.begin("m", ANONYMOUS, NOW, session="s"), REFUSED)
    assert answer(made, session="s", now=NOW + 61) == "a0/m"


def test_nearly_spent_loses_its_conversations() -> None:
    """At 97 % others go first, bound or not."""
    made = router(provider("a", "m", keys=2, quotas=(QuotaRule(600.0, requests=100),)))
    assert {answer(made, session="s") for _ in range(97)} == {"a0/m"}
    assert answer(made, session="s") == "a1/m"


@pytest.mark.parametrize(
    ("setting", "explicit", "derived"), [(None, True, False), (True, True, True), (False, False, False)]
)
def test_which_ids_count(setting: bool | None, explicit: bool, derived: bool) -> None:
    made = router(provider("a", "m"), routing=Routing(session_affinity=setting))
    body = b'{"messages": [{"role": "user", "content": "Hello"}]}'
    assert (made.session({b"session-id": b"x"}, body, ClientKey("", "a")) is not None) == explicit
    assert (made.session({}, body, ClientKey("", "a")) is not None) == derived


def test_a_bound_credential_that_is_gone() -> None:
    """A reload without it, or without its model here."""
    made = router(provider("a", "m", "n", keys=2))
    answer(made, session="s")
    assert answer(router(provider("b", "m"), previous=made), session="s") == "b0/m"


# --- mitigations ---


def test_spark() -> None:
    """Too many failures: the fallback first, the model itself behind it; said once; and back when it is well."""
    rule = MitigationRule("gpt-5.3-codex-spark", "gpt-5.3-codex")
    made = router(provider("a", rule.model, rule.fallback, keys=1), mitigations=(rule,), disable_cooling=True)
    for i in range(20):
        fail(made.begin(rule.model, ANONYMOUS, NOW), FAILED if i > 17 else GOOD)
    assert [switch.is_critical for switch in made.take_switches()] == [True]
    plan = made.begin(rule.model, ANONYMOUS, NOW)
    step = plan.next(NOW)
    assert isinstance(step, Choice)
    assert (step.model, step.target.upstream_model) == (rule.fallback, rule.fallback)
    assert "fails too often" in step.reason
    plan.report(FAILED, NOW)
    assert fail(plan, FAILED) == f"a0/{rule.model}"
    kept = router(provider("a", rule.model, rule.fallback), mitigations=(rule,), previous=made)
    assert kept.begin(rule.model, ANONYMOUS, NOW).model == rule.fallback
    changed = router(
        provider("a", rule.model, rule.fallback), mitigations=(attrs.evolve(rule, window=5.0),), previous=made
    )
    assert changed.begin(rule.model, ANONYMOUS, NOW).model == rule.model
    assert kept.begin(rule.model, ANONYMOUS, NOW + 700).model == rule.model
    assert [switch.is_critical for switch in kept.take_switches()] == [False]
    assert "probe" not in str(kept.take_switches())


# --- what is known, what survives ---


def test_explain() -> None:
    """Which deployments, in which order, and why each other one is out."""
    weights = (Credential("b0", "x", weight=3), Credential("b1", "y", disabled=True, priority=9))
    made = router(
        provider("a", "m", "n", keys=2), provider("b", "m", credentials=weights, priority=5), provider("c", "m", disabled=True),
        model_mappings=(Mapped("x", "m"),), fallbacks=(("m", ("n",)),),
    )  # fmt: skip
    fail(made.begin("n", ANONYMOUS, NOW), LIMITED)
    found = made.explain("x(high)", NOW)
    rows = [(c.provider, c.credential, c.upstream_model, c.priority, c.weight, c.why_not) for c in found.candidates]
    assert rows == [
        ("b", "b0", "m", 5, 3, ""), ("a", "a0", "m", 0, 1, ""), ("a", "a1", "m", 0, 1, ""), ("b", "b1", "m", 9, 1, "disabled"),
        ("a", "a1", "n", 0, 1, ""), ("a", "a0", "n", 0, 1, "cooling for 1 s: answered 429"), ("c", "", "m", 0, 0, "the provider is disabled"),
    ]  # fmt: skip
    assert found.steps[0] == "'x(high)' is looked up as 'm'"
    assert found.steps[1:3] == ("(high) says how hard to think", "'n': a fallback of 'm'")
    assert "they share its requests" in found.steps[3]
    nothing = made.explain("nope", NOW)
    assert nothing.candidates == ()
    assert "No provider here serves the model 'nope'" in nothing.steps[0]


def test_the_probe_says_so() -> None:
    made = router(provider("a", "m"))
    fail(made.begin("m", ANONYMOUS, NOW), LIMITED)
    step = made.begin("m", ANONYMOUS, NOW + 1).next(NOW + 1)
    assert isinstance(step, Choice)
    assert step.reason == "its cooldown is over, this is the probe"


def test_answered_early() -> None:
    """The head of a good answer ends a probe."""
    made = router(provider("a", "m"))
    fail(made.begin("m", ANONYMOUS, NOW), LIMITED)
    plan = made.begin("m", ANONYMOUS, NOW + 1)
    ask(plan, NOW + 1)
    assert over(made.begin("m", ANONYMOUS, NOW + 1)).has_tried is False
    plan.answered(GOOD, NOW + 2)
    assert answer(made, now=NOW + 2) == "a0/m"
    plan.report(GOOD, NOW + 9)


def test_reload_under_way() -> None:
    """Plans end as they began; new ones see the new routing; unchanged credentials keep their state."""
    made = router(provider("a", "m", keys=2))
    plan = made.begin("m", ANONYMOUS, NOW)
    assert ask(plan) == "a0/m"
    new = router(provider("a", "m", "n", keys=1), provider("b", "m"), previous=made)
    plan.report(after(LIMITED, 50), NOW)
    assert fail(plan, GOOD) == "a1/m"
    assert [answer(new), answer(new), answer(new, "n")] == ["b0/m", "b0/m", "a0/n"]


def test_saved_and_restored() -> None:
    """Cooldowns, conversations and counts, through JSON; nonsense is left out."""
    key = ClientKey("", "ci", requests_per_minute=2)
    made = router(provider("a", "m", keys=3))
    answer(made, session="s", client_key=key)
    answer(made, client_key=key)
    fail(made.begin("m", ANONYMOUS, NOW), after(LIMITED, 100))
    other = router(provider("a", "m", keys=3))
    for data in (None, 5, {"pool": 5, "affinities": 5, "allowances": 5}, json.loads(json.dumps(made.save()))):
        other.restore(data, NOW)
    assert {answer(other, session="s") for _ in range(3)} == {"a0/m"}
    assert {answer(other) for _ in range(6)} == {"a0/m", "a1/m"}
    with pytest.raises(OverLimit):
        other.begin("m", key, NOW)


def test_news() -> None:
    """Of conversations only what changed; with ``save-cooldown-status: false`` counts, but no states, are told and taken up."""
    quotas = (QuotaRule(3600.0, "fixed", 10, None),)
    made = router(provider("a", "m", keys=2, quotas=quotas), save_cooldown_status=False)
    answer(made, session="before")
    made.track()
    answer(made, session="s")
    fail(made.begin("m", ANONYMOUS, NOW), after(LIMITED, 100))
    news = json.loads(json.dumps(made.take_news()))
    assert [item[0] for item in news["affinities"]] == ["s"]
    assert made.take_news()["affinities"] == []
    assert len(news["pool"]["members"]) == 2
    assert all(m["standing"] is None and not m["models"] and m["quota"] for m in news["pool"]["members"].values())
    other = router(provider("a", "m", keys=2, quotas=quotas))
    other.restore(made.save(), NOW, with_states=False)
    assert not any(one.why_not for one in other.explain("m", NOW).candidates)
    assert sum(10 - (row.quota_remaining or 0) for row in other.pool.snapshot(NOW)) == 3
    other.restore(made.save(), NOW)
    assert sum(bool(one.why_not) for one in other.explain("m", NOW).candidates) == 1


def test_what_was_learned_survives_a_reload() -> None:
    """Of providers that are still there."""
    old = router(provider("a", takes_any=True), provider("b", takes_any=True))
    for target in old.catalog.open_targets():
        old.catalog.learn(target, ["x"])
    assert [card.id for card in old.models()] == ["a/x", "b/x"]
    assert [card.id for card in router(provider("b", takes_any=True), previous=old).models()] == ["b/x"]


def test_switches_survive_a_reload() -> None:
    """A plan of the router before may still begin a mitigation: it is told all the same."""
    rule = MitigationRule("m", "n", 0.05, 600.0, 1)
    old = router(provider("a", "m", "n"), mitigations=(rule,), disable_cooling=True)
    plan = old.begin("m", ANONYMOUS, NOW)
    step = plan.next(NOW)
    new = router(provider("a", "m", "n"), mitigations=(rule,), previous=old)
    assert isinstance(step, Choice)
    plan.report(FAILED, NOW)
    assert len(new.take_switches()) == 1


def test_lanes_of_made_up_names_are_bounded() -> None:
    """Names that clients make up; a name and its prefixed form share one lane."""
    made = router(provider("a"), provider("b", "m", prefix="p"))
    for i in range(1200):
        answer(made, f"a/{i}")
    assert len(made._lanes) == 1024 + 2
    router_b = router(provider("b", "m", prefix="p", keys=2))
    assert [answer(router_b, "m"), answer(router_b, "p/m"), answer(router_b, "m")] == ["b0/m", "b1/m", "b0/m"]


OUTCOMES = st.sampled_from([
    LIMITED, after(LIMITED, 3), after(SPENT, 1e6), FAILED, REFUSED, NO_MODEL, broken(Kind.CUT), broken(Kind.UNREACHABLE), GOOD,
    classify(400, [], b"", NOW), classify(403, [], b"", NOW), classify(402, [], b"", NOW),
])  # fmt: skip


@given(
    keys=st.integers(1, 4), rounds=st.integers(0, 3), most=st.integers(0, 3), interval=st.sampled_from([0.0, 5.0, 100.0]),
    outcomes=st.lists(OUTCOMES, min_size=1, max_size=8), switch=st.booleans(), cooling=st.booleans(), plans=st.integers(1, 4),
    strategy=st.sampled_from(["round-robin", "fill-first", "least-busy"]),
)  # fmt: skip
def test_attempts_and_waits_are_bounded(
    keys: int,
    rounds: int,
    most: int,
    interval: float,
    outcomes: list[Outcome],
    switch: bool,
    cooling: bool,
    plans: int,
    strategy: str,
) -> None:
    """LAW: attempts bounded, waits bounded, everything given back; the same inputs have the same outputs."""
    histories = []
    for _ in range(2):
        made = router(
            provider("a", "m", "n", keys=keys), provider("b", "m"), request_retry=rounds, max_retry_credentials=most,
            max_retry_interval=interval, switch_project=switch, disable_cooling=cooling, fallbacks=(("m", ("n",)),),
            routing=Routing(strategy), cooldowns=Cooldowns(first_backoff=2.0),
        )  # fmt: skip
        history, now, turn = [], NOW, 0
        for _ in range(plans):
            plan, began = made.begin("m", ANONYMOUS, now), now
            for _ in range(1000):
                step = plan.next(now)
                if isinstance(step, GiveUp):
                    break
                if isinstance(step, Wait):
                    assert now < step.until <= now + max(interval, 8.0)
                    now = step.until
                    continue
                history.append((step.target.credential, step.reason, now))
                plan.report(outcomes[turn % len(outcomes)], now)
                turn += 1
            else:
                raise AssertionError("a plan without an end")
            seats = 2 * keys + 1
            assert plan.attempts <= (rounds + 1) * (min(most, seats) if most else seats)
            assert now - began <= (rounds + 1) * max(interval, 8.0) + interval
        assert all(member.in_flight == 0 for member in made.pool.members.values())
        histories.append(history)
    assert histories[0] == histories[1]


def test_what_is_remembered_of_a_name_is_the_same_for_nobody_else() -> None:
    """The second request of a key goes the way of the first; permission, expiry and a mitigation are asked each time."""
    open_key, mini_key = ClientKey("a", "a"), ClientKey("b", "b", models=("mini",))
    expiring = ClientKey("c", "c", expires=NOW + 10)
    keys = (open_key, mini_key, expiring)
    rule = MitigationRule("spark", "m", minimum_sample=1)
    made = router(provider("p", "m", "mini", "spark", keys=2), api_keys=keys, mitigations=(rule,))
    assert [answer(made, client_key=open_key) for _ in range(4)] == ["p0/m", "p1/m", "p0/m", "p1/m"]
    for _ in range(2):
        with pytest.raises(ModelDenied):
            made.begin("m", mini_key, NOW)
        assert answer(made, "mini", client_key=mini_key).endswith("/mini")
    answer(made, client_key=expiring)
    with pytest.raises(AccessDenied):
        made.begin("m", expiring, NOW + 10)
    assert fail(made.begin("spark", open_key, NOW), NO_MODEL).endswith("/spark")
    assert answer(made, "spark", client_key=open_key).endswith("/m")
    for _ in range(2):
        plan = made.begin("m(high)", open_key, NOW)
        assert plan.suffix is not None
        assert fail(plan, GOOD).endswith("/m")


def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.core.routing.router._MOST_KNOWN", 1)
    key = ClientKey("a", "a")
    made = router(provider("p", "m", "n"), api_keys=(key,))
    for _ in range(2):
        assert [answer(made, name, client_key=key) for name in ("m", "n")] == ["p0/m", "p0/n"]
    assert len(made._known) == 1


# --- secrets that change while their credential stays ---


def kept(secret: str, **more: Any) -> Credential:
    return Credential("file.json", secret, identity="1d", **more)


def lines(plan: Plan, now: float = NOW) -> bytes:
    step = plan.next(now)
    assert isinstance(step, Choice), step
    return step.target.lines


def test_a_plan_under_way_shows_the_token_of_now() -> None:
    """Whoever waited for a renewal goes on with what it brought."""
    made = router(provider("a", "m", credentials=(kept("old", is_refreshable=True),)))
    plan = made.begin("m", ANONYMOUS, NOW)
    assert b"authorization: Bearer old\r\n" in lines(plan)
    plan.report(REFUSED, NOW)
    made.tokens["1d"].renew("new")
    made.pool.end_renewal("1d", NOW + 1, renewed=True)
    assert b"authorization: Bearer new\r\n" in lines(plan, NOW + 1)
    assert b"old" not in repr(plan).encode()


@pytest.mark.parametrize("is_refreshable", [False, True])
def test_another_secret_from_outside_is_looked_at_again(is_refreshable: bool) -> None:
    """A new login of a credential that was refused: the next request is the probe. Nothing new is no news."""
    made = router(provider("a", "m", credentials=(kept("one"),)))
    fail(made.begin("m", ANONYMOUS, NOW), REFUSED)
    again = router(provider("a", "m", credentials=(kept("one"),)), previous=made)
    assert isinstance(again.begin("m", ANONYMOUS, NOW).next(NOW), GiveUp)
    more = {"is_refreshable": True} if is_refreshable else {}
    after_login = router(provider("a", "m", credentials=(kept("two", **more),)), previous=again)
    plan = after_login.begin("m", ANONYMOUS, NOW)
    assert b"authorization: Bearer two\r\n" in lines(plan)
    plan.report(GOOD, NOW)
    assert after_login.pool.members["1d"].refresh_state == ("valid" if is_refreshable else "none")


def test_a_file_read_before_its_renewal_was_written_brings_nothing_back() -> None:
    made = router(provider("a", "m", credentials=(kept("one"),)))
    made.tokens["1d"].renew("two")
    again = router(provider("a", "m", credentials=(kept("one"),)), previous=made)
    assert b"Bearer two" in lines(again.begin("m", ANONYMOUS, NOW))
    gone = router(provider("b", "m"), previous=again)
    assert gone.tokens["1d"].line == b""


def test_a_keyless_one_has_no_token() -> None:
    made = router(provider("a", "m", credentials=(Credential("k", None, identity="1d"),)))
    assert b"authorization" not in lines(made.begin("m", ANONYMOUS, NOW))


def test_tokens_are_bearers_in_every_dialect() -> None:
    for dialect in ("claude", "gemini", "openai_responses"):
        made = Router(
            Config(providers=(Provider("a", "x", dialect, "https://api.anthropic.com", credentials=(Credential("a", "k"),), models=(Model("m", "m"),), takes_bearer=True),)),
            "d", draw=lambda: 0.0, now=NOW,
        )  # fmt: skip
        assert b"authorization: Bearer k\r\n" in lines(made.begin("m", ANONYMOUS, NOW))


def test_whoever_comes_while_a_token_is_renewed_waits_for_it() -> None:
    """Also where no cooldown may be waited for; one is the probe, the others go when it is well. Nobody waits for ever."""
    made = router(provider("a", "m", credentials=(kept("old", is_refreshable=True),)))
    fail(made.begin("m", ANONYMOUS, NOW), REFUSED)
    first, second, lost = (made.begin("m", ANONYMOUS, NOW) for _ in range(3))
    assert [waits(first), waits(second)] == [0.25, 0.25]
    made.pool.end_renewal("1d", NOW + 1, renewed=True)
    assert ask(first, NOW + 1) == "file.json/m"
    assert waits(second, NOW + 1) == 0.25
    first.report(GOOD, NOW + 2)
    assert ask(second, NOW + 2) == "file.json/m"
    second.report(REFUSED, NOW + 2)  # it was well: renewed once more, and that gets lost
    now = NOW + 2
    while isinstance(step := lost.next(now), Wait):
        now = step.until
    assert isinstance(step, GiveUp)
    assert now == NOW + 32


def test_a_model_that_every_credential_lacks_is_diverted_until_somebody_may_have_it_again() -> None:
    """Also one that nobody lists; a credential that has not said no is asked for the model itself."""
    made = router(provider("a", "m", "n", keys=2), mitigations=(MitigationRule("m", "n"),))

    def asked(now: float, outcome: Outcome) -> str:
        plan = made.begin("m", ANONYMOUS, now)
        step = plan.next(now)
        assert isinstance(step, Choice)
        plan.report(outcome, now)
        return step.target.upstream_model

    assert [asked(NOW, NO_MODEL), asked(NOW, NO_MODEL), asked(NOW, GOOD)] == ["m", "m", "n"]
    assert asked(NOW + 43_201.0, GOOD) == "m"
    made = router(provider("a", "n"), mitigations=(MitigationRule("m", "n"),))
    assert asked(NOW, GOOD) == "n"
    assert made.explain("m", NOW).steps == ("'n': 'm' is served by nobody: 'n' is asked for in its place",)
