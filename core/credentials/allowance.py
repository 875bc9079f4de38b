"""What a client key may use: requests and tokens a minute, tokens a day, until when.

Requests and tokens a minute are sliding; a day is a day of UTC. A request is counted when it is admitted, tokens when they are known: so a key
may go over its tokens by what was in flight, never by requests.
"""

from collections.abc import Mapping
from typing import Final

from dragoman.core.config import ClientKey
from dragoman.core.credentials.quota import FixedCounter, SlidingCounter
from dragoman.core.errors import AccessDenied, OverLimit

_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class _Use:
    """The counts of one key."""

    __slots__ = ("day", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = SlidingCounter(_MINUTE)
        self.tokens = SlidingCounter(_MINUTE)
        self.day = FixedCounter(_DAY, aligned=True)


class Allowances:
    """The limits of all client keys, by label."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def admit(self, key: ClientKey, now: float) -> None:
        """Count a request.

        Raises:
            AccessDenied: The key has expired.
            OverLimit: It has used up what it may use for now; `retry_at` says when there is more.

        """
        if key.expires is not None and now >= key.expires:
            raise AccessDenied(f"The client key {key.label!r} has expired. Its operator can set a later `expires`.")
        if key.requests_per_minute is None and key.tokens_per_minute is None and key.tokens_per_day is None:
            return
        use = self._uses.setdefault(key.label, _Use())
        checks: tuple[tuple[str, int | None, SlidingCounter | FixedCounter], ...] = (
            ("tokens a day", key.tokens_per_day, use.day),
            ("tokens a minute", key.tokens_per_minute, use.tokens),
            ("requests a minute", key.requests_per_minute, use.requests),
        )
        for what, limit, counter in checks:
            if limit is not None and counter.used(now) >= limit:
                retry_at = counter.resets_at(now)
                raise OverLimit(
                    f"The client key {key.label!r} has used its {limit} {what}; try again in {retry_at - now:.0f} seconds.",
                    retry_at=retry_at,
                )
        use.requests.add(1, now)

    def spend(self, key: ClientKey, tokens: int, now: float) -> None:
        """Count tokens."""
        use = self._uses.get(key.label)
        if use is not None:
            use.tokens.add(tokens, now)
            use.day.add(tokens, now)

    def save(self) -> dict[str, object]:
        """The counts as plain data."""
        return {label: [u.requests.save(), u.tokens.save(), u.day.save()] for label, u in self._uses.items()}

    def restore(self, data: object, now: float) -> None:
        """From what `save` gave; what is not understood is left out."""
        for label, counts in data.items() if isinstance(data, Mapping) else ():
            if isinstance(label, str) and isinstance(counts, list) and len(counts) == 3:
                use = self._uses.setdefault(label, _Use())
                counters: tuple[SlidingCounter | FixedCounter, ...] = (use.requests, use.tokens, use.day)
                for counter, saved in zip(counters, counts, strict=True):
                    if isinstance(saved, list):
                        counter.restore(saved, now)
