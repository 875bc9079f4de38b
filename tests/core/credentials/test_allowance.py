"""What a client key may use."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import ClientKey
from dragoman.core.credentials.allowance import Allowances
from dragoman.core.errors import AccessDenied, OverLimit

NOW = 1_700_000_000.0


def refused(allowances: Allowances, key: ClientKey, now: float) -> float:
    """When a refused key may ask again; 0 when it is not refused (which counts nothing here)."""
    copy = Allowances()
    copy.restore(allowances.save(), now)
    try:
        copy.admit(key, now)
    except OverLimit as over:
        return over.retry_at if now < over.retry_at <= now + 61.1 else -1.0
    return 0.0


def test_no_limit_no_count() -> None:
    """A plain key is only a key."""
    allowances, key = Allowances(), ClientKey("k", "plain")
    for _ in range(100):
        allowances.admit(key, NOW)
        allowances.spend(key, 1000, NOW)
    assert allowances.save() == {}


def test_expiry() -> None:
    """From that instant on."""
    key = ClientKey("k", "old", expires=NOW)
    Allowances().admit(key, NOW - 1)
    with pytest.raises(AccessDenied, match="'old' has expired"):
        Allowances().admit(key, NOW)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=60))
def test_requests_a_minute(waits: list[float]) -> None:
    """Never more than allowed in any minute; refused with the instant at which there is more, and admitted then."""
    allowances, key, now = Allowances(), ClientKey("k", "a", requests_per_minute=5), NOW
    admitted: list[float] = []
    for wait in waits:
        now += wait
        if sum(at > now - 61.001 for at in admitted) >= 5 and refused(allowances, key, now):
            now = refused(allowances, key, now)
        allowances.admit(key, now)
        admitted.append(now)
        assert sum(at > now - 60 for at in admitted) <= 5


def test_tokens() -> None:
    """A minute, a day of UTC; what is in flight may go over."""
    allowances, key = Allowances(), ClientKey("k", "a", tokens_per_minute=100, tokens_per_day=150)
    allowances.admit(key, NOW)
    allowances.spend(key, 99, NOW)
    allowances.admit(key, NOW)
    allowances.spend(key, 20, NOW)
    with pytest.raises(OverLimit, match="100 tokens a minute"):
        allowances.admit(key, NOW)
    allowances.admit(key, NOW + 62)
    allowances.spend(key, 31, NOW + 62)
    with pytest.raises(OverLimit, match="150 tokens a day") as over:
        allowances.admit(key, NOW + 130)
    assert over.value.retry_at % 86_400 == 0
    other = Allowances()
    other.restore(json.loads(json.dumps(allowances.save())), NOW + 130)
    with pytest.raises(OverLimit, match="150 tokens a day"):
        other.admit(key, NOW + 130)
    other.admit(key, over.value.retry_at)


@pytest.mark.parametrize("data", [None, [], {5: []}, {"a": 5}, {"a": [1, 2, 3]}, {"a": [[], [], []]}])
def test_nonsense_is_not_restored(data: Any) -> None:
    allowances = Allowances()
    allowances.restore(data, NOW)
    allowances.admit(ClientKey("k", "a", requests_per_minute=1), NOW)
