"""Answers of the smaller endpoints: ``/responses/input_tokens`` and ``/responses/compact``. Their requests are those of an answer.

>>> build_count(parse_count(b'{"object":"response.input_tokens","input_tokens":11}'))
b'{"object":"response.input_tokens","input_tokens":11}'
"""

from dragoman.core.chat.answer import Answer
from dragoman.core.chat.counting import TokenCount
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.usage import count
from dragoman.core.dialects import reading
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.openai_responses.answer import build_answer, parse_answer
from dragoman.core.errors import BadAnswer
from dragoman.core.json_text import dumps, loads


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


def parse_compaction(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read a compacted conversation: the items to go on with. What only this dialect's provider can read stays opaque.

    Raises:
        BadAnswer: It is none.

    """
    return parse_answer(body)


def build_compaction(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer (a summary that some model wrote) as the compacted conversation."""
    body, losses = build_answer(answer, context)
    node = loads(body)
    kept = {key: node[key] for key in ("created_at", "output", "usage")}
    return dumps({"id": node["id"], "object": "response.compaction", **kept}), losses
