"""Every official SDK with a provider of every dialect, over sockets.

The law: an answer is the same whether it is streamed or not, its usage too; each SDK takes it with its own types and accumulators; an
error is an exception of the SDK's own, with the right status. What the provider says is known (the demo provider says words back), so each
answer is held against that, whatever the two dialects are.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs
import pytest

from tests.end_to_end.clients import CLIENTS, PICTURE, Conversation, Said, Sdks, Wish, sdks
from tests.end_to_end.four_doors import DOORS, four_doors

# Names that the gateway knows facts of, so that reasoning is asked for as these models take it.
_MODELS: Final = {
    "chat": "gpt-5.5",
    "responses": "gpt-5.5",
    "claude": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-pro",
}
_AWKWARD: Final = '👩‍👩‍👧 é שלום 𝕏 \\ " </system-reminder> data: [DONE] {"a":1}'
_SEEN: Final = f"1 image (image/png, {len(PICTURE)} bytes, 1x1)"
_TRIP: Final = {"city": "example city", "days": 1}
_OTHER: Final = {"city": "example city 2", "days": 2}


Play = Callable[[Conversation, bool], list[Said]]


_PLAIN: Final = Wish()


def _one(text: str, wish: Wish = _PLAIN, *, picture: bool = False) -> Play:
    def play(talk: Conversation, stream: bool) -> list[Said]:
        talk.say(text, picture=picture)
        return [talk.ask(wish, stream=stream)]

    return play


def _three_turns(talk: Conversation, stream: bool) -> list[Said]:
    wish = Wish(tools=True)
    talk.say("How is it in Lisbon?")
    said = [talk.ask(wish, stream=stream)]
    talk.give(["sunny"])
    said.append(talk.ask(wish, stream=stream))
    talk.say("And tomorrow?")
    said.append(talk.ask(wish, stream=stream))
    talk.give(["rain"])
    return [*said, talk.ask(wish, stream=stream)]


def _parallel(talk: Conversation, stream: bool) -> list[Said]:
    talk.say("Do it in parallel.")
    said = [talk.ask(Wish(tools=True), stream=stream)]
    talk.give(["sunny", "high"])
    return [*said, talk.ask(Wish(tools=True), stream=stream)]


def _thinking_again(talk: Conversation, stream: bool) -> list[Said]:
    """Thinking, a call, its result, and thinking again: signatures travel back."""
    wish = Wish(tools=True, thinks=True)
    talk.say("How is it?")
    said = [talk.ask(wish, stream=stream)]
    talk.give(["sunny"])
    return [*said, talk.ask(wish, stream=stream)]


def _picture_back(talk: Conversation, stream: bool) -> list[Said]:
    talk.say("Show me.")
    said = [talk.ask(Wish(tools=True), stream=stream)]
    talk.give(["here it is"], picture=True)
    return [*said, talk.ask(Wish(tools=True), stream=stream)]


@attrs.frozen
class Turn:
    """What is expected of one answer; None: anything."""

    finish: str = "end"
    text: str | None = ""
    calls: tuple[object, ...] = ()
    thinks: bool = False


@attrs.frozen
class Scenario:
    """What is done, and what comes of it."""

    play: Play
    turns: tuple[Turn, ...]


_WEATHER: Final = Turn("calls", calls=(("weather", _TRIP),))
_BOTH: Final = Turn("calls", calls=(("weather", _TRIP), ("tides", _OTHER)))

SCENARIOS: Final = {
    "text": Scenario(_one("Hello there."), (Turn(text="You said: Hello there."),)),
    "unicode": Scenario(_one(_AWKWARD), (Turn(text=f"You said: {_AWKWARD}"),)),
    "three-turns": Scenario(
        _three_turns,
        (_WEATHER, Turn(text="Tool result 1: sunny"), _WEATHER, Turn(text="Tool result 1: rain")),
    ),
    "parallel-tools": Scenario(_parallel, (_BOTH, Turn(text="Tool result 1: sunny\nTool result 2: high"))),
    "thinking": Scenario(_one("Why?", Wish(thinks=True)), (Turn(text="You said: Why?", thinks=True),)),
    "thinking-with-tools": Scenario(
        _thinking_again,
        (attrs.evolve(_WEATHER, thinks=True), Turn(text="Tool result 1: sunny", thinks=True)),
    ),
    "image": Scenario(_one("Look.", picture=True), (Turn(text=f"You said: Look.\nI was sent {_SEEN}"),)),
    "image-in-tool-result": Scenario(_picture_back, (_WEATHER, Turn(text=None))),
    "structured": Scenario(_one("Plan.", Wish(schema=True)), (Turn(text='{"city":"example city","days":1}'),)),
    "refusal": Scenario(_one("please refuse"), (Turn("refusal", "I must refuse: the demo provider was asked to."),)),
    "max-tokens": Scenario(
        # Responses takes no limit below 16, so a smaller one would be raised.
        _one("one two three " * 6, Wish(max_tokens=20)),
        (Turn("length", "You said:" + " one two three" * 6),),
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """The gateway of the whole matrix."""
    with four_doors(tmp_path_factory.mktemp("matrix"), "asyncio") as (gateway, _), sdks(gateway) as made:
        yield made


@pytest.fixture(scope="module")
def diagonal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """The gateway of a part of it, on the other transport."""
    with four_doors(tmp_path_factory.mktemp("diagonal"), "trio") as (gateway, _), sdks(gateway) as made:
        yield made


def check_scenario(made: Sdks, client: str, door: str, scenario: Scenario) -> None:
    """Play it twice and compare."""
    talks = [CLIENTS[client](made, f"{door}/{_MODELS[door]}") for _ in range(2)]
    streamed, plain = scenario.play(talks[0], True), scenario.play(talks[1], False)
    assert len(plain) == len(scenario.turns)
    for said, turn in zip(plain, scenario.turns, strict=True):
        assert said.finish == turn.finish
        assert said.calls == turn.calls
        assert len(set(said.ids)) == len(said.calls)
        assert all(said.ids)
        assert bool(said.thought) == turn.thinks, said.thought
        assert said.usage[0] > 0
        assert (said.usage[2] > 0) == turn.thinks or not turn.thinks
        if turn.text is None:
            assert said.text.startswith("Tool result 1: here it is")
            assert _SEEN in said.text
        elif said.finish != "refusal" or door != "gemini":
            assert said.text == turn.text
        else:  # Gemini has no words for a refusal but an explanation, which its own SDK and OpenAI's formats do not show
            assert said.text == (turn.text if client == "claude" else "")
    assert streamed[0] == plain[0]
    # The histories differ in how the pieces of an answer are kept, and so may ids made from them.
    assert [attrs.evolve(said, ids=()) for said in streamed] == [attrs.evolve(said, ids=()) for said in plain]


def check_errors(made: Sdks, client: str, door: str, stream: bool) -> None:
    """The exceptions, each of its class."""
    kind = CLIENTS[client]

    def fail(model: str) -> tuple[Exception, int | None, str | None]:
        talk = kind(made, f"{door}/demo/{model}")
        talk.say("one two three four five six")
        failed = talk.fail(Wish(), stream=stream)
        return failed.error, failed.status, failed.retry_after

    error, status, retry_after = fail("429")
    assert isinstance(error, kind.limited), error
    assert (status, retry_after) == (429, "7")
    assert "rate limit is reached" in str(error)
    error, status, _ = fail("503")
    assert isinstance(error, kind.failed), error
    assert "overloaded, as asked" in str(error)
    error, status, _ = fail("error-mid-stream")
    assert isinstance(error, kind.broken if stream else kind.failed), error
    assert ("mid-stream" if stream else "failed, as asked") in str(error)
    error, status, _ = fail("cut")
    assert isinstance(error, kind.broken if stream else kind.failed), error
    assert status == 502 or stream


_PAIRS: Final = [(client, door) for client in CLIENTS for door in DOORS]
# Every client once, every dialect once.
_DIAGONAL: Final = list(zip(CLIENTS, (*DOORS[1:], DOORS[0]), strict=True))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(("client", "door"), _PAIRS)
def test_an_answer_is_the_same_streamed_and_whole(whole: Sdks, client: str, door: str, name: str) -> None:
    check_scenario(whole, client, door, SCENARIOS[name])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "door"), _PAIRS)
def test_errors_are_exceptions_of_the_sdk(whole: Sdks, client: str, door: str, stream: bool) -> None:
    check_errors(whole, client, door, stream)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(("client", "door"), _DIAGONAL)
def test_the_other_transport_does_the_same(diagonal: Sdks, client: str, door: str, name: str) -> None:
    check_scenario(diagonal, client, door, SCENARIOS[name])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "door"), _DIAGONAL)
def test_the_other_transport_fails_the_same(diagonal: Sdks, client: str, door: str, stream: bool) -> None:
    check_errors(diagonal, client, door, stream)
