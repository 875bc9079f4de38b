"""Google Gemini's generateContent, spoken by a provider.

Proto JSON: every key may come in camelCase or snake_case, mixed in one body. Answers are camelCase.
"""

import base64
import re
from typing import Any, Final

import attrs
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
from dragoman.adapters.demo_provider.embeddings import read_dimensions, vector
from dragoman.adapters.demo_provider.errors import Dialect, Fault
from dragoman.adapters.demo_provider.media import Media, from_base64
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, items, mapping, string, whole
from dragoman.adapters.demo_provider.reply import SSE, Headers, Reply, json_reply

MAX_CANDIDATES: Final = 8

_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def headers(seed: str) -> Headers:
    """Google announces no limits."""
    return (("x-request-id", f"req_{seed}"), ("server-timing", "gfet4t7; dur=7"))


def refuse(fault: Fault) -> Reply:
    """Write an error response; a delay is given both where Google puts it and as ``Retry-After``."""
    late = () if fault.retry_after is None else (("retry-after", str(fault.retry_after)),)
    return json_reply(_error(fault), status=fault.status, headers=late)


def _error(fault: Fault) -> dict[str, Any]:
    prefix = "type.googleapis.com/google.rpc."
    details: list[dict[str, Any]] = []
    if fault.retry_after is not None:
        details.append({"@type": f"{prefix}RetryInfo", "retryDelay": f"{fault.retry_after}s"})
    if fault.param:
        violation = {"field": fault.param, "description": fault.message}
        details.append({"@type": f"{prefix}BadRequest", "fieldViolations": [violation]})
    status = _STATUS.get(fault.status, "UNKNOWN")
    return {"error": {"code": fault.status, "message": fault.message, "status": status, "details": details}}


def break_off(events: tuple[bytes, ...], fault: Fault) -> tuple[bytes, ...]:
    """End a stream with an error, as one more chunk of it."""
    error = orjson.dumps(_error(fault))
    if events and not events[0].startswith(b"data: "):
        return (b",\r\n" + error + b"]",)
    return (b"data: " + error + b"\r\n\r\n",)


DIALECT: Final = Dialect(headers, refuse, break_off)


def generate(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``:generateContent``."""
    question, answers = _ask(body)
    return json_reply(_chunk(question, answers, _parts_whole(body, question, answers)), headers=headers(question.seed))


def stream(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``:streamGenerateContent``: events with ``alt=sse``, one JSON array without."""
    question, answers = _ask(body)
    chunks = [orjson.dumps(chunk) for chunk in _chunks(body, question, answers)]
    if request.query.get("alt") == "sse":
        events = tuple(b"data: " + chunk + b"\r\n\r\n" for chunk in chunks)
        return Reply(200, (*SSE, *headers(question.seed)), None, events)
    events = tuple((b",\r\n" if number else b"[") + chunk for number, chunk in enumerate(chunks))
    kind: Headers = (("content-type", "application/json; charset=UTF-8"),)
    return Reply(200, (*kind, *headers(question.seed)), None, (*events, b"]"))


def count(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``:countTokens``."""
    inner = mapping(field(body, "generateContentRequest"))
    question = read_question((inner or body) | {"model": body["model"]})
    weight = question.input_tokens
    details = [{"modality": "TEXT", "tokenCount": weight}]
    return json_reply({"totalTokens": weight, "promptTokensDetails": details}, headers=headers(question.seed))


def embed(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``:embedContent``."""
    return json_reply({"embedding": _embedding(body)}, headers=headers(seed_of(body)))


def embed_many(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``:batchEmbedContents``."""
    requests = [mapping(one) for one in items(body.get("requests"))]
    if not requests:
        raise BadQuestion("requests must be an array with at least one request", "requests")
    return json_reply({"embeddings": [_embedding(one) for one in requests]}, headers=headers(seed_of(body)))


def _embedding(body: dict[str, Any]) -> dict[str, Any]:
    content = body.get("content")
    if not isinstance(content, dict):
        raise BadQuestion("content must be an object with parts", "content")
    config = mapping(field(body, "embedContentConfig"))
    asked = field(body, "outputDimensionality")
    dimensions = read_dimensions(
        field(config, "outputDimensionality") if asked is None else asked, "outputDimensionality"
    )
    return {"values": vector(_turn(content).text, dimensions)}


def field(value: dict[str, Any], name: str) -> Any:
    """The member called `name`, or the same in snake_case.

    >>> field({"inline_data": 1}, "inlineData")
    1
    """
    return value[name] if name in value else value.get(re.sub("([A-Z])", r"_\1", name).lower())


def read_question(body: dict[str, Any]) -> Question:
    """Read a request whose `model` was put in from its path.

    Raises:
        BadQuestion: `contents` is missing.

    """
    contents = body.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    if not items(contents):
        raise BadQuestion("contents is not specified", "contents")
    config = mapping(field(body, "generationConfig"))
    form = field(config, "responseSchema") or field(config, "responseJsonSchema")
    is_json = string(field(config, "responseMimeType")) == "application/json"
    model, thinking = string(body.get("model")), mapping(field(config, "thinkingConfig"))
    budget, level = whole(field(thinking, "thinkingBudget")), string(field(thinking, "thinkingLevel"))
    asked = _shows(body) or bool(level) or budget not in (None, 0)
    return Question(
        model=model.removeprefix("models/"),
        seed=seed_of(body),
        turns=tuple(_turn(mapping(content)) for content in items(contents)),
        input_tokens=count_tokens(contents, field(body, "systemInstruction"), body.get("tools")),
        tools=_tools(body),
        thinks=(asked and budget != 0) or named(model) == "think",
        schema=mapping(form) if form or is_json else None,
        max_tokens=whole(field(config, "maxOutputTokens")),
        stops=tuple(filter(None, map(string, items(field(config, "stopSequences"))))),
    )


def _shows(body: dict[str, Any]) -> bool:
    """Whether thoughts are to be shown."""
    config = mapping(field(mapping(field(body, "generationConfig")), "thinkingConfig"))
    return field(config, "includeThoughts") is True or named(string(body.get("model"))) == "think"


def _turn(content: dict[str, Any]) -> Turn:
    parts = [mapping(part) for part in items(content.get("parts"))]
    text = "\n".join(string(part.get("text")) for part in parts if part.get("text") and part.get("thought") is not True)
    results = tuple(_result(mapping(found)) for part in parts if (found := field(part, "functionResponse")))
    media = tuple(found for part in parts if (found := _media(part)))
    role = "assistant" if content.get("role") == "model" else "user"
    # Models before Gemini 3 take the pictures of a tool's result beside it, not in it.
    if results and media:
        results = (*results[:-1], attrs.evolve(results[-1], media=results[-1].media + media))
        media = ()
    return Turn(role, text, media, results)


def _result(response: dict[str, Any]) -> ToolResult:
    value = mapping(response.get("response"))
    failed = "error" in value
    inner = next((value[key] for key in ("output", "error", "result") if key in value), value)
    text = inner if isinstance(inner, str) else orjson.dumps(inner).decode()
    media = tuple(found for part in items(response.get("parts")) if (found := _media(mapping(part))))
    return ToolResult(text, media, failed)


def _media(part: dict[str, Any]) -> Media | None:
    if inline := mapping(field(part, "inlineData")):
        return from_base64(string(field(inline, "mimeType")), string(inline.get("data")))
    if file := mapping(field(part, "fileData")):
        return Media(string(field(file, "mimeType")), None, string(field(file, "fileUri")))
    return None


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    config = mapping(field(mapping(field(body, "toolConfig")), "functionCallingConfig"))
    if string(config.get("mode")).upper() == "NONE":
        return ()
    allowed = items(field(config, "allowedFunctionNames"))
    tools = []
    for entry in map(mapping, items(body.get("tools"))):
        for declared in map(mapping, items(field(entry, "functionDeclarations"))):
            name = string(declared.get("name"))
            schema = mapping(declared.get("parameters")) or mapping(field(declared, "parametersJsonSchema"))
            if name and (not allowed or name in allowed):
                tools.append(Tool(name, schema or {"type": "object"}))
    return tuple(tools)


def _ask(body: dict[str, Any]) -> tuple[Question, list[Answer]]:
    question = read_question(body)
    wanted = whole(field(mapping(field(body, "generationConfig")), "candidateCount")) or 1
    return question, [decide(question, salt=number) for number in range(min(max(wanted, 1), MAX_CANDIDATES))]


def _usage(question: Question, answers: list[Answer]) -> dict[str, Any]:
    thoughts = sum(answer.thought_tokens for answer in answers)
    output = sum(answer.output_tokens for answer in answers)
    usage: dict[str, Any] = {
        "promptTokenCount": question.input_tokens,
        "candidatesTokenCount": output - thoughts,
        "totalTokenCount": question.input_tokens + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": question.input_tokens}],
    }
    return usage | ({"thoughtsTokenCount": thoughts} if thoughts else {})


def _frame(question: Question) -> dict[str, Any]:
    return {"modelVersion": question.model, "responseId": question.seed}


def _chunk(question: Question, answers: list[Answer], parts: list[list[dict[str, Any]]]) -> dict[str, Any]:
    candidates = [_candidate(number, found, answers[number]) for number, found in enumerate(parts)]
    return {"candidates": candidates, "usageMetadata": _usage(question, answers)} | _frame(question)


def _candidate(number: int, parts: list[dict[str, Any]], answer: Answer | None) -> dict[str, Any]:
    """One candidate's share of a chunk; with its answer, the last one."""
    if answer is not None and answer.refused:
        return {"finishReason": "SAFETY", "finishMessage": answer.text, "index": number}
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": number}
    if answer is not None:
        candidate["finishReason"] = "MAX_TOKENS" if answer.finish == "length" else "STOP"
    return candidate


def _parts_whole(body: dict[str, Any], question: Question, answers: list[Answer]) -> list[list[dict[str, Any]]]:
    out = []
    for answer in answers:
        parts: list[dict[str, Any]] = []
        if answer.thought and _shows(body):
            parts.append({"text": answer.thought, "thought": True})
        parts += _call_parts(question, answer) or [{"text": answer.text} | _signature(question, answer)]
        out.append(parts)
    return out


def _call_parts(question: Question, answer: Answer) -> list[dict[str, Any]]:
    parts = []
    for number, call in enumerate(answer.calls):
        called = {"id": call.id, "name": call.tool.name, "args": orjson.loads(call.arguments)}
        # Of parallel calls only the first one is signed.
        parts.append({"functionCall": called} | ({} if number else _signature(question, answer)))
    return parts


def _signature(question: Question, answer: Answer) -> dict[str, Any]:
    if not answer.thought:
        return {}
    return {"thoughtSignature": base64.b64encode(f"demo signature {question.seed}".encode()).decode()}


def _chunks(body: dict[str, Any], question: Question, answers: list[Answer]) -> list[dict[str, Any]]:
    """The same answer in deltas: usage grows, the last chunk of a candidate ends it."""
    out: list[dict[str, Any]] = []
    early = {"promptTokenCount": question.input_tokens, "totalTokenCount": question.input_tokens}
    for number, answer in enumerate(answers):
        parts: list[dict[str, Any]] = []
        if answer.thought and _shows(body):
            parts += [{"text": piece, "thought": True} for piece in fragments(answer.thought)]
        calls = _call_parts(question, answer)
        if not answer.refused:
            parts += calls or [{"text": piece} for piece in fragments(answer.text)]
        last: dict[str, Any] = {"text": ""} | ({} if calls else _signature(question, answer))
        out += [
            {"candidates": [_candidate(number, [part], None)], "usageMetadata": early} | _frame(question)
            for part in parts
        ]
        out.append({"candidates": [_candidate(number, [last], answer)], "usageMetadata": early} | _frame(question))
    out[-1]["usageMetadata"] = _usage(question, answers)
    return out
