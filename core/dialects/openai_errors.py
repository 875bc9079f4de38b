"""What both of OpenAI's dialects say of errors alike: words, when to come again, statuses.

Source: the API's error guide and the ``openai`` package, 2026-11. What only one of them says is in its own ``errors``.
"""

import math
from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, retry_after
from dragoman.core.dialects import reading
from dragoman.core.instants import duration_in_words, parse_duration

# What the words mean, wherever they stand (``code`` before ``type``).
KINDS: Mapping[str, FaultKind] = {
    "context_length_exceeded": "context_too_long",
    "string_above_max_length": "context_too_long",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "account_deactivated": "auth",
    "insufficient_quota": "billing",
    "billing_hard_limit_reached": "billing",
    "billing_not_active": "billing",
    "usage_limit_reached": "quota",
    "usage_not_included": "quota",
    "rate_limit_exceeded": "rate_limit",
    "requests": "rate_limit",
    "tokens": "rate_limit",
    "model_not_found": "not_found",
    "permission_error": "forbidden",
    "unsupported_country_region_territory": "forbidden",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "service_unavailable_error": "overloaded",
    "upstream_timeout": "timeout",
    "upstream_stream_truncated": "truncated",
    "server_error": "internal",
    "invalid_request_error": "bad_request",
}
# How each kind is written: type, code.
WORDS: Mapping[FaultKind, tuple[str, str | None]] = {
    "bad_request": ("invalid_request_error", None),
    "context_too_long": ("invalid_request_error", "context_length_exceeded"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "billing": ("insufficient_quota", "insufficient_quota"),
    "forbidden": ("permission_error", None),
    "not_found": ("invalid_request_error", "model_not_found"),
    "too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "quota": ("insufficient_quota", "insufficient_quota"),
    "overloaded": ("server_error", "server_is_overloaded"),
    "timeout": ("server_error", "upstream_timeout"),
    "truncated": ("server_error", "upstream_stream_truncated"),
    "internal": ("server_error", None),
}


def wait_of(
    error: Mapping[str, Any], message: str, status: int, headers: Mapping[str, str], now: float
) -> float | None:
    """Seconds until one may come again: as the headers say, the body, the empty buckets, the words of a 429; or None."""
    wait = retry_after(headers, now)
    if wait is None:
        wait = wait_in_body(error, now)
    if wait is None:
        wait = _wait_of_empty_buckets(headers)
    if wait is None and status == 429:
        wait = duration_in_words(message)
    return wait


def wait_in_body(error: Mapping[str, Any], now: float) -> float | None:
    """ChatGPT's backend says when a usage limit ends: ``resets_at`` (epoch seconds), else ``resets_in_seconds``."""
    for value, start in ((error.get("resets_at"), now), (error.get("resets_in_seconds"), 0.0)):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > start:
            return float(value - start)
    return None


def _wait_of_empty_buckets(headers: Mapping[str, str]) -> float | None:
    """The longest time until a bucket that is empty now is full again."""
    waits = [
        wait
        for name, left in headers.items()
        if name.startswith("x-ratelimit-remaining-") and left.strip() == "0"
        for wait in [parse_duration(headers.get(name.replace("remaining", "reset", 1), ""))]
        if wait is not None
    ]
    return max(waits, default=None)


def status_said(error: Mapping[str, Any]) -> int:
    """The HTTP status that an error object has in it, or 0; servers that only speak like OpenAI put it there."""
    said = reading.whole(error, "code") or reading.whole(error, "status") or reading.whole(error, "status_code") or 0
    return said if 400 <= said <= 599 else 0


def status_of(fault: Fault) -> int:
    """The HTTP status to answer with."""
    if fault.kind in ("billing", "quota"):
        return 429
    # 529 is Anthropic's; OpenAI's clients know 503.
    return 503 if fault.http_status == 529 else fault.http_status
