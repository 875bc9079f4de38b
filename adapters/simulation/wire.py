"""The bytes of a simulated world: requests and good answers of each dialect, made once, with eight places for the number of an exchange.

A request carries ``question-NNNNNNNN`` in what the user says, an answer ``answer-NNNNNNNN``: so a provider knows which exchange it sees, and a client
whether the answer is its own.
"""

from functools import lru_cache
from typing import Any, Final

import attrs
import orjson

MARK: Final = b"@@@@@@@@"
DIALECTS: Final = ("openai_chat", "openai_responses", "claude", "gemini")
VARIANTS: Final = 16  # of token counts
CLIENT_KEY: Final = "sk-simulated-client"
_JSON: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


def tokens(variant: int) -> tuple[int, int]:
    """Input and output tokens of an answer."""
    return 10 + 7 * variant, 3 + 5 * variant


@attrs.frozen
class Answer:
    """A good answer.

    Attributes:
        head: Without the empty line at its end, for more fields.
        pieces: What follows it, as it is sent; `MARK` stands for the number of the exchange.
        tokens: What it says it took.

    """

    head: bytes
    pieces: tuple[bytes, ...]
    tokens: int


@lru_cache(None)
def answer(dialect: str, variant: int, *, stream: bool) -> Answer:
    """The answer of a dialect."""
    used, made = tokens(variant)
    if not stream:
        body = orjson.dumps(_WHOLE[dialect](used, made))
        return Answer(_JSON + b"content-length: %d\r\n" % len(body), (body,), used + made)
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in _EVENTS[dialect](used, made)]
    chunks[-1] += b"0\r\n\r\n"
    # What does not yet say anything comes with the first words; the rest in one or two pieces.
    first = next(i for i, chunk in enumerate(chunks) if MARK in chunk) + 1
    middle = (first + len(chunks)) // 2 if variant % 4 == 0 else len(chunks)
    cuts = ((0, first), (first, middle), (middle, len(chunks)))
    pieces = tuple(b"".join(chunks[a:b]) for a, b in cuts if a < b)
    return Answer(_STREAM, pieces, used + made)


TEXT: Final = ("answer-@@@@@@@@", " is", " wörth ", "\"it\".\n", "日本語")  # fmt: skip
_WHOLE_TEXT: Final = "".join(TEXT)


def _chat(used: int, made: int) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "simulated",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _WHOLE_TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made},
    }  # fmt: skip


def _chat_events(used: int, made: int) -> list[bytes]:
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "simulated"}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": text}, None) for text in TEXT]
    deltas.append(({}, "stop"))
    chunks: list[dict[str, Any]] = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas
    ]
    usage = {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made}
    chunks.append({**frame, "choices": [], "usage": usage})
    return [b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks] + [b"data: [DONE]\n\n"]


def _responses(used: int, made: int) -> dict[str, Any]:
    part = {"type": "output_text", "text": _WHOLE_TEXT, "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_1", "object": "response", "created_at": 1700000000, "model": "simulated", "status": "completed",
        "output": [message], "usage": {"input_tokens": used, "output_tokens": made, "total_tokens": used + made},
    }  # fmt: skip


def _responses_events(used: int, made: int) -> list[bytes]:
    whole = _responses(used, made)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    message = whole["output"][0]
    part = message["content"][0]
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun_item = {**message, "status": "in_progress", "content": []}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": begun_item}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**place, "delta": text}) for text in TEXT),
        ("response.output_text.done", {**place, "text": _WHOLE_TEXT}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": message}),
        ("response.completed", {"response": whole}),
    ]
    return [
        b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, "sequence_number": n, **event}))
        for n, (name, event) in enumerate(events)
    ]


def _claude(used: int, made: int) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "simulated", "stop_reason": "end_turn", "stop_sequence": None,
        "content": [{"type": "text", "text": _WHOLE_TEXT}], "usage": {"input_tokens": used, "output_tokens": made},
    }  # fmt: skip


def _claude_events(used: int, made: int) -> list[bytes]:
    message = {**_claude(used, 1), "content": [], "stop_reason": None}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in TEXT),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": made}},
        {"type": "message_stop"},
    ]
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events]


def _gemini_chunk(text: str, used: int, made: int, *, is_last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if is_last:
        candidate["finishReason"] = "STOP"
    usage = {"promptTokenCount": used, "candidatesTokenCount": made, "totalTokenCount": used + made}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "simulated", "responseId": "r1"}


def _gemini(used: int, made: int) -> dict[str, Any]:
    return _gemini_chunk(_WHOLE_TEXT, used, made, is_last=True)


def _gemini_events(used: int, made: int) -> list[bytes]:
    chunks = [
        _gemini_chunk(text, used, made if n == len(TEXT) - 1 else 1 + n, is_last=n == len(TEXT) - 1)
        for n, text in enumerate(TEXT)
    ]
    return [b"data: %b\r\n\r\n" % orjson.dumps(chunk) for chunk in chunks]


_WHOLE: Final = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "claude": _claude,
    "gemini": _gemini,
}
_EVENTS: Final = {
    "openai_chat": _chat_events,
    "openai_responses": _responses_events,
    "claude": _claude_events,
    "gemini": _gemini_events,
}


@lru_cache(None)
def request(dialect: str, model: str, *, stream: bool) -> bytes:
    """A client's request; `MARK` stands for the number of the exchange, in its id and in what it asks."""
    text = "question-@@@@@@@@ and so on"
    body: dict[str, Any]
    key = f"authorization: Bearer {CLIENT_KEY}"
    match dialect:
        case "openai_chat":
            path, body = "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}]}
        case "openai_responses":
            path, body = "/v1/responses", {"model": model, "input": text}
        case "claude":
            messages = [{"role": "user", "content": text}]
            path, body = "/v1/messages", {"model": model, "max_tokens": 100, "messages": messages}
            key = f"x-api-key: {CLIENT_KEY}\r\nanthropic-version: 2023-06-01"
        case _:
            name = "streamGenerateContent?alt=sse" if stream else "generateContent"
            path, body = f"/v1beta/models/{model}:{name}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            key = f"x-goog-api-key: {CLIENT_KEY}"
    if stream and dialect != "gemini":
        body["stream"] = True
    data = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\n{key}\r\nx-request-id: sim-@@@@@@@@\r\ncontent-type: application/json\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(data), data)


def read_answer(data: bytes) -> tuple[int, bytes, int] | None:
    """Status, body and length of an answer, when all of it is there.

    Raises:
        ValueError: It is no HTTP, or its framing is wrong.

    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if data[:9] != b"HTTP/1.1 ":
        raise ValueError(f"no HTTP: {data[:40]!r}")
    head = data[:end].lower()
    status, start = int(data[9:12]), end + 4
    if b"\r\ntransfer-encoding: chunked" in head:
        return None if not data.endswith(b"0\r\n\r\n") else _unchunked(data, start, status)
    at = head.find(b"\r\ncontent-length: ")
    if at < 0:
        raise ValueError("neither chunks nor a length")
    size = int(head[at + 18 :].split(b"\r\n", 1)[0])
    return None if len(data) < start + size else (status, data[start : start + size], start + size)


def _unchunked(data: bytes, at: int, status: int) -> tuple[int, bytes, int] | None:
    pieces: list[bytes] = []
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(data[at:line], 16)
        at = line + 2 + size + 2
        if at > len(data):
            return None
        if data[at - 2 : at] != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        if not size:
            return status, b"".join(pieces), at
        pieces.append(data[line + 2 : at - 2])
