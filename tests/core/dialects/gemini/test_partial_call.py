"""Calls whose arguments come in pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.dialects.gemini.partial_call import MOST_GAPS, MOST_STEPS, PartialCall, path_of
from tests.strategies_chat import JSON

KEYS = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(KEYS, inner, min_size=1, max_size=4),
    max_leaves=8,
)


def quoted(key: str) -> str:
    """A key as a normalized path has it."""
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


@st.composite
def pieces(draw: st.DrawFn, value: Any, path: str = "$") -> list[dict[str, Any]]:
    """A value as its pieces, in order."""
    if isinstance(value, dict):
        return [piece for key, item in value.items() for piece in draw(pieces(item, path + quoted(key)))]
    if isinstance(value, list):
        return [piece for n, item in enumerate(value) for piece in draw(pieces(item, f"{path}[{n}]"))]
    if isinstance(value, str):
        at = draw(st.integers(0, len(value)))
        first = {"jsonPath": path, "stringValue": value[:at], "willContinue": True}
        return [first, {"jsonPath": path, "stringValue": value[at:]}]
    word = "nullValue" if value is None else "boolValue" if isinstance(value, bool) else "numberValue"
    return [{"jsonPath": path, word: "NULL_VALUE" if value is None else value}]


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_what_was_taken_apart_is_put_together(value: dict[str, Any], data: st.DataObject) -> None:
    call = PartialCall()
    for piece in data.draw(pieces(value)):
        call.add([piece])
    assert (call.args(), call.skipped) == (value, False)


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"jsonPath": st.text("$.a[]'\"0\\", max_size=9), "stringValue": JSON}) | JSON
    )
)
def test_no_piece_does_harm(some: list[Any]) -> None:
    call = PartialCall()
    call.add(some)
    json.dumps(call.args())


@pytest.mark.parametrize(
    "path",
    [
        "$", "a", "$..a", "$.a[b]", "$[0]", "$.a" * 2 + ".", f"$.a[{MOST_GAPS + 1}]", "$" + ".a" * (MOST_STEPS + 1), "$.l.x",
        "$.l[0][0].x[101]", "$.o[1]", "$.o[1].x",
    ],
)  # fmt: skip
def test_a_piece_without_a_place_is_skipped(path: str) -> None:
    call = PartialCall()
    call.add([{"jsonPath": "$.s", "numberValue": 1}, {"jsonPath": "$.l[0]", "boolValue": True}])
    call.add([{"jsonPath": "$.o.k", "nullValue": "NULL_VALUE"}, {"jsonPath": path, "stringValue": "zz"}])
    args = json.dumps(call.args())
    assert (call.skipped, "zz" in args) == (True, False)


def test_a_value_is_no_object_and_gives_way_to_one() -> None:
    call = PartialCall()
    call.add([{"jsonPath": "$.s", "numberValue": 1}, {"jsonPath": "$.s.x", "stringValue": "y"}])
    assert (call.args(), call.skipped) == ({"s": {"x": "y"}}, False)
    call.add([{"jsonPath": "$.s", "numberValue": {"a": 1}}, 7])
    assert call.skipped


def test_a_piece_may_only_end_its_text() -> None:
    call = PartialCall()
    call.add([{"jsonPath": "$.a", "stringValue": "x", "willContinue": True}, {"jsonPath": "$.a"}])
    assert (call.args(), call.skipped) == ({"a": "x"}, False)


def test_paths_with_quotes() -> None:
    assert path_of("""$["a\\"b"]['c.d'][3].e""") == ['a"b', "c.d", 3, "e"]
