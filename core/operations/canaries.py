"""What canaries send, when, and how they are judged. Who sends it is `dragoman.core.canary_runs`, or a command with a client of its own.

A verdict tells what is not as it should be in a line, without the answer's own words: an error of a provider's may quote a key.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from dragoman.core.canary_specs import CanarySpec
from dragoman.core.chat.answer import Answer
from dragoman.core.chat.blocks import Inline, Media, Text, ToolCall, ToolResult
from dragoman.core.chat.request import ChatRequest, FunctionTool, Message, Thinking
from dragoman.core.chat.stream import fold
from dragoman.core.chat.target import Target
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import DIALECTS
from dragoman.core.errors import BadAnswer
from dragoman.core.operations.canary_tally import Verdict
from dragoman.core.operations.metrics import keeps_thinking
from dragoman.core.thinking import THINKING_HEADER, read_thinking, say_thinking

_PATHS: Final = {"openai_chat": "/v1/chat/completions", "openai_responses": "/v1/responses", "claude": "/v1/messages"}
_FIRST_WITHIN: Final = 60.0  # seconds after the start
_SPREAD: Final = 0.1  # of the time between runs, to either side

# A red square of 16 by 16 points: some providers refuse smaller images.
_PICTURE: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg=="
)


@attrs.frozen
class CanaryRequest:
    """One request of a canary: where it goes, what goes with it."""

    path: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    streams: bool


@attrs.frozen
class Seen:
    """What came back.

    Attributes:
        streams: Whether a stream was asked for.
        status: Of HTTP; 0 when nothing came.
        problem: What is wrong with the answer as an answer; empty: nothing.
        text: Its words.
        finish: Why it ended.
        usage: Counted tokens; None when they were not said.
        thinking: What the gateway said of reasoning: asked and applied; None: nothing.

    """

    streams: bool
    status: int
    problem: str = ""
    text: str = ""
    finish: str = ""
    usage: TokenUsage | None = None
    thinking: tuple[Thinking | None, Thinking | None] | None = None


# --- what is sent ---


def requests_of(spec: CanarySpec) -> list[CanaryRequest]:
    """The requests of one run, in order."""
    return [_request(spec, streams) for streams in spec.ways]


def _request(spec: CanarySpec, streams: bool) -> CanaryRequest:
    chat = ChatRequest(spec.model, _messages(spec), stream=streams, include_usage=True if streams else None)
    if spec.kind == "tool_result_image":
        schema = {"type": "object", "properties": {}}
        chat = attrs.evolve(chat, tools=(FunctionTool("look", "Looks at the picture.", schema),))
    if spec.kind == "thinking":
        chat = attrs.evolve(chat, thinking=Thinking("level", level=spec.level))
    body, _ = DIALECTS[spec.speaks].build_request(chat, Target(spec.model, images_in_tool_results=True))
    fields = [("content-type", "application/json")]
    if spec.kind == "thinking":
        fields.append((THINKING_HEADER, "1"))
    if spec.speaks == "claude":
        fields.append(("anthropic-version", "2023-06-01"))
    return CanaryRequest(_path(spec, streams), tuple(fields), body, streams)


def _path(spec: CanarySpec, streams: bool) -> str:
    if spec.speaks != "gemini":
        return _PATHS[spec.speaks]
    kept = b"/-._~"
    quoted = "".join(
        chr(b) if b in kept or (b < 128 and chr(b).isalnum()) else f"%{b:02X}" for b in spec.model.encode()
    )
    return f"/v1beta/models/{quoted}:" + ("streamGenerateContent?alt=sse" if streams else "generateContent")


def _messages(spec: CanarySpec) -> tuple[Message, ...]:
    if spec.kind != "tool_result_image":
        return (Message("user", (Text(spec.prompt or "ping"),)),)
    picture = Media("image", Inline("image/png", _PICTURE))
    return (
        Message("user", (Text(spec.prompt or "Look at the picture, then say in one word which colour it has."),)),
        Message("assistant", (ToolCall("toolu_canary1", "look", "{}"),)),
        Message("user", (ToolResult("toolu_canary1", (Text("Here it is."), picture), name="look"),)),
    )


# --- what comes back ---


def read_answer(spec: CanarySpec, streams: bool, status: int, fields: Mapping[str, str], body: bytes) -> Seen:
    """Read an answer.

    Args:
        spec: The canary.
        streams: Whether a stream was asked for.
        status: Of HTTP.
        fields: Headers, names in lower case.
        body: Whole.

    """
    dialect = DIALECTS[spec.speaks]
    if status != 200:
        fault = dialect.classify_error(status, fields, body, 0.0)
        return Seen(streams, status, f"answered {status} ({fault.kind})")
    if streams:
        reader = dialect.reader()
        answer = fold([*reader.feed(body), *reader.close()])
    else:
        try:
            answer = dialect.parse_answer(body)[0]
        except BadAnswer:
            return Seen(streams, status, "the answer is none")
    problem = "the answer is empty" if _is_empty(answer) else ""
    if answer.fault is not None:
        problem = f"the answer failed ({answer.fault.kind})"
    text = "".join(block.text for block in answer.blocks if isinstance(block, Text))
    finish = answer.finish.kind if answer.finish is not None else ""
    return Seen(streams, status, problem, text, finish, answer.usage, read_thinking(fields.get(THINKING_HEADER, "")))


def _is_empty(answer: Answer) -> bool:
    return not any(
        isinstance(block, ToolCall) or (isinstance(block, Text) and block.text.strip()) for block in answer.blocks
    )


# --- the verdict ---


def judge(spec: CanarySpec, seen: Sequence[Seen]) -> Verdict:
    """What the answers of one run come to."""
    status = max((one.status for one in seen), default=0)
    usage = TokenUsage(
        sum(one.usage.input for one in seen if one.usage), sum(one.usage.output for one in seen if one.usage)
    )
    return Verdict(_difference(spec, seen), status, usage)


def _difference(spec: CanarySpec, seen: Sequence[Seen]) -> str:
    for one in seen:
        if one.problem:
            return f"{_way(one)}: {one.problem}"
    if len(seen) < len(spec.ways):
        return "not everything was asked"
    for one in seen:
        if spec.expect.casefold() not in one.text.casefold():
            return f"{_way(one)}: the answer does not contain {spec.expect!r}"
    if spec.kind == "usage_parity":
        return _compare_usage(*seen)
    if spec.kind == "tool_result_image" and seen[0].finish != seen[1].finish:
        ends = [one.finish or "nothing" for one in seen]
        return f"it ended with {ends[0]} without a stream, with {ends[1]} in a stream"
    return _compare_thinking(seen[0]) if spec.kind == "thinking" else ""


def _way(seen: Seen) -> str:
    return "in a stream" if seen.streams else "without a stream"


def _compare_usage(whole: Seen, stream: Seen) -> str:
    for one in (whole, stream):
        if one.usage is None:
            return f"{_way(one)}: no usage was said"
    assert whole.usage is not None
    assert stream.usage is not None
    rows = [
        (f"{name}_tokens", getattr(whole.usage, name), getattr(stream.usage, name))
        for name in ("input", "output", "total")
    ]
    return "; ".join(f"{name}: {a} without a stream, {b} in a stream" for name, a, b in rows if a != b)


def _compare_thinking(seen: Seen) -> str:
    if seen.thinking is None:
        return "the gateway does not say what reasoning it applied"
    asked, applied = seen.thinking
    if asked is None or not keeps_thinking(asked, applied):
        return f"reasoning is not kept: {say_thinking(asked, applied)}"
    return ""


# --- when ---


class Schedule:
    """When canaries run: the first time within a minute, then again and again; chance keeps them apart.

    Args:
        draw: Draws numbers in [0, 1).

    """

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._due: dict[CanarySpec, float] = {}

    def configure(self, specs: Sequence[CanarySpec], now: float) -> None:
        """Take other canaries; those that stay keep their time."""
        self._due = {
            spec: self._due[spec] if spec in self._due else now + self._draw() * min(spec.every, _FIRST_WITHIN)
            for spec in specs
        }

    def take_due(self, now: float) -> list[CanarySpec]:
        """Those whose time has come; their next one is set."""
        due = [spec for spec, at in self._due.items() if now >= at]
        for spec in due:
            self._due[spec] = now + spec.every * (1.0 - _SPREAD + 2 * _SPREAD * self._draw())
        return due

    @property
    def next_at(self) -> float:
        """When the next one is due; math.inf for never."""
        return min(self._due.values(), default=math.inf)
