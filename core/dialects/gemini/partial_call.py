"""A call whose arguments come in pieces, as Vertex streams them when asked to (``streamFunctionCallArguments``).

The first part names the call, the next ones say values by their JSON path, and the first part that will not be continued ends it. A
string may come in several pieces itself. What is built up is bounded by what was sent: a path has at most `MOST_STEPS`, and makes no list
longer by more than `MOST_GAPS` of nothing.

Source: ``PartialArg`` and ``FunctionCall`` of the ``google-genai`` package 3.6, 2026-11; paths are RFC 9535's normalized ones or dotted.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Any, Final

from dragoman.core.chat.signature import Signature
from dragoman.core.dialects import reading

MOST_GAPS: Final = 100  # unsaid items that a path may skip in a list
MOST_STEPS: Final = 100
_STEP: Final = re.compile(
    r"""\.([^.\[\]'"]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""", re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")


class PartialCall:
    """A call as far as it has come.

    Attributes:
        name: The tool's name.
        id: As the provider said it; empty: it did not.
        signature: Of any of its parts.
        skipped: Whether a piece could not be put anywhere.

    """

    def __init__(self) -> None:
        self.name = ""
        self.id = ""
        self.signature: Signature | None = None
        self.skipped = False
        self._args: dict[str, Any] = {}
        self._path: list[str | int] | None = None  # of the text that may go on
        self._said: list[str] = []  # of that text

    def add(self, pieces: Iterable[Any]) -> None:
        """Put pieces in their places."""
        for piece in pieces:
            path = path_of(reading.text(piece, "jsonPath")) if isinstance(piece, dict) else None
            if not path or len(path) > MOST_STEPS:
                self.skipped = True
                continue
            word = next((word for word in _VALUES if word in piece), None)
            if word is not None:
                self._add(path, None if word == "nullValue" else piece[word])

    def args(self) -> dict[str, Any]:
        """The arguments as far as they have come."""
        self._settle()
        return self._args

    def _add(self, path: list[str | int], value: Any) -> None:
        if path != self._path:
            self._settle()
            self._path = path
        if isinstance(value, str):
            self._said.append(value)
        else:
            self._put(path, value)

    def _settle(self) -> None:
        """Put the text that has come in its place."""
        if self._path is not None and self._said:
            self._put(self._path, "".join(self._said))
        self._path = None
        self._said = []

    def _put(self, path: list[str | int], value: Any) -> None:
        node: Any = self._args
        for step, following in itertools.pairwise(path):
            inner = _at(node, step)
            if not isinstance(inner, dict | list):
                inner = {} if isinstance(following, str) else []
                if not _set(node, step, inner):
                    self.skipped = True
                    return
            node = inner
        if isinstance(value, dict | list) or not _set(node, path[-1], value):
            self.skipped = True


def path_of(path: str) -> list[str | int] | None:
    """The steps of a JSON path; None when it is none that names one value.

    >>> path_of("$.foo.bar[0]['a b']"), path_of("$"), path_of("$..a"), path_of("a")
    (['foo', 'bar', 0, 'a b'], [], None, None)
    """
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return None
        name, index, single, double = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = single if single is not None else double
            steps.append(name if quoted is None else _ESCAPED.sub(r"\1", quoted))
        at = found.end()
    return steps


def _at(node: Any, step: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    return node[step] if isinstance(step, int) and step < len(node) else None


def _set(node: Any, step: str | int, value: Any) -> bool:
    """Put a value in its place; False when there is none."""
    if isinstance(node, dict) != isinstance(step, str):
        return False
    if isinstance(step, int):
        if step > len(node) + MOST_GAPS:
            return False
        node += [None] * (step + 1 - len(node))
    node[step] = value
    return True
