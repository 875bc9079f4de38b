"""Content codings (RFC 9110, section 8.4): gzip, deflate, br, zstd, taken apart incrementally and with a limit.

The limit is what makes a compressed request safe to read: a kilobyte of zstd can stand for a gigabyte.
"""

import zlib
from typing import Final, Protocol

import brotli
import zstandard

from dragoman.core.errors import DragomanError


class CodingError(DragomanError):
    """The body is not what its Content-Encoding says, or it is cut."""


class CodingTooLarge(CodingError):
    """The body is over the limit once decoded."""


class _Codec(Protocol):
    def decompress(self, data: bytes, limit: int) -> bytes: ...
    def is_finished(self) -> bool: ...


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    def decompress(self, data: bytes, limit: int) -> bytes:
        out = self._inner.decompress(data, limit)
        if self._inner.unconsumed_tail:
            raise CodingTooLarge("too large")
        return out

    def is_finished(self) -> bool:
        return self._inner.eof


class _Deflate:
    """``deflate`` is zlib's format; some send the bare one (RFC 9110, section 8.4.1.2, notes it)."""

    def __init__(self) -> None:
        self._inner: _Zlib | None = None
        self._head = b""

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._inner is None:
            self._head += data
            if len(self._head) < 2:
                return b""
            is_zlib = self._head[0] & 0x0F == 8 and int.from_bytes(self._head[:2], "big") % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
            data, self._head = self._head, b""
        return self._inner.decompress(data, limit)

    def is_finished(self) -> bool:
        return self._inner is not None and self._inner.is_finished()


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def decompress(self, data: bytes, limit: int) -> bytes:
        out = bytes(self._inner.process(data, output_buffer_limit=limit))
        if not self._inner.can_accept_more_data():
            raise CodingTooLarge("too large")
        return out

    def is_finished(self) -> bool:
        return bool(self._inner.is_finished())


class _Zstd:
    # 8 MiB is what RFC 8878, section 3.1.1.1.2, tells decoders to support; more is asking for our memory.
    _WINDOW: Final = 8 * 1024 * 1024
    # zstandard gives no way to bound what one call returns, so little is fed at a time: a zstd block holds at most 128 KiB
    # decoded and takes at least 3 bytes encoded (RLE), so a feed of 96 bytes yields at most 4 MiB.
    _STEP: Final = 96

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=self._WINDOW).decompressobj()

    def decompress(self, data: bytes, limit: int) -> bytes:
        out: list[bytes] = []
        size = 0
        for at in range(0, len(data), self._STEP):
            piece = self._inner.decompress(data[at : at + self._STEP])
            size += len(piece)
            if size > limit:
                raise CodingTooLarge("too large")
            out.append(piece)
        return b"".join(out)

    def is_finished(self) -> bool:
        return self._inner.eof


_ERRORS: Final = (zlib.error, brotli.error, zstandard.ZstdError)


class Decoder:
    """Undoes a Content-Encoding, piece by piece.

    Args:
        coding: The value of Content-Encoding; several are undone from the last to the first.
        limit: The most it may come to, in bytes, in all.

    Raises:
        CodingError: A coding nobody knows.

    """

    def __init__(self, coding: str, limit: int) -> None:
        names = [name.strip().lower() for name in coding.split(",")]
        if len(names) > 3:
            raise CodingError("more than three content codings")
        self._codecs = [_codec(name) for name in reversed(names) if name not in {"", "identity"}]
        self._left = limit

    def feed(self, data: bytes) -> bytes:
        """Decode some more.

        Raises:
            CodingError: This is not the coding it claims to be.
            CodingTooLarge: It is over the limit.

        """
        try:
            for codec in self._codecs:
                data = codec.decompress(data, self._left + 1)
                if len(data) > self._left:
                    raise CodingTooLarge("too large")
        except _ERRORS as error:
            raise CodingError(f"not what its Content-Encoding says: {error}") from None
        self._left -= len(data)
        return data

    def end(self) -> None:
        """Check that nothing is missing.

        Raises:
            CodingError: The body is cut.

        """
        if not all(codec.is_finished() for codec in self._codecs):
            raise CodingError("cut before the end of its Content-Encoding")


def _codec(name: str) -> _Codec:
    match name:
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            raise CodingError(f"the content coding {name!r} is not known; gzip, deflate, br and zstd are")
