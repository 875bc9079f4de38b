"""What a translation could not carry over, said aloud.

A part of a request that the target dialect cannot say is a `Loss`: it goes to the journal, to the response header
``x-dragoman-loss`` and, under strict translation, becomes an error. What would change the meaning if left out is no loss but
`Untranslatable` at once. What no answer can be different for (a mark for a cache, the name of a schema) is told in the same places, as a
`hint`, and never refused: nearly every request of a coding agent has some.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import attrs

Kind = Literal["dropped", "changed", "hint"]


@attrs.frozen
class Loss:
    """One thing that did not arrive as it was.

    Attributes:
        path: Where, in the hub's words: ``seed``, ``messages[2].content[0]``, ``answer.blocks[1]``; for fields only the source
            dialect knows, the field's own name.
        kind: ``dropped``: nothing of it arrived; ``changed``: something else arrived in its place; ``hint``: nothing of it arrived,
            and nobody's answer is different for it.
        detail: A sentence: what happened and why. No content of the conversation.

    """

    path: str
    kind: Kind
    detail: str

    @property
    def is_harmless(self) -> bool:
        """Whether strict translation lets it pass."""
        return self.kind == "hint"


def dropped(path: str, detail: str) -> Loss:
    """Nothing of it arrived."""
    return Loss(path, "dropped", detail)


def changed(path: str, detail: str) -> Loss:
    """Something else arrived in its place."""
    return Loss(path, "changed", detail)


def hint(path: str, detail: str) -> Loss:
    """Nothing of it arrived, and nobody's answer is different for it."""
    return Loss(path, "hint", detail)


class _Message(Protocol):
    @property
    def content(self) -> Sequence[Any]: ...


class Losses:
    """Collects the losses of one translation and knows where each block of the request stood.

    Args:
        messages: The request's messages, in their original places: blocks are recognised by identity, so that a conversation
            put into another shape still names the client's own places.

    """

    def __init__(self, messages: Iterable[_Message] = ()) -> None:
        self.found: list[Loss] = []
        self._at: dict[object, str] = {}
        self._kept = tuple(messages)  # or an identity could be somebody else's by and by
        for m, message in enumerate(self._kept):
            for n, block in enumerate(message.content):
                path = f"messages[{m}].content[{n}]"
                self._at[id(block)] = path
                if (call_id := getattr(block, "call_id", None)) is not None:
                    self._at.setdefault(call_id, path)  # results get their name filled in: another identity

    def at(self, block: object) -> str:
        """The path of a block."""
        return self._at.get(id(block)) or self._at.get(getattr(block, "call_id", ""), "messages")

    def dropped(self, path: str, detail: str) -> None:
        """Note that nothing of it arrived."""
        self.found.append(Loss(path, "dropped", detail))

    def changed(self, path: str, detail: str) -> None:
        """Note that something else arrived in its place."""
        self.found.append(Loss(path, "changed", detail))

    def hint(self, path: str, detail: str) -> None:
        """Note that nothing of it arrived, and that nobody's answer is different for it."""
        self.found.append(Loss(path, "hint", detail))

    def unsigned(self, block: Any, reader: str) -> None:
        """Note the signature of a block that has no place for it; `reader` is who could have checked it."""
        if (sign := block.signature) is not None:
            path = self.at(block) + ".signature"
            if sign.provider == reader:
                self.dropped(path, "there is no place for a signature here")
            else:
                self.hint(path, f"the signature of {sign.provider} means nothing here")

    def unsaid(
        self, node: object, names: Iterable[str], dialect: str, prefix: str = "", *, hints: Iterable[str] = ()
    ) -> None:
        """Note every attribute in `names` and `hints` that `node` sets and `dialect` has no word for."""
        kinds: tuple[tuple[Kind, Iterable[str]], ...] = (("dropped", names), ("hint", hints))
        for kind, those in kinds:
            for name in those:
                if getattr(node, name) not in (None, (), ""):
                    self.found.append(Loss(prefix + name, kind, f"{dialect} cannot say it"))

    def uncounted(self, usage: object, names: Iterable[str], dialect: str) -> None:
        """Note every part of a count in `names` that is not 0 and `dialect` does not count apart."""
        for name in names:
            if getattr(usage, name, 0):
                self.hint(f"answer.usage.{name}", f"{dialect} does not count it apart")


@attrs.frozen
class Extras:
    """Fields of one node that only their own dialect understands; put back when the node returns to that dialect.

    Attributes:
        dialect: Whose words they are.
        fields: Name to JSON value, as they came.
        minor: Names of those whose loss is only a hint: labels, ids and states, and what the hub says in words of its own, too.

    """

    dialect: str
    fields: Mapping[str, Any]
    minor: frozenset[str] = frozenset()


def extras_of(
    dialect: str, node: Mapping[str, Any], known: frozenset[str], minor: frozenset[str] = frozenset()
) -> Extras | None:
    """Keep the fields of `node` that are not `known`; None when there are none."""
    if node.keys() <= known:
        return None
    return Extras(dialect, {key: value for key, value in node.items() if key not in known}, minor)


def foreign_fields(extras: Extras | None, target: str, prefix: str) -> Iterator[Loss]:
    """A loss for each field that `target` does not know, because it is another dialect's."""
    if extras is not None and extras.dialect != target:
        for name in extras.fields:
            note = hint if name in extras.minor else dropped
            yield note(prefix + name, f"only {extras.dialect} knows this field")


def fields_for(dialect: str, extras: Extras | None) -> Mapping[str, Any]:
    """The fields to put back when a node is written in `dialect`; empty for every other dialect."""
    return extras.fields if extras is not None and extras.dialect == dialect else {}
