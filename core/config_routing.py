"""The parts of a configuration that say who is chosen, how long a failure is remembered, and what a client key may do."""

import re
from datetime import UTC, datetime
from typing import Final

from dragoman.core.config import ChannelAlias, Cooldowns, Mapped, MitigationRule, QuotaRule, Routing
from dragoman.core.config_nodes import Node, Section

STRATEGIES: Final = ("round-robin", "weighted-round-robin", "fill-first", "least-busy", "lowest-latency")
QUOTA_EXCEEDED: Final = ("switch-project", "switch-preview-model", "preview-models")
MAPPINGS: Final = ("model-mappings",)
COOLDOWNS: Final = (
    "unauthorized", "payment-required", "not-found", "model-unsupported", "invalid-grant", "first-backoff", "longest-backoff",
    "challenge", "longest-told",
)  # fmt: skip

_MONTH: Final = 31 * 86400.0
_MANY: Final = 10**15


def read_routing(section: Section) -> Routing:
    """Read ``routing``."""
    section.check_keys(("strategy", "session-affinity", "session-affinity-ttl"), {})
    default = Routing()
    affinity = section["session-affinity"]
    return Routing(
        strategy=section["strategy"].choice(default.strategy, STRATEGIES),
        session_affinity=None if affinity.value is None else affinity.boolean(False),
        session_affinity_ttl=section["session-affinity-ttl"].seconds(default.session_affinity_ttl, 1.0),
    )


def read_cooldowns(section: Section, transient: Node) -> Cooldowns:
    """Read ``cooldowns`` and ``transient-error-cooldown-seconds`` (0: the default, -1: none)."""
    section.check_keys(COOLDOWNS, {})
    default = Cooldowns()
    values = {
        field: section[key].seconds(getattr(default, field), 0.001)
        for key in COOLDOWNS
        for field in [key.replace("-", "_")]
    }
    return Cooldowns(transient=float(transient.integer(0, -1, 366 * 86400)) or default.transient, **values)


def read_quotas(node: Node) -> tuple[QuotaRule, ...]:
    """Read ``quotas`` of a provider or a credential."""
    rules: list[QuotaRule] = []
    for item in node.items():
        entry = item.section()
        entry.check_keys(("window", "kind", "requests", "tokens"), {})
        window = entry["window"].seconds(0.0, 1.0)
        requests, tokens = count(entry["requests"]), count(entry["tokens"])
        kind = entry["kind"].choice("fixed", ("fixed", "sliding"))
        if entry["window"].value is None:
            item.mistake("`window` is missing: for how long does this allowance last? For example 5h or 7d")
        elif requests is None and tokens is None:
            item.mistake("an allowance without `requests` and without `tokens` allows everything: give one of them")
        else:
            rules.append(QuotaRule(window, kind, requests, tokens))
    return tuple(rules)


def count(node: Node) -> int | None:
    """A number of things, at least 1; None when absent."""
    return None if node.value is None else node.integer(1, 1, _MANY)


def read_switches(section: Section) -> tuple[bool, bool, tuple[tuple[str, str], ...]]:
    """Read ``quota-exceeded``: switch-project, switch-preview-model, and pairs of model and twin."""
    others = {"antigravity-credits": "'antigravity-credits' is not implemented yet and has no effect"}
    section.check_keys(QUOTA_EXCEEDED, others)
    twins = tuple(
        (str(node.path[-1]), twin) for node in section["preview-models"].section().nodes() if (twin := node.text())
    )
    return section["switch-project"].boolean(True), section["switch-preview-model"].boolean(False), twins


def read_fallbacks(section: Section) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read ``fallbacks``: lists of models by model."""
    return tuple(
        (str(node.path[-1]), tuple(text for item in node.items() if (text := item.text()))) for node in section.nodes()
    )


def read_mitigations(node: Node) -> tuple[MitigationRule, ...]:
    """Read ``mitigations``."""
    rules: list[MitigationRule] = []
    for item in node.items():
        entry = item.section()
        entry.check_keys(("model", "fallback", "error-ratio", "window", "minimum-sample"), {})
        model, fallback = entry["model"].text(), entry["fallback"].text()
        default = MitigationRule("", "")
        ratio = entry["error-ratio"].ratio(default.error_ratio)
        window = entry["window"].seconds(default.window, 1.0)
        sample = entry["minimum-sample"].integer(default.minimum_sample, 1, 1_000_000)
        if not model or not fallback:
            item.mistake("a mitigation needs `model` (what clients ask for) and `fallback` (what is asked for instead)")
        elif any(model == known.model for known in rules):
            item.mistake(f"another item is about {model[:60]!r} already: remove one of them")
        else:
            rules.append(MitigationRule(model, fallback, ratio, window, sample))
    return tuple(rules)


def read_mappings(node: Node) -> tuple[Mapped, ...]:
    """Read ``model-mappings``."""
    mappings: list[Mapped] = []
    for item in node.items():
        entry = item.section()
        entry.check_keys(("from", "to", "regex"), {"params": "'params' is not implemented yet and has no effect"})
        source, target = entry["from"].text(), entry["to"].text()
        mapped = Mapped(source or "", target or "", entry["regex"].boolean(False))
        if not source or not target:
            item.mistake("a mapping needs `from` (what clients say) and `to` (what is asked for instead)")
        elif mapped.is_regex and (problem := _problem_of(mapped)):
            entry["from"].mistake(f"not a usable regular expression ({problem})")
        else:
            mappings.append(mapped)
    return tuple(mappings)


def _problem_of(mapped: Mapped) -> str | None:
    try:
        groups = re.compile(mapped.source).groups
        # A subject in which every group took part, so that only references to groups that do not exist are found.
        re.sub("()" * groups, mapped.target, "", count=1)
    except (re.error, RecursionError, OverflowError, IndexError) as error:
        return str(error)[:100]
    return None


def read_channel_aliases(section: Section) -> tuple[ChannelAlias, ...]:
    """Read ``oauth-model-alias``; an alias is unique within its channel, whatever its case."""
    aliases: list[ChannelAlias] = []
    for channel in section.nodes():
        taken: set[str] = set()
        for item in channel.items():
            entry = item.section()
            entry.check_keys(("name", "alias", "fork"), _ALIAS_OTHERS)
            name, alias, fork = entry["name"].text(), entry["alias"].text(), entry["fork"].boolean(False)
            if not name or not alias:
                item.mistake("an alias needs `name` (the upstream model) and `alias` (what clients call it)")
            elif alias.lower() in taken:
                item.mistake(f"the alias {alias[:60]!r} is taken by an item before")
            elif name != alias:
                taken.add(alias.lower())
                aliases.append(ChannelAlias(str(channel.path[-1]), name, alias, fork))
    return tuple(aliases)


_ALIAS_OTHERS: Final = {
    key: f"{key!r} is not implemented yet and has no effect" for key in ("display-name", "force-mapping")
}


def read_instant(node: Node) -> float | None:
    """A date (the whole of it still counts), or a date and time (UTC unless it says otherwise), as epoch seconds."""
    text = node.text()
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        seconds = instant.timestamp()
    except (ValueError, OverflowError):
        node.mistake("expected a date like 2027-01-31, or a date and time like 2027-01-31T18:00:00Z")
        return None
    return seconds + 86400.0 if len(text) == 10 else seconds
