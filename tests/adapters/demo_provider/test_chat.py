"""The official `openai` client against the demo provider's Chat Completions."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082".replace(" ", "")
)  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 3},
                "unit": {"enum": ["C", "F"]},
                "where": {"$ref": "#/$defs/point"},
                "unneeded": {"type": "string"},
            },
            "required": ["city", "days", "unit", "where"],
            "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


@pytest.fixture(scope="module")
def client(demo_url: str) -> Iterator[openai.OpenAI]:
    """An unmodified client."""
    with openai.OpenAI(base_url=f"{demo_url}/v1", api_key="none", max_retries=0, timeout=10) as client:
        yield client


def ask(client: openai.OpenAI, text: str = "hello there", **more: Any) -> Any:
    """Ask and get the message whole."""
    messages = more.pop("messages", [{"role": "user", "content": text}])
    return client.chat.completions.create(**({"model": "demo", "messages": messages} | more))


def fold(client: openai.OpenAI, text: str = "hello there", **more: Any) -> dict[str, Any]:
    """Ask for a stream and let the SDK's own accumulator fold it."""
    messages = more.pop("messages", [{"role": "user", "content": text}])
    asked = {"model": "demo", "messages": messages, "stream_options": {"include_usage": True}} | more
    with client.chat.completions.stream(**asked) as stream:
        try:
            return clean(stream.get_final_completion())
        except openai.LengthFinishReasonError as error:  # the helper parses; the answer is in the error
            return clean(error.completion)


def clean(completion: Any) -> dict[str, Any]:
    """What a completion says, without the nulls the SDK adds and what only its helper knows."""

    def keep(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: keep(v)
                for k, v in value.items()
                if v is not None and k not in ("parsed", "parsed_arguments", "index")
            }
        return [keep(v) for v in value] if isinstance(value, list) else value

    kept: dict[str, Any] = keep(completion.to_dict(mode="json", warnings=False))
    return kept


QUESTIONS: list[dict[str, Any]] = [
    {"text": "hello there"},
    {"text": "Grüß Gott 👩‍👩‍👧 \n two  spaces "},
    {"text": "hi", "reasoning_effort": "low"},
    {"text": "hi", "tools": [WEATHER]},
    {"text": "in parallel", "tools": [WEATHER, CLOCK]},
    {"text": "in parallel", "tools": [WEATHER]},
    {"text": "hi", "tools": [WEATHER, CLOCK], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
    {"text": "hi", "tools": [WEATHER], "tool_choice": "none"},
    {"text": "hello there", "max_tokens": 2},
    {"text": "hello there", "stop": ["there"]},
    {"text": "hello", "n": 3},
    {"text": "please refuse this"},
    {"text": "hi", "model": "demo/think"},
    {"text": "hi", "model": "tools", "tools": [WEATHER, CLOCK]},
    {"text": "word " * 3000},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_stream_folds_to_the_whole(client: openai.OpenAI, question: dict[str, Any]) -> None:
    """Usage too."""
    assert fold(client, **question) | {"object": ""} == clean(ask(client, **question)) | {"object": ""}


def test_says_it_back(client: openai.OpenAI) -> None:
    """And counts words."""
    answer = ask(client)
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 4, 6)


def test_streams_word_by_word(client: openai.OpenAI) -> None:
    """Without usage when nobody asked for it."""
    chunks = list(ask(client, stream=True))
    assert [c.choices[0].delta.content for c in chunks] == ["", "You", " said:", " hello", " there", None]
    assert all(c.usage is None and c.choices for c in chunks)


def test_usage_chunk_only_when_asked(client: openai.OpenAI) -> None:
    """It has no choices."""
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert [bool(c.usage) for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []


def test_tool_round_trip(client: openai.OpenAI) -> None:
    """A call with arguments that fit, then its result in words."""
    message = ask(client, tools=[WEATHER]).choices[0].message
    [call] = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "example city", "days": 3, "unit": "C", "where": {"x": 1.5}}
    messages = [
        {"role": "user", "content": "hello"},
        message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert ask(client, messages=messages, tools=[WEATHER]).choices[0].message.content == "Tool result 1: sunny"


def test_parallel_calls_have_their_own_ids(client: openai.OpenAI) -> None:
    """Unless they are forbidden."""
    calls = ask(client, "parallel please", tools=[WEATHER]).choices[0].message.tool_calls
    assert len({call.id for call in calls}) == 2
    assert len(ask(client, "parallel", tools=[WEATHER], parallel_tool_calls=False).choices[0].message.tool_calls) == 1


def test_describes_what_it_was_sent(client: openai.OpenAI) -> None:
    """Pictures with their size, documents and sound."""
    encoded = base64.b64encode(PNG).decode()
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
    ]
    answer = ask(client, messages=[{"role": "user", "content": content}]).choices[0].message.content
    assert answer == (
        f"You said: look\nI was sent 2 images (image/png, {len(PNG)} bytes, 1x1; image/*, at https://example.com/a.png)"
        " and 1 document (application/pdf, 1 byte) and 1 audio file (audio/wav, 3 bytes)"
    )


def test_structured_output_fits(client: openai.OpenAI) -> None:
    """With a schema and without."""
    schema = WEATHER["function"]["parameters"]  # type: ignore[index]
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
    answer = json.loads(ask(client, response_format=form).choices[0].message.content)
    assert answer.keys() == {"city", "days", "unit", "where"}
    assert json.loads(ask(client, "x", response_format={"type": "json_object"}).choices[0].message.content) == {
        "answer": "You said: x"
    }


def test_limits_cut(client: openai.OpenAI) -> None:
    """With their reasons."""
    choice = ask(client, max_completion_tokens=3).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said: hello", "length")
    choice = ask(client, stop=" there").choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said: hello", "stop")


def test_reasons_and_refuses(client: openai.OpenAI) -> None:
    """In the fields they have."""
    answer = ask(client, reasoning_effort="high")
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    message = ask(client, "Please refuse").choices[0].message
    assert message.refusal
    assert message.content is None


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("demo/429", openai.RateLimitError),
        ("429", openai.RateLimitError),
        ("demo/401", openai.AuthenticationError),
        ("demo/500", openai.InternalServerError),
        ("demo/503", openai.InternalServerError),
        ("demo/html", openai.InternalServerError),
        ("demo/cut", openai.APIConnectionError),
        ("demo/garbage", openai.APIConnectionError),
        ("demo/error-mid-stream", openai.InternalServerError),
    ],
)
def test_misbehaves(client: openai.OpenAI, model: str, kind: type[Exception]) -> None:
    """As each name says."""
    with pytest.raises(kind):
        ask(client, model=model)


def test_limit_is_announced(client: openai.OpenAI) -> None:
    """When to come back, and the request's id."""
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, model="demo/429")
    error = caught.value
    assert error.response.headers["retry-after"] == "7"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert error.code == "rate_limit_exceeded"
    assert error.request_id


def test_streams_break(client: openai.OpenAI) -> None:
    """In each of the three ways."""
    with pytest.raises(openai.APIError, match="mid-stream"):
        list(ask(client, model="demo/error-mid-stream", stream=True))
    with pytest.raises(openai.APIConnectionError):
        list(ask(client, model="demo/cut", stream=True))
    assert list(ask(client, model="demo/empty", stream=True)) == []
    assert list(ask(client, model="demo/slow", stream=True))


def test_silent_model_is_silent(client: openai.OpenAI) -> None:
    """Until the client gives up."""
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.1), model="demo/silent")


def test_bad_requests_are_told_why(client: openai.OpenAI) -> None:
    """In OpenAI's shape."""
    with pytest.raises(openai.BadRequestError, match="at least one message") as caught:
        ask(client, messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError):
        client.post("/nowhere", cast_to=object)


def test_embeddings(client: openai.OpenAI) -> None:
    """Unit vectors; base64 (the SDK's own default) and float agree."""
    packed = client.embeddings.create(model="demo", input=["a", "b"], dimensions=16).data
    plain = client.embeddings.create(model="demo", input="a", dimensions=16, encoding_format="float").data[0]
    assert packed[0].embedding == plain.embedding
    assert packed[0].embedding != packed[1].embedding
    assert abs(sum(x * x for x in plain.embedding) - 1) < 1e-6
    assert len(client.embeddings.create(model="demo", input=[[1, 2], [3]]).data) == 2
    assert len(client.embeddings.create(model="demo", input=[1, 2]).data[0].embedding) == 256


def test_legacy_completions(client: openai.OpenAI) -> None:
    """Whole and streamed, several prompts at once."""
    answer = client.completions.create(model="demo", prompt=["a", "b"], n=2)
    assert [c.text for c in answer.choices] == [
        "You said: a",
        "You said: a (choice 2)",
        "You said: b",
        "You said: b (choice 2)",
    ]
    stream = client.completions.create(model="demo", prompt="hello you", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: hello you"


def test_models(client: openai.OpenAI) -> None:
    """Each can be looked up."""
    names = [model.id for model in client.models.list()]
    assert "demo" in names
    assert "demo/429" in names
    assert client.models.retrieve("demo").id == "demo"
