"""Equal dialects: what the client wrote goes on, what the provider wrote comes back, and usage is read on the way.

Requests keep their bytes but for the model's name (and ``stream_options``, where usage must be asked for). Streams go on in whole
events, so that an error can be put behind them without tearing one; one scan of what arrived together finds the usage.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.request_text import RequestPeek, insert_key, read_value, replace_value, splice_model

# An event longer than this is passed on as it comes; images in base64 reach a few MiB.
_HELD_LIMIT: Final = 8 * 1024 * 1024

_ANSWER_FIELDS: Final = frozenset({
    b"content-type", b"cache-control", b"retry-after", b"retry-after-ms", b"x-should-retry", b"request-id",
    b"openai-processing-ms", b"openai-version", b"openai-model", b"content-language", b"date",
})  # fmt: skip
_ANSWER_PREFIXES: Final = (b"x-ratelimit-", b"anthropic-ratelimit-", b"ratelimit", b"x-codex-")

# What of the client's headers concerns a provider, by the dialect it speaks.
_FOR_ANY: Final = (b"idempotency-key", b"traceparent", b"tracestate")
_REQUEST_FIELDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "openai_chat": (b"openai-beta", *_FOR_ANY),
    "openai_responses": (b"openai-beta", b"session_id", *_FOR_ANY),
    "claude": (b"anthropic-beta", b"anthropic-version", *_FOR_ANY),
    "gemini": _FOR_ANY,
    "code_assist": _FOR_ANY,
}
# Required by Anthropic's API; the first there was, for clients that speak another dialect and name none.
_ANTHROPIC_VERSION: Final = b"anthropic-version: 2023-06-01\r\n"


class _Details(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    choices: list[msgspec.Raw] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_NO_DETAILS: Final = _Details()

_LINE_FEED: Final = 10
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
# Marks of five bytes at most: bytes.find takes a third of the time for those.
_DONE_MARK: Final = b"[DON"
_DONE: Final = re.compile(rb"\[DONE\][ \t]*+\r?$", re.MULTILINE)
_ERROR_MARK: Final = b'{"err'
_ERROR: Final = re.compile(rb'\{"error"[ \t]*+:(?![ \t]*+null)')
_USAGE: Final = re.compile(rb'"usage"[ \t]*+:[ \t]*+\{')  # null in every chunk but the last, by some


def build_request_body(body: bytes, peek: RequestPeek, upstream_model: str, *, ask_usage: bool) -> bytes:
    """The client's body for an upstream: its model named there, usage asked for if `ask_usage`."""
    body = splice_model(body, peek.model, upstream_model)
    if ask_usage:
        if peek.stream_options is msgspec.UNSET:
            return insert_key(body, "stream_options", {"include_usage": True})
        return replace_value(body, "stream_options", _asking(read_value(body, "stream_options")))
    return body


def _asking(options: bytes) -> bytes:
    """``stream_options`` that ask for usage, whatever else they ask for."""
    if not options.startswith(b"{"):  # null
        return b'{"include_usage":true}'
    if read_value(options, "include_usage"):
        return replace_value(options, "include_usage", b"true")
    return insert_key(options, "include_usage", True)


def forwarded_fields(fields: Mapping[bytes, bytes], dialect: str) -> bytes:
    """Header lines of the client's that concern a provider which speaks `dialect`, and those it cannot do without."""
    lines = b"".join([b"%b: %b\r\n" % (name, fields[name]) for name in _REQUEST_FIELDS[dialect] if name in fields])
    return lines if dialect != "claude" or b"anthropic-version" in fields else lines + _ANTHROPIC_VERSION


def forwarded_query(query: str, dialect: str) -> bytes:
    """What of the client's query concerns a provider, to be put behind the path: Anthropic's SDKs mark their beta methods there.

    >>> forwarded_query("key=secret&beta=true", "claude"), forwarded_query("alt=sse", "claude")
    (b'?beta=true', b'')
    """
    return b"?beta=true" if dialect == "claude" and "beta=true" in query.split("&") else b""


def answer_fields(head: ResponseHead) -> list[Field]:
    """Headers of a provider's answer that concern the client; its ``x-request-id`` becomes ``x-upstream-request-id``."""
    return [(name, value) for sent, value in head.fields if (name := _answer_name(sent)) is not None]


@lru_cache(1024)
def _answer_name(name: bytes) -> bytes | None:
    """What the client is told a provider's header under; None: it is not told."""
    if name in _ANSWER_FIELDS or name.startswith(_ANSWER_PREFIXES):
        return name
    return b"x-upstream-request-id" if name == b"x-request-id" else None


def read_usage(answer: bytes) -> TokenUsage | None:
    """Token usage of an OpenAI answer or stream chunk; None when it says nothing (or is no such thing)."""
    try:
        usage = _ANSWER.decode(answer).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if usage is None else _token_usage(usage)


def _token_usage(usage: _Usage) -> TokenUsage:
    sent = usage.prompt_tokens_details or _NO_DETAILS
    made = usage.completion_tokens_details or _NO_DETAILS
    return TokenUsage(
        _count(usage.prompt_tokens),
        _count(usage.completion_tokens),
        _count(sent.cached_tokens),
        _count(sent.cache_write_tokens),
        _count(made.reasoning_tokens),
    )


def _count(value: float | None) -> int:
    return int(value) if value and 0 <= value < 2**53 else 0


class StreamRelay:
    r"""A stream of server-sent events on its way through.

    Args:
        hide_usage: The client did not ask for the usage chunk that we asked for: take it out.

    Attributes:
        usage: Token usage, as last said.
        is_terminated: The stream said ``[DONE]``.
        has_failed: The stream carried an error instead of an answer.

    >>> relay = StreamRelay(hide_usage=True)
    >>> relay.feed(b'data: {"choices":[{}]}\n\nda'), relay.feed(b'ta: {"choices":[],"usage":{"prompt_tokens":3}}\n\n')
    (b'data: {"choices":[{}]}\n\n', b'')
    >>> relay.usage.input
    3

    """

    __slots__ = ("_held", "_hides_usage", "has_failed", "is_terminated", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        self._hides_usage = hide_usage
        self._held = bytearray()  # the beginning of an event; there is no blank line in it
        self.usage: TokenUsage | None = None
        self.is_terminated = False
        self.has_failed = False

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return what may go on: whole events only."""
        held = self._held
        if held:
            # Only what is new is searched, with the two bytes before it: a blank line may be cut.
            searched = max(0, len(held) - 2)
            held += data
            end = _end_of_events(held, searched)
            if not end and len(held) > _HELD_LIMIT:
                end = len(held)
            if not end:
                return b""
            data = bytes(held[:end])
            del held[:end]
        elif not data.endswith(b"\n\n"):
            end = _end_of_events(data, 0)
            if end or len(data) <= _HELD_LIMIT:
                held += data[end:]
                data = data[:end]
        return self._look_at(data)

    def end(self) -> bytes:
        """The stream ended properly: what was held back goes on, and what it forgot to say."""
        rest = bytes(self._held)
        self._held.clear()
        if rest.strip(b"\r\n"):
            rest = self._look_at(rest.rstrip(b"\r\n") + b"\n\n")
        return rest if self.is_terminated else rest + b"data: [DONE]\n\n"

    def _look_at(self, data: bytes) -> bytes:
        """Notice what whole events say; returns them, without those to be hidden."""
        if b'"usage"' in data:
            data = self._read_usage(data)
        if _begins_with(data, _DONE_MARK, _DONE):
            self.is_terminated = True
        if _begins_with(data, _ERROR_MARK, _ERROR):
            self.has_failed = True
        return data

    def _read_usage(self, data: bytes) -> bytes:
        """Read usage where it is said, and cut the events that say nothing else if they are to be hidden."""
        kept: list[bytes] = []
        kept_to = 0
        found = _USAGE.search(data)
        while found is not None:
            at = found.start()
            start = data.rfind(b"\n", kept_to, at) + 1 or kept_to
            end = data.find(b"\n", at)
            end = end if end >= 0 else len(data)
            answer = _decode_line(data[start:end])
            if answer is not None and answer.usage is not None:
                self.usage = _token_usage(answer.usage)
                if self._hides_usage and answer.choices is not None and not answer.choices:
                    # The whole event goes, with any other lines it has.
                    begin = max(_end_of_events(data, kept_to, start), kept_to)
                    while data[begin] in b"\r\n":  # more blank lines than it takes
                        begin += 1
                    kept.append(data[kept_to:begin])
                    blank = _BLANK_LINE.search(data, end)
                    kept_to = end = blank.end() if blank is not None else len(data)
            found = _USAGE.search(data, end)
        return b"".join([*kept, data[kept_to:]]) if kept else data


def _begins_with(data: bytes, mark: bytes, said: "re.Pattern[bytes]") -> bool:
    """Whether some ``data:`` line of `data` begins with what `said` matches, which itself begins with `mark`.

    The mark is looked for first, and then what stands around it: to look at the start of every line takes twenty times as long.
    """
    at = data.find(mark)
    while at >= 0:
        start = at - (6 if data[at - 1 : at] == b" " else 5)
        is_line = start == 0 or (start > 0 and data[start - 1] == _LINE_FEED)
        if is_line and data.startswith(b"data:", start) and said.match(data, at) is not None:
            return True
        at = data.find(mark, at + 1)
    return False


def _end_of_events(data: bytes | bytearray, start: int, stop: int | None = None) -> int:
    """Where the last event that is complete between `start` and `stop` ends, blank line included; 0 when none is."""
    bare = data.rfind(b"\n\n", start, stop)
    strict = data.rfind(
        b"\n\r\n", max(start, bare), stop
    )  # only if it is later: a search of all that came would be in vain
    if bare > strict:
        return bare + 2
    return strict + 3 if strict >= 0 else 0


def _decode_line(line: bytes) -> _Answer | None:
    if not line.startswith(b"data:"):
        return None
    try:
        return _ANSWER.decode(line[5:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
