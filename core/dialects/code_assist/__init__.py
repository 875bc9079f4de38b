"""Gemini in the envelope of Google's Code Assist (``/v1internal:generateContent``), as the Gemini CLI speaks it after a login.

Lives here: the envelope. May not live here: anything of Gemini itself, which is ``core/dialects/gemini``; addresses, headers, logins.
"""

from dragoman.core.dialects.code_assist.answer import Reader, Writer, build_answer, parse_answer
from dragoman.core.dialects.code_assist.request import build_request, parse_request
from dragoman.core.dialects.dialect import Dialect
from dragoman.core.dialects.gemini.errors import build_error, classify_error
from dragoman.core.dialects.gemini.request import TOOL_NAMES

CODE_ASSIST = Dialect(
    name="code_assist",
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
    words="gemini",
)

__all__ = ["CODE_ASSIST"]
