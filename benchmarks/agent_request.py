"""The request of a coding agent late in its work: 200 KB of system prompt, tools, calls and what they gave, in each dialect."""

import json
from typing import Any

from dragoman.core.chat.blocks import Text, ToolCall, ToolResult
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message
from dragoman.core.chat.target import Target
from dragoman.core.dialects import DIALECTS

TURNS = 60
TOOLS = 24
SIZE = 200_000


def _tool(n: int) -> FunctionTool:
    fields: dict[str, Any] = {
        f"field_{k}": {
            "type": ("string", "integer", "boolean", "number")[k % 4],
            "description": f"What field {k} of tool {n} means.",
        }
        for k in range(8)
    }
    fields["items"] = {
        "type": "array",
        "items": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    }
    schema = {"type": "object", "properties": fields, "required": ["field_0"], "additionalProperties": False}
    return FunctionTool(f"tool_{n}", "Does one of the things that agents do. " * 8, schema)


def agent_request() -> ChatRequest:
    """The request, in the hub's words."""
    code = 'def answer(question: str) -> str:\n    """Say what is known."""\n    return KNOWN.get(question, \'wörds\') + \'\\n\'\n'
    messages = [Message("user", (Text("Make the tests pass, please. " * 10),))]
    for n in range(TURNS):
        call = ToolCall(f"call_{n}", f"tool_{n % TOOLS}", json.dumps({"field_0": f"src/file_{n}.py", "field_1": n}))
        messages.append(Message("assistant", (Text(f"Now for file {n}."), call)))
        messages.append(Message("user", (ToolResult(f"call_{n}", (Text(code * 20),)),)))
    system = (Text("You are a careful programmer. Read before you write. " * 250),)
    return ChatRequest("bench", tuple(messages), system, tuple(map(_tool, range(TOOLS))), max_tokens=8192, stream=True)


def agent_body(dialect: str) -> bytes:
    """The request as a client of `dialect` sends it; about `SIZE` bytes."""
    body, _ = DIALECTS[dialect].build_request(agent_request(), Target(model="bench"))
    assert 0.75 * SIZE < len(body) < 1.35 * SIZE, len(body)
    return body
