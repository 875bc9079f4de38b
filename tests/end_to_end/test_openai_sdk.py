"""The official `openai` SDK talks through the gateway, with the demo provider behind it."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam

from tests.end_to_end.processes import Gateway
from tests.end_to_end.sdk import async_client, sync_client

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
            "required": ["city", "days"],
        },
    },
}
CLOCK: ChatCompletionFunctionToolParam = {"type": "function", "function": {"name": "clock"}}


class Person(pydantic.BaseModel):
    """What a structured answer has to fit."""

    name: str
    age: int


@pytest.fixture(scope="module")
def client(demo: Gateway) -> Iterator[openai.OpenAI]:
    """An unmodified client."""
    with sync_client(demo) as client:
        yield client


def hello(text: str = "hello there") -> Any:
    """One message."""
    return [{"role": "user", "content": text}]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run something asynchronous."""
    asyncio.run(work)


def test_models(client: openai.OpenAI) -> None:
    """Listed, and one by one; a name with a slash too."""
    names = [model.id for model in client.models.list()]
    assert "demo/echo" in names
    assert client.models.retrieve("demo/echo").owned_by == "demo"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("dmeo")
    assert error.value.code == "model_not_found"


def test_chat(client: openai.OpenAI) -> None:
    """Whole, with usage."""
    answer = client.chat.completions.create(model="demo", messages=hello())
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def test_chat_streamed(client: openai.OpenAI) -> None:
    """Word by word, the same text; no usage, for none was asked for."""
    chunks = list(client.chat.completions.create(model="demo", messages=hello(), stream=True))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == "You said: hello there"
    assert len(chunks) >= 5
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_of_a_stream(client: openai.OpenAI) -> None:
    """It is there when it is asked for, at the end, and only then."""
    asked: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="demo", messages=hello(), stream=True, stream_options=asked))
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []


def test_tools(client: openai.OpenAI) -> None:
    """A round trip: the model calls, the client answers, the model speaks."""
    messages = hello()
    first = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    [call] = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments)["days"] >= 3
    messages += [
        first.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny, 20 °C"},
    ]
    second = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
    assert "sunny, 20 °C" in (second.choices[0].message.content or "")


def test_parallel_tools_streamed(client: openai.OpenAI) -> None:
    """Two calls in one stream, put together by the SDK."""
    messages = hello("in parallel, please")
    with client.chat.completions.stream(model="demo", messages=messages, tools=[WEATHER, CLOCK]) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls or []
    assert [call.function.name for call in calls] == ["weather", "clock"]
    assert len({call.id for call in calls}) == 2
    assert json.loads(calls[0].function.arguments).keys() == {"city", "days"}


def test_structured_output(client: openai.OpenAI) -> None:
    """The SDK's own parser takes it."""
    answer = client.chat.completions.parse(model="demo", messages=hello(), response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_embeddings(client: openai.OpenAI) -> None:
    """Vectors, as base64 on the wire (the SDK's default) and as numbers."""
    asked = client.embeddings.create(model="demo", input=["a", "b"], dimensions=8)
    plain = client.embeddings.create(model="demo", input=["a", "b"], dimensions=8, encoding_format="float")
    assert [len(one.embedding) for one in asked.data] == [8, 8]
    assert asked.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)


def test_completions(client: openai.OpenAI) -> None:
    """The old interface, whole and streamed."""
    whole = client.completions.create(model="demo", prompt="hello")
    streamed = client.completions.create(model="demo", prompt="hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text != ""


def test_async(demo: Gateway) -> None:
    """The asynchronous client: many at a time, whole and streamed."""

    async def whole(client: openai.AsyncOpenAI, number: int) -> None:
        answer = await client.chat.completions.create(model="demo", messages=hello(f"number {number}"))
        assert answer.choices[0].message.content == f"You said: number {number}"

    async def streamed(client: openai.AsyncOpenAI, number: int) -> None:
        text = ""
        async with client.chat.completions.stream(model="demo", messages=hello(f"number {number}")) as stream:
            async for event in stream:
                text += event.delta if event.type == "content.delta" else ""
        assert text == f"You said: number {number}"

    async def everything() -> None:
        async with async_client(demo) as client:
            await asyncio.gather(*(ask(client, number) for number in range(8) for ask in (whole, streamed)))
            assert "demo" in [model.id async for model in client.models.list()]
            vectors = await client.embeddings.create(model="demo", input="a")
            assert vectors.data
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="nothing", messages=hello())

    run(everything())


def test_wrong_key(demo: Gateway) -> None:
    """The SDK's class for it."""
    with sync_client(demo, key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as error:
        client.models.list()
    assert error.value.code == "invalid_api_key"
    assert error.value.response.headers["x-dragoman-fault"] == "client"


def test_rate_limit(client: openai.OpenAI) -> None:
    """With all that a client needs to wait the right time."""
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model="demo/429", messages=hello())
    assert error.value.response.headers["retry-after"] == "7"
    assert error.value.response.headers["x-dragoman-fault"] == "provider"
    assert "rate limit" in error.value.message


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "status"),
    [("demo/500", 500), ("demo/503", 503), ("demo/html", 502), ("demo/garbage", 502), ("demo/empty", 502)],
)
def test_server_errors(client: openai.OpenAI, model: str, status: int, streamed: bool) -> None:
    """An error of the SDK's before the first event, in JSON, that names the provider when it is ours to tell."""
    with pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(model=model, messages=hello(), stream=streamed)
    assert error.value.status_code == status
    assert error.value.response.headers["x-dragoman-fault"] == "provider"
    assert error.value.request_id
    assert isinstance(error.value.body, dict)
    if status == 502:
        assert "demo" in error.value.message


def test_cut_whole(client: openai.OpenAI) -> None:
    """An answer that breaks off is an honest error, not half an answer."""
    with pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(model="demo/cut", messages=hello())
    assert error.value.status_code == 502


@pytest.mark.parametrize("model", ["demo/cut", "demo/error-mid-stream"])
def test_broken_stream(client: openai.OpenAI, model: str) -> None:
    """Half an answer, then the SDK raises: nobody takes it for the whole."""
    seen = ""
    with pytest.raises(openai.APIError) as error:  # noqa: PT012 - where it raises is the point
        for chunk in client.chat.completions.create(model=model, messages=hello("one two three four"), stream=True):
            seen += chunk.choices[0].delta.content or ""
    assert "You said: one two three four".startswith(seen)
    assert seen
    assert "demo" in error.value.message


def test_request_id(client: openai.OpenAI) -> None:
    """The client's own comes back; without one it is given one."""
    answer = client.chat.completions.with_raw_response.create(
        model="demo", messages=hello(), extra_headers={"x-request-id": "mine-1"}
    )
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-upstream-request-id"]
    first, second = (client.models.with_raw_response.list().headers["x-request-id"] for _ in range(2))
    assert first != second


def test_large_request(client: openai.OpenAI) -> None:
    """Three megabytes there and back."""
    text = "All work and no play. " * 150_000
    answer = client.chat.completions.create(model="demo", messages=hello(text))
    assert (answer.choices[0].message.content or "").strip() == f"You said: {text}".strip()
