r"""Arguments of tool calls: JSON text here, an object there, and the way back.

OpenAI's dialects write arguments as JSON text, which a model may get wrong; Claude's and Gemini's as an object, which it cannot.
The hub keeps text. What is no object travels as ``{"__raw_arguments": text}`` and is taken out on its way back, so that nothing
is lost and nothing is guessed.

>>> parse_arguments('{"q": 1}'), parse_arguments(""), parse_arguments("{oops")
({'q': 1}, {}, {'__raw_arguments': '{oops'})
>>> build_arguments({"__raw_arguments": "{oops"}), build_arguments({"q": "é"})
('{oops', '{"q":"é"}')
"""

from collections.abc import Mapping
from typing import Any

from dragoman.core.json_text import dumps_text, loads

_RAW = "__raw_arguments"
_FREE = "input"  # the one argument that carries the text of a custom tool through a dialect without custom tools

# What a custom tool is declared as where there are none.
FREE_TEXT_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {_FREE: {"type": "string"}}, "required": [_FREE]}


def parse_arguments(text: str) -> dict[str, Any]:
    """Turn arguments into an object."""
    if not text.strip():
        return {}
    try:
        value = loads(text)
    except ValueError:
        return {_RAW: text}
    return value if isinstance(value, dict) else {_RAW: text}


def build_arguments(value: Any) -> str:
    """Turn an object into arguments."""
    if (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(raw := value.get(_RAW), str)
        and parse_arguments(raw) == value
    ):
        return raw
    return dumps_text(value)


def wrap_free_text(text: str) -> dict[str, Any]:
    """The arguments of a custom tool's call where there are only functions."""
    return {_FREE: text}


def unwrap_free_text(arguments: str) -> str:
    """The free text out of such arguments; the arguments themselves when they are of another shape.

    >>> unwrap_free_text('{"input":"select 1"}'), unwrap_free_text("select 1")
    ('select 1', 'select 1')
    """
    value = parse_arguments(arguments)
    text = value.get(_FREE)
    return text if len(value) == 1 and isinstance(text, str) else arguments
