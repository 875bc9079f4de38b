"""JSON Schema as the Messages API takes it.

Two uses, two subsets (structured outputs guide and API errors, 2026-11). A tool's schema must be an object at its root, without a
union there. The schema of an answer (and of a strict tool) must close every object and may use few keywords; the others move into
the description, where the model still reads them.
"""

from collections.abc import Mapping
from typing import Any

_UNIONS = ("anyOf", "oneOf", "allOf")
_KEPT = frozenset({
    "type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions", "properties", "required", "items", "description",
    "title", "default", "format", "additionalProperties", "minItems",
})  # fmt: skip
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_DEPTH = 64  # deeper schemas are left as they are: nobody means them, and recursion must end


def tool_schema(schema: Mapping[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """Make a schema that a tool may have.

    Returns:
        The schema, and whether its meaning changed: unions at the root become one object of all their properties.

    """
    if schema is None:
        return {"type": "object", "properties": {}}, False
    out = dict(schema)
    branches = [branch for word in _UNIONS for branch in _list(out.get(word)) if isinstance(branch, dict)]
    changed = any(word in out for word in _UNIONS) or out.get("type", "object") != "object"
    if any(word in out for word in _UNIONS):
        properties: dict[str, Any] = {}
        for branch in reversed(branches):
            properties |= _dict(branch.get("properties"))
        properties |= _dict(out.get("properties"))
        required = _list(out.get("required"))
        required += [name for branch in _list(out.get("allOf")) for name in _list(_dict(branch).get("required"))]
        out = {key: value for key, value in out.items() if key not in _UNIONS}
        out["properties"] = properties
        if required:
            out["required"] = list(dict.fromkeys(name for name in required if isinstance(name, str)))
    out["type"] = "object"
    if not isinstance(out.get("properties"), dict):
        out["properties"] = {}
    return out, changed


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make a schema that an answer can be held to; idempotent.

    >>> strict_schema({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})["properties"]["n"]
    {'type': 'integer', 'description': '(minimum: 1)'}
    """
    strict: dict[str, Any] = _strict(schema, 0)
    return strict


def _strict(schema: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return schema
    out: dict[str, Any] = {}
    hints: list[str] = []
    for key, value in schema.items():
        match key:
            case "properties" | "$defs" | "definitions" if isinstance(value, Mapping):
                out[key] = {name: _strict(inner, depth + 1) for name, inner in value.items()}
            case "oneOf":
                out["anyOf"] = [_strict(inner, depth + 1) for inner in _list(value)]
            case "anyOf" | "allOf":
                out[key] = [_strict(inner, depth + 1) for inner in _list(value)]
            case "items":
                out[key] = _strict(value, depth + 1)
            case "additionalProperties":
                pass
            case "format" if not (isinstance(value, str) and value in _FORMATS):
                hints.append(f"(format: {value})")
            case "minItems" if value not in (0, 1):
                hints.append(f"(minItems: {value})")
            case _ if key in _KEPT:
                out[key] = value
            case _ if not isinstance(value, dict | list) and not key.startswith("$"):
                hints.append(f"({key}: {value})")
    if out.get("type") == "object" or "properties" in out:
        out["additionalProperties"] = False
    if hints:
        out["description"] = " ".join([*([str(out["description"])] if out.get("description") else []), *hints])
    return out
