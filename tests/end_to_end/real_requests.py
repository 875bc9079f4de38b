"""Requests as coding agents send them, odd as they are; everything odd was seen in a request of the unmodified client, the words are made up."""

import json
from typing import Any, Final

#: A schema as these clients have them.
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Where.", "minLength": 1},
        "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 2000, "default": 100},
        "kind": {"anyOf": [{"const": "file"}, {"const": "folder"}, {"type": "null"}]},
        "options": {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"type": "string"}},
    },
    "required": ["path"],
    "additionalProperties": False,
}

BETAS: Final = (
    "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,effort-2025-11-24,advanced-tool-use-2025-11-20"
)
BILLING: Final = "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"
USER: Final = json.dumps({"device_id": "d1", "account_uuid": "", "session_id": "s-1"})


def claude_code(model: str, *, stream: bool = True) -> dict[str, Any]:
    """Claude Code, in the middle of its work."""
    return {
        "model": model,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"},
                    {"type": "text", "text": "Read the file.", "cache_control": {"type": "ephemeral"}},
                ],
            },
            {"role": "system", "content": "Tools may be loaded as they are needed."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "RXFRQg=="},
                    {"type": "tool_use", "id": "toolu_01A", "name": "Read", "input": {"path": "a.py"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_01A",
                        "content": "print(1)",
                        "cache_control": {"type": "ephemeral", "ttl": "1h"},
                    }
                ],
            },
        ],
        "system": [
            {"type": "text", "text": BILLING},
            {"type": "text", "text": "You help with code.", "cache_control": {"type": "ephemeral", "scope": "global"}},
        ],
        "tools": [
            {"name": "Read", "description": "Reads.", "input_schema": SCHEMA, "eager_input_streaming": True},
            {
                "name": "mcp__tracker__list_items",
                "description": "Lists.",
                "input_schema": SCHEMA,
                "defer_loading": True,
            },
        ],
        "metadata": {"user_id": USER},
        "max_tokens": 64000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": stream,
    }


def codex(model: str) -> dict[str, Any]:
    """Codex CLI, in the middle of its work."""
    return {
        "model": model,
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You write code."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context/>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Run it."}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAAABo"},
            {
                "type": "function_call",
                "name": "exec_command",
                "arguments": '{"path":"a.py"}',
                "call_id": "call_1",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "exec_command",
                "description": "Runs.",
                "strict": False,
                "parameters": SCHEMA,
            },
            {
                "type": "namespace",
                "name": "tracker",
                "description": "Tasks.",
                "tools": [
                    {"type": "function", "name": "list", "description": "Lists.", "strict": False, "parameters": SCHEMA}
                ],
            },
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-cache",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "i-1"},
    }


def gemini_cli() -> dict[str, Any]:
    """Gemini CLI, in the middle of its work; the model is in its path."""
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "Today is Tuesday."}]},
            {"role": "user", "parts": [{"text": "Read the file."}]},
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {"name": "read_file", "args": {"path": "a.py"}},
                        "thoughtSignature": "skip_thought_signature_validator",
                    },
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "read_file", "response": {"output": "print(1)"}}}],
            },
        ],
        "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "read_file", "description": "Reads.", "parametersJsonSchema": SCHEMA},
                    {"name": "glob", "description": "Finds.", "parametersJsonSchema": SCHEMA},
                ]
            }
        ],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
        },
    }
