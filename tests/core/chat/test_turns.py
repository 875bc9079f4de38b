"""Turns: calls and results side by side."""

import itertools

from hypothesis import given

from dragoman.core.chat.blocks import Block, Link, Media, Text, ToolCall, ToolResult
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.request import Message
from dragoman.core.chat.turns import NO_RESULT, as_reminder, merged, paired
from tests.strategies_chat import conversations

CALL = ToolCall("c1", "f", "{}")
OTHER = ToolCall("c2", "g", "{}")


@given(conversations(odd=True))
def test_every_call_has_its_result_right_behind_it(messages: tuple[Message, ...]) -> None:
    done, _ = paired(messages)
    for n, message in enumerate(done):
        calls = [block.id for block in message.content if isinstance(block, ToolCall)]
        results = [block.call_id for block in message.content if isinstance(block, ToolResult)]
        if calls:
            following = done[n + 1]
            assert [b.call_id for b in following.content[: len(calls)] if isinstance(b, ToolResult)] == calls
        if results:
            assert [b.id for b in done[n - 1].content if isinstance(b, ToolCall)] == results
    assert paired(done) == (done, [])
    assert all(
        a.role != b.role
        for a, b in itertools.pairwise(done)
        if "system" not in (a.role, b.role) and a.role != "developer"
    )


def blocks(*messages: Message) -> list[tuple[str, tuple[Block, ...]]]:
    return [(message.role, message.content) for message in paired(messages)[0]]


def test_results_come_in_the_order_of_their_calls() -> None:
    one, two = ToolResult("c1", name="f"), ToolResult("c2", name="g")
    done = blocks(Message("assistant", (CALL, OTHER)), Message("user", (Text("so"), two)), Message("user", (one,)))
    assert done[1] == ("user", (one, two, Text("so")))


def test_instructions_between_call_and_result_come_behind() -> None:
    done = blocks(
        Message("assistant", (CALL,)), Message("system", (Text("mind"),)), Message("user", (ToolResult("c1"),))
    )
    assert [role for role, _ in done] == ["assistant", "user", "system"]
    done = blocks(Message("assistant", (CALL,)), Message("system", (Text("mind"),)))
    assert [role for role, _ in done] == ["assistant", "user", "system"]


def test_the_last_of_several_results_counts() -> None:
    messages, losses = paired(
        [Message("assistant", (CALL,)), Message("user", (ToolResult("c1"), ToolResult("c1", (Text("2"),))))]
    )
    assert messages[1].content == (ToolResult("c1", (Text("2"),), name="f"),)
    assert [loss.kind for loss in losses] == ["dropped"]


def test_what_is_missing_is_made_up_and_what_is_too_much_is_text() -> None:
    messages, losses = paired(
        [Message("user", (ToolResult("x", (Media("image", Link("u")),)),)), Message("assistant", (CALL,))]
    )
    assert messages[0].content == (Text("[result of unknown tool call x]"), Media("image", Link("u")))
    assert messages[2].content == (ToolResult("c1", (Text(NO_RESULT),), is_error=True, name="f"),)
    assert len(losses) == 2


def test_only_equals_are_merged() -> None:
    bob = Message("user", (Text("a"),), name="Bob")
    assert merged([bob, Message("user", (Text("b"),))]) == [bob, Message("user", (Text("b"),))]
    assert merged([Message("user", ()), bob, bob]) == [Message("user", (Text("a"), Text("a")), name="Bob")]


def test_messages_that_become_one_keep_what_only_their_dialect_knows() -> None:
    def said(text: str, **fields: int) -> Message:
        return Message("user", (Text(text),), extras=Extras("acme", fields) if fields else None)

    (joined,) = merged([said("a", x=1, y=1), said("b", y=2, z=2), said("c")])
    assert joined.extras == Extras("acme", {"x": 1, "y": 1, "z": 2})
    (joined,) = merged([said("a"), said("b", x=1)])
    assert joined.extras == Extras("acme", {"x": 1})


def test_a_reminder_keeps_what_is_no_text() -> None:
    image = Media("image", Link("u"))
    assert [as_reminder(block) for block in (Text("a"), image)] == [
        Text("<system-reminder>\na\n</system-reminder>"),
        image,
    ]
