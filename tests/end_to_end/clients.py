"""The official SDKs as clients of one kind: a conversation, its turns in the SDK's own words, and what was said in ours."""

import base64
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import anthropic
import attrs
import httpx2
import openai
import pydantic
from google import genai
from google.genai import errors, types

from tests.end_to_end.processes import PATIENCE, Gateway

#: A PNG of one point.
PICTURE: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_ENCODED: Final = base64.b64encode(PICTURE).decode()
_LINK: Final = f"data:image/png;base64,{_ENCODED}"

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: Final = ("weather", "tides")


@attrs.frozen(kw_only=True)
class Wish:
    """What a turn is asked with."""

    tools: bool = False
    schema: bool = False
    thinks: bool = False
    max_tokens: int | None = None


@attrs.frozen
class Said:
    """What was answered.

    Attributes:
        text: The text, or the words of a refusal.
        thought: The reasoning shown.
        calls: Name and arguments of each call of a tool.
        ids: Of the calls.
        finish: ``end``, ``length``, ``calls`` or ``refusal``.
        usage: Tokens in (cached ones included), tokens out (reasoning included), of those for reasoning.

    """

    text: str
    thought: str
    calls: tuple[tuple[str, Any], ...]
    ids: tuple[str, ...]
    finish: str
    usage: tuple[int, int, int]


@attrs.frozen
class Failed:
    """How an SDK told of an error."""

    error: Exception
    status: int | None
    retry_after: str | None


@attrs.frozen
class Sdks:
    """A client of each SDK, pointed at a gateway; a proxy in the environment is not asked."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    genai: genai.Client


@contextlib.contextmanager
def sdks(gateway: Gateway) -> Iterator[Sdks]:
    """Make the clients, and close them; they keep their connections meanwhile, as programs do."""
    with httpx2.Client(trust_env=False, timeout=PATIENCE) as http:
        options = types.HttpOptions(base_url=gateway.url, httpx_client=http)
        known: dict[str, Any] = {"api_key": gateway.key, "max_retries": 0, "timeout": PATIENCE, "http_client": http}
        yield Sdks(
            openai.OpenAI(base_url=f"{gateway.url}/v1", **known),
            anthropic.Anthropic(base_url=gateway.url, **known),
            genai.Client(api_key=gateway.key, vertexai=False, http_options=options),
        )


@attrs.define
class Conversation:
    """A conversation through one SDK.

    Attributes:
        sdks: With whom.
        model: As the client says it.
        history: So far, in the SDK's words.
        calls: Calls of tools that have no result yet, in the SDK's words.

    """

    sdks: Sdks
    model: str
    history: list[Any] = attrs.field(factory=list)
    calls: list[Any] = attrs.field(factory=list)

    limited: ClassVar[type[Exception]]  # what the SDK raises for 429
    failed: ClassVar[type[Exception]]  # ... for 5xx
    broken: ClassVar[type[Exception]]  # ... in a stream

    def say(self, text: str, *, picture: bool = False) -> None:
        """Speak as the user."""
        raise TypeError

    def give(self, results: Sequence[str], *, picture: bool = False) -> None:
        """Give the results of the last calls; with a picture in the last."""
        raise TypeError

    def ask(self, wish: Wish, *, stream: bool) -> Said:
        """Have the next answer, and keep it in the history."""
        raise TypeError

    def fail(self, wish: Wish, *, stream: bool) -> Failed:
        """Ask for what cannot be had."""
        try:
            said = self.ask(wish, stream=stream)
        except (openai.APIError, anthropic.APIError, errors.APIError) as error:
            response = getattr(error, "response", None)
            status = error.code if isinstance(error, errors.APIError) else getattr(error, "status_code", None)
            return Failed(error, status, response.headers.get("retry-after") if response is not None else None)
        raise AssertionError(f"was answered: {said}")


def _plain(value: Any) -> Any:
    """A message to send back, without what the SDK's accumulators add for their user."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    node = value.model_dump(exclude_none=True) if isinstance(value, pydantic.BaseModel) else value
    if not isinstance(node, dict):
        return node
    return {key: _plain(inner) for key, inner in node.items() if key not in ("parsed", "parsed_arguments")}


class Chat(Conversation):
    """OpenAI's SDK, Chat Completions."""

    limited = openai.RateLimitError
    failed = openai.InternalServerError
    broken = openai.APIError

    def say(self, text: str, *, picture: bool = False) -> None:
        """Speak as the user."""
        content: Any = text
        if picture:
            content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": _LINK}}]
        self.history.append({"role": "user", "content": content})

    def give(self, results: Sequence[str], *, picture: bool = False) -> None:
        """Give results."""
        for call, result in zip(self.calls, results, strict=True):
            content: Any = result
            if picture and call is self.calls[-1]:
                content = [{"type": "text", "text": result}, {"type": "image_url", "image_url": {"url": _LINK}}]
            self.history.append({"role": "tool", "tool_call_id": call.id, "content": content})

    def ask(self, wish: Wish, *, stream: bool) -> Said:
        """Have an answer."""
        asked: dict[str, Any] = {"model": self.model, "messages": self.history}
        if wish.tools:
            function = {"description": "Looks.", "parameters": SCHEMA, "strict": True}
            asked["tools"] = [{"type": "function", "function": {"name": name, **function}} for name in TOOLS]
        if wish.schema:
            form = {"name": "trip", "schema": SCHEMA, "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": form}
        if wish.thinks:
            asked["reasoning_effort"] = "medium"
        if wish.max_tokens is not None:
            asked["max_completion_tokens"] = wish.max_tokens
        client = self.sdks.openai
        answer = self._stream(client, asked) if stream else client.chat.completions.create(**asked)
        [choice] = answer.choices
        message = choice.message
        self.history.append(_plain(message))
        self.calls = list(message.tool_calls or ())
        usage = answer.usage
        details = usage.completion_tokens_details
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        return Said(
            message.content or message.refusal or "",
            (message.model_extra or {}).get("reasoning_content") or "",
            tuple((call.function.name, json.loads(call.function.arguments)) for call in self.calls),
            tuple(call.id for call in self.calls),
            "refusal"
            if message.refusal
            else {"stop": "end", "length": "length", "tool_calls": "calls", "content_filter": "refusal"}[
                choice.finish_reason
            ],
            (usage.prompt_tokens, usage.completion_tokens, (details.reasoning_tokens or 0) if details else 0),
        )

    def _stream(self, client: openai.OpenAI, asked: dict[str, Any]) -> Any:
        # The accumulator raises for an answer that is cut or filtered; its snapshot is what it made until then.
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            try:
                for _ in stream:
                    pass
                return stream.get_final_completion()
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                for _ in stream._raw_stream:
                    stream._state.handle_chunk(_)
                return stream.current_completion_snapshot


class Responses(Conversation):
    """OpenAI's SDK, Responses."""

    limited = openai.RateLimitError
    failed = openai.InternalServerError
    broken = openai.APIError

    def say(self, text: str, *, picture: bool = False) -> None:
        """Speak as the user."""
        content: Any = [{"type": "input_text", "text": text}]
        if picture:
            content.append({"type": "input_image", "image_url": _LINK, "detail": "auto"})
        self.history.append({"role": "user", "content": content})

    def give(self, results: Sequence[str], *, picture: bool = False) -> None:
        """Give results."""
        for call, result in zip(self.calls, results, strict=True):
            output: Any = result
            if picture and call is self.calls[-1]:
                output = [{"type": "input_text", "text": result}, {"type": "input_image", "image_url": _LINK}]
            self.history.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    def ask(self, wish: Wish, *, stream: bool) -> Said:
        """Have an answer."""
        asked: dict[str, Any] = {"model": self.model, "input": self.history, "store": False}
        if wish.tools:
            function = {"type": "function", "description": "Looks.", "parameters": SCHEMA, "strict": True}
            asked["tools"] = [{"name": name, **function} for name in TOOLS]
        if wish.schema:
            asked["text"] = {"format": {"type": "json_schema", "name": "trip", "schema": SCHEMA, "strict": True}}
        if wish.thinks:
            asked |= {
                "reasoning": {"effort": "medium", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            }
        if wish.max_tokens is not None:
            asked["max_output_tokens"] = wish.max_tokens
        client = self.sdks.openai
        answer = self._stream(client, asked) if stream else client.responses.create(**asked)
        self.history += map(_plain, answer.output)
        self.calls = [item for item in answer.output if item.type == "function_call"]
        refusals = [
            part.refusal
            for item in answer.output
            if item.type == "message"
            for part in item.content
            if part.type == "refusal"
        ]
        thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
        finish = {"completed": "end", "incomplete": "length"}[answer.status]
        if answer.incomplete_details and answer.incomplete_details.reason == "content_filter":
            finish = "refusal"
        usage = answer.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        return Said(
            answer.output_text or "".join(refusals),
            "".join(thoughts),
            tuple((call.name, json.loads(call.arguments)) for call in self.calls),
            tuple(call.call_id for call in self.calls),
            "refusal" if refusals else "calls" if self.calls else finish,
            (usage.input_tokens, usage.output_tokens, usage.output_tokens_details.reasoning_tokens),
        )

    def _stream(self, client: openai.OpenAI, asked: dict[str, Any]) -> Any:
        final, numbers = None, []
        with client.responses.stream(**asked) as stream:
            for event in stream:
                numbers.append(event.sequence_number)
                if event.type in ("response.completed", "response.incomplete", "response.failed"):
                    final = event.response
        if final is not None and final.status == "failed":  # which this SDK reports rather than raises
            raise openai.APIError(str(final.error), httpx2.Request("POST", client.base_url), body=None)
        assert numbers == list(range(len(numbers)))
        assert final is not None
        return final


class Claude(Conversation):
    """Anthropic's SDK."""

    limited = anthropic.RateLimitError
    failed = anthropic.InternalServerError
    broken = anthropic.APIStatusError

    def say(self, text: str, *, picture: bool = False) -> None:
        """Speak as the user."""
        content: Any = text
        if picture:
            content = [{"type": "text", "text": text}, self._picture()]
        self.history.append({"role": "user", "content": content})

    def _picture(self) -> dict[str, Any]:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _ENCODED}}

    def give(self, results: Sequence[str], *, picture: bool = False) -> None:
        """Give results."""
        content: list[Any] = []
        for call, result in zip(self.calls, results, strict=True):
            inner: list[Any] = [{"type": "text", "text": result}]
            if picture and call is self.calls[-1]:
                inner.append(self._picture())
            content.append({"type": "tool_result", "tool_use_id": call.id, "content": inner})
        self.history.append({"role": "user", "content": content})

    def ask(self, wish: Wish, *, stream: bool) -> Said:
        """Have an answer."""
        asked: dict[str, Any] = {"model": self.model, "messages": self.history, "max_tokens": wish.max_tokens or 4096}
        if wish.tools:
            asked["tools"] = [{"name": name, "description": "Looks.", "input_schema": SCHEMA} for name in TOOLS]
        if wish.schema:
            asked["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if wish.thinks:
            asked["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        client = self.sdks.anthropic
        answer = self._stream(client, asked) if stream else client.messages.create(**asked)
        self.history.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
        )
        self.calls = [block for block in answer.content if block.type == "tool_use"]
        usage = answer.usage
        details = usage.output_tokens_details
        text = "".join(block.text for block in answer.content if block.type == "text")
        refused = answer.stop_details.explanation if answer.stop_details else None
        return Said(
            text or refused or "",
            "".join(block.thinking for block in answer.content if block.type == "thinking"),
            tuple((call.name, call.input) for call in self.calls),
            tuple(call.id for call in self.calls),
            {"end_turn": "end", "max_tokens": "length", "tool_use": "calls", "refusal": "refusal"}[answer.stop_reason],
            (
                usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
                usage.output_tokens,
                (details.thinking_tokens or 0) if details else 0,
            ),
        )

    def _stream(self, client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()


class Gemini(Conversation):
    """Google's SDK."""

    limited = errors.ClientError
    failed = errors.ServerError
    broken = errors.APIError

    def say(self, text: str, *, picture: bool = False) -> None:
        """Speak as the user."""
        parts = [types.Part(text=text)]
        if picture:
            parts.append(types.Part.from_bytes(data=PICTURE, mime_type="image/png"))
        self.history.append(types.Content(role="user", parts=parts))

    def give(self, results: Sequence[str], *, picture: bool = False) -> None:
        """Give results."""
        parts = []
        for call, result in zip(self.calls, results, strict=True):
            response = types.FunctionResponse(id=call.id, name=call.name, response={"output": result})
            if picture and call is self.calls[-1]:
                response.parts = [types.FunctionResponsePart.from_bytes(data=PICTURE, mime_type="image/png")]
            parts.append(types.Part(function_response=response))
        self.history.append(types.Content(role="user", parts=parts))

    def ask(self, wish: Wish, *, stream: bool) -> Said:
        """Have an answer."""
        config: dict[str, Any] = {}
        if wish.tools:
            declared: list[Any] = [
                {"name": name, "description": "Looks.", "parameters_json_schema": SCHEMA} for name in TOOLS
            ]
            config["tools"] = [{"function_declarations": declared}]
        if wish.schema:
            config |= {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        if wish.thinks:
            config["thinking_config"] = {"include_thoughts": True, "thinking_budget": 2048}
        if wish.max_tokens is not None:
            config["max_output_tokens"] = wish.max_tokens
        asked: dict[str, Any] = {"model": self.model, "contents": self.history, "config": config}
        models = self.sdks.genai.models
        chunks = list(models.generate_content_stream(**asked)) if stream else [models.generate_content(**asked)]
        return self._fold(chunks)

    def _fold(self, chunks: Sequence[types.GenerateContentResponse]) -> Said:
        parts: list[types.Part] = []
        finish, message, usage = "", "", None
        for chunk in chunks:
            usage = chunk.usage_metadata or usage
            for candidate in chunk.candidates or ():
                parts += (candidate.content and candidate.content.parts) or ()
                finish = candidate.finish_reason.value if candidate.finish_reason else finish
                message = candidate.finish_message or message
        self.history.append(types.Content(role="model", parts=parts))
        self.calls = [part.function_call for part in parts if part.function_call]
        assert usage is not None
        thought, shown = usage.thoughts_token_count or 0, usage.candidates_token_count or 0
        assert usage.total_token_count == (usage.prompt_token_count or 0) + shown + thought
        text = "".join(part.text for part in parts if part.text and not part.thought)
        said = {"STOP": "end", "MAX_TOKENS": "length", "SAFETY": "refusal", "PROHIBITED_CONTENT": "refusal"}[finish]
        return Said(
            text or message,
            "".join(part.text for part in parts if part.text and part.thought),
            tuple((call.name, call.args) for call in self.calls),
            tuple(call.id for call in self.calls),
            "calls" if self.calls else said,
            (usage.prompt_token_count or 0, shown + thought, thought),
        )


CLIENTS: Final[dict[str, type[Conversation]]] = {
    "chat": Chat,
    "responses": Responses,
    "claude": Claude,
    "gemini": Gemini,
}
