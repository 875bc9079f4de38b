"""The client's side of HTTP: bytes become requests, answers become bytes.

One `Downstream` for each client connection. It reads one request at a time, whole (the limit applies); what comes behind it waits, so
pipelined requests are answered in order. HTTP/1.1 (RFC 9112) with keep-alive, chunks both ways, ``Expect: 100-continue``,
and HTTP/1.0 clients, whose answers end by closing.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from dragoman.core.content_coding import CodingError, CodingTooLarge, Decoder, coding_of
from dragoman.core.errors import BadRequest, ClientError, HeadTooLarge, TooLarge
from dragoman.core.http_bodies import LAST_CHUNK, BodyError, BodyReader, ChunkedBody, LengthBody, chunk
from dragoman.core.http_heads import Field, HeadReader, RepeatedHeads, RequestHead, end_of_head

# While an exchange is in hand, this much of further requests is taken in; then the socket must wait.
_READ_AHEAD: Final = 256 * 1024

_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)++")
# The absolute form, RFC 9112, section 3.2.2: everything in front of its path.
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_BODILESS: Final = frozenset({204, 304})

REASONS: Final[Mapping[int, bytes]] = {
    200: b"OK", 201: b"Created", 202: b"Accepted", 204: b"No Content", 207: b"Multi-Status", 400: b"Bad Request", 401: b"Unauthorized",
    403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout", 409: b"Conflict", 412: b"Precondition Failed",
    413: b"Content Too Large", 415: b"Unsupported Media Type", 422: b"Unprocessable Content", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout", 529: b"Overloaded",
}  # fmt: skip


class Request(msgspec.Struct, frozen=True):
    """A request, whole.

    Attributes:
        method: ``GET``, ``POST`` ...
        path: Without the query, as sent.
        query: Without ``?``, as sent.
        fields: Headers by lower-case name, but its length; of equal ones the last.
        body: Decoded from its Content-Encoding.
        bytes_in: Length of the body as received.
        is_http_1_0: The client speaks HTTP/1.0.
        findings: What was worked out from the head alone. Requests of a connection whose heads say the same share it.

    """

    method: str
    path: str
    query: str
    fields: Mapping[bytes, bytes]
    body: bytes
    bytes_in: int
    is_http_1_0: bool = False
    findings: dict[str, Any] = msgspec.field(default_factory=dict)


class Downstream:
    """One client connection's HTTP.

    Args:
        heads: The gateway's reader of heads.
        body_limit: The longest request body taken, in bytes, decoded too.

    Attributes:
        head: The head of the request in hand, from when it is complete until its answer is; None otherwise.
        keeps_alive: Another request may follow the one in hand.

    """

    def __init__(self, heads: HeadReader, body_limit: int) -> None:
        self._heads = RepeatedHeads(heads)
        self._head_limit = heads.limit
        self._body_limit = body_limit
        self._buffer = b""
        self._body: BodyReader | None = None
        self._received = b""  # of the body, while it came in one piece
        self._more: bytearray | None = None  # of the body, once it came in several
        self._continue_due = False
        self._is_chunking = False
        self._is_bodiless = False
        self._said: object = None
        self._asked: tuple[str, str, str, Mapping[bytes, bytes]] = ("", "", "", {})
        self._findings: dict[str, Any] = {}
        self.head: RequestHead | None = None
        self.keeps_alive = True

    @property
    def has_input(self) -> bool:
        """Whether part of a request has arrived."""
        return self.head is not None or bool(self._buffer)

    @property
    def is_full(self) -> bool:
        """Whether more input would be hoarded rather than read."""
        return len(self._buffer) > _READ_AHEAD

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_request(self) -> Request | None:
        """The next request; None while it is incomplete, or one is in hand. Call again after `receive_data` or `finish`.

        Raises:
            ClientError: It cannot be read. `keeps_alive` is False then, for nobody knows where the next one would begin.

        """
        try:
            return self._read()
        except ClientError:
            self.keeps_alive = False
            self._buffer = b""
            raise

    def _read(self) -> Request | None:
        if self.head is None and (not self._buffer or not self._read_head()):
            return None
        head, body = self.head, self._body
        if head is None or body is None:  # the request in hand was handed out
            return None
        if not body.is_complete and self._buffer:
            try:
                piece = body.feed(self._buffer)
            except BodyError as error:
                raise BadRequest(f"The body's framing is broken: {error}.") from None
            self._buffer = b""
            if piece:
                self._keep(piece)
                self._continue_due = False
        if not body.is_complete:
            return None
        self._buffer = body.rest + self._buffer
        self._body = None
        self._continue_due = False
        data = self._received if self._more is None else bytes(self._more)
        self._received, self._more = b"", None
        return self._request(head, data)

    def _keep(self, piece: bytes) -> None:
        """Keep a piece of the body: the first as it is, more in one growing buffer, so that tiny ones cost no more than their bytes."""
        if self._more is not None:
            self._more += piece
        elif self._received:
            self._more = bytearray(self._received)
            self._more += piece
            self._received = b""
        else:
            self._received = piece
        if len(self._received if self._more is None else self._more) > self._body_limit:
            raise self._too_large()

    def _read_head(self) -> bool:
        repeated = self._heads.again(self._buffer)
        if repeated is not None:
            head, end = repeated
        else:
            empty = _EMPTY_LINES.match(self._buffer)  # RFC 9112, section 2.2: ignore an empty line before a request
            if empty is not None:
                self._buffer = self._buffer[empty.end() :]
            if self._buffer in {b"", b"\r"}:
                return False
            if not self._buffer[:1].isalpha():  # TLS or worse: do not wait for its end; no method begins like that
                raise BadRequest("The request is not valid HTTP/1.1.")
            end = end_of_head(self._buffer)
            if not end:
                if len(self._buffer) > self._head_limit:
                    raise HeadTooLarge(f"The request line and headers are over {self._head_limit} bytes.")
                return False
            head = self._heads.read(self._buffer[:end])
        self._buffer = self._buffer[end:]
        self.head = head
        self.keeps_alive = head.keeps_alive
        if head.content_length > self._body_limit:
            raise self._too_large()
        self._body = ChunkedBody() if head.is_chunked else LengthBody(head.content_length)
        self._continue_due = head.expects_continue and not self._buffer
        return True

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is over {self._body_limit} bytes, the limit of this gateway (`limits.body`).")

    def _request(self, head: RequestHead, data: bytes) -> Request:
        if self._heads.said is not self._said:
            self._said, self._asked, self._findings = self._heads.said, _asked(head), {}
        method, path, query, fields = self._asked
        body = self._decode(coding_of(head.fields), data) if b"content-encoding" in fields and data else data
        return Request(method, path, query, fields, body, len(data), head.is_http_1_0, self._findings)

    def _decode(self, coding: str, data: bytes) -> bytes:
        try:
            decoder = Decoder(coding, self._body_limit)
            body = decoder.feed(data)
            decoder.end()
        except CodingTooLarge:
            raise self._too_large() from None
        except CodingError as error:
            raise BadRequest(f"The body cannot be decoded: {error}.") from None
        return body

    def take_continue(self) -> bytes:
        """``100 Continue`` if the client is waiting for it, once."""
        if not self._continue_due:
            return b""
        self._continue_due = False
        return b"HTTP/1.1 100 Continue\r\n\r\n"

    def start_answer(self, status: int, fields: Iterable[Field], *, length: int | None) -> bytes:
        """The head of an answer.

        Args:
            status: HTTP status.
            fields: Headers but those that frame the message; already safe to send.
            length: Bytes of body to come, or None for a stream.

        """
        is_1_0 = self.head is not None and self.head.is_http_1_0
        has_none = status in _BODILESS  # RFC 9112, section 6.3: nor any framing
        self._is_bodiless = has_none or (self.head is not None and self.head.method == b"HEAD")
        self._is_chunking = length is None and not is_1_0 and not has_none
        if length is None and is_1_0:
            self.keeps_alive = False
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Status"))]
        parts += [b"%b: %b\r\n" % field for field in fields]
        if self._is_chunking:
            parts.append(b"transfer-encoding: chunked\r\n")
        elif length is not None and not has_none:
            parts.append(b"content-length: %d\r\n" % length)
        parts.append(b"\r\n" if self.keeps_alive else b"connection: close\r\n\r\n")
        return b"".join(parts)

    def frame(self, data: bytes) -> bytes:
        """A piece of the answer's body, framed; nothing where the answer has no body."""
        if self._is_bodiless:
            return b""
        return chunk(data) if self._is_chunking and data else data  # an empty chunk would be the end

    def finish(self) -> bytes:
        """The end of the answer's body, framed; the next request may be read."""
        self.head = self._body = None
        end = LAST_CHUNK if self._is_chunking and not self._is_bodiless else b""
        self._is_chunking = self._is_bodiless = False
        return end


def _asked(head: RequestHead) -> tuple[str, str, str, Mapping[bytes, bytes]]:
    """Method, path, query and fields by name."""
    target = head.target.decode("ascii")
    if target[0] != "/":
        absolute = _AUTHORITY.match(target)
        target = target[absolute.end() :] if absolute is not None else target
    path, _, query = target.partition("?")
    fields = dict(head.fields)
    fields.pop(b"content-length", None)  # the next one's may be another
    return head.method.decode("ascii"), path or "/", query, fields
