"""The OpenAPI 3.1 document of everything that answers, made from the tables that say what answers: nothing can be in one and not in the other.

Bodies of the dialects are the providers' to describe; here stands what each needs at least. Errors have one shape for each dialect.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from dragoman.adapters.management.desk import Call, Desk, answer_file
from dragoman.adapters.management.routes import OBJECT, Parameter, Reply, Route, Schema, reply
from dragoman.core.effects import Step
from dragoman.core.endpoints import ACTIONS, ENDPOINTS, LOCAL, VERSIONS, Endpoint, Operation

JSON: Final = "application/json"
_EVENTS: Final[Schema] = {"type": "string", "description": "Events, as they come."}
_MESSAGES: Final[Schema] = {"type": "array", "items": OBJECT}
_INPUT: Final[Schema] = {"type": ["string", "array"]}
_MODEL: Final[Schema] = {"type": "string", "minLength": 1, "description": "A name of `/v1/models`."}
_STREAM: Final[Schema] = {"type": "boolean", "default": False}

#: What a body has at least, by dialect and operation; in the order of `required`.
BODIES: Final[Mapping[tuple[str, Operation], Mapping[str, Schema]]] = {
    ("openai_chat", Operation.CHAT): {"model": _MODEL, "messages": _MESSAGES},
    ("openai_chat", Operation.COMPLETIONS): {"model": _MODEL, "prompt": _INPUT},
    ("openai_chat", Operation.EMBEDDINGS): {"model": _MODEL, "input": _INPUT},
    ("claude", Operation.CHAT): {"model": _MODEL, "max_tokens": {"type": "integer", "minimum": 1}, "messages": _MESSAGES},
    ("claude", Operation.COUNT_TOKENS): {"model": _MODEL, "messages": _MESSAGES},
    ("openai_responses", Operation.CHAT): {"model": _MODEL, "input": _INPUT},
    ("openai_responses", Operation.COMPACT): {"model": _MODEL, "input": _INPUT},
    ("openai_responses", Operation.COUNT_TOKENS): {"model": _MODEL, "input": _INPUT},
    ("gemini", Operation.CHAT): {"contents": _MESSAGES},
    ("gemini", Operation.COUNT_TOKENS): {"contents": _MESSAGES},
    ("gemini", Operation.EMBEDDINGS): {"content": OBJECT},
    ("gemini", Operation.BATCH_EMBEDDINGS): {"requests": _MESSAGES},
}  # fmt: skip
# Operations whose body may ask for a stream.
_STREAMING: Final = {("openai_chat", Operation.CHAT), ("openai_chat", Operation.COMPLETIONS), ("claude", Operation.CHAT), ("openai_responses", Operation.CHAT)}  # fmt: skip

# What the gateway says itself of any request, and of one that goes to a provider.
_ANY: Final[Mapping[int, str]] = {
    400: "The request cannot be read, or lacks something.",
    401: "No client key, or an unknown one.",
    405: "Another method is needed.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    431: "The head is too large.",
    500: "The gateway failed.",
    503: "The gateway is ending.",
}
_ASKED: Final[Mapping[int, str]] = {
    403: "The client key may not ask for this model.",
    404: "There is no such model.",
    422: "The provider could not use it.",
    429: "Somebody's limit is reached; `Retry-After` says until when.",
    502: "The provider could not be reached, or broke off.",
    504: "The provider did not answer in time.",
}
# What the management says itself.
_MANAGED: Final[Mapping[int, str]] = {
    400: "The request cannot be read.",
    401: "No management key, or not the right one.",
    403: "The gateway is managed from its own machine only.",
    404: "There is no such thing here; or no secret is set.",
    413: "The body is too large.",
    429: "Too many wrong keys came from this address.",
    500: "The gateway failed; its log says how.",
}

_OPENAI_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_CLAUDE_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_GEMINI_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "status": {"type": "string"}},
        }
    },
}
_ERRORS: Final[Mapping[str, str]] = {"claude": "ClaudeError", "gemini": "GeminiError"}


def _error_reply(text: str, schema: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document.

    Args:
        routes: What is answered outside the core.
        version: Of this software.

    """
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation in (*_client_operations(), *(_managed(route) for route in routes)):
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dragoman",
            "version": version,
            "summary": "One door to every model API.",
            "description": "A HEAD is answered wherever a GET is.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "client", "description": "For clients, in the dialects of providers."},
            {"name": "management", "description": "For the operator."},
        ],
        "paths": paths,
        "components": {
            "schemas": {"OpenAIError": _OPENAI_ERROR, "ClaudeError": _CLAUDE_ERROR, "GeminiError": _GEMINI_ERROR},
            "responses": {
                **{
                    f"{schema}{status}": _error_reply(text, schema)
                    for schema in ("OpenAIError", *_ERRORS.values())
                    for status, text in {**_ANY, **_ASKED}.items()
                },
                **{f"Management{status}": _error_reply(text, "OpenAIError") for status, text in _MANAGED.items()},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A client key, or the management key."},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A client key."},
                "xGoogApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key", "description": "A client key."},
                "xManagementKey": {"type": "apiKey", "in": "header", "name": "x-management-key"},
                "xManagementSecret": {"type": "apiKey", "in": "header", "name": "x-management-secret"},
            },
        },
    }  # fmt: skip


# --- clients ---


def _client_operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in ENDPOINTS.items():
        for method, endpoint in methods.items():
            yield method, path, _client_operation(method, path, endpoint)
    for version in VERSIONS:
        path = f"/{version}/models/{{model}}"
        card = Endpoint("openai_chat" if version == "v1" else "gemini", Operation.MODEL)
        yield "GET", path, _client_operation("GET", path, card)
        for action, (operation, streams) in ACTIONS.items():
            endpoint = Endpoint("gemini", operation, streams=streams)
            yield "POST", f"{path}:{action}", _client_operation("POST", f"{path}:{action}", endpoint)


def _client_operation(method: str, path: str, endpoint: Endpoint) -> dict[str, Any]:
    dialect, operation = endpoint.dialect, endpoint.operation
    is_asked = operation not in LOCAL
    statuses = {**_ANY, **(_ASKED if is_asked or operation is Operation.MODEL else {})}
    if not endpoint.needs_key:
        del statuses[401]
    found: dict[str, Any] = {
        "tags": ["client"],
        "operationId": _operation_id(method, path),
        "summary": f"{operation.value[0].upper()}{operation.value[1:]}, in the dialect {dialect}",
        "responses": {
            "200": {"description": "The answer.", "content": _answers(endpoint)},
            **{
                str(status): {"$ref": f"#/components/responses/{_ERRORS.get(dialect, 'OpenAIError')}{status}"}
                for status in sorted(statuses)
            },
        },
        "security": [{"bearer": []}, {"xApiKey": []}, {"xGoogApiKey": []}] if endpoint.needs_key else [],
    }
    if is_asked:
        found["responses"]["default"] = {"description": "What the provider answered, in the client's dialect."}
    if "{model}" in path:
        found["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": _MODEL}]
    body = BODIES.get((dialect, operation))
    if body is not None:
        properties = dict(body)
        if (dialect, operation) in _STREAMING:
            properties["stream"] = _STREAM
        schema = {"type": "object", "required": [*body], "properties": properties}
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return found


def _answers(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": {"type": ["object", "array"]}}}
    if endpoint.streams or (endpoint.dialect, endpoint.operation) in _STREAMING:
        content["text/event-stream"] = {"schema": _EVENTS}
    return content


# --- management ---


def _managed(route: Route) -> tuple[str, str, dict[str, Any]]:
    is_open = route.is_public
    statuses = {400: _MANAGED[400], 413: _MANAGED[413], 500: _MANAGED[500]} if is_open else _MANAGED
    responses: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/Management{status}"} for status in statuses
    }
    for status, found in route.answers.items():
        content: Mapping[str, Schema] = found.content
        if status >= 400:
            content = {JSON: {"$ref": "#/components/schemas/OpenAIError"}}
        responses[str(status)] = {
            "description": found.description,
            **({"content": {kind: {"schema": schema} for kind, schema in content.items()}} if content else {}),
        }
    operation: dict[str, Any] = {
        "tags": ["management"],
        "operationId": _operation_id(route.method, route.path),
        "summary": route.summary,
        "responses": dict(sorted(responses.items())),
        "security": [] if is_open else [{"bearer": []}, {"xManagementKey": []}, {"xManagementSecret": []}],
    }
    if route.lets_in is not None:
        operation["security"] = [{}, *operation["security"]]
    parameters = [_parameter(parameter) for parameter in route.parameters]
    parameters += [_path_parameter(step[1:-1]) for step in route.path.split("/") if step.startswith("{")]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        content = {kind: {"schema": schema} for kind, schema in route.body.items()}
        operation["requestBody"] = {"required": route.needs_body, "content": content}
    return route.method, route.path, operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _operation_id(method: str, path: str) -> str:
    """A name for an operation.

    >>> _operation_id("GET", "/v1/models/{model}"), _operation_id("GET", "/")
    ('get-v1-models-model', 'get-root')
    """
    words = "".join(c if c.isalnum() or c == "_" else "-" for c in path.replace("{", "").replace("}", "")).strip("-")
    return f"{method.lower()}-{words or 'root'}"


@functools.cache
def _rendered(version: str) -> bytes:
    from dragoman.adapters.management import ROUTES as ALL

    return orjson.dumps(document(ALL, version))


def read_document(desk: Desk, call: Call) -> Step:
    """The document."""
    return lambda: answer_file(_rendered(desk.version), JSON)


_ANSWER: Final[Mapping[int, Reply]] = {
    200: reply({"type": "object", "required": ["openapi", "paths"]}, "An OpenAPI 3.1 document.")
}
ROUTES: Final[Sequence[Route]] = (
    Route("GET", "/openapi.json", read_document, "This document", _ANSWER, is_public=True),
    Route("GET", "/v0/management/openapi.json", read_document, "This document", _ANSWER),
)
