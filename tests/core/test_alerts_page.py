"""The page of alerts says what the code does."""

import re
from pathlib import Path

from dragoman.core.alert_rules import DEFAULT_RULES, SIGNALS, AlertRule

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "alerts.md").read_text(encoding="utf-8")


def span(seconds: float) -> str:
    return "at once" if not seconds else f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def row(rule: AlertRule) -> str:
    who = (
        "all"
        if rule.scope == "global"
        else f"each {rule.scope}"
        if rule.subject == "*"
        else f"{rule.scope} `{rule.subject}`"
    )
    above = within = ""
    if rule.signal not in ("quota-exhausted", "top-providers-exhausted"):
        above = f"{100 * rule.threshold:g} %" if SIGNALS[rule.signal].is_ratio else f"{rule.threshold:g}"
        within = span(rule.window)
    severity = rule.severity + (", mitigates" if rule.action == "mitigate" else "")
    cells = (
        f"`{rule.name}`",
        f"`{rule.signal}`",
        who,
        above,
        within,
        span(rule.hold),
        str(rule.minimum_sample),
        severity,
    )
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def test_every_rule_and_every_signal() -> None:
    table = PAGE.partition("## The rules")[2].partition("## What is measured")[0]
    assert re.findall(r"^\| `.*$", table, flags=re.MULTILINE) == [row(rule) for rule in DEFAULT_RULES]
    assert set(re.findall(r"^\| `([^`]+)` \| ", PAGE.partition("## What is measured")[2], flags=re.MULTILINE)) == set(
        SIGNALS
    )
