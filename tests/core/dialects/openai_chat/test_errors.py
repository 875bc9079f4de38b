"""Errors of the OpenAI API and of those who imitate it."""

import json
from typing import Any

import pytest

from dragoman.core.chat.fault import Fault
from dragoman.core.dialects.openai_chat.errors import build_error, classify_error


def classify(status: int, error: Any, headers: dict[str, str] | None = None) -> Fault:
    return classify_error(status, headers or {}, json.dumps({"error": error}).encode(), 1000.0)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "context_length_exceeded"}, "context_too_long"),
        (401, {"type": "invalid_request_error"}, "auth"),
        (404, {"type": "invalid_request_error"}, "not_found"),
        (400, {"type": "invalid_request_error"}, "bad_request"),
        (429, {"type": "insufficient_quota"}, "billing"),
        (429, {"type": "usage_limit_reached"}, "quota"),
        (429, {"type": "requests"}, "rate_limit"),
        (400, {"type": "tokens"}, "bad_request"),
        (200, {"code": 429}, "rate_limit"),
        (503, "plain words", "overloaded"),
        (500, None, "internal"),
    ],
)
def test_kinds(status: int, error: Any, kind: str) -> None:
    assert classify(status, error).kind == kind or (status == 200 and classify(0, error).kind == kind)


def test_when_to_come_again() -> None:
    buckets = {
        "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s", "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "odd", "x-ratelimit-remaining-images": "3", "x-ratelimit-reset-images": "9h",
    }  # fmt: skip
    assert classify(429, {"message": "x"}, buckets).retry_after == 62.5
    assert classify(429, {"message": "x"}, {**buckets, "retry-after-ms": "20"}).retry_after == 0.02
    assert classify(429, {"message": "try again in 6m0s"}).retry_after == 360
    assert classify(400, {"message": "try again in 6m0s"}).retry_after is None
    assert classify(429, {"resets_at": 1060, "resets_in_seconds": 7}).retry_after == 60
    assert classify(429, {"resets_at": 1, "resets_in_seconds": 7}).retry_after == 7
    assert classify(429, {"resets_at": True, "resets_in_seconds": "7"}).retry_after is None


def test_statuses_that_no_client_knows() -> None:
    status, body = build_error(Fault("overloaded", "busy", status=529))
    assert status == 503
    assert json.loads(body)["error"] == {
        "message": "busy",
        "type": "server_error",
        "param": None,
        "code": "server_is_overloaded",
    }
    assert build_error(Fault("billing", "x", status=402))[0] == 429


def test_the_codes_of_a_mistake_are_kept() -> None:
    _, body = build_error(Fault("bad_request", "x", code="unsupported_parameter", param="n"))
    assert json.loads(body)["error"]["code"] == "unsupported_parameter"
    _, body = build_error(Fault("forbidden", "x", code="odd"))
    assert json.loads(body)["error"]["code"] is None


def test_bodies_that_are_no_json() -> None:
    assert (
        classify_error(502, {}, b"<html>oops</html>", 0.0).message
        == "the provider answered with status 502 and no message"
    )
    assert classify_error(502, {"x-request-id": "r"}, b"upstream gone", 0.0) == Fault(
        "internal", "upstream gone", 502, request_id="r"
    )
