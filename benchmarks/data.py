"""The fixed inputs of every benchmark: the same bytes on every machine, in every run.

Sizes are those of everyday traffic: a request of 691 bytes, an answer of 1,017, an OpenAI stream of 203 events of about 300 bytes,
an Anthropic stream of 206 events of about 125. `write_payloads` puts the answers where both mocks read them, so that the C one and the
Python one cannot differ.
"""

import json
from pathlib import Path
from typing import Final, Literal

Dialect = Literal["openai_chat", "claude"]

CLIENT_KEY: Final = "sk-bench-client-key"  # LiteLLM wants the prefix
UPSTREAM_KEY: Final = "bench-upstream-key"
REQUEST_BYTES: Final = 691
ANSWER_BYTES: Final = 1017
CHAT_EVENTS: Final = 203
CLAUDE_EVENTS: Final = 206
TERMINATOR: Final[dict[Dialect, str]] = {"openai_chat": "data: [DONE]", "claude": "event: message_stop"}
PATH: Final[dict[Dialect, str]] = {"openai_chat": "/v1/chat/completions", "claude": "/v1/messages"}

# Clients ask the gateway for `door-bench-fast`; the gateway asks the mock for `bench-fast`. The mock finds the name in either, so the same
# request can go to it directly, and the gateway has the rewrite of the model's name to do.
ALIAS_PREFIX: Final = "door-"
FOREIGN: Final = "claude-"  # `door-claude-bench-fast` is asked for in OpenAI's dialect and answered in Anthropic's
MODELS: Final = ("bench-json", "bench-fast", "bench-split", "bench-paced", "bench-paced-50")

_WORDS: Final = (
    " the", " gateway", " speaks", " every", " dialect", ",", " knows", " every", " door", ",", " and", " is", " trusted",
    " by", " both", " sides", ".", "\n\n", " It", " translates", " \"quoted\"", " wörds", " 日本語", " and", " numbers", " 42",
)  # fmt: skip


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def request_body(model: str, *, stream: bool, size: int = REQUEST_BYTES) -> bytes:
    """A chat completion request of exactly `size` bytes, the same for the OpenAI and the Anthropic path.

    It asks for usage in the stream, so that a gateway has no reason to add or to hide anything.
    """
    body: dict[str, object] = {"model": model, "max_tokens": 1024, "temperature": 0.7, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    system = "You are a careful assistant. Answer in plain words."
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    missing = size - len(_compact(body))
    question = ("Explain what a dragoman did at court, and why both sides could trust him. " * (missing // 70 + 1))[
        :missing
    ]
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return _compact(body).encode()


def chat_answer() -> bytes:
    """An OpenAI chat completion of exactly `ANSWER_BYTES` bytes."""
    usage = {
        "prompt_tokens": 131, "completion_tokens": 142, "total_tokens": 273,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }  # fmt: skip
    message: dict[str, object] = {"role": "assistant", "content": "", "refusal": None, "annotations": []}
    answer = {
        "id": "chatcmpl-Bq7vV1kTn0aXcZ2sY8mD4eR6uWfGh", "object": "chat.completion", "created": 1766000000,
        "model": "bench-2026-11-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage, "service_tier": "default", "system_fingerprint": "fp_0123456789",
    }  # fmt: skip
    text = "A dragoman was the interpreter at a court: he spoke every dialect and knew every door. "
    missing = ANSWER_BYTES - len(_compact(answer))
    message["content"] = (text * (missing // len(text) + 1))[:missing]
    return _compact(answer).encode()


def claude_answer() -> bytes:
    """An Anthropic message, not streamed."""
    usage = {"input_tokens": 131, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 142}
    text = "A dragoman was the interpreter at a court: he spoke every dialect and knew every door. " * 7
    answer = {
        "id": "msg_01BenchmarkBenchmark0001", "type": "message", "role": "assistant", "model": "bench-2026-11-01",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    return _compact(answer).encode()


def chat_events(count: int = CHAT_EVENTS) -> list[bytes]:
    """The `count` frames of an OpenAI chat stream: role, text, finish, usage, ``[DONE]``; each ends with an empty line."""
    frame = {
        "id": "chatcmpl-Bq7vV1kTn0aXcZ2sY8mD", "object": "chat.completion.chunk", "created": 1766000000,
        "model": "bench-2026", "service_tier": "default", "system_fingerprint": "fp_0123456789",
    }  # fmt: skip

    def chunk(delta: dict[str, str], finish: str | None, number: int) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        # OpenAI pads its events with noise of varying length against traffic analysis.
        return {**frame, "choices": [choice], "usage": None, "obfuscation": "aB3dE5fG7h"[: 1 + number % 10]}

    chunks = [chunk({"role": "assistant", "content": ""}, None, 0)]
    chunks += [chunk({"content": _WORDS[n % len(_WORDS)]}, None, n) for n in range(count - 4)]
    chunks.append(chunk({}, "stop", 1))
    usage = {"prompt_tokens": 131, "completion_tokens": count - 4, "total_tokens": 131 + count - 4}
    chunks.append({**frame, "choices": [], "usage": usage, "obfuscation": "aB3dE5"})
    return [f"data: {_compact(c)}\n\n".encode() for c in chunks] + [b"data: [DONE]\n\n"]


def claude_events(count: int = CLAUDE_EVENTS) -> list[bytes]:
    """The `count` frames of an Anthropic message stream: start, block start, ping, text, block stop, message delta, stop."""
    usage = {"input_tokens": 131, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message: dict[str, object] = {
        "id": "msg_01BenchmarkBenchmark0001", "type": "message", "role": "assistant", "model": "bench-2026-11-01",
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    for n in range(count - 6):
        delta = {"type": "text_delta", "text": _WORDS[n % len(_WORDS)]}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": count - 6}},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {_compact(event)}\n\n".encode() for event in events]


def claude_text(count: int = CLAUDE_EVENTS) -> str:
    """The text that `claude_events` comes to."""
    return "".join(_WORDS[n % len(_WORDS)] for n in range(count - 6))


def gemini_events(count: int) -> list[bytes]:
    """The `count` chunks of a Gemini stream; each counts anew, as Google's do."""
    events = []
    for n in range(count):
        content = {"parts": [{"text": _WORDS[n % len(_WORDS)]}], "role": "model"}
        candidate: dict[str, object] = {"content": content, "index": 0}
        if n == count - 1:
            candidate["finishReason"] = "STOP"
        usage = {
            "promptTokenCount": 131, "candidatesTokenCount": n + 1, "totalTokenCount": 132 + n,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 131}],
        }  # fmt: skip
        chunk = {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": "bench-2026",
            "responseId": "benchmarkBenchm",
        }
        events.append(f"data: {_compact(chunk)}\r\n\r\n".encode())
    return events


def responses_events(count: int) -> list[bytes]:
    """The `count` frames of a Responses stream: one message, whose text is said in pieces and twice as a whole."""
    frame: dict[str, object] = {
        "id": "resp_0123456789abcdef0123456789abcdef", "object": "response", "created_at": 1766000000, "model": "bench-2026",
        "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
    }  # fmt: skip
    message = {"id": "msg_0123456789abcdef", "type": "message", "role": "assistant"}
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    words = [_WORDS[n % len(_WORDS)] for n in range(count - 8)]
    part = {"type": "output_text", "text": "".join(words), "annotations": [], "logprobs": []}
    done = {**message, "status": "completed", "content": [part]}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 131, "output_tokens": len(words), "total_tokens": 131 + len(words), **details}
    begun = {**frame, "status": "in_progress", "output": [], "usage": None}
    events: list[tuple[str, dict[str, object]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**message, "status": "in_progress", "content": []}},
        ),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(
            ("response.output_text.delta", {**place, "delta": word, "logprobs": [], "obfuscation": "aB3dE5"})
            for word in words
        ),
        ("response.output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": done}),
        ("response.completed", {"response": {**frame, "status": "completed", "output": [done], "usage": usage}}),
    ]
    frames = ({"type": name, "sequence_number": n, **event} for n, (name, event) in enumerate(events))
    return [f"event: {event['type']}\ndata: {_compact(event)}\n\n".encode() for event in frames]


def response_head(content_type: str, length: int | None) -> bytes:
    """The head of an answer, with the headers a provider sends; no `length`: the body is chunked."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [
        "HTTP/1.1 200 OK",
        "Date: Sun, 01 Nov 2026 12:00:00 GMT",
        f"Content-Type: {content_type}",
        framing,
        "Server: mock",
        "x-request-id: req_0123456789abcdef0123456789abcdef",
        "openai-organization: org-bench",
        "openai-processing-ms: 12",
        "openai-version: 2020-10-01",
        "x-ratelimit-limit-requests: 10000",
        "x-ratelimit-limit-tokens: 2000000",
        "x-ratelimit-remaining-requests: 9999",
        "x-ratelimit-remaining-tokens: 1999000",
        "x-ratelimit-reset-requests: 6ms",
        "x-ratelimit-reset-tokens: 30ms",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def request_headers() -> list[tuple[str, str]]:
    """As many headers as an SDK sends, under names of our own: a benchmark does not pose as anybody's client.

    Host and framing come from the load generator; the key is the gateway's client key, which the mock ignores.
    """
    return [
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Authorization", f"Bearer {CLIENT_KEY}"),
        ("Content-Type", "application/json"),
        ("User-Agent", "dragoman-benchmark"),
        ("x-bench-lang", "python"),
        ("x-bench-package-version", "1.0.0"),
        ("x-bench-os", "any"),
        ("x-bench-arch", "any"),
        ("x-bench-runtime", "none"),
        ("x-bench-runtime-version", "1.0.0"),
        ("x-bench-async", "false"),
        ("x-bench-retry-count", "0"),
        ("x-bench-read-timeout", "600"),
    ]


def write_payloads(folder: Path) -> None:
    """Write what the mocks answer with: ``{chat,messages}.json`` and ``.sse``, and the heads in front of them."""
    chat, claude = chat_answer(), claude_answer()
    files = {
        "chat.json": response_head("application/json", len(chat)) + chat,
        "messages.json": response_head("application/json", len(claude)) + claude,
        "stream.head": response_head("text/event-stream; charset=utf-8", None),
        "chat.sse": b"".join(chat_events()),
        "messages.sse": b"".join(claude_events()),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
