"""Whole answers that no recording has."""

import json

import pytest

from dragoman.core.dialects.gemini.answer import parse_answer
from dragoman.core.errors import BadAnswer


def test_half_an_emoji_where_another_type_belongs_counts_as_absent() -> None:
    node = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "usageMetadata": "\ud83d"}
    answer, _ = parse_answer(json.dumps(node).encode())
    assert answer.usage is None
    assert answer.choices
    with pytest.raises(BadAnswer, match="no candidates"):
        parse_answer(json.dumps({"candidates": "\ud83d"}).encode())
