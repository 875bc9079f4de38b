"""Journals of exchanges, as short as a test wants them."""

from typing import Any

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal

USAGE = TokenUsage(input=100, output=20, cached=60, reasoning=5)


def attempt(outcome: str = "ok", status: int | None = 200, *, provider: str = "acme", **more: Any) -> Attempt:
    """One attempt that took a second; a status alone says that it failed with it."""
    fields: dict[str, Any] = {
        "number": 1,
        "provider": provider,
        "upstream_model": "large",
        "credential": f"{provider}-0",
        "status": status,
        "outcome": outcome,
        "detail": "",
        "started_at": 999.0,
        "ended_at": 1000.0,
    }
    return Attempt(**(fields | more))


def journal(*attempts: Attempt, **more: Any) -> Journal:
    """One exchange that ended at 1000.0."""
    fields: dict[str, Any] = {
        "request_id": "req-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "dialect": "openai_chat",
        "client_key": "alice",
        "model": "acme-large",
        "status": 200,
        "fault": "",
        "error": "",
        "streamed": False,
        "attempts": attempts,
        "usage": USAGE,
        "bytes_in": 10,
        "bytes_out": 10,
        "started_at": 998.0,
        "first_byte_at": None,
        "ended_at": 1000.0,
    }
    return Journal(**(fields | more))
