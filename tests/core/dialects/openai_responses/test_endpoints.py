"""Counting beforehand and compacting."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Opaque, Text
from dragoman.core.chat.counting import TokenCount
from dragoman.core.dialects import AnswerContext
from dragoman.core.dialects.openai_responses.endpoints import (
    build_compaction,
    build_count,
    parse_compaction,
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


def test_a_compaction_is_items_to_go_on_with() -> None:
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
    body = json.dumps({"id": "resp_1", "object": "response.compaction", "created_at": 5, "output": [item]}).encode()
    answer, losses = parse_compaction(body)
    assert answer.blocks == (Opaque("openai_responses", "compaction", item),)
    assert losses == ()
    assert json.loads(build_compaction(answer, AnswerContext())[0]) == {**json.loads(body), "usage": None}


def test_a_summary_is_a_compaction() -> None:
    answer = Answer("a", "m", (Choice((Text("We spoke of ships."),), Finish("end")),), 5)
    node = json.loads(build_compaction(answer, AnswerContext())[0])
    assert node["object"] == "response.compaction"
    assert node["output"][0]["content"][0]["text"] == "We spoke of ships."
