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

from dragoman.adapters.demo_provider import chat, embeddings, legacy
from dragoman.adapters.demo_provider.answers import CREATED, named, seed_of
from dragoman.adapters.demo_provider.errors import Dialect, Fault
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, read_body, string
from dragoman.adapters.demo_provider.reply import Ending, Reply, json_reply

MODELS: Final = (
    "demo", "demo/echo", "demo/think", "demo/tools", "demo/401", "demo/429", "demo/500", "demo/503", "demo/slow", "demo/silent",
    "demo/cut", "demo/error-mid-stream", "demo/html", "demo/garbage", "demo/empty",
)  # fmt: skip

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
        run: Answers a body; the model and the request's head come along.
        streams: Whether the request asks for a stream.

    """

    dialect: Dialect
    run: Callable[[Request, dict[str, Any]], Reply]


POSTS: Final = {
    "/v1/chat/completions": Operation(chat.DIALECT, chat.complete),
    "/v1/completions": Operation(chat.DIALECT, legacy.complete),
    "/v1/embeddings": Operation(chat.DIALECT, embeddings.embed),
}


def answer(request: Request, *, slowness: float) -> Reply:
    """Answer a request, whatever it is.

    Args:
        request: With its whole body.
        slowness: Seconds ``demo/slow`` waits.

    """
    operation = POSTS.get(request.path)
    dialect = operation.dialect if operation else chat.DIALECT
    if request.method == "GET" and request.path.startswith("/v1/models"):
        return _openai_models(request)
    if operation is None:
        return dialect.refuse(Fault(404, f"Nothing answers at {request.method} {request.path[:200]}."))
    if request.method != "POST":
        return dialect.refuse(Fault(405, f"{request.path} takes POST."))
    try:
        body = read_body(request.raw)
        model = named(string(body.get("model")))
        return _misbehave(model, operation, request, body, slowness) or operation.run(request, body)
    except BadQuestion as error:
        return dialect.refuse(Fault(400, error.message, param=error.param))


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


def _openai_models(request: Request) -> Reply:
    models = [{"id": name, "object": "model", "created": CREATED, "owned_by": "dragoman"} for name in MODELS]
    wanted = re.sub(r"^/v1/models/?", "", request.path)
    if not wanted:
        return json_reply({"object": "list", "data": models}, headers=chat.DIALECT.headers(seed_of({})))
    found = [model for model in models if named(string(model["id"])) == named(wanted)]
    return json_reply(found[0]) if found else chat.DIALECT.refuse(Fault(404, f"There is no model {wanted[:200]!r}."))
