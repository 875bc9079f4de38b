"""The border of a client connection (`dragoman.core.effects`) with a half left empty, to be derived from.

`Clientless`: what is done on behalf of nobody. `Upstreamless`: who answers by itself. May not live here: what is done.
"""

from dragoman.core.effects import ConnectFailure, Effect, LocalAnswer


class Upstreamless:
    """Asks nobody."""

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """Nothing is asked that is answered outside the core."""
        return []

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """No provider is asked."""
        return []

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """No provider is asked."""
        return []

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """No provider is asked."""
        return []


class Clientless(Upstreamless):
    """Hears and says nothing, and asks nobody until somebody derived from it does."""

    is_reading = False

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """There is no client."""
        return []

    def drain(self, now: float) -> list[Effect]:
        """Stop."""
        return []

    def abort(self, now: float) -> list[Effect]:
        """Stop."""
        return self.drain(now)
