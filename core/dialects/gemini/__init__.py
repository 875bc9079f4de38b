"""Google's generateContent.

Lives here: its requests, answers, streams and errors, the two forms of schema, counting of tokens and embeddings. May not live here: other
dialects, addresses, headers. ``core/dialects/code_assist`` is the same in an envelope.
"""

from dragoman.core.dialects.dialect import Dialect
from dragoman.core.dialects.gemini.answer import build_answer, parse_answer
from dragoman.core.dialects.gemini.errors import build_error, classify_error
from dragoman.core.dialects.gemini.request import TOOL_NAMES, build_request, parse_request
from dragoman.core.dialects.gemini.stream import Reader
from dragoman.core.dialects.gemini.stream_writer import Writer

GEMINI = Dialect(
    name="gemini",
    provider="gemini",
    tool_names=TOOL_NAMES,
    has_custom_tools=False,
    has_namespaces=False,
    parse_request=parse_request,
    build_request=build_request,
    parse_answer=parse_answer,
    build_answer=build_answer,
    reader=Reader,
    writer=Writer,
    keepalive=b"\n",
    classify_error=classify_error,
    build_error=build_error,
)

__all__ = ["GEMINI"]
