"""Errors of the Messages API.

Source: the API's error reference and the ``anthropic`` package, 2026-11. Body: ``{"type": "error", "error": {"type", "message",
"details"?}, "request_id"?}``.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, kind_of_status, retry_after
from dragoman.core.dialects import reading
from dragoman.core.json_text import dumps

_KINDS: Mapping[str, FaultKind] = {
    "invalid_request_error": "bad_request", "authentication_error": "auth", "billing_error": "billing",
    "permission_error": "forbidden", "not_found_error": "not_found", "request_too_large": "too_large",
    "rate_limit_error": "rate_limit", "api_error": "internal", "timeout_error": "timeout", "overloaded_error": "overloaded",
}  # fmt: skip
# How each kind is written: type, status.
_WORDS: Mapping[FaultKind, tuple[str, int]] = {
    "bad_request": ("invalid_request_error", 400), "context_too_long": ("invalid_request_error", 400),
    "auth": ("authentication_error", 401), "billing": ("billing_error", 402), "forbidden": ("permission_error", 403),
    "not_found": ("not_found_error", 404), "too_large": ("request_too_large", 413), "rate_limit": ("rate_limit_error", 429),
    "quota": ("rate_limit_error", 429), "overloaded": ("overloaded_error", 529), "timeout": ("timeout_error", 504),
    "truncated": ("api_error", 502), "internal": ("api_error", 500),
}  # fmt: skip
_TOO_LONG = re.compile(r"prompt is too long|exceed(?:s|ed)? (?:the )?(?:context|maximum)", re.IGNORECASE)
_SPEND = re.compile(r"spend_limit_reached")
_UNIFIED = re.compile(r"anthropic-ratelimit-unified-(?:(.+)-)?status")
_BUCKET = re.compile(r"anthropic-ratelimit-([a-z-]+)-remaining")


def classify_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
    """Say what an error means; see `dragoman.core.dialects.dialect.ErrorClassifier`."""
    error, whole = reading.error_object(body), reading.whole_object(body)
    fault = fault_of(error, reading.error_message(error, body, status), status)
    wait = retry_after(headers, now)
    window = _rejected_until(headers, now)
    kind = fault.kind
    if kind == "rate_limit" and window is not None:
        kind, wait = "quota", max(window, wait or 0.0)
    elif wait is None and status == 429:
        wait = _empty_until(headers, now)
    request_id = headers.get("request-id") or reading.text_or_none(whole, "request_id")
    return Fault(kind, fault.message, status, fault.code, None, wait, request_id)


def fault_of(error: Mapping[str, Any], message: str, status: int) -> Fault:
    """The fault that an error object describes; `status` is 0 in mid-stream."""
    word = reading.text(error, "type")
    kind = _KINDS.get(word)
    if kind is None or (kind == "bad_request" and status not in (0, 400)):
        kind = kind_of_status(status) if status else kind or "internal"
    detail = reading.text_or_none(reading.sub_object(error, "details"), "error_code")
    if kind == "bad_request" and _TOO_LONG.search(message):
        kind = "context_too_long"
    elif kind == "rate_limit" and detail is not None and _SPEND.search(detail):
        kind = "billing"
    return Fault(kind, message, status, detail or word or None)


def _instant(text: str) -> float | None:
    """Epoch seconds, or RFC 3339, as epoch seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _rejected_until(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a subscription's window that rejects now opens again; only windows that say so themselves count."""
    waits = []
    for name, value in headers.items():
        found = _UNIFIED.fullmatch(name)
        if found is not None and value == "rejected":
            at = _instant(headers.get(name.removesuffix("status") + "reset", ""))
            if at is not None:
                waits.append(max(0.0, at - now))
    return max(waits, default=None)


def _empty_until(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the buckets that are empty now are full again."""
    waits = []
    for name, value in headers.items():
        found = _BUCKET.fullmatch(name)
        if found is not None and value.strip() == "0":
            at = _instant(headers.get(f"anthropic-ratelimit-{found[1]}-reset", ""))
            if at is not None:
                waits.append(max(0.0, at - now))
    return max(waits, default=None)


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    status = _WORDS[fault.kind][1] if fault.kind in ("overloaded", "billing") else fault.http_status
    return status, dumps(error_node(fault))


def error_node(fault: Fault) -> dict[str, Any]:
    """The error, for an answer and for a stream."""
    message = fault.message
    if fault.kind == "context_too_long" and not _TOO_LONG.search(message):
        message = f"prompt is too long: {message}"  # the words Claude's clients look for
    node = {"type": "error", "error": {"type": _WORDS[fault.kind][0], "message": message}}
    return node if fault.request_id is None else {**node, "request_id": fault.request_id}
