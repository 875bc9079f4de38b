"""Dragoman: one door to every model API.

The import name. The parts live in the folders beside this one: `dragoman.core` (pure), `dragoman.transports` (sockets),
`dragoman.adapters` (files, commands, the clock). Importing this package loads none of the event loops.

The translator is a library of its own, usable with no gateway:

>>> from dragoman import translate_request
>>> asked = translate_request(b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}', "openai_chat", "claude")
>>> asked.body
b'{"model":"m","max_tokens":32000,"messages":[{"role":"user","content":"Hi"}]}'
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.core.translate import (
        StreamTranslator as StreamTranslator,
    )
    from dragoman.core.translate import (
        translate_answer as translate_answer,
    )
    from dragoman.core.translate import (
        translate_error as translate_error,
    )
    from dragoman.core.translate import (
        translate_request as translate_request,
    )

__version__ = "0.1.0"

_TRANSLATOR = ("StreamTranslator", "translate_answer", "translate_error", "translate_request")

__all__ = ["__version__", *_TRANSLATOR]


def __getattr__(name: str) -> Any:
    """Load the translator when it is first asked for: a start of the gateway should not wait for all dialects."""
    if name in _TRANSLATOR:
        from dragoman.core import translate

        return getattr(translate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
