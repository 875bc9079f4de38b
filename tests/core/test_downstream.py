"""The client's side of HTTP, with h11 as the client."""

import gzip
import time
import tracemalloc
from collections.abc import Callable

import h11
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.downstream import REASONS, Downstream, Request
from dragoman.core.errors import BadRequest, ClientError, HeadTooLarge, TooLarge
from dragoman.core.http_heads import HeadReader
from tests.strategies import cuts_of, mutations_of

LIMIT = 1000


def a_downstream(limit: int = LIMIT) -> Downstream:
    return Downstream(HeadReader(), limit)


def read_all(down: Downstream, pieces: list[bytes]) -> list[Request | str]:
    """Every request in `pieces`, each answered at once; what could not be read as the name of its error."""
    out: list[Request | str] = []
    for piece in pieces:
        down.receive_data(piece)
        try:
            while (request := down.next_request()) is not None:
                out.append(request)
                down.start_answer(200, [], length=0)
                down.finish()
        except ClientError as error:
            assert not down.keeps_alive
            return [*out, type(error).__name__]
    return out


def read_one(data: bytes, limit: int = LIMIT) -> Request:
    down = a_downstream(limit)
    down.receive_data(data)
    request = down.next_request()
    assert request is not None
    return request


@given(
    st.lists(
        st.tuples(st.sampled_from([b"/", b"/?key=a"]), st.sampled_from([b"a", b"b"]), st.binary(max_size=12)),
        max_size=8,
    )
)
def test_findings_are_shared_by_heads_that_say_the_same(asked: list[tuple[bytes, bytes, bytes]]) -> None:
    """The same but for the length; and what is said of it then is what each one says, whoever spoke before."""
    down = a_downstream()
    before: Request | None = None
    said: tuple[bytes, bytes] | None = None
    for target, key, body in asked:
        down.receive_data(
            b"POST %b HTTP/1.1\r\nhost: a\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (target, key, len(body), body)
        )
        request = down.next_request()
        assert request is not None
        assert request.fields == {b"host": b"a", b"x-api-key": key}
        assert f"{request.path}{'?' * bool(request.query)}{request.query}" == target.decode()
        assert request.body == body
        if before is not None:
            assert (request.findings is before.findings) == ((target, key) == said)
        before, said = request, (target, key)
        down.start_answer(200, [], length=0)
        down.finish()


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str, bytes]:
    """A request as h11 sends it, its target, its body."""
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]))
    target = draw(st.sampled_from(["/", "/v1/models?key=a%20b", "/%41?", "*"]))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=3))
    framing = draw(st.sampled_from([("transfer-encoding", "chunked"), ("content-length", str(sum(map(len, pieces))))]))
    client = h11.Connection(h11.CLIENT)
    events: list[h11.Event] = [h11.Request(method=method, target=target, headers=[("host", "a"), framing])]
    events += [*(h11.Data(data=piece) for piece in pieces), h11.EndOfMessage()]
    return b"".join(client.send(event) or b"" for event in events), target, b"".join(pieces)


@given(
    data=st.data(),
    sent=st.lists(requests(), min_size=1, max_size=3),
    empty=st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
)
def test_requests_arrive_however_cut_and_in_order(
    data: st.DataObject, sent: list[tuple[bytes, str, bytes]], empty: bytes
) -> None:
    text = b"".join(empty + wire for wire, _, _ in sent)
    expected = [(target.partition("?")[0], target.partition("?")[2], body, len(body)) for _, target, body in sent]
    for pieces in ([text], data.draw(cuts_of(text)), [text[i : i + 1] for i in range(len(text))]):
        read = read_all(a_downstream(), pieces)
        assert [(r.path, r.query, r.body, r.bytes_in) for r in read if isinstance(r, Request)] == expected
        assert len(read) == len(expected)


@given(
    data=st.data(),
    sent=mutations_of(
        st.lists(requests(), min_size=1, max_size=3).map(lambda many: b"".join(wire for wire, _, _ in many))
    ),
)
def test_mutated_requests_come_to_the_same_however_cut(data: st.DataObject, sent: bytes) -> None:
    if sent:
        assert read_all(a_downstream(), data.draw(cuts_of(sent))) == read_all(a_downstream(), [sent])


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=4))
def test_any_bytes_are_refused_in_the_documented_way_only(pieces: list[bytes]) -> None:
    read_all(a_downstream(), pieces)


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\n", b" GET", b"\r\r", b"\x00", b"\xff", b"{", b"1"])
def test_what_is_no_http_is_refused_at_its_first_byte(first: bytes) -> None:
    down = a_downstream()
    down.receive_data(first)
    with pytest.raises(BadRequest, match="not valid HTTP"):
        down.next_request()


SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 33\r\n",
        b"Content-Length: 0x3\r\n",
    ],
)
def test_smuggled_requests_are_not_read(framing: bytes) -> None:
    text = b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n" + b"0\r\n\r\n" + SMUGGLED
    assert read_all(a_downstream(), [text]) == ["BadRequest"]


@pytest.mark.parametrize("end", [b"\n\r\n", b"\n\n"])
def test_chunks_behind_a_bare_line_feed_are_read_as_chunks(end: bytes) -> None:
    text = b"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nTransfer-Encoding: chunked" + end + b"0\r\n\r\n" + SMUGGLED
    assert [r.path for r in read_all(a_downstream(), [text]) if isinstance(r, Request)] == ["/", "/admin"]


def head_of(length: int) -> bytes:
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"y" * (length - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("step", [1000, 10**6])
def test_heads_are_taken_up_to_the_limit(step: int) -> None:
    for length, expected in ((64 * 1024, 1), (64 * 1024 + 1, "HeadTooLarge")):
        text = head_of(length)
        read = read_all(a_downstream(), [text[i : i + step] for i in range(0, length, step)])
        assert (len(read) if isinstance(read[0], Request) else read[0]) == expected
    down = a_downstream()
    down.receive_data(b"G" * 65_537)
    with pytest.raises(HeadTooLarge):
        down.next_request()


def post(body: bytes, *fields: bytes, framing: bytes | None = None) -> bytes:
    framing = b"Content-Length: %d" % len(body) if framing is None else framing
    return b"\r\n".join([b"POST /x HTTP/1.1", b"Host: a", *fields, framing, b"", body])


@pytest.mark.parametrize("step", [1, 10, 10**6])
def test_bodies_are_taken_up_to_the_limit(step: int) -> None:
    for size, expected in ((LIMIT, b"z" * LIMIT), (LIMIT + 1, "TooLarge")):
        body = b"z" * size
        for text in (
            post(body),
            post(b"%x\r\n%b\r\n0\r\n\r\n" % (size, body), framing=b"Transfer-Encoding: chunked"),
            post(b"1\r\nz\r\n" * size + b"0\r\n\r\n", framing=b"Transfer-Encoding: chunked"),
        ):
            read = read_all(a_downstream(), [text[i : i + step] for i in range(0, len(text), step)])
            assert (read[0].body if isinstance(read[0], Request) else read[0]) == expected
    with pytest.raises(TooLarge, match=r"over 1000 bytes.*limits\.body"):
        read_one(post(b"", framing=b"Content-Length: 1001"))


@pytest.mark.parametrize(("coding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstandard.compress)])
def test_compressed_bodies_are_decoded_within_the_limit(coding: bytes, compress: Callable[[bytes], bytes]) -> None:
    name = b"Content-Encoding: " + coding
    sent = compress(b"z" * LIMIT)
    request = read_one(post(sent, name))
    assert (request.body, request.bytes_in) == (b"z" * LIMIT, len(sent))
    with pytest.raises(TooLarge):
        read_one(post(compress(b"z" * (LIMIT + 1)), name))
    with pytest.raises(BadRequest, match="cannot be decoded: cut"):
        read_one(post(sent[:-3], name))
    assert read_one(post(b"", name)).body == b""


def test_codings_are_undone_in_their_order() -> None:
    body = zstandard.compress(gzip.compress(b"hello"))
    assert read_one(post(body, b"Content-Encoding: gzip", b"Content-Encoding: zstd")).body == b"hello"
    assert read_one(post(body, b"Content-Encoding: gzip, zstd")).body == b"hello"
    with pytest.raises(BadRequest, match="'rot13' is not known"):
        read_one(post(body, b"Content-Encoding: rot13"))


def test_small_pieces_cost_no_more_than_their_length() -> None:
    count = 2**15
    down = Downstream(HeadReader(), 2**24)
    down.receive_data(post(b"", framing=b"Content-Length: %d" % (2 * count)))
    tracemalloc.start()
    for index in range(count):
        down.receive_data(b"%02x" % (index % 256))
        assert (down.next_request() is None) is (index < count - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2 * count


def test_large_bodies_cost_no_more_than_their_length() -> None:
    down = Downstream(HeadReader(), 2**26)
    down.receive_data(post(b"", framing=b"Content-Length: %d" % 2**26))
    piece = bytes(2**10)
    began = time.perf_counter()
    for _ in range(2**16 - 1):
        down.receive_data(piece)
        assert down.next_request() is None
    assert time.perf_counter() - began < 3.0
    down.receive_data(piece)
    request = down.next_request()
    assert request is not None
    assert request.body == bytes(2**26)


def test_empty_lines_cost_no_more_than_their_length() -> None:
    down = a_downstream()
    began = time.perf_counter()
    down.receive_data(b"\r\n" * 500_000 + SMUGGLED)
    assert down.next_request() is not None
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b?c=d?e", "/a/b", "c=d?e"),
        (b"http://h/a?b", "/a", "b"),
        (b"HTTPS://u@h:1", "/", ""),
        (b"http://h?key=/v1/models", "/", "key=/v1/models"),
        (b"a?u=http://h/secret", "a", "u=http://h/secret"),
        (b"*", "*", ""),
        (b"/v1/models/a%2Fb", "/v1/models/a%2Fb", ""),
        (b"?a", "/", "a"),
    ],
)
def test_targets(target: bytes, path: str, query: str) -> None:
    request = read_one(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (request.path, request.query) == (path, query)


def test_one_request_at_a_time() -> None:
    down = a_downstream()
    assert (down.has_input, down.is_full) == (False, False)
    down.receive_data(post(b"abc") + SMUGGLED[:10])
    first = down.next_request()
    assert first is not None
    assert down.has_input
    assert down.next_request() is None
    down.receive_data(SMUGGLED[10:] + b"GET")
    assert down.next_request() is None  # the first one is in hand
    fullness = [down.is_full]
    down.receive_data(b"x" * 300_000)
    assert [*fullness, down.is_full] == [False, True]
    down.start_answer(200, [], length=0)
    down.finish()
    second = down.next_request()
    assert second is not None
    assert (first.body, second.path) == (b"abc", "/admin")
    assert down.head is not None
    assert down.head.method == b"GET"


def test_nothing_is_read_after_an_error() -> None:
    down = a_downstream()
    down.receive_data(post(b"x\r\n", framing=b"Transfer-Encoding: chunked") + SMUGGLED)
    with pytest.raises(BadRequest, match="framing is broken: a chunk without a size"):
        down.next_request()
    assert not down.keeps_alive
    assert b"connection: close" in down.start_answer(400, [], length=0)


def test_a_client_that_waits_is_told_to_go_on_once() -> None:
    head = post(b"", b"Expect: 100-continue", framing=b"Content-Length: 3")
    down = a_downstream()
    assert down.take_continue() == b""
    down.receive_data(head)
    assert down.next_request() is None
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(
            method="POST", target="/", headers=[("host", "a"), ("expect", "100-continue"), ("content-length", "3")]
        )
    )
    client.receive_data(down.take_continue())
    assert isinstance(client.next_event(), h11.InformationalResponse)
    assert down.take_continue() == b""
    down.receive_data(b"abc")
    assert down.next_request() is not None
    # who does not wait is not told
    for text in (head + b"a", post(b"", b"Expect: 100-continue")):
        down = a_downstream()
        down.receive_data(text)
        down.next_request()
        assert down.take_continue() == b""
    down = a_downstream()
    for piece in (head, b"a"):
        down.receive_data(piece)
        assert down.next_request() is None
    assert down.take_continue() == b""


@given(
    data=st.data(),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    version=st.sampled_from(["1.1", "1.0"]),
    status=st.sampled_from([*REASONS, 299, 304]),
    pieces=st.lists(st.binary(max_size=30), max_size=4),
    is_stream=st.booleans(),
    close=st.booleans(),
)
def test_answers_are_read_by_h11(
    data: st.DataObject, method: str, version: str, status: int, pieces: list[bytes], is_stream: bool, close: bool
) -> None:
    client = h11.Connection(h11.CLIENT)
    fields = [("host", "a"), ("content-length", "0"), *([("connection", "close")] if close else [])]
    wire = client.send(h11.Request(method=method, target="/", headers=fields)) or b""
    wire += client.send(h11.EndOfMessage()) or b""
    down = a_downstream()
    down.receive_data(wire.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
    request = down.next_request()
    assert request is not None
    assert request.is_http_1_0 is (version == "1.0")
    body = b"".join(pieces)
    answer = down.start_answer(status, [(b"x-a", b"b")], length=None if is_stream else len(body))
    answer += b"".join([down.frame(piece) for piece in pieces]) + down.finish()
    got = []
    for piece in data.draw(cuts_of(answer)):
        client.receive_data(piece)
        while (event := client.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            got.append(event)
            if isinstance(event, h11.EndOfMessage):
                break
    closes = close or version == "1.0"
    if closes:
        client.receive_data(b"")
        got += [event for event in iter(client.next_event, h11.ConnectionClosed()) if isinstance(event, h11.Event)]
    assert isinstance(got[0], h11.Response)
    assert (got[0].status_code, dict(got[0].headers)[b"x-a"]) == (status, b"b")
    has_body = method != "HEAD" and status not in {204, 304}
    assert b"".join(event.data for event in got if isinstance(event, h11.Data)) == (body if has_body else b"")
    assert isinstance(got[-1], h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    assert down.keeps_alive is not closes
    if not closes:
        assert (client.our_state, client.their_state) == (h11.DONE, h11.DONE)


def test_an_error_can_be_told_before_there_is_a_request() -> None:
    down = a_downstream()
    down.keeps_alive = False
    answer = down.start_answer(408, [], length=2) + down.frame(b"hi") + down.finish()
    assert answer == b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
