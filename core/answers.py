"""Answers the gateway gives itself: errors in the dialect of whoever reads them, and model lists."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import attrs
import orjson


@attrs.frozen
class ModelCard:
    """A model as clients see it.

    Attributes:
        id: What clients ask for.
        owned_by: The provider's name.
        created: Epoch seconds.

    """

    id: str
    owned_by: str
    created: int


# What a status is called, by dialect. Sources: OpenAI and Anthropic "Errors" pages, google.rpc.Code; seen 2026-11.
_OPENAI_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
)
_CLAUDE_TYPES: Final[Mapping[int, str]] = MappingProxyType({
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
})  # fmt: skip
_GEMINI_STATUSES: Final[Mapping[int, str]] = MappingProxyType({
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
})  # fmt: skip


def error_body(
    dialect: str, status: int, message: str, *, code: str | None = None, param: str | None = None, request_id: str = ""
) -> bytes:
    """An error in the shape that `dialect`'s clients read.

    Args:
        dialect: The reader's dialect.
        status: The HTTP status it goes with.
        message: For people; no secrets.
        code: For programs (OpenAI shape only).
        param: The field at fault (OpenAI shape only).
        request_id: The gateway's id of the request (Anthropic shape only).

    """
    match dialect:
        case "claude":
            kind = _CLAUDE_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
            value: object = {
                "type": "error",
                "error": {"type": kind, "message": message},
                "request_id": request_id,
            }
        case "gemini":
            name = _GEMINI_STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
            value = {"error": {"code": status, "message": message, "status": name}}
        case _:
            kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
            value = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate pair in the message: an error that cannot be told would be the worst of all
        return json.dumps(value).encode("ascii")


def model_list(dialect: str, models: Sequence[ModelCard]) -> bytes:
    """The list of models, in the shape of OpenAI, Anthropic or Gemini."""
    match dialect:
        case "claude":
            data = [_claude_card(model) for model in models]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return orjson.dumps({"data": data, "has_more": False, **ends})
        case "gemini":
            return orjson.dumps({"models": [_gemini_card(model) for model in models]})
        case _:
            return orjson.dumps({"object": "list", "data": [_openai_card(model) for model in models]})


def model_card(dialect: str, model: ModelCard) -> bytes:
    """One model, in the shape of OpenAI, Anthropic or Gemini."""
    match dialect:
        case "claude":
            return orjson.dumps(_claude_card(model))
        case "gemini":
            return orjson.dumps(_gemini_card(model))
        case _:
            return orjson.dumps(_openai_card(model))


def _gemini_card(model: ModelCard) -> dict[str, object]:
    return {
        "name": f"models/{model.id}",
        "displayName": model.id,
        "description": f"Served by {model.owned_by}",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }


def _openai_card(model: ModelCard) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


def _claude_card(model: ModelCard) -> dict[str, object]:
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": _rfc3339(model.created)}


def _rfc3339(seconds: int) -> str:
    """Epoch seconds as RFC 3339.

    >>> _rfc3339(0), _rfc3339(1735689600)
    ('1970-01-01T00:00:00Z', '2025-01-01T00:00:00Z')
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
