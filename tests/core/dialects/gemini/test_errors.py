"""Errors of Google's APIs."""

import json
from typing import Any

import pytest

from dragoman.core.chat.fault import Fault
from dragoman.core.dialects.gemini.errors import build_error, classify_error, fault_of
from tests.wire import fixtures

EXPECTED = {
    "gemini.error.400-api-key-invalid.json": ("auth", None),
    "gemini.error.429-retryinfo-per-minute.json": ("rate_limit", 34.074824224),
    "gemini.error.429-daily-quota-terminal.json": ("quota", None),
    "gemini.error.400-list-wrapped.json": ("bad_request", None),
    "gemini.error.503-unavailable.json": ("overloaded", None),
    "codeassist.error.429-quota-reset-delay.json": ("quota", 3723.5),
}


@pytest.mark.parametrize("fixture", [f for f in fixtures("error") if f.name in EXPECTED], ids=lambda f: f.name)
def test_recorded_errors(fixture: Any) -> None:
    recorded = json.loads(fixture.data)
    fault = classify_error(recorded["status"], recorded["headers"], json.dumps(recorded["body"]).encode(), 0.0)
    kind, wait = EXPECTED[fixture.name]
    assert fault.kind == kind
    assert wait is None or fault.retry_after == pytest.approx(wait)


def classify(status: int, error: Any, headers: dict[str, str] | None = None) -> Fault:
    return classify_error(status, headers or {}, json.dumps({"error": error}).encode(), 1000.0)


def test_kinds() -> None:
    words = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    assert classify(400, {"status": "INVALID_ARGUMENT", "message": words}).kind == "context_too_long"
    assert classify(413, {"status": "INVALID_ARGUMENT", "message": "x"}).kind == "too_large"
    assert classify(404, {}).kind == "not_found"
    assert (
        classify(429, {"status": "RESOURCE_EXHAUSTED", "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}).kind
        == "rate_limit"
    )
    assert classify(503, {"details": [{"reason": "MODEL_CAPACITY_EXHAUSTED"}]}).kind == "overloaded"
    day = {"violations": [{"quotaId": "GenerateRequestsPerMinute"}, {"quotaId": "GenerateRequestsPerDayPerProject"}]}
    assert classify(429, {"status": "RESOURCE_EXHAUSTED", "details": [day]}).kind == "quota"
    assert classify_error(502, {}, b"<html>", 0.0).kind == "internal"
    assert fault_of("just words", 0).kind == "internal"
    assert fault_of({"message": "x", "code": 429}, 0) == Fault("rate_limit", "x", 429)


def test_how_long_to_wait() -> None:
    def wait(*details: Any, message: str = "", headers: dict[str, str] | None = None) -> float | None:
        return classify(429, {"message": message, "details": list(details)}, headers).retry_after

    assert wait({"retryDelay": "900ms"}) == 0.9
    assert wait({"retryDelay": "9s"}, headers={"retry-after": "2"}) == 2
    assert wait({"metadata": {"quotaResetTimeStamp": "1970-01-01T00:20:00Z"}}) == 200
    assert wait({"metadata": {"quotaResetTimeStamp": "soon"}}, {"retryDelay": "3s"}) == 3
    assert wait(message="Please retry in 12.5s.") == 12.5
    assert wait(message="reset after 1h2m3s") == 3723
    assert wait() is None


def test_errors_are_written_in_googles_words() -> None:
    status, body = build_error(Fault("rate_limit", "slow", retry_after=1.5))
    assert status == 429
    assert json.loads(body)["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}
    ]
    assert classify_error(status, {}, body, 0.0).retry_after == 1.5
    assert build_error(Fault("overloaded", "x", 529))[0] == 503
    assert build_error(Fault("internal", "x", 529))[0] == 503
    assert build_error(Fault("bad_request", "x", 422))[0] == 422
    assert list(json.loads(build_error(Fault("auth", "x"))[1])) == ["error"]
    quota = json.loads(build_error(Fault("quota", "x"))[1])["error"]
    assert quota["details"][0]["reason"] == "QUOTA_EXHAUSTED"
    assert "x" in json.loads(build_error(Fault("context_too_long", "x"))[1])["error"]["message"]
    words = "context window is full"
    assert json.loads(build_error(Fault("context_too_long", words))[1])["error"]["message"] == words
