"""The provider's side of HTTP: one request's bytes out, one answer's bytes in.

One `Upstream` for each attempt; connections are the transport's, answers are this one's. Interim answers (1xx) are skipped, content
codings undone, whatever breaks the protocol is an `UpstreamError`.
"""

from typing import Final

from dragoman.core.content_coding import CodingError, Decoder, coding_of
from dragoman.core.errors import UpstreamError
from dragoman.core.http_bodies import BodyError, BodyReader, ChunkedBody, LengthBody, UntilCloseBody
from dragoman.core.http_heads import HeadReader, ResponseHead, end_of_head

_DECODED_LIMIT: Final = 1024 * 1024 * 1024  # an answer of a gigabyte is no answer; it bounds bombs, not people
_INTERIM_LIMIT: Final = 16  # 1xx heads before the answer


class Upstream:
    """One answer of a provider.

    Args:
        heads: The gateway's reader of heads.

    Attributes:
        head: The answer's head, once it is complete.
        is_complete: The whole answer has arrived.
        has_begun: At least one byte of it has arrived.

    """

    __slots__ = (
        "_body",
        "_buffer",
        "_decoder",
        "_heads",
        "_interim",
        "has_begun",
        "head",
        "is_complete",
    )

    def __init__(self, heads: HeadReader) -> None:
        self._heads = heads
        self._buffer = b""
        self._body: BodyReader | None = None
        self._decoder: Decoder | None = None
        self._interim = 0
        self.head: ResponseHead | None = None
        self.has_begun = False
        self.is_complete = False

    @property
    def may_be_kept(self) -> bool:
        """Whether the connection is sound for another exchange."""
        return (
            self.is_complete
            and self.head is not None
            and self.head.keeps_alive
            and not isinstance(self._body, UntilCloseBody)
            and not (self._body is not None and self._body.rest)
        )

    def receive_data(self, data: bytes) -> bytes:
        """Take what the provider sent, return the body in it (possibly empty), decoded.

        Raises:
            UpstreamError: This is not an HTTP answer, or not the one it announces.

        """
        self.has_begun = True
        if self.head is None:
            self._buffer += data
            if not self._read_head():
                return b""
            data, self._buffer = self._buffer, b""
        body = self._body
        assert body is not None  # it comes with the head
        try:
            data = body.feed(data)
            if body.is_complete:
                self.is_complete = True
            if self._decoder is not None:
                data = self._decoder.feed(data)
                if self.is_complete:
                    self._decoder.end()
        except (BodyError, CodingError) as error:
            raise UpstreamError(f"answered with a broken body: {error}") from None
        return data

    def receive_end(self) -> None:
        """The provider closed.

        Raises:
            UpstreamError: In the middle of its answer, or before it.

        """
        if self.head is None or self._body is None:
            raise UpstreamError(
                "closed the connection " + ("in the middle of its head" if self.has_begun else "without an answer")
            )
        try:
            self._body.end()
            if self._decoder is not None:
                self._decoder.end()
        except (BodyError, CodingError) as error:
            raise UpstreamError(f"cut its answer: {error}") from None
        self.is_complete = True

    def _read_head(self) -> bool:
        while True:
            end = end_of_head(self._buffer)
            if not end:
                if len(self._buffer) > self._heads.limit:
                    raise UpstreamError(f"answered with a head of over {self._heads.limit} bytes")
                if not b"HTTP/".startswith(self._buffer[:5]):
                    raise UpstreamError("answered with something that is not HTTP/1.1")
                return False
            head = self._heads.read_response(self._buffer[:end])
            self._buffer = self._buffer[end:]
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101 or self._interim > _INTERIM_LIMIT:
                raise UpstreamError("answered with interim heads instead of an answer")
        self.head = head
        if head.status in {204, 304}:
            self._body = LengthBody(0)
        elif head.is_chunked:
            self._body = ChunkedBody()
        elif head.content_length is not None:
            self._body = LengthBody(head.content_length)
        else:
            self._body = UntilCloseBody()
        self.is_complete = self._body.is_complete
        is_coded = b"content-encoding" in head.by_name and not self.is_complete
        coding = coding_of(head.fields) if is_coded else ""
        if coding:
            try:
                self._decoder = Decoder(coding, _DECODED_LIMIT)
            except CodingError as error:
                raise UpstreamError(f"answered in a way nobody asked for: {error}") from None
        return True


class AnswerTooLong(UpstreamError):
    """An answer is longer than anybody wants to keep."""


class WholeAnswer:
    """One answer, collected.

    Args:
        heads: The gateway's reader of heads.
        limit: The longest body taken, in bytes, decoded.

    """

    def __init__(self, heads: HeadReader, limit: int) -> None:
        self._upstream = Upstream(heads)
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def may_be_kept(self) -> bool:
        """Whether the connection is sound for another exchange."""
        return self._upstream.may_be_kept

    def take(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Take what arrived, nothing for the end of the connection; gives head and body once the answer is whole.

        Raises:
            AnswerTooLong: It is over the limit.
            UpstreamError: It was cut, or is no HTTP.

        """
        upstream = self._upstream
        if data:
            piece = upstream.receive_data(data)
            self._pieces.append(piece)
            self._size += len(piece)
        else:
            upstream.receive_end()
        if self._size > self._limit:
            raise AnswerTooLong(f"answered with more than {self._limit} bytes")
        return (upstream.head, b"".join(self._pieces)) if upstream.is_complete and upstream.head is not None else None
