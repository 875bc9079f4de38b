"""The pure whole: one configuration with everything that is made from it, shared by all connections of a gateway.

`Gateway.reload` puts another configuration in its place, between two inputs. An exchange looks at the gateway once, when it begins, and ends as
it began.
"""

from collections.abc import Callable

import attrs
import orjson

from dragoman.core.access import ClientKeys
from dragoman.core.config import Config, Credential
from dragoman.core.endpoints import ENDPOINTS
from dragoman.core.evidence import Evidence
from dragoman.core.http_heads import HeadReader
from dragoman.core.journal import Journal
from dragoman.core.operations.metrics import Metrics
from dragoman.core.operations.provider_page import provider_page
from dragoman.core.routing.router import Router


class Gateway:
    """What a configuration comes to.

    Args:
        config: The configuration.
        version: Of this software; told to whoever asks for health, and to providers.
        transport: Name of the transport; told to whoever asks for health.
        now: When it starts, epoch seconds.
        new_id: Makes request ids.
        draw: Draws numbers in [0, 1).
        record: Receives the journal of each exchange.

    """

    def __init__(
        self,
        config: Config,
        *,
        version: str,
        transport: str,
        now: float,
        new_id: Callable[[], str],
        draw: Callable[[], float],
        record: Callable[[Journal], None],
    ) -> None:
        self.new_id = new_id
        self.show: Callable[[Journal, Evidence], None] | None = None  # receives what was said, where somebody keeps it
        self.metrics = Metrics(now)
        self._record = record
        self._draw = draw
        self.version = version
        self.transport = transport
        self._started_at = now
        self._take(config, Router(config, f"dragoman/{version}", draw=draw, now=now))

    def _take(self, config: Config, router: Router) -> None:
        self.config = config
        self.heads = HeadReader(config.limits.head)
        self.keys = ClientKeys(config.api_keys, allow_open=config.allow_open)
        self.router = router

    def reload(self, config: Config, now: float) -> None:
        """Put `config` in the place of the one before, for requests that begin from now on.

        Credentials that are in both keep their states and counts, conversations stay bound, client keys keep what they have used.
        """
        router = Router(config, f"dragoman/{self.version}", draw=self._draw, now=now, previous=self.router)
        self._take(config, router)

    def record(self, journal: Journal) -> None:
        """An exchange has ended."""
        if not journal.canary:  # counted by itself
            self.metrics.record(journal)
        self._record(journal)

    def take_secrets(self, config: Config, now: float) -> bool:
        """Take a configuration that differs in nothing but secrets that are renewed; returns whether it does so.

        Tokens are renewed all the time, and there may be thousands: nothing else is made anew for them.
        """
        if _without_secrets(config) != _without_secrets(self.config):
            return False
        self.config = config
        self.router.take_secrets(config, now)
        return True

    def home(self) -> bytes:
        """The answer to ``GET /``: what this is, and where to go from here."""
        return orjson.dumps({"message": "Dragoman: one door to every model API", "endpoints": [*ENDPOINTS]})

    def health(self, now: float) -> bytes:
        """The answer to ``GET /health``; nothing in it is secret."""
        return orjson.dumps({
            "status": "ok",
            "version": self.version,
            "transport": self.transport,
            "uptime_seconds": round(now - self._started_at, 3),
        })  # fmt: skip

    def provider_metrics(self, now: float) -> bytes:
        """The answer to ``GET /v1/metrics/providers``; nothing in it is secret."""
        return orjson.dumps(provider_page(self.config, self.router.pool, self.metrics, now))


def _without_secrets(config: Config) -> Config:
    """The same, but for the tokens of credentials that are known by something else, and how those are renewed."""
    providers = tuple(
        attrs.evolve(provider, credentials=tuple(map(_without_secret, provider.credentials)))
        for provider in config.providers
    )
    return attrs.evolve(config, providers=providers)


def _without_secret(credential: Credential) -> Credential:
    if not credential.identity or credential.api_key is None:
        return credential
    return attrs.evolve(credential, api_key="", renewal=None)
