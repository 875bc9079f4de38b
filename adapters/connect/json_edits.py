"""Setting values in JSON that people write: with comments and trailing commas, every other byte left as it is."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

_TOKEN: Final = re.compile(
    r"""(?P<skip>[\s\ufeff]+|//[^\n\r]*|/\*.*?\*/)|(?P<mark>[{}\[\]:,])|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[^\s{}\[\]:,"/]+)""",
    re.DOTALL,
)
_MAX_DEPTH: Final = 200


@attrs.frozen
class _Value:
    """A value in the text.

    Attributes:
        start: Where it begins.
        end: Where it has ended.
        value: What it is.
        members: Of an object: its values by key; the last of a key counts. None for anything else.
        inside_end: Of an object: behind its last member and the comma there may be; else behind the brace.
        has_comma: Whether there is a comma at its end.

    """

    start: int
    end: int
    value: Any
    members: "dict[str, _Value] | None" = None
    inside_end: int = 0
    has_comma: bool = False


def edited_json(text: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    """Put settings into a text; the same text where they are there already.

    Raises:
        ValueError: It is no JSON, or something else than an object stands where one is needed.

    """
    for steps, value in settings.items():
        text = _set(text, steps, value)
    return text


def _set(text: str, steps: tuple[str, ...], value: Any) -> str:
    tokens = _Tokens(text)
    if tokens.kind == "end":  # nothing, or comments only
        newline = _newline(text)
        front = text if not text or text.endswith(("\n", "\ufeff")) else text + newline
        return _set(f"{front}{{}}{newline}", steps, value)
    node = _read(tokens, 0)
    if tokens.kind != "end":
        raise ValueError(f"it is not valid JSON at character {tokens.start + 1}")
    for depth, step in enumerate(steps):
        if node.members is None:
            raise ValueError(f"{'.'.join(steps[:depth]) or 'it'} is not an object")
        found = node.members.get(step)
        if found is None:
            for above in reversed(steps[depth + 1 :]):
                value = {above: value}
            return _insert(text, node, step, value, depth + 1)
        node = found
    if _same(node.value, value):
        return text
    return text[: node.start] + _written(text, value, len(steps)) + text[node.end :]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _insert(text: str, node: _Value, key: str, value: Any, depth: int) -> str:
    """Add a member to an object, behind its last one."""
    newline, indent = _newline(text), _indent(text)
    member = f"{json.dumps(key, ensure_ascii=False)}: {_written(text, value, depth)}"
    at, head, tail = node.inside_end, text[: node.inside_end], text[node.inside_end :]
    comma = "," if node.members and not node.has_comma else ""
    after = "," if node.has_comma else ""
    closes = node.end - 1
    is_spread = not node.members or "\n" in text[node.start : closes] or "\r" in text[node.start : closes]
    if not is_spread:
        return f"{head}{comma} {member}{after}{tail}"
    if any(mark in text[at:closes] for mark in ("//", "/*")):  # a comment behind the last member stays there
        rest = text[at:closes].rstrip()
        head, tail = head + comma + rest, text[closes:]
        return f"{head}{newline}{indent * depth}{member}{after}{newline}{indent * (depth - 1)}{tail}"
    return f"{head}{comma}{newline}{indent * depth}{member}{after}{newline}{indent * (depth - 1)}{text[closes:]}"


def _written(text: str, value: Any, depth: int) -> str:
    if isinstance(value, dict) and not value:
        return "{}"
    lines = json.dumps(value, indent=_indent(text), ensure_ascii=False).split("\n")
    return (_newline(text) + _indent(text) * depth).join(lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text: str) -> str:
    found = re.search(r'(?m)^([ \t]+)"', text)
    return found[1] if found else "  "


class _Tokens:
    """What a text is made of, one after the other, without space and comments."""

    def __init__(self, text: str) -> None:
        self._found = self._all(text)
        self.kind, self.text, self.start, self.end = "", "", 0, 0
        self.advance()

    def advance(self) -> None:
        """Go on to the next."""
        self.last_end = self.end
        self.kind, self.text, self.start, self.end = next(self._found)

    @staticmethod
    def _all(text: str) -> Iterator[tuple[str, str, int, int]]:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"it is not valid JSON at character {at + 1}")
            at = found.end()
            if found.lastgroup != "skip":
                yield str(found.lastgroup), found[0], found.start(), at
        while True:
            yield "end", "", at, at


def _read(tokens: _Tokens, depth: int) -> _Value:
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if tokens.text == "{" and tokens.kind == "mark":
        return _read_object(tokens, depth)
    if tokens.text == "[" and tokens.kind == "mark":
        return _read_array(tokens, depth)
    if tokens.kind not in ("text", "word"):
        raise ValueError(f"it is not valid JSON at character {tokens.start + 1}")
    start, end = tokens.start, tokens.end
    value = _scalar(tokens)
    tokens.advance()
    return _Value(start, end, value)


def _scalar(tokens: _Tokens) -> Any:
    try:
        return json.loads(tokens.text, strict=False)
    except ValueError:
        raise ValueError(f"it is not valid JSON at character {tokens.start + 1}") from None


def _read_object(tokens: _Tokens, depth: int) -> _Value:
    start, inside_end, has_comma = tokens.start, tokens.end, False
    members: dict[str, _Value] = {}
    tokens.advance()
    while tokens.text != "}" or tokens.kind != "mark":
        if (members and not has_comma) or tokens.kind != "text":
            raise ValueError(f"it is not valid JSON at character {tokens.start + 1}")
        key = _scalar(tokens)
        tokens.advance()
        if tokens.text != ":":
            raise ValueError(f"it is not valid JSON at character {tokens.start + 1}")
        tokens.advance()
        members[key] = _read(tokens, depth + 1)
        inside_end, has_comma = _comma(tokens)
    end = tokens.end
    tokens.advance()
    value = {key: member.value for key, member in members.items()}
    return _Value(start, end, value, members, inside_end, has_comma)


def _read_array(tokens: _Tokens, depth: int) -> _Value:
    start, has_comma = tokens.start, True
    items = []
    tokens.advance()
    while tokens.text != "]" or tokens.kind != "mark":
        if not has_comma:
            raise ValueError(f"it is not valid JSON at character {tokens.start + 1}")
        items.append(_read(tokens, depth + 1).value)
        _, has_comma = _comma(tokens)
    end = tokens.end
    tokens.advance()
    return _Value(start, end, items)


def _comma(tokens: _Tokens) -> tuple[int, bool]:
    """Take a comma, if there is one; where the member with its comma has ended."""
    end, has_comma = tokens.last_end, tokens.text == "," and tokens.kind == "mark"
    if has_comma:
        end = tokens.end
        tokens.advance()
    return end, has_comma
