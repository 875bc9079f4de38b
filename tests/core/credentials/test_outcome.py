"""What an attempt's result means, and for whom."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Cooldowns
from dragoman.core.credentials.outcome import MEANING, Kind, Outcome, Scope, broken, classify, succeeded, wait_for

NOW = 1_700_000_000.0


def error(**fields: object) -> bytes:
    return orjson.dumps({"error": fields})


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (400, b"", Kind.REQUEST_FAULT, Scope.REQUEST),
        (422, error(type="x"), Kind.REQUEST_FAULT, Scope.REQUEST),
        (404, error(code="context_length_exceeded"), Kind.REQUEST_FAULT, Scope.REQUEST),
        (404, error(message="Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."), Kind.REQUEST_FAULT, Scope.REQUEST),
        (429, error(type="invalid_request_error"), Kind.RATE_LIMITED, Scope.MODEL),
        (401, error(type="authentication_error", code="invalid_request_error"), Kind.UNAUTHORIZED, Scope.CREDENTIAL),
        (402, error(type="invalid_request_error"), Kind.PAYMENT_REQUIRED, Scope.CREDENTIAL),
        (403, b"no", Kind.FORBIDDEN, Scope.MODEL),
        (403, error(code="bad-credentials"), Kind.UNAUTHORIZED, Scope.CREDENTIAL),
        (404, error(code="model_not_found"), Kind.MODEL_UNSUPPORTED, Scope.MODEL),
        (400, error(message="The requested model is not supported"), Kind.MODEL_UNSUPPORTED, Scope.MODEL),
        (404, error(message="The model `x` does not exist or you do not have access"), Kind.MODEL_UNSUPPORTED, Scope.MODEL),
        (404, b"<h1>nginx</h1>", Kind.NOT_FOUND, Scope.MODEL),
        (400, error(code="invalid_grant"), Kind.INVALID_GRANT, Scope.CREDENTIAL),
        (401, b'{"error": "invalid_grant"}', Kind.INVALID_GRANT, Scope.CREDENTIAL),
        (429, error(code="insufficient_quota"), Kind.QUOTA_SPENT, Scope.CREDENTIAL),
        (403, error(message="Free allocated quota exceeded."), Kind.QUOTA_SPENT, Scope.CREDENTIAL),
        (429, error(type="usage_limit_reached"), Kind.QUOTA_SPENT, Scope.CREDENTIAL),
        (429, error(status="RESOURCE_EXHAUSTED", details=[{"reason": "QUOTA_EXHAUSTED"}]), Kind.QUOTA_SPENT, Scope.CREDENTIAL),
        (429, error(status="RESOURCE_EXHAUSTED", details=[{"reason": "RATE_LIMIT_EXCEEDED"}]), Kind.RATE_LIMITED, Scope.MODEL),
        (403, b"<!DOCTYPE html><html>Cloudflare", Kind.CHALLENGE, Scope.CREDENTIAL),
        (503, b"/cdn-cgi/challenge-platform/x", Kind.CHALLENGE, Scope.CREDENTIAL),
        (500, error(type="invalid_request_error"), Kind.FAILED, Scope.MODEL),
        (529, b"", Kind.FAILED, Scope.MODEL),
        (408, b"", Kind.FAILED, Scope.MODEL),
        (302, b"", Kind.FAILED, Scope.MODEL),
    ],
)  # fmt: skip
def test_classification(status: int, body: bytes, kind: Kind, scope: Scope) -> None:
    """Request faults first, but never a payment, a limit or a refused key."""
    outcome = classify(status, [], body, NOW)
    assert (outcome.kind, outcome.scope, outcome.status) == (kind, scope, status)


def test_headers_count() -> None:
    """A challenge, a window of the whole account, a dialect that knows better."""
    assert classify(403, [(b"cf-mitigated", b"challenge")], b"", NOW).kind is Kind.CHALLENGE
    rejected = [
        (b"anthropic-ratelimit-unified-5h-status", b"rejected"),
        (b"anthropic-ratelimit-unified-5h-reset", b"1700000500"),
    ]
    outcome = classify(429, rejected, b"", NOW)
    assert (outcome.kind, outcome.scope, outcome.retry_at) == (Kind.QUOTA_SPENT, Scope.CREDENTIAL, NOW + 500)
    assert classify(200, [], b"", NOW, kind=Kind.FAILED).kind is Kind.FAILED
    assert classify(503, [(b"retry-after", b"7")], b"", NOW).retry_at == NOW + 7
    assert classify(401, [(b"retry-after", b"7")], b"", NOW).retry_at is None
    assert classify(429, [], error(code="free-usage-exhausted"), NOW).retry_at == NOW + 86_400


def test_what_is_good() -> None:
    """Ends of an exchange."""
    good = succeeded({b"x-ratelimit-remaining": b"1", b"x-ratelimit-reset": b"1"}, NOW, tokens=9)
    assert good.is_good
    assert good.ends_the_exchange
    assert (len(good.windows), good.tokens) == (1, 9)
    assert broken(Kind.ABANDONED).ends_the_exchange
    assert not broken(Kind.UNREACHABLE, "refused").ends_the_exchange
    assert set(MEANING) == set(Kind)


def test_no_words_of_the_provider_in_the_detail() -> None:
    """They may quote the request, or the key."""
    outcome = classify(
        401, [], error(message="Incorrect API key: sk-hunter2", code="invalid_api_key", type="sk hunter2 X"), NOW
    )
    assert outcome.detail == "answered 401 (invalid_api_key)"


@given(
    st.integers(100, 599),
    st.binary(max_size=60) | st.sampled_from([b'{"error":[]}', b"[[]]", b'{"error":{"code":[]}}']),
)
def test_nothing_is_raised(status: int, body: bytes) -> None:
    """Whatever a provider sends."""
    assert isinstance(classify(status, [], body, NOW), Outcome)


@pytest.mark.parametrize(
    ("kind", "level", "seconds"),
    [
        (Kind.UNAUTHORIZED, 0, 1800), (Kind.PAYMENT_REQUIRED, 0, 1800), (Kind.FORBIDDEN, 0, 1800), (Kind.NOT_FOUND, 0, 43_200),
        (Kind.MODEL_UNSUPPORTED, 0, 43_200), (Kind.INVALID_GRANT, 0, 1800), (Kind.RATE_LIMITED, 0, 1), (Kind.RATE_LIMITED, 3, 8),
        (Kind.RATE_LIMITED, 5000, 1800), (Kind.CHALLENGE, 0, 10), (Kind.CHALLENGE, 5, 32), (Kind.FAILED, 9, 60), (Kind.CUT, 0, 0),
    ],
)  # fmt: skip
def test_waits(kind: Kind, level: int, seconds: float) -> None:
    """The numbers where a provider says nothing; what it says is believed for an hour at most."""
    outcome = broken(kind)
    assert wait_for(outcome, level, Cooldowns(), NOW) == (NOW + seconds, False)
    told = Outcome(kind, Scope.MODEL, 429, NOW + 500_000)
    assert wait_for(told, level, Cooldowns(), NOW) == (NOW + 3600, True)
