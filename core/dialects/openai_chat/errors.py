"""Errors of Chat Completions (and of the OpenAI API as a whole).

Source: the API's error guide and the ``openai`` package, 2026-11. Body: ``{"error": {"message", "type", "param", "code"}}``.
"""

from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.fault import Fault, FaultKind, kind_of_status
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_errors import KINDS, WORDS, status_of, status_said, wait_of
from dragoman.core.json_text import dumps

_KINDS: Mapping[str, FaultKind] = {**KINDS, "credit_balance_exhausted": "billing"}


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
    status = status or status_said(error)
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


def build_error(fault: Fault) -> tuple[int, bytes]:
    """Write an error; see `dragoman.core.dialects.dialect.ErrorBuilder`."""
    return status_of(fault), dumps({"error": error_node(fault)})


def error_node(fault: Fault) -> dict[str, Any]:
    """The error object, for an answer and for a stream."""
    kind, code = WORDS[fault.kind]
    return {"message": fault.message, "type": kind, "param": fault.param, "code": code or _own_code(fault)}


def _own_code(fault: Fault) -> str | None:
    return fault.code if fault.code and fault.kind == "bad_request" else None
