"""The official SDKs as judges: what a dialect writes, its own SDK has to take.

Requests are checked against the SDK's TypedDicts (Gemini: pydantic models), answers against its models, streams are read by its own
stream helpers over a transport in memory.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import attrs
import httpx2
import openai
import pydantic
from anthropic.types import Message
from anthropic.types import message_create_params as messages
from google import genai
from google.genai import types as gemini
from openai.types.chat import ChatCompletion
from openai.types.chat import completion_create_params as chat
from openai.types.responses import Response
from openai.types.responses import response_create_params as responses
from typing_extensions import get_type_hints, is_typeddict


class Refused(AssertionError):
    """The SDK does not take it."""


# ---- requests


# What may stand around a type. As Any, for they are special forms to a type checker.
_WRAPPERS: Any = (typing.Annotated, typing.Required, typing.NotRequired)


def check(value: Any, kind: Any, path: str = "$", allowed: frozenset[str] = frozenset()) -> None:
    """Check a value against a type of an SDK: every key declared, every required key there, every literal one of its own."""
    origin = typing.get_origin(kind)
    while origin in _WRAPPERS:
        kind = typing.get_args(kind)[0]
        origin = typing.get_origin(kind)
    if kind in (Any, object) or isinstance(kind, typing.TypeVar):
        return
    if origin in (typing.Union, types.UnionType):
        _check_any(value, typing.get_args(kind), path, allowed)
    elif origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise Refused(f"{path}: {value!r} is none of {typing.get_args(kind)}")
    elif kind in (None, type(None)):
        if value is not None:
            raise Refused(f"{path}: expected null")
    elif is_typeddict(kind):
        _check_object(value, kind, path, allowed)
    elif kind is dict or origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise Refused(f"{path}: expected an object")
        for key, item in value.items() if origin is not None else ():
            check(item, typing.get_args(kind)[1], f"{path}.{key}", allowed)
    elif origin is not None:
        if not isinstance(value, list):
            raise Refused(f"{path}: expected an array")
        for n, item in enumerate(value):
            check(item, typing.get_args(kind)[0], f"{path}[{n}]", allowed)
    elif inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel):
        kind.model_validate(value)
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(f"{path}: expected a number")
    elif type(value) is not kind:
        raise Refused(f"{path}: expected {kind}, got {value!r}")


def _check_any(value: Any, kinds: tuple[Any, ...], path: str, allowed: frozenset[str]) -> None:
    errors: list[str] = []
    for kind in kinds:
        try:
            return check(value, kind, path, allowed)
        except (Refused, pydantic.ValidationError) as error:
            errors.append(str(error))
    raise Refused(max(errors, key=lambda text: text.split(":")[0].count(".") + text.split(":")[0].count("[")))


def _check_object(value: Any, kind: Any, path: str, allowed: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise Refused(f"{path}: expected an object")
    hints = get_type_hints(kind, include_extras=True)
    names = {}
    for name, hint in hints.items():
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) in _WRAPPERS else hint
        alias = next((a for m in getattr(inner, "__metadata__", ()) if (a := getattr(m, "alias", None))), name)
        names[alias] = name
    for key, item in value.items():
        if key in names:
            check(item, hints[names[key]], f"{path}.{key}", allowed)
        elif key not in allowed:
            raise Refused(f"{path}.{key}: {kind.__name__} has no such field")
    for alias, name in names.items():
        if name in kind.__required_keys__ and alias not in value:
            raise Refused(f"{path}.{alias}: {kind.__name__} requires it")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _declared(model: type[pydantic.BaseModel], value: Any, path: str) -> None:
    found = _undeclared(model.model_validate(value), path)
    if found:
        raise Refused(f"undeclared: {found}")


def _undeclared(value: Any, path: str) -> list[str]:
    if isinstance(value, pydantic.BaseModel):
        own = [f"{path}.{key}" for key in value.model_extra or ()]
        return own + [p for key in type(value).model_fields for p in _undeclared(getattr(value, key), f"{path}.{key}")]
    if isinstance(value, list):
        return [p for n, item in enumerate(value) for p in _undeclared(item, f"{path}[{n}]")]
    return []


_GEMINI_TOP = {
    "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent", "labels",
    "serviceTier", "store",
}  # fmt: skip


def _check_gemini(body: Any) -> None:
    node = {_camel(key): value for key, value in body.items()}
    if not node.keys() <= _GEMINI_TOP or not node.get("contents"):
        raise Refused(f"fields {sorted(node)}")
    for n, content in enumerate(node["contents"]):
        if not content.get("parts"):
            raise Refused(f"contents[{n}] has no parts")
        _declared(gemini.Content, content, f"contents[{n}]")
    for key, model in (("systemInstruction", gemini.Content), ("toolConfig", gemini.ToolConfig)):
        if key in node:
            _declared(model, node[key], key)
    for n, tool in enumerate(node.get("tools", ())):
        _declared(gemini.Tool, tool, f"tools[{n}]")
    config = node.get("generationConfig", {})
    known = {_camel(name) for name in gemini.GenerateContentConfig.model_fields}
    if not {_camel(key) for key in config} <= known:
        raise Refused(f"generationConfig {sorted(config)}")
    gemini.GenerateContentConfig.model_validate(config)


def _check_code_assist(body: Any) -> None:
    if not {"model", "request"} <= body.keys() <= {"model", "project", "user_prompt_id", "request"}:
        raise Refused(f"fields {sorted(body)}")
    _check_gemini({key: value for key, value in body["request"].items() if key != "session_id"})


# Fields that no SDK declares though the API (Claude's older version) or its compatible servers have them.
_ALLOWED = {
    "openai_chat": frozenset({"reasoning_content", "reasoning_details", "extra_content"}),
    "claude": frozenset({"temperature", "top_p", "top_k"}),
}


def _checker(dialect: str, whole: Any, streaming: Any) -> Callable[[Any], None]:
    allowed = _ALLOWED.get(dialect, frozenset())
    return lambda body: check(_with_ids(body), streaming if body.get("stream") else whole, allowed=allowed)


def _with_ids(body: Any) -> Any:
    """The SDK's types demand ids of items that are sent back; the API does not, and Codex sends none."""
    items = body.get("input")
    return body | {"input": [_with_id(item) for item in items]} if isinstance(items, list) else body


def _with_id(item: Any) -> Any:
    if item.get("type") == "reasoning":
        return {"id": "rs_1", **item}
    return {"id": "msg_1", "status": "completed", **item} if item.get("role") == "assistant" else item


_REQUESTS: dict[str, Callable[[Any], None]] = {
    "openai_chat": _checker(
        "openai_chat", chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming
    ),
    "openai_responses": _checker(
        "openai_responses", responses.ResponseCreateParamsNonStreaming, responses.ResponseCreateParamsStreaming
    ),
    "claude": _checker("claude", messages.MessageCreateParamsNonStreaming, messages.MessageCreateParamsStreaming),
    "gemini": _check_gemini,
    "code_assist": _check_code_assist,
}


def check_request(dialect: str, body: bytes) -> None:
    """Insist that a request body is one of this dialect.

    Raises:
        Refused: It is not.

    """
    _REQUESTS[dialect](json.loads(body))


# ---- answers

_ANSWERS: dict[str, type[pydantic.BaseModel]] = {
    "openai_chat": ChatCompletion,
    "openai_responses": Response,
    "claude": Message,
    "gemini": gemini.GenerateContentResponse,
}
_ANSWER_EXTRAS = {
    "reasoning_content", "reasoning_details", "images", "extra_content", "store", "queries", "finish_message",
}  # fmt: skip


def check_answer(dialect: str, body: bytes) -> None:
    """Insist that an answer body is one of this dialect.

    Raises:
        Refused: It is not.

    """
    node = json.loads(body)
    if dialect == "code_assist":
        node, dialect = node["response"], "gemini"
    try:
        read = _ANSWERS[dialect].model_validate(node)
    except pydantic.ValidationError as error:
        raise Refused(str(error)) from None
    found = [path for path in _undeclared(read, "$") if path.rpartition(".")[2] not in _ANSWER_EXTRAS]
    if found:
        raise Refused(f"undeclared: {found}")


# ---- streams


@attrs.frozen
class Seen:
    """What an SDK made of a stream.

    Attributes:
        text: The text of the answer.
        tools: (id, name, arguments as JSON value) of each call.
        finish: The dialect's own word.
        usage: The SDK's usage, as a mapping; empty when there was none.
        error: The class of the error the SDK raised; empty when it raised none.

    """

    text: str = ""
    tools: tuple[tuple[str, str, Any], ...] = ()
    finish: str = ""
    usage: Mapping[str, Any] = attrs.field(factory=dict)
    error: str = ""


def _client(data: bytes) -> httpx2.Client:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


NO_CUSTOM_TOOLS = "the helper cannot read custom tools"


def _loads(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def _read_chat(data: bytes) -> Seen:
    client = openai.OpenAI(api_key="k", base_url="http://sdk.test/v1", http_client=_client(data), max_retries=0)
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        for _ in stream:
            pass
        try:
            answer = stream.get_final_completion()
        except AttributeError:  # openai 3.54: any custom tool in a stream, by a slip in its warning
            return Seen(error=NO_CUSTOM_TOOLS)
    if not answer.choices:
        return Seen()
    message = answer.choices[0].message
    tools = tuple((c.id, c.function.name, _loads(c.function.arguments)) for c in message.tool_calls or ())
    usage = answer.usage.model_dump(exclude_unset=True) if answer.usage else {}
    return Seen(message.content or "", tools, answer.choices[0].finish_reason, usage)


def _read_responses(data: bytes) -> Seen:
    client = openai.OpenAI(api_key="k", base_url="http://sdk.test/v1", http_client=_client(data), max_retries=0)
    final = None
    with client.responses.stream(model="m", input="x") as stream:
        for event in stream:
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = event.response
    assert final is not None
    tools = tuple(
        (i.call_id, i.name, _loads(i.arguments if i.type == "function_call" else i.input))
        for i in final.output
        if i.type in ("function_call", "custom_tool_call")
    )
    usage = final.usage.model_dump(exclude_unset=True) if final.usage else {}
    return Seen(final.output_text, tools, final.status or "", usage)


def _read_claude(data: bytes) -> Seen:
    client = anthropic.Anthropic(api_key="k", base_url="http://sdk.test", http_client=_client(data), max_retries=0)
    with client.messages.stream(model="m", max_tokens=1, messages=[]) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_message()
    text = "".join(block.text for block in answer.content if block.type == "text")
    tools = tuple((block.id, block.name, block.input) for block in answer.content if block.type == "tool_use")
    return Seen(text, tools, answer.stop_reason or "", answer.usage.model_dump(exclude_unset=True))


def _read_gemini(data: bytes) -> Seen:
    options = gemini.HttpOptions(base_url="http://sdk.test", httpx_client=_client(data))
    client = genai.Client(api_key="k", http_options=options)
    text, tools, finish, usage = "", [], "", {}
    for chunk in client.models.generate_content_stream(model="m", contents="x"):
        if chunk.usage_metadata:
            usage = chunk.usage_metadata.model_dump(exclude_none=True)
        for candidate in chunk.candidates or ():
            if candidate.index:
                continue
            for part in (candidate.content and candidate.content.parts) or ():
                if part.function_call:
                    call = part.function_call
                    tools.append((call.id or "", call.name or "", call.args or {}))
                elif part.text and not part.thought:
                    text += part.text
            if candidate.finish_reason:
                finish = candidate.finish_reason.value
    return Seen(text, tuple(tools), finish, usage)


_STREAMS: dict[str, Callable[[bytes], Seen]] = {
    "openai_chat": _read_chat,
    "openai_responses": _read_responses,
    "claude": _read_claude,
    "gemini": _read_gemini,
}
READS_STREAMS = frozenset(_STREAMS)


def read_stream(dialect: str, data: bytes) -> Seen:
    """Read a stream with the dialect's own SDK."""
    try:
        return _STREAMS[dialect](data)
    except (openai.OpenAIError, anthropic.AnthropicError, genai.errors.APIError) as error:
        return Seen(error=type(error).__name__)
