"""Errors of the Responses API, of the HTTP kind and of the stream's.

Source: the API's error guide, the ``openai`` package and Codex CLI, 2026-11. Body: ``{"error": {"message", "type", "param", "code"}}``;
an error in mid-stream is flat (as documented), nested (as it is sent), or a response that failed.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, kind_of_status, retry_after
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_errors import KINDS, WORDS, status_of, status_said, wait_in_body, wait_of
from dragoman.core.instants import duration_in_words
from dragoman.core.json_text import dumps

_KINDS: Mapping[str, FaultKind] = {
    **KINDS,
    "previous_response_not_found": "not_found", "request_too_large": "too_large", "vector_store_timeout": "timeout",
    "invalid_prompt": "bad_request", "invalid_encrypted_content": "bad_request",
    "data_residency_mismatch": "bad_request", "bio_policy": "bad_request", "misalignment_policy_violation": "bad_request",
    "failed_to_download_image": "bad_request", "image_file_not_found": "bad_request", "empty_image_file": "bad_request",
    "unsupported_image_media_type": "bad_request", "image_content_policy_violation": "bad_request",
}  # fmt: skip
# Codes of images that cannot be used: invalid_image_format, image_too_large, image_parse_error ...
_IMAGE = re.compile(r"invalid_(?:base64_)?image|image_(?:too|parse|file_too)_")
_WORDS: Mapping[FaultKind, tuple[str, str | None]] = {**WORDS, "quota": ("usage_limit_reached", "usage_limit_reached")}


# ---- in


def classify_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
    """Say what an error means; see `dragoman.core.dialects.dialect.ErrorClassifier`."""
    error = reading.error_object(body)
    message = reading.error_message(error, body, status)
    wait = wait_of(error, message, status, headers, now)
    return fault_of(error, message, status, wait, headers.get("x-request-id"))


def fault_of(
    error: Mapping[str, Any], message: str, status: int, wait: float | None = None, request_id: str | None = None
) -> Fault:
    """The fault that an error object describes; `status` is 0 in mid-stream, unless the object has one."""
    code = reading.text_or_none(error, "code")
    param = reading.text_or_none(error, "param")
    status = status or status_said(error)
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


def fault_in_stream(error: Mapping[str, Any], beside: Mapping[str, Any]) -> Fault:
    """The fault of an error in mid-stream.

    Args:
        error: The error object; for the flat form, the event itself.
        beside: What stands beside the object: ``status_code`` and ``headers`` from ChatGPT's backend.

    """
    message = reading.text(error, "message") or "the provider failed"
    wait = wait_in_body(error, math.inf)
    if wait is None:
        headers = {name.lower(): str(value) for name, value in reading.sub_object(beside, "headers").items()}
        wait = retry_after(headers, 0.0)
    if wait is None:
        wait = duration_in_words(message)
    status = reading.whole(beside, "status_code") or reading.whole(beside, "status") or 0
    return fault_of(error, message, status if 400 <= status <= 599 else 0, wait)


# ---- out


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    return status_of(fault), dumps({"error": error_node(fault)})


def error_node(fault: Fault) -> dict[str, Any]:
    """The error object, for an answer and for a stream."""
    kind, code = _WORDS[fault.kind]
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
    elif fault.kind == "rate_limit" and fault.retry_after is not None and duration_in_words(message) is None:
        message = f"{message} Please try again in {round(min(fault.retry_after, 1e9), 3)}s."
    return {"code": code, "message": message}
