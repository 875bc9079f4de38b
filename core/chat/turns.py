"""Turns: the shape of a conversation that strict providers insist on.

Three of the four dialects refuse a conversation in which a call has no result right after it, or a result no call. Clients send
such conversations (a user interrupted a tool, a history was cut), so `paired` repairs them and says so.
"""

from collections.abc import Iterable

import attrs

from dragoman.core.chat.blocks import Block, Text, ToolCall, ToolResult
from dragoman.core.chat.loss import Extras, Loss, changed, dropped
from dragoman.core.chat.request import Message

NO_RESULT = "[no result recorded]"


def merged(messages: Iterable[Message]) -> list[Message]:
    """Join neighbours of the same role that differ in nothing else; drop messages without content.

    System and developer messages are never joined: each is an instruction of its own.
    """
    out: list[Message] = []
    for message in messages:
        if not message.content:
            continue
        last = out[-1] if out else None
        if (
            last is not None
            and message.role == last.role
            and message.role in ("user", "assistant")
            and (message.name, message.phase, message.cache) == (last.name, last.phase, last.cache)
        ):
            extras = _joined(last.extras, message.extras)
            out[-1] = attrs.evolve(last, content=last.content + message.content, extras=extras)
        else:
            out.append(message)
    return out


def _joined(one: Extras | None, other: Extras | None) -> Extras | None:
    """What is known of two messages that become one; where both say the same field, the first counts."""
    if one is None or other is None or one.dialect != other.dialect:
        return one or other
    return Extras(one.dialect, {**other.fields, **one.fields}, one.minor | other.minor)


def as_reminder(block: Block) -> Block:
    """An instruction from the middle of a conversation, in the user's words; what is no text stays as it is."""
    if not isinstance(block, Text):
        return block
    return attrs.evolve(block, text=f"<system-reminder>\n{block.text}\n</system-reminder>")


def paired(messages: Iterable[Message]) -> tuple[list[Message], list[Loss]]:
    """Put the results of tool calls right after their calls, one for each, in the order of the calls.

    Returns:
        Messages, merged, in which each assistant turn with calls is followed by a user message that begins with exactly their
        results; and what had to be changed for it: results nobody recorded are made up (as errors), results of no call become
        text, of several results for one call the last counts.

    """
    losses: list[Loss] = []
    out: list[Message] = []
    pending: list[ToolCall] = []
    held: list[Message] = []  # instructions between calls and results: they come after the results
    for message in merged(messages):
        if pending and message.role in ("system", "developer"):
            held.append(message)
            continue
        results = [block for block in message.content if isinstance(block, ToolResult)]
        if pending or results:
            first, rest = _settle(pending, results, message, losses)
            out += [Message("user", tuple(first)), *held]
            held = []
            message = attrs.evolve(message, content=tuple(rest))
        if message.role == "assistant":
            pending = [block for block in message.content if isinstance(block, ToolCall)]
        else:
            pending = []
        out.append(message)
    if pending:
        first, _ = _settle(pending, [], Message("user", ()), losses)
        out += [Message("user", tuple(first)), *held]
    return merged(out), losses


def _settle(
    pending: list[ToolCall], results: list[ToolResult], message: Message, losses: list[Loss]
) -> tuple[list[Block], list[Block]]:
    """Divide a message into the results `pending` waits for and the rest."""
    wanted = {call.id for call in pending}
    by_id: dict[str, ToolResult] = {}
    for result in results:
        if result.call_id in by_id and result.call_id in wanted:
            losses.append(dropped("messages", "a second result of the same tool call replaces the first"))
        by_id[result.call_id] = result
    first: list[Block] = []
    for call in pending:
        found = by_id.get(call.id)
        if found is None:
            losses.append(changed("messages", f"the call of {call.name} has no result; one that says so was put in"))
            found = ToolResult(call.id, (Text(NO_RESULT),), is_error=True)
        first.append(attrs.evolve(found, name=found.name or call.name, kind=call.kind))
    rest: list[Block] = []
    for block in message.content:
        if not isinstance(block, ToolResult):
            rest.append(block)
        elif block.call_id not in wanted:
            losses.append(changed("messages", "a result of an unknown tool call became text"))
            rest.append(Text(f"[result of unknown tool call {block.call_id}]"))
            rest.extend(block.content)
    return first, rest
