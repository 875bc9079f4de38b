"""Errors of the Messages API."""

import json
from typing import Any

import pytest

from dragoman.core.chat.fault import Fault
from dragoman.core.dialects.claude.errors import build_error, classify_error
from tests.wire import by_name


def classify(
    status: int, kind: str = "", message: str = "x", headers: dict[str, str] | None = None, **details: Any
) -> Fault:
    body = json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": "req_1"}
    )
    return classify_error(status, headers or {}, body.encode(), 1000.0)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (classify(400, "invalid_request_error"), "bad_request"),
        (classify(400, "invalid_request_error", "prompt is too long: 5 > 3"), "context_too_long"),
        (classify(404, "invalid_request_error"), "not_found"),
        (classify(429, "rate_limit_error"), "rate_limit"),
        (classify(429, "rate_limit_error", error_code="enforced_spend_limit_reached"), "billing"),
        (classify(529, "overloaded_error"), "overloaded"),
        (classify(500, "new_error"), "internal"),
        (classify(503), "overloaded"),
    ],
)
def test_kinds(fault: Fault, kind: str) -> None:
    assert fault.kind == kind
    assert fault.request_id == "req_1"


def test_a_rejecting_window_is_a_quota_and_says_when_it_opens() -> None:
    recorded = json.loads(by_name("anthropic.error.429-ratelimit-headers.json"))
    fault = classify_error(429, recorded["headers"], json.dumps(recorded["body"]).encode(), 1790000000.0)
    assert (fault.kind, fault.retry_after) == ("quota", 3600.0)


def test_windows_that_allow_do_not_count() -> None:
    headers = {
        "anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": "soon",
        "anthropic-ratelimit-unified-5h-status": "allowed", "anthropic-ratelimit-unified-5h-reset": "9999",
    }  # fmt: skip
    assert classify(429, "rate_limit_error", headers=headers).kind == "rate_limit"


def test_empty_buckets_say_when_they_are_full() -> None:
    headers = {
        "anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "1970-01-01T00:17:00Z",
        "anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "1970-01-01T00:18:00",
        "anthropic-ratelimit-input-tokens-remaining": "5", "anthropic-ratelimit-input-tokens-reset": "1970-01-02T00:00:00Z",
    }  # fmt: skip
    assert classify(429, "rate_limit_error", headers=headers).retry_after == 20.0
    assert classify(429, "rate_limit_error").retry_after is None


def test_the_words_that_clients_look_for() -> None:
    status, body = build_error(Fault("context_too_long", "5 tokens of 3"))
    assert (status, json.loads(body)["error"]["message"]) == (400, "prompt is too long: 5 tokens of 3")
    assert build_error(Fault("overloaded", "x", status=503))[0] == 529
    assert json.loads(build_error(Fault("internal", "x", request_id="req_2"))[1])["request_id"] == "req_2"
