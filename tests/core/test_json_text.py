"""JSON text that every reader understands."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.json_text import dumps, dumps_text, escape_separators, loads, quote

# Surrogates included: JSON can say them, UTF-8 cannot.
TEXT = st.text(st.characters(), max_size=10) | st.sampled_from(["\u2028", "\u2029", "\x85", "a\ud800", "é\u2028"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_there_and_back(value: Any) -> None:
    written = dumps(value)
    assert loads(written) == value == loads(dumps_text(value))
    assert not any(char in written.decode() for char in "\x85\u2028\u2029")
    assert json.loads(written) == value


@given(TEXT)
def test_quoted(text: str) -> None:
    assert json.loads(escape_separators(quote(text))) == text


def test_what_only_the_standard_library_reads() -> None:
    assert loads(b'["\\ud800", 1e400, -1e400, 123456789012345678901234567890]') == [
        "\ud800", 1.7976931348623157e308, -1.7976931348623157e308, 123456789012345678901234567890,
    ]  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000])
def test_everything_else_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        loads(text)


@given(st.binary())
def test_no_other_exception(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        loads(data)


def test_half_a_character() -> None:
    """JSON can say it, as an escape; UTF-8 cannot."""
    assert dumps({"a": "\ud800"}) == b'{"a":"\\ud800"}'
    assert dumps_text({"a": "\ud800"}) == '{"a":"\\ud800"}'
    assert quote("\ud800") == b'"\\ud800"'
