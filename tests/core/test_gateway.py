"""Another configuration in the middle of everything."""

from typing import Any

import attrs

from dragoman.core.config import ClientKey, Config, Credential, Timeouts
from tests.core.conversation import Conversation, config, get, post, provider, reply


def test_an_exchange_ends_as_it_began() -> None:
    """Its provider, its patience and its client key are gone: it is answered all the same, and the next request is not."""
    old = config(provider("acme"), timeouts=Timeouts(first_byte=50.0))
    talk = Conversation(old)
    talk.client(post({"model": "acme-large", "messages": []}))
    talk.open()
    new = attrs.evolve(
        config(provider("zeta")), api_keys=(ClientKey("sk-other", "bert"),), timeouts=Timeouts(first_byte=1.0)
    )
    talk.gateway.reload(new, talk.now)
    assert talk.core.next_deadline() == talk.now + 50.0
    talk.upstream(reply({"choices": []}))
    talk.client(get("/v1/models"))
    assert [answer[0] for answer in talk.answers("POST", "GET")] == [200, 401]


def test_a_key_that_is_gone_opens_nothing_to_whoever_shows_it_again() -> None:
    """On the same connection, in the same words."""
    talk = Conversation(config(provider("acme")))
    asked = post({"model": "nobody-has-it", "messages": []})
    talk.client(asked).client(asked)
    talk.gateway.reload(attrs.evolve(config(provider("acme")), api_keys=(ClientKey("sk-other", "bert"),)), talk.now)
    talk.client(asked).client(post({"model": "nobody-has-it", "messages": []}, key="sk-other")).client(asked)
    assert [answer[0] for answer in talk.answers(*["POST"] * 5)] == [404, 404, 401, 404, 401]


def test_home_names_the_ways_in() -> None:
    """Without a key."""
    status, _, body = Conversation().client(get("/", key=None)).answers("GET")[0]
    assert status == 200
    assert b"/v1/chat/completions" in body


def test_secrets_are_taken_without_making_anything_anew() -> None:
    """Where nothing else has changed; the states of all others stay as they are."""

    def configured(secret: str, **more: Any) -> Config:
        key = Credential("f", secret, identity="id", **more)
        return config(attrs.evolve(provider(), credentials=(key, Credential("k", "sk-key"))))

    talk = Conversation(configured("one"))
    gateway = talk.gateway
    router = gateway.router
    assert gateway.take_secrets(configured("two"), talk.now)
    assert gateway.router is router
    assert gateway.router.tokens["id"].line == b"authorization: Bearer two\r\n"
    assert gateway.config == configured("two")
    assert not gateway.take_secrets(configured("three", priority=1), talk.now)
    assert gateway.config == configured("two")
    other = attrs.evolve(configured("two"), request_retry=3)
    assert not gateway.take_secrets(other, talk.now)
