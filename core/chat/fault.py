"""An error of a provider as a value: what kind, whose words, when to come again.

The same value is read from an HTTP error (`Dialect.classify_error`), from an error in mid-stream (`StreamFailed`) and written in
any dialect (`Dialect.build_error`). Refusals for limits are daily business and therefore values, not exceptions.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import attrs

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


_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)
_IN_WORDS = re.compile(
    r"(?:try again in|retry in|reset after) ((?:\d+(?:\.\d+)?(?:ms|h|m|s)){1,4})", re.ASCII | re.IGNORECASE
)


def duration(text: str) -> float | None:
    """Read a length of time as providers write it, in seconds.

    >>> duration("1m2.5s"), duration("120ms"), duration("34.074824224s"), duration("1h0m0s"), duration("soon"), duration("")
    (62.5, 0.12, 34.074824224, 3600.0, None, None)
    """
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        return None
    hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after``, the more exact first.

    Args:
        headers: Names in lower case.
        now: Epoch seconds, to which a date is relative.

    Returns:
        Seconds from `now`, never negative; None when neither says anything.

    >>> retry_after({"retry-after": "2", "retry-after-ms": "1500"}, 0.0), retry_after({"retry-after": "soon"}, 0.0)
    (1.5, None)
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:07 GMT"}, 2.0)
    5.0

    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * scale
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        date = datetime.strptime(headers.get("retry-after", "").strip(), _HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - now)


def retry_in_words(message: str) -> float | None:
    """Find a length of time in the words of an error, in seconds.

    >>> retry_in_words("Rate limit reached. Please try again in 1.5s."), retry_in_words("slow down")
    (1.5, None)
    """
    found = _IN_WORDS.search(message)
    return duration(found[1]) if found else None
