"""The wire formats, one folder each. They know the hub (`dragoman.core.chat`) and never each other.

Lives here: reading and writing of requests, answers, streams and errors. May not live here: addresses, headers, keys (those are
`dragoman.core.providers`), or anything about a pair of dialects.

How to add a dialect:

1. A folder ``core/dialects/<name>/`` with ``request.py`` (`parse_request`, `build_request`), ``answer.py`` (`parse_answer`,
   `build_answer`), ``stream.py`` (a reader), ``stream_writer.py`` and ``errors.py`` (`classify_error`, `build_error`); its
   ``__init__.py`` makes the `Dialect` value. `openai_chat` is the model to follow; the promises of each function stand in
   `dragoman.core.dialects.dialect`.
2. A name and a case here, two lines in pyproject.toml (packages, package-dir), and its name in the contract "dialects do not know
   each other".
3. Rules of the house. Unknown fields of a node go to `Extras` (`extras_of`) and come back through `fields_for`; unknown blocks
   and tools become `Opaque` and `OpaqueTool`. `build_request` begins with ``request = fitted(request, NAMES, IDS)`` and, where
   the provider insists on it, ``messages, losses = paired(request.messages)``. Every attribute of the hub that is not written
   is a `Loss`. Signatures are written as they are only for their own provider, else wrapped (towards clients) or left out with a
   `Loss` (towards providers). JSON goes through `dragoman.core.json_text`, event streams through `dragoman.core.sse`.
4. The generic tests (``tests/core/test_translate.py``, ``tests/core/dialects/test_every_dialect.py``) take every one of
   `DIALECTS` by themselves, with the fixtures of ``tests/data/wire`` whose manifest names the dialect. What is special to it is
   tested in ``tests/core/dialects/<name>/``.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from dragoman.core.dialects.dialect import AnswerContext, Dialect, StreamReader, StreamWriter

_NAMES: Final = ("openai_chat", "openai_responses", "claude", "gemini", "code_assist")


class _Dialects(Mapping[str, Dialect]):
    """A dialect is loaded when it is first spoken: most gateways never hear them all, and none does before it listens."""

    def __init__(self) -> None:
        self._loaded: dict[str, Dialect] = {}

    def __getitem__(self, name: str) -> Dialect:
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = _load(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


def _load(name: str) -> Dialect:
    match name:
        case "openai_chat":
            from dragoman.core.dialects.openai_chat import OPENAI_CHAT

            return OPENAI_CHAT
        case "openai_responses":
            from dragoman.core.dialects.openai_responses import OPENAI_RESPONSES

            return OPENAI_RESPONSES
        case "claude":
            from dragoman.core.dialects.claude import CLAUDE

            return CLAUDE
        case "gemini":
            from dragoman.core.dialects.gemini import GEMINI

            return GEMINI
        case "code_assist":
            from dragoman.core.dialects.code_assist import CODE_ASSIST

            return CODE_ASSIST
        case _:
            raise KeyError(name)


DIALECTS: Final[Mapping[str, Dialect]] = _Dialects()

__all__ = ["DIALECTS", "AnswerContext", "Dialect", "StreamReader", "StreamWriter"]
