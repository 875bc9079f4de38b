"""Secrets are told by masks, and masks are turned back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.management.desk import Refused
from dragoman.adapters.management.masks import mask, masked, unmasked, without_secrets

LONG = "sk-0123456789abcdefghij-{}xyz"


def test_what_is_secret() -> None:
    """Whatever its key says, and all that stands in headers and notifications; what comes from the environment is told."""
    told = masked(
        {
            "api-keys": [LONG.format("a"), {"name": "anna", "key": LONG.format("b"), "key-hash": "0" * 64}],
            "claude-api-key": [{"api-key": "short", "headers": {"X-Own": "v", "priority": "high"}, "priority": "5"}],
            "openrouter": [{"api-key": "${KEY}"}, {"api-key": "os.environ/KEY"}, {"api-key": "a${KEY}"}],
            "openai-compatibility": [{"base-url": "http://me:pass@host/v1?key=1", "support-prompt-cache-key": "true"}],
            "oauth-clients": {"codex": {"client-secret": "s", "client-id": "c"}},
            "notifications": ["tgram://bot-token/chat", {"urls": ["json://host"]}],
            "debug": "yes",
            "request-retry": "3",
            "max-retry-interval": "1m",
            "none": None,
        }
    )
    assert told == {
        "api-keys": ["sk-...axyz", {"name": "anna", "key": "sk-...bxyz", "key-hash": "000...0000"}],
        "claude-api-key": [{"api-key": "***", "headers": {"X-Own": "***", "priority": "***"}, "priority": 5}],
        "openrouter": [{"api-key": "${KEY}"}, {"api-key": "os.environ/KEY"}, {"api-key": "***"}],
        "openai-compatibility": [{"base-url": "http://***@host/v1?***", "support-prompt-cache-key": True}],
        "oauth-clients": {"codex": {"client-secret": "***", "client-id": "c"}},
        "notifications": ["tgr...chat", {"urls": ["***"]}],
        "debug": True,
        "request-retry": 3,
        "max-retry-interval": "1m",
        "none": None,
    }
    assert without_secrets("socks5://u:p@h:1") == "socks5://***@h:1"


SECRETS = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=40)


@given(st.lists(SECRETS, max_size=8), st.data())
def test_what_was_read_can_be_sent_back_in_another_order(secrets: list[str], data: st.DataObject) -> None:
    """Masks that tell secrets apart find theirs wherever they stand; equal masks keep their order."""
    old = [{"api-key": secret, "name": str(n)} for n, secret in enumerate(secrets)]
    assert unmasked(masked(old, "groq"), old, "groq") == [
        {"api-key": entry["api-key"], "name": int(entry["name"])} for entry in old
    ]
    if len({mask(secret) for secret in secrets}) == len(secrets):
        shuffled = data.draw(st.permutations(old))
        new = [{**entry, "api-key": mask(entry["api-key"])} for entry in shuffled]
        assert unmasked(new, old, "groq") == shuffled


def test_new_secrets_stand_beside_old_ones() -> None:
    old: list[Any] = [LONG.format("a"), {"key": LONG.format("b"), "models": ["m"]}]
    new = ["sk-new", {"key": "sk-...bxyz", "models": []}, "sk-...axyz"]
    assert unmasked(new, old, "api-keys") == ["sk-new", {"key": LONG.format("b"), "models": []}, LONG.format("a")]


@pytest.mark.parametrize("stranger", ["***", "sk-...zzzz", "sk-...axyz"])
def test_a_mask_of_nothing_is_refused(stranger: str) -> None:
    """Also one that was used already: it would be another's secret."""
    old = [LONG.format("a")]
    with pytest.raises(Refused) as error:
        unmasked(["sk-...axyz", stranger], old, "api-keys")
    assert error.value.answer.code == "unknown_mask"


def test_what_only_looks_like_a_mask_and_is_there_stays() -> None:
    assert unmasked(["${KEY}", "abc...defg"], ["abc...defg-and-more-than-this", "${KEY}"], "api-keys") == [
        "${KEY}", "abc...defg-and-more-than-this",
    ] if mask("abc...defg-and-more-than-this") == "abc...defg" else True  # fmt: skip
