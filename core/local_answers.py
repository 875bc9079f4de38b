"""What needs no provider: health, lists of models, what a browser asks first, what is answered outside the core, and refusals."""

import math

from dragoman.core.answers import model_card, model_list
from dragoman.core.config import ClientKey
from dragoman.core.downstream import Request
from dragoman.core.effects import LocalRequest
from dragoman.core.endpoints import Endpoint, Operation, decode_path
from dragoman.core.errors import ClientError, OverLimit, WrongMethod
from dragoman.core.gateway import Gateway
from dragoman.core.http_heads import Field


def local_body(gateway: Gateway, endpoint: Endpoint, request: Request, client_key: ClientKey, now: float) -> bytes:
    """The body of the answer to an operation of `dragoman.core.endpoints.LOCAL`.

    Raises:
        ClientError: What is asked for is not there.

    """
    dialect = endpoint.dialect
    if dialect == "openai_chat" and b"anthropic-version" in request.fields:
        dialect = "claude"
    elif dialect == "openai_chat" and b"x-goog-api-key" in request.fields:
        dialect = "gemini"  # google-genai asks under /v1
    match endpoint.operation:
        case Operation.HOME:
            return gateway.home()
        case Operation.HEALTH:
            return gateway.health(now)
        case Operation.PROVIDERS:
            return gateway.provider_metrics(now)
        case Operation.MODELS:
            return model_list(dialect, gateway.router.models(client_key))
        case _:
            return model_card(dialect, gateway.router.catalog.model(endpoint.model, client_key))


def local_request(request: Request, peer: str) -> LocalRequest:
    """What is handed over to be answered outside the core."""
    method = "GET" if request.method == "HEAD" else request.method
    return LocalRequest(method, decode_path(request.path), request.query, request.fields, request.body, peer)


def preflight_fields(request: Request) -> list[Field]:
    """Headers of the answer to a browser that asks whether it may ask."""
    return [
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", request.fields.get(b"access-control-request-headers", b"*")),
        (b"access-control-max-age", b"600"),
    ]


def refusal_fields(error: ClientError, now: float) -> list[Field]:
    """Headers that say what a refused client may do."""
    fields: list[Field] = []
    if isinstance(error, WrongMethod):
        fields.append((b"allow", ", ".join(error.allow).encode()))
    if error.status == 401:
        fields.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, OverLimit):
        fields += retry_fields(error.retry_at, now)
    return fields


def retry_fields(retry_at: float, now: float) -> list[Field]:
    """When to come again, for every kind of client: whole seconds, and milliseconds."""
    wait = max(0.0, retry_at - now)
    return [(b"retry-after", b"%d" % math.ceil(wait)), (b"retry-after-ms", b"%d" % math.ceil(wait * 1000))]
