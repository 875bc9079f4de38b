"""Heads of HTTP/1.1 messages, read fast without being believed.

h11 is the judge of every head. In front of it stands a memo of header lines: a line that is plainly valid (a strict subset of h11's
grammar) is remembered with its lower-case name and its value, so that the lines which every request of a client repeats cost one
dictionary look-up. Rules that keep this safe (request smuggling lives here):

1. A head is read by the memo only when every line is plainly valid and its framing is plain: at most one Content-Length of digits, or
   one ``Transfer-Encoding: chunked``, one Host. Anything else goes to h11 whole, and h11's word is final.
2. Framing is evaluated anew for each head; only lines are remembered, never conclusions.
3. Lines that frame, carry a secret, or change with each message are never remembered. The memo is bounded.
4. On top of h11: Content-Length beside Transfer-Encoding is refused (RFC 9112, section 6.3, allows it), and so are Transfer-Encoding in
   HTTP/1.0 (section 6.1) and requests of another major version, such as HTTP/2's greeting (RFC 9110, section 2.5). Short of it: a 101 is read like any other head, for the caller to refuse.
5. What is read costs time in proportion to its length, and no line of it is quoted in an error: it may be the one with the key.

`tests/core/test_http_heads.py` holds both ways against each other: what the memo accepts, h11 accepts with the same result.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import h11
import msgspec

from dragoman.core.errors import BadRequest, HeadTooLarge, UpstreamError

Field = tuple[bytes, bytes]

# A strict subset of RFC 9110's field grammar: h11 also takes some control characters; those lines are left to it.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")
# h11 refuses these anywhere in a head, but on its way there is quadratic in the spaces before them.
_NEVER: Final = re.compile(rb"[\x00\x0b\x0c]|\r(?!\n)")
_QUOTED_LINE: Final = re.compile(r": (?:bytearray\(|b['\"]).*", re.DOTALL)
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [ \t\x21-\x7e\x80-\xff]*)?")

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"host", b"expect"})
# By what names have in common rather than by a list: whoever invents the next x-acme-token does not tell us.
_SECRET: Final = re.compile(rb"auth|key|token|secret|cookie|credential|password|session|signature")
_CHANGING: Final = frozenset({
    b"content-length", b"date", b"x-request-id", b"request-id", b"traceparent", b"tracestate", b"x-client-request-id",
    b"x-stainless-retry-count", b"cf-ray", b"openai-processing-ms",
})  # fmt: skip
_COUNTING: Final = re.compile(rb"remaining|reset|utilization|used-percent")  # of limits
# Framing fields are looked at each time, so they are not remembered either.
_NEVER_KEPT: Final = _FRAMING | _CHANGING

_PLAIN_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,20})\r\n", re.IGNORECASE)

_MEMO_LINES: Final = 2048
_MEMO_LINE_LENGTH: Final = 512
_MEMO_NAMES: Final = 256
_MEMO_NAME_LENGTH: Final = 64


class RequestHead(msgspec.Struct, frozen=True):
    """The head of a request.

    Attributes:
        method: As sent, upper-case by convention.
        target: The request target as sent: path and query, or absolute form.
        is_http_1_0: The client speaks HTTP/1.0: no chunks, no keep-alive.
        fields: Names in lower case, values without outer white space, in order.
        content_length: Bytes of body announced; 0 when nothing is.
        is_chunked: The body comes in chunks.
        keeps_alive: The client lets the connection live on.
        expects_continue: It waits for ``100 Continue`` before it sends the body.

    """

    method: bytes
    target: bytes
    is_http_1_0: bool
    fields: Sequence[Field]
    content_length: int
    is_chunked: bool
    keeps_alive: bool
    expects_continue: bool


class ResponseHead(msgspec.Struct, frozen=True):
    """The head of an answer.

    Attributes:
        status: HTTP status.
        fields: Names in lower case, values without outer white space, in order.
        by_name: The same by name. Said twice, the last counts, as it does for browsers.
        content_length: Bytes of body announced, or None.
        is_chunked: The body comes in chunks.
        keeps_alive: The server lets the connection live on.

    """

    status: int
    fields: Sequence[Field]
    by_name: Mapping[bytes, bytes]
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool

    @property
    def content_type(self) -> bytes:
        """The media type alone, in lower case; empty when there is none."""
        return _media_type(self.by_name.get(b"content-type", b""))


class HeadReader:
    r"""Reads heads, remembering lines; one for a whole gateway.

    Args:
        limit: The longest head taken, in bytes.

    >>> head = HeadReader().read_request(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    >>> head.method, head.target, head.fields
    (b'GET', b'/health', [(b'host', b'a')])

    """

    def __init__(self, limit: int = 64 * 1024) -> None:
        self.limit = limit
        self._known: dict[bytes, Field] = {}
        self._changing: dict[
            bytes, bytes
        ] = {}  # names, as sent, of lines that are read anew each time and do not frame

    def read_request(self, head: bytes) -> RequestHead:
        """Read the head of a request, from its first byte to the end of its blank line.

        Raises:
            BadRequest: h11 refuses it, or its framing is ambiguous.
            HeadTooLarge: It is over the limit.

        """
        if len(head) > self.limit:
            raise HeadTooLarge(f"The request line and headers are over {self.limit} bytes.")
        lines = head.split(b"\r\n")
        start = _REQUEST_LINE.fullmatch(lines[0])
        read = self._read_fields(lines) if start is not None else None
        if start is None or read is None:
            return self._request_by_h11(head)
        fields, framing = read
        method, target, minor = start.groups()
        hosts = framing.get(b"host")
        if method == b"CONNECT" or (minor == b"1" and hosts is None):
            return self._request_by_h11(head)
        return _request_head(method, target, minor == b"0", fields, framing)

    def read_response(self, head: bytes) -> ResponseHead:
        """Read the head of an answer, from its first byte to the end of its blank line.

        Raises:
            UpstreamError: It is not HTTP/1.1, or its framing is ambiguous.

        """
        if len(head) > self.limit:
            raise UpstreamError(f"answered with a head of over {self.limit} bytes")
        lines = head.split(b"\r\n")
        start = _start_of(lines[0])
        read = self._read_fields(lines) if start is not None else None
        if start is None or read is None:
            return self._response_by_h11(head)
        return _response_head(*start, *read)

    def _read_fields(self, lines: list[bytes]) -> tuple[list[Field], dict[bytes, bytes]] | None:
        """Fields and framing fields of a head in lines; None when it takes h11 to judge."""
        if lines[-2:] != [b"", b""]:  # it ends in a bare line feed
            return None
        lines = lines[1:-2]
        recalled = list(map(self._known.get, lines))  # in C: most lines of most heads end here
        fields: list[Field] = recalled  # type: ignore[assignment]  # the loop leaves no None
        framing: dict[bytes, bytes] = {}
        changing = self._changing
        for index, field in enumerate(recalled):
            if field is None:
                line = lines[index]
                sent, colon, value = line.partition(b":")
                if not colon or _VALUE.fullmatch(value) is None:
                    return None
                value = value.strip(b" \t")
                name = changing.get(sent)
                if name is not None:
                    fields[index] = name, value
                elif not self._read_field(line, sent, value, index, fields, framing):
                    return None
        return fields, framing

    def _read_field(
        self,
        line: bytes,
        sent: bytes,
        value: bytes,
        index: int,
        fields: list[Field],
        framing: dict[bytes, bytes],
    ) -> bool:
        """Read a line that is new, or frames; False when it takes h11 to judge."""
        name, may_be_kept = _known_name(sent)
        if not name:
            return False
        fields[index] = name, value
        if name in _FRAMING:
            if name in framing or not _is_plain(name, value):
                return False
            framing[name] = value
        elif may_be_kept:
            self._remember(line, fields[index])
        elif len(sent) <= _MEMO_NAME_LENGTH:
            if len(self._changing) >= _MEMO_NAMES:
                self._changing.clear()
            self._changing[sent] = name
        return True

    def _remember(self, line: bytes, field: Field) -> None:
        if len(line) <= _MEMO_LINE_LENGTH:
            if len(self._known) >= _MEMO_LINES:
                self._known.clear()  # what is still used comes back at once
            self._known[line] = field

    def _request_by_h11(self, head: bytes) -> RequestHead:
        if _NEVER.search(head):
            raise BadRequest("The request is not valid HTTP/1.1: there is a control character in its head.")
        judge = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limit)
        judge.receive_data(head)
        try:
            event = judge.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(f"The request is not valid HTTP/1.1: {_reason(error)}.") from None
        if not isinstance(event, h11.Request) or not event.http_version.startswith(b"1."):
            raise BadRequest("The request is not valid HTTP/1.1.")
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        framing = _framing_of(fields)
        if framing is None:
            raise BadRequest("Content-Length and Transfer-Encoding contradict each other.")
        return _request_head(bytes(event.method), bytes(event.target), event.http_version < b"1.1", fields, framing)

    def _response_by_h11(self, head: bytes) -> ResponseHead:
        if _NEVER.search(head):
            raise UpstreamError("answered with a control character in its head")
        judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=self.limit)
        judge.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        judge.send(h11.EndOfMessage())
        judge.receive_data(head)
        try:
            event = judge.next_event()
        except h11.RemoteProtocolError as error:
            raise UpstreamError(f"answered with something that is not HTTP/1.1: {_reason(error)}") from None
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise UpstreamError("answered with something that is not HTTP/1.1")
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        framing = _framing_of(fields)
        if framing is None:
            raise UpstreamError("answered with Content-Length and Transfer-Encoding that contradict each other")
        return _response_head(event.status_code, event.http_version < b"1.1", fields, framing)


@lru_cache(maxsize=64)
def _start_of(line: bytes) -> tuple[int, bool] | None:
    """Status, and whether it is HTTP/1.0, of the first line of an answer; None when it is not plainly one."""
    match = _STATUS_LINE.fullmatch(line)
    return None if match is None else (int(match[2]), match[1] == b"0")


@lru_cache(maxsize=64)
def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


@lru_cache(maxsize=1024)
def _known_name(name: bytes) -> tuple[bytes, bool]:
    """A field's name in lower case, and whether its lines may be remembered; empty when it is no name."""
    if _NAME.fullmatch(name) is None:
        return b"", False
    lower = name.lower()
    return lower, not (lower in _NEVER_KEPT or _SECRET.search(lower) or _COUNTING.search(lower))


class RepeatedHeads:
    """Reads the request heads of one connection, which say the same again and again.

    A head that is the last one byte for byte, but for the digits of its Content-Length, means what that one meant, but for the
    length. Nothing is remembered beyond the connection.

    Args:
        heads: Reads what is new.

    Attributes:
        said: Another object whenever something else was said than before, but for the length.

    """

    __slots__ = ("_before", "_behind", "_digits", "_heads", "_index", "_last", "said")

    def __init__(self, heads: HeadReader) -> None:
        self._heads = heads
        self._last: RequestHead | None = None
        self._before = b""  # of the digits
        self._digits = b""
        self._behind = b""
        self._index = -1  # of Content-Length among the fields
        self.said = object()

    def again(self, buffer: bytes) -> tuple[RequestHead, int] | None:
        """The head at the start of `buffer`, and where it ends, if it is the last one said again; the same value if all of it is."""
        last, before, behind = self._last, self._before, self._behind
        if last is None or not buffer.startswith(before):
            return None
        start = len(before)
        stop = buffer.find(b"\r", start, start + 21)
        digits = buffer[start:stop]
        end = stop + len(behind)
        if stop < 0 or not digits.isdigit() or not buffer.startswith(behind, stop) or end > self._heads.limit:
            return None
        if digits != self._digits:
            fields = list(last.fields)
            fields[self._index] = (b"content-length", digits)
            last = self._last = RequestHead(
                last.method, last.target, False, fields, int(digits), False, last.keeps_alive, last.expects_continue
            )
            self._digits = digits
        return last, end

    def read(self, head: bytes) -> RequestHead:
        """Read a head; see `HeadReader.read_request`."""
        repeated = self.again(head)
        if repeated is not None and repeated[1] == len(head):
            return repeated[0]
        self._last = None
        self.said = object()
        read = self._heads.read_request(head)
        plain = _PLAIN_LENGTH.search(head)
        # Said twice alike, it is read as one: but then neither of the two may change alone.
        is_once = head.lower().count(b"content-length") == 1
        if plain is not None and is_once and not read.is_http_1_0 and not read.is_chunked:
            self._last = read
            self._before, self._digits, self._behind = head[: plain.start(1)], plain[1], head[plain.end(1) :]
            self._index = [name for name, _ in read.fields].index(b"content-length")
        return read


def end_of_head(buffer: bytes | bytearray) -> int:
    r"""Where the head at the start of `buffer` ends (behind its blank line), or 0 while it is incomplete.

    As h11 sees it: the first ``\n\n`` or ``\n\r\n``.

    >>> end_of_head(b"GET / HTTP/1.1\r\n\r\nbody"), end_of_head(b"GET / HTTP/1.1\r\n")
    (18, 0)
    """
    strict = buffer.find(b"\n\r\n")
    bare = buffer.find(b"\n\n", 0, strict + 1 if strict >= 0 else len(buffer))
    if bare >= 0:
        return bare + 2
    return strict + 3 if strict >= 0 else 0


def _is_plain(name: bytes, value: bytes) -> bool:
    """Whether a framing field says what it says without needing h11."""
    if name == b"content-length":
        return value.isdigit() and len(value) <= 20
    if name == b"transfer-encoding":
        return value == b"chunked"
    return True


def _reason(error: h11.RemoteProtocolError) -> str:
    """What h11 says, without the line it says it of."""
    return _QUOTED_LINE.sub("", str(error))


def _framing_of(fields: Sequence[Field]) -> dict[bytes, bytes] | None:
    """The framing fields of a head that h11 accepted; None when they contradict each other."""
    framing: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _FRAMING:
            framing[name] = framing[name] + b"," + value if name in framing else value
    return framing if not (b"content-length" in framing and b"transfer-encoding" in framing) else None


def _request_head(
    method: bytes, target: bytes, is_http_1_0: bool, fields: Sequence[Field], framing: dict[bytes, bytes]
) -> RequestHead:
    is_chunked = b"transfer-encoding" in framing
    length = framing.get(b"content-length")
    if is_chunked and (length is not None or is_http_1_0):
        raise BadRequest("Content-Length and Transfer-Encoding contradict each other.")
    return RequestHead(
        method,
        target,
        is_http_1_0,
        fields,
        int(length or 0),
        is_chunked,
        not is_http_1_0 and _lives_on(framing),
        not is_http_1_0 and b"expect" in framing and b"100-continue" in _tokens(framing[b"expect"]),
    )


def _response_head(
    status: int, is_http_1_0: bool, fields: Sequence[Field], framing: dict[bytes, bytes]
) -> ResponseHead:
    is_chunked = b"transfer-encoding" in framing
    length = framing.get(b"content-length")
    if is_chunked and (length is not None or is_http_1_0):
        raise UpstreamError("answered with Content-Length and Transfer-Encoding that contradict each other")
    return ResponseHead(
        status,
        fields,
        dict(fields),
        int(length) if length is not None else None,
        is_chunked,
        not is_http_1_0 and _lives_on(framing),
    )


def _lives_on(framing: dict[bytes, bytes]) -> bool:
    value = framing.get(b"connection")
    if value is None or value in {b"keep-alive", b"Keep-Alive"}:
        return True
    return b"close" not in _tokens(value)


def _tokens(value: bytes) -> set[bytes]:
    return {token.strip() for token in value.lower().split(b",")}
