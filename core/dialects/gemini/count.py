"""Counting the tokens of a request: ``:countTokens``, both ways.

A client asks with bare ``contents``, or with the whole ``generateContentRequest`` that it is about to send.
"""

from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.target import Target
from dragoman.core.chat.usage import count
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.request import ENVELOPE, build_node, parse_node, plain_model, request_node
from dragoman.core.errors import BadAnswer
from dragoman.core.json_text import dumps


def parse_count_request(body: bytes, *, model: str | None = None) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read the request to be counted.

    Args:
        body: As the client sent it.
        model: The model from the path.

    Raises:
        BadRequest: The body is no such request.

    """
    node = request_node(body)
    inner = reading.optional_object(node, "generateContentRequest")
    return parse_node(node if inner is None else inner, model=model)


def build_count_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write the request to be counted, instructions and tools included.

    Raises:
        Untranslatable: As `build_request`.

    """
    node, losses = build_node(request, target)
    node.pop(ENVELOPE, None)
    node["model"] = "models/" + plain_model(target.model or request.model)
    return dumps({"generateContentRequest": node}), tuple(losses.found)


def parse_count_answer(body: bytes) -> int:
    """Read how many tokens it is.

    Raises:
        BadAnswer: The body does not say.

    """
    node = reading.answer_object(body)
    total = node.get("totalTokens", node.get("total_tokens"))
    if total is None:
        raise BadAnswer("the provider's answer does not say how many tokens it counted")
    return count(total)


def build_count_answer(tokens: int) -> bytes:
    """Write how many tokens it is.

    >>> build_count_answer(7)
    b'{"totalTokens":7}'
    """
    return dumps({"totalTokens": tokens})
