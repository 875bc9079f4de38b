"""Asking providers for their models."""

import json
import math

import pytest

from dragoman.core.config import Provider
from dragoman.core.config_parsing import parse_config
from dragoman.core.effects import (
    CloseUpstream,
    ConnectFailure,
    FailureKind,
    OpenUpstream,
    ReleaseUpstream,
    WriteUpstream,
)
from dragoman.core.listing import ModelListing, read_models
from tests.core.conversation import Conversation, config, get, provider, reply


def an_open(name: str, dialect: str = "openai_chat") -> Provider:
    return provider(name, dialect=dialect, models=(), credentials=1)


def test_what_is_learnt_is_listed() -> None:
    talk = Conversation(config(an_open("acme"), an_open("zeta", "claude"), provider("fixed")))
    listing = ModelListing(talk.gateway, talk.now)
    assert listing.next_deadline() == talk.now
    opened = [effect.attempt for effect in listing.handle_timer(talk.now) if isinstance(effect, OpenUpstream)]
    assert len(opened) == 2
    (asked,) = listing.upstream_opened(opened[0], talk.now)
    assert isinstance(asked, WriteUpstream)
    assert asked.data.startswith(b"GET /v1/models HTTP/1.1\r\n")
    (other,) = listing.upstream_opened(opened[1], talk.now)
    assert isinstance(other, WriteUpstream)
    assert other.data.startswith(b"GET /v1/v1/models?limit=1000 HTTP/1.1\r\n")
    whole = reply({"object": "list", "data": [{"id": "big"}, {"id": "org/small"}, {"id": "big"}]})
    assert listing.upstream_sent(opened[0], whole[:50], talk.now) == []
    assert listing.upstream_sent(opened[0], whole[50:], talk.now) == [ReleaseUpstream(opened[0])]
    models = [m["id"] for m in json.loads(talk.client(get("/v1/models")).answer()[2])["data"]]
    assert models == ["fixed-large", "shared", "acme/big", "acme/org/small"]
    assert listing.next_deadline() == talk.now + 30  # the other's answer
    listing.handle_timer(talk.now + 30)
    assert listing.next_deadline() == talk.now + 150
    assert not listing.is_reading


@pytest.mark.parametrize(
    "answer",
    [reply({"error": 1}, status=401), reply([]), b"\x00", b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 9_000_000],
)
def test_who_does_not_answer_is_asked_again_soon(answer: bytes) -> None:
    talk = Conversation(config(an_open("acme")))
    listing = ModelListing(talk.gateway, 0.0)
    listing.handle_timer(0.0)
    listing.upstream_opened(1, 1.0)
    listing.upstream_sent(1, answer, 2.0)
    assert listing.next_deadline() == 122.0
    assert listing.upstream_sent(1, b"late", 3.0) == listing.upstream_opened(1, 3.0) == []
    assert [type(effect) for effect in listing.handle_timer(122.0)] == [OpenUpstream]


def test_who_cannot_be_reached_or_closes_is_asked_again_soon() -> None:
    talk = Conversation(config(an_open("acme")))
    listing = ModelListing(talk.gateway, 0.0)
    listing.handle_timer(0.0)
    listing.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, ""), 1.0)
    listing.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, ""), 1.0)
    assert listing.next_deadline() == 121.0
    listing.handle_timer(121.0)
    listing.upstream_opened(2, 121.0)
    assert listing.upstream_sent(2, b"", 121.0) == [CloseUpstream(2)]


def test_an_answer_that_ends_by_closing_counts() -> None:
    talk = Conversation(config(an_open("acme")))
    listing = ModelListing(talk.gateway, 0.0)
    listing.handle_timer(0.0)
    listing.upstream_opened(1, 0.0)
    listing.upstream_sent(1, b'HTTP/1.1 200 OK\r\n\r\n{"data":[{"id":"a"}]}', 0.0)
    assert listing.upstream_sent(1, b"", 0.0) == [CloseUpstream(1)]
    assert [card.id for card in talk.gateway.router.catalog.models()] == ["acme/a"]


def test_it_stops() -> None:
    talk = Conversation(config(an_open("acme")))
    listing = ModelListing(talk.gateway, 0.0)
    listing.handle_timer(0.0)
    assert listing.abort(0.0) == [CloseUpstream(1)]
    assert listing.next_deadline() == math.inf
    assert listing.client_sent(b"", 0.0) == []
    assert listing.served(1, None, 0.0) == []


def test_nobody_is_asked_where_everything_is_said() -> None:
    assert ModelListing(Conversation().gateway, 0.0).next_deadline() == math.inf


def test_odd_lists() -> None:
    assert read_models(b'{"data":[{"id":""},{"id":"a\\u0000"},{"id":7}]}') == []
    assert read_models(b'{"data":[{"id":"' + b"x" * 300 + b'"}, {"id":"ok"}]}') == ["ok"]
    assert read_models(b"\xff") == []


def test_providers_of_one_name_are_asked_one_by_one() -> None:
    """And what one has is not said of another; what is served under its own name is not listed twice; who sleeps does not ask."""
    keys = [
        {"api-key": "a", "disabled": True}, {"api-key": "b"}, {"api-key": "b", "prefix": "team"},
        {"api-key": "c", "base-url": "https://c.test", "excluded-models": ["*-old"]},
    ]  # fmt: skip
    data = {"claude-api-key": keys, "vertex-api-key": [{"api-key": "v"}]}
    talk = Conversation(config(*parse_config(data, environment={})[0].providers))
    listing = ModelListing(talk.gateway, talk.now)
    opened = [effect for effect in listing.handle_timer(talk.now) if isinstance(effect, OpenUpstream)]
    assert [effect.origin.host for effect in opened] == ["api.anthropic.com", "c.test"]
    (asked,) = listing.upstream_opened(opened[0].attempt, talk.now)
    assert isinstance(asked, WriteUpstream)
    assert b"\r\nx-api-key: b\r\n" in asked.data
    listing.upstream_opened(opened[1].attempt, talk.now)
    before = {card.id for card in talk.gateway.router.catalog.models()}
    for effect, names in zip(
        opened, (["claude-opus-5", "claude-new"], ["claude-sonnet-5", "c-new", "c-old"]), strict=True
    ):
        listing.upstream_sent(effect.attempt, reply({"data": [{"id": name} for name in names]}), talk.now)
    learnt = {card.id for card in talk.gateway.router.catalog.models()} - before
    assert learnt == {"claude/claude-new", "team/claude-new", "claude/c-new"}


def test_after_a_reload_the_new_are_asked() -> None:
    """At once; those that stay are asked when it is their time, those that are gone never again."""
    talk = Conversation(config(an_open("acme"), an_open("zeta")))
    listing = ModelListing(talk.gateway, 0.0, look=1.0)
    listing.handle_timer(0.0)
    assert listing.next_deadline() == 1.0
    assert listing.handle_timer(1.0) == []
    listing.upstream_failed(2, ConnectFailure(FailureKind.REFUSED, "no"), 1.0)
    talk.gateway.reload(config(an_open("zeta"), an_open("newcomer")), 1.5)
    (opened,) = listing.handle_timer(2.0)
    assert isinstance(opened, OpenUpstream)
    assert opened.origin.host == "newcomer.test"
    listing.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, "no"), 2.5)  # who is gone answers late
    talk.gateway.reload(config(an_open("zeta")), 2.6)
    listing.upstream_failed(3, ConnectFailure(FailureKind.REFUSED, "no"), 2.7)
    assert listing.handle_timer(3.0) == []
    (again,) = listing.handle_timer(121.0)
    assert isinstance(again, OpenUpstream)
    assert again.origin.host == "zeta.test"
