"""JSON Schema made into the Schema message, and back: one type for each node, no references, nothing beside ``anyOf``."""

from collections.abc import Mapping
from typing import Any

from dragoman.core.dialects.gemini.schema_reading import (
    MAX_DEPTH,
    TOLD,
    Conversion,
    allow_null,
    is_number,
    names_of,
    tell,
    types_of,
    whole_of,
)
from dragoman.core.json_text import dumps_text

_ANYTHING: Mapping[str, Any] = {"type": "OBJECT", "description": "any value"}
_FORMATS = {
    "string": ("enum", "date-time"), "number": ("float", "double"), "integer": ("int32", "int64"),
}  # fmt: skip
_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"), "number": ("minimum", "maximum"), "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties", "propertyOrdering"),
    "boolean": (), "null": (),
}  # fmt: skip


class _Proto(Conversion):
    """To the Schema message: one type for each node, no references."""

    def whole(self, *, is_object: bool) -> dict[str, Any]:
        """The schema."""
        out = self.node(self.root, 0, frozenset())
        if is_object and out.get("type") != "OBJECT":
            self.lose("anyOf" if "anyOf" in out else "type")
            return {"type": "OBJECT"}
        return out

    def node(self, value: Any, depth: int, stack: frozenset[str]) -> dict[str, Any]:
        """Convert a node."""
        if not isinstance(value, Mapping):
            self.lose("true" if value is True else "false" if value is False else "what is no schema")
            return dict(_ANYTHING)
        if self.is_spent(depth):
            return dict(_ANYTHING)
        found, stack = self.followed(value, stack)
        if found is None:
            self.lose("$ref")
            name = str(value["$ref"]).rpartition("/")[2]
            return {"type": "OBJECT", "description": f"See: {name}"}
        node, stack = self.plain(found, stack)
        self._parse_tuple(node)
        types = types_of(node.get("type"))
        is_nullable = node.pop("nullable", None) is True or (len(types) > 1 and "null" in types)
        if is_nullable and len(types) > 1:
            types = [kind for kind in types if kind != "null"]
        branches = node.pop("anyOf", None)
        if isinstance(branches, list) and branches:
            if types:
                node["type"] = types
            return self._union(node, branches, depth, stack, is_nullable=is_nullable)
        if len(types) > 1:
            branches = [{"type": kind} for kind in types]
            del node["type"]
            return self._union(node, branches, depth, stack, is_nullable=is_nullable)
        out = self._typed(node, types[0] if types else self._guess(node), depth + 1, stack)
        if is_nullable and out["type"] != "NULL":
            out["nullable"] = True
        return out

    def _parse_tuple(self, node: dict[str, Any]) -> None:
        members = node.pop("prefixItems", None)
        if not isinstance(members, list) or not members:
            return
        self.lose("prefixItems")
        more = node.get("items")
        if more is not None and more is not False:
            members = [*members, more]
        node["items"] = {"anyOf": members} if len(members) > 1 else members[0]

    def _guess(self, node: Mapping[str, Any]) -> str:
        """The type of a node that does not say it."""
        for word, kind in (("properties", "object"), ("items", "array"), ("required", "object"), ("pattern", "string")):
            if word in node:
                return kind
        values = node.get("enum")
        if isinstance(values, list) and values:
            if all(isinstance(value, bool) for value in values):
                return "boolean"
            return "number" if all(is_number(value) for value in values) else "string"
        if is_number(node.get("minimum")) or is_number(node.get("maximum")):
            return "number"
        self.lose("a missing type")
        return "object"

    def _union(
        self, node: dict[str, Any], branches: list[Any], depth: int, stack: frozenset[str], *, is_nullable: bool
    ) -> dict[str, Any]:
        """A choice. Nothing may stand beside ``anyOf``, so what does goes into each branch."""
        joined = [{**node, "allOf": [branch]} if node else branch for branch in branches]
        every = [self.node(branch, depth + 1, stack) for branch in joined]
        out = [branch for branch in every if branch.get("type") != "NULL"]
        if not out:
            return {"type": "NULL"}
        if is_nullable or len(out) < len(every):
            for branch in out:
                _allow_null(branch)
        return out[0] if len(out) == 1 else {"anyOf": out}

    def _typed(self, node: Mapping[str, Any], kind: str, depth: int, stack: frozenset[str]) -> dict[str, Any]:
        out: dict[str, Any] = {"type": kind.upper()}
        told: dict[str, Any] = {}
        for word, value in node.items():
            if word in ("type", "required", "$defs", "definitions"):
                continue
            said = self._word(word, value, kind, depth, stack)
            if said is not None:
                out[word] = said
            else:
                self.lose(word)
                if word in TOLD and not (word == "format" and value == "enum"):
                    told[word] = value
        if kind == "object":
            self.require(node, out)
        if kind == "array" and "items" not in out:
            self.lose("a missing type")
            out["items"] = {"type": "STRING"}  # Gemini insists on some
        if kind == "string" and "enum" in out:
            out["format"] = "enum"
        for word, value in told.items():
            tell(out, word, value)
        return out

    def _word(self, word: str, value: Any, kind: str, depth: int, stack: frozenset[str]) -> Any:
        match word:
            case "title" | "description":
                return value if isinstance(value, str) else None
            case "format":
                return value if value in _FORMATS.get(kind, ()) else None
            case "enum" if isinstance(value, list) and value and kind in ("string", "number", "integer"):
                return [item if isinstance(item, str) else dumps_text(item) for item in value]
            case "properties" if isinstance(value, Mapping) and kind == "object":
                if False in value.values():
                    self.lose("false")
                named = {name: self.node(item, depth, stack) for name, item in value.items() if item is not False}
                return named or None
            case "items" if kind == "array":
                return self.node(value, depth, stack)
            case "minimum" | "maximum":
                return value if word in _OF_TYPE[kind] and is_number(value) else None
            case "pattern":
                return value if word in _OF_TYPE[kind] and isinstance(value, str) else None
            case "propertyOrdering":
                return (word in _OF_TYPE[kind] and names_of(value)) or None
            case _:
                return whole_of(value) if word in _OF_TYPE[kind] else None


def _allow_null(node: dict[str, Any]) -> None:
    for branch in node.get("anyOf", ()):
        _allow_null(branch)
    if "anyOf" not in node:
        node["nullable"] = True


def to_proto(schema: Mapping[str, Any], *, is_object: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Convert to the Schema message, which ``parameters`` and ``responseSchema`` take.

    Args:
        schema: JSON Schema of any draft, or a Schema message, which stays as it is.
        is_object: Whether the root has to be an object, as it has for arguments of a tool.

    Returns:
        The schema; and the words that were left out or changed.

    >>> to_proto({"type": ["integer", "null"], "const": 7})
    ({'type': 'INTEGER', 'enum': ['7'], 'nullable': True}, ())

    """
    conversion = _Proto(schema)
    return conversion.whole(is_object=is_object), tuple(conversion.lost)


# ---- and back


def from_proto(schema: object, depth: int = 0) -> dict[str, Any]:
    """Turn a Schema message into JSON Schema.

    >>> from_proto({"type": "INTEGER", "nullable": True, "enum": ["1", "2"]})
    {'type': ['integer', 'null'], 'enum': [1, 2, None]}
    """
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return {}
    out: dict[str, Any] = {}
    for word, value in schema.items():
        match word:
            case "type":
                if found := types_of(value):  # pragma: no branch - 3.11.2 hides it
                    out["type"] = found[0]
            case "nullable":
                pass
            case "format" if value == "enum":
                pass
            case "enum":
                out["enum"] = _values(value, schema.get("type"))
            case "properties" | "defs" if isinstance(value, Mapping):
                name = "$defs" if word == "defs" else word
                out[name] = {key: from_proto(item, depth + 1) for key, item in value.items()}
            case "items":
                out[word] = from_proto(value, depth + 1)
            case "additionalProperties":
                out[word] = value if isinstance(value, bool) else from_proto(value, depth + 1)
            case "anyOf" if isinstance(value, list):
                out[word] = [from_proto(item, depth + 1) for item in value]
            case "ref":
                out["$ref"] = value
            case "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties":
                out[word] = value if (count := whole_of(value)) is None else count
            case _:
                out[word] = value
    if schema.get("nullable") is True:
        allow_null(out)
        if "enum" in out:
            out["enum"] = [*out["enum"], None]
    return out


def _values(value: object, kind: object) -> list[Any]:
    """The values of an enum: numbers again, where the type says so and each of them is one."""
    values = value if isinstance(value, list) else []
    if str(kind).lower() not in ("integer", "number"):
        return list(values)
    try:
        return [float(item) if "." in item or "e" in item.lower() else int(item) for item in values]
    except (ValueError, TypeError, AttributeError):
        return list(values)
