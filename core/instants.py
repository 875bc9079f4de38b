"""What ``now`` means, and instants as the wire writes them.

``now`` is epoch seconds that never run backwards: wall time once at the start, a monotonic clock since. One axis, because quota windows
and Retry-After dates are wall times and deadlines compare with them. State holds instants, never remaining durations.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str, *, now: float) -> float | None:
    """Read a Retry-After header.

    Args:
        value: ``"120"`` (seconds; some providers send fractions) or an HTTP-date; RFC 9110, section 10.2.3.
        now: Epoch seconds, to which a delay is relative.

    Returns:
        When to try again, in epoch seconds, never before ``now``; None when the value is neither form.

    >>> parse_retry_after("120", now=1000.0), parse_retry_after("Thu, 01 Jan 1970 01:00:00 GMT", now=1000.0)
    (1120.0, 3600.0)

    """
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
            return max(now, date.replace(tzinfo=date.tzinfo or UTC).timestamp())
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    # A year is more than any provider means; it also keeps "nan", "inf" and 1e300 out.
    return now + max(0.0, seconds) if seconds < 31_536_000 else None
