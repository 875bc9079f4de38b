"""Secrets of a configuration, told by a mask: enough to see which it is, too little to use it.

Whoever reads a list and sends it back changed sends masks back too: `unmasked` puts the secrets in their places again.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from dragoman.adapters.management.desk import refused

_SECRET_KEYS: Final = ("key", "keys", "secret", "token", "password", "dsn", "hash", "credential")
# All that is in these is secret, or may be.
_SECRET_PARTS: Final = ("headers", "notifications")
_NO_SECRETS: Final = ("support-prompt-cache-key",)
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|os\.environ/[A-Za-z_][A-Za-z0-9_]*")
_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY: Final = re.compile(r"(?<=[?#])\S+")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_HIDDEN: Final = "***"
_LONG: Final = 20  # characters, of which seven may be told
_TRUTHS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

Path = tuple[str | int, ...]


def mask(secret: str) -> str:
    """A secret as it may be told; where it comes from, when that is the environment.

    >>> mask("sk-0123456789abcdef-wxyz"), mask("short"), mask("${NAME}"), mask("")
    ('sk-...wxyz', '***', '${NAME}', '')
    """
    if not secret or _REFERENCE.fullmatch(secret):
        return secret
    return f"{secret[:3]}...{secret[-4:]}" if len(secret) >= _LONG else _HIDDEN


def masked(value: Any, key: str = "") -> Any:
    """Part of a configuration as it may be told: secrets masked, numbers and truths as such.

    Args:
        value: Plain values.
        key: Under which they are.

    """
    match value:
        case dict():
            inherits = key in _SECRET_PARTS
            return {name: masked(item, key if inherits else name) for name, item in value.items()}
        case list():
            return [masked(item, key) for item in value]
        case str() if _is_secret(key):
            return mask(value)
        case str():
            return _typed(without_secrets(value))
        case _:
            return value


def without_secrets(text: str) -> str:
    """A text, without what is secret in a URL.

    >>> without_secrets("http://me:pass@host/p?key=1"), without_secrets("a@b ?")
    ('http://***@host/p?***', 'a@b ?')
    """
    if "://" not in text:
        return text
    return _QUERY.sub(_HIDDEN, _USER.sub(f"{_HIDDEN}@", text))


def _is_secret(key: str) -> bool:
    return key in _SECRET_PARTS or (key.endswith(_SECRET_KEYS) and key not in _NO_SECRETS)


def _typed(text: str) -> object:
    if text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    return int(text) if _INTEGER.fullmatch(text) else text


def unmasked(new: Any, old: Any, key: str) -> Any:
    """What was sent, with secrets in the places of their masks.

    Args:
        new: As sent; masks stand for secrets that are in `old`.
        old: What was there.
        key: Under which both are.

    Raises:
        Refused: A mask stands for nothing that was there.

    """
    kept = {path: secret for path, name, secret in _secrets(old, key, ()) if mask(secret) != secret}
    wanted = [(path, secret) for path, _, secret in _secrets(new, key, ()) if secret == _HIDDEN or _is_mask(secret)]
    found: dict[Path, str] = {}
    for path, text in wanted:  # first those that stand where they stood
        if path in kept and mask(kept[path]) == text:
            found[path] = kept.pop(path)
    for path, text in wanted:
        if path not in found:
            place = next(
                (place for place, secret in kept.items() if mask(secret) == text and place[-1:] == path[-1:]), None
            )
            place = place or next((place for place, secret in kept.items() if mask(secret) == text), None)
            if place is None:
                raise refused(400, f"{text!r} is the mask of no secret that is there: send the secret.", "unknown_mask")
            found[path] = kept.pop(place)
    return _filled(new, found, ())


def _is_mask(text: str) -> bool:
    return len(text) == 10 and text[3:6] == "..."


def _secrets(value: Any, key: str, path: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, key and text of every secret."""
    match value:
        case dict():
            for name, item in value.items():
                yield from _secrets(item, key if key in _SECRET_PARTS else name, (*path, name))
        case list():
            for i, item in enumerate(value):
                yield from _secrets(item, key, (*path, i))
        case str() if _is_secret(key):
            yield path, key, value


def _filled(value: Any, found: dict[Path, str], path: Path) -> Any:
    match value:
        case dict():
            return {name: _filled(item, found, (*path, name)) for name, item in value.items()}
        case list():
            return [_filled(item, found, (*path, i)) for i, item in enumerate(value)]
        case _:
            return found.get(path, value)
