"""Reading JSON Schema of any draft: references followed, the words of all drafts made into few, what is lost written down.

What the two conversions (`dragoman.core.dialects.gemini.schema`, ``schema_proto``) have in common. Constraints are only ever widened, never
narrowed.
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
TOLD = frozenset({
    "enum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "not", "patternProperties", "propertyNames",
    "contains", "minContains", "maxContains", "minLength", "maxLength", "pattern", "minProperties", "maxProperties", "format",
    "dependentRequired", "additionalProperties", "contentEncoding", "contentMediaType",
})  # fmt: skip
_BOUNDS = (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1))
MISSING: Any = object()


def is_number(value: object) -> bool:
    """Whether a value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _step(text: str) -> str:
    """One step of a JSON pointer in a URL fragment."""
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
    return plain.decode("utf-8", "replace").replace("~1", "/").replace("~0", "~")


class Conversion:
    """One conversion of one schema: where references lead, what was lost, how much was written."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.lost: dict[str, None] = {}
        self.written = 0
        self._joining = 0  # how many branches of branches are open

    def lose(self, what: str) -> None:
        """Note a word that does not arrive as it was."""
        self.lost.setdefault(what)

    def find(self, ref: object) -> Any:
        """What a reference within the document points at; `MISSING` when it leads nowhere or elsewhere."""
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            return MISSING
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
                return MISSING
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
            if not isinstance(target, Mapping) or ref in stack or self.is_spent(0):
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
            if "allOf" in found and self.is_spent(self._joining):
                found.pop("allOf")
            self._joining += 1
            found, stack = self.plain(found, stack)
            self._joining -= 1
            self._merge(out, found)
        _part_with_null(out)
        return out, stack

    def _include(self, out: dict[str, Any], bound: str, exclusive: str, step: int) -> None:
        """Turn an exclusive bound into an inclusive one: exactly for integers, else a little wider."""
        limit: Any = out.get(exclusive)
        if isinstance(limit, bool):  # as draft 4 has it
            del out[exclusive]
            if not limit or not is_number(out.get(bound)):
                return
            limit = out.pop(bound)
        elif not is_number(limit):
            return
        is_exact = isinstance(limit, int) and str(out.get("type")).lower() == "integer"
        out.pop(exclusive, None)
        here = limit + step if is_exact else limit
        old: Any = out.get(bound)
        if is_number(old) and (old - here) * step >= 0:
            return
        out[bound] = here
        if not is_exact:
            self.lose(exclusive)
            tell(out, exclusive, limit)

    def require(self, node: Mapping[str, Any], out: dict[str, Any]) -> None:
        """Keep of ``required`` what names a property."""
        wanted = node.get("required")
        if wanted is None:
            return
        known = [name for name in dict.fromkeys(names_of(wanted)) if name in out.get("properties", {})]
        if known:
            out["required"] = known
        if known != wanted and wanted != []:
            self.lose("required")

    def _merge(self, out: dict[str, Any], branch: Mapping[str, Any]) -> None:
        """Join a branch of ``allOf`` with its node, which wins."""
        for key, value in branch.items():
            mine = out.get(key, MISSING)
            if mine is MISSING:
                out[key] = value
            elif key == "properties" and isinstance(mine, Mapping) and isinstance(value, Mapping):
                out[key] = {**value, **mine}
                if any(mine[name] != value[name] for name in mine.keys() & value.keys()):
                    self.lose("allOf")
            elif key == "required" and isinstance(mine, list) and isinstance(value, list):
                out[key] = mine + [name for name in value if name not in mine]
            elif key == "type" and (both := _common(types_of(mine), types_of(value))):
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


def tell(out: dict[str, Any], word: str, value: object) -> None:
    """Say in the description what cannot be said otherwise."""
    text = dumps_text(value)
    if len(text) <= 120:
        said = out.get("description")
        hint = f"({word}: {text})"
        out["description"] = f"{said} {hint}" if isinstance(said, str) and said else hint


def types_of(value: object) -> list[str]:
    """The types a node allows, in lower case."""
    found = value if isinstance(value, list) else [value]
    lower = (kind.lower() for kind in found if isinstance(kind, str))
    return list(dict.fromkeys(kind for kind in lower if kind in _TYPES))


def whole_of(value: object) -> int | None:
    """A count, which proto JSON may write as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def names_of(value: object) -> list[str]:
    """The names in a list."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def allow_null(out: dict[str, Any]) -> None:
    """What OpenAPI's ``nullable`` means."""
    if "type" in out:
        types = out["type"] if isinstance(out["type"], list) else [out["type"]]
        if "null" not in types:
            out["type"] = [*types, "null"]
    elif isinstance(out.get("anyOf"), list) and {"type": "null"} not in out["anyOf"]:
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
