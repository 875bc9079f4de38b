"""What providers say about their limits is read as they write it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials.cooldown import parse_instant, reported_windows, told_instant
from dragoman.core.credentials.quota import ReportedWindow

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12.5", 12.5), ("1700000030", 30), ("1700000030500", 30.5), ("6m0s", 360), ("120ms", 0.12), ("0.84s", 0.84), ("1h2m", 3720),
        ("2023-11-14T22:14:20Z", 60), ("2023-11-14T22:14:20", 60), ("never", None), ("-5", None), ("nan", None), ("1e300", None),
        ("40000000", None), ("99999h9999h", None), ("2023-99-14T22:14:20Z", None), ("9999-11-14T22:14:20Z", None), ("", None),
    ],
)  # fmt: skip
def test_instants(value: str, seconds: float | None) -> None:
    """A delay, epoch seconds or milliseconds, a date; nothing beyond a year."""
    at = parse_instant(value, NOW)
    assert at == (None if seconds is None else pytest.approx(NOW + seconds, abs=1e-3))


@pytest.mark.parametrize(
    ("fields", "body", "seconds"),
    [
        ({"retry-after": "30"}, {}, 30),
        ({"retry-after": "30", "retry-after-ms": "1500"}, {}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "30"}, {}, 30),
        ({"retry-after-ms": "-5"}, {}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, {}, 60),
        ({"retry-after": "soon"}, {}, None),
        ({}, {"error": {"type": "usage_limit_reached", "resets_at": NOW + 77}}, 77),
        ({}, {"error": {"resets_in_seconds": 77}}, 77),
        ({}, {"error": {"resets_in_seconds": True}}, None),
        ({}, {"error": {"resets_in_seconds": "soon"}}, None),
        ({}, {"response": {"error": {"resets_in_seconds": 5}}}, 5),
        ({}, {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.84s"}]}}, 0.84),
        ({}, [{"error": {"details": ["?", {"metadata": {"quotaResetDelay": "1h0m5s"}}]}}], 3605),
        ({}, {"error": {"details": [{"metadata": {"quotaResetTimeStamp": "2023-11-14T22:14:20Z"}}]}}, 60),
        ({}, {"error": {"details": [{"metadata": 5}], "message": "Please try again in 20s. Visit"}}, 20),
        ({}, {"error": {"message": "reset after 3 min"}}, 180),
        ({}, {"error": {"message": "try again later"}}, None),
        ({}, {"error": {"resets_at": NOW - 9}}, 0),
        ({}, [], None),
        ({}, "?", None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s", "retry-after": "1"}, {}, 360),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, {}, 360),
        ({"anthropic-ratelimit-unified-5h-status": "rejected", "anthropic-ratelimit-unified-5h-reset": "1700000500",
          "anthropic-ratelimit-unified-7d-status": "rejected", "anthropic-ratelimit-unified-7d-reset": "1700009000"}, {}, 9000),
    ],
)  # fmt: skip
def test_told(fields: dict[str, str], body: Any, seconds: float | None) -> None:
    """Spent windows before the header made for it, that before the body."""
    pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
    at = told_instant(pairs, body, reported_windows(dict(pairs), NOW), NOW)
    assert at == (None if seconds is None else pytest.approx(NOW + seconds, abs=1e-3))


def windows(**fields: str) -> dict[str, ReportedWindow]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return {window.name: window for window in reported_windows(dict(pairs), NOW)}


def test_reported_windows() -> None:
    """Each provider's form."""
    found = windows(
        x_ratelimit_limit_requests="100", x_ratelimit_remaining_requests="3", x_ratelimit_reset_requests="12ms",
        x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="1s", x_ratelimit_remaining="5", x_ratelimit_reset="20",
        anthropic_ratelimit_input_tokens_limit="1000", anthropic_ratelimit_input_tokens_remaining="1000",
        anthropic_ratelimit_input_tokens_reset="2023-11-14T22:14:20Z",
    )  # fmt: skip
    assert found["requests"].used == pytest.approx(0.97)
    assert (found["tokens"].used, found["limit"].used, found["input-tokens"].used) == (1.0, 0.0, 0.0)
    assert found["requests"].remaining == 3
    assert {window.scope for window in found.values()} == {"model"}


def test_subscriptions() -> None:
    """Windows of an account: the whole credential, but for the one that is counted for some models."""
    found = windows(
        x_codex_primary_used_percent="97.5", x_codex_primary_reset_after_seconds="60", x_codex_secondary_used_percent="120",
        x_codex_secondary_reset_at="1700000060",
    )  # fmt: skip
    assert (found["primary"].used, found["primary"].resets_at) == (0.975, NOW + 60)
    assert found["secondary"].used == 1.0
    # These names have an underscore of their own.
    pairs = [
        (b"anthropic-ratelimit-unified-5h-utilization", b"0.98"), (b"anthropic-ratelimit-unified-5h-reset", b"1700000500"),
        (b"anthropic-ratelimit-unified-7d_oi-status", b"rejected"), (b"anthropic-ratelimit-unified-7d_oi-reset", b"1700000500"),
    ]  # fmt: skip
    five, oi = reported_windows(dict(pairs), NOW)
    assert (five.used, five.scope) == (0.98, "credential")
    assert (oi.used, oi.scope) == (1.0, "model")


def test_halves_say_nothing() -> None:
    """A count without a reset, a reset that cannot be read."""
    assert windows(x_ratelimit_remaining_requests="0", x_codex_primary_used_percent="9") == {}
    assert windows(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="?") == {}
    assert windows(x_ratelimit_remaining_requests="?", x_ratelimit_reset_requests="1s") == {}
    assert windows(x_codex_primary_used_percent="?", x_codex_primary_reset_at="?") == {}


NAMES = st.sampled_from([
    b"retry-after", b"retry-after-ms", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests", b"x-ratelimit-limit-requests",
    b"anthropic-ratelimit-unified-5h-reset", b"anthropic-ratelimit-unified-5h-utilization", b"x-codex-primary-reset-at",
    b"x-codex-primary-used-percent",
])  # fmt: skip
VALUES = st.binary(max_size=12) | st.sampled_from([b"nan", b"inf", b"1e400", b"0", b"12", b"1h", b"9" * 400])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "message", "details", "resets_at", "metadata", "@type", "retryDelay", "code", "response"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), JSON)
def test_nothing_is_raised(fields: list[tuple[bytes, bytes]], body: object) -> None:
    """Whatever a provider sends; and no instant before now, or beyond a year."""
    found = reported_windows(dict(fields), NOW)
    at = told_instant(fields, body, found, NOW)
    assert at is None or NOW <= at <= NOW + 3.2e7
    assert all(0 <= window.used <= 1 for window in found)
    orjson.dumps([window.resets_at for window in found])
