"""JSON Schema made into what Gemini takes, and the way back.

Gemini has two places for a schema. The fields named ``...JsonSchema`` take a part of JSON Schema, ``$ref`` and recursion included
(`to_json_schema`); the older ``parameters`` and ``responseSchema`` take the Schema message, a part of OpenAPI 3.0 without
references and with one type for each node (`dragoman.core.dialects.gemini.schema_proto`). An unknown word is a 400 in the latter, so both are allow-lists:
what is not listed is left out, named, and, where it bounds values, told in the description.

Laws: what is valid under the source is valid under the result, as far as the result can say it (constraints are only ever widened);
converting twice is converting once; every conversion ends, for references are followed once on each way down, depth and size are
bounded. Source: Gemini API reference, "Schema" and "structured output", 2026-11.
"""

import re
from collections.abc import Mapping
from typing import Any

from dragoman.core.dialects.gemini.schema_reading import (
    MISSING,
    TOLD,
    Conversion,
    allow_null,
    is_number,
    names_of,
    tell,
    types_of,
    whole_of,
)


class _JsonSchema(Conversion):
    """To the part of JSON Schema that Gemini takes."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        super().__init__(root)
        self._names: dict[str, str] = {}  # a reference to the name of its definition

    def whole(self, *, is_object: bool) -> dict[str, Any]:
        """The schema with the definitions it needs."""
        root: Any = self.root
        if is_object:
            root, _ = self.followed(root, frozenset())
            if root is None:
                self.lose("$ref")
                root = {}
        out = self.node(root, 0, frozenset())
        if is_object and out.get("type") != "object":
            if "type" in out:
                self.lose("type")
            out = {"type": "object", **{key: value for key, value in out.items() if key != "type"}}
        defs: dict[str, Any] = {}
        while len(defs) < len(self._names):
            ref, name = list(self._names.items())[len(defs)]
            defs[name] = self.node(self.find(ref), 0, frozenset())
        return {**out, "$defs": defs} if defs else out

    def _define(self, ref: object) -> str | None:
        target = self.find(ref) if isinstance(ref, str) else MISSING
        if not isinstance(ref, str) or target is MISSING:
            return None
        if ref not in self._names:
            if isinstance(target, Mapping) and self.followed(target, frozenset({ref}))[0] is None:
                return None  # it leads to nothing but itself
            path = re.sub(r"^#(?:/(?:\$defs|definitions))?/?", "", ref)
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", path) or "root"
            while name in self._names.values():
                name += "_"
            self._names[ref] = name
        return self._names[ref]

    def node(self, value: Any, depth: int, stack: frozenset[str]) -> dict[str, Any]:
        """Convert a node."""
        if not isinstance(value, Mapping):
            if value is not True:
                self.lose("false" if value is False else "what is no schema")
            return {}
        if self.is_spent(depth):
            return {}
        if "$ref" in value:
            rest = {key: item for key, item in value.items() if key[:1] != "$" and key != "definitions"}
            name = None if {"anyOf", "oneOf"} & rest.keys() else self._define(value["$ref"])
            if name is None:
                self.lose("$ref")
            elif not rest:
                return {"$ref": f"#/$defs/{name}"}
            else:
                rest["anyOf"] = [{"$ref": value["$ref"]}]
            value = rest
        every = value.get("allOf")
        if isinstance(every, list) and len(every) == 1 and not {"anyOf", "oneOf"} & value.keys():
            only = every[0]
            if isinstance(only, Mapping) and only.keys() == {"$ref"}:  # how older drafts put words beside a reference
                value = {**{key: item for key, item in value.items() if key != "allOf"}, "anyOf": every}
        plain, stack = self.plain(value, stack)
        return self._said(plain, depth + 1, stack)

    def _said(self, node: dict[str, Any], depth: int, stack: frozenset[str]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        told: dict[str, Any] = {}
        for word, value in node.items():
            said = self._word(word, value, depth, stack)
            if said is not None:
                out[word] = said
            elif word not in ("nullable", "required", "$defs", "definitions"):
                self.lose(word)
                if word in TOLD:
                    told[word] = value
        self.require(node, out)
        if node.get("nullable") is True:
            allow_null(out)
        for word, value in told.items():
            tell(out, word, value)
        return out

    def _word(self, word: str, value: Any, depth: int, stack: frozenset[str]) -> Any:
        match word:
            case "type":
                types = types_of(value)
                return (types[0] if len(types) == 1 else types) or None
            case "title" | "description" | "format":
                return value if isinstance(value, str) else None
            case "enum" if isinstance(value, list) and value:
                return value if all(isinstance(item, str) or is_number(item) for item in value) else None
            case "minimum" | "maximum":
                return value if is_number(value) else None
            case "minItems" | "maxItems":
                return whole_of(value)
            case "propertyOrdering":
                return names_of(value) or None
            case "properties" if isinstance(value, Mapping):
                if False in value.values():
                    self.lose("false")
                return {name: self.node(item, depth, stack) for name, item in value.items() if item is not False}
            case "items":
                return self.node(value, depth, stack)
            case "anyOf" | "prefixItems" if isinstance(value, list) and value:
                return [self.node(item, depth, stack) for item in value]
            case "additionalProperties":
                return value if isinstance(value, bool) else self.node(value, depth, stack)
            case _:
                return None


def to_json_schema(schema: Mapping[str, Any], *, is_object: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Convert to what ``parametersJsonSchema`` and ``responseJsonSchema`` take.

    Args:
        schema: JSON Schema of any draft, or as near as a client came.
        is_object: Whether the root has to be an object, as it has for arguments of a tool.

    Returns:
        The schema; and the words that were left out or changed.

    >>> to_json_schema({"$schema": "x", "const": "a"})
    ({'enum': ['a']}, ('$schema',))

    """
    conversion = _JsonSchema(schema)
    return conversion.whole(is_object=is_object), tuple(conversion.lost)
