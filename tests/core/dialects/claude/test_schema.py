"""Schemas as the Messages API takes them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.dialects.claude.schema import strict_schema, tool_schema
from tests.strategies_chat import JSON, SCHEMAS

KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "anyOf",
        "oneOf",
        "allOf",
        "items",
        "$ref",
        "$defs",
        "minLength",
        "format",
        "minItems",
        "required",
        "not",
    ]
)
WILD: st.SearchStrategy[Any] = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYWORDS, inner, max_size=4), max_leaves=10
)


def test_unions_at_the_root_become_one_object() -> None:
    schema = {
        "description": "d",
        "oneOf": [
            {"properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer"}, "b": {}}},
        ],
        "allOf": [{"required": ["c"], "properties": {"c": {}}}],
    }
    assert tool_schema(schema) == (
        {
            "description": "d",
            "properties": {"c": {}, "a": {"type": "string"}, "b": {}},
            "required": ["c"],
            "type": "object",
        },
        True,
    )


def test_no_schema_takes_nothing() -> None:
    assert tool_schema(None) == ({"type": "object", "properties": {}}, False)
    assert tool_schema({"type": "string"})[1]


def test_an_answer_is_held_to_less() -> None:
    schema = {
        "type": "object",
        "description": "d",
        "properties": {
            "format": {"type": "string", "format": "date", "maxLength": 3},
            "list": {"type": "array", "items": {"oneOf": [{"type": "string", "format": "phone"}]}, "minItems": 2},
            "any": {"anyOf": [{"type": "null"}]},
        },
        "additionalProperties": True,
        "minProperties": 1,
        "$schema": "x",
    }
    assert strict_schema(schema) == {
        "type": "object",
        "description": "d (minProperties: 1)",
        "properties": {
            "format": {"type": "string", "format": "date", "description": "(maxLength: 3)"},
            "list": {
                "type": "array",
                "items": {"anyOf": [{"type": "string", "description": "(format: phone)"}]},
                "description": "(minItems: 2)",
            },
            "any": {"anyOf": [{"type": "null"}]},
        },
        "additionalProperties": False,
    }


@given(SCHEMAS | st.dictionaries(KEYWORDS, WILD, max_size=5))
def test_any_schema_ends_where_it_ends(schema: dict[str, Any]) -> None:
    once = strict_schema(schema)
    assert strict_schema(once) == once
    rooted, _ = tool_schema(schema)
    assert rooted["type"] == "object"
    assert isinstance(rooted["properties"], dict)
    assert not {"anyOf", "oneOf", "allOf"} & rooted.keys()
    assert tool_schema(rooted) == (rooted, False)


def test_depth_ends() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(500):
        schema = {"type": "array", "items": schema}
    assert strict_schema(schema)["type"] == "array"
