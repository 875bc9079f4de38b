"""An example value for a JSON schema: what the demo provider calls tools with and answers structured questions with.

It fits the schema as far as the schema is made of what providers document: types, required, enum, const, bounds, formats,
references within the document, unions. Nothing in a schema makes it raise. ``pattern`` is not obeyed.
"""

import math
from typing import Any, Final

from dragoman.adapters.demo_provider.reading import items, mapping, string, whole

MAX_DEPTH: Final = 8
FORMATS: Final = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000001",
}


def example(schema: object, *, salt: int = 0) -> Any:
    """Make a value that fits.

    Args:
        schema: JSON Schema, or Gemini's Schema (types in upper case, ``nullable``).
        salt: Another number gives another value where the schema leaves a choice.

    """
    return _Maker(mapping(schema), salt).make(schema, "value", 0)


class _Maker:
    def __init__(self, root: dict[str, Any], salt: int) -> None:
        self._root = root
        self._salt = salt

    def make(self, schema: object, name: str, depth: int) -> Any:
        """Make the value called `name` at `depth`."""
        rules = self._resolve(mapping(schema))
        if "const" in rules:
            return rules["const"]
        if choices := items(rules.get("enum")):
            return choices[self._salt % len(choices)]
        match _type_of(rules):
            case "object":
                return self._object(rules, depth)
            case "array":
                return self._array(rules, name, depth)
            case "integer":
                return _number(rules, 1 + self._salt, whole_only=True)
            case "number":
                return _number(rules, 1.5 + self._salt, whole_only=False)
            case "boolean":
                return self._salt % 2 == 0
            case "null":
                return None
            case _:
                return _text(rules, f"example {name}" + (f" {self._salt + 1}" if self._salt else ""))

    def _resolve(self, rules: dict[str, Any]) -> dict[str, Any]:
        """Follow references and unions until the rules speak for themselves; a circle ends in no rules."""
        for _ in range(MAX_DEPTH):
            if (ref := string(rules.get("$ref") or rules.get("ref"))) and isinstance(ref, str):
                rules = self._find(ref) | {k: v for k, v in rules.items() if k not in ("$ref", "ref")}
            elif union := items(rules.get("anyOf")) or items(rules.get("oneOf")):
                choices = [mapping(choice) for choice in union]
                useful = [choice for choice in choices if string(choice.get("type")).lower() != "null"] or choices
                rules = {k: v for k, v in rules.items() if k not in ("anyOf", "oneOf")} | useful[0]
            elif parts := items(rules.get("allOf")):
                rules = _merge({k: v for k, v in rules.items() if k != "allOf"}, parts)
            else:
                return rules
        return {}

    def _find(self, ref: str) -> dict[str, Any]:
        found: object = self._root
        for step in ref.removeprefix("#").split("/")[1:]:
            found = mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        return mapping(found)

    def _object(self, rules: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = mapping(rules.get("properties"))
        names = [name for name in items(rules.get("required")) if isinstance(name, str)]
        if "required" not in rules and depth < 2:
            names = list(properties)
        if depth >= MAX_DEPTH:
            return {}
        return {name: self.make(properties.get(name), name, depth + 1) for name in names}

    def _array(self, rules: dict[str, Any], name: str, depth: int) -> list[Any]:
        first = items(rules.get("prefixItems"))
        most = whole(rules.get("maxItems"))
        least = max(whole(rules.get("minItems")) or 0, len(first), 0 if depth >= MAX_DEPTH else 1)
        count = min(least if most is None else min(least, most), 64)
        if depth >= MAX_DEPTH:
            return []
        kinds = [*first, *[rules.get("items")] * count][: max(count, 0)]
        return [self.make(kind, name, depth + 1) for kind in kinds]


def _type_of(rules: dict[str, Any]) -> str:
    kind = rules.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    if "properties" in rules or "required" in rules:
        return "object"
    return "array" if "items" in rules or "prefixItems" in rules else "string"


def _merge(rules: dict[str, Any], parts: list[Any]) -> dict[str, Any]:
    merged = dict(rules)
    for part in map(mapping, parts):
        properties = mapping(merged.get("properties")) | mapping(part.get("properties"))
        required = [*items(merged.get("required")), *items(part.get("required"))]
        merged |= part
        merged |= {"properties": properties} if properties else {}
        merged |= {"required": required} if required else {}
    return merged


def _bound(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        return None
    return value


def _number(rules: dict[str, Any], wish: float, *, whole_only: bool) -> float:
    """The wish if it is within bounds, else a number that is."""
    above, below = _bound(rules.get("exclusiveMinimum")), _bound(rules.get("exclusiveMaximum"))
    lows, highs = [_bound(rules.get("minimum"))], [_bound(rules.get("maximum"))]
    lows.append(above if above is None or not whole_only else math.floor(above) + 1)
    highs.append(below if below is None or not whole_only else math.ceil(below) - 1)
    low = max((one for one in lows if one is not None), default=-math.inf)
    high = min((one for one in highs if one is not None), default=math.inf)
    value = wish
    if not low < wish < high:
        if whole_only:
            value = math.ceil(low) if low >= wish else math.floor(high)
        else:
            # Between the bounds, not on them: one of them may be exclusive.
            value = (low + high) / 2 if math.isfinite(low + high) else low + 1 if math.isfinite(low) else high - 1
    step = _bound(rules.get("multipleOf"))
    if step and step > 1e-9:
        value = math.ceil(value / step) * step
        value = value - step if value > high else value
    return int(value) if whole_only else value


def _text(rules: dict[str, Any], wish: str) -> str:
    value = FORMATS.get(string(rules.get("format")), wish)
    least, most = whole(rules.get("minLength")) or 0, whole(rules.get("maxLength"))
    value = value.ljust(min(least, 4096), ".")
    return value if most is None else value[: max(most, 0)]
