"""Ids for calls and results that came without."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import ToolCall, ToolResult
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.request import Message
from dragoman.core.dialects.gemini.request import parse_request
from dragoman.core.dialects.gemini.turns import with_ids

NAMES = st.sampled_from(["f", "g"])


def call(name: str, ident: str = "") -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **({"id": ident} if ident else {})}}


def result(name: str, output: str, ident: str = "") -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"output": output}, **({"id": ident} if ident else {})}}


def read(*contents: list[Any]) -> tuple[list[ToolCall], list[ToolResult]]:
    body = json.dumps({"contents": [{"parts": parts} for parts in contents]}).encode()
    blocks = [block for message in parse_request(body)[0].messages for block in message.content]
    assert parse_request(body)[0] == parse_request(body)[0]
    return [b for b in blocks if isinstance(b, ToolCall)], [b for b in blocks if isinstance(b, ToolResult)]


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_nth_result_of_a_tool_answers_its_nth_call(steps: list[list[str]], shuffle: Any) -> None:
    contents = []
    for n, names in enumerate(steps):
        order = list(enumerate(names))
        shuffle.shuffle(order)
        order.sort(key=lambda item: item[1])  # any order of tools, the calls of one tool in theirs
        order.sort(key=lambda item: (item[1], item[0]))
        contents += [[call(name) for name in names], [result(name, f"{n}.{place}") for place, name in order]]
    calls, results = read(*contents)
    assert len({c.id for c in calls}) == len(calls)
    wanted = {c.id: f"{n}.{place}" for c, (n, place) in zip(calls, _places(steps), strict=True)}
    assert {r.call_id: r.content[0].text for r in results} == wanted  # type: ignore[union-attr]


def _places(steps: list[list[str]]) -> list[tuple[int, int]]:
    return [(n, place) for n, names in enumerate(steps) for place in range(len(names))]


def test_ids_win_over_order() -> None:
    calls, results = read(
        [call("f", "a"), call("f", "b"), call("f")],
        [result("f", "2", "b"), result("f", "1", "a"), result("f", "3", "x")],
    )
    assert [c.id for c in calls][:2] == ["a", "b"]
    assert [r.call_id for r in results] == ["b", "a", calls[2].id]


def test_results_of_nobody() -> None:
    _, results = read([result("f", "1"), result("f", "2", "zz")])
    assert results[0].call_id == made_up_call_id("", 1, 0, "f")
    assert results[1].call_id == "zz"


def test_an_id_somebody_else_has_is_not_given_again() -> None:
    taken = made_up_call_id("", 0, 0, "f")
    messages = with_ids([Message("assistant", (ToolCall("", "f", "{}"), ToolCall(taken, "f", "{}")))])
    first, second = messages[0].content
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id == taken + "_"
    assert second.id == taken
