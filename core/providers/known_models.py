"""Models of providers that have no list in the configuration: what is served under its own name.

The names are those of CLIProxyAPI's registry for the same kind of credential (facts only), seen 2026-11, and Anthropic's undated names
(``claude-haiku-4-5``) beside the dated ones, since its API takes both. What is missing here can be asked for as ``provider/name``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dragoman.core.config import Model

_CLAUDE: Final = (
    "claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-6",
    "claude-sonnet-5", "claude-opus-4-5", "claude-opus-4-5-20251101", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8",
    "claude-opus-5", "claude-fable-5", "claude-opus-4-1", "claude-opus-4-1-20250805", "claude-opus-4-20250514",
    "claude-sonnet-4-20250514", "claude-3-7-sonnet-20250219", "claude-3-5-haiku-20241022",
)  # fmt: skip
_GEMINI: Final = (
    "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-3-pro-preview",
    "gemini-3-pro-image-preview", "gemini-3.1-flash-image-preview", "gemini-3.1-flash-lite-preview", "gemini-3.1-pro-preview",
    "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.7-flash",
)  # fmt: skip
_CODE_ASSIST: Final = (
    "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-3-pro-preview",
    "gemini-3.1-flash-lite-preview", "gemini-3.1-pro-preview",
)  # fmt: skip
_VERTEX: Final = (
    "gemini-2.5-flash", "gemini-2.5-flash-image", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-3-flash", "gemini-3-pro",
    "gemini-3-pro-image", "gemini-3.1-flash-image", "gemini-3.1-flash-lite", "gemini-3.1-pro", "gemini-3.1-pro-preview",
    "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.7-flash",
)  # fmt: skip
_OPENAI: Final = ("gpt-5.4-mini", "gpt-5.4", "gpt-5.5", "gpt-5.6-luna", "gpt-5.6-sol", "gpt-5.6-terra")
_XAI: Final = (
    "grok-3-mini", "grok-3-mini-fast", "grok-4.20-0309-non-reasoning", "grok-4.20-0309-reasoning", "grok-4.20-multi-agent-0309",
    "grok-4.3", "grok-4.5", "grok-4.6", "grok-build-0.1", "grok-composer-2.5-fast",
)  # fmt: skip

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "claude": _CLAUDE,
    "anthropic": _CLAUDE,
    "gemini": _GEMINI,
    "gemini-cli": _CODE_ASSIST,
    "vertex": _VERTEX,
    "openai": _OPENAI,
    "codex": (*_OPENAI, "gpt-5.3-codex-spark", "codex-auto-review"),
    "xai": _XAI,
})  # fmt: skip


def known_models(provider: str) -> tuple[Model, ...]:
    """The models of a provider, by its name; none for those whose models we do not know.

    >>> known_models("claude")[0].alias, known_models("openrouter")
    ('claude-haiku-4-5', ())
    """
    return tuple(Model(name, name) for name in _NAMES.get(provider, ()))
