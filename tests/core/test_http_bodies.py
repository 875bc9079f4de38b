"""Bodies: chunks as h11 reads them, lengths to the byte, ends where they are."""

import time

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.http_bodies import LAST_CHUNK, BodyError, BodyReader, ChunkedBody, LengthBody, UntilCloseBody, chunk
from tests.strategies import cuts_of, mutations_of


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """Bodies in chunks, with extensions, trailers, leading zeros, blanks, and something behind their end."""
    extension = st.sampled_from([b"", b"", b";a", b";a=b;c", b" ", b"\t ", b"; a \xff"])
    pieces = draw(
        st.lists(
            st.tuples(st.binary(min_size=1, max_size=20), extension, st.sampled_from([b"%x", b"%X", b"0%x"])),
            max_size=5,
        )
    )
    out = [form % len(data) + ext + b"\r\n" + data + b"\r\n" for data, ext, form in pieces]
    trailer = st.sampled_from([b"X: y\r\n", b"a:\r\n", b"Date: \xff z\r\n"])
    out.append(b"0" + draw(extension) + b"\r\n" + b"".join(draw(st.lists(trailer, max_size=2))) + b"\r\n")
    return b"".join(out) + draw(st.sampled_from([b"", b"G", b"GET / HTTP/1.1\r\n\r\n", b"\r\n"]))


def read_all(body: BodyReader, pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
    """What a reader makes of pieces: the body, whether it ended, the rest; None when it refuses it."""
    try:
        out = b"".join([body.feed(piece) for piece in pieces])
    except BodyError:
        return None
    return out, body.is_complete, body.rest


def judge_chunks(data: bytes) -> tuple[bytes, bool, bytes] | None:
    """What h11's reader makes of it."""
    judge = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    judge.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    out = []
    while True:
        try:
            event = judge.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(event, h11.Data):
            out.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return b"".join(out), True, judge.trailing_data[0]
        elif event is h11.NEED_DATA:
            return b"".join(out), False, b""


@given(data=st.data(), body=chunked_bodies())
def test_chunks_are_read_as_h11_reads_them_however_cut(data: st.DataObject, body: bytes) -> None:
    expected = judge_chunks(body)
    assert expected is not None
    assert expected[1]
    assert read_all(ChunkedBody(), data.draw(cuts_of(body))) == expected
    assert read_all(ChunkedBody(), [body[i : i + 1] for i in range(len(body))]) == expected


@given(data=st.data(), body=mutations_of(chunked_bodies()))
def test_what_is_accepted_h11_accepts_with_the_same_result(data: st.DataObject, body: bytes) -> None:
    read = read_all(ChunkedBody(), [body])
    if read is not None and read[1]:  # an incomplete one may yet be refused
        assert read == judge_chunks(body)
    cut = read_all(ChunkedBody(), data.draw(cuts_of(body)))
    assert cut == read


@given(pieces=st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_refused_in_the_documented_way_only(pieces: list[bytes]) -> None:
    read_all(ChunkedBody(), pieces)


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3 ;a\r\nabc\r\n",
        b"00000000000000003\r\n",  # 17 digits; h11 takes 20
        b"3;a\x01\r\nabc\r\n",  # h11 takes it
        b"3;a\nabc\r\n" + b"y" * 5000,
        b"3\r\nabcd\r\n",
        b"3\r\nabc\rd",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n\r\n",  # h11 takes it
        b"0\r\nContent-Length: 3\r\n\r\n",  # h11 takes it
        b"0\r\nTransfer-encoding: chunked\r\n\r\n",  # h11 takes it
        b"0\r\n\nGET / HTTP/1.1\r\n",  # h11 takes it
    ],
)
def test_broken_chunks_are_refused(body: bytes) -> None:
    assert read_all(ChunkedBody(), [body]) is None
    assert read_all(ChunkedBody(), [body[i : i + 1] for i in range(len(body))]) is None


@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_size_lines_are_bounded_however_cut(step: int) -> None:
    fits = b"1;" + b"a" * 4094 + b"\r\nx\r\n0\r\n\r\n"
    over = b"1;" + b"a" * 4095 + b"\r\nx\r\n0\r\n\r\n"
    assert read_all(ChunkedBody(), [fits[i : i + step] for i in range(0, len(fits), step)]) == (b"x", True, b"")
    assert read_all(ChunkedBody(), [over[i : i + step] for i in range(0, len(over), step)]) is None


@pytest.mark.parametrize("step", [1, 7, 10**6])
@pytest.mark.parametrize("length", [64, 16 * 1024])
def test_trailers_are_bounded_in_all_however_cut(step: int, length: int) -> None:
    line = b"X:" + b"a" * (length - 2) + b"\r\n"
    fits = b"0\r\n" + line * (16 * 1024 // length) + b"\r\n"
    over = b"0\r\n" + line * (16 * 1024 // length) + b"Y:\r\n\r\n"
    assert read_all(ChunkedBody(), [fits[i : i + step] for i in range(0, len(fits), step)]) == (b"", True, b"")
    assert read_all(ChunkedBody(), [over[i : i + step] for i in range(0, len(over), step)]) is None


def test_blanks_cost_no_more_than_their_length() -> None:
    began = time.perf_counter()
    assert read_all(ChunkedBody(), [b"3;" + b" " * 4090 + b"\x01\r\n"]) is None
    assert read_all(ChunkedBody(), [b"3" + b" " * 4090 + b"\x01\r\n"]) is None
    assert read_all(ChunkedBody(), [b"3;" + b" " * 10_000_000 + b"\x01\r\n"]) is None
    assert time.perf_counter() - began < 0.5


def test_many_small_chunks_cost_no_more_than_their_length() -> None:
    body = ChunkedBody()
    data = b"1\r\na\r\n" * 200_000
    began = time.perf_counter()
    assert body.feed(data) == b"a" * 200_000
    assert time.perf_counter() - began < 5.0


@given(data=st.data(), body=st.binary(max_size=40), rest=st.binary(max_size=10))
def test_lengths_are_kept_to_the_byte(data: st.DataObject, body: bytes, rest: bytes) -> None:
    reader = LengthBody(len(body))
    pieces = data.draw(cuts_of(body + rest)) if body + rest else []
    assert read_all(reader, pieces) == (body, True, rest)
    reader.end()
    short = LengthBody(len(body) + 3)
    assert read_all(short, data.draw(cuts_of(body)) if body else []) == (body, False, b"")
    with pytest.raises(BodyError, match="3 bytes before the end"):
        short.end()


@given(pieces=st.lists(st.binary(min_size=1), max_size=5))
def test_what_ends_by_closing_ends_by_closing(pieces: list[bytes]) -> None:
    reader = UntilCloseBody()
    assert read_all(reader, pieces) == (b"".join(pieces), False, b"")
    reader.end()
    assert reader.is_complete


@given(pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_chunks_are_read_as_they_were_written(pieces: list[bytes]) -> None:
    written = b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK
    assert judge_chunks(written) == (b"".join(pieces), True, b"")
    reader = ChunkedBody()
    assert read_all(reader, [written, b"more"]) == (b"".join(pieces), True, b"more")
    reader.end()


def test_a_cut_body_is_noticed() -> None:
    reader = ChunkedBody()
    reader.feed(b"3\r\nabc\r\n0\r\n")
    with pytest.raises(BodyError, match="before the last chunk"):
        reader.end()
