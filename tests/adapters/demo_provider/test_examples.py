"""Example values fit their schemas."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.demo_provider.examples import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}, {"a": "example a"}),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"const": 5}, 5),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "INTEGER", "minimum": 7}, 7),
        ({"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "maximum": 12, "minimum": 9, "multipleOf": 5}, 10),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False}, [1, True]),
        ({"anyOf": [{"type": "null"}, {"type": "number"}]}, 1.5),
        ({"oneOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "null"}}}, None),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": "example b"}),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"type": "string", "minLength": 15}, "example value.."),
        ({"$ref": "#"}, "example value"),
        ({"$ref": "elsewhere"}, "example value"),
        (True, "example value"),
        (None, "example value"),
    ],
    ids=str,
)  # fmt: skip
def test_fits(schema: Any, value: Any) -> None:
    """By the letter."""
    assert example(schema) == value


def test_a_list_in_a_circle_ends() -> None:
    """With an empty list."""
    assert "[]" in str(
        example({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"})
    )


def test_a_circle_ends() -> None:
    """A required one as late as it must, another as soon as it can."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]}
    value, depth = example(tree), 0
    while value:
        value, depth = value["child"], depth + 1
    assert 3 < depth < 20
    assert example(tree | {"required": []}) == {}


def test_salt_varies() -> None:
    """Two parallel calls of one tool are two."""
    schema = {"type": "object", "properties": {"a": {}, "b": {"enum": [1, 2]}}, "required": ["a", "b"]}
    assert example(schema, salt=1) == {"a": "example a 2", "b": 2}


@given(st.integers(-50, 50), st.integers(0, 50), st.booleans(), st.booleans(), st.sampled_from(["integer", "number"]))
def test_numbers_are_within_bounds(low: int, more: int, above: bool, below: bool, kind: str) -> None:
    """Inclusive or not, wherever there is a number between."""
    high = low + more + 2
    schema = {
        "type": kind,
        "exclusiveMinimum" if above else "minimum": low,
        "exclusiveMaximum" if below else "maximum": high,
    }
    value = example(schema)
    assert low + above * 1e-9 <= value <= high - below * 1e-9
