"""What came of a simulated world, for people and for programs."""

import shlex
from typing import Any

from dragoman.adapters.simulation.laws import LAWS
from dragoman.adapters.simulation.world import Result


def as_data(result: Result, command: str) -> dict[str, Any]:
    """For programs; `command` runs it again."""
    return {
        "seed": result.scenario.seed,
        "digest": result.digest,
        "exchanges": result.exchanges,
        "attempts": result.attempts,
        "virtual_seconds": round(result.seconds, 3),
        "seconds": round(result.took, 3),
        "exchanges_per_second": round(result.exchanges / result.took),
        "tokens": result.tokens,
        "faults": dict(result.faults),
        "statuses": {str(status) if status else "left": count for status, count in result.statuses.items()},
        "outcomes": dict(result.outcomes),
        "laws": dict(result.checked),
        "violations": result.broken,
        "first_violations": [
            {"law": violation.law, "detail": violation.detail, "at": violation.at} for violation in result.violations
        ],
        "replay": command,
    }


def as_text(result: Result, command: str) -> str:
    """For people; `command` runs it again."""
    statuses = {str(status) if status else "left": count for status, count in result.statuses.items()}
    config = result.scenario.config
    keys = sum(len(provider.credentials) for provider in config.providers)
    lines = [
        f"seed {result.scenario.seed}: {result.scenario.clients} clients, {len(config.providers)} providers with {keys} credentials, "
        f"{config.routing.strategy}",
        f"exchanges    {result.exchanges:,} in {result.seconds:,.0f} s of virtual time; {result.took:.1f} s on the clock, "
        f"{result.exchanges / result.took:,.0f} exchanges/s",
        f"attempts     {result.attempts:,}",
        f"faults       {sum(result.faults.values()):,}: {_counts(result.faults)}",
        f"answers      {_counts(statuses)}",
        f"outcomes     {_counts(result.outcomes)}",
        f"tokens       {result.tokens:,}",
        f"laws         {sum(result.checked.values()):,} times looked at {len(result.checked)} laws: {_counts(result.checked)}",
        f"digest       {result.digest}",
        f"violations   {result.broken:,}",
    ]
    lines += [f"  {violation.law}: {LAWS[violation.law]}\n    {violation.detail}" for violation in result.violations]
    if result.broken:
        lines.append(f"replay it: {command}")
    return "\n".join(lines)


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def command_line(seed: int, exchanges: int, clients: int, providers: int, faults: str) -> str:
    """The command that does the same again."""
    words = ["dragoman", "simulate", "--seed", str(seed), "--exchanges", str(exchanges), "--clients", str(clients)]
    return shlex.join([*words, "--providers", str(providers), "--faults", faults])
