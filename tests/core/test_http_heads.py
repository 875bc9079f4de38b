"""Heads: the memo's way and h11's way come to the same."""

import contextlib
import time

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.errors import BadRequest, ClientError, HeadTooLarge, UpstreamError
from dragoman.core.http_heads import HeadReader, RepeatedHeads, RequestHead, ResponseHead, end_of_head
from tests.strategies import mutations_of, request_heads, response_heads

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def first_head(data: bytes) -> bytes:
    """What `end_of_head` makes of `data`, made complete if need be: what the reader is given."""
    return data[: end_of_head(data)] if end_of_head(data) else data + b"\r\n\r\n"


def lives_on(event: h11.Request | h11.Response | h11.InformationalResponse) -> bool:
    """What h11 concludes about keep-alive (it keeps that to itself)."""
    said = b",".join(value.lower() for name, value in event.headers if name == b"connection")
    return event.http_version >= b"1.1" and b"close" not in [token.strip() for token in said.split(b",")]


def judge_request(head: bytes) -> RequestHead | None:
    """What h11 makes of the head of a request; None when it refuses it."""
    judge = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    judge.receive_data(head)
    try:
        event = judge.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request)
    if not event.http_version.startswith(b"1."):  # ours to refuse: h11 knows no other and looks no closer
        return None
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    framing = dict(fields)
    return RequestHead(
        method=bytes(event.method),
        target=bytes(event.target),
        is_http_1_0=event.http_version < b"1.1",
        fields=fields,
        content_length=int(framing.get(b"content-length", 0)),
        is_chunked=b"transfer-encoding" in framing,
        keeps_alive=lives_on(event),
        expects_continue=judge.they_are_waiting_for_100_continue,
    )


def judge_response(head: bytes) -> ResponseHead | None:
    """What h11 makes of the head of an answer; None when it refuses it."""
    judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    judge.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(head)
    try:
        event = judge.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    framing = dict(fields)
    length = framing.get(b"content-length")
    return ResponseHead(
        status=event.status_code,
        fields=fields,
        by_name=dict(fields),
        content_length=int(length) if length is not None else None,
        is_chunked=b"transfer-encoding" in framing,
        keeps_alive=lives_on(event),
    )


def contradicts(head: bytes, judged: RequestHead | ResponseHead) -> bool:
    """Whether a head that h11 takes is one of those that we refuse besides."""
    is_1_0 = b"HTTP/0." in head.partition(b"\n")[0] or b"HTTP/1.0" in head.partition(b"\n")[0]
    return judged.is_chunked and (is_1_0 or any(name == b"content-length" for name, _ in judged.fields))


@given(head=st.one_of(request_heads(), mutations_of(request_heads())).map(first_head))
def test_requests_are_read_as_h11_reads_them(head: bytes) -> None:
    reader = HeadReader()
    judged = judge_request(head)
    for _ in range(2):  # with the memo cold, then warm
        try:
            read = reader.read_request(head)
        except BadRequest:
            assert judged is None or contradicts(head, judged)
        else:
            assert read == judged
            assert not contradicts(head, read)


@given(head=st.one_of(response_heads(), mutations_of(response_heads())).map(first_head))
def test_answers_are_read_as_h11_reads_them(head: bytes) -> None:
    reader = HeadReader()
    judged = judge_response(head)
    for _ in range(2):
        try:
            read = reader.read_response(head)
        except UpstreamError:
            assert judged is None or contradicts(head, judged) or b" 101" in head
        else:
            assert read == judged or read.status == 101
            assert not contradicts(head, read)


@given(head=st.binary(max_size=200))
def test_any_bytes_are_refused_in_the_documented_way_only(head: bytes) -> None:
    with contextlib.suppress(BadRequest):
        HeadReader().read_request(head)
    with contextlib.suppress(UpstreamError):
        HeadReader().read_response(head)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "contradict"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\nX: \x01\r\n", "contradict"),  # by way of h11
        (b"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked is supported"),
        (b"Transfer-Encoding : chunked\r\n", "illegal header line"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", "conflicting Content-Length"),
        (b"Content-Length: -3\r\n", "bad Content-Length"),
        (b"Content-Length: 123456789012345678901\r\n", "bad Content-Length"),
        (b"X: a\rb\r\n", "control character"),
        (b"Host: b\r\n", "multiple Host"),
    ],
)
def test_smuggling_is_refused(tail: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        HeadReader().read_request(GET + tail + b"\r\n")
    if b"Host" not in tail:
        with pytest.raises(UpstreamError):
            HeadReader().read_response(OK + tail + b"\r\n")


@pytest.mark.parametrize("line", [b"PRI * HTTP/2.0", b"GET / HTTP/9.9", b"GET / HTTP/0.9"])
def test_another_major_version_is_refused(line: bytes) -> None:
    with pytest.raises(BadRequest, match=r"not valid HTTP/1\.1"):
        HeadReader().read_request(line + b"\r\nHost: a\r\n\r\n")
    assert not HeadReader().read_request(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n").is_http_1_0


def test_chunks_in_http_1_0_are_refused() -> None:
    with pytest.raises(BadRequest, match="contradict"):
        HeadReader().read_request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(UpstreamError, match="contradict"):
        HeadReader().read_response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize("end", [b"\n\r\n", b"\n\n"])
def test_no_line_is_lost_before_a_bare_line_feed(end: bytes) -> None:
    """Or the framing of one server would not be the framing of the next."""
    head = HeadReader().read_request(GET + b"A: b\r\nTransfer-Encoding: chunked" + end)
    assert head.is_chunked
    assert [name for name, _ in head.fields] == [b"host", b"a", b"transfer-encoding"]
    assert HeadReader().read_response(OK + b"A: b\r\nTransfer-Encoding: chunked" + end).is_chunked


def test_the_limit_is_exact() -> None:
    head = GET + b"\r\n"
    assert HeadReader(len(head)).read_request(head).target == b"/"
    with pytest.raises(HeadTooLarge, match=f"over {len(head) - 1} bytes"):
        HeadReader(len(head) - 1).read_request(head)
    answer = OK + b"\r\n"
    assert HeadReader(len(answer)).read_response(answer).status == 200
    with pytest.raises(UpstreamError, match="over 18 bytes"):
        HeadReader(len(answer) - 1).read_response(answer)


@pytest.mark.parametrize("evil", [b"\x00", b"\x01", b"\x0b", b"\r"])
def test_blanks_cost_no_more_than_their_length(evil: bytes) -> None:
    """64 KiB of spaces before a control character once took 17 seconds, in h11's pattern and in ours."""
    began = time.perf_counter()
    for read, start, fault in (
        (HeadReader().read_request, GET, BadRequest),
        (HeadReader().read_response, OK, UpstreamError),
    ):
        try:
            read(start + b"X:" + b" \t" * 32_000 + evil + b"\r\n\r\n")
        except fault:
            assert evil != b"\x01"  # which h11 takes
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    "line", [b"Authorization : Bearer sk-secret", b"x-api-key: sk-secret\x00", b"Cookie sk-secret"]
)
def test_no_error_quotes_a_line(line: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        HeadReader().read_request(GET + line + b"\r\n\r\n")
    assert "sk-secret" not in str(refused.value)
    with pytest.raises(BadRequest) as refused:
        HeadReader().read_request(b"GET /?key=sk-secret \x7fHTTP/1.1\r\nHost: a\r\n\r\n")
    assert "sk-secret" not in str(refused.value)
    with pytest.raises(UpstreamError) as broken:
        HeadReader().read_response(OK + line + b"\r\n\r\n")
    assert "sk-secret" not in str(broken.value)


def kept_by(reader: HeadReader) -> list[bytes]:
    return [*reader._known]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "authorization", "X-Api-Key", "x-goog-api-key", "API-Key", "Cookie", "Set-Cookie", "Proxy-Authorization",
        "X-Amz-Security-Token", "X-Management-Secret", "Idempotency-Key", "X-Acme-Session", "X-Password", "X-Hub-Signature",
    ],
)  # fmt: skip
def test_no_secret_is_remembered(name: str) -> None:
    reader = HeadReader()
    head = GET + b"Accept: a/b\r\n" + name.encode() + b": sk-secret\r\n\r\n"
    assert reader.read_request(head) == reader.read_request(head)
    reader.read_response(OK + name.encode() + b": sk-secret\r\n\r\n")
    assert kept_by(reader) == [b"Accept: a/b"]


def test_what_frames_or_changes_is_not_remembered_either() -> None:
    reader = HeadReader()
    reader.read_request(GET + b"Content-Length: 3\r\nExpect: 100-continue\r\nDate: x\r\nX: " + b"y" * 600 + b"\r\n\r\n")
    assert kept_by(reader) == []


def test_names_are_remembered_within_bounds() -> None:
    """Of lines that change; a stranger may send as many as it likes, and as long ones."""
    reader = HeadReader()
    for n in range(1000):
        name = b"X-Remaining-%d" % n + b"x" * (n % 2 * 100)
        head = reader.read_request(b"GET / HTTP/1.1\r\nHost: a\r\n%b: %d\r\n\r\n" % (name, n))
        assert head.fields == [(b"host", b"a"), (name.lower(), b"%d" % n)]
        assert len(reader._changing) <= 256
        assert all(len(name) <= 64 for name in reader._changing)


def test_the_memo_is_bounded_and_forgets_what_is_not_used() -> None:
    reader = HeadReader()
    usual = GET + b"Accept: a/b\r\nUser-Agent: c\r\n"
    first = reader.read_request(usual + b"\r\n")
    for start in range(0, 10_000, 100):
        lines = b"".join(b"X-%d: y\r\n" % number for number in range(start, start + 100))
        assert reader.read_request(usual + lines + b"\r\n").fields[:3] == first.fields
    assert reader.read_request(usual + b"\r\n") == first
    assert len(kept_by(reader)) <= 2048
    assert {b"Accept: a/b", b"User-Agent: c"} <= set(reader._known)
    assert b"X-0: y" not in kept_by(reader)


ENDS = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b": "]), max_size=12).map(b"".join)


@given(text=ENDS.map(lambda tail: b"a" + tail))
def test_the_end_of_a_head_is_where_h11_sees_it(text: bytes) -> None:
    judge = h11._receivebuffer.ReceiveBuffer()
    expected = 0
    for index in range(len(text)):  # byte by byte
        judge += text[index : index + 1]
        if not expected and judge.maybe_extract_lines() is not None:
            expected = index + 1
        assert end_of_head(text[: index + 1]) == end_of_head(bytearray(text[: index + 1])) == expected


def test_half_a_head_is_none() -> None:
    with pytest.raises(BadRequest, match=r"not valid HTTP/1\.1\.$"):
        HeadReader().read_request(GET)
    with pytest.raises(UpstreamError, match=r"not HTTP/1\.1$"):
        HeadReader().read_response(OK)


@given(st.data())
def test_a_head_that_repeats_is_read_as_if_it_were_the_first(data: st.DataObject) -> None:
    """Any head after any other: the length is the only thing that may be looked at alone."""
    reader = RepeatedHeads(HeadReader())
    base = data.draw(st.one_of(request_heads(), mutations_of(request_heads())).map(first_head))
    plain = b"POST /v1 HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 5\r\nAuthorization: Bearer k\r\n\r\n"
    longer = [plain, plain.replace(b": 5", b": 77"), plain.replace(b": 5", b": 5, 6"), plain.replace(b": 5", b": +5")]
    longer += [
        plain.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked"),
        plain.replace(b": 5", b": 5\r\nContent-Length: 6"),
        plain.replace(b": 5", b": 5\r\nContent-Length: 5"),
        plain.replace(b": 5", b": 5\r\ncontent-length: 6"),
        plain.replace(b": 5", b": 6\r\nContent-Length: 5"),
    ]
    for head in data.draw(st.lists(st.sampled_from([base, *longer]), min_size=2, max_size=6)):
        try:
            expected: object = HeadReader().read_request(head)
        except ClientError as error:
            expected = type(error)
        try:
            read: object = reader.read(head)
        except ClientError as error:
            read = type(error)
        assert read == expected


def test_a_head_said_again_is_the_same_and_with_another_length_nearly() -> None:
    reader = RepeatedHeads(HeadReader())
    plain = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\n"
    first = reader.read(plain)
    assert reader.read(plain) is first
    assert reader.again(plain + b"body") == (first, len(plain))
    longer = reader.read(plain.replace(b"5", b"77"))
    assert longer == HeadReader().read_request(plain.replace(b"5", b"77"))
    assert reader.again(plain[:-1]) is None
    assert reader.again(plain.replace(b"5", b"x")) is None


@pytest.mark.parametrize("changed", [b"6\r\nContent-Length: 5", b"5\r\nContent-Length: 6"])
def test_a_length_said_twice_is_judged_each_time(changed: bytes) -> None:
    """Two that agree are one; after them, two that do not agree are still refused (RFC 9112, section 6.3)."""
    reader = RepeatedHeads(HeadReader())
    twice = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
    assert reader.read(twice).content_length == reader.read(twice).content_length == 5
    with pytest.raises(BadRequest):
        reader.read(twice.replace(b"5\r\nContent-Length: 5", changed))


@pytest.mark.parametrize("length", [b"+5", b"5, 6", b"5" * 21])
def test_what_stands_where_the_length_stood_is_judged(length: bytes) -> None:
    """Only digits are taken without a look at the rest."""
    reader = RepeatedHeads(HeadReader())
    plain = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    assert reader.read(plain).content_length == 5
    with pytest.raises(BadRequest):
        reader.read(plain.replace(b"5", length))
