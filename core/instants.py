"""What ``now`` means, and instants as the wire writes them.

``now`` is epoch seconds that never run backwards: wall time once at the start, a monotonic clock since. One axis, because quota windows
and Retry-After dates are wall times and deadlines compare with them. State holds instants, never remaining durations.
"""

import re
from datetime import UTC, datetime
from typing import Final

# The three forms of RFC 9110, section 5.6.7; the last two are obsolete and still to be read.
_DATES: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_YEAR: Final = 31_536_000  # more than any provider means by "later"
_SECONDS: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")  # float() alone would also take "nan", "1_0" and "1e3"
_AMOUNT: Final = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(_AMOUNT + r"(ms|us|µs|ns|d|h|m|s)")
_WORDED_UNITS: Final = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "hour": 3600.0}
_IN_WORDS: Final = re.compile(
    rf"(?:after|again in|retry in)\s+(?:((?:[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?(?:ms|h|m|s)){{1,4}})(?![a-z0-9])|{_AMOUNT}\s*(ms|sec|s\b|min|m\b|hour|h\b))",
    re.IGNORECASE,
)
_LOOKED_AT: Final = 2000  # characters of a message


def parse_retry_after(value: str, *, now: float) -> float | None:
    """Read a Retry-After header.

    Args:
        value: ``"120"`` (seconds; some providers send fractions) or an HTTP-date; RFC 9110, section 10.2.3.
        now: Epoch seconds, to which a delay is relative.

    Returns:
        When to try again, in epoch seconds, never before ``now``; None when the value is neither form, or over a year away.

    >>> parse_retry_after("120", now=1000.0), parse_retry_after("Thu, 01 Jan 1970 01:00:00 GMT", now=1000.0)
    (1120.0, 3600.0)

    """
    text = value.strip()
    at = now + float(text) if _SECONDS.fullmatch(text) else parse_http_date(text)
    return None if at is None or at - now >= _YEAR else max(now, at)


def parse_duration(text: str) -> float | None:
    """Read a length of time as providers write it (Go's notation), in seconds; None when it is none.

    >>> parse_duration("6m0s"), parse_duration("120ms"), parse_duration("34.074824224s"), parse_duration("soon"), parse_duration("")
    (360.0, 0.12, 34.074824224, None, None)
    """
    parts = _PART.findall(text)
    if not parts or "".join(amount + unit for amount, unit in parts) != text:
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts)


def duration_in_words(message: str) -> float | None:
    """Find in the words of an error how long to wait, in seconds; None when it does not say.

    >>> duration_in_words("Rate limit reached. Please try again in 1m2.5s."), duration_in_words("retry after 3 sec"), duration_in_words("no")
    (62.5, 3.0, None)
    """
    found = _IN_WORDS.search(message[:_LOOKED_AT])
    if found is None:
        return None
    whole, amount, unit = found.groups()
    return parse_duration(whole.lower()) if whole else float(amount) * _WORDED_UNITS[unit.lower()]


def told_delay(milliseconds: str | None, retry_after: str | None, *, now: float) -> float | None:
    """Read the two headers that say when to come again, the more exact first.

    Args:
        milliseconds: ``retry-after-ms`` (OpenAI's), or None.
        retry_after: ``Retry-After``, or None; see `parse_retry_after`.
        now: Epoch seconds.

    Returns:
        Seconds from `now`, never negative; None when neither can be read.

    >>> told_delay("1500", "2", now=0.0), told_delay(None, "Thu, 01 Jan 1970 00:00:07 GMT", now=2.0), told_delay("nan", "soon", now=0.0)
    (1.5, 5.0, None)

    """
    text = (milliseconds or "").strip()
    if _SECONDS.fullmatch(text) and 0 <= float(text) / 1000 < _YEAR:
        return float(text) / 1000
    at = parse_retry_after(retry_after, now=now) if retry_after else None
    return None if at is None else at - now


def parse_http_date(text: str) -> float | None:
    """Read an HTTP-date (RFC 9110, section 5.6.7) as epoch seconds; None when it is none.

    >>> parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT")
    784111777.0
    """
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None
