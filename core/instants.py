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
