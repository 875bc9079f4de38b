"""Errors of the Responses API, of the HTTP kind and of the stream's.

Source: the API's error guide, the ``openai`` package and Codex CLI, 2026-11. Body: ``{"error": {"message", "type", "param", "code"}}``;
an error in mid-stream is flat (as documented), nested (as it is sent), or a response that failed.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, duration, kind_of_status, retry_after, retry_in_words
from dragoman.core.dialects import reading
from dragoman.core.json_text import dumps

_KINDS: Mapping[str, FaultKind] = {
    "context_length_exceeded": "context_too_long", "string_above_max_length": "context_too_long",
    "invalid_api_key": "auth", "authentication_error": "auth", "account_deactivated": "auth",
    "insufficient_quota": "billing", "billing_hard_limit_reached": "billing", "billing_not_active": "billing",
    "usage_limit_reached": "quota", "usage_not_included": "quota",
    "rate_limit_exceeded": "rate_limit", "requests": "rate_limit", "tokens": "rate_limit",
    "model_not_found": "not_found", "previous_response_not_found": "not_found",
    "permission_error": "forbidden", "unsupported_country_region_territory": "forbidden", "request_too_large": "too_large",
    "server_is_overloaded": "overloaded", "slow_down": "overloaded", "service_unavailable_error": "overloaded",
    "upstream_timeout": "timeout", "vector_store_timeout": "timeout", "upstream_stream_truncated": "truncated",
    "server_error": "internal",
    "invalid_request_error": "bad_request", "invalid_prompt": "bad_request", "invalid_encrypted_content": "bad_request",
    "data_residency_mismatch": "bad_request", "bio_policy": "bad_request", "misalignment_policy_violation": "bad_request",
    "failed_to_download_image": "bad_request", "image_file_not_found": "bad_request", "empty_image_file": "bad_request",
    "unsupported_image_media_type": "bad_request", "image_content_policy_violation": "bad_request",
}  # fmt: skip
# Codes of images that cannot be used: invalid_image_format, image_too_large, image_parse_error ...
_IMAGE = re.compile(r"invalid_(?:base64_)?image|image_(?:too|parse|file_too)_")
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
    "quota": ("usage_limit_reached", "usage_limit_reached", 429),
    "overloaded": ("server_error", "server_is_overloaded", 503),
    "timeout": ("server_error", "upstream_timeout", 504),
    "truncated": ("server_error", "upstream_stream_truncated", 502),
    "internal": ("server_error", None, 500),
}


# ---- in


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
    param = reading.text_or_none(error, "param")
    given = reading.whole(error, "code") or reading.whole(error, "status") or reading.whole(error, "status_code") or 0
    status = status or (given if 400 <= given <= 599 else 0)
    kind = _kind(code, reading.text_or_none(error, "type"), status)
    # ChatGPT's backend says so under any status, and at times only in words.
    if kind == "quota":
        status = 429
    elif "model is at capacity" in message:
        kind, status = "overloaded", 503
    return Fault(kind, message, status, code, param, wait, request_id)


def _kind(code: str | None, kind: str | None, status: int) -> FaultKind:
    for word in (code, kind):
        found = _KINDS.get(word or "") or ("bad_request" if word and _IMAGE.match(word) else None)
        # "invalid_request_error" says less than a status of 401 or 404.
        if found is None or (found == "bad_request" and status not in (0, 400)):
            continue
        return kind_of_status(status) if found == "rate_limit" and status not in (0, 429) else found
    return kind_of_status(status) if status else "internal"


def _wait_in_body(error: Mapping[str, Any], now: float) -> float | None:
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
        for wait in [duration(headers.get(name.replace("remaining", "reset", 1), ""))]
        if wait is not None
    ]
    return max(waits, default=None)


def fault_in_stream(error: Mapping[str, Any], beside: Mapping[str, Any]) -> Fault:
    """The fault of an error in mid-stream.

    Args:
        error: The error object; for the flat form, the event itself.
        beside: What stands beside the object: ``status_code`` and ``headers`` from ChatGPT's backend.

    """
    message = reading.text(error, "message") or "the provider failed"
    wait = _wait_in_body(error, math.inf)
    if wait is None:
        headers = {name.lower(): str(value) for name, value in reading.sub_object(beside, "headers").items()}
        wait = retry_after(headers, 0.0)
    if wait is None:
        wait = retry_in_words(message)
    status = reading.whole(beside, "status_code") or reading.whole(beside, "status") or 0
    return fault_of(error, message, status if 400 <= status <= 599 else 0, wait)


# ---- out


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    return status_of(fault), dumps({"error": error_node(fault)})


def status_of(fault: Fault) -> int:
    """The HTTP status to answer with."""
    if fault.kind in ("billing", "quota"):
        return 429
    # 529 is Anthropic's; OpenAI's clients know 503.
    return 503 if fault.http_status == 529 else fault.http_status


def error_node(fault: Fault) -> dict[str, Any]:
    """The error object, for an answer and for a stream."""
    kind, code, _ = _WORDS[fault.kind]
    own = fault.code if fault.kind == "bad_request" else None
    node: dict[str, Any] = {"message": fault.message, "type": kind, "param": fault.param, "code": code or own}
    if fault.kind == "quota" and fault.retry_after is not None:
        node["resets_in_seconds"] = math.ceil(min(fault.retry_after, 1e9))
    return node


def failed_node(fault: Fault) -> dict[str, Any]:
    """What a failed response says: a code that clients know, and for a rate limit when to come again, in words they read."""
    code = _WORDS[fault.kind][1] or "server_error"
    message = fault.message
    if fault.kind == "quota":
        code = "insufficient_quota"
    elif fault.kind == "bad_request":
        code = fault.code or "invalid_prompt"
    elif fault.kind == "rate_limit" and fault.retry_after is not None and retry_in_words(message) is None:
        message = f"{message} Please try again in {round(min(fault.retry_after, 1e9), 3)}s."
    return {"code": code, "message": message}
