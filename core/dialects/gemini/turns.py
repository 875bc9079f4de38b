"""Ids for calls and results that came without: older models, and clients that follow them, match by name and order."""

from collections.abc import Sequence

import attrs

from dragoman.core.chat.blocks import Block, ToolCall, ToolResult
from dragoman.core.chat.names import made_up_call_id
from dragoman.core.chat.request import Message


def with_ids(messages: Sequence[Message]) -> list[Message]:
    """Give every call an id of its own, and every result the id of the call it answers.

    A result says whose it is by its id; without one, or with one that no call has, the n-th result of a tool belongs to the n-th
    call of that tool that has none yet. Made-up ids depend on nothing but the place in the conversation.
    """
    waiting: list[ToolCall] = []
    taken = {block.id for message in messages for block in message.content if isinstance(block, ToolCall)}
    ordinal = 0
    out = []
    for message in messages:
        content: list[Block] = []
        for block in message.content:
            if isinstance(block, ToolCall):
                if not block.id:
                    block = attrs.evolve(block, id=_free_id(ordinal, block.name, taken))
                ordinal += 1
                waiting.append(block)
            elif isinstance(block, ToolResult):
                block = _matched(block, waiting, ordinal)
            content.append(block)
        out.append(attrs.evolve(message, content=tuple(content)))
    return out


def _free_id(ordinal: int, name: str, taken: set[str]) -> str:
    made = made_up_call_id("", 0, ordinal, name)
    while made in taken:  # somebody sends an id that we made up for another place
        made += "_"
    taken.add(made)
    return made


def _matched(result: ToolResult, waiting: list[ToolCall], ordinal: int) -> ToolResult:
    found = next((call for call in waiting if result.call_id and call.id == result.call_id), None)
    if found is None:
        found = next((call for call in waiting if call.name == result.name), None)
        if found is None:
            unknown = result.call_id or made_up_call_id("", 1, ordinal, result.name or "")
            return attrs.evolve(result, call_id=unknown)
    waiting.remove(found)
    return attrs.evolve(result, call_id=found.id, name=result.name or found.name)
