"""Schemas to convert, and a judge of values: a small JSON Schema validator for the words that are drawn."""

from typing import Any

from hypothesis import strategies as st

from tests.strategies_chat import JSON

NAMES = st.sampled_from(["a", "b", "type", "format", "const", "default", "title", "properties"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "x", "abc", 0.5]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "type"]), inner, max_size=2),
    max_leaves=5,
)
TYPES = ["string", "number", "integer", "boolean", "array", "object", "null"]
WORDS = (
    "type", "properties", "anyOf", "oneOf", "allOf", "items", "$ref", "$defs", "minLength", "format", "required", "const", "enum",
    "exclusiveMinimum", "minimum", "nullable", "prefixItems", "additionalProperties", "not", "description", "maxItems",
    "propertyOrdering", "additionalItems", "pattern",
)  # fmt: skip
# Anything under the words of JSON Schema.
WILD: st.SearchStrategy[Any] = st.recursive(
    JSON | st.sampled_from(["#", "#/$defs/a", "#/properties/a", "string", "INTEGER", 3, True, []]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
        | st.fixed_dictionaries({"$ref": st.sampled_from(["#", "#/$defs/a", "#/allOf/0"])})
    ),
    max_leaves=12,
)
WILD_OBJECTS = st.dictionaries(st.sampled_from(WORDS), WILD, max_size=5)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Any:
    """True schemas of every kind, references to three definitions (which may be cyclic) included."""
    kinds = ["typed", "several", "enum", "const", "ref", "any"]
    if depth:
        kinds += ["object", "object", "array", "tuple", "anyOf", "oneOf", "allOf", "number"]
    inner = schemas(depth - 1) if depth else st.just({})
    node: dict[str, Any]
    match draw(st.sampled_from(kinds)):
        case "typed":
            node = {"type": draw(st.sampled_from(TYPES))}
        case "several":
            node = {"type": draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True))}
        case "enum":
            node = {"enum": draw(st.lists(VALUES, min_size=1, max_size=3))}
        case "const":
            node = {"const": draw(VALUES)}
        case "ref":
            node = {"$ref": draw(st.sampled_from(["#", "#/$defs/a", "#/$defs/b~1c", "#/definitions/a"]))}
        case "object":
            properties = draw(st.dictionaries(NAMES, inner, max_size=3))
            node = {"type": "object", "properties": properties}
            node["required"] = draw(st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True))
            if draw(st.booleans()):
                node["additionalProperties"] = draw(st.booleans() | inner)
        case "array":
            node = {"type": "array", "items": draw(inner), "minItems": draw(st.integers(0, 2)), "uniqueItems": True}
        case "tuple":
            node = {"type": "array", "prefixItems": draw(st.lists(inner, min_size=1, max_size=2))}
        case "number":
            node = {"type": draw(st.sampled_from(["integer", "number"]))}
            node[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = draw(st.integers(-2, 2))
            node[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = draw(st.sampled_from([2, 2.5]))
        case "any":
            return draw(st.sampled_from([True, {}, {"description": "d"}, {"$comment": "c"}]))
        case word:
            node = {word: draw(st.lists(inner, min_size=1, max_size=3))}
    if draw(st.booleans()):
        node["description"] = "d"
    return node


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A schema of an object with its definitions."""
    properties = draw(st.dictionaries(NAMES, schemas(), min_size=1, max_size=3))
    defs = {"a": draw(schemas(2)), "b/c": draw(schemas(2))}
    root = {"type": "object", "properties": properties, "required": sorted(properties)[:1], "$defs": defs}
    return {**root, "definitions": {"a": draw(schemas(1))}}


class Judge:
    """Says whether a value is valid under a schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._open: set[tuple[int, int]] = set()

    def is_valid(self, value: Any, node: Any) -> bool:
        """Validate; a reference that leads back to itself with the same value holds."""
        if isinstance(node, bool):
            return node
        if "$ref" in node:
            target = self._root
            for step in node["$ref"][2:].split("/") if len(node["$ref"]) > 1 else ():
                target = target[step.replace("~1", "/")]
            key = (id(value), id(target))
            if key in self._open:
                return True
            self._open.add(key)
            try:
                held = self.is_valid(value, target)
            finally:
                self._open.discard(key)
            if not held:
                return False
        return all(self._holds(value, word, said, node) for word, said in node.items())

    def _holds(self, value: Any, word: str, said: Any, node: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        match word:
            case "type":
                return any(_is_a(value, kind) for kind in ([said] if isinstance(said, str) else said))
            case "enum":
                return any(_same(value, one) for one in said)
            case "const":
                return _same(value, said)
            case "minimum":
                return not is_number or value >= said
            case "maximum":
                return not is_number or value <= said
            case "exclusiveMinimum":
                return not is_number or value > said
            case "exclusiveMaximum":
                return not is_number or value < said
            case "minItems":
                return not isinstance(value, list) or len(value) >= said
            case "uniqueItems":
                return not isinstance(value, list) or all(
                    not _same(a, b) for n, a in enumerate(value) for b in value[:n]
                )
            case "required":
                return not isinstance(value, dict) or all(name in value for name in said)
            case "properties":
                return not isinstance(value, dict) or all(self.is_valid(value[n], said[n]) for n in said if n in value)
            case "additionalProperties":
                rest = value.keys() - node.get("properties", {}).keys() if isinstance(value, dict) else ()
                return all(self.is_valid(value[name], said) for name in rest)
            case "items":
                rest = value[len(node.get("prefixItems", ())) :] if isinstance(value, list) else []
                return all(self.is_valid(item, said) for item in rest)
            case "prefixItems":
                pairs = zip(value, said, strict=False) if isinstance(value, list) else ()
                return all(self.is_valid(item, inner) for item, inner in pairs)
            case "anyOf":
                return any(self.is_valid(value, inner) for inner in said)
            case "allOf":
                return all(self.is_valid(value, inner) for inner in said)
            case "oneOf":
                return sum(self.is_valid(value, inner) for inner in said) == 1
            case _:
                return True


def _is_a(value: Any, kind: str) -> bool:
    kinds = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    if kind in kinds:
        return isinstance(value, kinds[kind])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (kind == "number" or float(value).is_integer())


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool) and type(a) in (type(b), int, float)
