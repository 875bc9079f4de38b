"""Errors of Google's APIs.

Source: the Gemini API's error guide and google.rpc's error details, 2026-11. Body: ``{"error": {"code", "message", "status",
"details"}}``, now and then in an array of one. A wrong key is a 400 here. How long to wait stands in the details, not in a header.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, kind_of_status, retry_after
from dragoman.core.dialects import reading
from dragoman.core.instants import duration_in_words, parse_duration
from dragoman.core.json_text import dumps

_TYPE = "type.googleapis.com/google.rpc."
_STATUSES: Mapping[str, FaultKind] = {
    "INVALID_ARGUMENT": "bad_request", "FAILED_PRECONDITION": "bad_request", "OUT_OF_RANGE": "bad_request",
    "UNAUTHENTICATED": "auth", "PERMISSION_DENIED": "forbidden", "NOT_FOUND": "not_found", "RESOURCE_EXHAUSTED": "rate_limit",
    "INTERNAL": "internal", "UNKNOWN": "internal", "DATA_LOSS": "internal", "CANCELLED": "internal", "ABORTED": "internal",
    "UNAVAILABLE": "overloaded", "DEADLINE_EXCEEDED": "timeout",
}  # fmt: skip
_REASONS: Mapping[str, FaultKind] = {
    "API_KEY_INVALID": "auth", "ACCESS_TOKEN_EXPIRED": "auth", "CREDENTIALS_MISSING": "auth", "API_KEY_SERVICE_BLOCKED": "forbidden",
    "SERVICE_DISABLED": "forbidden", "VALIDATION_REQUIRED": "forbidden", "BILLING_DISABLED": "billing",
    "INSUFFICIENT_G1_CREDITS_BALANCE": "billing", "QUOTA_EXHAUSTED": "quota", "RATE_LIMIT_EXCEEDED": "rate_limit",
    "MODEL_CAPACITY_EXHAUSTED": "overloaded", "STREAM_TRUNCATED": "truncated",
}  # fmt: skip
_TOO_LONG = re.compile(
    r"input token count|exceeds the maximum number of (?:input )?tokens|context (?:length|window)", re.IGNORECASE
)
# How each kind is written: status of google.rpc, reason (None: none), HTTP status where it is not the fault's own.
_WORDS: Mapping[FaultKind, tuple[str, str | None, int | None]] = {
    "bad_request": ("INVALID_ARGUMENT", None, None),
    "context_too_long": ("INVALID_ARGUMENT", None, 400),
    "auth": ("UNAUTHENTICATED", None, 401),
    "billing": ("FAILED_PRECONDITION", "BILLING_DISABLED", 400),
    "forbidden": ("PERMISSION_DENIED", None, 403),
    "not_found": ("NOT_FOUND", None, 404),
    "too_large": ("INVALID_ARGUMENT", None, 413),
    "rate_limit": ("RESOURCE_EXHAUSTED", None, 429),
    "quota": ("RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED", 429),
    "overloaded": ("UNAVAILABLE", None, 503),
    "timeout": ("DEADLINE_EXCEEDED", None, 504),
    "truncated": ("UNAVAILABLE", "STREAM_TRUNCATED", 502),
    "internal": ("INTERNAL", None, None),
}


def classify_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
    """Say what an error means; see `dragoman.core.dialects.dialect.ErrorClassifier`."""
    error = reading.error_object(body)
    wait = retry_after(headers, now)
    message = reading.error_message(error, body, status)
    return _fault(error, message, status, now, wait)


def fault_of(error: object, status: int, now: float | None = None) -> Fault:
    """The fault that the value of ``error`` describes; `status` is 0 in mid-stream, where it has one of its own."""
    node = error if isinstance(error, dict) else {"message": error}
    message = reading.text(node, "message") or "the provider failed"
    return _fault(node, message, status, now, None)


def _fault(error: Mapping[str, Any], message: str, status: int, now: float | None, wait: float | None) -> Fault:
    code = reading.whole(error, "code") or 0
    status = status or (code if 400 <= code <= 599 else 0)
    word = reading.text(error, "status")
    details = reading.sub_objects(error, "details")
    if wait is None:
        wait = _wait(details, message, now)
    return Fault(_kind(word, details, message, status), message, status, word or None, retry_after=wait)


def _kind(word: str, details: list[dict[str, Any]], message: str, status: int) -> FaultKind:
    for detail in details:
        kind = _REASONS.get(reading.text(detail, "reason"))
        if kind is not None and kind != "rate_limit":
            return kind
        for violation in reading.sub_objects(detail, "violations"):
            if re.search(r"PerDay|Daily", reading.text(violation, "quotaId")):
                return "quota"
    kind = _STATUSES.get(word)
    if kind is None:
        kind = kind_of_status(status) if status else "internal"
    if kind == "bad_request":
        if _TOO_LONG.search(message):
            return "context_too_long"
        # INVALID_ARGUMENT says less than a status of 401 or 413.
        return kind_of_status(status) if 400 < status < 500 else kind
    return kind


def _wait(details: list[dict[str, Any]], message: str, now: float | None) -> float | None:
    """Seconds until it may be worth trying again, as the details or the words say."""
    for detail in details:
        more = reading.sub_object(detail, "metadata")
        for text in (reading.text(detail, "retryDelay"), reading.text(more, "quotaResetDelay")):
            found = parse_duration(text)
            if found is not None:
                return found
        stamp = reading.text(more, "quotaResetTimeStamp")
        if stamp and now is not None:
            try:
                return max(0.0, datetime.fromisoformat(stamp).timestamp() - now)
            except (ValueError, OverflowError):
                continue
    return duration_in_words(message)


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    node = error_node(fault)
    status: int = node["error"]["code"]
    return status, dumps(node)


def error_node(fault: Fault) -> dict[str, Any]:
    """The error, for an answer and for a stream: ``error`` is its only key, else Google's SDK does not see it."""
    word, reason, fixed = _WORDS[fault.kind]
    message = fault.message
    if fault.kind == "context_too_long" and not _TOO_LONG.search(message):
        message = f"The input token count exceeds the maximum number of tokens allowed: {message}"
    details: list[dict[str, Any]] = []
    if reason is not None:
        details.append({"@type": _TYPE + "ErrorInfo", "reason": reason, "domain": "dragoman"})
    if fault.retry_after is not None:
        delay = f"{math.ceil(fault.retry_after * 1000) / 1000:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{delay}s"})
    error: dict[str, Any] = {"code": fixed or fault.http_status, "message": message, "status": word}
    if error["code"] == 529:
        error["code"] = 503
    return {"error": {**error, "details": details} if details else error}
