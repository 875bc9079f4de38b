"""Pictures, documents and sound: what was sent, in words."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

import attrs

_KINDS: Final = {"image": "image", "audio": "audio file", "video": "video"}


@attrs.frozen
class Media:
    """Something sent that is not text.

    Attributes:
        mime_type: ``image/png``; empty when nobody said.
        data: The bytes, or None when only its address was sent.
        address: The URL or file id, when that is what was sent.

    """

    mime_type: str
    data: bytes | None = None
    address: str = ""


def from_base64(mime_type: str, encoded: str) -> Media:
    """Decode base64 of either alphabet, padded or not; what cannot be decoded is media of no bytes."""
    text = encoded.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return Media(mime_type, base64.b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return Media(mime_type, b"")


def from_url(url: str, mime_type: str = "image/*") -> Media:
    """Read a data URL, or keep the address of any other."""
    if url.startswith("data:"):
        head, _, encoded = url[5:].partition(",")
        return from_base64(head.partition(";")[0] or mime_type, encoded)
    return Media(mime_type, None, url)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a PNG, GIF or JPEG; None when it is none of them or broken off."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return _jpeg_size(data) if data.startswith(b"\xff\xd8") else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        # SOF0 to SOF15 carry the frame size; C4, C8 and CC in that range are other segments.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + max(length, 2)
    return None


def describe(media: Iterable[Media]) -> str:
    """Say what was sent.

    >>> describe([Media("image/png", b"12"), Media("application/pdf", b"1")])
    '1 image (image/png, 2 bytes) and 1 document (application/pdf, 1 byte)'
    """
    groups: dict[str, list[str]] = {}
    for one in media:
        kind = _KINDS.get(one.mime_type.partition("/")[0], "document")
        groups.setdefault(kind, []).append(_details(one))
    return " and ".join(
        f"{len(found)} {kind}{'s' if len(found) > 1 else ''} ({'; '.join(found)})" for kind, found in groups.items()
    )


def _details(media: Media) -> str:
    kind = re.sub(r"[^\w/+.*-]", "", media.mime_type) or "unknown type"
    if media.data is None:
        return f"{kind}, at {media.address}"
    count = len(media.data)
    size = picture_size(media.data)
    return f"{kind}, {count} byte{'' if count == 1 else 's'}" + (f", {size[0]}x{size[1]}" if size else "")
