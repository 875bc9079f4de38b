"""Fields that nobody reads, inside of objects that are read: found by a table of the ones that are known.

Unknown fields of a request, a message, a block or a tool are kept as `Extras`. The small objects inside of those (an image's source, a
function's declaration) are taken apart where they are read, and what is new in them would be lost without a word; so each dialect says
once which fields they have, and what is more is a loss of `parse_request`.

May not live here: what a field means.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from dragoman.core.chat.loss import Loss, dropped, hint

# Path of an object to the fields it has: names joined by dots, ``*`` for each item of a list.
Table = Mapping[str, Sequence[str]]
_MARKS = ("cache_control",)  # a cache is a matter of money and time: nothing in its marks changes an answer
_HERE = ""  # in a tree, the fields of the object itself


def unread(node: Mapping[str, Any], table: Table, dialect: str) -> Iterator[Loss]:
    """A loss for each field of an object in `table` that is not in it and says something; within a cache's mark it is a hint.

    >>> list(unread({"a": [{"b": {"c": 1, "d": 2, "e": None}}]}, {"a.*.b": ("c",)}, "acme"))
    [Loss(path='a[0].b.d', kind='dropped', detail='acme has no such field that is known here')]
    >>> [loss.kind for loss in unread({"cache_control": {"scope": 1}}, {"cache_control": ("type",)}, "acme")]
    ['hint']
    """
    detail = f"{dialect} has no such field that is known here"
    for path in _walk(node, _tree(tuple(table.items())), ""):
        of = path.rpartition(".")[0].rpartition(".")[2]
        yield (hint if of in _MARKS else dropped)(path, detail)


def _walk(value: Any, tree: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, list):
        if (each := tree.get("*")) is not None:
            for n, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _walk(item, each, f"{path}[{n}]")
        return
    prefix = f"{path}." if path else ""
    known = tree.get(_HERE)
    if known is not None and not value.keys() <= known:
        yield from (prefix + name for name, inner in value.items() if name not in known and inner is not None)
    for name, below in tree.items():
        inner = value.get(name) if name else None
        if isinstance(inner, dict | list):
            yield from _walk(inner, below, prefix + name)


@lru_cache(16)  # one for each dialect
def _tree(rows: tuple[tuple[str, Sequence[str]], ...]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, fields in rows:
        node = tree
        for step in path.split("."):
            node = node.setdefault(step, {})
        node[_HERE] = frozenset(fields)
    return tree
