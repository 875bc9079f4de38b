"""Requests in Code Assist's envelope: ``{"model", "project", "user_prompt_id", "request": {...}}``.

The model stands in the body and not in the path. What else the envelope says (project, ids of prompt and session) belongs to the
client's own account and comes back only in this dialect.
"""

from typing import Any

import attrs

from dragoman.core.chat.loss import Extras, Loss
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.target import Target
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME as GEMINI
from dragoman.core.dialects.gemini.content import in_camel_case
from dragoman.core.dialects.gemini.request import ENVELOPE, build_node, parse_node, plain_model
from dragoman.core.errors import BadRequest
from dragoman.core.json_text import dumps

_SESSION = ("session_id", "sessionId")  # stand within the inner request, and are none of its own


def parse_request(
    body: bytes, *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request; see `dragoman.core.dialects.dialect.RequestParser`."""
    outer = reading.request_object(body)
    if outer.get("request") is None:
        raise BadRequest("request is missing", param="request")
    inner = reading.an_object(outer["request"], "request")
    envelope = {key: value for key, value in outer.items() if key not in ("model", "request")}
    envelope |= {key: inner[key] for key in _SESSION if key in inner}
    try:
        node = in_camel_case({key: value for key, value in inner.items() if key not in _SESSION})
    except RecursionError:
        raise BadRequest("the body is nested too deeply", param="request") from None
    named = model or reading.optional_string(outer, "model")
    request, losses = parse_node(node, model=named, stream=stream)
    if envelope:
        fields = request.extras.fields if request.extras is not None else {}
        request = attrs.evolve(request, extras=Extras(GEMINI, {**fields, ENVELOPE: envelope}))
    return request, losses


def build_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write a request; see `dragoman.core.dialects.dialect.RequestBuilder`."""
    node, losses = build_node(request, target)
    envelope: dict[str, Any] = node.pop(ENVELOPE, {})
    for field, name in (("serviceTier", "service_tier"), ("store", "store")):
        if node.pop(field, None) is not None:
            losses.dropped(name, "code_assist has no such field")
    inner = {key: value for key, value in envelope.items() if key in _SESSION}
    outer = {key: value for key, value in envelope.items() if key not in _SESSION}
    outer = {**outer, "project": target.project} if target.project else outer
    body = {"model": plain_model(target.model or request.model), **outer, "request": {**node, **inner}}
    return dumps(body), tuple(losses.found)
