"""Counting the tokens of a request in Code Assist: ``{"request": {"model": "models/...", "contents"}}``, the answer without an envelope.

Thoughts may not stand in what is counted; their text is counted as text.
"""

from typing import Any

from dragoman.core.chat.loss import Loss, changed
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.target import Target
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.count import build_count_answer, parse_count_answer
from dragoman.core.dialects.gemini.request import build_node, parse_node, plain_model, request_node
from dragoman.core.json_text import dumps


def parse_count_request(body: bytes, *, model: str | None = None) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read the request to be counted.

    Raises:
        BadRequest: The body is no such request.

    """
    inner = reading.an_object(request_node(body).get("request"), "request")
    return parse_node(inner, model=model)


def build_count_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write the request to be counted. Only contents are; an instruction is counted as one, tools are not.

    Raises:
        Untranslatable: As `build_request`.

    """
    node, losses = build_node(request, target)
    contents: list[dict[str, Any]] = node["contents"]
    instruction = node.get("systemInstruction")
    if instruction is not None:
        contents = [instruction, *contents]
    found = list(losses.found)
    if "tools" in node:
        found.append(changed("tools", "code_assist counts no tools"))
    plain = [{**content, "parts": [_as_text(part) for part in content["parts"]]} for content in contents]
    model = "models/" + plain_model(target.model or request.model)
    return dumps({"request": {"model": model, "contents": plain}}), tuple(found)


def _as_text(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in ("thought", "thoughtSignature")}


__all__ = ["build_count_answer", "build_count_request", "parse_count_answer", "parse_count_request"]
