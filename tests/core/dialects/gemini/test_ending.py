"""Finish reasons and counted tokens."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Finish, FinishKind
from dragoman.core.chat.loss import Losses
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.gemini.ending import (
    build_block,
    build_finish,
    build_usage,
    parse_block,
    parse_finish,
    parse_usage,
)
from tests.strategies_chat import JSON, usages


@pytest.mark.parametrize("kind", get_args(FinishKind))
def test_every_ending_has_a_word(kind: FinishKind) -> None:
    losses = Losses()
    word = build_finish(Finish(kind), losses)
    back = parse_finish(word, has_calls=kind == "tool").kind
    canonical = {"stop": "end", "context": "length", "refusal": "filter", "pause": "end"}
    assert back == canonical.get(kind, kind)
    assert bool(losses.found) == (kind in canonical)


@pytest.mark.parametrize("word", ["LANGUAGE", "BLOCKLIST", "SPII", "UNEXPECTED_TOOL_CALL", "IMAGE_RECITATION", "stop"])
def test_geminis_own_word_comes_back(word: str) -> None:
    assert build_finish(parse_finish(word, has_calls=False), Losses()) == word.upper()


def test_a_word_nobody_knows() -> None:
    assert parse_finish("TIRED", has_calls=False) == Finish("other", raw=("gemini", "TIRED"))
    assert build_finish(parse_finish("TIRED", has_calls=False), Losses()) == "OTHER"
    assert build_finish(parse_finish("STOP", has_calls=True), Losses()) == "STOP"
    assert build_finish(Finish("end", raw=("claude", "SAFETY")), Losses()) == "STOP"
    assert build_finish(None, Losses()) == "STOP"


def test_blocked_prompts() -> None:
    node = {"blockReason": "SAFETY", "blockReasonMessage": "no"}
    found = parse_block(node)
    assert found == Finish("filter", raw=("gemini", "blocked:SAFETY"), detail="no")
    assert build_block(found) == node
    assert build_block(parse_block({"blockReason": "OTHER"})) == {"blockReason": "OTHER"}
    for finish in (
        None,
        Finish("filter"),
        Finish("filter", raw=("gemini", "SAFETY")),
        Finish("filter", raw=("claude", "blocked:")),
    ):
        assert build_block(finish) is None
    assert parse_block({}) is None


@given(usages(counts_writes=False), st.integers(0, 50), st.integers(0, 50))
def test_usage_comes_back(usage: TokenUsage, tools: int, heard: int) -> None:
    more = TokenUsage(
        usage.input + tools, usage.output, usage.cached, 0, usage.reasoning, 0, tools, heard, heard, heard
    )
    node = build_usage(more, Losses())
    parts = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
    assert node["totalTokenCount"] == sum(node.get(part, 0) for part in parts) == more.total
    assert parse_usage(node) == more


def test_thoughts_within_the_candidates() -> None:
    node = {"promptTokenCount": 10, "candidatesTokenCount": 30, "thoughtsTokenCount": 20, "totalTokenCount": 40}
    assert parse_usage(node) == TokenUsage(10, 30, reasoning=20)
    assert parse_usage({**node, "totalTokenCount": 60}) == TokenUsage(10, 50, reasoning=20)


@given(
    st.dictionaries(
        st.sampled_from(["promptTokenCount", "candidatesTokenCount", "promptTokensDetails", "cachedContentTokenCount"]),
        JSON,
    )
)
def test_any_usage_can_be_read(node: dict[str, Any]) -> None:
    usage = parse_usage(node)
    assert 0 <= usage.cached <= usage.input
    assert 0 <= usage.reasoning <= usage.output
