"""JSON Schema as Gemini's Schema message, and back."""

from typing import Any

from google.genai import types as gemini
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.core.dialects.gemini.schema_proto import from_proto, to_proto
from dragoman.core.dialects.gemini.schema_reading import MAX_NODES
from dragoman.core.json_text import dumps
from tests.core.dialects.gemini.schemas import VALUES, WILD_OBJECTS, Judge, documents

WORDS = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required", "minProperties",
    "maxProperties", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "items", "minimum", "maximum",
}  # fmt: skip


def nodes(schema: Any) -> Any:
    """Every node of a Schema message."""
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from nodes(inner)
    for inner in schema.get("anyOf", []):
        yield from nodes(inner)
    if "items" in schema:
        yield from nodes(schema["items"])


@given(documents() | WILD_OBJECTS, st.booleans())
def test_only_known_words_remain_and_converting_twice_is_converting_once(schema: Any, is_object: bool) -> None:
    before = dumps(schema)
    converted, _ = to_proto(schema, is_object=is_object)
    for node in nodes(converted):
        assert node.keys() <= WORDS
        assert node.keys() == {"anyOf"} or isinstance(node["type"], str)
    assert not is_object or converted["type"] == "OBJECT"
    assert to_proto(converted, is_object=is_object)[0] == converted
    assert dumps(schema) == before
    gemini.Schema.model_validate(converted)


# What the message can say; the rest becomes something narrower (any value an object, a list of anything one of texts).
SAYABLE: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "boolean"},
            {"type": ["integer", "null"]},
            {"type": ["string", "number"]},
            {"enum": ["a", "x"]},
            {"enum": ["a", None]},
            {"type": "integer", "enum": [1, 2]},
            {"const": "abc"},
            {"type": "integer", "exclusiveMinimum": 0, "maximum": 2},
            {"type": "number", "exclusiveMaximum": 1.5},
            {"$ref": "#/$defs/a"},
            {"$ref": "#/$defs/a", "description": "d"},
        ]
    ),
    lambda inner: (
        inner.map(lambda item: {"type": "array", "items": item, "maxItems": 2})
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
        | st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"oneOf": branches, "description": "d"})
        | st.lists(inner, min_size=1, max_size=2).map(
            lambda members: {"type": "array", "prefixItems": members, "items": False}
        )
        | st.dictionaries(st.sampled_from(["a", "b", "type"]), inner, max_size=3).map(
            lambda named: {
                "type": "object",
                "properties": named,
                "required": sorted(named)[:1],
                "additionalProperties": False,
            }
        )
    ),
    max_leaves=6,
)


@given(SAYABLE, SAYABLE, VALUES)
def test_what_was_valid_stays_valid(first: Any, second: Any, value: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"a": first},
        "$defs": {"a": {"type": "object", "properties": {"a": second}}},
    }
    schema["$defs"]["a"]["properties"]["a"] = second if "$ref" not in str(second) else {"type": "null"}  # type: ignore[index]
    back = from_proto(to_proto(schema)[0])
    assert not Judge(schema).is_valid({"a": value}, schema) or Judge(back).is_valid({"a": value}, back)


def test_types_are_one_at_a_time() -> None:
    assert to_proto({"type": ["string", "integer", "null"], "description": "d", "minimum": 1}) == (
        {
            "anyOf": [
                {"type": "STRING", "description": "d", "nullable": True},
                {"type": "INTEGER", "description": "d", "minimum": 1, "nullable": True},
            ]
        },
        ("minimum",),
    )
    assert to_proto({"anyOf": [{"type": "null"}, {"type": "string"}], "title": "t"})[0] == {
        "type": "STRING", "title": "t", "nullable": True,
    }  # fmt: skip
    required = {
        "type": "object",
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {"a": {"type": "string"}},
    }
    branches = to_proto(required)[0]["anyOf"]
    assert [branch.get("required") for branch in branches] == [["a"], None]
    assert {branch["type"] for branch in branches} == {"OBJECT"}
    assert to_proto({"anyOf": [{"type": "null"}]})[0] == {"type": "NULL"}
    assert to_proto({"type": "null", "nullable": True})[0] == {"type": "NULL"}
    nested = {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "boolean"}]}, {"type": "integer"}], "nullable": True}
    inner = to_proto(nested)[0]["anyOf"][0]["anyOf"]
    assert inner == [{"type": "STRING", "nullable": True}, {"type": "BOOLEAN", "nullable": True}]


def test_a_missing_type_is_guessed() -> None:
    untyped: list[dict[str, Any]] = [
        {"properties": {}}, {"items": {"type": "string"}}, {"pattern": "a"}, {"enum": [True]}, {"enum": [1, 2.5]},
        {"enum": ["a"]}, {"minimum": 1}, {"maximum": 1},
    ]  # fmt: skip
    found = [to_proto(node)[0]["type"] for node in untyped]
    assert found == ["OBJECT", "ARRAY", "STRING", "BOOLEAN", "NUMBER", "STRING", "NUMBER", "NUMBER"]
    assert to_proto({"properties": {"a": True, "b": False}}) == (
        {"type": "OBJECT", "properties": {"a": {"type": "OBJECT", "description": "any value"}}},
        ("false", "true"),
    )
    assert to_proto({"type": "array"}) == ({"type": "ARRAY", "items": {"type": "STRING"}}, ("a missing type",))
    assert to_proto({"items": 7})[1] == ("what is no schema",)
    assert to_proto({}) == ({"type": "OBJECT"}, ("a missing type",))
    assert to_proto({"anyOf": [{}, {"type": "string"}]}, is_object=True)[0] == {"type": "OBJECT"}
    assert to_proto({"type": "string"}, is_object=True)[1] == ("type",)


def test_recursion_ends() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    converted, lost = to_proto({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert converted["properties"]["next"] == {"type": "OBJECT", "description": "See: Node"}
    assert lost == ("$ref",)
    many = {f"d{n}": {"properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "ab"}} for n in range(40)}
    converted, lost = to_proto({"$ref": "#/$defs/d0", "$defs": {**many, "d40": {"type": "string"}}})
    assert len(list(nodes(converted))) <= MAX_NODES * 2
    assert "what makes it too large" in lost


def test_formats_and_values() -> None:
    schema = {
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "to": {"type": "string", "format": "email", "minLength": "2", "default": "x"},
            "n": {"type": "integer", "format": "int64", "enum": [1, 2]},
            "b": {"type": "boolean", "const": True},
            "t": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
                "items": {"type": "boolean"},
            },
            "one": {"type": "array", "prefixItems": [{"type": "string"}], "minItems": 1},
        },
        "propertyOrdering": ["n", "at"],
    }
    converted, lost = to_proto(schema)
    assert converted["properties"] == {
        "at": {"type": "STRING", "format": "date-time"},
        "to": {"type": "STRING", "minLength": 2, "description": '(format: "email")'},
        "n": {"type": "INTEGER", "format": "int64", "enum": ["1", "2"]},
        "b": {"type": "BOOLEAN", "description": "(enum: [true])"},
        "t": {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}, {"type": "BOOLEAN"}]}},
        "one": {"type": "ARRAY", "minItems": 1, "items": {"type": "STRING"}},
    }
    assert converted["propertyOrdering"] == ["n", "at"]
    assert lost == ("format", "default", "enum", "prefixItems")


def test_a_message_becomes_json_schema() -> None:
    message = {
        "type": "OBJECT",
        "properties": {
            "dir": {"type": "STRING", "format": "enum", "enum": ["N", "S"], "nullable": True},
            "n": {"type": "NUMBER", "enum": ["1", "2.5"], "format": "float"},
            "odd": {"type": "INTEGER", "enum": ["one"]},
            "none": {"enum": 7, "type": "TYPE_UNSPECIFIED"},
            "list": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "3", "maxItems": "x"},
            "either": {"anyOf": [{"type": "STRING"}, {"ref": "#/defs/a"}], "nullable": True},
            "open": {"type": "OBJECT", "additionalProperties": {"type": "STRING"}},
            "shut": {"type": "OBJECT", "additionalProperties": False},
            "bad": 7,
        },
        "defs": {"a": {"type": "NULL"}},
        "propertyOrdering": ["dir"],
    }
    assert from_proto(message) == {
        "type": "object",
        "properties": {
            "dir": {"type": ["string", "null"], "enum": ["N", "S", None]},
            "n": {"type": "number", "enum": [1, 2.5], "format": "float"},
            "odd": {"type": "integer", "enum": ["one"]},
            "none": {"enum": []},
            "list": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": "x"},
            "either": {"anyOf": [{"type": "string"}, {"$ref": "#/defs/a"}, {"type": "null"}]},
            "open": {"type": "object", "additionalProperties": {"type": "string"}},
            "shut": {"type": "object", "additionalProperties": False},
            "bad": {},
        },
        "$defs": {"a": {"type": "null"}},
        "propertyOrdering": ["dir"],
    }


@given(WILD_OBJECTS)
@example({"anyOf": None, "nullable": True})
def test_any_message_can_be_read(message: Any) -> None:
    assert isinstance(from_proto(message), dict)
