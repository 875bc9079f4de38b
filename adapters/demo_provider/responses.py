"""OpenAI Responses, spoken by a provider.

The items of an answer are made once; a stream is those items taken apart, so that it cannot differ from the whole.
"""

import base64
from typing import Any, Final

import orjson

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
from dragoman.adapters.demo_provider.chat import error_body, headers, refuse
from dragoman.adapters.demo_provider.errors import Dialect, Fault
from dragoman.adapters.demo_provider.media import Media, from_base64, from_url
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, items, mapping, string, whole
from dragoman.adapters.demo_provider.reply import Reply, json_reply, sse, sse_reply

_RESULTS: Final = ("function_call_output", "custom_tool_call_output")
_CALLS: Final = ("function_call", "custom_tool_call", "reasoning")
_ECHOED: Final = (
    "instructions", "metadata", "max_output_tokens", "max_tool_calls", "previous_response_id", "reasoning", "user",
    "prompt_cache_key", "safety_identifier",
)  # fmt: skip


def respond(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/responses``."""
    question = read_question(body)
    answer = decide(question)
    final = _response(question, body, answer)
    if body.get("stream") is True:
        return sse_reply(_stream(final, _response(question, body, None)), headers=headers(question.seed))
    return json_reply(final, headers=headers(question.seed))


def count(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/responses/input_tokens``."""
    question = read_question(body)
    weight = {"object": "response.input_tokens", "input_tokens": question.input_tokens}
    return json_reply(weight, headers=headers(question.seed))


def compact(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/responses/compact``: the conversation as one opaque item."""
    question = read_question(body)
    item = {"id": f"cmp_{question.seed}", "type": "compaction", "encrypted_content": _sealed("compaction", question)}
    compaction = {
        "id": f"resp_{question.seed}",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [item],
        "usage": _usage(question.input_tokens, 1, 0),
    }
    return json_reply(compaction, headers=headers(question.seed))


def break_off(events: tuple[bytes, ...], fault: Fault) -> tuple[bytes, ...]:
    """End a stream with an error: `response.failed` for who reads that, then `error` in both shapes that are about."""
    told = [mapping(orjson.loads(event.partition(b"data: ")[2])) for event in events]
    done = [event["item"] for event in told if event.get("type") == "response.output_item.done"]
    error = error_body(fault)["error"] | {"code": "server_error"}
    failed = mapping(told[0].get("response") if told else None) | {
        "status": "failed",
        "error": {"code": "server_error", "message": fault.message},
        "output": done,
    }
    flat = {"code": "server_error", "message": fault.message, "param": None}
    out: list[tuple[str, dict[str, Any]]] = [
        ("response.failed", {"response": failed}),
        ("error", {"error": error} | flat),
    ]
    return tuple(
        sse({"type": kind, "sequence_number": number} | data, kind)
        for number, (kind, data) in enumerate(out, len(told))
    )


DIALECT: Final = Dialect(headers, refuse, break_off)


def read_question(body: dict[str, Any]) -> Question:
    """Read a request.

    Raises:
        BadQuestion: `model` or `input` is missing.

    """
    model, asked = string(body.get("model")), body.get("input")
    if not model:
        raise BadQuestion("you must provide a model parameter", "model")
    if not asked and not any(body.get(name) for name in ("previous_response_id", "conversation", "prompt")):
        raise BadQuestion("input must be text or an array with at least one item", "input")
    entries = [{"role": "user", "content": asked}] if isinstance(asked, str) else [mapping(one) for one in items(asked)]
    form = mapping(mapping(body.get("text")).get("format"))
    schema = mapping(form.get("schema")) if form.get("type") == "json_schema" else {}
    effort = string(mapping(body.get("reasoning")).get("effort"))
    return Question(
        model=model,
        seed=seed_of(body),
        turns=tuple(_turn(entry) for entry in entries),
        input_tokens=count_tokens(entries, body.get("instructions"), body.get("tools")),
        tools=_tools(body),
        parallel=body.get("parallel_tool_calls") is not False,
        thinks=effort not in ("", "none") or named(model) == "think",
        schema=schema if form.get("type") in ("json_schema", "json_object") else None,
        max_tokens=whole(body.get("max_output_tokens")),
    )


def _turn(entry: dict[str, Any]) -> Turn:
    kind, role = string(entry.get("type")), string(entry.get("role"))
    text, media = _content(entry.get("output" if kind in _RESULTS else "content"))
    if kind in _RESULTS:
        return Turn("user", results=(ToolResult(text, media),))
    if kind in _CALLS:
        return Turn("assistant")
    return Turn(role if role in ("user", "assistant") else "system", text, media)


def _content(content: object) -> tuple[str, tuple[Media, ...]]:
    if isinstance(content, str):
        return content, ()
    parts = [mapping(part) for part in items(content)]
    text = "\n".join(string(part.get("text")) for part in parts if string(part.get("type")).endswith("_text"))
    return text, tuple(found for part in parts if (found := _media(part)))


def _media(part: dict[str, Any]) -> Media | None:
    match part.get("type"):
        case "input_image":
            url = string(part.get("image_url"))
            return from_url(url) if url else Media("image/*", None, string(part.get("file_id")))
        case "input_file":
            data, kind = string(part.get("file_data")), "application/octet-stream"
            if not data:
                return Media(kind, None, string(part.get("file_url")) or string(part.get("file_id")))
            return from_url(data, kind) if data.startswith("data:") else from_base64(kind, data)
        case "input_audio":
            audio = mapping(part.get("input_audio"))
            return from_base64(f"audio/{string(audio.get('format')) or '*'}", string(audio.get("data")))
        case _:
            return None


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    choice = body.get("tool_choice")
    if choice == "none":
        return ()
    tools = []
    for entry in map(mapping, items(body.get("tools"))):
        if entry.get("type") == "namespace":
            inner = (_tool(mapping(one), string(entry.get("name"))) for one in items(entry.get("tools")))
            tools += [tool for tool in inner if tool]
        elif tool := _tool(entry, ""):
            tools.append(tool)
    forced = mapping(choice)
    names = {string(mapping(one).get("name")) for one in [forced, *items(forced.get("tools"))]} - {""}
    return tuple(tool for tool in tools if not names or tool.name in names)


def _tool(entry: dict[str, Any], namespace: str) -> Tool | None:
    name = string(entry.get("name"))
    if not name or entry.get("type") not in ("function", "custom"):
        return None
    schema = None if entry.get("type") == "custom" else mapping(entry.get("parameters")) or {"type": "object"}
    return Tool(name, schema, namespace)


def _sealed(what: str, question: Question) -> str:
    return base64.b64encode(f"demo {what} {question.seed}".encode()).decode()


def _usage(spent: int, output: int, thought: int) -> dict[str, Any]:
    return {
        "input_tokens": spent,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": spent + output,
    }


def _response(question: Question, body: dict[str, Any], answer: Answer | None) -> dict[str, Any]:
    """The response object; without an answer, as it is while in progress."""
    cut = answer is not None and answer.finish == "length"
    usage = _usage(question.input_tokens, answer.output_tokens, answer.thought_tokens) if answer else None
    return {
        "id": f"resp_{question.seed}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress" if answer is None else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": question.model,
        "output": _output(question, answer) if answer else [],
        "parallel_tool_calls": question.parallel,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": items(body.get("tools")),
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "truncation": body.get("truncation") or "disabled",
        "store": body.get("store", True),
        "service_tier": "default",
        "background": False,
        "usage": usage,
    } | {name: body.get(name) for name in _ECHOED}


def _output(question: Question, answer: Answer) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if answer.thought:
        summary = [{"type": "summary_text", "text": answer.thought}]
        sealed = _sealed("reasoning", question)
        out.append({"id": f"rs_{question.seed}", "type": "reasoning", "summary": summary, "encrypted_content": sealed})
    if not answer.calls:
        part: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        part = {"type": "refusal", "refusal": answer.text} if answer.refused else part
        status = "incomplete" if answer.finish == "length" else "completed"
        head = {"id": f"msg_{question.seed}", "type": "message", "status": status, "role": "assistant"}
        out.append(head | {"content": [part]})
    return out + [_call(call) for call in answer.calls]


def _call(call: Call) -> dict[str, Any]:
    item = {"call_id": f"call_{call.id}", "name": call.tool.name, "status": "completed"}
    item |= {"namespace": call.tool.namespace} if call.tool.namespace else {}
    if call.tool.schema is None:
        return {"id": f"ctc_{call.id}", "type": "custom_tool_call", "input": call.arguments} | item
    return {"id": f"fc_{call.id}", "type": "function_call", "arguments": call.arguments} | item


def _stream(final: dict[str, Any], begun: dict[str, Any]) -> list[bytes]:
    events = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for number, item in enumerate(final["output"]):
        events += _item_events(number, item)
    kind = f"response.{final['status']}"
    events.append((kind, {"response": final}))
    return [sse({"type": kind, "sequence_number": number} | data, kind) for number, (kind, data) in enumerate(events)]


def _item_events(number: int, item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Take one item apart."""
    here: dict[str, Any] = {"output_index": number}
    mine = here | {"item_id": item["id"]}
    match item["type"]:
        case "message":
            empty, inside = item | {"content": [], "status": "in_progress"}, _message_events(mine, item["content"][0])
        case "reasoning":
            empty, inside = item | {"summary": [], "encrypted_content": None}, _summary_events(mine, item["summary"][0])
        case "custom_tool_call":
            empty = item | {"input": "", "status": "in_progress"}
            inside = _text_events("response.custom_tool_call_input", mine, "input", item["input"])
        case _:
            empty = item | {"arguments": "", "status": "in_progress"}
            inside = _text_events("response.function_call_arguments", mine, "arguments", item["arguments"])
    added = ("response.output_item.added", here | {"item": empty})
    return [added, *inside, ("response.output_item.done", here | {"item": item})]


def _text_events(name: str, mine: dict[str, Any], field: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    deltas = [(f"{name}.delta", mine | {"delta": piece}) for piece in fragments(text)]
    return [*deltas, (f"{name}.done", mine | {field: text})]


def _message_events(mine: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    mine = mine | {"content_index": 0}
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    more: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    inside = _text_events(name, mine | more, field, part[field])
    added = ("response.content_part.added", mine | {"part": part | {field: ""}})
    return [added, *inside, ("response.content_part.done", mine | {"part": part})]


def _summary_events(mine: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    mine = mine | {"summary_index": 0}
    inside = _text_events("response.reasoning_summary_text", mine, "text", part["text"])
    added = ("response.reasoning_summary_part.added", mine | {"part": part | {"text": ""}})
    return [added, *inside, ("response.reasoning_summary_part.done", mine | {"part": part})]
