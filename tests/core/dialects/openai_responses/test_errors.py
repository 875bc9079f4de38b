"""Errors of Responses."""

import json
from typing import Any

import pytest

from dragoman.core.chat.fault import Fault, FaultKind
from dragoman.core.dialects.openai_responses.errors import (
    build_error,
    classify_error,
    error_node,
    failed_node,
    fault_in_stream,
)


def told(status: int, error: Any, headers: dict[str, str] | None = None, now: float = 0.0) -> Fault:
    return classify_error(status, headers or {}, json.dumps({"error": error}).encode(), now)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "context_length_exceeded", "message": "too long"}, "context_too_long"),
        (400, {"code": "invalid_encrypted_content", "type": "invalid_request_error", "message": "x"}, "bad_request"),
        (400, {"code": "image_too_large", "message": "x"}, "bad_request"),
        (500, {"code": "invalid_base64_image", "message": "x"}, "internal"),
        (401, {"type": "invalid_request_error", "message": "x"}, "auth"),
        (404, {"code": "previous_response_not_found", "message": "x"}, "not_found"),
        (429, {"type": "insufficient_quota", "message": "x"}, "billing"),
        (503, {"type": "requests", "message": "x"}, "overloaded"),
        (400, {"type": "usage_limit_reached", "message": "x"}, "quota"),
        (400, {"message": "Selected model is at capacity. Please try another."}, "overloaded"),
        (418, {"message": "x"}, "bad_request"),
    ],
)
def test_words_before_numbers(status: int, error: Any, kind: FaultKind) -> None:
    assert told(status, error).kind == kind


def test_when_to_come_again() -> None:
    limit = {"type": "usage_limit_reached", "message": "x", "resets_at": 1060, "resets_in_seconds": 99}
    fault = told(429, limit, now=1000.0)
    assert (fault.kind, fault.status, fault.retry_after) == ("quota", 429, 60.0)
    assert told(429, limit, now=2000.0).retry_after == 99.0
    assert told(429, {"message": "Please try again in 1.5s."}).retry_after == 1.5
    buckets = {
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2m",
        "x-ratelimit-remaining-requests": "5",
    }
    assert told(429, {"message": "x"}, buckets).retry_after == 120.0
    assert told(429, {"message": "x"}, {"x-ratelimit-remaining-tokens": "0"}).retry_after is None
    assert told(429, {"message": "try again in 5s"}, {"retry-after": "7"}).retry_after == 7.0


def test_in_mid_stream_numbers_may_stand_beside() -> None:
    fault = fault_in_stream({"message": "x"}, {"status_code": 429, "headers": {"Retry-After": 3}})
    assert (fault.kind, fault.status, fault.retry_after) == ("rate_limit", 429, 3.0)
    assert fault_in_stream({"code": 503}, {"status_code": 200}).kind == "overloaded"
    assert fault_in_stream({}, {}).message == "the provider failed"
    assert fault_in_stream({"type": "usage_limit_reached", "resets_in_seconds": 9}, {}).retry_after == 9.0


def test_what_codex_reads() -> None:
    """Codex knows a few codes, and finds the wait of a rate limit in the words."""
    assert failed_node(Fault("rate_limit", "Slow down.", retry_after=2.5)) == {
        "code": "rate_limit_exceeded",
        "message": "Slow down. Please try again in 2.5s.",
    }
    assert failed_node(Fault("rate_limit", "try again in 9s", retry_after=2.5))["message"] == "try again in 9s"
    assert failed_node(Fault("quota", "x"))["code"] == "insufficient_quota"
    assert failed_node(Fault("context_too_long", "x"))["code"] == "context_length_exceeded"
    assert failed_node(Fault("bad_request", "x"))["code"] == "invalid_prompt"
    assert failed_node(Fault("bad_request", "x", code="own"))["code"] == "own"
    assert failed_node(Fault("internal", "x"))["code"] == "server_error"
    assert error_node(Fault("quota", "x", retry_after=59.5))["resets_in_seconds"] == 60


def test_statuses_are_openais() -> None:
    assert build_error(Fault("overloaded", "x", 529))[0] == 503
    assert build_error(Fault("billing", "x", 402))[0] == 429
    assert build_error(Fault("auth", "x", 401))[0] == 401
