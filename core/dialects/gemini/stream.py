"""Reading streams of streamGenerateContent: ``data:`` events without names, or one JSON array; no terminator.

What the reader minds: the stream ends with its connection, and well only if every candidate has a finish reason; usage may come after it;
an error may stand under any key, in an event or without one; a prompt that was blocked gets no candidates at all.
"""

import re
from typing import Any

import msgspec

from dragoman.core.chat.answer import Finish
from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.stream import AnswerEnded, AnswerStarted, Delta, Finished, StreamFailed, UsageUpdate
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.gemini.candidate import CandidateReader, Chunk, leniently
from dragoman.core.dialects.gemini.content import in_camel_case
from dragoman.core.dialects.gemini.ending import parse_block, parse_usage
from dragoman.core.dialects.gemini.errors import fault_of
from dragoman.core.dialects.gemini.json_array import ArrayReader
from dragoman.core.errors import BadStream
from dragoman.core.json_text import loads
from dragoman.core.sse import EventReader

# Gateways that write the API's keys in snake_case: the typed reader would not see them.
_SNAKE = re.compile(
    rb'"(?:finish_reason|usage_metadata|function_call|inline_data|prompt_feedback|thought_signature)"\s*:'
)


class Reader:
    r"""Reads a stream; see `dragoman.core.dialects.dialect.StreamReader`.

    >>> reader = Reader()
    >>> reader.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"responseId":"r","modelVersion":"m"}\n\n')
    [AnswerStarted(id='r', model='m', created=None), TextDelta(text='Hi', choice=0)]
    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._counted: dict[str, Any] = {}  # as last said
        self._told: TokenUsage | None = None
        self._events = EventReader()
        self._array: ArrayReader | None = None
        self._is_blank = True  # nothing but white space has come
        self._candidates: dict[int, CandidateReader] = {}
        self._id: str | None = None
        self._blocked: Finish | None = None
        self._done = False

    @property
    def usage(self) -> TokenUsage | None:
        """What has been counted until now."""
        return parse_usage(self._counted) if self._counted else None

    def feed(self, data: bytes) -> list[Delta]:
        """Take a piece."""
        out: list[Delta] = []
        if self._done:
            return out
        if self._is_blank:
            data = data.lstrip()
            if not data:
                return out
            self._is_blank = False
            if data[:1] in (b"[", b"{"):
                self._array = ArrayReader()
        try:
            events = (
                [event.data for event in self._events.feed(data)] if self._array is None else self._array.feed(data)
            )
        except BadStream as error:
            return self._fail(Fault("internal", error.message, error.status), out)
        self._read(events, out)
        return out

    def close(self) -> list[Delta]:
        """The body has ended."""
        out: list[Delta] = []
        if self._done:
            return out
        if self._array is None:
            rest = self._events.held.strip()
            events = [event.data for event in self._events.close()]
            # Some backends write an error in mid-stream as it is, without making an event of it.
            self._read(events or ArrayReader().feed(rest if rest[:1] in (b"[", b"{") else b""), out)
        if not self._done:
            self._end(out)
        return out

    def decode(self, data: bytes) -> Chunk | None:
        """Read the JSON of one event; None when it is none."""
        try:
            if b"_" not in data or _SNAKE.search(data) is None:
                return self.typed(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        try:
            node = in_camel_case(loads(data))
        except (ValueError, RecursionError):
            if data.strip() not in (b"", b"[DONE]"):  # compatible gateways end with that word
                self.losses.append(Loss("answer", "dropped", "an event of the stream is not JSON"))
            return None
        if isinstance(node, list) and node and isinstance(node[0], dict) and "error" in node[0]:
            node = node[0]
        return self.leniently(node) if isinstance(node, dict) else None

    def typed(self, data: bytes) -> Chunk:
        """Read the JSON of an event; raises what msgspec raises."""
        return _decode(data)

    def leniently(self, node: dict[str, Any]) -> Chunk:
        """Read an event of the wrong types."""
        return leniently(node)

    def _read(self, events: list[bytes], out: list[Delta]) -> None:
        candidates = self._candidates
        for data in events:
            chunk = self.decode(data)
            if chunk is None:
                continue
            if chunk.error:
                self._fail(fault_of(chunk.error, 0), out)
                return
            if self._id is None and (
                chunk.candidates or chunk.response_id or chunk.usage_metadata or chunk.prompt_feedback
            ):
                self._id = chunk.response_id or ""
                out.append(AnswerStarted(self._id, chunk.model_version or ""))
            for candidate in chunk.candidates or ():
                reader = candidates.get(candidate.index)
                if reader is None:
                    reader = candidates[candidate.index] = CandidateReader(candidate.index, self._id or "", self.losses)
                reader.read(candidate, out)
            if chunk.prompt_feedback is not None:
                self._blocked = parse_block(chunk.prompt_feedback) or self._blocked
            if chunk.usage_metadata:
                # It stands on nearly every chunk; the first time tells what was read, the last time, which comes with the end, all.
                self._counted = chunk.usage_metadata
                if self._told is None:
                    self._count(out)

    def _count(self, out: list[Delta]) -> None:
        usage = self.usage
        if usage is not None and usage != self._told:
            self._told = usage
            out.append(UsageUpdate(usage))

    def _end(self, out: list[Delta]) -> None:
        """The stream is over: well, if every candidate is."""
        candidates = self._candidates
        if self._blocked is not None and not candidates:
            out.append(Finished(self._blocked))
        elif not candidates or not all(reader.finish for reader in candidates.values()):
            self._fail(TRUNCATED, out)
            return
        self._done = True
        self._count(out)
        out.append(AnswerEnded())

    def _fail(self, fault: Fault, out: list[Delta]) -> list[Delta]:
        self._done = True
        self._count(out)
        out.append(StreamFailed(fault))
        return out


_decode = msgspec.json.Decoder(Chunk).decode
