"""The provider's side of HTTP, with h11 as the provider."""

import gzip
import time
from collections.abc import Callable

import h11
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.errors import UpstreamError
from dragoman.core.http_heads import HeadReader
from dragoman.core.upstream import AnswerTooLong, Upstream, WholeAnswer
from tests.strategies import cuts_of, mutations_of


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same at any time


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzipped,
    "zstd": zstandard.compress,
}


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, bytes, str]:
    """An answer as h11 sends it, its status, its body, how it ends: ``length``, ``chunked`` or ``close``."""
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 429, 503]))
    body = draw(st.binary(max_size=60)) if status not in {204, 304} else b""
    coding = draw(st.sampled_from(sorted(CODERS)))
    end = draw(st.sampled_from(["length", "chunked", "close"]))
    sent = CODERS[coding](body) if body else b""
    fields = [("x-a", "b"), *([("content-encoding", coding)] if coding else [])]
    if end == "length":
        fields.append(("content-length", str(len(sent))))
    server = h11.Connection(h11.SERVER)
    version = b"HTTP/1.0" if end == "close" else b"HTTP/1.1"
    server.receive_data(b"POST / " + version + b"\r\nHost: a\r\n\r\n")
    while (
        server.next_event() is not h11.PAUSED
        and server.their_state is not h11.DONE
        and server.their_state is not h11.MUST_CLOSE
    ):
        pass
    events: list[h11.Event] = []
    if version == b"HTTP/1.1":
        interim = draw(st.sampled_from([[], [100], [103, 102]]))
        events += [h11.InformationalResponse(status_code=code, headers=[]) for code in interim]
    events.append(h11.Response(status_code=status, headers=fields))
    at = draw(st.integers(0, len(sent)))
    events += [h11.Data(data=piece) for piece in (sent[:at], sent[at:]) if piece]
    events.append(h11.EndOfMessage())
    return b"".join(server.send(event) or b"" for event in events), status, body, end


def read_all(pieces: list[bytes], *, close: bool) -> tuple[Upstream, bytes]:
    up = Upstream(HeadReader())
    out = b"".join([up.receive_data(piece) for piece in pieces])
    if close:
        up.receive_end()
    return up, out


@given(data=st.data(), answer=answers())
def test_answers_arrive_however_cut(data: st.DataObject, answer: tuple[bytes, int, bytes, str]) -> None:
    wire, status, body, end = answer
    closes = end == "close" and status not in {204, 304}
    for pieces in ([wire], data.draw(cuts_of(wire)), [wire[i : i + 1] for i in range(len(wire))]):
        up, out = read_all(pieces, close=closes)
        assert up.head is not None
        assert (up.head.status, out, up.is_complete, up.has_begun) == (status, body, True, True)
        assert up.may_be_kept is (end != "close")
        up.receive_end()  # it may close now


@given(answer=answers())
def test_a_cut_answer_is_never_taken_for_a_whole_one(answer: tuple[bytes, int, bytes, str]) -> None:
    wire, _, body, end = answer
    for length in range(1, len(wire)):
        up = Upstream(HeadReader())
        out = up.receive_data(wire[:length])
        if up.is_complete:  # only where nothing but the end of an empty body is missing
            assert out == body
            continue
        try:
            up.receive_end()
        except UpstreamError as error:
            assert error.message.startswith(("closed the connection in the middle", "cut its answer"))  # noqa: PT017
        else:
            assert end == "close"  # and without a coding nobody can tell
            assert body.startswith(out)


@given(
    data=st.data(),
    wire=st.one_of(mutations_of(answers().map(lambda answer: answer[0])), st.binary(min_size=1, max_size=60)),
)
def test_any_answer_is_read_or_refused_however_cut(data: st.DataObject, wire: bytes) -> None:
    results: list[object] = []
    for pieces in ([wire], data.draw(cuts_of(wire))) if wire else ():
        try:
            up, out = read_all(pieces, close=True)
        except UpstreamError as error:
            assert error.status == 502  # noqa: PT017
            results.append(None)
        else:
            results.append((up.head, out, up.is_complete, up.may_be_kept))
    assert results[1:] == results[:1]


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"),
        (b"HTTQ", "not HTTP/1.1"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP/1.1: illegal status line"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "interim heads"),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 17 + OK, "interim heads"),
        (b"HTTP/1.1 200 " + b"a" * 70_000, "head of over 65536 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "contradict"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n", "broken body: a chunk without a size"),
        (
            OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
            "broken body: not what its Content-Encoding says",
        ),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", "broken body: cut before the end"),
        (
            OK + b"Content-Encoding: rot13\r\nContent-Length: 5\r\n\r\nplain",
            "nobody asked for: the content coding 'rot13'",
        ),
    ],
)
def test_broken_answers_are_told_apart(wire: bytes, message: str) -> None:
    with pytest.raises(UpstreamError, match=message):
        Upstream(HeadReader()).receive_data(wire)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 1", "closed the connection in the middle of its head"),
        (b"HTTP/1.1 100 Go on\r\n\r\n", "closed the connection in the middle of its head"),
        (OK + b"Content-Length: 3\r\n\r\nab", "cut its answer: closed 1 bytes before"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", "cut its answer: closed before the last chunk"),
        (
            OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"abc", mtime=0)[:-1],
            "cut its answer: cut before the end",
        ),
    ],
)
def test_answers_that_end_too_early(wire: bytes, message: str) -> None:
    up = Upstream(HeadReader())
    if wire:
        up.receive_data(wire)
    with pytest.raises(UpstreamError, match=message):
        up.receive_end()
    assert not up.is_complete
    assert not up.may_be_kept


@pytest.mark.parametrize(
    ("wire", "kept"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", True),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (OK + b"Content-Length: 2\r\n\r\nok?", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", False),  # it has no body, whatever it says
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nContent-Encoding: gzip\r\n\r\n", True),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n0\r\n\r\n", True),
        (OK + b"Content-Length: 3\r\n\r\nok", False),
        (OK + b"\r\nok", False),
    ],
)
def test_only_sound_connections_are_kept(wire: bytes, kept: bool) -> None:
    up = Upstream(HeadReader())
    up.receive_data(wire)
    assert up.may_be_kept is kept
    assert not Upstream(HeadReader()).may_be_kept


def test_what_comes_late_is_no_part_of_the_answer() -> None:
    up = Upstream(HeadReader())
    assert up.receive_data(OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n") == b""
    sent = gzip.compress(b"hello", mtime=0)
    assert up.receive_data(b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)) == b"hello"
    assert up.may_be_kept
    assert up.receive_data(b"HTTP/1.1 408 Bye\r\n\r\n") == b""
    assert not up.may_be_kept


def test_codings_in_several_lines_are_undone_in_their_order() -> None:
    sent = zstandard.compress(gzip.compress(b"hello", mtime=0))
    fields = b"Content-Encoding: gzip\r\nContent-Encoding: zstd\r\n"
    assert read_all([OK + fields + b"\r\n" + sent], close=True)[1] == b"hello"


def test_small_pieces_cost_no_more_than_their_length() -> None:
    up = Upstream(HeadReader())
    up.receive_data(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    began = time.perf_counter()
    for _ in range(100_000):
        assert up.receive_data(b"1\r\na\r\n") == b"a"
    assert time.perf_counter() - began < 3.0


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


@given(st.integers(0, len(HEAD) + 4), st.integers(0, len(HEAD) + 4))
def test_a_whole_answer_is_the_same_however_it_is_cut(one: int, other: int) -> None:
    data = HEAD + b"body"
    answer = WholeAnswer(HeadReader(), 4)
    cuts = sorted((one, other))
    pieces = [piece for piece in (data[: cuts[0]], data[cuts[0] : cuts[1]], data[cuts[1] :]) if piece]
    *before, last = [answer.take(piece) for piece in pieces]
    assert before == [None] * len(before)
    assert last is not None
    assert (last[0].status, last[1]) == (200, b"body")
    assert answer.may_be_kept


def test_a_whole_answer_has_a_limit_and_an_end() -> None:
    with pytest.raises(AnswerTooLong):
        WholeAnswer(HeadReader(), 3).take(HEAD + b"body")
    answer = WholeAnswer(HeadReader(), 4)
    assert answer.take(HEAD + b"bo") is None
    with pytest.raises(UpstreamError):
        answer.take(b"")
