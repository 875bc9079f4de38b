"""Bodies of HTTP/1.1 messages, read piece by piece: what arrived goes in, what is body comes out, joined.

h11 spends 4 to 8 us on a chunk; here it is a third of one. `tests/core/test_http_bodies.py` holds the chunk reader against h11's: what
it accepts, h11 accepts with the same result. Stricter than h11 on purpose: sizes have at most 16 digits, extensions no control
characters, lines end in CRLF, size lines and trailers are bounded, and no trailer may say how the message is framed.
"""

import re
from functools import lru_cache
from typing import Final, Protocol

from dragoman.core.errors import DragomanError

_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*+|[ \t]*+)")
_TRAILER: Final = re.compile(
    rb"(?!(?:content-length|transfer-encoding):)[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*+", re.IGNORECASE
)
_LINE_LIMIT: Final = 4096  # a chunk's size and extensions; real ones are under 20 bytes
_TRAILERS_LIMIT: Final = 16 * 1024


class BodyError(DragomanError):
    """The framing of a body is broken. Whose fault that is, the caller knows."""


class BodyReader(Protocol):
    """What the readers of this module have in common.

    Attributes:
        is_complete: The body has ended.
        rest: What came behind its end.

    """

    is_complete: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return the body in it (possibly empty); raises `BodyError`."""
        ...

    def end(self) -> None:
        """The peer closed; raises `BodyError` if the body was cut."""
        ...


class LengthBody:
    """A body of known length."""

    __slots__ = ("_left", "is_complete", "rest")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return the body in it."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self._left = 0
        self.is_complete = True
        if left == 0:
            return data
        self.rest += data[left:]
        return data[:left]

    def end(self) -> None:
        """The peer closed."""
        if not self.is_complete:
            raise BodyError(f"closed {self._left} bytes before the end of the announced body")


class UntilCloseBody:
    """A body that ends when the peer closes."""

    __slots__ = ("is_complete", "rest")

    def __init__(self) -> None:
        self.is_complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return it."""
        return data

    def end(self) -> None:
        """The peer closed: that is its end."""
        self.is_complete = True


class ChunkedBody:
    r"""A body in chunks (RFC 9112, section 7.1).

    >>> body = ChunkedBody()
    >>> body.feed(b"3\r\nabc\r\n2\r\nd"), body.feed(b"e\r\n0\r\n\r\nrest")
    (b'abcd', b'e')
    >>> body.is_complete, body.rest
    (True, b'rest')

    """

    __slots__ = ("_footer_due", "_held", "_in_trailers", "_left", "_trailers", "is_complete", "rest")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk still to come
        self._footer_due = False  # the CRLF behind a chunk's data is next
        self._in_trailers = False
        self._trailers = 0  # their length so far
        self._held = b""  # an incomplete line
        self.is_complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return the body in it.

        Raises:
            BodyError: This is not chunked coding.

        """
        if self.is_complete:
            self.rest += data
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        at = 0
        end = len(data)
        out: list[bytes] = []
        while at < end:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                out.append(piece)
                self._footer_due = not self._left
            elif self._in_trailers:
                self._read_trailers(data, at)
                break
            elif self._footer_due:
                if data[at : at + 2] != b"\r\n":
                    if end - at == 1 and data[at] == 0x0D:
                        self._held = b"\r"
                        break
                    raise BodyError("a chunk is longer than it says")
                at += 2
                self._footer_due = False
            else:
                line_end = data.find(b"\r\n", at, at + _LINE_LIMIT + 2)
                if line_end < 0:
                    if end - at > _LINE_LIMIT + 1:  # with a CR at the end it may still be within
                        raise BodyError("a chunk without a size")
                    self._held = data[at:]
                    break
                size = _chunk_size(data[at:line_end])
                at = line_end + 2
                behind = at + size
                if size and data[behind : behind + 2] == b"\r\n":  # nearly every chunk comes whole
                    out.append(data[at:behind])
                    at = behind + 2
                else:
                    self._left = size
                    self._in_trailers = not size
        return out[0] if len(out) == 1 else b"".join(out)

    def _read_trailers(self, data: bytes, at: int) -> None:
        """Trailers are checked and dropped (RFC 9110, section 6.5.1: a recipient may)."""
        while True:
            line_end = data.find(b"\r\n", at)
            if (line_end if line_end >= 0 else len(data) - 1) - at + self._trailers > _TRAILERS_LIMIT:
                raise BodyError("trailers over the limit")
            if line_end < 0:
                self._held = data[at:]
                return
            if line_end == at:
                self.is_complete = True
                self.rest = data[at + 2 :]
                return
            if not _TRAILER.fullmatch(data, at, line_end):
                raise BodyError("a malformed trailer")
            self._trailers += line_end - at
            at = line_end + 2

    def end(self) -> None:
        """The peer closed."""
        if not self.is_complete:
            raise BodyError("closed before the last chunk")


@lru_cache(256)  # most chunks of a stream are of a few sizes
def _chunk_size(line: bytes) -> int:
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise BodyError("a chunk without a size")
    return int(match[1], 16)


def chunk(data: bytes) -> bytes:
    r"""Frame `data` as one chunk; it must not be empty, for an empty chunk ends the body.

    >>> chunk(b"abc")
    b'3\r\nabc\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
