"""What was found, and what it comes to."""

from collections.abc import Iterable
from enum import Enum

import attrs


class Level(Enum):
    """How something is."""

    OK = "ok"
    NOTE = "note"  #: well, but worth knowing
    UNKNOWN = "unknown"  #: could not be found out
    PROBLEM = "problem"  #: to be mended


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What kind of thing: ``configuration``, ``permissions``, ``port``, ``credential``, ``provider``, ``clock``, ``client``.
        subject: Which one.
        level: How it is.
        detail: In words; never a secret.
        advice: What to do, where something is to be done.

    """

    check: str
    subject: str
    level: Level
    detail: str
    advice: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """0: all is well. 1: something is to be mended. 2: nothing that is known is wrong, but not everything could be found out.

    >>> exit_code([Finding("port", "8317", Level.OK, "free"), Finding("clock", "ours", Level.UNKNOWN, "nobody said")])
    2
    """
    levels = {finding.level for finding in findings}
    if Level.PROBLEM in levels:
        return 1
    return 2 if Level.UNKNOWN in levels or not levels else 0
