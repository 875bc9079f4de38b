"""Which operation of which dialect a request asks for, and the models that misbehave on purpose.

::

    demo, demo/echo             answer properly            demo/think    always reasons
    demo/tools                  calls every tool at once   demo/slow     the first byte comes late
    demo/401 429 500 503        that error                 demo/html     502 with a page, as a proxy in between would
    demo/silent                 never answers              demo/garbage  bytes that are not HTTP
    demo/empty                  200 and nothing            demo/cut      the connection closes in the middle
    demo/error-mid-stream       half an answer, then the dialect's error in the stream (500 when not streamed)

Every other name answers as ``demo`` does; ``demo/`` may be left out, for gateways strip such prefixes.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import attrs

from dragoman.adapters.demo_provider import chat, claude, embeddings, gemini, legacy, models, responses
from dragoman.adapters.demo_provider.answers import named, seed_of
from dragoman.adapters.demo_provider.errors import Dialect, Fault
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, read_body, string
from dragoman.adapters.demo_provider.reply import Ending, Reply, json_reply

RETRY_AFTER: Final = 7

FAULTS: Final = {
    "401": Fault(401, "The demo provider does not know this key."),
    "429": Fault(
        429, f"The demo provider's rate limit is reached. Try again in {RETRY_AFTER}s.", retry_after=RETRY_AFTER
    ),
    "500": Fault(500, "The demo provider failed, as asked."),
    "503": Fault(503, "The demo provider is overloaded, as asked."),
}


@attrs.frozen
class Operation:
    """What a path means.

    Attributes:
        dialect: Whose errors and headers it has.
        run: Answers a body; raises BadQuestion when it cannot.

    """

    dialect: Dialect
    run: Callable[[Request, dict[str, Any]], Reply]


POSTS: Final = {
    "/v1/chat/completions": Operation(chat.DIALECT, chat.complete),
    "/v1/completions": Operation(chat.DIALECT, legacy.complete),
    "/v1/embeddings": Operation(chat.DIALECT, embeddings.embed),
    "/v1/responses": Operation(responses.DIALECT, responses.respond),
    "/v1/responses/input_tokens": Operation(responses.DIALECT, responses.count),
    "/v1/responses/compact": Operation(responses.DIALECT, responses.compact),
    "/v1/messages": Operation(claude.DIALECT, claude.create),
    "/v1/messages/count_tokens": Operation(claude.DIALECT, claude.count),
}

GEMINI_METHODS: Final = {
    "generateContent": Operation(gemini.DIALECT, gemini.generate),
    "streamGenerateContent": Operation(gemini.DIALECT, gemini.stream),
    "countTokens": Operation(gemini.DIALECT, gemini.count),
    "embedContent": Operation(gemini.DIALECT, gemini.embed),
    "batchEmbedContents": Operation(gemini.DIALECT, gemini.embed_many),
}

# The method follows the last colon; google-genai says v1 where others say v1beta.
_GEMINI_PATH = re.compile(r"/v1(?:beta|alpha|beta1)?/(?:models|tunedModels)/(.+):(\w+)", re.DOTALL)
_MODELS_PATH = re.compile(r"/v1(?:beta|alpha|beta1)?/models(?:/(.+))?", re.DOTALL)


def answer(request: Request, *, slowness: float) -> Reply:
    """Answer a request, whatever it is.

    Args:
        request: With its whole body.
        slowness: Seconds ``demo/slow`` waits.

    """
    operation, model = POSTS.get(request.path), ""
    if found := _GEMINI_PATH.fullmatch(request.path):
        operation, model = GEMINI_METHODS.get(found[2]), found[1]
    if request.method in ("GET", "HEAD") and (listed := _MODELS_PATH.fullmatch(request.path)) and operation is None:
        return _list_models(request, listed[1] or "")
    if operation is None:
        return _dialect_of(request).refuse(Fault(404, f"Nothing answers at {request.method} {request.path[:200]}."))
    if request.method != "POST":
        return operation.dialect.refuse(Fault(405, f"{request.path[:200]} takes POST."))
    try:
        body = read_body(request.raw)
        if model:
            body["model"] = model
        name = named(string(body.get("model")))
        return _misbehave(name, operation, request, body, slowness) or operation.run(request, body)
    except BadQuestion as error:
        return operation.dialect.refuse(Fault(400, error.message, param=error.param))


def _dialect_of(request: Request) -> Dialect:
    """Guess who is asking at an address that tells nothing."""
    if (
        request.path.startswith(("/v1beta", "/v1alpha"))
        or "x-goog-api-key" in request.headers
        or "key" in request.query
    ):
        return gemini.DIALECT
    if "anthropic-version" in request.headers or request.path.startswith("/v1/messages"):
        return claude.DIALECT
    return chat.DIALECT


def refuse(status: int, message: str) -> Reply:
    """Refuse what is not even a request; nobody knows its dialect, so the commonest is spoken."""
    return chat.DIALECT.refuse(Fault(status, message))


def _misbehave(model: str, op: Operation, request: Request, body: dict[str, Any], slowness: float) -> Reply | None:
    """What a special model does; None when it does nothing special."""
    if fault := FAULTS.get(model):
        return op.dialect.refuse(fault)
    match model:
        case "silent":
            return Reply(200, (), b"", ending=Ending.NEVER)
        case "garbage":
            return Reply(200, (), b"", ending=Ending.GARBAGE)
        case "html":
            page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
            return Reply(502, (("content-type", "text/html"),), page)
        case "slow":
            return attrs.evolve(op.run(request, body), delay=slowness)
        case "empty":
            reply = op.run(request, body)
            return attrs.evolve(reply, body=None if reply.body is None else b"", events=())
        case "cut":
            reply = op.run(request, body)
            return attrs.evolve(reply, events=reply.events[: len(reply.events) // 2], ending=Ending.CUT)
        case "error-mid-stream":
            reply = op.run(request, body)
            if reply.body is not None:
                return op.dialect.refuse(FAULTS["500"])
            kept = reply.events[: len(reply.events) // 2]
            fault = Fault(500, "The demo provider failed in mid-stream, as asked.")
            return attrs.evolve(reply, events=(*kept, *op.dialect.break_off(kept, fault)))
        case _:
            return None


def _list_models(request: Request, wanted: str) -> Reply:
    dialect = _dialect_of(request)
    write, write_list = models.openai_model, models.openai_list
    if dialect is gemini.DIALECT:
        write, write_list = models.gemini_model, models.gemini_list
    elif dialect is claude.DIALECT:
        write, write_list = models.claude_model, models.claude_list
    if not wanted:
        return json_reply(write_list([write(name) for name in models.MODELS]), headers=dialect.headers(seed_of({})))
    if named(wanted) not in map(named, models.MODELS):
        return dialect.refuse(Fault(404, f"There is no model {wanted[:200]!r}."))
    return json_reply(write(wanted.removeprefix("models/")), headers=dialect.headers(seed_of({})))
