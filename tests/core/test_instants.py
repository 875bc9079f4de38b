"""Instants: Retry-After in all its forms, and nothing that is none of them."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.instants import duration_in_words, parse_duration, parse_http_date, parse_retry_after, told_delay

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


UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LENGTHS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(list(UNITS))), min_size=1, max_size=4)


@given(
    LENGTHS,
    st.sampled_from(
        ["Please try again in {}.", "retry in {}", "limit: reset after {} or so", "Retry after {}, please"]
    ),
)
def test_lengths_of_time_are_read_alone_and_in_words(parts: list[tuple[int, str]], words: str) -> None:
    text = "".join(f"{amount}{unit}" for amount, unit in parts)
    seconds = sum(amount * UNITS[unit] for amount, unit in parts)
    assert parse_duration(text) == pytest.approx(seconds)
    assert duration_in_words(words.format(text)) == pytest.approx(seconds)
    assert parse_duration(text + "!") is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("reset after 3 min", 180),
        ("Retry in 2 H", 7200),
        ("again in 1.5 sec", 1.5),
        ("again in 20 seconds", 20),
        ("after 2 hours", 7200),
        ("after all", None),
    ],
)
def test_words_of_other_providers(message: str, seconds: float | None) -> None:
    assert duration_in_words(message) == seconds


@given(st.text(max_size=30) | st.none(), st.text(max_size=30) | st.none(), st.text(max_size=60))
def test_delays_of_any_text(milliseconds: str | None, after: str | None, words: str) -> None:
    delay = told_delay(milliseconds, after, now=NOW)
    assert delay is None or 0 <= delay < YEAR
    for found in (parse_duration(words), duration_in_words(words)):
        assert found is None or found >= 0


@given(st.floats(0, 10**6), st.integers(0, 10**6))
def test_the_more_exact_header_comes_first(milliseconds: float, seconds: int) -> None:
    assert told_delay(f"{milliseconds:.3f}", str(seconds), now=NOW) == pytest.approx(milliseconds / 1000, abs=1e-6)
    assert told_delay("-1", str(seconds), now=NOW) == seconds
    assert told_delay(None, None, now=NOW) is None
