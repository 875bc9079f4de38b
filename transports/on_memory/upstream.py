"""Connections to providers in memory: opened, kept, taken again."""

from collections.abc import Callable
from typing import Protocol

from dragoman.core.effects import ConnectFailure, Origin
from dragoman.transports.driver import Driver
from dragoman.transports.on_memory.links import Agenda, End
from dragoman.transports.pool import Pool
from dragoman.transports.services import Settings


class Network(Agenda, Protocol):
    """What is asked of the network by those who open connections."""

    def dial(self, link: "UpstreamLink", done: Callable[[ConnectFailure | None], None]) -> None:
        """Connect `link` to its origin, then say so or why not; or never."""
        ...


class UpstreamLink(End):
    """Our end of a connection to a provider.

    Attributes:
        origin: Where it leads.
        idle_since: Epoch seconds; the pool's.
        is_open: It stands.

    """

    def __init__(
        self, agenda: Agenda, latency: float, window: int, origin: Origin, upstreams: "MemoryUpstreams"
    ) -> None:
        super().__init__(agenda, latency, window)
        self._upstreams = upstreams
        self._driver: Driver | None = None
        self._attempt = 0
        self.origin = origin
        self.idle_since = 0.0
        self.is_open = False

    def serve(self, driver: Driver, attempt: int) -> None:
        """Serve an attempt from now on."""
        self._driver, self._attempt = driver, attempt

    @property
    def wants(self) -> bool:
        """Whether the client takes more."""
        return self._driver is None or not self._driver.client.is_backed_up

    def receive(self, data: bytes) -> None:
        """Tell whom it serves; an idle one was closed, or says something nobody asked."""
        driver = self._driver
        if driver is None:
            self.close()
        else:
            driver.upstream_sent(self._attempt, data)

    def drained(self) -> None:
        """The provider takes more."""
        if self._driver is not None:
            self._driver.upstream_caught_up()

    def release(self) -> None:
        """Keep the connection for others."""
        self._driver = None
        if self.is_backed_up:  # the answer came before the request was sent: the rest would meet the next one
            self.close()
        elif not self.is_closed:
            self._upstreams.pool.keep(self, self._upstreams.settings.now())

    def close(self) -> None:
        """Close it, or stop opening it."""
        if not self.is_closed:
            self._driver = None
            super().close()
            self._upstreams.pool.ended(self.origin, self)


class MemoryUpstreams:
    """Opens and keeps connections to providers.

    Args:
        network: Where they are.
        settings: Limits and the clock.
        latency: Seconds from one end to the other.
        window: See `dragoman.transports.on_memory.links.End`.

    Attributes:
        settings: The same.
        pool: Idle connections.

    """

    def __init__(self, network: Network, settings: Settings, latency: float, window: int) -> None:
        self._network = network
        self._latency = latency
        self._window = window
        self.settings = settings
        self.pool: Pool[UpstreamLink] = Pool(
            settings.upstream_idle, settings.upstream_connections, settings.upstream_idle_seconds
        )

    def open(self, driver: Driver, attempt: int, origin: Origin, fresh: bool) -> UpstreamLink | ConnectFailure:
        """Take an idle connection, or begin to open one; see `dragoman.transports.driver.Upstreams`."""
        kept = None if fresh else self.pool.take(origin)
        if kept is not None:
            kept.serve(driver, attempt)
            return kept
        failure = self.pool.begin(origin)
        if failure is not None:
            return failure
        link = UpstreamLink(self._network, self._latency, self._window, origin, self)

        def done(failure: ConnectFailure | None) -> None:
            if link.is_closed:
                return
            if failure is not None:
                link.close()
                driver.upstream_failed(attempt, failure)
            else:
                link.is_open = True
                link.serve(driver, attempt)
                driver.upstream_opened(attempt, link)

        self._network.dial(link, done)
        return link
