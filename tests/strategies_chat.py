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

# Words that have broken translators: joined emoji, combining marks, separators, JSON and SSE inside text, the words of other formats.
AWKWARD = (
    " ", "👩‍👩‍👧", "é", "\u2028", "\u2029", "\x85", "שלום", '"', "\\", "\n\n", "data: [DONE]", "event: x", "</system-reminder>",
    '{"a":1}', "𝕏", "\r\n", "null",
)  # fmt: skip
TEXT = st.lists(
    st.sampled_from(AWKWARD) | st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=4
).map("".join)
WORDS = TEXT.filter(lambda text: text.strip() != "")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
ODD_NAMES = NAMES | st.text("ab.:/ é", min_size=1, max_size=70)
CALL_IDS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12).map("call_".__add__)
ODD_IDS = CALL_IDS | st.text("ab.: é", min_size=1, max_size=80)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "$ref", "a", "é"]), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["type", "parameters", "$ref", "q", "input"]), JSON, max_size=3)
ARGUMENTS = OBJECTS.map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))
SCHEMAS = st.dictionaries(
    NAMES, st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {}}]), max_size=3
).map(lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)})
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
IMAGES = st.sampled_from([Media("image", Inline("image/png", PNG)), Media("image", Inline("image/jpeg", "/9j/4AAQ"))])
LINKED = st.just(Media("image", Link("https://img.example/a.png")))
PDF = st.just(Media("document", Inline("application/pdf", "JVBERi0xLjQK"), filename="a.pdf"))


def usages(*, counts_writes: bool = True) -> st.SearchStrategy[TokenUsage]:
    """Counts whose parts fit their wholes; `counts_writes`: whether the provider says what it wrote to a cache."""
    small = st.integers(0, 1000)
    return st.builds(
        lambda rest, cached, written, said, thought: TokenUsage(
            rest + cached + written, said + thought, cached, written, thought
        ),
        small, small, small if counts_writes else st.just(0), small, small,
    )  # fmt: skip


CALLS = st.builds(ToolCall, CALL_IDS, NAMES, ARGUMENTS)
FINISHES: list[FinishKind] = ["end", "length", "refusal", "filter"]


@st.composite
def choices(draw: st.DrawFn, *, provider: str = "claude") -> Choice:
    """A choice as a stream can say it: no empty blocks, neighbours of different kinds, ids unique."""
    blocks: list[Block] = []
    signed = st.builds(Signature, st.just(provider), st.just("RXFRQg=="))
    for kind in draw(st.lists(st.sampled_from(["text", "think", "call"]), max_size=5)):
        if kind == "text":
            if not (blocks and isinstance(blocks[-1], Text)):
                blocks.append(Text(draw(WORDS)))
        elif kind == "think":
            blocks.append(Reasoning(draw(WORDS), draw(signed)))
        else:
            call = draw(CALLS)
            if call.id not in {block.id for block in blocks if isinstance(block, ToolCall)}:
                blocks.append(call)
    kind_of_finish: FinishKind = draw(st.sampled_from(FINISHES))
    if any(isinstance(block, ToolCall) for block in blocks):
        kind_of_finish = "tool"
    elif kind_of_finish == "refusal":
        blocks = [Refusal(draw(WORDS))]
    return Choice(tuple(blocks), Finish(kind_of_finish))


def answers(*, provider: str = "claude") -> st.SearchStrategy[Answer]:
    """Answers that every dialect can say, if each in its own way."""
    return st.builds(
        Answer,
        st.from_regex(r"[a-z0-9]{4}", fullmatch=True),
        st.just("some-model"),
        st.tuples(choices(provider=provider)),
        st.integers(1, 2**31),
        usages(counts_writes=provider != "gemini"),
    )


@st.composite
def conversations(draw: st.DrawFn, *, odd: bool = False) -> tuple[Message, ...]:
    """Turns with calls, results (some with images, some missing, some of nothing) and instructions where clients put them."""
    ids, names = (ODD_IDS, ODD_NAMES) if odd else (CALL_IDS, NAMES)
    # A few texts that come again and again: to draw each anew costs more than all that is tested with them.
    words = st.sampled_from(draw(st.lists(WORDS, min_size=1, max_size=4)))
    arguments = st.sampled_from(draw(st.lists(ARGUMENTS, min_size=1, max_size=2)))
    out: list[Message] = []
    used: set[str] = set()
    for _ in range(draw(st.integers(0, 2))):
        out.append(Message(draw(st.sampled_from(["system", "developer"])), (Text(draw(words)),)))
    for turn in range(draw(st.integers(1, 3))):
        said: list[Block] = draw(st.lists(st.builds(Text, words) | IMAGES | LINKED | PDF, min_size=1, max_size=2))
        out.append(Message("user", tuple(said)))
        calls: list[ToolCall] = []
        for _ in range(draw(st.integers(0, 2))):
            call_id = draw(ids.filter(lambda i: i not in used))
            used.add(call_id)
            calls.append(ToolCall(call_id, draw(names), draw(arguments)))
        text: list[Block] = [Text(draw(words))] if draw(st.booleans()) or not calls else []
        out.append(Message("assistant", (*text, *calls)))
        for call in calls:
            if odd and draw(st.integers(0, 3)) == 0:
                continue
            content: list[Block] = [Text(draw(words))] if draw(st.booleans()) else []
            content += draw(st.lists(IMAGES, max_size=1))
            out.append(Message("user", (ToolResult(call.id, tuple(content), draw(st.booleans())),)))
        if odd and draw(st.integers(0, 3)) == 0:
            out.append(Message("user", (ToolResult(f"nobody_{turn}", (Text(draw(words)),)),)))
        if draw(st.integers(0, 4)) == 0:
            out.append(Message("system", (Text(draw(words)),)))
    out.append(Message("user", (Text(draw(words)),)))
    return tuple(out)


@st.composite
def requests(draw: st.DrawFn, *, odd: bool = False) -> ChatRequest:
    """Requests of every kind; `odd`: with names, ids and histories that some dialect refuses."""
    names = draw(st.lists(ODD_NAMES if odd else NAMES, unique=True, max_size=3))
    tools: list[Any] = []
    for name in names:
        kind = draw(st.sampled_from(["function", "function", "custom"]))
        described = draw(st.none() | WORDS)
        tools.append(
            CustomTool(name, described)
            if kind == "custom"
            else FunctionTool(name, described, draw(SCHEMAS), draw(st.none() | st.booleans()))
        )
    if draw(st.integers(0, 5)) == 0:
        tools.append(WebSearchTool(allowed_domains=("a.example",), context_size="low"))
    choice = None
    if names:
        modes: list[Any] = [None, "auto", "none", "any", "named", "allowed"]
        mode = draw(st.sampled_from(modes))
        choice = None if mode is None else ToolChoice(mode, (names[0],) if mode in ("named", "allowed") else ())
    maybe = st.booleans()

    def some(value: Any) -> Any:
        return value if draw(maybe) else None

    return ChatRequest(
        "a-model",
        draw(conversations(odd=odd)),
        instructions=tuple(Text(text) for text in draw(st.lists(WORDS, max_size=2))),
        tools=tuple(tools),
        tool_choice=choice,
        parallel_tool_calls=some(False),
        max_tokens=some(4096),
        stop=("END",) if draw(maybe) else (),
        temperature=some(0.5),
        top_p=some(0.9),
        seed=some(7),
        output=some(OutputFormat("schema", draw(SCHEMAS), "answer", strict=True)),
        thinking=some(Thinking("level", level="high", show="auto")),
        user=some("u-1"),
        stream=draw(maybe),
    )


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
