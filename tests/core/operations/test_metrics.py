"""What is counted of an exchange, and for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal
from dragoman.core.operations import metrics as module
from dragoman.core.operations.metrics import OTHER, Counts, Metrics, keeps_thinking
from tests.core.conversation import Conversation, config, get, post, provider, reply
from tests.core.operations.journals import attempt, journal

NOW = 1000.0


def recorded(*journals: Journal) -> Metrics:
    metrics = Metrics(NOW)
    for each in journals:
        metrics.record(each)
    return metrics


def all_of(metrics: Metrics) -> tuple[Counts, Counts, Counts]:
    return (
        metrics.of_provider("acme", 600, NOW),
        metrics.of_credential("acme", "acme-0", 600, NOW),
        metrics.of_model("acme-large", 600, NOW),
    )


def test_a_good_answer_counts_for_provider_credential_and_model() -> None:
    metrics = recorded(journal(attempt(first_token_at=999.25)))
    for counts in all_of(metrics):
        assert (counts.attempts, counts.successes, counts.errors, counts.abandoned) == (1, 1, 0, 0)
        assert (counts.input_tokens, counts.output_tokens, counts.total_tokens) == (100, 20, 120)
        assert (counts.reasoning_tokens, counts.cached_tokens, counts.usage_missing) == (5, 60, 0)
        assert (counts.success_rate, counts.error_ratio, counts.availability) == (1.0, 0.0, 1.0)
    of_provider, of_credential, of_model = all_of(metrics)
    assert of_provider.latency_p50 == of_provider.latency_p99 == pytest.approx(1.0, rel=0.05)
    assert of_provider.latency_p95 == pytest.approx(1.0, rel=0.05)
    assert of_provider.first_token_p50 == of_provider.first_token_p95 == pytest.approx(0.25, rel=0.05)
    assert of_model.latency_p50 == pytest.approx(2.0, rel=0.05)
    assert of_model.first_token_p50 == pytest.approx(1.25, rel=0.05)
    assert (of_provider.latency_sum, of_provider.first_token_sum) == (1.0, 0.25)
    assert of_credential.latency_p50 is None
    assert metrics.provider_total("acme") == of_provider
    assert metrics.model_total("acme-large") == of_model
    assert metrics.seen_at("acme") == NOW
    assert (metrics.providers(), metrics.models()) == (["acme"], ["acme-large"])


@pytest.mark.parametrize(
    ("outcome", "status", "name"),
    [
        ("status", 429, "limited"),
        ("status", 401, "refused"),
        ("status", 403, "refused"),
        ("status", 400, "rejected"),
        ("status", 404, "rejected"),
        ("status", 402, "rejected"),
        ("status", 408, "unavailable"),
        ("status", 500, "unavailable"),
        ("status", 529, "unavailable"),
        ("status", None, "unavailable"),
        ("cut", 200, "unavailable"),
        ("refused", None, "unavailable"),
        ("silent", None, "unavailable"),
        ("garbage", 200, "unavailable"),
    ],
)
def test_every_failure_is_one_kind_of_error(outcome: str, status: int | None, name: str) -> None:
    failed = attempt(outcome, status)
    answer = status if outcome == "status" and status else 502
    counts_of = all_of(recorded(journal(failed, status=answer, fault="provider", usage=None)))
    for counts in counts_of:
        assert (counts.attempts, counts.successes, counts.errors, getattr(counts, name)) == (1, 0, 1, 1)
        assert counts.error_ratio == 1.0
        assert counts.usage_missing == 0
    ratios = {"limited": counts_of[0].limited_ratio, "refused": counts_of[0].refused_ratio}
    ratios["unavailable"] = counts_of[0].unavailable_ratio
    assert [ratios[kind] for kind in ratios if kind != name] == [0.0] * (2 if name in ratios else 3)
    assert ratios.get(name, 1.0) == 1.0
    assert counts_of[0].availability == (0.0 if name == "unavailable" else 1.0)
    assert counts_of[0].latency_p50 is None


def test_an_attempt_counts_for_whom_it_was_made_at() -> None:
    """The provider that failed has an error, the model none: the client had its answer."""
    metrics = recorded(journal(attempt("status", 429, provider="zeta"), attempt()))
    zeta = metrics.of_provider("zeta", 60, NOW)
    assert (zeta.attempts, zeta.limited, zeta.total_tokens) == (1, 1, 0)
    assert metrics.of_provider("acme", 60, NOW).successes == 1
    assert metrics.of_model("acme-large", 60, NOW).error_ratio == 0.0
    assert metrics.of_model("acme-large", 60, NOW).attempts == 1


def test_who_leaves_is_neither_a_success_nor_an_error() -> None:
    gone = attempt("abandoned", None)
    metrics = recorded(
        journal(gone, status=499, fault="client", usage=None), journal(gone, status=200, fault="client", usage=None)
    )
    for counts in all_of(metrics):
        assert (counts.attempts, counts.abandoned, counts.errors, counts.successes) == (2, 2, 0, 0)
        assert (counts.error_ratio, counts.success_rate, counts.availability) == (0.0, 1.0, 1.0)


def test_a_stream_that_breaks_is_an_error_of_its_model() -> None:
    counts = all_of(recorded(journal(attempt("cut"), fault="provider", usage=None)))[2]
    assert counts.unavailable == 1


def test_counts_can_be_added() -> None:
    good = recorded(journal(attempt(first_token_at=999.5))).provider_total("acme")
    bad = recorded(journal(attempt("status", 429), usage=None)).provider_total("acme")
    slow = recorded(journal(attempt(started_at=900.0))).provider_total("acme")
    whole = good + bad + slow + good
    assert (whole.attempts, whole.successes, whole.limited, whole.total_tokens) == (4, 3, 1, 360)
    assert (whole.latency_sum, whole.first_token_sum) == (102.0, 1.0)
    assert whole.latency_p50 == good.latency_p50
    assert sum(whole.first_token.values()) == 2
    assert good + Counts() == good
    assert sum(good.latency.values()) == 1


def test_usage_without_its_parts() -> None:
    for counts in all_of(recorded(journal(attempt(), usage=TokenUsage(input=1, output=2)))):
        assert (counts.total_tokens, counts.reasoning_tokens, counts.cached_tokens) == (3, 0, 0)


def test_missing_usage_is_a_number_of_its_own() -> None:
    metrics = recorded(journal(attempt(), usage=None), journal(attempt()))
    for counts in all_of(metrics):
        assert (counts.attempts, counts.successes, counts.usage_missing, counts.total_tokens) == (2, 2, 1, 120)
        assert counts.usage_missing_ratio == 0.5


@pytest.mark.parametrize(
    "path",
    ["/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1beta/models/m:countTokens", "/v1beta/models/m:embedContent"],
)  # fmt: skip
def test_usage_is_not_missed_where_there_is_none(path: str) -> None:
    assert all_of(recorded(journal(attempt(), usage=None, path=path)))[0].usage_missing == 0


def test_reasoning_that_was_asked_for_is_compared_with_what_was_applied() -> None:
    high, low = Thinking("level", level="high"), Thinking("level", level="low")
    metrics = recorded(
        journal(attempt(), thinking_asked=high, thinking_applied=high),
        journal(attempt(), thinking_asked=high, thinking_applied=low),
        journal(attempt(), thinking_asked=Thinking(show="auto"), thinking_applied=None),
        journal(attempt()),
    )
    for counts in all_of(metrics):
        assert (counts.thinking_checked, counts.thinking_mismatched) == (2, 1)
        assert counts.thinking_mismatch_ratio == 0.5
    assert Counts().thinking_mismatch_ratio == 0.0


LEVEL = Thinking("level", level="high")


@pytest.mark.parametrize(
    ("asked", "applied", "is_kept"),
    [
        (LEVEL, LEVEL, True),
        (LEVEL, Thinking("level", level="medium"), False),
        (LEVEL, Thinking("budget", budget=24576), True),
        (LEVEL, Thinking("budget", budget=20000), True),
        (LEVEL, Thinking("budget", budget=1024), False),
        (Thinking("level", level="max"), Thinking("budget", budget=128000), True),
        (Thinking("budget", budget=20000), LEVEL, True),
        (Thinking("budget", budget=512), LEVEL, False),
        (Thinking("budget", budget=512), Thinking("budget", budget=1024), False),
        (Thinking("budget", budget=512), Thinking("budget", budget=512, show="auto"), True),
        (Thinking("off"), Thinking("off"), True),
        (Thinking("off"), LEVEL, False),
        (Thinking("auto"), LEVEL, False),
        (Thinking("off"), None, True),
        (LEVEL, None, False),
    ],
)
def test_as_much_reasoning_in_either_unit(asked: Thinking, applied: Thinking | None, is_kept: bool) -> None:
    assert keeps_thinking(asked, applied) is is_kept


def test_a_model_is_counted_without_its_suffix() -> None:
    metrics = recorded(journal(attempt(), model="acme-large(high)"), journal(attempt(), model="odd(name)"))
    assert metrics.models() == ["acme-large", "odd(name)"]


def test_models_that_nobody_serves_have_no_place_unless_somebody_watches() -> None:
    metrics = Metrics()
    metrics.watch(["spark"])
    for model in ("spark", "made-up-1", "made-up-2"):
        metrics.record(journal(model=model, status=404, fault="client", usage=None))
    metrics.record(journal(model="spark", status=400, fault="client", usage=None))  # a bad body
    metrics.record(journal(model="spark", status=429, fault="client", usage=None))  # the client's own limit
    metrics.record(journal(model="spark", status=503, fault="provider", usage=None))  # everybody rests
    metrics.record(journal(model="", status=401, fault="client", usage=None))
    spark = metrics.of_model("spark", 600, NOW)
    assert (spark.attempts, spark.rejected, spark.unavailable) == (2, 1, 1)
    assert metrics.models() == ["spark"]
    assert metrics.model_total(OTHER).rejected == 2
    assert metrics.exchanges() == {
        ("openai_chat", 4, "client"): 6,
        ("openai_chat", 5, "provider"): 1,
    }


def test_what_is_unknown_has_zeros() -> None:
    metrics = Metrics(5.0)
    assert all_of(metrics) == (Counts(), Counts(), Counts())
    assert metrics.provider_total("acme") == metrics.model_total("m") == metrics.model_total(OTHER) == Counts()
    assert metrics.seen_at("acme") is None
    assert (metrics.started_at, Counts().usage_missing_ratio) == (5.0, 0.0)


def test_places_are_bounded_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The idlest makes room; what it counted is in the sum of the others."""
    monkeypatch.setattr(module, "MOST_MODELS", 3)
    metrics = Metrics()
    for n in range(10):
        metrics.record(journal(attempt(), model=f"m{n}", ended_at=NOW + n))
        metrics.record(journal(attempt(), model="steady", ended_at=NOW + n))
    assert sorted(metrics.models()) == ["m8", "m9", "steady"]
    assert metrics.model_total(OTHER).attempts == 8
    assert metrics.of_model("steady", 60, NOW + 9).attempts == 10


def test_a_tenth_makes_room_at_once() -> None:
    metrics = Metrics()
    for n in range(module.MOST_MODELS + 1):
        metrics.record(journal(attempt(), model=f"m{n}", ended_at=NOW + n))
    assert len(metrics.models()) == module.MOST_MODELS * 9 // 10 + 1
    assert metrics.model_total(OTHER).attempts == module.MOST_MODELS // 10


kinds = st.sampled_from(
    [("ok", 200), ("status", 429), ("status", 401), ("status", 500), ("status", 404), ("abandoned", None), ("cut", 200)]
)


@given(st.lists(st.lists(kinds.map(lambda kind: attempt(*kind)), min_size=1, max_size=4), max_size=20))
def test_the_kinds_add_up(exchanges: list[list[Attempt]]) -> None:
    metrics = recorded(*(journal(*attempts, usage=None) for attempts in exchanges))
    for counts in all_of(metrics)[:2]:
        assert counts.attempts == sum(map(len, exchanges))
        assert counts.attempts == counts.successes + counts.errors + counts.abandoned
        assert 0.0 <= counts.error_ratio <= 1.0
        assert counts.success_rate == pytest.approx(1.0 - counts.error_ratio)
    assert all_of(metrics)[2].attempts == len(exchanges)


def test_a_gateway_counts_what_it_does_and_goes_on_after_a_reload() -> None:
    talk = Conversation()
    for _ in range(2):
        talk.client(post({"model": "acme-large", "messages": []}))
        talk.open()
        talk.now += 2.0
        talk.upstream(reply({"choices": []}))
        talk.gateway.reload(config(provider("acme"), provider("zeta")), talk.now)
    talk.client(get("/health", key=None))
    counts = talk.gateway.metrics.of_provider("acme", 60, talk.now)
    assert (counts.attempts, counts.successes, counts.usage_missing) == (2, 2, 2)
    assert counts.latency_p50 == pytest.approx(2.0, rel=0.05)
    assert len(talk.journals) == 3


def test_the_first_piece_of_a_stream_is_timed() -> None:
    """Not the comment that keeps the client waiting."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    talk = Conversation(config(keepalive_seconds=5.0))
    talk.client(post({"model": "acme-large", "messages": [], "stream": True})).open()
    talk.wait()
    assert b": " in talk.to_client
    talk.now += 3.0
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    talk.upstream(head + b"%x\r\n%b\r\n" % (len(event), event))
    talk.now += 2.0
    end = b"data: [DONE]\n\n"
    talk.upstream(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))
    counts = talk.gateway.metrics.of_provider("acme", 60, talk.now)
    assert talk.journals[0].attempts[0].first_token_at == 1008.0
    assert counts.first_token_p50 == pytest.approx(8.0, rel=0.05)
    assert counts.latency_p50 == pytest.approx(10.0, rel=0.05)
