"""How much a model may reason: what was asked, made into what the model takes.

A client asks for a level, a budget of tokens, "off" or "you decide"; a model takes levels, budgets within limits, both, or nothing of
the kind. `fit_thinking` turns one into the other, in this order: what the model has no idea of is left out; the kind is converted
(`dragoman.core.chat.effort`); "off" and "you decide" become the nearest thing the model knows; the rest is clamped.

The table is CLIProxyAPI's model registry (facts only), seen 2026-11. An unknown model is sent what was asked, unchanged.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from dragoman.core.chat.effort import LEVELS, budget_of, level_of, nearest_level
from dragoman.core.chat.loss import Loss, changed, dropped
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.target import ModelFacts
from dragoman.core.errors import BadRequest

# Least and most tokens of a budget; z: can be off, y: can decide itself; levels; most tokens of output.
_Row = tuple[int | None, int | None, str, str, int | None]

_MODELS: Mapping[str, _Row] = {
    "claude-haiku-4-5": (1024, 128000, "z", "", 64000),
    "claude-sonnet-4-5": (1024, 128000, "z", "", 64000),
    "claude-sonnet-4-6": (1024, 128000, "z", "low medium high max", 64000),
    "claude-opus-4-6": (1024, 128000, "z", "low medium high max", 128000),
    "claude-opus-4-7": (1024, 128000, "z", "low medium high xhigh max", 128000),
    "claude-opus-4-8": (1024, 128000, "z", "low medium high xhigh max", 128000),
    "claude-opus-5": (None, None, "zy", "low medium high xhigh max", 128000),
    "claude-sonnet-5": (None, None, "zy", "low medium high xhigh max", 128000),
    "claude-fable-5": (1024, 128000, "z", "low medium high xhigh max", 128000),
    "claude-opus-4-5": (1024, 128000, "z", "", 64000),
    "claude-opus-4-1": (1024, 128000, "", "", 32000),
    "claude-opus-4": (1024, 128000, "", "", 32000),
    "claude-sonnet-4": (1024, 128000, "", "", 64000),
    "claude-3-7-sonnet": (1024, 128000, "", "", 8192),
    "claude-3-5-haiku": (None, None, "", "", 8192),
    "gemini-2.5-pro": (128, 32768, "y", "", 65536),
    "gemini-2.5-flash": (0, 24576, "zy", "", 65536),
    "gemini-2.5-flash-lite": (0, 24576, "zy", "", 65536),
    "gemini-3-pro-preview": (128, 32768, "y", "low high", 65536),
    "gemini-3.1-pro-preview": (128, 32768, "y", "low medium high", 65536),
    "gemini-3.1-flash-image-preview": (128, 32768, "y", "minimal high", 65536),
    "gemini-3-flash-preview": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3.1-flash-lite-preview": (128, 32768, "y", "minimal high", 65536),
    "gemini-3-pro-image-preview": (128, 32768, "y", "low high", 65536),
    "gemini-3.5-flash": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3.5-flash-lite": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3.6-flash": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3.7-flash": (128, 65535, "y", "minimal low medium high", 65536),
    "gemini-2.5-flash-image": (0, 24576, "zy", "", 65536),
    "gemini-3-pro": (128, 32768, "y", "low high", 65536),
    "gemini-3-flash": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3.1-pro": (128, 32768, "y", "low medium high", 65536),
    "gemini-3.1-flash-image": (128, 32768, "y", "minimal high", 65536),
    "gemini-3.1-flash-lite": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-3-pro-image": (128, 32768, "y", "low high", 65536),
    "gemini-pro-latest": (128, 32768, "y", "", 65536),
    "gemini-flash-latest": (0, 24576, "zy", "", 65536),
    "gemini-flash-lite-latest": (512, 24576, "zy", "", 65536),
    "gpt-5.4-mini": (None, None, "", "low medium high xhigh", 128000),
    "gpt-5.5": (None, None, "", "low medium high xhigh", 128000),
    "gpt-5.6-terra": (None, None, "", "low medium high xhigh max", 128000),
    "gpt-5.6-luna": (None, None, "", "low medium high xhigh max", 128000),
    "codex-auto-review": (None, None, "", "low medium high xhigh", 128000),
    "gpt-5.4": (None, None, "", "low medium high xhigh", 128000),
    "gpt-5.6-sol": (None, None, "", "low medium high xhigh max", 128000),
    "gpt-5.3-codex-spark": (None, None, "", "low medium high xhigh", 128000),
    "kimi-k2": (None, None, "", "", 32768),
    "kimi-k2-thinking": (None, None, "z", "low high", 32768),
    "kimi-k2.5": (None, None, "z", "low high", 32768),
    "kimi-k2.6": (None, None, "z", "low high", 65536),
    "kimi-k2.7-code": (None, None, "", "low high", 65536),
    "kimi-k2.7-code-highspeed": (None, None, "", "low high", 65536),
    "kimi-k3": (None, None, "", "low high max", 65536),
    "kimi-k3-256k": (None, None, "", "low high max", 65536),
    "claude-opus-4-6-thinking": (1024, 64000, "zy", "", 64000),
    "gemini-3.6-flash-high": (1, 65535, "y", "minimal low medium high", 65536),
    "gemini-3.7-flash-high": (1, 65535, "y", "minimal low medium high", 65536),
    "gemini-3-flash-agent": (128, 32768, "y", "minimal low medium high", 65536),
    "gemini-pro-agent": (1, 65535, "y", "low medium high", 65535),
    "gemini-3.1-pro-low": (1, 65535, "y", "low medium high", 65535),
    "gpt-oss-120b-medium": (None, None, "", "", 32768),
    "gemini-3.5-flash-low": (1, 65535, "y", "low medium high", 65535),
    "gemini-3.5-flash-extra-low": (1, 65535, "y", "low medium high", 65535),
    "grok-4.6": (None, None, "", "low medium high xhigh", 65536),
    "grok-build-0.1": (None, None, "", "", 256000),
    "grok-4.5": (None, None, "", "low medium high", 65536),
    "grok-4.3": (None, None, "z", "none low medium high", 65536),
    "grok-4.20-0309-reasoning": (None, None, "", "", 65536),
    "grok-4.20-0309-non-reasoning": (None, None, "", "", 65536),
    "grok-4.20-multi-agent-0309": (None, None, "", "low medium high", 65536),
    "grok-3-mini": (None, None, "", "low medium high", 32768),
    "grok-3-mini-fast": (None, None, "", "low medium high", 32768),
    "grok-composer-2.5-fast": (None, None, "", "", 32768),
}

# Where the same name means something else behind another door.
_ELSEWHERE: Mapping[tuple[str, str], _Row] = {
    ("antigravity", "claude-sonnet-4-6"): (1024, 64000, "zy", "", 64000),
    ("aistudio", "gemini-3-pro-preview"): (128, 32768, "y", "", 65536),
    ("aistudio", "gemini-3.1-pro-preview"): (128, 32768, "y", "", 65536),
    ("aistudio", "gemini-3-flash-preview"): (128, 32768, "y", "", 65536),
    ("aistudio", "gemini-3.1-flash-lite-preview"): (128, 32768, "y", "minimal low medium high", 65536),
    ("gemini-cli", "gemini-3.1-flash-lite-preview"): (128, 32768, "y", "minimal low medium high", 65536),
    ("aistudio", "gemini-2.5-flash-image"): (None, None, "", "", 8192),
    ("antigravity", "gemini-3.1-flash-image"): (128, 32768, "y", "minimal high", None),
    ("antigravity", "gemini-3.1-flash-lite"): (1, 65535, "zy", "minimal low medium high", 65535),
}

_DATE = re.compile(r"(?:-|@)20\d{6}$|-latest$")
_SUFFIX = re.compile(r"(.+)\(([^()]+)\)")


def facts_of(model: str, provider: str = "") -> ModelFacts:
    """What is known of a model.

    Args:
        model: The upstream model's name; a path before it (``models/``, ``anthropic/``) and a date after it do not matter.
        provider: Through which door it is reached, where that makes a difference: ``aistudio``, ``antigravity``, ``gemini-cli``.

    >>> facts_of("claude-sonnet-4-5-20250929").max_budget, facts_of("models/gemini-3-pro-preview").levels
    (128000, ('low', 'high'))
    >>> facts_of("something-else").known
    False

    """
    name = model.lower().rpartition("/")[2]
    plain = _DATE.sub("", name)
    for key in (name, plain):
        row = _ELSEWHERE.get((provider, key)) or _MODELS.get(key)
        if row is not None:
            return _facts(key, row)
    return ModelFacts()


def _facts(name: str, row: _Row) -> ModelFacts:
    least, most, flags, levels, output = row
    # Claude models with levels reason adaptively, which is to decide themselves.
    may_decide = "y" in flags or (name.startswith("claude") and levels != "")
    known = tuple(level for level in levels.split() if level in LEVELS)
    may_be_off = "z" in flags or "none" in levels.split()
    return ModelFacts(True, output, least, most, may_be_off, may_decide, known)


def split_suffix(model: str) -> tuple[str, Thinking | None]:
    """Take the reasoning a model name asks for off its end; what is no such suffix belongs to the name.

    >>> split_suffix("gpt-5.5(high)")
    ('gpt-5.5', Thinking(mode='level', level='high', budget=None, show=None))
    >>> split_suffix("claude-opus-4-6(8192)")[1]
    Thinking(mode='budget', level=None, budget=8192, show=None)
    >>> split_suffix("m(none)")[1].mode, split_suffix("m(auto)")[1].mode, split_suffix("m(v2)")
    ('off', 'auto', ('m(v2)', None))
    """
    found = _SUFFIX.fullmatch(model)
    if found is None:
        return model, None
    name, value = found[1], found[2].strip().lower()
    if value in ("none", "0"):
        return name, Thinking("off")
    if value in ("auto", "-1"):
        return name, Thinking("auto")
    if value in LEVELS:
        return name, Thinking("level", level=value)
    if value.isascii() and value.isdigit() and len(value) < 10:
        return name, Thinking("budget", budget=int(value))
    return model, None


def override(asked: Thinking | None, suffix: Thinking | None) -> Thinking | None:
    """What a suffix makes of the body's wish: the amount is the suffix's, whether to show it stays the body's."""
    if suffix is None:
        return asked
    return suffix if asked is None or suffix.mode == "off" else attrs.evolve(suffix, show=asked.show)


def fit_thinking(
    asked: Thinking | None, facts: ModelFacts, *, is_strict: bool = False
) -> tuple[Thinking | None, tuple[Loss, ...]]:
    """Make what was asked into what the model takes.

    Args:
        asked: As the client said it.
        facts: Of the upstream model.
        is_strict: Whether a level or budget the model does not take is the client's mistake. True where the client speaks the
            provider's own words and so meant this model; False for a suffix and between dialects, where it is clamped.

    Returns:
        What to write; and what changed.

    Raises:
        BadRequest: With `is_strict`, a level or a budget out of the model's range.

    """
    if asked is None or asked.mode is None or not facts.known:
        return asked, ()
    takes_budget = facts.max_budget is not None
    if not takes_budget and not facts.levels:
        if asked.mode in ("off", "auto"):
            return None, ()
        return None, (dropped("thinking", "this model does not reason"),)
    fitted = _fit(asked, facts, takes_budget=takes_budget, is_strict=is_strict)
    if (fitted.mode, fitted.level, fitted.budget) == (asked.mode, asked.level, asked.budget):
        return fitted, ()
    return fitted, (changed("thinking", f"{_words(asked)} became {_words(fitted)}: this model takes no other"),)


def _words(thinking: Thinking) -> str:
    return str(thinking.level or thinking.budget or thinking.mode)


def _fit(asked: Thinking, facts: ModelFacts, *, takes_budget: bool, is_strict: bool) -> Thinking:
    mode = asked.mode
    if mode == "off":
        if facts.may_be_off:
            return asked
        return _least(asked, facts)
    if mode == "auto":
        if facts.may_be_auto:
            return asked
        if facts.levels:
            return _level(asked, nearest_level("medium", facts.levels))
        return _budget(asked, ((facts.min_budget or 0) + (facts.max_budget or 0)) // 2)
    if mode == "level" and asked.level is not None:
        if facts.levels:
            if is_strict and asked.level not in facts.levels:
                raise BadRequest(
                    f'level "{asked.level}" not supported, valid levels: {", ".join(facts.levels)}',
                    param="thinking.level",
                )
            return _level(asked, nearest_level(asked.level, facts.levels))
        return _budget(asked, _clamp(budget_of(asked.level), facts))
    budget = asked.budget or 0
    if not takes_budget:
        return _level(asked, nearest_level(level_of(budget), facts.levels))
    if is_strict and budget != _clamp(budget, facts):
        limits = f"[{facts.min_budget or 0},{facts.max_budget}]"
        raise BadRequest(f"budget {budget} out of range {limits}", param="thinking.budget")
    return _budget(asked, _clamp(budget, facts))


def _least(asked: Thinking, facts: ModelFacts) -> Thinking:
    """The next thing to "off" for a model that cannot be switched off."""
    return _level(asked, facts.levels[0]) if facts.levels else _budget(asked, facts.min_budget or 0)


def _level(asked: Thinking, level: str) -> Thinking:
    return Thinking("level", level=level, show=asked.show)


def _budget(asked: Thinking, budget: int) -> Thinking:
    return Thinking("budget", budget=budget, show=asked.show)


def _clamp(budget: int, facts: ModelFacts) -> int:
    return min(max(budget, facts.min_budget or 0), facts.max_budget or budget)


#: A request with this header is told in the header of the same name what reasoning it asked for, and what was applied.
THINKING_HEADER: Final = "x-dragoman-thinking"


def say_thinking(asked: Thinking | None, applied: Thinking | None) -> str:
    """The value of `THINKING_HEADER`.

    >>> say_thinking(Thinking("level", level="high"), Thinking("budget", budget=24576))
    'asked=level:high, applied=budget:24576'
    """
    return f"asked={_said(asked)}, applied={_said(applied)}"


def _said(thinking: Thinking | None) -> str:
    if thinking is None or thinking.mode is None:
        return "none"
    value = thinking.level if thinking.mode == "level" else thinking.budget
    return thinking.mode if value is None else f"{thinking.mode}:{value}"


def read_thinking(text: str) -> tuple[Thinking | None, Thinking | None] | None:
    """Read what `say_thinking` said; None: it is something else.

    >>> read_thinking("asked=off, applied=none")[0].mode, read_thinking("")
    ('off', None)
    """
    said = dict(part.strip().partition("=")[::2] for part in text.split(","))
    if said.keys() != {"asked", "applied"}:
        return None
    return _read_one(said["asked"]), _read_one(said["applied"])


def _read_one(text: str) -> Thinking | None:
    mode, _, value = text.partition(":")
    if mode == "level":
        return Thinking("level", level=value)
    if mode == "budget" and re.fullmatch("[0-9]{1,9}", value):
        return Thinking("budget", budget=int(value))
    if mode in ("off", "auto"):
        return Thinking("off" if mode == "off" else "auto")
    return None
