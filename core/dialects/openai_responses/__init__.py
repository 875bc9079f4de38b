"""OpenAI Responses, which Codex speaks.

Lives here: its requests, answers, streams and errors, and the answers of its smaller endpoints. May not live here: other dialects,
addresses, headers.
"""

from dragoman.core.dialects.dialect import Dialect
from dragoman.core.dialects.openai_responses.answer import build_answer, parse_answer
from dragoman.core.dialects.openai_responses.errors import build_error, classify_error
from dragoman.core.dialects.openai_responses.request import TOOL_NAMES, build_request, parse_request
from dragoman.core.dialects.openai_responses.stream import Reader
from dragoman.core.dialects.openai_responses.stream_writer import Writer

OPENAI_RESPONSES = Dialect(
    name="openai_responses",
    provider="openai",
    tool_names=TOOL_NAMES,
    has_custom_tools=True,
    has_namespaces=True,
    parse_request=parse_request,
    build_request=build_request,
    parse_answer=parse_answer,
    build_answer=build_answer,
    reader=Reader,
    writer=Writer,
    keepalive=b": keep-alive\n\n",
    classify_error=classify_error,
    build_error=build_error,
)

__all__ = ["OPENAI_RESPONSES"]
