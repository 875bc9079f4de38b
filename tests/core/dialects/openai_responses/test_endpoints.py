"""Counting beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.counting import TokenCount
from dragoman.core.dialects.openai_responses.endpoints import (
    build_count,
    parse_count,
)
from dragoman.core.errors import BadAnswer


@given(st.integers(0, 2**53))
def test_a_count_comes_back(number: int) -> None:
    assert parse_count(build_count(TokenCount(number))) == TokenCount(number)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"input_tokens":"7"}'])
def test_what_counts_nothing(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_count(body)
