"""Levels of reasoning and budgets of tokens: the numbers that turn one into the other.

CLIProxyAPI's numbers, on which the clients of that proxy rely. ``max`` never comes from a number.
"""

from collections.abc import Sequence

LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 128000}


def budget_of(level: str) -> int:
    """Tokens that a level stands for; an unknown level is taken for ``medium``.

    >>> budget_of("low"), budget_of("high")
    (1024, 24576)
    """
    return _BUDGETS.get(level, _BUDGETS["medium"])


def level_of(budget: int) -> str:
    """The level a budget (of 1 or more) falls into.

    >>> [level_of(n) for n in (1, 512, 513, 1024, 8192, 24576, 24577)]
    ['minimal', 'minimal', 'low', 'low', 'medium', 'high', 'xhigh']
    """
    return next((level for level in LEVELS[:4] if budget <= _BUDGETS[level]), "xhigh")


def nearest_level(level: str, supported: Sequence[str]) -> str:
    """The supported level next to `level`; of two as near, the lower. `level` itself when none is supported or it is unknown.

    >>> nearest_level("minimal", ("low", "high")), nearest_level("medium", ("low", "high")), nearest_level("xhigh", ("high",))
    ('low', 'low', 'high')
    """
    ladder = [known for known in LEVELS if known in supported]
    if level not in LEVELS or not ladder:
        return level
    at = LEVELS.index(level)
    return min(ladder, key=lambda known: (abs(LEVELS.index(known) - at), LEVELS.index(known)))
