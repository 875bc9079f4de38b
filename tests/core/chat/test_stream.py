"""Deltas and the answers they add up to."""

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Link, Media, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.fault import TRUNCATED
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerStarted,
    Folder,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    fold,
    unfold,
)
from dragoman.core.chat.usage import TokenUsage
from tests.strategies_chat import answers, assert_grammar, usages

SIGN = Signature("gemini", "AAAA")
RICH = Choice(
    (
        Text("a", (Citation("https://a.example"),), SIGN), Reasoning("hm", SIGN, is_summary=True), Reasoning("", SIGN),
        Reasoning("", SIGN, redacted=True), ToolCall("c", "f", "", "custom", "ns", SIGN, "fc_1"), Refusal("no"), Media("image", Link("u")),
    ),
    Finish("end"),
    ({"token": "a"},),
)  # fmt: skip


@given(answers(), usages())
def test_what_is_unfolded_folds(answer: Answer, usage: TokenUsage) -> None:
    for whole in (answer, Answer("a", "m", (RICH, *answer.choices), 7, usage)):
        deltas = list(unfold(whole))
        assert_grammar(deltas)
        assert fold(deltas) == whole


def test_probabilities_come_behind_the_first_text_or_last() -> None:
    bare = Choice((ToolCall("c", "f", "{}"),), Finish("tool"), ({"token": "a"},))
    assert fold(unfold(Answer("a", "m", (bare,)))).choices == (bare,)


def test_a_failure_unfolds_to_a_failure() -> None:
    failed = Answer("a", "m", (Choice((Text("x"),)),), fault=TRUNCATED)
    assert fold(unfold(failed)) == failed


@given(answers(), st.data())
def test_a_stream_may_fail_anywhere(answer: Answer, data: st.DataObject) -> None:
    deltas = list(unfold(answer))
    cut = deltas[: data.draw(st.integers(0, len(deltas) - 1))]
    whole = fold([*cut, StreamFailed(TRUNCATED)])
    assert whole.fault == TRUNCATED
    assert fold([*unfold(whole)]).fault == TRUNCATED


def test_blocks_of_nothing_vanish() -> None:
    answer = Answer("a", "m", (Choice((Text(""), Refusal(""), Reasoning("")), None, ({"token": "a"},)),))
    assert fold(unfold(answer)).choices == (Choice((), Finish("other"), ({"token": "a"},)),)
    assert fold(unfold(Answer("a", "m", (Choice((Text("", signature=SIGN),), Finish("end")),)))).blocks == (
        Reasoning("", SIGN),
    )


def test_kinds_follow_without_an_end_between_them() -> None:
    """A folder takes more than the grammar promises: an exchange may add its own deltas."""
    folder = Folder()
    for delta in (
        AnswerStarted("a", "m"), Ping(), TextDelta("x"), ReasoningDelta("hm"), SignatureDelta(SIGN), RefusalDelta("no"), ToolCallStarted("c", "f"),
        ToolCallDelta("{}"), TextDelta("y"),
    ):  # fmt: skip
        folder.add(delta)
    blocks = folder.answer().blocks
    assert blocks == (Text("x"), Reasoning("hm", SIGN), Refusal("no"), ToolCall("c", "f", "{}"), Text("y"))


def test_an_answer_without_a_choice() -> None:
    assert Answer("a", "m", ()).blocks == ()
    assert Answer("a", "m", ()).finish is None
