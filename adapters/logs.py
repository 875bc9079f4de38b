"""Logs: one line for each exchange on stderr, as ``key=value`` or as JSON, and lines about the process itself.

Lines are made here and not by a logging library: importing `logging` costs a start 11 ms and structlog 90 ms (measured, of the 300
that a start may take), and all that is asked for is a few fields in a line. A value from outside is quoted as JSON in ASCII unless it is made of
harmless characters only, so that no client can fake a line, move a cursor, or break a field.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

import orjson

from dragoman.adapters.line_writer import LineWriter
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal

Value = str | int | float | bool | None

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@+~%,*-]+").fullmatch
_SHORT: Final = 200  # characters; labels and names come again and again, so they are quoted once
_MAX_TEXT = 2000  # characters of one value; a client may send a path or a model name of any length
_NO_USAGE = TokenUsage()
_NOBODY: Final = Attempt(0, "", "", "", None, "", "", 0.0, 0.0)
_THINKING_ASKED: Final = "thinking: original config from request"
_THINKING_APPLIED: Final = "thinking: processed config to apply"


class Logs:
    """Formats lines and hands them to a writer.

    Args:
        writer: Where lines go.
        now: Epoch seconds.
        as_json: JSON instead of ``key=value``.
        debug: Whether `debug` writes anything.

    """

    def __init__(
        self, writer: LineWriter, now: Callable[[], float], *, as_json: bool = False, debug: bool = False
    ) -> None:
        self._writer = writer
        self._now = now
        self._is_debug = debug
        self._as_json = as_json

    def exchange(self, journal: Journal) -> None:
        """Write the line of an exchange."""
        if self._is_debug and journal.thinking_asked is not None:
            self._thinking(journal)
        self._writer.write(exchange_json(journal) if self._as_json else exchange_text(journal))

    def _thinking(self, journal: Journal) -> None:
        """What reasoning was asked for, and what became of it, in the words operators look for."""
        said = {"request_id": journal.request_id, "model": journal.model}
        if journal.attempts:
            said |= {"provider": journal.attempts[-1].provider, "upstream_model": journal.attempts[-1].upstream_model}
        first = "thinking: config from model suffix" if journal.model.endswith(")") else _THINKING_ASKED
        for event, thinking in ((first, journal.thinking_asked), (_THINKING_APPLIED, journal.thinking_applied)):
            if thinking is not None:
                self._write(
                    "debug",
                    event if self._as_json else _quoted(event),
                    {**said, "mode": thinking.mode, "budget": thinking.budget, "level": thinking.level},
                )

    def debug(self, event: str, **fields: Value) -> None:
        """Write a line for whoever looks for a fault; only when asked for."""
        if self._is_debug:
            self._write("debug", event, fields)

    def info(self, event: str, **fields: Value) -> None:
        """Write a line about the ordinary course of things."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        """Write a line about something that may need attention."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        """Write a line about something that failed."""
        self._write("error", event, fields)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _write(self, level: str, event: str, fields: Mapping[str, Value]) -> None:
        self._writer.write((json_line if self._as_json else text_line)(self._now(), level, event, fields))


def level_of(journal: Journal) -> str:
    """How bad it was: ``error`` when we or a provider failed, ``warning`` when the client did, ``info`` otherwise."""
    if journal.status >= 500 or journal.fault in ("gateway", "provider"):
        return "error"
    return "warning" if journal.status >= 400 or journal.fault else "info"


def fields_of(journal: Journal) -> dict[str, Value]:
    """The fields of an exchange's line, in order; durations in whole milliseconds; what is unknown is None."""
    last = journal.attempts[-1] if journal.attempts else None
    usage = journal.usage or _NO_USAGE
    counted = journal.usage is not None
    first = journal.first_byte_at
    return {
        "request_id": journal.request_id,
        "method": journal.method,
        "path": journal.path,
        "status": journal.status,
        "client_key": journal.client_key or None,
        "model": journal.model or None,
        "provider": last.provider if last else None,
        "upstream_model": last.upstream_model if last else None,
        "credential": last.credential if last else None,
        "streamed": journal.streamed,
        "attempts": len(journal.attempts),
        "fault": journal.fault or None,
        "error": journal.error or None,
        "ttfb_ms": None if first is None else round((first - journal.started_at) * 1000),
        "duration_ms": round((journal.ended_at - journal.started_at) * 1000),
        "tokens_in": usage.input if counted else None,
        "tokens_out": usage.output if counted else None,
        "tokens_cached": usage.cached if counted else None,
        "tokens_reasoning": usage.reasoning if counted else None,
        "losses": _losses(journal) or None,
        "bytes_in": journal.bytes_in,
        "bytes_out": journal.bytes_out,
    }


def _losses(journal: Journal) -> str:
    """What could not be said in another dialect, in a few words."""
    return ",".join(dict.fromkeys(loss.path for loss in journal.losses))


def exchange_json(journal: Journal) -> str:
    """The line of an exchange as JSON."""
    return json_line(journal.ended_at, level_of(journal), "exchange", fields_of(journal))


def exchange_text(journal: Journal) -> str:
    """The line of an exchange as ``key=value``: `text_line` of `fields_of`, written out, for half the time."""
    j, usage, first = journal, journal.usage, journal.first_byte_at
    last = j.attempts[-1] if j.attempts else _NOBODY
    tell = _told if len(j.path) + len(j.model) <= _SHORT else _told.__wrapped__  # the same client asks the same again
    asked, who = tell(
        j.method,
        j.path,
        j.client_key,
        j.model,
        last.provider,
        last.upstream_model,
        last.credential,
        last is not _NOBODY,
    )
    what = f" fault={_quoted(j.fault)}" if j.fault else ""
    what += f" error={_quoted(j.error)}" if j.error else ""
    what += "" if first is None else f" ttfb_ms={round((first - j.started_at) * 1000)}"
    what += f" duration_ms={round((j.ended_at - j.started_at) * 1000)}"
    if usage is not None:
        what += f" tokens_in={usage.input} tokens_out={usage.output} tokens_cached={usage.cached}"
        what += f" tokens_reasoning={usage.reasoning}"
    what += f" losses={_quoted(_losses(j))}" if j.losses else ""
    return (
        f"time={timestamp(j.ended_at)} level={level_of(j)} event=exchange"
        f" request_id={j.request_id if _PLAIN(j.request_id) else _quoted(j.request_id)}{asked} status={j.status}{who}"
        f" streamed={'true' if j.streamed else 'false'} attempts={len(j.attempts)}{what}"
        f" bytes_in={j.bytes_in} bytes_out={j.bytes_out}"
    )


@lru_cache(maxsize=1024)
def _told(
    method: str, path: str, key: str, model: str, provider: str, upstream_model: str, credential: str, is_asked: bool
) -> tuple[str, str]:
    """What was asked for, and who asked whom, for the line of an exchange."""
    who = f" client_key={_quoted(key)}" if key else ""
    who += f" model={_quoted(model)}" if model else ""
    if is_asked:
        who += f" provider={_quoted(provider)} upstream_model={_quoted(upstream_model)}"
        who += f" credential={_quoted(credential)}"
    return f" method={_quoted(method)} path={_quoted(path)}", who


def text_line(at: float, level: str, event: str, fields: Mapping[str, Value]) -> str:
    """One line of ``key=value``; what is None is left out.

    >>> text_line(0.25, "info", "listening", {"port": 8317, "note": "all is well", "tls": None})
    'time=1970-01-01T00:00:00.250Z level=info event=listening port=8317 note="all is well"'
    """
    line = f"time={timestamp(at)} level={level} event={event}"
    for key, value in fields.items():
        if value.__class__ is str:
            line += f" {key}={_quoted(value)}"
        elif value is not None:
            line += f" {key}={value}" if value.__class__ is not bool else f" {key}={'true' if value else 'false'}"
    return line


def json_line(at: float, level: str, event: str, fields: Mapping[str, Value]) -> str:
    """One line of JSON in ASCII; what is None is left out.

    >>> json_line(0.25, "info", "listening", {"port": 8317, "tls": None})
    '{"time":"1970-01-01T00:00:00.250Z","level":"info","event":"listening","port":8317}'
    """
    record: dict[str, Value] = {"time": timestamp(at), "level": level, "event": event}
    for key, value in fields.items():
        if value is not None:
            record[key] = value[:_MAX_TEXT] if isinstance(value, str) else value
    try:
        line = orjson.dumps(record)
    except TypeError:  # lone surrogates, or an integer beyond 64 bits
        line = b"\x80"
    if line.isascii():
        return line.decode()
    import json  # only this rare line needs it

    return json.dumps(record, separators=(",", ":"))


def timestamp(at: float) -> str:
    """ISO 8601 in UTC with milliseconds."""
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _quoted(text: str) -> str:
    """A value as it is when harmless, as a JSON text in ASCII otherwise."""
    return _quoted_short(text) if len(text) <= _SHORT else encode_basestring_ascii(text[:_MAX_TEXT])


@lru_cache(maxsize=4096)
def _quoted_short(text: str) -> str:
    return text if _PLAIN(text) else encode_basestring_ascii(text)
