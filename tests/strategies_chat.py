"""Hypothesis strategies for values of the hub, and what counts as equal between them."""

import json
import string
from collections.abc import Iterable
from typing import Any

import attrs
from hypothesis import strategies as st

from dragoman.core.chat.answer import Answer, Choice, Finish, FinishKind
from dragoman.core.chat.blocks import Block, Inline, Link, Media, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.core.chat.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    OutputFormat,
    Role,
    Thinking,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    CitationDelta,
    Delta,
    ExtrasDelta,
    Finished,
    LogprobsDelta,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    WholeBlock,
)
from dragoman.core.chat.usage import TokenUsage
from tests.decisions import Decisions, made

# Words that have broken translators: joined emoji, combining marks, separators, JSON and SSE inside text, the words of other formats.
AWKWARD = (
    " ", "👩‍👩‍👧", "é", "\u2028", "\u2029", "\x85", "שלום", '"', "\\", "\n\n", "data: [DONE]", "event: x", "</system-reminder>",
    '{"a":1}', "𝕏", "\r\n", "null",
)  # fmt: skip


def text(d: Decisions) -> str:
    """A text, not empty."""
    return "".join(d.some(lambda: d.pick((d.own or "a", *AWKWARD, d.own[:1] or "b")), 1, 3))


def words(d: Decisions) -> str:
    """A text with more in it than white space."""
    made_up = text(d)
    return made_up if made_up.strip() else made_up + "w"


def name(d: Decisions) -> str:
    """A name that every dialect takes."""
    return "".join(d.some(lambda: d.pick(LETTERS), 1, 6)) + d.pick(("", "_name"))


def odd_name(d: Decisions) -> str:
    """A name that some dialects do not take."""
    return (
        name(d) if d.yes() else ("".join(d.some(lambda: d.pick("ab.:/ é"), 1, 4)) * 70)[: 1 + d.below(d.pick((8, 70)))]
    )


def call_id(d: Decisions) -> str:
    """An id of a call, as providers make them."""
    return "call_" + "".join(d.some(lambda: d.pick(LETTERS_AND_DIGITS), 1, 5))


def odd_id(d: Decisions) -> str:
    """An id that some dialects do not take."""
    return (
        call_id(d)
        if d.yes()
        else ("".join(d.some(lambda: d.pick("ab.: é"), 1, 4)) * 80)[: 1 + d.below(d.pick((8, 80)))]
    )


def json_value(d: Decisions, depth: int = 2) -> Any:
    """Any JSON value: what parsers stumble over, nested a little."""
    kind = d.below(10)
    if kind >= 8 and depth:
        return d.some(lambda: json_value(d, depth - 1), 0, 3)
    if kind >= 6 and depth:
        return {d.pick(("type", "$ref", "a", "é")): json_value(d, depth - 1) for _ in range(d.below(4))}
    if kind == 5:
        return text(d)
    if kind == 4:
        return d.pick((1, -1)) * d.number(65_535) ** d.pick((1, 2, 4))
    return d.pick(ODD_VALUES)


def json_object(d: Decisions) -> dict[str, Any]:
    """A JSON object with keys that mean something to somebody."""
    return {d.pick(("q", "type", "parameters", "$ref", "input")): json_value(d, 2) for _ in range(d.below(4))}


def arguments(d: Decisions) -> str:
    """Arguments of a call, in the shortest spelling."""
    return json.dumps(json_object(d), ensure_ascii=False, separators=(",", ":"))


def schema(d: Decisions) -> dict[str, Any]:
    """The schema of a function."""
    kinds: list[dict[str, Any]] = [{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {}}]
    properties = {name(d): d.pick(kinds) for _ in range(d.below(4))}
    return {"type": "object", "properties": properties, "required": sorted(properties)}


LETTERS = "abcdefghijklmnopqrstuvwxyz_"
LETTERS_AND_DIGITS = string.ascii_letters + string.digits
ODD_VALUES: tuple[Any, ...] = (
    None,
    False,
    True,
    0,
    "",
    -0.0,
    1.5,
    2**53,
    -(2**63),
    2**70,
    5e-324,
    1.7976931348623157e308,
    [],
    {},
    "null",
    1e16,
)

TEXT = made(text, 4)
WORDS = made(words, 4)
NAMES = made(name, 8)
ODD_NAMES = made(odd_name, 10)
JSON = made(json_value, 40)
OBJECTS = made(json_object, 40)
ARGUMENTS = made(arguments, 40)
SCHEMAS = made(schema, 30)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
IMAGES = (Media("image", Inline("image/png", PNG)), Media("image", Inline("image/jpeg", "/9j/4AAQ")))
LINKED = Media("image", Link("https://img.example/a.png"))
PDF = Media("document", Inline("application/pdf", "JVBERi0xLjQK"), filename="a.pdf")


def usage(d: Decisions, *, counts_writes: bool = True) -> TokenUsage:
    """Counts whose parts fit their wholes; `counts_writes`: whether the provider says what it wrote to a cache."""
    rest, cached, written, said, thought = (d.number(1001) if d.yes() else d.below(2) for _ in range(5))
    written = written if counts_writes else 0
    return TokenUsage(rest + cached + written, said + thought, cached, written, thought)


def usages(*, counts_writes: bool = True) -> st.SearchStrategy[TokenUsage]:
    """Counts whose parts fit their wholes."""
    return made(lambda d: usage(d, counts_writes=counts_writes), 15)


def choice(d: Decisions, provider: str) -> Choice:
    """A choice as a stream can say it: no empty blocks, neighbours of different kinds, ids unique."""
    blocks: list[Block] = []
    ids: set[str] = set()
    for kind in d.some(lambda: d.pick(("text", "think", "call")), 0, 5):
        if kind == "text":
            if not (blocks and isinstance(blocks[-1], Text)):
                blocks.append(Text(words(d)))
        elif kind == "think":
            blocks.append(Reasoning(words(d), Signature(provider, "RXFRQg==")))
        else:
            call = ToolCall(call_id(d), name(d), arguments(d))
            if call.id not in ids:
                ids.add(call.id)
                blocks.append(call)
    finishes: tuple[FinishKind, ...] = ("end", "length", "refusal", "filter")
    finish = d.pick(finishes)
    if ids:
        finish = "tool"
    elif finish == "refusal":
        blocks = [Refusal(words(d))]
    return Choice(tuple(blocks), Finish(finish))


def answers(*, provider: str = "claude") -> st.SearchStrategy[Answer]:
    """Answers that every dialect can say, if each in its own way."""

    def answer(d: Decisions) -> Answer:
        return Answer(
            "".join(d.pick("a0bcdefz9") for _ in range(4)),
            "some-model",
            (choice(d, provider),),
            1 + d.number(65_535) * d.pick((1, 32_768)),
            usage(d, counts_writes=provider != "gemini"),
        )

    return made(answer, 240)


def conversation(d: Decisions, *, odd: bool = False) -> tuple[Message, ...]:
    """Turns with calls, results (some with images, some missing, some of nothing) and instructions where clients put them."""
    new_id, new_name = (odd_id, odd_name) if odd else (call_id, name)
    said_before = d.some(lambda: words(d), 1, 4)
    asked_before = d.some(lambda: arguments(d), 1, 2)

    def say() -> Text:
        return Text(d.pick(said_before))

    def show() -> Block:
        shown: tuple[Block | None, ...] = (None, *IMAGES, LINKED, PDF)
        return d.pick(shown) or say()

    out: list[Message] = []
    used: set[str] = set()
    for role in d.some(lambda: d.pick(INSTRUCTING), 0, 2):
        out.append(Message(role, (say(),)))
    for turn in range(1 + d.below(3)):
        out.append(Message("user", tuple(d.some(show, 1, 2))))
        calls: list[ToolCall] = []
        for wanted in d.some(lambda: new_id(d), 0, 2):
            if wanted not in used:
                used.add(wanted)
                calls.append(ToolCall(wanted, new_name(d), d.pick(asked_before)))
        texts: list[Block] = [say()] if d.yes() or not calls else []
        out.append(Message("assistant", (*texts, *calls)))
        for call in calls:
            if odd and d.seldom(4):
                continue
            content: list[Block] = [say()] if d.yes() else []
            content += d.some(lambda: d.pick(IMAGES), 0, 1)
            out.append(Message("user", (ToolResult(call.id, tuple(content), d.yes()),)))
        if odd and d.seldom(4):
            out.append(Message("user", (ToolResult(f"nobody_{turn}", (say(),)),)))
        if d.seldom(5):
            out.append(Message("system", (say(),)))
    out.append(Message("user", (say(),)))
    return tuple(out)


INSTRUCTING: tuple[Role, ...] = ("system", "developer")


def conversations(*, odd: bool = False) -> st.SearchStrategy[tuple[Message, ...]]:
    """Conversations; `odd`: with names, ids and histories that some dialect refuses."""
    return made(lambda d: conversation(d, odd=odd), 400)


def request(d: Decisions, *, odd: bool = False) -> ChatRequest:
    """A request of any kind; `odd`: with names, ids and histories that some dialect refuses."""
    names = list(dict.fromkeys(d.some(lambda: (odd_name if odd else name)(d), 0, 3)))
    tools: list[Any] = []
    for each in names:
        described = words(d) if d.yes() else None
        tools.append(
            CustomTool(each, described)
            if d.seldom(3)
            else FunctionTool(each, described, schema(d), d.pick((None, True, False)))
        )
    if d.seldom(6):
        tools.append(WebSearchTool(allowed_domains=("a.example",), context_size="low"))
    choice_of_tool = None
    if names:
        modes: tuple[Any, ...] = (None, "auto", "none", "any", "named", "allowed")
        mode = d.pick(modes)
        choice_of_tool = None if mode is None else ToolChoice(mode, (names[0],) if mode in ("named", "allowed") else ())

    def some(value: Any) -> Any:
        return value if d.yes() else None

    return ChatRequest(
        "a-model",
        conversation(d, odd=odd),
        instructions=tuple(Text(each) for each in d.some(lambda: words(d), 0, 2)),
        tools=tuple(tools),
        tool_choice=choice_of_tool,
        parallel_tool_calls=some(False),
        max_tokens=some(4096),
        stop=("END",) if d.yes() else (),
        temperature=some(0.5),
        top_p=some(0.9),
        seed=some(7),
        output=some(OutputFormat("schema", schema(d), "answer", strict=True)),
        thinking=some(Thinking("level", level="high", show="auto")),
        user=some("u-1"),
        stream=d.yes(),
    )


def requests(*, odd: bool = False) -> st.SearchStrategy[ChatRequest]:
    """Requests of every kind; `odd`: with names, ids and histories that some dialect refuses."""
    return made(lambda d: request(d, odd=odd), 600)


# One value for each field of a request that a dialect may lack words for.
SCALARS: dict[str, Any] = {
    "parallel_tool_calls": False, "max_tokens": 77, "stop": ("END",), "temperature": 0.25, "top_p": 0.97, "top_k": 5, "seed": 7,
    "presence_penalty": 0.5, "frequency_penalty": 0.5, "choices": 2, "logit_bias": {"1": 5}, "logprobs": True, "top_logprobs": 2,
    "output": OutputFormat("schema", {"type": "object", "properties": {}}, "answer"), "verbosity": "low",
    "thinking": Thinking("level", level="high"), "stream": True, "user": "u-9", "cache_key": "k9", "service_tier": "flex",
    "metadata": {"a": "b"}, "store": True, "previous_response_id": "resp_1",
}  # fmt: skip


# ---- what counts as equal


def plain(answer: Answer) -> tuple[Any, ...]:
    """What has to arrive of an answer, whatever the dialects: texts, calls, why it ended, what it cost."""
    return (
        answer.model,
        tuple((_texts(choice.blocks), _calls(choice.blocks), _ending(choice)) for choice in answer.choices),
        answer.usage,
        answer.fault and answer.fault.kind,
    )


def _ending(choice: Choice) -> str:
    kind = choice.finish.kind if choice.finish else ""
    # No dialect but the hub tells the model's refusal from the filter's.
    return "declined" if kind in ("refusal", "filter") else kind


def _texts(blocks: Iterable[Block]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text | Refusal))


def _calls(blocks: Iterable[Block]) -> tuple[tuple[str, str, Any], ...]:
    return tuple((call.id, call.name, _value(call.arguments)) for call in blocks if isinstance(call, ToolCall))


def _value(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments


def without_raw(answer: Answer) -> Answer:
    """An answer without the provider's own words and dates, which no other dialect keeps."""
    kept = tuple(
        attrs.evolve(choice, finish=choice.finish and attrs.evolve(choice.finish, raw=None))
        for choice in answer.choices
    )
    return attrs.evolve(answer, choices=kept, created=None)


def assert_grammar(deltas: list[Delta]) -> None:
    """Hold a reader to the grammar of `dragoman.core.chat.stream`."""
    opened: dict[int, type | None] = {}
    finished: set[int] = set()
    started = False
    for n, delta in enumerate(deltas):
        is_last = n == len(deltas) - 1
        assert isinstance(delta, AnswerEnded | StreamFailed) == is_last, delta
        match delta:
            case AnswerStarted():
                assert not started
                started = True
            case AnswerEnded():
                assert started
                assert finished
                assert not any(opened.values())
            case StreamFailed() | UsageUpdate() | Ping():
                pass
            case _:
                assert started
                assert delta.choice not in finished
                _assert_block(delta, opened)
                if isinstance(delta, Finished):
                    finished.add(delta.choice)


def _assert_block(delta: Any, opened: dict[int, type | None]) -> None:
    kind = opened.get(delta.choice)
    match delta:
        case TextDelta(text) | RefusalDelta(text) | ReasoningDelta(text):
            assert text
            assert kind in (None, type(delta))
            opened[delta.choice] = type(delta)
        case ToolCallStarted():
            assert kind is None
            assert delta.id
            opened[delta.choice] = ToolCallDelta
        case ToolCallDelta(arguments):
            assert arguments
            assert kind is ToolCallDelta
        case SignatureDelta():
            assert kind in (None, TextDelta, ReasoningDelta)
            opened[delta.choice] = kind or ReasoningDelta
        case CitationDelta():
            assert kind is TextDelta
        case ExtrasDelta():
            assert kind is None
        case LogprobsDelta():
            pass
        case BlockEnded():
            assert kind is not None
            opened[delta.choice] = None
        case WholeBlock() | Finished():
            assert kind is None
        case _:
            raise AssertionError(delta)


def read_all(reader: Any, pieces: Iterable[bytes]) -> list[Delta]:
    """Everything a reader says of a stream in pieces."""
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return deltas + list(reader.close())
