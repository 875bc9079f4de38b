"""The border of a client connection (`dragoman.core.effects`) without a client: what is done on behalf of nobody, and driven like anything else.

May not live here: what is done. Whoever has something to do derives from `Clientless` and says the rest of the border.
"""

from dragoman.core.effects import ConnectFailure, Effect, LocalAnswer


class Clientless:
    """Says nothing, asks nobody."""

    is_reading = False

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """There is no client."""
        return []

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

    def drain(self, now: float) -> list[Effect]:
        """Stop."""
        return []

    def abort(self, now: float) -> list[Effect]:
        """Stop."""
        return self.drain(now)
