"""What canaries send is a request of their dialect; how they are judged; when they run."""

import itertools
import json
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.canary_specs import KINDS, CanarySpec
from dragoman.core.chat.blocks import Inline, Media, ToolResult
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import DIALECTS
from dragoman.core.endpoints import find_endpoint
from dragoman.core.operations.canaries import Schedule, Seen, judge, read_answer, requests_of
from dragoman.core.thinking import read_thinking, say_thinking

SPOKEN = ("openai_chat", "openai_responses", "claude", "gemini")
PLAIN = CanarySpec("c", "m")
PARITY, IMAGE, THINKING = (attrs.evolve(PLAIN, kind=kind) for kind in ("usage_parity", "tool_result_image", "thinking"))
HIGH = Thinking("level", level="high")


@pytest.mark.parametrize(("kind", "dialect"), [*itertools.product(KINDS, SPOKEN)])
def test_requests_of_each_kind_in_each_dialect(kind: str, dialect: str) -> None:
    """They are what a client would send: at an endpoint of the dialect, and read by it."""
    spec = CanarySpec("c", "acme/my model", kind, dialect, stream=kind == "plain")
    requests = requests_of(spec)
    assert [request.streams for request in requests] == list(spec.ways)
    for request in requests:
        path = request.path.partition("?")[0]
        endpoint = find_endpoint("POST", path)
        assert endpoint.dialect == dialect
        asked, _ = DIALECTS[dialect].parse_request(request.body, model=endpoint.model or None, stream=endpoint.streams)
        assert (asked.model, asked.stream) == ("acme/my model", request.streams)
        assert dict(request.fields)["content-type"] == "application/json"
        if kind == "thinking":
            assert asked.thinking is not None
            assert asked.thinking.mode in ("level", "budget")
            assert dict(request.fields)["x-dragoman-thinking"] == "1"
        if kind == "tool_result_image":
            blocks = [
                b
                for m in asked.messages
                for block in m.content
                for b in (block.content if isinstance(block, ToolResult) else [block])
            ]
            (picture,) = [block for block in blocks if isinstance(block, Media)]
            assert isinstance(picture.source, Inline)
            assert picture.source.data.startswith("iVBORw0KGgo")


def test_a_prompt_of_ones_own() -> None:
    assert b"say pong" in requests_of(attrs.evolve(PLAIN, prompt="say pong"))[0].body
    assert b"say pong" in requests_of(attrs.evolve(IMAGE, prompt="say pong"))[0].body


# --- reading ---

CHAT = {"id": "a", "model": "m", "object": "chat.completion", "created": 1}
GOOD = {**CHAT, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Pong"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}  # fmt: skip
EMPTY = {**CHAT, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": " "}}]}
CALL = {"id": "x", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLS = {
    **CHAT,
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [CALL]}}],
}


def read(body: object, *, status: int = 200, streams: bool = False, **fields: str) -> Seen:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(PLAIN, streams, status, {name.replace("_", "-"): value for name, value in fields.items()}, data)


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    return b"data: " + json.dumps({**CHAT, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"  # fmt: skip


def test_a_whole_answer() -> None:
    said = read(GOOD, x_dragoman_thinking="asked=level:high, applied=none")
    assert said == Seen(False, 200, "", "Pong", "end", TokenUsage(3, 2), (HIGH, None))


def test_a_stream() -> None:
    said = read(event({"content": "Pong"}) + event({}, "stop") + b"data: [DONE]\n\n", streams=True)
    assert said == Seen(True, 200, "", "Pong", "end")


@pytest.mark.parametrize(
    ("body", "status", "streams", "problem"),
    [
        (EMPTY, 200, False, "the answer is empty"),
        (CALLS, 200, False, ""),
        (b"<html>", 200, False, "the answer is none"),
        (event({"content": "Po"}), 200, True, "the answer failed (truncated)"),
        ({"error": {"message": "bad key sk-5ecret", "type": "x"}}, 401, False, "answered 401 (auth)"),
        (b"", 502, True, "answered 502"),
    ],
)
def test_what_is_wrong_is_said_without_the_answers_words(
    body: object, status: int, streams: bool, problem: str
) -> None:
    seen = read(body, status=status, streams=streams)
    assert seen.problem.startswith(problem)
    assert bool(seen.problem) == bool(problem)
    assert "5ecret" not in seen.problem


# --- judging ---

A = Seen(False, 200, "", "pong", "end", TokenUsage(3, 2))
B = attrs.evolve(A, streams=True)


@pytest.mark.parametrize(
    ("spec", "seen", "difference"),
    [
        (PLAIN, [A], ""),
        (PLAIN, [attrs.evolve(A, problem="no")], "without a stream: no"),
        (attrs.evolve(PLAIN, expect="PONG"), [A], ""),
        (attrs.evolve(PLAIN, expect="ping"), [A], "without a stream: the answer does not contain 'ping'"),
        (PARITY, [A, B], ""),
        (PARITY, [A], "not everything was asked"),
        (PARITY, [A, attrs.evolve(B, usage=None)], "in a stream: no usage was said"),
        (
            PARITY,
            [A, attrs.evolve(B, usage=TokenUsage(3, 4))],
            "output_tokens: 2 without a stream, 4 in a stream; total_tokens: 5 without a stream, 7 in a stream",
        ),
        (IMAGE, [A, B], ""),
        (IMAGE, [A, attrs.evolve(B, finish="tool")], "it ended with end without a stream, with tool in a stream"),
        (IMAGE, [A, attrs.evolve(B, finish="")], "it ended with end without a stream, with nothing in a stream"),
        (THINKING, [A], "the gateway does not say what reasoning it applied"),
        (THINKING, [attrs.evolve(A, thinking=(HIGH, HIGH))], ""),
        (THINKING, [attrs.evolve(A, thinking=(HIGH, Thinking("budget", budget=24576)))], ""),
        (THINKING, [attrs.evolve(A, thinking=(HIGH, None))], "reasoning is not kept: asked=level:high, applied=none"),
        (THINKING, [attrs.evolve(A, thinking=(None, None))], "reasoning is not kept: asked=none, applied=none"),
    ],
)
def test_verdicts(spec: CanarySpec, seen: list[Seen], difference: str) -> None:
    verdict = judge(spec, seen)
    assert verdict.difference == difference
    assert verdict.is_good == (not difference)


def test_a_verdict_counts_all_tokens_and_tells_the_worst_status() -> None:
    verdict = judge(PARITY, [A, Seen(True, 429, "answered 429 (rate_limit)")])
    assert (verdict.status, verdict.usage.total) == (429, 5)
    assert judge(PLAIN, []).difference == "not everything was asked"


# --- the header ---

ANY = st.one_of(
    st.none(),
    st.sampled_from([Thinking("off"), Thinking("auto"), HIGH, Thinking("level", level="max")]),
    st.builds(lambda n: Thinking("budget", budget=n), st.integers(0, 10**8)),
)


@given(ANY, ANY)
def test_what_is_said_of_reasoning_is_read(asked: Thinking | None, applied: Thinking | None) -> None:
    assert read_thinking(say_thinking(asked, applied)) == (asked, applied)


@pytest.mark.parametrize("text", ["", "asked=off", "asked=off, applied=off, more=1", "nonsense"])
def test_what_is_no_such_header(text: str) -> None:
    assert read_thinking(text) is None


def test_what_nobody_knows_is_nothing() -> None:
    assert read_thinking("asked=level:high, applied=budget:many") == (HIGH, None)
    assert say_thinking(Thinking(show="auto"), Thinking("auto")) == "asked=none, applied=auto"


# --- when ---


@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=20), st.floats(10.0, 5000.0))
def test_they_run_within_a_minute_then_every_so_often(draws: list[float], every: float) -> None:
    spec = attrs.evolve(PLAIN, every=every)
    drawn = itertools.cycle(draws)
    schedule = Schedule(lambda: next(drawn))
    schedule.configure([spec], 1000.0)
    assert 1000.0 <= schedule.next_at < 1000.0 + min(every, 60.0)
    assert schedule.take_due(999.0) == []
    at = schedule.next_at
    for _ in range(5):
        assert schedule.take_due(at) == [spec]
        assert 0.9 * every <= schedule.next_at - at + 1e-6 <= 1.1 * every + 2e-6
        at = schedule.next_at


def test_they_do_not_all_run_at_once() -> None:
    draws = itertools.cycle([0.1, 0.5, 0.9])
    schedule = Schedule(lambda: next(draws))
    specs = [attrs.evolve(PLAIN, name=name) for name in "abc"]
    schedule.configure(specs, 0.0)
    assert [spec.name for spec in schedule.take_due(6.0)] == ["a"]
    assert [spec.name for spec in schedule.take_due(54.0)] == ["b", "c"]
    before = schedule.next_at
    schedule.configure(specs[:1], 60.0)
    assert schedule.next_at == before  # it keeps its time
    schedule.configure([], 60.0)
    assert schedule.next_at == math.inf
