"""Errors of Chat Completions (and of the OpenAI API as a whole).

Source: the API's error guide and the ``openai`` package, 2026-11. Body: ``{"error": {"message", "type", "param", "code"}}``.
"""

import math
from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, duration, kind_of_status, retry_after, retry_in_words
from dragoman.core.dialects import reading
from dragoman.core.json_text import dumps

# What the words mean, wherever they stand (``code`` before ``type``).
_KINDS: Mapping[str, FaultKind] = {
    "context_length_exceeded": "context_too_long",
    "string_above_max_length": "context_too_long",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "account_deactivated": "auth",
    "insufficient_quota": "billing",
    "credit_balance_exhausted": "billing",
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
# How each kind is written: type, code, status.
_WORDS: Mapping[FaultKind, tuple[str, str | None, int]] = {
    "bad_request": ("invalid_request_error", None, 400),
    "context_too_long": ("invalid_request_error", "context_length_exceeded", 400),
    "auth": ("invalid_request_error", "invalid_api_key", 401),
    "billing": ("insufficient_quota", "insufficient_quota", 429),
    "forbidden": ("permission_error", None, 403),
    "not_found": ("invalid_request_error", "model_not_found", 404),
    "too_large": ("invalid_request_error", "request_too_large", 413),
    "rate_limit": ("requests", "rate_limit_exceeded", 429),
    "quota": ("insufficient_quota", "insufficient_quota", 429),
    "overloaded": ("server_error", "server_is_overloaded", 503),
    "timeout": ("server_error", "upstream_timeout", 504),
    "truncated": ("server_error", "upstream_stream_truncated", 502),
    "internal": ("server_error", None, 500),
}


def classify_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
    """Say what an error means; see `dragoman.core.dialects.dialect.ErrorClassifier`."""
    error = reading.error_object(body)
    message = reading.error_message(error, body, status)
    wait = retry_after(headers, now)
    if wait is None:
        wait = _wait_in_body(error, now)
    if wait is None:
        wait = _wait_of_empty_buckets(headers)
    if wait is None and status == 429:
        wait = retry_in_words(message)
    return fault_of(error, message, status, wait, headers.get("x-request-id"))


def fault_of(
    error: Mapping[str, Any], message: str, status: int, wait: float | None = None, request_id: str | None = None
) -> Fault:
    """The fault that an error object describes; `status` is 0 in mid-stream, unless the object has one."""
    code = reading.text_or_none(error, "code")
    given = reading.whole(error, "code") or reading.whole(error, "status") or reading.whole(error, "status_code") or 0
    status = status or (given if 400 <= given <= 599 else 0)
    for word in (code, reading.text_or_none(error, "type")):
        kind = _KINDS.get(word or "")
        # "invalid_request_error" says less than a status of 401 or 404.
        if kind is not None and (kind != "bad_request" or status in (0, 400)):
            break
    else:
        kind = kind_of_status(status) if status else "internal"
    if kind == "rate_limit" and status not in (0, 429):
        kind = kind_of_status(status)
    return Fault(kind, message, status, code, reading.text_or_none(error, "param"), wait, request_id)


def _wait_in_body(error: Mapping[str, Any], now: float) -> float | None:
    """ChatGPT's backend says when a usage limit ends: ``resets_at`` (epoch seconds), else ``resets_in_seconds``."""
    at, within = error.get("resets_at"), error.get("resets_in_seconds")
    for value, start in ((at, now), (within, 0.0)):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > start:
            return float(value - start)
    return None


def _wait_of_empty_buckets(headers: Mapping[str, str]) -> float | None:
    """The longest time until a bucket that is empty now is full again."""
    waits = [
        wait
        for name, left in headers.items()
        if name.startswith("x-ratelimit-remaining-") and left.strip() == "0"
        for wait in [duration(headers.get(name.replace("remaining", "reset", 1), ""))]
        if wait is not None
    ]
    return max(waits, default=None)


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    return _WORDS[fault.kind][2] if fault.kind in ("billing", "quota") else _status(fault), dumps(
        {"error": error_node(fault)}
    )


def _status(fault: Fault) -> int:
    # 529 is Anthropic's; OpenAI's clients know 503.
    return 503 if fault.http_status == 529 else fault.http_status


def error_node(fault: Fault) -> dict[str, Any]:
    """The error object, for an answer and for a stream."""
    kind, code, _ = _WORDS[fault.kind]
    return {"message": fault.message, "type": kind, "param": fault.param, "code": code or _own_code(fault)}


def _own_code(fault: Fault) -> str | None:
    return fault.code if fault.code and fault.kind == "bad_request" else None
