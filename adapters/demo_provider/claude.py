"""Anthropic Messages, spoken by a provider."""

import base64
from typing import Any, Final

import orjson

from dragoman.adapters.demo_provider.answers import (
    Answer,
    Question,
    Tool,
    ToolResult,
    Turn,
    count_tokens,
    decide,
    fragments,
    named,
    seed_of,
)
from dragoman.adapters.demo_provider.errors import Dialect, Fault
from dragoman.adapters.demo_provider.media import Media, from_base64
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, items, mapping, string, whole
from dragoman.adapters.demo_provider.reply import Headers, Reply, json_reply, sse, sse_reply

_TYPES: Final = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
_FINISH: Final = {"end": "end_turn", "stop": "stop_sequence", "length": "max_tokens", "calls": "tool_use"}
_LIMITS: Final = {"requests": 4000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}


def headers(seed: str) -> Headers:
    """Headers as Anthropic sends them; the limits are high and never used up."""
    limits = [(f"anthropic-ratelimit-{name}-limit", str(limit)) for name, limit in _LIMITS.items()]
    left = [(f"anthropic-ratelimit-{name}-remaining", str(limit - 1)) for name, limit in _LIMITS.items()]
    return (("request-id", f"req_{seed}"), ("anthropic-organization-id", "demo"), *limits, *left)


def refuse(fault: Fault) -> Reply:
    """Write an error response."""
    seed = seed_of({"status": fault.status})
    late: Headers = ()
    if fault.retry_after is not None:
        late = (
            ("retry-after", str(fault.retry_after)),
            ("anthropic-ratelimit-requests-limit", str(_LIMITS["requests"])),
            ("anthropic-ratelimit-requests-remaining", "0"),
        )
    body = _error(fault) | {"request_id": f"req_{seed}"}
    return json_reply(body, status=fault.status, headers=(("request-id", f"req_{seed}"), *late))


def _error(fault: Fault) -> dict[str, Any]:
    message = f"{fault.param}: {fault.message}" if fault.param else fault.message
    return {"type": "error", "error": {"type": _TYPES.get(fault.status, "invalid_request_error"), "message": message}}


def break_off(events: tuple[bytes, ...], fault: Fault) -> tuple[bytes, ...]:
    """End a stream with an error: neither blocks nor the message are closed."""
    return (sse(_error(fault), "error"),)


DIALECT: Final = Dialect(headers, refuse, break_off)


def create(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/messages``."""
    if whole(body.get("max_tokens")) is None:
        raise BadQuestion("Field required: a number of tokens", "max_tokens")
    question = read_question(body)
    answer = decide(question)
    hides = mapping(body.get("thinking")).get("display") == "omitted"
    message = _message(question, answer, hides=hides)
    if body.get("stream") is True:
        return sse_reply(_stream(message), headers=headers(question.seed))
    return json_reply(message, headers=headers(question.seed))


def count(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/messages/count_tokens``."""
    question = read_question(body)
    return json_reply({"input_tokens": question.input_tokens}, headers=headers(question.seed))


def read_question(body: dict[str, Any]) -> Question:
    """Read a request.

    Raises:
        BadQuestion: `model` or `messages` is missing.

    """
    model, messages = string(body.get("model")), items(body.get("messages"))
    if not model:
        raise BadQuestion("Field required", "model")
    if not messages:
        raise BadQuestion("at least one message is required", "messages")
    for number, message in enumerate(messages):
        if mapping(message).get("role") not in ("user", "assistant", "system"):
            raise BadQuestion("a message needs a role: user, assistant or system", f"messages.{number}.role")
    form = mapping(mapping(body.get("output_config")).get("format")) or mapping(body.get("output_format"))
    choice = mapping(body.get("tool_choice"))
    thinking = mapping(body.get("thinking")).get("type") in ("enabled", "adaptive", "between_tools")
    return Question(
        model=model,
        seed=seed_of(body),
        turns=tuple(_turn(mapping(message)) for message in messages),
        input_tokens=count_tokens(messages, body.get("system"), body.get("tools")),
        tools=_tools(body, choice),
        parallel=choice.get("disable_parallel_tool_use") is not True,
        thinks=thinking or named(model) == "think",
        schema=mapping(form.get("schema")) if form.get("type") == "json_schema" else None,
        max_tokens=whole(body.get("max_tokens")),
        stops=tuple(filter(None, map(string, items(body.get("stop_sequences"))))),
    )


def _turn(message: dict[str, Any]) -> Turn:
    text, media = _content(message.get("content"))
    results = []
    for block in map(mapping, items(message.get("content"))):
        if block.get("type") == "tool_result":
            found, inside = _content(block.get("content"))
            results.append(ToolResult(found, inside, block.get("is_error") is True))
    return Turn(string(message.get("role")), text, media, tuple(results))


def _content(content: object) -> tuple[str, tuple[Media, ...]]:
    if isinstance(content, str):
        return content, ()
    blocks = [mapping(block) for block in items(content)]
    text = "\n".join(string(block.get("text")) for block in blocks if block.get("type") == "text")
    return text, tuple(found for block in blocks if (found := _media(block)))


def _media(block: dict[str, Any]) -> Media | None:
    if block.get("type") not in ("image", "document"):
        return None
    source = mapping(block.get("source"))
    kind = string(source.get("media_type")) or ("image/*" if block["type"] == "image" else "application/*")
    match source.get("type"):
        case "base64":
            return from_base64(kind, string(source.get("data")))
        case "text":
            return Media(kind, string(source.get("data")).encode())
        case "content":
            return Media("text/plain", _content(source.get("content"))[0].encode())
        case _:
            return Media(kind, None, string(source.get("url")) or string(source.get("file_id")))


def _tools(body: dict[str, Any], choice: dict[str, Any]) -> tuple[Tool, ...]:
    if choice.get("type") == "none":
        return ()
    wanted = string(choice.get("name"))
    # Tools the server runs itself (a web search) have no input_schema: they are not called here.
    tools = [tool for tool in map(mapping, items(body.get("tools"))) if isinstance(tool.get("input_schema"), dict)]
    found = (Tool(string(tool.get("name")), tool["input_schema"]) for tool in tools)
    return tuple(tool for tool in found if tool.name and (not wanted or tool.name == wanted))


def _message(question: Question, answer: Answer, *, hides: bool) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.thought:
        signature = base64.b64encode(f"demo signature {question.seed}".encode()).decode()
        content.append({"type": "thinking", "thinking": "" if hides else answer.thought, "signature": signature})
    if answer.text:
        content.append({"type": "text", "text": answer.text, "citations": None})
    for call in answer.calls:
        arguments = orjson.loads(call.arguments)
        content.append({"type": "tool_use", "id": f"toolu_{call.id}", "name": call.tool.name, "input": arguments})
    details = {"type": "refusal", "category": None, "explanation": answer.text} if answer.refused else None
    return {
        "id": f"msg_{question.seed}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": content,
        "stop_reason": "refusal" if answer.refused else _FINISH[answer.finish],
        "stop_sequence": answer.stop,
        "stop_details": details,
        "usage": {
            "input_tokens": question.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"thinking_tokens": answer.thought_tokens},
            "service_tier": "standard",
        },
    }


def _stream(message: dict[str, Any]) -> list[bytes]:
    """Take a message apart, so that its stream cannot differ from it."""
    usage = {k: v for k, v in message["usage"].items() if k != "output_tokens_details"} | {"output_tokens": 1}
    begun = message | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for number, block in enumerate(message["content"]):
        empty, deltas = _take_apart(block)
        events.append({"type": "content_block_start", "index": number, "content_block": empty})
        events += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": number})
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    totals = {k: v for k, v in message["usage"].items() if k != "service_tier"}
    events += [{"type": "message_delta", "delta": ended, "usage": totals}, {"type": "message_stop"}]
    return [sse(event, event["type"]) for event in events]


def _take_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in fragments(block["text"])]
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in fragments(block["thinking"])]
            return block | {"thinking": "", "signature": ""}, [
                *deltas,
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case _:
            # The first fragment of a tool's input is empty, as it is in the original.
            pieces = ["", *fragments(orjson.dumps(block["input"]).decode())]
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
