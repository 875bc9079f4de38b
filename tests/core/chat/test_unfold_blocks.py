"""Each kind of block as the deltas of a stream."""

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Block, Citation, Reasoning, Text
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import Delta, unfold

SIGNED = Signature("gemini", "c2ln")


def kinds(block: Block) -> list[str]:
    """What comes of one block, without what surrounds it."""
    deltas: list[Delta] = list(unfold(Answer("a", "m", (Choice((block,), Finish("end")),))))
    names = [type(delta).__name__ for delta in deltas]
    return names[1 : names.index("Finished")]


def test_texts() -> None:
    assert kinds(Text("a")) == ["TextDelta", "BlockEnded"]
    assert kinds(Text("a", signature=SIGNED)) == ["TextDelta", "SignatureDelta", "BlockEnded"]
    assert kinds(Text("", signature=SIGNED)) == ["SignatureDelta", "BlockEnded"]
    assert kinds(Text("")) == []


def test_citations() -> None:
    cited = Text("a", citations=(Citation(), Citation()))
    assert kinds(cited) == ["TextDelta", "CitationDelta", "CitationDelta", "BlockEnded"]


def test_reasoning() -> None:
    assert kinds(Reasoning("a")) == ["ReasoningDelta", "BlockEnded"]
    assert kinds(Reasoning("a", signature=SIGNED)) == ["ReasoningDelta", "SignatureDelta", "BlockEnded"]
    assert kinds(Reasoning("", signature=SIGNED)) == ["SignatureDelta", "BlockEnded"]
    assert kinds(Reasoning("")) == []
