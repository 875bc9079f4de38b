"""Gemini's streams as one array."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.fault import TRUNCATED
from dragoman.core.lanes.array import ArrayFlow
from dragoman.core.lanes.flow import TranslatedFlow
from dragoman.core.sse import EventReader
from dragoman.core.translate import StreamTranslator
from tests.core.lanes.test_lanes import DATA
from tests.strategies import cuts_of

STREAMS = sorted(DATA.glob("gemini.stream.*.sse"))


def passing() -> TranslatedFlow:
    """A stream of Gemini's for a client of Gemini's."""
    return TranslatedFlow(StreamTranslator("gemini", "gemini"))


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
@given(data=st.data(), share=st.floats(0, 1))
def test_an_array_says_what_the_events_say(path: Path, data: st.DataObject, share: float) -> None:
    """However the stream is cut, and wherever it is cut short."""
    whole = path.read_bytes()
    stream = whole[: int(len(whole) * share)]
    events, array = passing(), ArrayFlow(passing())
    said = events.feed(stream) + events.end()
    out = b"".join(map(array.feed, data.draw(cuts_of(stream)))) + array.end()
    reader = EventReader()
    expected = [json.loads(event.data) for event in reader.feed(said)]
    with contextlib.suppress(ValueError):  # half an event is no element
        expected += [json.loads(event.data) for event in reader.close()]
    assert (json.loads(out) if out else []) == expected
    assert (array.usage, array.losses, array.fault) == (events.usage, events.losses, events.fault)


def test_an_array_that_fails_before_its_first_element() -> None:
    assert "error" in json.loads(ArrayFlow(passing()).fail(TRUNCATED))[0]


@pytest.mark.parametrize(("last", "count"), [(b'data: {"usageMetadata":{}}', 2), (b'data: {"usageMetadata":{', 1)])
def test_an_event_without_its_end(last: bytes, count: int) -> None:
    """It is taken if it is whole but for its blank line; half of it would break the array."""
    first = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}\n\n'
    array = ArrayFlow(passing())
    assert len(json.loads(array.feed(first + last) + array.end())) == count
