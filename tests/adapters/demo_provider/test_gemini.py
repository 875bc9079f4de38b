"""The official `google-genai` client against the demo provider's Gemini."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

GIF = bytes.fromhex(
    "47494638396102000300800000000000ffffff21f90401000000002c00000000010001000002014400 3b".replace(" ", "")
)
WEATHER = types.FunctionDeclaration(
    name="weather",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = types.FunctionDeclaration(
    name="clock",
    parameters=types.Schema(type=types.Type.OBJECT, properties={"zone": types.Schema(type=types.Type.STRING)}),
)
TOOLS = [types.Tool(function_declarations=[WEATHER, CLOCK])]
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def client(demo_url: str, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    """An unmodified client, at both versions of the address."""
    options = types.HttpOptions(base_url=demo_url, api_version=request.param, timeout=10_000)
    with genai.Client(api_key="none", http_options=options) as client:
        yield client


def ask(client: genai.Client, asked: Any = "hello there", model: str = "demo", **config: Any) -> Any:
    """Ask and get the response whole."""
    settings = types.GenerateContentConfig(**config) if config else None
    return client.models.generate_content(model=model, contents=asked, config=settings)


def fold(client: genai.Client, asked: Any = "hello there", model: str = "demo", **config: Any) -> tuple[Any, ...]:
    """Ask for a stream and put it together."""
    settings = types.GenerateContentConfig(**config) if config else None
    return tell(list(client.models.generate_content_stream(model=model, contents=asked, config=settings)))


def tell(chunks: list[Any]) -> tuple[Any, ...]:
    """What some chunks say together: thoughts, text, calls, signatures, reason, usage, id."""
    parts = [part for c in chunks for part in (c.candidates[0].content and c.candidates[0].content.parts) or ()]
    return (
        "".join(part.text for part in parts if part.text and part.thought),
        "".join(part.text for part in parts if part.text and not part.thought),
        [part.function_call for part in parts if part.function_call],
        [part.thought_signature for part in parts if part.thought_signature],
        [c.candidates[0].finish_reason for c in chunks if c.candidates[0].finish_reason],
        chunks[-1].usage_metadata,
        {c.response_id for c in chunks},
    )


QUESTIONS: list[dict[str, Any]] = [
    {},
    {"thinking_config": types.ThinkingConfig(include_thoughts=True)},
    {"thinking_config": types.ThinkingConfig(thinking_budget=100)},
    {"thinking_config": types.ThinkingConfig(thinking_budget=0)},
    {"tools": TOOLS, "automatic_function_calling": BY_HAND},
    {"asked": "in parallel", "tools": TOOLS, "thinking_config": types.ThinkingConfig(include_thoughts=True)},
    {"max_output_tokens": 2},
    {"stop_sequences": [" there"]},
    {"asked": "please refuse"},
    {"model": "demo/think"},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_stream_folds_to_the_whole(client: genai.Client, question: dict[str, Any]) -> None:
    """Usage and signatures too."""
    assert fold(client, **question) == tell([ask(client, **question)])


def test_says_it_back(client: genai.Client) -> None:
    """And counts words, as countTokens does."""
    answer = ask(client)
    assert answer.text == "You said: hello there"
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count) == (2, 4)
    assert client.models.count_tokens(model="demo", contents="hello there").total_tokens == 2


def test_tool_round_trip(client: genai.Client) -> None:
    """With a picture in the result; a call named in the configuration is the one made."""
    config = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"])
    forced = types.ToolConfig(function_calling_config=config)
    answer = ask(client, tools=TOOLS, tool_config=forced, automatic_function_calling=BY_HAND)
    [call] = answer.function_calls
    assert (call.name, call.args) == ("weather", {"city": "example city"})
    result = types.FunctionResponse(
        id=call.id,
        name="weather",
        response={"output": "sunny"},
        parts=[types.FunctionResponsePart(inline_data=types.FunctionResponseBlob(mime_type="image/gif", data=GIF))],
    )
    contents = [
        types.Content(role="user", parts=[types.Part(text="hello")]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]
    again = ask(client, contents, tools=TOOLS, automatic_function_calling=BY_HAND)
    assert again.text == "Tool result 1: sunny with 1 image (image/gif, 42 bytes, 2x3)"


def test_describes_what_it_was_sent(client: genai.Client) -> None:
    """Bytes and addresses."""
    parts = [
        types.Part.from_bytes(data=GIF, mime_type="image/gif"),
        types.Part.from_uri(file_uri="https://example.com/a.pdf", mime_type="application/pdf"),
    ]
    assert ask(client, ["look", *parts]).text == (
        "You said: look\nI was sent 1 image (image/gif, 42 bytes, 2x3)"
        " and 1 document (application/pdf, at https://example.com/a.pdf)"
    )


def test_structured_output_fits(client: genai.Client) -> None:
    """Both kinds of schema."""
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}, "s": {"type": "STRING", "enum": ["x"]}}}
    for key in ("response_schema", "response_json_schema"):
        config: dict[str, Any] = {"response_mime_type": "application/json", key: schema}
        answer = ask(client, **config)
        assert json.loads(answer.text) == {"n": 1, "s": "x"}


def test_embeds(client: genai.Client) -> None:
    """One or several, of the length asked for."""
    config = types.EmbedContentConfig(output_dimensionality=8)
    answer = client.models.embed_content(model="demo", contents=["a", "b"], config=config)
    assert answer.embeddings is not None
    assert [len(found.values or ()) for found in answer.embeddings] == [8, 8]


def test_misbehaves(client: genai.Client) -> None:
    """In Google's shape."""
    with pytest.raises(errors.ClientError, match="RESOURCE_EXHAUSTED") as caught:
        ask(client, model="demo/429")
    assert caught.value.code == 429
    assert "'retryDelay': '7s'" in str(caught.value.details)
    with pytest.raises(errors.ServerError, match="mid-stream"):
        fold(client, model="demo/error-mid-stream")
    with pytest.raises(errors.ClientError, match="UNAUTHENTICATED"):
        ask(client, model="demo/401")


def test_models(client: genai.Client) -> None:
    """In Google's shape, because of its headers."""
    assert "models/demo" in [model.name for model in client.models.list()]
    assert client.models.get(model="demo").display_name == "Dragoman demo"


@pytest.mark.parametrize("model", ["demo", "demo/error-mid-stream"])
def test_streams_an_array_without_alt_sse(demo_url: str, model: str) -> None:
    """It is JSON to its end, error or not."""
    asked = json.dumps({"contents": {"parts": [{"text": "hello there"}]}}).encode()
    url = f"{demo_url}/v1beta/models/{model}:streamGenerateContent"
    with urllib.request.urlopen(urllib.request.Request(url, asked)) as response:
        chunks = json.load(response)
    assert ("error" in chunks[-1]) == (model != "demo")
    assert len(chunks) > 2
