"""How many tokens a request may cost, where nobody can count them.

A rule of thumb, meant for "does it fit" and never for a bill: English text has about four characters to a token, code and JSON a little
fewer, scripts beyond Latin one to two. It errs on the high side, for a client compacts too early rather than too late.
"""

import math
from collections.abc import Iterable
from typing import Final

from dragoman.core.chat.blocks import Block, Media, Nested, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.core.chat.request import ChatRequest
from dragoman.core.json_text import dumps

_MESSAGE: Final = 4  # roles and separators
_TOOL: Final = 8
_MEDIA: Final = 1600  # a picture of 1.15 megapixels, the most that Claude looks at (width x height / 750)


def estimate(request: ChatRequest) -> int:
    """How many tokens of input `request` may be.

    >>> from dragoman.core.chat.request import Message
    >>> estimate(ChatRequest("m", (Message("user", (Text("Say hello to the world"),)),)))
    11
    """
    total = sum(_text(block.text) for block in request.instructions)
    total += sum(_MESSAGE + _blocks(message.content) for message in request.messages)
    for tool in request.tools:
        total += _TOOL + math.ceil(len(_plain(tool)) / 3.5)
    return max(1, total)


def _plain(tool: object) -> str:
    parts = [str(getattr(tool, name, None) or "") for name in ("name", "description", "grammar")]
    schema = getattr(tool, "schema", None) or getattr(tool, "value", None)
    return "".join(parts) + (dumps(schema).decode() if schema else "")


def _blocks(blocks: Iterable[Block]) -> int:
    return sum(map(_block, blocks))


def _block(block: Block) -> int:
    match block:
        case Text() | Refusal() | Reasoning():
            return _text(block.text or "")
        case ToolCall():
            return _TOOL + _text(block.name) + _text(block.arguments)
        case ToolResult():
            return _TOOL + _blocks(block.content)
        case Media():
            return _blocks(block.source.blocks) if isinstance(block.source, Nested) else _MEDIA
        case _:
            return _MESSAGE


def _text(text: str) -> int:
    plain = len(text.encode("ascii", "ignore"))
    return math.ceil(plain / 3.6 + (len(text) - plain) / 1.3)
