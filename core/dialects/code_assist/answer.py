"""Answers and streams in Code Assist's envelope: ``{"response": {...}, "traceId"}``. Errors come without it."""

from typing import Any

import msgspec

from dragoman.core.chat.answer import Answer
from dragoman.core.chat.loss import Loss
from dragoman.core.dialects import reading
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.gemini import answer as gemini
from dragoman.core.dialects.gemini.candidate import Chunk, leniently
from dragoman.core.dialects.gemini.stream import Reader as GeminiReader
from dragoman.core.dialects.gemini.stream_writer import Writer as GeminiWriter
from dragoman.core.json_text import dumps


def _unwrapped(node: dict[str, Any]) -> dict[str, Any]:
    """What is in the envelope, with the envelope's id if it has none; an answer without one is taken as it is."""
    inner = node.get("response")
    if not isinstance(inner, dict):
        return node
    trace = reading.text_or_none(node, "traceId")
    return inner if trace is None or reading.text(inner, "responseId") else {**inner, "responseId": trace}


def parse_answer(body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
    """Read an answer; see `dragoman.core.dialects.dialect.AnswerParser`."""
    return gemini.parse_node(_unwrapped(reading.answer_object(body)))


def build_answer(answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
    """Write an answer; see `dragoman.core.dialects.dialect.AnswerBuilder`."""
    node, losses = gemini.build_node(answer, context)
    return dumps({"response": node, "traceId": answer.id} if answer.id else {"response": node}), losses


class _Envelope(msgspec.Struct, rename="camel", gc=False):
    response: Chunk | None = None
    trace_id: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Envelope).decode


class Reader(GeminiReader):
    """Reads a stream; see `dragoman.core.dialects.dialect.StreamReader`."""

    def typed(self, data: bytes) -> Chunk:
        """Read the JSON of an event."""
        envelope = _decode(data)
        if envelope.error:
            return Chunk(error=envelope.error)
        chunk = envelope.response
        if chunk is None:
            return super().typed(data)
        chunk.response_id = chunk.response_id or envelope.trace_id
        return chunk

    def leniently(self, node: dict[str, Any]) -> Chunk:
        """Read an event of the wrong types."""
        if node.get("error"):
            return Chunk(error=node["error"])
        return leniently(_unwrapped(node))


class Writer(GeminiWriter):
    """Writes a stream; see `dragoman.core.dialects.dialect.StreamWriter`."""

    head = b'data: {"response":'

    def foot(self, answer_id: str) -> bytes:
        """What stands behind each chunk."""
        return b',"traceId":' + dumps(answer_id) + b"}\n\n" if answer_id else b"}\n\n"
