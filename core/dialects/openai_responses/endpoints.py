"""Answers of ``/responses/input_tokens``, whose requests are those of an answer.

>>> build_count(parse_count(b'{"object":"response.input_tokens","input_tokens":11}'))
b'{"object":"response.input_tokens","input_tokens":11}'
"""

from dragoman.core.chat.counting import TokenCount
from dragoman.core.chat.usage import count
from dragoman.core.dialects import reading
from dragoman.core.errors import BadAnswer
from dragoman.core.json_text import dumps


def parse_count(body: bytes) -> TokenCount:
    """Read a count of input tokens.

    Raises:
        BadAnswer: It is none.

    """
    node = reading.answer_object(body)
    if reading.whole(node, "input_tokens") is None:
        raise BadAnswer("the provider's answer counts no input tokens")
    return TokenCount(count(node["input_tokens"]))


def build_count(counted: TokenCount) -> bytes:
    """Write a count of input tokens."""
    return dumps({"object": "response.input_tokens", "input_tokens": counted.input})
