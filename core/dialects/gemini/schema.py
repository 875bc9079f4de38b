"""JSON Schema made into what Gemini takes, and the way back.

Gemini has two places for a schema. The fields named ``...JsonSchema`` take a part of JSON Schema, ``$ref`` and recursion included
(`to_json_schema`); the older ``parameters`` and ``responseSchema`` take the Schema message, a part of OpenAPI 3.0 without
references and with one type for each node (`to_proto`, `from_proto`). An unknown word is a 400 in the latter, so both are allow-lists:
what is not listed is left out, named, and, where it bounds values, told in the description.

Laws: what is valid under the source is valid under the result, as far as the result can say it (constraints are only ever widened);
converting twice is converting once; every conversion ends, for references are followed once on each way down, depth and size are
bounded. Source: Gemini API reference, "Schema" and "structured output", 2026-11.
"""

import re
from collections.abc import Mapping
from typing import Any

from dragoman.core.json_text import dumps_text

MAX_DEPTH = 64  # nobody nests deeper; the interpreter could not follow much deeper
MAX_NODES = 5_000  # written for one schema; inlined references can multiply without end

_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_ANNOTATIONS = frozenset({"title", "description", "$schema", "$id", "$comment", "default", "example", "examples"})
# What bounds values and is told in the description when it cannot be said.
_TOLD = frozenset({
    "enum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "not", "patternProperties", "propertyNames",
    "contains", "minContains", "maxContains", "minLength", "maxLength", "pattern", "minProperties", "maxProperties", "format",
    "dependentRequired", "additionalProperties", "contentEncoding", "contentMediaType",
})  # fmt: skip
_BOUNDS = (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1))
_MISSING: Any = object()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _step(text: str) -> str:
    """One step of a JSON pointer in a URL fragment."""
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
    return plain.decode("utf-8", "replace").replace("~1", "/").replace("~0", "~")


class _Conversion:
    """One conversion of one schema: where references lead, what was lost, how much was written."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.lost: dict[str, None] = {}
        self.written = 0

    def lose(self, what: str) -> None:
        self.lost.setdefault(what)

    def find(self, ref: object) -> Any:
        """What a reference within the document points at; `_MISSING` when it leads nowhere or elsewhere."""
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            return _MISSING
        node: Any = self.root
        for part in ref[2:].split("/") if ref != "#" else ():
            step = _step(part)
            if isinstance(node, Mapping) and step in node:
                node = node[step]
            elif (
                isinstance(node, list) and step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(node)
            ):
                node = node[int(step)]
            else:
                return _MISSING
        return node

    def is_spent(self, depth: int) -> bool:
        """Whether to stop here; counts the node otherwise."""
        self.written += 1
        if depth <= MAX_DEPTH and self.written <= MAX_NODES:
            return False
        self.lose("what is nested too deeply" if depth > MAX_DEPTH else "what makes it too large")
        return True

    def followed(self, node: Any, stack: frozenset[str]) -> tuple[dict[str, Any] | None, frozenset[str]]:
        """A node with its own reference replaced by what it points at; None when there is no such thing, or no new thing.

        Returns:
            The node, what stands beside the reference overriding; and `stack` with the references followed.

        """
        while isinstance(node, Mapping) and "$ref" in node:
            ref = node["$ref"]
            target = self.find(ref)
            if ref in stack or not isinstance(target, Mapping) or self.is_spent(0):
                return None, stack
            stack |= {ref}
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return (dict(node), stack) if isinstance(node, Mapping) else (None, stack)

    def plain(self, node: Mapping[str, Any], stack: frozenset[str]) -> tuple[dict[str, Any], frozenset[str]]:
        """A node said with fewer words: one word where JSON Schema's versions have several, and no ``allOf``."""
        out = dict(node)
        for bound, exclusive, step in _BOUNDS:
            self._include(out, bound, exclusive, step)
        if "const" in out:
            out["enum"] = [out.pop("const")]
        if isinstance(out.get("items"), list):
            out["prefixItems"] = out.pop("items")
            if "additionalItems" in out:
                out["items"] = out["additionalItems"]
        out.pop("additionalItems", None)
        if "oneOf" in out:
            if "anyOf" not in out:
                out["anyOf"] = out["oneOf"]
                self.lose("oneOf (exactly one became at least one)")
            else:
                self.lose("oneOf")
            del out["oneOf"]
        branches = out.pop("allOf", ())
        for branch in branches if isinstance(branches, list) else ():
            found, stack = self.followed(branch, stack)
            if found is None:
                if branch is not True:
                    self.lose("allOf")
                continue
            if "allOf" in found and self.is_spent(0):
                found.pop("allOf")
            found, stack = self.plain(found, stack)
            self._merge(out, found)
        _part_with_null(out)
        return out, stack

    def _include(self, out: dict[str, Any], bound: str, exclusive: str, step: int) -> None:
        """Turn an exclusive bound into an inclusive one: exactly for integers, else a little wider."""
        limit: Any = out.get(exclusive)
        if isinstance(limit, bool):  # as draft 4 has it
            del out[exclusive]
            if not limit or not _is_number(out.get(bound)):
                return
            limit = out.pop(bound)
        elif not _is_number(limit):
            return
        is_exact = isinstance(limit, int) and str(out.get("type")).lower() == "integer"
        out.pop(exclusive, None)
        here = limit + step if is_exact else limit
        old: Any = out.get(bound)
        if _is_number(old) and (old - here) * step >= 0:
            return
        out[bound] = here
        if not is_exact:
            self.lose(exclusive)
            _tell(out, exclusive, limit)

    def require(self, node: Mapping[str, Any], out: dict[str, Any]) -> None:
        """Keep of ``required`` what names a property."""
        wanted = node.get("required")
        if wanted is None:
            return
        known = [name for name in dict.fromkeys(_names(wanted)) if name in out.get("properties", {})]
        if known:
            out["required"] = known
        if known != wanted and wanted != []:
            self.lose("required")

    def _merge(self, out: dict[str, Any], branch: Mapping[str, Any]) -> None:
        """Join a branch of ``allOf`` with its node, which wins."""
        for key, value in branch.items():
            mine = out.get(key, _MISSING)
            if mine is _MISSING:
                out[key] = value
            elif key == "properties" and isinstance(mine, Mapping) and isinstance(value, Mapping):
                out[key] = {**value, **mine}
                if any(mine[name] != value[name] for name in mine.keys() & value.keys()):
                    self.lose("allOf")
            elif key == "required" and isinstance(mine, list) and isinstance(value, list):
                out[key] = mine + [name for name in value if name not in mine]
            elif key == "type" and (both := _common(_types(mine), _types(value))):
                out[key] = both
            elif mine != value and key not in _ANNOTATIONS:
                self.lose("allOf")


def _common(mine: list[str], other: list[str]) -> list[str]:
    """The types that both allow."""
    both = [kind for kind in mine if kind in other or (kind == "integer" and "number" in other)]
    return both + (["integer"] if "integer" in other and "number" in mine and "integer" not in mine else [])


def _part_with_null(out: dict[str, Any]) -> None:
    """Null among the values of an enum becomes a branch of its own."""
    values = out.get("enum")
    if not isinstance(values, list) or None not in values:
        return
    rest = [value for value in values if value is not None]
    if not rest:
        del out["enum"]
        out["type"] = "null"
    elif "anyOf" not in out:
        branch: dict[str, Any] = {"enum": rest}
        types = out.pop("type", None)
        types = [kind for kind in types if kind != "null"] if isinstance(types, list) else types
        if types:
            branch["type"] = types
        del out["enum"]
        out["anyOf"] = [branch, {"type": "null"}]


def _tell(out: dict[str, Any], word: str, value: object) -> None:
    """Say in the description what cannot be said otherwise."""
    text = dumps_text(value)
    if len(text) <= 120:
        said = out.get("description")
        hint = f"({word}: {text})"
        out["description"] = f"{said} {hint}" if isinstance(said, str) and said else hint


def _types(value: object) -> list[str]:
    """The types a node allows, in lower case."""
    found = value if isinstance(value, list) else [value]
    return [kind.lower() for kind in found if isinstance(kind, str) and kind.lower() in _TYPES]


def _whole(value: object) -> int | None:
    """A count, which proto JSON may write as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


# ---- to the fields named ...JsonSchema


class _JsonSchema(_Conversion):
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
        if not isinstance(ref, str) or self.find(ref) is _MISSING:
            return None
        if ref not in self._names:
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
            name = self._define(value["$ref"])
            rest = {key: item for key, item in value.items() if not key.startswith("$")}
            if name is None:
                self.lose("$ref")
            elif not rest:
                return {"$ref": f"#/$defs/{name}"}
            elif "anyOf" in rest or "oneOf" in rest:
                self.lose("$ref")
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
                if word in _TOLD:
                    told[word] = value
        self.require(node, out)
        if node.get("nullable") is True:
            _allow_null(out)
        for word, value in told.items():
            _tell(out, word, value)
        return out

    def _word(self, word: str, value: Any, depth: int, stack: frozenset[str]) -> Any:
        match word:
            case "type":
                types = _types(value)
                return (types[0] if len(types) == 1 else types) or None
            case "title" | "description" | "format":
                return value if isinstance(value, str) else None
            case "enum" if isinstance(value, list) and value:
                return value if all(isinstance(item, str) or _is_number(item) for item in value) else None
            case "minimum" | "maximum":
                return value if _is_number(value) else None
            case "minItems" | "maxItems":
                return _whole(value)
            case "propertyOrdering":
                return _names(value) or None
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


def _allow_null(out: dict[str, Any]) -> None:
    """What OpenAPI's ``nullable`` means."""
    if "type" in out:
        types = out["type"] if isinstance(out["type"], list) else [out["type"]]
        if "null" not in types:
            out["type"] = [*types, "null"]
    elif "anyOf" in out and {"type": "null"} not in out["anyOf"]:
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]


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


# ---- to the Schema message

_ANYTHING: Mapping[str, Any] = {"type": "OBJECT", "description": "any value"}
_FORMATS = {
    "string": ("enum", "date-time"), "number": ("float", "double"), "integer": ("int32", "int64"),
}  # fmt: skip
_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"), "number": ("minimum", "maximum"), "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties", "propertyOrdering"),
    "boolean": (), "null": (),
}  # fmt: skip


class _Proto(_Conversion):
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
        types = _types(node.get("type"))
        is_nullable = node.pop("nullable", None) is True or (len(types) > 1 and "null" in types)
        if is_nullable:
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
            return "number" if all(_is_number(value) for value in values) else "string"
        if _is_number(node.get("minimum")) or _is_number(node.get("maximum")):
            return "number"
        self.lose("a missing type")
        return "object"

    def _union(
        self, node: dict[str, Any], branches: list[Any], depth: int, stack: frozenset[str], *, is_nullable: bool
    ) -> dict[str, Any]:
        """A choice. Nothing may stand beside ``anyOf``, so what does goes into each branch."""
        rest = [
            branch
            for branch in branches
            if not (isinstance(branch, Mapping) and branch.get("type") in ("null", "NULL"))
        ]
        is_nullable = is_nullable or len(rest) < len(branches)
        if not rest:
            return {"type": "NULL"}
        joined = [{**node, "allOf": [branch]} if node else branch for branch in rest]
        if len(rest) == 1 and isinstance(joined[0], Mapping):
            return self.node({**joined[0], "nullable": True} if is_nullable else joined[0], depth + 1, stack)
        out = [self.node(branch, depth + 1, stack) for branch in joined]
        for branch in out if is_nullable else ():
            for inner in branch.get("anyOf", [branch]):
                inner["nullable"] = True
        return {"anyOf": out}

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
                if word in _TOLD and not (word == "format" and value == "enum"):
                    told[word] = value
        if kind == "object":
            self.require(node, out)
        if kind == "array" and "items" not in out:
            self.lose("a missing type")
            out["items"] = {"type": "STRING"}  # Gemini insists on some
        if kind == "string" and "enum" in out:
            out["format"] = "enum"
        for word, value in told.items():
            _tell(out, word, value)
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
                return value if word in _OF_TYPE[kind] and _is_number(value) else None
            case "pattern":
                return value if word in _OF_TYPE[kind] and isinstance(value, str) else None
            case "propertyOrdering":
                return (word in _OF_TYPE[kind] and _names(value)) or None
            case _:
                return _whole(value) if word in _OF_TYPE[kind] else None


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
                if found := _types(value):
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
                out[word] = value if (count := _whole(value)) is None else count
            case _:
                out[word] = value
    if schema.get("nullable") is True:
        _allow_null(out)
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
