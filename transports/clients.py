"""The clients of a server: begun, counted, told to end; the same on every event loop."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from dragoman.transports.driver import Connection, Driver, Nobody, Upstreams
from dragoman.transports.links import ClientLink
from dragoman.transports.readiness import Readiness
from dragoman.transports.services import Service, Settings
from dragoman.transports.serving import Serving
from dragoman.transports.timers import Timers

if TYPE_CHECKING:
    from dragoman.transports.tls import TLSPipe


class Clients:
    """Who is served.

    Args:
        upstreams: Opens upstream connections.
        readiness: Says when sockets can be read and written.
        serving: Has answered what the core has answered elsewhere.
        timers: The server's deadlines.
        settings: The clock, and who hears of bugs.
        on_none_left: Called when the last one has gone, once they are to end.

    Attributes:
        drivers: One for each.

    """

    def __init__(
        self,
        upstreams: Upstreams,
        readiness: Readiness,
        serving: Serving,
        timers: Timers,
        settings: Settings,
        on_none_left: Callable[[], None],
    ) -> None:
        self._upstreams = upstreams
        self._readiness = readiness
        self._serving = serving
        self._timers = timers
        self._settings = settings
        self._on_none_left = on_none_left
        self._is_ending = False
        self.drivers: set[Driver] = set()

    def begin(
        self, service: Service, sock: socket.socket, tls: "TLSPipe | None", peer: str, on_gone: Callable[[], None]
    ) -> None:
        """Serve a client that is connected; `on_gone` is called when its socket is closed."""
        link = ClientLink(sock, tls, self._readiness, lambda link: self._gone(link.driver, on_gone))
        driver = link.driver = self._drive(service.connect(peer), link)
        self.drivers.add(driver)
        driver.start()
        if self._is_ending:
            driver.drain()
        link.wake()

    def begin_job(self, job: Connection) -> Driver:
        """Drive a connection without a client."""
        driver = self._drive(job, Nobody())
        driver.start()
        return driver

    def drain(self) -> None:
        """Let running exchanges end; who comes from now on has one."""
        self._is_ending = True
        for driver in list(self.drivers):
            driver.drain()

    def abort(self) -> None:
        """End now, each with a proper error."""
        for driver in list(self.drivers):
            driver.abort()

    def _drive(self, connection: Connection, client: ClientLink | Nobody) -> Driver:
        settings = self._settings
        return Driver(connection, client, self._upstreams, self._serving, self._timers, settings.now, settings.on_error)

    def _gone(self, driver: Driver, on_gone: Callable[[], None]) -> None:
        driver.closed()
        on_gone()
        self.drivers.discard(driver)
        if self._is_ending and not self.drivers:
            self._on_none_left()
