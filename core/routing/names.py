"""What a client's name for a model means, step by step.

1. A suffix in parentheses says how hard to think: ``gpt-5.4(high)``. It is no part of the name, unless the whole is a listed name.
2. ``ampcode.model-mappings``: the first that fits replaces the name, on every route.
3. ``auto`` is the first listed model that somebody can answer for now.
4. The catalog finds the deployments of what is left (`dragoman.core.routing.catalog`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.config import ClientKey, Mapped
from dragoman.core.wildcards import compile_wildcards

AUTO: Final = "auto"
LEVELS: Final = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})
_WORDS: Final = MappingProxyType({"none": 0, "auto": -1, "-1": -1})

# Both forms of what people know; a table besides is `quota-exceeded.preview-models`.
_PREVIEW: Final = re.compile(r"-preview(?:-\d{2}-\d{2,4})?(?=$|-)")


@attrs.frozen
class Suffix:
    """What stood in parentheses behind a model's name.

    Attributes:
        text: As written, without the parentheses.
        budget: Tokens to think; 0 for none, -1 for as the model likes; None when a level was given or nothing known.
        level: One of `LEVELS`, or None.

    """

    text: str
    budget: int | None = None
    level: str | None = None


def split_suffix(name: str) -> tuple[str, Suffix | None]:
    """Split ``base(suffix)`` at its last parenthesis. A suffix nobody knows is split off all the same.

    >>> split_suffix("gpt-5.4(high)")
    ('gpt-5.4', Suffix(text='high', budget=None, level='high'))
    >>> split_suffix("gpt-5.4")
    ('gpt-5.4', None)
    """
    base, parenthesis, rest = name.rpartition("(")
    if not parenthesis or not base or not rest.endswith(")"):
        return name, None
    text = rest[:-1].strip()
    word = text.lower()
    if word in LEVELS:
        return base, Suffix(text, level=word)
    if word in _WORDS:
        return base, Suffix(text, budget=_WORDS[word])
    is_number = word.isascii() and word.isdigit() and len(word) <= 9
    return base, Suffix(text, budget=int(word) if is_number else None)


class Mappings:
    """``ampcode.model-mappings``: exact names first, then regular expressions in order."""

    def __init__(self, mappings: Sequence[Mapped]) -> None:
        self._exact = {m.source: m.target for m in reversed(mappings) if not m.is_regex}
        self._regexes = [(re.compile(m.source), m.target) for m in mappings if m.is_regex]

    def apply(self, name: str) -> str:
        """The name to look up in place of `name`; once, never again with what came out."""
        target = self._exact.get(name)
        if target is not None:
            return target
        for regex, replacement in self._regexes:
            match = regex.fullmatch(name)
            if match is not None:
                return match.expand(replacement)
        return name


def may_ask(key: ClientKey, name: str) -> bool:
    """Whether a client key may ask for `name` (a suffix has no say).

    >>> may_ask(ClientKey("", "ci", models=("*-mini",), prefixes=("lab",)), "lab/large")
    True
    """
    if not key.models and not key.prefixes:
        return True
    allowed = _allowed(key.models, key.prefixes)
    return allowed.fullmatch(name) is not None or allowed.fullmatch(split_suffix(name)[0]) is not None


@lru_cache(maxsize=1024)
def _allowed(models: tuple[str, ...], prefixes: tuple[str, ...]) -> re.Pattern[str]:
    pattern = compile_wildcards((*models, *(f"{prefix}/*" for prefix in prefixes)))
    assert pattern is not None  # the caller looked
    return pattern


def preview_twins(name: str) -> tuple[str, ...]:
    """Names under which the preview of a stable model, or the stable form of a preview, may be known.

    >>> preview_twins("gemini-3-pro-preview"), preview_twins("gemini-3-pro")
    (('gemini-3-pro',), ('gemini-3-pro-preview',))
    """
    stable = _PREVIEW.sub("", name)
    return (stable,) if stable != name else (f"{name}-preview",)
