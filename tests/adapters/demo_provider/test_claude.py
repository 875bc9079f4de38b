"""The official `anthropic` client against the demo provider's Messages."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK = {"name": "clock", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
THINKING = {"type": "enabled", "budget_tokens": 1024}
GIF = "R0lGODlhAgADAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.fixture(scope="module")
def client(demo_url: str) -> Iterator[anthropic.Anthropic]:
    """An unmodified client."""
    with anthropic.Anthropic(base_url=demo_url, api_key="none", max_retries=0, timeout=10) as client:
        yield client


def question(text: str = "hello there", **more: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "max_tokens": 2000, "messages": [{"role": "user", "content": text}]} | more


def ask(client: anthropic.Anthropic, text: str = "hello there", **more: Any) -> Any:
    """Ask and get the message whole."""
    return client.messages.create(**question(text, **more))


QUESTIONS = [
    question(),
    question(thinking=THINKING),
    question(thinking={"type": "adaptive"}, tools=[WEATHER]),
    question(thinking={"type": "adaptive", "display": "omitted"}),
    question("in parallel", tools=[SEARCH, WEATHER, CLOCK]),
    question(tools=[WEATHER, CLOCK], tool_choice={"type": "tool", "name": "clock"}),
    question(tools=[WEATHER], tool_choice={"type": "none"}),
    question(max_tokens=2),
    question(stop_sequences=["lo", "there"]),
    question("Please refuse"),
    question("one\ntwo  \n three"),
    question(model="demo/think"),
    question(model="demo/tools", tools=[WEATHER, CLOCK]),
]


@pytest.mark.parametrize("asked", QUESTIONS, ids=str)
def test_stream_folds_to_the_whole(client: anthropic.Anthropic, asked: dict[str, Any]) -> None:
    """As the SDK folds it, usage too."""
    with client.messages.stream(**asked) as stream:
        folded: dict[str, Any] = stream.get_final_message().to_dict(mode="json", warnings=False)
    whole = client.messages.create(**asked).to_dict(mode="json")
    for block in folded["content"]:
        block.pop("parsed_output", None)
    assert folded == whole


def test_says_it_back(client: anthropic.Anthropic) -> None:
    """And counts words, as count_tokens does."""
    message = ask(client, system="be brief")
    assert message.content[0].text == "You said: hello there"
    assert (message.usage.input_tokens, message.usage.output_tokens, message.stop_reason) == (4, 4, "end_turn")
    counted = client.messages.count_tokens(
        model="demo", messages=[{"role": "user", "content": "hello there"}], system="be brief"
    )
    assert counted.input_tokens == 4


def test_limits_cut(client: anthropic.Anthropic) -> None:
    """With their reasons."""
    assert ask(client, max_tokens=2).stop_reason == "max_tokens"
    stopped = ask(client, stop_sequences=["there"])
    assert (stopped.content[0].text, stopped.stop_reason, stopped.stop_sequence) == (
        "You said: hello ",
        "stop_sequence",
        "there",
    )


def test_tool_round_trip(client: anthropic.Anthropic) -> None:
    """With a picture in one result and an error in the other."""
    message = ask(client, "in parallel", tools=[WEATHER])
    first, second = message.content
    assert (first.input, message.stop_reason) == ({"city": "example city"}, "tool_use")
    assert first.id != second.id
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": GIF}}
    results = [
        {"type": "tool_result", "tool_use_id": first.id, "content": [{"type": "text", "text": "sunny"}, picture]},
        {"type": "tool_result", "tool_use_id": second.id, "content": "no such city", "is_error": True},
    ]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": message.to_dict()["content"]},
        {"role": "user", "content": results},
    ]
    answer = ask(client, messages=messages, tools=[WEATHER]).content[0].text
    assert answer == (
        "Tool result 1: sunny with 1 image (image/gif, 42 bytes, 2x3)\nTool result 2 (an error): no such city"
    )
    one = ask(client, "in parallel", tools=[WEATHER], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len(one.content) == 1


def test_describes_documents(client: anthropic.Anthropic) -> None:
    """By kind."""
    content = [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUI="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ]
    assert ask(client, messages=[{"role": "user", "content": content}]).content[0].text == (
        "I was sent 2 documents (text/plain, 3 bytes; application/pdf, 2 bytes)"
        " and 1 image (image/*, at https://example.com/a.png)"
    )


def test_thinking_is_signed(client: anthropic.Anthropic) -> None:
    """Also when it is not shown."""
    shown = ask(client, thinking=THINKING)
    assert shown.content[0].thinking
    assert shown.usage.output_tokens_details.thinking_tokens > 0
    omitted = ask(client, thinking={"type": "adaptive", "display": "omitted"})
    assert omitted.content[0].thinking == ""
    assert omitted.content[0].signature


def test_structured_output_fits(client: anthropic.Anthropic) -> None:
    """As output_config asks."""
    config = {"format": {"type": "json_schema", "schema": WEATHER["input_schema"]}}
    assert json.loads(ask(client, output_config=config).content[0].text) == {"city": "example city"}


def test_misbehaves(client: anthropic.Anthropic) -> None:
    """In Anthropic's shape."""
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(client, model="demo/429")
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.request_id
    with pytest.raises(anthropic.AuthenticationError):
        ask(client, model="demo/401")
    with pytest.raises(anthropic.BadRequestError, match="role"):
        ask(client, messages=[{"role": "nobody", "content": "x"}])
    with pytest.raises(anthropic.APIStatusError, match="mid-stream"):
        list(ask(client, model="demo/error-mid-stream", stream=True))
    with pytest.raises(anthropic.NotFoundError):
        client.post("/v1/messages/nowhere", cast_to=object)


def test_models(client: anthropic.Anthropic) -> None:
    """In Anthropic's shape, because of its headers."""
    assert "demo" in [model.id for model in client.models.list()]
    assert client.models.retrieve("demo").type == "model"
