"""How providers of each dialect refuse: status, fields, body, and what they mean by it, said without a look at how the gateway reads it."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import attrs
import orjson

Field = tuple[bytes, bytes]


@attrs.frozen
class Refusal:
    """An error of a provider.

    Attributes:
        meaning: What it says: ``limited``, ``spent``, ``refused``, ``no-model``, ``failed``, ``request``; see `dragoman.adapters.simulation.shadow`.
        status: HTTP.
        fields: Beside those of framing.
        body: JSON.
        delay: Seconds to wait, from when it is read; None: it does not say, or says an instant.
        at: The instant to wait for, by the gateway's clock; None: it does not say.
        setting: The field of `Cooldowns` that says how long the gateway remembers it, where the provider does not.

    """

    meaning: str
    status: int
    body: bytes
    fields: tuple[Field, ...] = ()
    delay: float | None = None
    at: float | None = None
    setting: str = ""


def error_body(dialect: str, status: int, kind: str, message: str, **more: Any) -> bytes:
    """An error in a dialect's shape; `kind` is its word for programs."""
    match dialect:
        case "claude":
            return orjson.dumps({"type": "error", "error": {"type": kind, "message": message, **more}})
        case "gemini":
            return orjson.dumps({"error": {"code": status, "message": message, "status": kind, **more}})
        case _:
            return orjson.dumps({"error": {"message": message, "type": kind, "code": kind, **more}})


_LIMIT_WORD: Final = {
    "openai_chat": "rate_limit_exceeded",
    "openai_responses": "rate_limit_exceeded",
    "claude": "rate_limit_error",
    "gemini": "RESOURCE_EXHAUSTED",
}


def limited(dialect: str, dice: random.Random, now: float) -> Refusal:
    """429 that says when to come again, in one of the ways of its dialect."""
    seconds = dice.choice((1.0, 2.0, 3.5, 8.0, 20.0, 90.0))
    word = _LIMIT_WORD[dialect]
    ways = ["retry-after", "retry-after-ms", "window", "words", "date"]
    way = dice.choice([*ways, "retry-info"] if dialect == "gemini" else ways)
    fields: tuple[Field, ...] = ()
    more: dict[str, Any] = {}
    message = "Too many requests."
    at = None
    match way:
        case "retry-after":
            seconds = float(max(1, int(seconds)))
            fields = ((b"retry-after", b"%d" % seconds),)
        case "retry-after-ms":
            fields = ((b"retry-after-ms", b"%d" % (seconds * 1000)), (b"retry-after", b"%d" % (seconds + 1)))
        case "window" if dialect == "claude":
            at = float(int(now + seconds) + 1)
            text = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z").encode()
            start = b"anthropic-ratelimit-requests-"
            fields = ((start + b"limit", b"50"), (start + b"remaining", b"0"), (start + b"reset", text))
        case "window":
            start = b"x-ratelimit-"
            fields = (
                (start + b"limit-requests", b"50"),
                (start + b"remaining-requests", b"0"),
                (start + b"reset-requests", b"%gs" % seconds),
            )
        case "words":
            message = f"Rate limit reached. Please try again in {seconds:g}s."
        case "date":
            at = float(int(now + seconds) + 1)
            fields = ((b"retry-after", format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True).encode()),)
        case _:
            info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}
            more["details"] = [info]
    body = error_body(dialect, 429, word, message, **more)
    return Refusal("limited", 429, body, fields, None if at is not None else seconds, at)


def skewed(dialect: str, dice: random.Random, now: float) -> Refusal:
    """429 with an instant by a clock that is wrong by up to an hour."""
    at = float(int(now + dice.uniform(-3600, 3600)))
    fields = ((b"retry-after", format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True).encode()),)
    body = error_body(dialect, 429, _LIMIT_WORD[dialect], "Too many requests.")
    return Refusal("limited", 429, body, fields, at=at)


def refusal(fault: str, dialect: str, dice: random.Random, now: float) -> Refusal:
    """What a provider says for a fault of `faults.ANSWER_FAULTS`."""
    match fault:
        case "limited":
            return limited(dialect, dice, now)
        case "limited-silently":
            return Refusal("limited", 429, error_body(dialect, 429, _LIMIT_WORD[dialect], "Too many requests."))
        case "skewed":
            return skewed(dialect, dice, now)
        case "spent":
            return _spent(dialect, dice)
        case "unauthorized":
            body = error_body(dialect, 401, "authentication_error", "The key is not accepted.")
            return Refusal("refused", 401, body, setting="unauthorized")
        case "unpaid":
            body = error_body(dialect, 402, "billing_error", "Please add credit.")
            return Refusal("refused", 402, body, setting="payment_required")
        case "forbidden":
            body = error_body(dialect, 403, "permission_error", "Not for this key.")
            return Refusal("no-model", 403, body, setting="payment_required")
        case "no-model":
            body = error_body(dialect, 404, "model_not_found", "The model does not exist.")
            return Refusal("no-model", 404, body, setting="model_unsupported")
        case "bad-request":
            return Refusal("request", 400, error_body(dialect, 400, "invalid_request_error", "The request is wrong."))
        case _:
            status = dice.choice((500, 502, 503, 529))
            return Refusal("failed", status, error_body(dialect, status, "server_error", "It failed."))


def _spent(dialect: str, dice: random.Random) -> Refusal:
    seconds = dice.choice((5.0, 30.0, 5000.0))
    if dialect == "gemini":
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "QUOTA_EXHAUSTED",
            "metadata": {"quotaResetDelay": f"{seconds:g}s"},
        }
        body = error_body(dialect, 429, "RESOURCE_EXHAUSTED", "Spent.", details=[info])
        return Refusal("spent", 429, body, delay=seconds)
    body = error_body(dialect, 429, "usage_limit_reached", "Spent.", resets_in_seconds=seconds)
    return Refusal("spent", 429, body, delay=seconds)


def error_inside(dialect: str, *, stream: bool) -> bytes:
    """What a provider says inside a 200 when it has failed: a body, or one event of a stream."""
    word = {"claude": "overloaded_error", "gemini": "UNAVAILABLE"}.get(dialect, "server_error")
    body = error_body(dialect, 503, word, "Overloaded.")
    if not stream:
        return body
    match dialect:
        case "claude":
            return b"event: error\ndata: %b\n\n" % body
        case "openai_responses":
            error = {"code": "server_error", "message": "Overloaded."}
            event = {
                "type": "response.failed", "sequence_number": 2,
                "response": {"id": "resp_1", "object": "response", "status": "failed", "error": error, "output": []},
            }  # fmt: skip
            return b"event: response.failed\ndata: %b\n\n" % orjson.dumps(event)
        case _:
            return b"data: %b\n\n" % body


def framed(status: int, fields: Sequence[Field], body: bytes, kind: bytes = b"application/json") -> bytes:
    """An answer with a length."""
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    return b"HTTP/1.1 %d Simulated\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status, kind, lines, len(body), body,
    )  # fmt: skip
