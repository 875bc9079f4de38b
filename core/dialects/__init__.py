"""The wire formats, one folder each. They know the hub (`dragoman.core.chat`) and never each other.

Lives here: reading and writing of requests, answers, streams and errors. May not live here: addresses, headers, keys (those are
`dragoman.core.providers`), or anything about a pair of dialects.

How to add a dialect:

1. A folder ``core/dialects/<name>/`` with ``request.py`` (`parse_request`, `build_request`), ``answer.py`` (`parse_answer`,
   `build_answer`), ``stream.py`` (a reader), ``stream_writer.py`` and ``errors.py`` (`classify_error`, `build_error`); its
   ``__init__.py`` makes the `Dialect` value. `openai_chat` is the model to follow; the promises of each function stand in
   `dragoman.core.dialects.dialect`.
2. One row in `DIALECTS`, two lines in pyproject.toml (packages, package-dir), and its name in the contract "dialects do not know
   each other".
3. Rules of the house. Unknown fields of a node go to `Extras` (`extras_of`) and come back through `fields_for`; unknown blocks
   and tools become `Opaque` and `OpaqueTool`. `build_request` begins with ``request = fitted(request, NAMES, IDS)`` and, where
   the provider insists on it, ``messages, losses = paired(request.messages)``. Every attribute of the hub that is not written
   is a `Loss`. Signatures are written as they are only for their own provider, else wrapped (towards clients) or left out with a
   `Loss` (towards providers). JSON goes through `dragoman.core.json_text`, event streams through `dragoman.core.sse`.
4. The generic tests (``tests/core/test_translate.py``, ``tests/core/dialects/test_every_dialect.py``) take every row of
   `DIALECTS` by themselves, with the fixtures of ``tests/data/wire`` whose manifest names the dialect. What is special to it is
   tested in ``tests/core/dialects/<name>/``.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dragoman.core.dialects.claude import CLAUDE
from dragoman.core.dialects.code_assist import CODE_ASSIST
from dragoman.core.dialects.dialect import AnswerContext, Dialect, StreamReader, StreamWriter
from dragoman.core.dialects.gemini import GEMINI
from dragoman.core.dialects.openai_chat import OPENAI_CHAT
from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "openai_chat": OPENAI_CHAT,
        "openai_responses": OPENAI_RESPONSES,
        "claude": CLAUDE,
        "gemini": GEMINI,
        "code_assist": CODE_ASSIST,
    }
)

__all__ = ["DIALECTS", "AnswerContext", "Dialect", "StreamReader", "StreamWriter"]
