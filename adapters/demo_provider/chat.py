"""OpenAI Chat Completions, spoken by a provider."""

from typing import Any, Final

from dragoman.adapters.demo_provider.answers import (
    CREATED,
    Answer,
    Call,
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
from dragoman.adapters.demo_provider.media import Media, from_base64, from_url
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, items, mapping, string, whole
from dragoman.adapters.demo_provider.reply import Headers, Reply, json_reply, sse, sse_reply

MAX_CHOICES: Final = 8
DONE: Final = b"data: [DONE]\n\n"

_TYPES: Final = {401: "authentication_error", 429: "requests", 500: "server_error", 503: "service_unavailable_error"}
_CODES: Final = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}
_FINISH: Final = {"end": "stop", "stop": "stop", "length": "length", "calls": "tool_calls"}


def headers(seed: str) -> Headers:
    """Headers as OpenAI sends them; the limits are high and never used up."""
    return (
        ("x-request-id", f"req_{seed}"),
        ("openai-processing-ms", "7"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "30ms"),
    )


def refuse(fault: Fault) -> Reply:
    """Write an error response."""
    late: Headers = ()
    if fault.retry_after is not None:
        late = (
            ("retry-after", str(fault.retry_after)),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", f"{fault.retry_after}s"),
        )
    seed = seed_of({"status": fault.status})
    return json_reply(error_body(fault), status=fault.status, headers=(("x-request-id", f"req_{seed}"), *late))


def error_body(fault: Fault) -> dict[str, Any]:
    """The error object of OpenAI's APIs."""
    kind = _TYPES.get(fault.status, "invalid_request_error")
    return {"error": {"message": fault.message, "type": kind, "param": fault.param, "code": _CODES.get(fault.status)}}


def break_off(events: tuple[bytes, ...], fault: Fault) -> tuple[bytes, ...]:
    """End a stream with an error: after it neither a finish_reason nor ``[DONE]``."""
    return (sse(error_body(fault)),)


DIALECT: Final = Dialect(headers, refuse, break_off)


def complete(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/chat/completions``."""
    question = read_question(body)
    count = min(max(whole(body.get("n")) or 1, 1), MAX_CHOICES)
    answers = [decide(question, salt=number) for number in range(count)]
    if body.get("stream") is True:
        usage_wanted = mapping(body.get("stream_options")).get("include_usage") is True
        return sse_reply(_stream(question, answers, usage_wanted), headers=headers(question.seed))
    return json_reply(_whole(question, answers), headers=headers(question.seed))


def read_question(body: dict[str, Any]) -> Question:
    """Read a request.

    Raises:
        BadQuestion: `model` or `messages` is missing.

    """
    if not string(body.get("model")):
        raise BadQuestion("you must provide a model parameter", "model")
    messages = items(body.get("messages"))
    if not messages:
        raise BadQuestion("messages must be an array with at least one message", "messages")
    for number, message in enumerate(messages):
        if not string(mapping(message).get("role")):
            raise BadQuestion("a message must be an object with a role", f"messages[{number}].role")
    form = mapping(body.get("response_format"))
    schema = mapping(mapping(form.get("json_schema")).get("schema")) if form.get("type") == "json_schema" else {}
    limit = whole(body.get("max_completion_tokens"))
    stop = body.get("stop")
    return Question(
        model=string(body["model"]),
        seed=seed_of(body),
        turns=tuple(_turn(mapping(message)) for message in messages),
        input_tokens=count_tokens(messages, body.get("tools")),
        tools=_tools(body),
        parallel=body.get("parallel_tool_calls") is not False,
        thinks=string(body.get("reasoning_effort")) not in ("", "none") or named(string(body["model"])) == "think",
        schema=schema if form.get("type") in ("json_schema", "json_object") else None,
        max_tokens=whole(body.get("max_tokens")) if limit is None else limit,
        stops=(stop,) if isinstance(stop, str) else tuple(filter(None, map(string, items(stop)))),
    )


def _turn(message: dict[str, Any]) -> Turn:
    role, content = string(message.get("role")), message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else [mapping(p) for p in items(content)]
    text = "\n".join(string(part.get("text")) for part in parts if part.get("type") == "text")
    media = tuple(found for part in parts if (found := _media(part)))
    if role in ("tool", "function"):
        return Turn("user", results=(ToolResult(text, media),))
    return Turn(role if role in ("user", "assistant") else "system", text, media)


def _media(part: dict[str, Any]) -> Media | None:
    match part.get("type"):
        case "image_url":
            image = part.get("image_url")
            return from_url(image if isinstance(image, str) else string(mapping(image).get("url")))
        case "input_audio":
            audio = mapping(part.get("input_audio"))
            return from_base64(f"audio/{string(audio.get('format')) or '*'}", string(audio.get("data")))
        case "file":
            file = mapping(part.get("file"))
            data, kind = string(file.get("file_data")), "application/octet-stream"
            if not data:
                return Media(kind, None, string(file.get("file_id")))
            return from_url(data, kind) if data.startswith("data:") else from_base64(kind, data)
        case _:
            return None


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = tuple(found for tool in items(body.get("tools")) if (found := _tool(mapping(tool))))
    choice = body.get("tool_choice")
    if choice == "none":
        return ()
    forced = mapping(choice)
    allowed = items(mapping(forced.get("allowed_tools")).get("tools"))
    names = {string(_inner(mapping(one)).get("name")) for one in [forced, *allowed]} - {""}
    return tuple(tool for tool in tools if not names or tool.name in names)


def _inner(tool: dict[str, Any]) -> dict[str, Any]:
    return mapping(tool.get("custom" if tool.get("type") == "custom" else "function"))


def _tool(tool: dict[str, Any]) -> Tool | None:
    inner = _inner(tool)
    name = string(inner.get("name"))
    schema = None if tool.get("type") == "custom" else mapping(inner.get("parameters"))
    return Tool(name, schema if schema is None or schema else {"type": "object"}) if name else None


def _usage(question: Question, answers: list[Answer]) -> dict[str, Any]:
    output = sum(answer.output_tokens for answer in answers)
    return {
        "prompt_tokens": question.input_tokens,
        "completion_tokens": output,
        "total_tokens": question.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(answer.thought_tokens for answer in answers),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _whole(question: Question, answers: list[Answer]) -> dict[str, Any]:
    choices = [
        {"index": number, "message": _message(answer), "logprobs": None, "finish_reason": _FINISH[answer.finish]}
        for number, answer in enumerate(answers)
    ]
    return _frame(question, "chat.completion") | {"choices": choices, "usage": _usage(question, answers)}


def _frame(question: Question, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{question.seed}",
        "object": kind,
        "created": CREATED,
        "model": question.model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if answer.thought:
        message["reasoning_content"] = answer.thought
    if answer.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call in answer.calls]
    else:
        message["refusal" if answer.refused else "content"] = answer.text
    return message


def _call(call: Call, arguments: str) -> dict[str, Any]:
    if call.tool.schema is None:
        return {"id": f"call_{call.id}", "type": "custom", "custom": {"name": call.tool.name, "input": arguments}}
    return {"id": f"call_{call.id}", "type": "function", "function": {"name": call.tool.name, "arguments": arguments}}


def _stream(question: Question, answers: list[Answer], usage_wanted: bool) -> list[bytes]:
    frame = _frame(question, "chat.completion.chunk")
    # Asked for usage, OpenAI puts null on every chunk but the last; not asked, the member is absent.
    null = {"usage": None} if usage_wanted else {}
    events = []
    for number, answer in enumerate(answers):
        choices: list[dict[str, Any]] = [
            {"index": number, "delta": delta, "logprobs": None, "finish_reason": None} for delta in _deltas(answer)
        ]
        choices.append({"index": number, "delta": {}, "logprobs": None, "finish_reason": _FINISH[answer.finish]})
        events += [sse(frame | {"choices": [choice]} | null) for choice in choices]
    if usage_wanted:
        events.append(sse(frame | {"choices": [], "usage": _usage(question, answers)}))
    return [*events, DONE]


def _deltas(answer: Answer) -> list[dict[str, Any]]:
    first: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.calls or answer.refused else "",
        "refusal": None,
    }
    deltas = [first]
    deltas += [{"reasoning_content": piece} for piece in fragments(answer.thought)]
    deltas += [{"refusal" if answer.refused else "content": piece} for piece in fragments(answer.text)]
    for number, call in enumerate(answer.calls):
        deltas.append({"tool_calls": [{"index": number} | _call(call, "")]})
        kind, field = ("custom", "input") if call.tool.schema is None else ("function", "arguments")
        pieces: list[dict[str, Any]] = [{"index": number, kind: {field: piece}} for piece in fragments(call.arguments)]
        deltas += [{"tool_calls": [piece]} for piece in pieces]
    return deltas
