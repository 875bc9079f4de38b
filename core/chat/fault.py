"""An error of a provider as a value: what kind, whose words, when to come again.

The same value is read from an HTTP error (`Dialect.classify_error`), from an error in mid-stream (`StreamFailed`) and written in
any dialect (`Dialect.build_error`). Refusals for limits are daily business and therefore values, not exceptions.
"""

from collections.abc import Mapping
from typing import Literal

import attrs

from dragoman.core.instants import told_delay

FaultKind = Literal[
    "bad_request",  # the request is wrong; nobody else will take it
    "context_too_long",  # the conversation does not fit the model
    "auth",  # the credential is not valid
    "billing",  # the account is out of money
    "forbidden",  # the credential may not do this
    "not_found",  # no such model, or no such thing
    "too_large",  # the body is over the provider's limit
    "rate_limit",  # too much in too short a time: minutes at most
    "quota",  # an allowance is spent: hours or days
    "overloaded",  # the provider has no capacity
    "timeout",  # nobody answered in time
    "truncated",  # the stream ended before the answer did
    "internal",  # the provider's own error
]

# The HTTP status each kind has where the provider gave none.
STATUS: Mapping[str, int] = {
    "bad_request": 400, "context_too_long": 400, "auth": 401, "billing": 402, "forbidden": 403, "not_found": 404,
    "too_large": 413, "rate_limit": 429, "quota": 429, "overloaded": 503, "timeout": 504, "truncated": 502, "internal": 500,
}  # fmt: skip


@attrs.frozen
class Fault:
    """What went wrong at the provider.

    Attributes:
        kind: See `FaultKind`.
        message: The provider's words; shown to the client.
        status: HTTP status; for an error in mid-stream, the one it would have had.
        code: The provider's own code (``context_length_exceeded``, ``RESOURCE_EXHAUSTED``), or None.
        param: The field at fault, or None.
        retry_after: Seconds from now until it may be worth trying again; None when nobody said.
        request_id: The provider's id of the request, or None.

    """

    kind: FaultKind
    message: str
    status: int = 0
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    request_id: str | None = None

    @property
    def http_status(self) -> int:
        """`status`, or the one its kind has; always one of an error."""
        return self.status if 400 <= self.status <= 599 else STATUS[self.kind]


TRUNCATED = Fault(
    "truncated", "the provider's stream ended before the answer was complete", code="upstream_stream_truncated"
)


def kind_of_status(status: int) -> FaultKind:
    """What an HTTP status means when the body says no more."""
    match status:
        case 401:
            return "auth"
        case 402:
            return "billing"
        case 403:
            return "forbidden"
        case 404:
            return "not_found"
        case 408 | 504:
            return "timeout"
        case 413:
            return "too_large"
        case 429:
            return "rate_limit"
        case 503 | 529:
            return "overloaded"
        case _:
            return "bad_request" if 400 <= status < 500 else "internal"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `now` (epoch seconds) until to come again, by header names in lower case; see `told_delay`."""
    return told_delay(headers.get("retry-after-ms"), headers.get("retry-after"), now=now)
