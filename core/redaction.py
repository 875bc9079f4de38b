"""Taking secrets out of what is written down: headers, parameters and fields by their names, known secrets and known forms of secrets anywhere.

A text need not be valid JSON, for it may be cut, or a stream of events; JSON within JSON (arguments of tools) is looked into. Numbers stay:
``max_tokens`` is no secret.
"""

import re
from collections.abc import Sequence
from typing import Final

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 6  # characters of a known secret; a shorter one is a word like others
_NAME: Final = re.compile(
    r"auth|api[-_]?key|cookie|password|passwd|secret|token|credential|private[-_]?key|session[-_]?id|^key$|-key$", re.IGNORECASE
)  # fmt: skip
_HARMLESS: Final = re.compile(r"tokens|token[-_]?(?:type|count|details|limit)|authority|author$", re.IGNORECASE)
# A name in quotes, a colon, the beginning of a text in quotes; quotes may be escaped, as in JSON within JSON.
_FIELD: Final = re.compile(r'(\\{0,7})"([A-Za-z0-9_.-]{1,64})\1"(\s{0,8}:\s{0,8})\1"')
_FORMS: Final = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_.-]+|gh[opsur]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]+"
    r"|eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*)|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]+"
)


def is_secret_name(name: str) -> bool:
    """Whether something of that name is better not shown.

    >>> is_secret_name("X-Api-Key"), is_secret_name("access_token"), is_secret_name("max_tokens"), is_secret_name("model")
    (True, True, False, False)
    """
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None


def redact_fields(fields: Sequence[tuple[bytes, bytes]], secrets: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Headers as text, without secrets."""
    found = []
    for name, value in fields:
        word = name.decode("latin-1")
        shown = REDACTED if is_secret_name(word) else redact_text(value.decode("latin-1"), secrets)
        found.append((word, shown))
    return found


def redact_query(query: str, secrets: Sequence[str] = ()) -> str:
    """A query without secrets.

    >>> redact_query("alt=sse&key=AIzaSomething")
    'alt=sse&key=[redacted]'
    """
    parts = []
    for part in query.split("&"):
        name, mark, _ = part.partition("=")
        parts.append(f"{name}{mark}{REDACTED}" if mark and is_secret_name(name) else redact_text(part, secrets))
    return "&".join(parts)


def redact_text(text: str, secrets: Sequence[str] = ()) -> str:
    """A text without secrets.

    Args:
        text: JSON, events, or anything.
        secrets: Texts that are secrets, wherever they stand.

    >>> redact_text('{"max_tokens": 5, "api_key": "hunter2", "a": "Bearer abc"}')
    '{"max_tokens": 5, "api_key": "[redacted]", "a": "[redacted]"}'

    """
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, REDACTED)
    return _FORMS.sub(REDACTED, _redact_named(text))


def _redact_named(text: str) -> str:
    parts, at = [], 0
    for match in _FIELD.finditer(text):
        if match.start() < at or not is_secret_name(match[2]):
            continue
        parts += [text[at : match.end()], REDACTED]
        at = _end_of_text(text, match.end(), match[1])
    return "".join([*parts, text[at:]])


def _end_of_text(text: str, at: int, escape: str) -> int:
    """Where a text that began at `at` ends: at the first quote that has exactly `escape` in front of it; else at the end of all."""
    quote = text.find('"', at)
    while quote >= 0:
        slashes = 0
        while quote - slashes > at and text[quote - slashes - 1] == "\\":
            slashes += 1
        # Its own end has as many backslashes in front of it as its beginning; a quote, or a backslash, within it has others.
        if slashes % (2 * len(escape) + 2) == len(escape):
            return quote - len(escape)
        quote = text.find('"', quote + 1)
    return len(text)
