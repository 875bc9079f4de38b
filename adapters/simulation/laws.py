"""The laws of a gateway, and who keeps the tally of how often each was looked at and broken."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

#: Each law, by the name that a violation is reported under.
LAWS: Final[Mapping[str, str]] = MappingProxyType({
    "one answer": "each request gets exactly one answer, and one journal",
    "own answer": "an answer is the one that a provider gave to this very request",
    "rest": "no request goes to a cooling, exhausted, rejected or disabled credential, but for the one probe",
    "first byte": "no attempt is made after the first byte to the client",
    "bounded": "attempts are bounded, and none follows a good answer or one that blames the request",
    "true journal": "the attempts in a journal are those that providers saw, and came to what they said",
    "tokens": "tokens in journals and ledger are those that providers said",
    "windows": "no allowance is over-spent by more than what was in flight",
    "concurrency": "no more attempts are under way with a credential than it allows",
    "served": "while a credential is well, a request that could be served is served",
    "fair": "under round-robin, equal credentials get equal shares, within 1",
    "cooldowns end": "when all is well again, every credential answers again",
    "nothing open": "in the end no connection, attempt or deadline is left",
    "no fault of ours": "nothing in the gateway raises",
})  # fmt: skip

_MOST_SHOWN: Final = 5  # of each law


@attrs.frozen
class Violation:
    """A law that was broken."""

    law: str
    detail: str
    at: float


class Verdicts:
    """What was found.

    Attributes:
        now: The instant that is looked at.
        checked: How often each law was looked at.
        broken: How often one was broken.
        violations: The first of these, of each law.

    """

    def __init__(self) -> None:
        self.now = 0.0
        self.checked: Counter[str] = Counter()
        self.broken = 0
        self._shown: Counter[str] = Counter()
        self.violations: list[Violation] = []

    def broke(self, law: str, detail: str) -> None:
        """A law is broken."""
        self.broken += 1
        self._shown[law] += 1
        if self._shown[law] <= _MOST_SHOWN:
            self.violations.append(Violation(law, detail, self.now))
