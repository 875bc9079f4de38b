"""Content codings: what was encoded comes back, whatever the cuts; bombs stop at the limit."""

import contextlib
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.content_coding import CodingError, CodingTooLarge, Decoder, coding_of
from tests.strategies import cuts_of


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # or the same example would be another one a second later


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzipped,
    "X-GZIP": gzipped,
    "deflate": zlib.compress,
    " Deflate ": raw_deflate,
    "br": lambda data: bytes(brotli.compress(data, quality=4)),
    "zstd": zstandard.compress,
    "identity": lambda data: data,
    "": lambda data: data,
}
codings = st.sampled_from(sorted(CODERS))
bodies = st.one_of(st.binary(max_size=200), st.binary(max_size=8).map(lambda unit: unit * 5000))


def decode(coding: str, pieces: list[bytes], limit: int = 2**20) -> bytes:
    decoder = Decoder(coding, limit)
    out = b"".join([decoder.feed(piece) for piece in pieces])
    decoder.end()
    return out


@given(data=st.data(), names=st.lists(codings, min_size=1, max_size=3), body=bodies)
def test_what_was_encoded_comes_back(data: st.DataObject, names: list[str], body: bytes) -> None:
    encoded = body
    for name in names:
        encoded = CODERS[name](encoded)
    pieces = data.draw(cuts_of(encoded)) if encoded else []
    assert decode(",".join(names), pieces) == body
    if len(encoded) < 300:
        assert decode(",".join(names), [encoded[i : i + 1] for i in range(len(encoded))]) == body


@given(data=st.data(), name=st.sampled_from(["gzip", "zstd"]), parts=st.lists(bodies, min_size=1, max_size=4))
def test_members_in_a_row_are_one_body(data: st.DataObject, name: str, parts: list[bytes]) -> None:
    encoded = b"".join(CODERS[name](part) for part in parts)
    assert decode(name, data.draw(cuts_of(encoded))) == b"".join(parts)


def test_a_skippable_frame_is_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # RFC 8878, section 3.1.2
    assert decode("zstd", [skippable + zstandard.compress(b"x") + skippable]) == b"x"


@given(data=st.data(), name=codings.filter(lambda name: name not in {"", "identity"}), body=bodies.filter(bool))
def test_cut_and_longer_bodies_are_refused(data: st.DataObject, name: str, body: bytes) -> None:
    """Nobody sends bytes for nobody to read: what follows the end is an error as well."""
    encoded = CODERS[name](body)
    at = data.draw(st.integers(1, len(encoded) - 1))
    with pytest.raises(CodingError):
        decode(name, [encoded[:at]])
    for pieces in ([encoded + b"\x01\x02"], [encoded, b"\x01"], [encoded, b"\x00" * 20]):
        with pytest.raises(CodingError):
            decode(name, pieces)


@given(data=st.data(), names=st.lists(codings, min_size=1, max_size=3), body=bodies)
def test_corrupt_bodies_raise_coding_errors_only(data: st.DataObject, names: list[str], body: bytes) -> None:
    encoded = body
    for name in names:
        encoded = CODERS[name](encoded)
    at = data.draw(st.integers(0, len(encoded)))
    encoded = encoded[:at] + data.draw(st.binary(max_size=3)) + encoded[at + data.draw(st.integers(0, 3)) :]
    pieces = data.draw(cuts_of(encoded)) if encoded else []
    with contextlib.suppress(CodingError):
        decode(",".join(names), pieces)


@given(coding=st.text(max_size=20), data=st.binary(max_size=50))
def test_any_coding_of_any_bytes(coding: str, data: bytes) -> None:
    with contextlib.suppress(CodingError):
        decode(coding, [data])


@pytest.mark.parametrize("name", ["gzip", "deflate", " Deflate ", "br", "zstd", "gzip, br", "zstd, gzip"])
def test_the_limit_is_exact(name: str) -> None:
    body = bytes(range(256)) * 400
    encoded = body
    for coder in name.split(", "):
        encoded = CODERS[coder](encoded)
    assert decode(name, [encoded], len(body)) == body
    for pieces in ([encoded], [encoded[:50], encoded[50:]], [encoded[i : i + 1] for i in range(len(encoded))]):
        with pytest.raises(CodingTooLarge):
            decode(name, pieces, len(body) - 1)
    with pytest.raises(CodingTooLarge):
        decode(name, [encoded], 0)


def rle_bomb(blocks: int) -> bytes:
    """A zstd frame of RLE blocks, each 128 KiB from 4 bytes (RFC 8878, section 3.1.1.2)."""
    block = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"x"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * blocks + b"\x01\x00\x00"


BOMBS: dict[str, list[bytes]] = {
    "gzip": [gzip.compress(bytes(2**26))],
    "deflate": [zlib.compress(bytes(2**26))],
    "br": [bytes(brotli.compress(bytes(2**26), quality=5))],
    "zstd": [rle_bomb(512), zstandard.compress(bytes(2**26)), zstandard.compress(bytes(2**20)) * 64],
    "gzip, gzip": [gzip.compress(gzip.compress(bytes(2**26)))],
    "gzip, zstd": [zstandard.compress(bytes(2**26))],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stop_at_the_limit(name: str) -> None:
    limit = 2**20
    for bomb in BOMBS[name]:
        tracemalloc.start()
        with pytest.raises(CodingTooLarge):
            decode(name, [bomb], limit)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * limit  # zstd's step of 3.2 MiB is the coarsest, and it is held twice while it grows


def test_a_step_of_zstd_is_bounded() -> None:
    bomb = rle_bomb(512)
    tracemalloc.start()
    assert len(Decoder("zstd", 2**30).feed(bomb[:96])) <= 25 * 128 * 1024
    assert decode("zstd", [bomb], 2**26) == b"x" * 2**26
    tracemalloc.stop()


def test_windows_over_8_mb_are_refused() -> None:
    """RFC 9659; a frame may ask for gigabytes."""
    parameters = zstandard.ZstdCompressionParameters(window_log=25)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    encoded = coder.compress(bytes(100)) + coder.flush()
    with pytest.raises(CodingError, match="not what its Content-Encoding says"):
        decode("zstd", [encoded])


@pytest.mark.parametrize(("name", "empty"), [("gzip", gzip.compress(b"")), ("zstd", zstandard.compress(b""))])
def test_members_of_nothing_are_counted(name: str, empty: bytes) -> None:
    began = time.perf_counter()
    assert decode(name, [empty * 4096]) == b""
    with pytest.raises(CodingError, match="behind its end"):
        decode(name, [empty * 1_000_000])
    assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_small_pieces_cost_no_more_than_their_length(name: str) -> None:
    encoded = CODERS[name](bytes(range(256)) * 4096)
    decoder = Decoder(name, 2**30)
    began = time.perf_counter()
    size = sum(len(decoder.feed(encoded[i : i + 1])) for i in range(len(encoded)))
    decoder.end()
    assert (size, time.perf_counter() - began < 5.0) == (2**20, True)


def test_empty_bodies_are_fine_and_unknown_codings_are_not() -> None:
    assert decode("gzip", []) == decode("gzip", [b""]) == b""
    with pytest.raises(CodingError, match="'compress' is not known; gzip"):
        Decoder("compress", 1)
    with pytest.raises(CodingError, match="more than three"):
        Decoder("gzip, gzip, gzip, gzip", 1)


def test_the_lines_of_a_coding_are_joined() -> None:
    assert coding_of([(b"content-encoding", b"gzip"), (b"a", b"b"), (b"content-encoding", b"br")]) == "gzip, br"
    assert coding_of([(b"content-encoding", b"Identity")]) == coding_of([]) == ""
