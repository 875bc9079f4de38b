"""Patterns in which ``*`` stands for anything; case does not matter."""

import re
from collections.abc import Sequence


def compile_wildcards(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """One pattern out of many, to be asked with ``fullmatch``; None when there are none.

    >>> compile_wildcards(["gpt-*", "*-mini"]).fullmatch("GPT-5.4") is not None
    True
    """
    if not patterns:
        return None
    one = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile(one, re.DOTALL | re.IGNORECASE)
