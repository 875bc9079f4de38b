"""The names of credential files: one for each on every system, and a short one that is the same over restarts."""

import hashlib
import re
import unicodedata
from typing import Final

from dragoman.core.errors import DragomanError

# Bytes of UTF-8; file systems take 255, and a file that is being written has a longer name for a moment.
_LONGEST_NAME: Final = 200
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)")  # by Windows, whatever follows
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')


class BadFileName(DragomanError):
    """A name that a credential file cannot have on every system; the message says why and what to do."""


def normal_name(name: str) -> str:
    """The one name of a credential file, the same on every system: lower case, composed (NFC), without folders.

    >>> normal_name("Claude-Bob@Example.JSON")
    'claude-bob@example.json'

    Raises:
        BadFileName: Some system could not keep a file of that name, or would keep it under another.

    """
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    if not all(c.isprintable() and c not in _FORBIDDEN for c in normal):
        raise BadFileName("a file name has no slashes, colons, quotes, wildcards or control characters: rename it")
    if not normal.endswith(".json") or normal.startswith((".", " ")):
        raise BadFileName(
            "a credential file's name ends in .json, and begins with neither a dot nor a space: rename it"
        )
    if _RESERVED.match(normal):
        raise BadFileName("Windows reserves this name for a device: rename it")
    if len(normal.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
        raise BadFileName(f"a file name has at most {_LONGEST_NAME} bytes: rename it")
    return normal


def name_of(spelling: str) -> str:
    """The normal name; for a spelling that some system could not keep the spelling itself, so that it can be seen and removed.

    >>> name_of("A.json"), name_of("A?.json")
    ('a.json', 'A?.json')
    """
    try:
        return normal_name(spelling)
    except BadFileName:
        return spelling


def auth_index(name: str) -> str:
    """A short name for a credential file that is the same over restarts and on every system; tells nothing of its content.

    >>> auth_index("claude-bob@example.json") == auth_index("Claude-Bob@Example.json")
    True
    """
    name = name_of(name)
    return hashlib.sha256(b"file\0" + name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
