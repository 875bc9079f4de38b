"""Anthropic's Messages API.

Lives here: its requests, answers, streams and errors. May not live here: other dialects, addresses, headers.
"""

from dragoman.core.dialects.claude.answer import build_answer, parse_answer
from dragoman.core.dialects.claude.errors import build_error, classify_error
from dragoman.core.dialects.claude.request import TOOL_NAMES, build_request, parse_request
from dragoman.core.dialects.claude.stream import Reader
from dragoman.core.dialects.claude.stream_writer import Writer
from dragoman.core.dialects.dialect import Dialect

CLAUDE = Dialect(
    name="claude",
    provider="claude",
    tool_names=TOOL_NAMES,
    has_custom_tools=False,
    has_namespaces=False,
    parse_request=parse_request,
    build_request=build_request,
    parse_answer=parse_answer,
    build_answer=build_answer,
    reader=Reader,
    writer=Writer,
    keepalive=b'event: ping\ndata: {"type":"ping"}\n\n',
    classify_error=classify_error,
    build_error=build_error,
)

__all__ = ["CLAUDE"]
