"""Event streams: the standard's rules, whatever the cuts."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.core.errors import BadStream
from dragoman.core.sse import EventReader, ServerSentEvent, WholeEvents, write_comment, write_event
from tests.strategies import cuts_of

FIELDS = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"unknown"])
VALUES = st.one_of(
    st.sampled_from(
        [b"", b" x", b"{}", b" [DONE]", b"12", b"\0", b":", "\u2028é".encode(), b"\x85", b"\x0b\x0c", b"\xff"]
    ),
    st.binary(max_size=6).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")),
)
LINES = st.one_of(st.builds(lambda f, v: f + b":" + v, FIELDS, VALUES), FIELDS, st.just(b""), st.just(b""))
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=12).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def by_the_book(data: bytes) -> list[ServerSentEvent]:
    """The standard's algorithm, line by line, with our one deviation: the end of the stream dispatches."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[ServerSentEvent] = []
    found: list[bytes] = []
    event, ident = b"", b""
    retry: int | None = None
    for line in [*data.split(b"\n"), b"", b""]:
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if not line:
            if found:
                events.append(ServerSentEvent(b"\n".join(found), event, ident, retry))
            found, event, ident, retry = [], b"", b"", None
        elif field == b"data":
            found.append(value)
        elif field == b"event":
            event = value
        elif field == b"id" and b"\0" not in value:
            ident = value
        elif field == b"retry" and value.isdigit() and len(value) < 10:
            retry = int(value)
    return events


@given(st.data(), STREAMS, st.booleans())
@example(None, b"data: a\r\n\r\ndata: b\r\n\r\n", False)
@example(None, b"\n\n\ndata: a\n\n\n\ndata: b", True)
def test_any_cut_reads_as_the_book_says(data: st.DataObject | None, stream: bytes, bom: bool) -> None:
    stream = b"\xef\xbb\xbf" * bom + stream
    pieces = data.draw(cuts_of(stream)) if data else [stream[i : i + 1] for i in range(len(stream))]
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert events + reader.close() == by_the_book(stream)


def test_events_come_as_soon_as_they_are_complete() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r\n\r") == [ServerSentEvent(b"a")]
    assert reader.feed(b"\ndata: b\n\n") == [ServerSentEvent(b"b")]
    assert reader.feed(b"") == []
    assert reader.close() == []


def test_the_rarer_fields() -> None:
    event = b"id: 7\nid: a\0b\nretry: 10\nretry: soon\nevent: x\ndata\ndata: y\n\n"
    assert EventReader().feed(event) == [ServerSentEvent(b"\ny", b"x", b"7", 10)]


@given(st.data())
def test_only_whole_events_pass(data: st.DataObject) -> None:
    end = data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    stream = b"".join(b"data: %d%b" % (n, end) for n in range(data.draw(st.integers(1, 4)))) + b"data: rest"
    whole, out = WholeEvents(), b""
    for piece in data.draw(cuts_of(stream)):
        out += whole.feed(piece, passes=True)
        assert not out or out.endswith((b"\n\n", b"\r\r", b"\n\r\n"))
    assert stream.startswith(out)
    assert out + whole.rest() == stream
    assert len(out) >= len(stream) - len(b"data: 0\r\n\r\ndata: rest")


def test_nothing_passes_before_it_may() -> None:
    whole = WholeEvents()
    assert whole.feed(b"data: a\n\n", passes=False) == b""
    assert whole.feed(b"data: b\n\nda", passes=True) == b"data: a\n\ndata: b\n\n"
    assert whole.rest() == b"da"
    assert whole.feed(b"data: c\n\n", passes=True) == b"data: c\n\n"
    assert whole.rest() == b""


def test_a_name_may_come_before_anything() -> None:
    """What follows the name of an event need not be one line of data."""
    stream = b"event: a\ndata: 1\n\nevent: b\ndata: 1\ndata: 2\n\nevent: c\nid: 7\ndata: 3\n\n"
    found = EventReader().feed(stream)
    assert [(event.event, event.data) for event in found] == [(b"a", b"1"), (b"b", b"1\n2"), (b"c", b"3")]


def test_an_array_is_no_stream_of_events() -> None:
    whole = WholeEvents()
    assert whole.feed(b"[{}", passes=True) == b"[{}"
    assert whole.feed(b",{}", passes=True) == b",{}"


def test_half_a_bom_is_not_one() -> None:
    reader = EventReader()
    assert reader.feed(b"\xef") == reader.feed(b"\xbb") == []
    assert reader.feed(b"data: a\n\n") == []  # the two bytes belong to the name of the first field
    assert reader.feed(b"data: b\n\n") == [ServerSentEvent(b"b")]


def test_too_large_an_event_is_the_streams_fault() -> None:
    reader = EventReader(max_event=10)
    assert len(reader.feed(b"data: 1\n\n" * 9)) == 9
    reader.feed(b"data: ")
    with pytest.raises(BadStream, match="larger than 10 bytes"):
        reader.feed(b"12345")


@given(st.binary(max_size=20), st.sampled_from([b"", b"ping", b"message_start"]))
def test_what_is_written_is_read(data: bytes, event: bytes) -> None:
    wire = write_event(data, event) + write_comment(b"still\nhere")
    expected = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert EventReader().feed(wire) == [ServerSentEvent(expected, event)]


def test_a_text_of_several_lines_is_several_fields() -> None:
    assert write_event(b"a\r\nb\rc\nd", b"e") == b"event: e\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    assert write_event(b"a\nb") == b"data: a\ndata: b\n\n"
