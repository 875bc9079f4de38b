"""What everybody may read of providers."""

import json
from typing import Any

import attrs
import msgspec.structs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider, QuotaRule
from dragoman.core.gateway import Gateway
from dragoman.core.operations.provider_page import standings
from tests.core.conversation import Conversation, config, get, post, provider, reply
from tests.core.operations.journals import attempt, journal

LIMITED = {"error": {"message": "slow down, tenant-secret", "code": "rate_limit_exceeded"}}


def page(talk: Conversation) -> Any:
    """What ``curl -sS .../v1/metrics/providers`` gets: no key."""
    talk.to_client = b""
    status, fields, body = talk.client(get("/v1/metrics/providers", key=None)).answers("GET")[0]
    assert (status, fields["content-type"]) == (200, "application/json")
    return json.loads(body)


def ask(talk: Conversation, answer: bytes, model: str = "acme-large") -> None:
    talk.client(post({"model": model, "messages": []}))
    talk.open()
    talk.now += 0.5
    talk.upstream(answer)


def test_every_provider_is_there_from_the_start() -> None:
    found = page(Conversation(config(provider("iflow"), provider("kiro", disabled=True))))
    assert list(found) == ["iflow", "kiro", "providers"]
    assert found["providers"] == {"iflow": found["iflow"], "kiro": found["kiro"]}
    row = found["kiro"]
    assert row["provider_key"] == "kiro"
    assert [row[k] for k in ("request_count", "success_count", "failure_count", "total_tokens", "success_rate")] == [
        0, 0, 0, 0, 1.0,
    ]  # fmt: skip
    assert row["last_seen"] is None
    assert row["windows"]["10m"] == {
        "requests": 0,
        "successes": 0,
        "errors": 0,
        "error_ratio": 0.0,
        "ratio_429": 0.0,
        "ratio_401_403": 0.0,
        "availability": 1.0,
        "usage_missing": 0,
        "latency_seconds": {"p50": None, "p95": None, "p99": None},
        "time_to_first_token_seconds": {"p50": None, "p95": None},
        "tokens": {"input": 0, "output": 0, "reasoning": 0, "cached": 0},
    }
    assert row["credentials"]["disabled"] == 1
    assert found["iflow"]["credentials"]["active"] == 1
    assert sum(found["iflow"]["credentials"].values()) == 1
    assert (row["quota_remaining"], row["quota_reset_seconds"], row["refresh_state"]) == (None, None, "none")
    assert row["models"] == []


def test_a_provider_may_be_named_providers() -> None:
    found = page(Conversation(config(provider("providers"), provider("iflow"))))
    assert list(found) == ["providers", "iflow"]
    assert list(found["providers"]) == ["providers", "iflow"]
    assert found["providers"]["providers"]["provider_key"] == "providers"


def test_counts_rise_without_usage() -> None:
    talk = Conversation()
    ask(talk, reply({"choices": []}))
    ask(talk, reply({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}))
    row = page(talk)["acme"]
    assert (row["request_count"], row["success_count"], row["failure_count"]) == (2, 2, 0)
    assert (row["usage_missing_count"], row["total_tokens"]) == (1, 10)
    assert row["last_seen"] == "1970-01-01T00:16:41.000Z"
    window = row["windows"]["1m"]
    assert (window["requests"], window["usage_missing"]) == (2, 1)
    assert window["latency_seconds"]["p99"] == pytest.approx(0.5, rel=0.05)
    assert window["tokens"]["input"] == 7


def test_windows_forget_and_sums_do_not() -> None:
    talk = Conversation()
    ask(talk, reply({"error": {"message": "no"}}, status=401))
    windows = page(talk)["acme"]["windows"]
    assert [windows[name]["ratio_401_403"] for name in ("1m", "10m", "60m")] == [1.0] * 3
    for seconds, expected in ((200.0, [0, 1, 1]), (800.0, [0, 0, 1]), (4000.0, [0, 0, 0])):
        talk.now += seconds
        row = page(talk)["acme"]
        assert [row["windows"][name]["errors"] for name in ("1m", "10m", "60m")] == expected
        assert (row["failure_count"], row["success_rate"]) == (1, 0.0)


def test_limits_are_seen_by_state_and_quota() -> None:
    rule = QuotaRule(window=3600.0, kind="fixed", requests=10)
    talk = Conversation(config(provider(credentials=2, quotas=(rule,)), provider("zeta")))
    ask(talk, reply({"choices": []}))
    ask(talk, reply(LIMITED, status=429), model="zeta-large")
    found = page(talk)
    acme, zeta = found["acme"], found["zeta"]
    assert acme["quota_remaining"] == 19
    assert 0 < acme["quota_reset_seconds"] <= 3600
    assert zeta["windows"]["10m"]["ratio_429"] == 1.0
    model = zeta["models"][0]
    assert (model["provider_key"], model["model_id"], model["credentials"]["cooling"]) == ("zeta", "large", 1)
    assert model["refresh_state"] == "none"


def test_attempts_under_way_are_seen() -> None:
    talk = Conversation(config(provider(), provider("zeta")))
    talk.client(post({"model": "acme-large", "messages": []})).open()
    found = standings(talk.gateway.config, talk.gateway.router.pool, talk.now)
    assert [found[name].in_flight for name in ("acme", "zeta")] == [1, 0]


def test_credentials_that_rest_from_one_model_are_counted_together() -> None:
    talk = Conversation(config(provider(credentials=2)))
    talk.client(post({"model": "acme-large", "messages": []}))
    for _ in range(2):
        talk.open()
        talk.upstream(reply(LIMITED, status=429))
    (model,) = page(talk)["acme"]["models"]
    assert model["credentials"]["cooling"] == 2


def test_credentials_rest_as_a_whole_and_renew() -> None:
    credentials = (Credential("a", "sk-a", is_refreshable=True), Credential("b", "sk-b"))
    talk = Conversation(config(attrs.evolve(provider(), credentials=credentials)))
    pool = talk.gateway.router.pool
    first, second = pool.members
    pool.begin_renewal(first, talk.now)
    pool.switch(second, on=False, now=talk.now)
    row = page(talk)["acme"]
    assert (row["credentials"]["refreshing"], row["credentials"]["disabled"]) == (1, 1)
    assert row["refresh_state"] == "refreshing"


def test_models_told_of_are_bounded() -> None:
    models = tuple(Model(f"m{n}", f"m{n}") for n in range(120))
    talk = Conversation(config(provider(models=models, disable_cooling=False)))
    for n in range(120):
        body = {"error": {"code": "model_not_found", "message": "The model does not exist"}}
        ask(talk, reply(body, status=404), model=f"m{n}")
    assert len(page(talk)["acme"]["models"]) == 100


SECRETS = st.text("abcdefghijk0123456789", min_size=12, max_size=20).map("s3cr3t".__add__)


@given(secret=SECRETS, outcome=st.sampled_from([("ok", 200), ("status", 429), ("cut", 200)]))
def test_nothing_secret_is_told(secret: str, outcome: tuple[str, int]) -> None:
    """A secret wherever one could be: none of it comes out, without a key or with one."""
    credential = Credential(f"{secret}@example.test", secret, f"http://{secret}:{secret}@proxy.test:1")
    one = Provider(
        "acme", kind=f"k-{secret}", dialect="openai_chat", base_url=f"https://{secret}.test/{secret}", prefix=secret,
        credentials=(credential,), models=(Model("large", f"a-{secret}"),), headers=(("x-key", secret),), takes_any=True,
    )  # fmt: skip
    whole = Config(providers=(one,), api_keys=(ClientKey(secret, secret),))
    gateway = Gateway(
        whole, version="1", transport="none", now=0.0, new_id=lambda: secret, draw=lambda: 0.0, record=lambda _: None
    )
    tried = msgspec.structs.replace(
        attempt(*outcome), credential=credential.label, upstream_model=secret, detail=secret, why=secret
    )
    gateway.record(
        journal(tried, model=secret, client_key=secret, path=f"/{secret}", error=secret, request_id=secret, usage=TokenUsage(1, 1))
    )  # fmt: skip
    pool = gateway.router.pool
    (identity,) = pool.members
    pool.members[identity].offer(secret)
    pool.begin_renewal(identity, 0.0)
    body = gateway.provider_metrics(1000.0)
    assert json.loads(body)["acme"]["request_count"] == 1
    assert b"s3cr3t" not in body


def test_models_that_clients_make_up_are_not_told() -> None:
    talk = Conversation(config(provider(takes_any=True)))
    ask(talk, reply(LIMITED, status=429), model="acme/client-secret")
    row = page(talk)["acme"]
    assert row["windows"]["10m"]["ratio_429"] == 1.0
    assert row["models"] == []


def test_counts_outlive_a_reload_and_a_provider_that_went_and_came() -> None:
    talk = Conversation(config(provider("acme"), provider("zeta")))
    ask(talk, reply({"choices": []}))
    talk.gateway.reload(config(provider("zeta")), talk.now)
    assert list(page(talk)) == ["zeta", "providers"]
    talk.gateway.reload(config(provider("acme"), provider("zeta")), talk.now)
    assert page(talk)["acme"]["request_count"] == 1
