"""Base64 data and the URLs that hold it.

>>> found = inline_of("data:image/png;base64,__8")
>>> found.mime, found.data
('image/png', '//8=')
>>> inline_of("https://img.example/a.png") is None
True
"""

import base64
import re

from dragoman.core.chat.blocks import Inline

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,=]*=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)


def standard_base64(data: str) -> str:
    """Base64 of either alphabet, padded or not, as standard padded base64. What is no base64 stays what it is.

    >>> standard_base64("__8"), standard_base64("//8="), standard_base64("")
    ('//8=', '//8=', '')
    """
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4) if data[-1:] != "=" else data


def inline_of(url: str) -> Inline | None:
    """Take the data out of a ``data:`` URL; None for any other URL."""
    if not url.startswith("data:"):
        return None
    found = _DATA_URL.match(url)
    return Inline(found[1].lower(), standard_base64(url[found.end() :])) if found else None


def data_url(inline: Inline) -> str:
    """Put data into a ``data:`` URL."""
    return f"data:{inline.mime or 'application/octet-stream'};base64,{inline.data}"


def inline_text(text: str) -> Inline:
    """A plain text as data."""
    return Inline("text/plain", base64.b64encode(text.encode("utf-8", "surrogatepass")).decode())


def text_of(inline: Inline) -> str | None:
    """The text in data of a text type; None when it is none."""
    try:
        return base64.b64decode(inline.data, validate=True).decode("utf-8", "surrogatepass")
    except ValueError:
        return None
