"""The official `openai` client against the demo provider's Responses."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

PIXEL = "data:image/gif;base64,R0lGODlhAgADAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
WEATHER = {
    "type": "function",
    "name": "weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SHELL = {"type": "custom", "name": "shell"}
NAMESPACE = {"type": "namespace", "name": "files", "description": "d", "tools": [WEATHER | {"name": "open"}]}


@pytest.fixture(scope="module")
def client(demo_url: str) -> Iterator[openai.OpenAI]:
    """An unmodified client."""
    with openai.OpenAI(base_url=f"{demo_url}/v1", api_key="none", max_retries=0, timeout=10) as client:
        yield client


def ask(client: openai.OpenAI, asked: Any = "hello there", **more: Any) -> Any:
    """Ask and get the response whole."""
    return client.responses.create(**({"model": "demo", "input": asked} | more))


QUESTIONS: list[dict[str, Any]] = [
    {"asked": "hello there"},
    {"asked": "hi", "reasoning": {"effort": "low", "summary": "auto"}},
    {"asked": "hi", "tools": [WEATHER], "reasoning": {"effort": "low"}},
    {"asked": "in parallel", "tools": [WEATHER, SHELL]},
    {"asked": "hi", "tools": [WEATHER, SHELL], "tool_choice": {"type": "custom", "name": "shell"}},
    {"asked": "hi", "tools": [NAMESPACE]},
    {"asked": "please refuse"},
    {"asked": "hi", "model": "tools", "tools": [WEATHER, SHELL, NAMESPACE]},
    {"asked": "hi", "model": "think"},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_stream_folds_to_the_whole(client: openai.OpenAI, question: dict[str, Any]) -> None:
    """The SDK's strict accumulator takes the stream, and every item is the one of the final response."""
    asked = {"model": "demo", "input": question["asked"]} | {k: v for k, v in question.items() if k != "asked"}
    whole = ask(client, **question).to_dict(mode="json")
    with client.responses.stream(**asked) as stream:
        events: list[dict[str, Any]] = [event.to_dict(mode="json", warnings=False) for event in stream]
        final = stream.get_final_response()
    assert events[-1]["response"] | {"output": 0} == whole | {"output": 0}
    assert final.usage is not None
    assert final.usage.to_dict() == whole["usage"]
    assert [e["item"] for e in events if e["type"] == "response.output_item.done"] == whole["output"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    texts = "".join(
        str(e["delta"]) for e in events if e["type"] in ("response.output_text.delta", "response.refusal.delta")
    )
    said = [part.get("text") or part["refusal"] for item in whole["output"] for part in item.get("content") or ()]
    assert texts == "".join(said)


def test_incomplete_when_cut(client: openai.OpenAI) -> None:
    """Whole and streamed."""
    whole = ask(client, max_output_tokens=3)
    assert (whole.status, whole.output_text) == ("incomplete", "You said: hello")
    assert whole.incomplete_details.reason == "max_output_tokens"
    events = list(ask(client, max_output_tokens=3, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response == whole


def test_tool_round_trip(client: openai.OpenAI) -> None:
    """With a picture in the result."""
    [call] = ask(client, tools=[WEATHER]).output
    assert json.loads(call.arguments) == {"city": "example city"}
    output = [{"type": "input_text", "text": "sunny"}, {"type": "input_image", "image_url": PIXEL}]
    items = [
        {"role": "user", "content": "hello"},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": output},
    ]
    answer = ask(client, items, tools=[WEATHER])
    assert answer.output_text == "Tool result 1: sunny with 1 image (image/gif, 42 bytes, 2x3)"


def test_namespace_is_kept(client: openai.OpenAI) -> None:
    """A call says in which namespace its tool is."""
    [call] = ask(client, tools=[NAMESPACE]).output
    assert (call.namespace, call.name) == ("files", "open")


def test_reasoning_is_sealed(client: openai.OpenAI) -> None:
    """With a summary; and it can be sent back."""
    answer = ask(client, reasoning={"effort": "high"})
    reasoning, message = answer.output
    assert reasoning.encrypted_content
    assert reasoning.summary[0].text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    again = [reasoning.to_dict(), message.to_dict(), {"role": "user", "content": "more"}]
    assert ask(client, [{"role": "user", "content": "a"}, *again]).output_text == "You said: more"


def test_structured_output_fits(client: openai.OpenAI) -> None:
    """The schema is flat here."""
    form = {"type": "json_schema", "name": "w", "schema": WEATHER["parameters"]}
    assert json.loads(ask(client, text={"format": form}).output_text) == {"city": "example city"}


def test_counts_and_compacts(client: openai.OpenAI) -> None:
    """The count is the usage of the answer."""
    assert client.responses.input_tokens.count(model="demo", input="hello there").input_tokens == 2
    assert ask(client).usage.input_tokens == 2
    [item] = client.responses.compact(model="demo", input="hello").output
    assert item.type == "compaction"


def test_stream_breaks_with_an_error(client: openai.OpenAI) -> None:
    """First `response.failed`, then what the SDK raises."""
    kinds: list[str] = []
    with pytest.raises(openai.APIError, match="mid-stream"):
        kinds.extend(event.type for event in ask(client, model="demo/error-mid-stream", stream=True))
    raw = client.post("/responses", body={"model": "error-mid-stream", "input": "a", "stream": True}, cast_to=object)
    assert "response.failed" in str(raw)


def test_refuses_what_lacks_input(client: openai.OpenAI) -> None:
    """In OpenAI's shape."""
    with pytest.raises(openai.BadRequestError, match="input must be") as caught:
        ask(client, [])
    assert caught.value.param == "input"
    with pytest.raises(openai.RateLimitError):
        ask(client, model="demo/429")
