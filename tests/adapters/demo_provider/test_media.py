"""Pictures are measured by their first bytes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.demo_provider.media import Media, describe, from_base64, from_url, picture_size

JPEG = bytes.fromhex("ffd8 ffe0 0004 0000 ffc4 0003 00 ffc2 0011 08 0102 0304 03")


def test_sizes() -> None:
    """JPEG: the frame header, wherever it is."""
    assert picture_size(JPEG) == (0x0304, 0x0102)
    assert picture_size(b"GIF89a\x02\x00\x03\x00") == (2, 3)
    assert picture_size(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x05\0\0\0\x06") == (5, 6)


@given(st.sampled_from([b"", b"\xff\xd8", b"GIF89a", b"\x89PNG\r\n\x1a\n", JPEG[:7]]), st.binary(max_size=40))
def test_broken_pictures_have_a_size_or_none(head: bytes, rest: bytes) -> None:
    """And never raise."""
    size = picture_size(head + rest)
    assert size is None or min(size) >= 0


@given(st.binary(), st.booleans(), st.booleans())
def test_base64_of_either_alphabet(data: bytes, url_safe: bool, padded: bool) -> None:
    """Padded or not."""
    encoded = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    assert from_base64("a/b", encoded if padded else encoded.rstrip("=")) == Media("a/b", data)


@given(st.text())
def test_any_text_is_media(text: str) -> None:
    """Of no bytes, if need be."""
    assert from_base64("a/b", text).data is not None
    assert describe([from_url(text), from_url(f"data:{text}")])


@pytest.mark.parametrize(
    ("kind", "said"),
    [("video/mp4", "1 video (video/mp4, 1 byte)"), ("", "1 document (unknown type, 1 byte)"), ("a/b\n", "1 document (a/b, 1 byte)")],
)  # fmt: skip
def test_kinds(kind: str, said: str) -> None:
    """By the first half of the type."""
    assert describe([Media(kind, b"x")]) == said
