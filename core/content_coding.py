"""Content codings (RFC 9110, section 8.4): gzip, deflate, br, zstd, taken apart incrementally and with a limit.

The limit is what makes a compressed request safe to read: a kilobyte of zstd can stand for a gigabyte. gzip and zstd bodies may be
several members (frames) in a row: RFC 1952, section 2.2; RFC 8878, section 3.1. Anything else behind the end is an error, for dropping
it would be dropping what somebody sent.
"""

import zlib
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import brotli
import zstandard

from dragoman.core.errors import DragomanError


class CodingError(DragomanError):
    """The body is not what its Content-Encoding says, or it is cut."""


class CodingTooLarge(CodingError):
    """The body is over the limit once decoded."""


class _Codec(Protocol):
    def decompress(self, data: bytes, limit: int) -> bytes:
        """Decode some more; raises `CodingTooLarge` when that comes to `limit` bytes."""
        ...

    def is_finished(self) -> bool: ...


class _Member(Protocol):
    """What zlib's decompressor and `_ZstdFrame` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, limit: int, /) -> bytes: ...


class _Members:
    """A body of members in a row.

    Args:
        open_member: Makes the decompressor of one member.
        step: How much is fed at a time, in bytes.
        most: How many members there may be.

    """

    def __init__(self, open_member: Callable[[], _Member], *, step: int, most: int) -> None:
        self._open_member = open_member
        self._step = step
        self._members_left = most - 1
        self._member = open_member()

    def decompress(self, data: bytes, limit: int) -> bytes:
        out: list[bytes] = []
        for at in range(0, len(data), self._step):
            piece = data[at : at + self._step]
            while piece:
                if self._member.eof:
                    self._begin_member()
                decoded = self._member.decompress(piece, limit)
                limit -= len(decoded)
                if limit <= 0:
                    raise CodingTooLarge("over the limit once decoded")
                out.append(decoded)
                piece = self._member.unused_data if self._member.eof else b""
        return out[0] if len(out) == 1 else b"".join(out)

    def _begin_member(self) -> None:
        if not self._members_left:
            raise CodingError("it goes on behind its end")
        self._members_left -= 1
        self._member = self._open_member()

    def is_finished(self) -> bool:
        return self._member.eof


# A body of empty members costs much and comes to nothing. Real ones have one; bgzip makes one for each 64 KiB.
_MOST_MEMBERS: Final = 4096


def _zlib_members(wbits: int, most: int) -> _Members:
    # zlib's `decompress` takes the limit itself; the end of a member copies the rest of a step, so steps are short.
    return _Members(lambda: zlib.decompressobj(wbits), step=64 * 1024, most=most)


class _Deflate:
    """``deflate`` is zlib's format; some send the bare one (RFC 9110, section 8.4.1.2, notes it)."""

    def __init__(self) -> None:
        self._inner: _Members | None = None
        self._head = b""

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._inner is None:
            self._head += data
            if len(self._head) < 2:
                return b""
            is_zlib = self._head[0] & 0x0F == 8 and int.from_bytes(self._head[:2], "big") % 31 == 0
            self._inner = _zlib_members(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, 1)
            data, self._head = self._head, b""
        return self._inner.decompress(data, limit)

    def is_finished(self) -> bool:
        return self._inner is not None and self._inner.is_finished()


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def decompress(self, data: bytes, limit: int) -> bytes:
        out = bytes(self._inner.process(data, output_buffer_limit=limit))  # up to a block of 32 KiB more than the limit
        if len(out) >= limit:
            raise CodingTooLarge("over the limit once decoded")
        return out

    def is_finished(self) -> bool:
        return bool(self._inner.is_finished())


class _ZstdFrame:
    # RFC 9659 forbids windows of more than 8 MB in this content coding; more is asking for our memory.
    _WINDOW: Final = 8 * 1024 * 1024

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=self._WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        return self._inner.decompress(data)


def _zstd_frames() -> _Members:
    # zstandard gives no way to bound what one call returns, so little is fed at a time: a block holds at most 128 KiB decoded and takes
    # at least 4 bytes encoded (RFC 8878, section 3.1.1.2: three of header, one of RLE), so 96 bytes yield at most 25 blocks, 3.2 MiB.
    return _Members(_ZstdFrame, step=96, most=_MOST_MEMBERS)


_ERRORS: Final = (zlib.error, brotli.error, zstandard.ZstdError)


class Decoder:
    """Undoes a Content-Encoding, piece by piece.

    Args:
        coding: The value of Content-Encoding; several are undone from the last to the first.
        limit: The most it may come to, in bytes, in all; what lies between two codings as well.

    Raises:
        CodingError: A coding nobody knows.

    """

    def __init__(self, coding: str, limit: int) -> None:
        names = [name.strip().lower() for name in coding.split(",")]
        if len(names) > 3:
            raise CodingError("more than three content codings")
        self._codecs = [_codec(name) for name in reversed(names) if name not in {"", "identity"}]
        self._left = [limit] * len(self._codecs)
        self._has_begun = False

    def feed(self, data: bytes) -> bytes:
        """Decode some more.

        Raises:
            CodingError: This is not the coding it claims to be.
            CodingTooLarge: It is over the limit.

        """
        self._has_begun = self._has_begun or bool(data)
        try:
            for index, codec in enumerate(self._codecs):
                data = codec.decompress(data, self._left[index] + 1)
                self._left[index] -= len(data)
        except _ERRORS as error:
            raise CodingError(f"not what its Content-Encoding says: {error}") from None
        return data

    def end(self) -> None:
        """Check that nothing is missing; an empty body is fine, for some put the header on those too.

        Raises:
            CodingError: The body is cut.

        """
        if self._has_begun and not all(codec.is_finished() for codec in self._codecs):
            raise CodingError("cut before the end of its Content-Encoding")


def coding_of(fields: Iterable[tuple[bytes, bytes]]) -> str:
    """The Content-Encoding of a message, its lines joined; empty when there is nothing to undo."""
    said = b", ".join([value for name, value in fields if name == b"content-encoding"])
    return "" if said.lower() == b"identity" else said.decode("latin-1")


def _codec(name: str) -> _Codec:
    match name:
        case "gzip" | "x-gzip":
            return _zlib_members(zlib.MAX_WBITS | 16, _MOST_MEMBERS)
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
        case "zstd":
            return _zstd_frames()
        case _:
            raise CodingError(f"the content coding {name!r} is not known; gzip, deflate, br and zstd are")
