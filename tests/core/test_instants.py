"""Instants: Retry-After in all its forms, and nothing that is none of them."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.instants import parse_http_date, parse_retry_after

YEAR = 31_536_000
NOW = 1_700_000_000.0


@given(seconds=st.one_of(st.integers(0, YEAR - 1), st.decimals(0, YEAR - 1, places=3)), now=st.floats(0, 4e9))
def test_seconds_count_from_now(seconds: object, now: float) -> None:
    at = parse_retry_after(f" {seconds} ", now=now)
    assert at == pytest.approx(now + float(str(seconds)))


@given(seconds=st.integers(0, 2**34), now=st.floats(0, 4e9))
def test_dates_are_never_in_the_past_nor_over_a_year_away(seconds: int, now: float) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    obsolete = [at.strftime("%a %b %d %H:%M:%S %Y")]
    if 1970 <= at.year < 2069:
        obsolete.append(at.strftime("%A, %d-%b-%y %H:%M:%S GMT"))
    for text in (format_datetime(at, usegmt=True), *obsolete):
        assert parse_http_date(text) == seconds
        assert parse_retry_after(text, now=now) == (max(now, seconds) if seconds - now < YEAR else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", NOW),
        ("-5", NOW),
        ("1.5", NOW + 1.5),
        (str(YEAR - 1), NOW + YEAR - 1),
        (str(YEAR), None),
        ("99999999999999999999", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e3", None),
        ("1_0", None),
        ("٣", None),
        ("", None),
        ("soon", None),
        ("Thu, 32 Jan 1970 01:00:00 GMT", None),
        ("Sun Nov  6 08:49:37 1994", NOW),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    ],
)
def test_forms(text: str, expected: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == expected


@given(text=st.text())
def test_any_text_is_read_or_not(text: str) -> None:
    at = parse_retry_after(text, now=NOW)
    assert at is None or NOW <= at < NOW + YEAR
