"""JSON Schema as Gemini's ``...JsonSchema`` fields take it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.dialects.gemini.schema import to_json_schema
from dragoman.core.dialects.gemini.schema_reading import MAX_NODES
from dragoman.core.json_text import dumps
from tests.core.dialects.gemini.schemas import VALUES, WILD_OBJECTS, Judge, documents

ALLOWED = {
    "type", "title", "description", "format", "enum", "minimum", "maximum", "minItems", "maxItems", "propertyOrdering",
    "properties", "items", "anyOf", "prefixItems", "additionalProperties", "required", "$ref", "$defs",
}  # fmt: skip


def nodes(schema: Any) -> Any:
    """Every node of a converted schema."""
    yield schema
    for word in ("properties", "$defs"):
        for inner in schema.get(word, {}).values():
            yield from nodes(inner)
    for word in ("anyOf", "prefixItems"):
        for inner in schema.get(word, []):
            yield from nodes(inner)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from nodes(schema[word])


@given(documents(), VALUES)
def test_what_was_valid_stays_valid(schema: dict[str, Any], value: Any) -> None:
    converted, _ = to_json_schema(schema)
    value = {next(iter(schema["properties"])): value, "a": value, "b": value}
    assert not Judge(schema).is_valid(value, schema) or Judge(converted).is_valid(value, converted)


@given(documents() | WILD_OBJECTS, st.booleans())
def test_only_known_words_remain_and_converting_twice_is_converting_once(schema: Any, is_object: bool) -> None:
    before = dumps(schema)
    converted, lost = to_json_schema(schema, is_object=is_object)
    for node in nodes(converted):
        assert node.keys() <= ALLOWED
        # Beside a reference stand only words that begin with $, as Gemini has it: at the root the definitions.
        assert "$ref" not in node or all(word.startswith("$") for word in node)
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in converted["$defs"]
    assert not is_object or converted["type"] == "object"
    again, _ = to_json_schema(converted, is_object=is_object)
    assert again == converted
    assert len(set(lost)) == len(lost)
    assert dumps(schema) == before


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a", "title": "b"}}},
        {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_reference_to_nothing_but_itself_is_lost(schema: dict[str, Any]) -> None:
    converted, lost = to_json_schema(schema, is_object=False)
    assert b"$ref" not in dumps(converted)
    assert lost == ("$ref",)


def test_recursion_stays_a_reference() -> None:
    schema = {
        "$ref": "#/definitions/Node",
        "definitions": {
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/definitions/Node"}, "up": {"$ref": "#"}}}
        },
    }
    converted, lost = to_json_schema(schema, is_object=True)
    assert converted["properties"] == {"next": {"$ref": "#/$defs/Node"}, "up": {"$ref": "#/$defs/root"}}
    assert converted["$defs"]["root"] == {"$ref": "#/$defs/Node"}
    assert converted["$defs"]["Node"]["properties"]["next"] == {"$ref": "#/$defs/Node"}
    assert lost == ()


def test_words_beside_a_reference_are_kept() -> None:
    one = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}},
        "$defs": {"A": {"type": "string"}},
    }
    converted, _ = to_json_schema(one)
    assert converted["properties"]["a"] == {"description": "d", "anyOf": [{"$ref": "#/$defs/A"}]}
    older = {"properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "d"}}, "$defs": one["$defs"]}
    assert to_json_schema(older)[0]["properties"] == converted["properties"]
    both = {"properties": {"a": {"$ref": "#/$defs/A", "anyOf": [{}]}}, "$defs": one["$defs"]}
    assert to_json_schema(both) == ({"properties": {"a": {"anyOf": [{}]}}}, ("$ref",))


def test_references_that_lead_nowhere_are_named() -> None:
    for ref in ("https://x.example/s.json", "#/$defs/none", "#/properties/a/enum/9", "#anchor", 7):
        converted, lost = to_json_schema({"properties": {"a": {"$ref": ref, "title": "t"}}})
        assert converted == {"properties": {"a": {"title": "t"}}}
        assert lost == ("$ref",)
    assert to_json_schema({"$ref": "#/none"}, is_object=True) == ({"type": "object"}, ("$ref",))
    # Two definitions of one name stay two.
    two = {
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/A"}},
        "$defs": {"A": {"type": "string"}},
    }
    converted, _ = to_json_schema({**two, "definitions": {"A": {"type": "null"}}, "propertyOrdering": ["b", "a"]})
    assert converted["$defs"] == {"A": {"type": "string"}, "A_": {"type": "null"}}
    assert converted["propertyOrdering"] == ["b", "a"]
    # One into a list, percent signs and all, is found.
    found = {"properties": {"a%b": {"anyOf": [{"type": "null"}]}, "c": {"$ref": "#/properties/a%25b/anyOf/0"}}}
    converted, lost = to_json_schema(found)
    assert converted["$defs"] == {"properties_a_25b_anyOf_0": {"type": "null"}}
    assert lost == ()


def test_what_cannot_be_said_is_told() -> None:
    schema = {
        "type": "string",
        "description": "A word.",
        "minLength": 3,
        "pattern": "^a",
        "not": {"enum": ["x" * 200]},
        "$id": "i",
    }
    converted, lost = to_json_schema(schema)
    assert converted == {"type": "string", "description": 'A word. (minLength: 3) (pattern: "^a")'}
    assert lost == ("minLength", "pattern", "not", "$id")
    assert to_json_schema({"enum": [True, "a"]}) == ({"description": '(enum: [true,"a"])'}, ("enum",))


def test_bounds_become_inclusive() -> None:
    assert to_json_schema({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5}) == (
        {"type": "integer", "minimum": 1, "maximum": 4},
        (),
    )
    assert to_json_schema({"type": "number", "exclusiveMinimum": 0}) == (
        {"type": "number", "minimum": 0, "description": "(exclusiveMinimum: 0)"},
        ("exclusiveMinimum",),
    )
    assert to_json_schema({"type": "integer", "minimum": 7, "exclusiveMinimum": 3})[0]["minimum"] == 7
    draft4 = {"type": "integer", "minimum": 7, "exclusiveMinimum": True, "exclusiveMaximum": True, "maximum": 9}
    assert to_json_schema(draft4)[0] == {"type": "integer", "minimum": 8, "maximum": 8}
    assert to_json_schema({"minimum": 1, "exclusiveMinimum": False})[0] == {"minimum": 1}
    assert to_json_schema({"exclusiveMinimum": "x"}) == (
        {"description": '(exclusiveMinimum: "x")'},
        ("exclusiveMinimum",),
    )


def test_null_among_the_values() -> None:
    branches = [{"enum": ["a"], "type": "string"}, {"type": "null"}]
    assert to_json_schema({"type": ["string", "null"], "enum": ["a", None]})[0] == {"anyOf": branches}
    assert to_json_schema({"enum": ["a", None]})[0] == {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}
    assert to_json_schema({"const": None})[0] == {"type": "null"}
    assert to_json_schema({"enum": ["a", None], "anyOf": [{}]})[1] == ("enum",)
    assert to_json_schema({"type": "string", "nullable": True})[0] == {"type": ["string", "null"]}
    assert to_json_schema({"title": "t", "nullable": True})[0] == {"title": "t"}
    assert to_json_schema({"type": ["null"], "nullable": True})[0] == {"type": "null"}
    assert to_json_schema({"anyOf": [{"type": "string"}], "nullable": True})[0]["anyOf"][1] == {"type": "null"}


def test_branches_are_joined() -> None:
    schema = {
        "type": ["string", "number"],
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "allOf": [
            {"type": "integer", "title": "t", "properties": {"a": {"type": "null"}, "b": {}}, "required": ["b", "a"]},
            {"title": "other", "allOf": [{"maxItems": 3}]},
            {"maxItems": 4},
            True,
        ],
    }
    converted, lost = to_json_schema(schema)
    assert converted == {
        "type": "integer", "properties": {"b": {}, "a": {"type": "string"}}, "title": "t", "maxItems": 3, "required": ["a", "b"],
    }  # fmt: skip
    assert lost == ("allOf",)
    assert to_json_schema({"type": "string", "allOf": [{"type": "number"}]}) == ({"type": "string"}, ("allOf",))
    assert to_json_schema({"type": "number", "allOf": [{"type": "integer"}]})[0] == {"type": "integer"}
    both = {"oneOf": [{}], "anyOf": [{"type": "null"}]}
    assert to_json_schema(both) == ({"anyOf": [{"type": "null"}]}, ("oneOf",))
    circle = {"properties": {"a": {"allOf": [{"$ref": "#/properties/a"}, {}]}}}
    assert to_json_schema(circle)[1] == ("allOf",)
    assert to_json_schema({"allOf": [False, 7]})[1] == ("allOf",)


def test_tuples_and_booleans() -> None:
    assert to_json_schema({"items": [{"type": "string"}]})[0] == {"prefixItems": [{"type": "string"}]}
    old = {"items": [{"type": "string"}], "additionalItems": {"type": "null"}}
    assert to_json_schema(old)[0] == {"prefixItems": [{"type": "string"}], "items": {"type": "null"}}
    assert to_json_schema({"properties": {"a": False, "b": True}}) == ({"properties": {"b": {}}}, ("false",))
    assert to_json_schema({"items": False}) == ({"items": {}}, ("false",))
    assert to_json_schema({"items": 7})[1] == ("what is no schema",)
    assert to_json_schema({"type": "string"}, is_object=True) == ({"type": "object"}, ("type",))
    assert to_json_schema({"required": ["a", 7], "properties": {"a": {}}})[0]["required"] == ["a"]
    assert to_json_schema({"maxItems": "3", "minItems": 2.0, "required": []})[0] == {"maxItems": 3, "minItems": 2}


def test_it_ends() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"items": deep}
    assert to_json_schema(deep)[1] == ("what is nested too deeply",)
    for _ in range(300):
        deep = {"allOf": [deep]}
    assert "what is nested too deeply" in to_json_schema(deep)[1]
    # Each definition joins the next one twice: 2 to the power of 40, if nobody counted.
    many = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"properties": {str(n): {}}}] * 2} for n in range(40)}
    converted, lost = to_json_schema({"$ref": "#/$defs/d0", "$defs": {**many, "d40": {}}}, is_object=True)
    assert len(list(nodes(converted))) <= MAX_NODES + 1
    assert lost
    wide = {"properties": {str(n): {"type": "string"} for n in range(MAX_NODES + 10)}}
    assert to_json_schema(wide)[1] == ("what makes it too large",)
