"""Writes docs/state-machines.md from the tables: ``python scripts/state_machines.py``; with ``--check`` it only compares.

The page is never edited by hand: a table in the code and its picture cannot disagree.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dragoman.core import exchange_states, lockouts  # noqa: E402 - the path comes first
from dragoman.core.credentials import credential, oauth  # noqa: E402
from dragoman.core.operations import alerts  # noqa: E402
from dragoman.core.routing import mitigation  # noqa: E402

PAGE = ROOT / "docs" / "state-machines.md"
Table = Mapping[tuple[Enum, Enum], Enum]

MACHINES: tuple[tuple[str, str, str, type[Enum], Table], ...] = (
    (
        "Exchange",
        "core/exchange_states.py",
        "One client request with all its attempts.",
        exchange_states.State,
        exchange_states.TRANSITIONS,
    ),
    (
        "Credential",
        "core/credentials/credential.py",
        "A credential, and likewise each model of it.",
        credential.CredentialState,
        credential.TRANSITIONS,
    ),
    (
        "Renewal",
        "core/credentials/oauth.py",
        "The token of a credential that can be renewed.",
        oauth.RenewalState,
        oauth.TRANSITIONS,
    ),
    (
        "Mitigation",
        "core/routing/mitigation.py",
        "Whether a model is asked for, or its fallback.",
        mitigation.MitigationState,
        mitigation.TRANSITIONS,
    ),
    (
        "Alert",
        "core/operations/alerts.py",
        "One alert rule about one subject.",
        alerts.AlertState,
        alerts.TRANSITIONS,
    ),
    (
        "Peer",
        "core/lockouts.py",
        "Somebody who shows keys of the management.",
        lockouts.PeerState,
        lockouts.TRANSITIONS,
    ),
)


def page() -> str:
    """The whole page."""
    parts = [
        "# State machines\n",
        "Made from the tables in the code by `scripts/state_machines.py`; a test compares. A pair of state and input that is not here is a bug "
        "in whoever called. In the pictures, inputs that change nothing are left out.\n",
    ]
    parts += [section(*machine) for machine in MACHINES]
    return "\n".join(parts)


def section(name: str, path: str, about: str, states: type[Enum], table: Table) -> str:
    """One machine: what it is, its picture, its table."""
    arrows: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (state, received), target in table.items():
        if target is not state:
            arrows[state.name, target.name].append(received.name)
    lines = [
        f"## {name}\n",
        f"{about} `{path}`\n",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {next(iter(states)).name}",
    ]
    lines += [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows.items()]
    lines += ["```\n", "| state | input | next state |", "|---|---|---|"]
    lines += [f"| {state.name} | {received.name} | {target.name} |" for (state, received), target in table.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or say whether it is up to date."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/state-machines.md is not what the tables say: run python scripts/state_machines.py")


if __name__ == "__main__":
    main()
