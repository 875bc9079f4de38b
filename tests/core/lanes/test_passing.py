"""Responses' streams that pass: their usage is said where one filter for all of OpenAI's streams finds it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.fault import Fault
from dragoman.core.lanes.flow import TranslatedFlow
from dragoman.core.lanes.passing import ResponsesFlow, usage_on_top
from dragoman.core.translate import StreamTranslator

USAGE = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}


def event(kind: str, **more: Any) -> bytes:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


CREATED = event("response.created", response={"id": "r", "status": "in_progress", "output": [], "usage": None})
DELTA = event(
    "response.output_text.delta", delta='say "response.completed"', item_id="m", output_index=0, content_index=0
)
DONE = event("response.completed", response={"id": "r", "status": "completed", "output": [], "usage": USAGE})


def flow() -> ResponsesFlow:
    """A stream that passes."""
    return ResponsesFlow(TranslatedFlow(StreamTranslator("openai_responses", "openai_responses")))


@given(st.sets(st.integers(0, len(CREATED + DELTA + DONE))))
def test_usage_is_said_twice_wherever_the_stream_is_cut(cuts: set[int]) -> None:
    data, passing = CREATED + DELTA + DONE, flow()
    edges = [0, *sorted(cuts), len(data)]
    out = b"".join(passing.feed(data[a:b]) for a, b in itertools.pairwise(edges)) + passing.end()
    assert out.startswith(CREATED + DELTA)
    last = json.loads(out[len(CREATED + DELTA) :].partition(b"data: ")[2])
    assert last.pop("usage") == last["response"]["usage"] == USAGE
    assert last == json.loads(DONE.partition(b"data: ")[2])
    assert passing.fault is None
    assert passing.usage is not None
    assert passing.usage.total == 3


def test_an_end_without_its_blank_line() -> None:
    passing = flow()
    passing.feed(CREATED + DELTA)
    assert b'"usage":{' in passing.feed(DONE[:-2]) + passing.end()


@given(st.integers(1, 40), st.booleans())
def test_an_end_of_ours_goes_on_counting(count: int, is_cut: bool) -> None:
    passing, numbers = flow(), iter(range(count + 2))
    passing.feed(CREATED.replace(b'{"type"', b'{"sequence_number": %d, "type"' % next(numbers)))
    for _ in range(count):
        passing.feed(DELTA.replace(b'{"type"', b'{"sequence_number": %d, "type"' % next(numbers)))
    end = passing.end() if is_cut else passing.fail(Fault("internal", 'gone "sequence_number":9'))
    events = [json.loads(line[6:]) for line in end.splitlines() if line.startswith(b"data: ")]
    assert [event["sequence_number"] for event in events] == list(range(count + 1, count + 1 + len(events)))
    assert events[0]["type"] == "response.failed"
    assert passing.fault is not None


@pytest.mark.parametrize(
    "data",
    [
        CREATED,
        DELTA,
        event("response.completed", response={"usage": None}),
        event("response.completed", response={}),
        event("response.completed", response={"usage": USAGE}, usage=USAGE),
        event("response.failed", response={"usage": USAGE, "note": "response.completed"}),
        b'data: {"type":"response.completed","response":\n\n',
        b'data: "response.incomplete"\n\n',
    ],
)
def test_all_else_stays_as_it_is(data: bytes) -> None:
    assert usage_on_top(data) == data


def test_a_failure_is_told() -> None:
    passing = flow()
    passing.feed(CREATED + DELTA)
    assert b"gone" in passing.fail(Fault("internal", "gone"))
    failed = event("response.failed", response={"status": "failed", "error": {"code": "server_error", "message": "x"}})
    other = flow()
    other.feed(CREATED + DELTA)
    assert failed in other.feed(failed)
    assert other.fault is not None
