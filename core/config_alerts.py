"""The part of a configuration that says when somebody is to be told, and who.

``alerts`` is a list. An item with the name of a default rule changes that rule, an item named ``*`` changes all of them, any other is a rule of its
own; ``enabled: false`` takes a rule away. Items apply in their order.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from dragoman.core.alert_rules import ACTIONS, DEFAULT_RULES, SEVERITIES, SIGNALS, AlertRule, Notifier
from dragoman.core.config_nodes import Node, Section, near

_KEYS: Final = (
    "name", "enabled", "signal", "scope", "subject", "threshold", "window", "hold", "settle", "minimum-sample", "severity", "action",
    "fallback",
)  # fmt: skip
_LONGEST_WINDOW: Final = 3600.0  # is what is counted


def read_alerts(node: Node) -> tuple[AlertRule, ...]:
    """Read ``alerts``: the rules that are on."""
    rules = {rule.name: rule for rule in DEFAULT_RULES}
    for item in node.items():
        entry = item.section()
        entry.check_keys(_KEYS, {})
        name = entry["name"].text()
        if not name:
            item.mistake("a rule needs a `name`: that of a default rule, to change it, or one of its own")
            continue
        is_on = entry["enabled"].boolean(True)
        for old in list(rules.values()) if name == "*" else [rules.get(name)]:
            rule = _rule(entry, name, old)
            if rule is not None and is_on:
                rules[rule.name] = rule
            else:
                rules.pop(old.name if old is not None else name, None)
    return tuple(rules.values())


def _rule(entry: Section, name: str, old: AlertRule | None) -> AlertRule | None:
    said = entry["signal"].text() if old is None or entry["signal"].value is not None else old.signal
    if not said:
        entry.node.mistake(
            f"no default rule has the name {name[:60]!r}{near(name, _NAMES)}; a rule of its own needs a `signal`"
        )
        return None
    signal = SIGNALS.get(said)
    if signal is None:
        entry["signal"].mistake(f"expected one of {', '.join(SIGNALS)}{near(said, SIGNALS)}")
        return None
    rule = old if old is not None and old.signal == said else AlertRule(name, said, signal.scopes[0])
    rule = attrs.evolve(
        rule,
        scope=entry["scope"].choice(rule.scope, signal.scopes),
        subject=entry["subject"].text() or rule.subject,
        threshold=_threshold(entry["threshold"], rule, signal.is_ratio),
        window=entry["window"].seconds(rule.window, 1.0),
        hold=entry["hold"].seconds(rule.hold, 0.0),
        settle=entry["settle"].seconds(rule.settle, 0.0),
        minimum_sample=entry["minimum-sample"].integer(rule.minimum_sample, 1, 1_000_000),
        severity=entry["severity"].choice(rule.severity, SEVERITIES),
        action=entry["action"].choice(rule.action, ACTIONS),
        fallback=entry["fallback"].text() or rule.fallback,
    )
    _check(entry, rule, is_new=old is None)
    return rule


_NAMES: Final = tuple(rule.name for rule in DEFAULT_RULES)


def _threshold(node: Node, rule: AlertRule, is_ratio: bool) -> float:
    return node.ratio(rule.threshold) if is_ratio else float(node.integer(int(rule.threshold), 0, 1_000_000))


def _check(entry: Section, rule: AlertRule, *, is_new: bool) -> None:
    if rule.window > _LONGEST_WINDOW:
        entry["window"].mistake("expected at most 1h: that is how far back is counted")
    if is_new and SIGNALS[rule.signal].is_ratio and entry["threshold"].value is None:
        entry.node.mistake("`threshold` is missing: the share above which somebody is to be told, for example 5%")
    if rule.action != "mitigate":
        return
    if rule.signal != "error-ratio" or rule.scope != "model" or "*" in rule.subject:
        entry.node.mistake(
            "`action: mitigate` is for a rule of `signal: error-ratio` and `scope: model` whose `subject` is one model"
        )
    elif not rule.fallback:
        entry.node.mistake("`action: mitigate` needs a `fallback`: the model that is asked for meanwhile")


_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://.+", re.IGNORECASE | re.DOTALL)


def read_notifications(node: Node) -> tuple[Notifier, ...]:
    """Read ``notifications``: Apprise URLs as texts, or as mappings with a name."""
    notifiers: dict[str, Notifier] = {}
    for i, item in enumerate(node.items(secret=True)):
        name, severity, at = "", "warning", item
        if isinstance(item.value, Mapping):
            entry = item.section(secret=True)
            entry.check_keys(("name", "url", "severity"), {}, secret=True)
            name, at = entry["name"].text() or "", entry["url"]
            severity = entry["severity"].choice(severity, SEVERITIES)
        url = at.text(secret=True) or ""
        found = _URL.fullmatch(url)
        if found is None:
            at.mistake("expected an Apprise URL, like json://host/path or mailto://user:password@example.com")
            continue
        name = name or f"{found[1].lower()}-{i + 1}"
        if name in notifiers:
            item.mistake(f"the name {name[:60]!r} is taken by an item before: logs could not tell them apart")
        notifiers[name] = Notifier(name, url, severity)
    return tuple(notifiers.values())
