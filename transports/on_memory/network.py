"""A network without sockets, with a clock that jumps: the same inputs give the same bytes at the same instants, always.

Clients, what serves them and their providers are ends of connections in memory, with latency and bounded buffers; whatever has the border
of `dragoman.core.effects` can be served, a provider too. Time passes only in `run_until` and `run_until_idle`.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dragoman.core.effects import ConnectFailure, FailureKind, Origin, Step
from dragoman.transports.driver import Connection, Driver
from dragoman.transports.on_memory.links import ClientLink, End, joined
from dragoman.transports.on_memory.upstream import MemoryUpstreams, UpstreamLink
from dragoman.transports.services import Settings
from dragoman.transports.serving import Serving
from dragoman.transports.timers import Timers

Connect = Callable[[str], Connection]
E = TypeVar("E", bound=End)
_LOOKS: Final = 50  # at idle connections, in the time that one is kept
_MOST: Final = 1_000_000  # steps of one run: more is a loop that makes no headway


class MemoryNetwork:
    """Clients, what serves them, and their upstreams.

    Args:
        now: Where the clock begins, epoch seconds.
        latency: Seconds a byte takes from one end of a connection to the other, if nothing else is said.
        window: Bytes that may be on their way or unread in each direction of a connection.
        limits: Other `Settings` than the usual.

    Attributes:
        now: The clock.
        errors: Faults of ours that ended a connection.

    """

    def __init__(self, now: float = 0.0, *, latency: float = 0.0, window: int = 256 * 1024, **limits: Any) -> None:
        self.now = now
        self.errors: list[Exception] = []
        self._latency = latency
        self._window = window
        self._settings = Settings(**({"now": lambda: self.now, "on_error": self.errors.append} | limits))
        self._serving = Serving(self._settings.serve, self._in_thread)
        self._timers = Timers(lambda at: None)
        self._expires_at = now
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._upstreams = MemoryUpstreams(self, self._settings, latency, window)
        self._origins: dict[Origin, Connect | ConnectFailure | None] = {}
        self._drivers: dict[Driver, None] = {}  # of clients; a dict, for it keeps their order
        self._served: dict[Origin, dict[ClientLink, None]] = {}  # what stands between us and an origin, at its end

    def serve(self, origin: Origin, connect: Connect) -> None:
        """Let `origin` be answered by what `connect` makes: a provider, a fake, another gateway."""
        self._origins[origin] = connect

    def fail(self, origin: Origin, failure: ConnectFailure | None) -> None:
        """Let connecting to `origin` fail; None: let it be neither taken nor refused."""
        self._origins[origin] = failure

    def cut(self, origin: Origin) -> None:
        """End all connections to `origin`, as if it had died."""
        for link in list(self._served.get(origin, ())):
            link.close()

    @property
    def pending(self) -> int:
        """How much is going to happen: what is on its way, and deadlines."""
        return len(self._agenda) + self._timers.watched

    def connect(self, connect: Connect, *, peer: str = "memory", latency: float | None = None) -> "MemoryClient":
        """A client, connected to what `connect` makes.

        Args:
            connect: Makes the core's side, as `Service.connect`.
            peer: Who the client is, for people.
            latency: Other than the network's.

        """
        return self.join(MemoryClient, connect, peer=peer, latency=latency)

    def join(
        self,
        make: Callable[["MemoryNetwork", float, int], E],
        connect: Connect,
        *,
        peer: str = "memory",
        latency: float | None = None,
    ) -> E:
        """The same with a client of another make, which is given the network, its latency and its window."""
        seconds = self._latency if latency is None else latency
        client = make(self, seconds, self._window)
        driver = self._accept(client, connect, peer, seconds)
        if driver is not None:
            self._drivers[driver] = None
        return client

    def drain(self) -> None:
        """Let what clients are connected to finish what it has in hand, then close."""
        for driver in list(self._drivers):
            driver.drain()

    def abort(self) -> None:
        """End what clients are connected to, with a proper error."""
        for driver in list(self._drivers):
            driver.abort()

    def run_until_idle(self) -> None:
        """Let everything arrive that is on its way, and all that follows from it; the clock stands where the last of it did."""
        for _ in range(_MOST):
            if not self._agenda:
                return
            self._step(self._next_instant())
        raise RuntimeError("it does not come to rest")

    def run_until(self, at: float) -> None:
        """Let happen what happens until `at`, deadlines too; the clock stands at `at` then."""
        for _ in range(_MOST):
            instant = self._next_instant()
            if instant > at:
                self._set_clock(max(self.now, at))
                return
            self._step(instant)
        raise RuntimeError("it does not come to rest")

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._count), call))

    def dial(self, link: UpstreamLink, done: Callable[[ConnectFailure | None], None]) -> None:
        """Connect `link` to its origin, which takes the time there and back."""
        answer = self._origins.get(link.origin, ConnectFailure(FailureKind.REFUSED, "connection refused"))
        if answer is None:
            return

        def arrived() -> None:
            if isinstance(answer, ConnectFailure):
                done(answer)
            elif not link.is_closed:
                self._accept(link, answer, "memory", self._latency, self._served.setdefault(link.origin, {}))
                done(None)

        self.after(2 * self._latency, arrived)

    def _accept(
        self, end: End, connect: Connect, peer: str, latency: float, kept: dict[ClientLink, None] | None = None
    ) -> Driver | None:
        """Join `end` to a new connection's, which is `kept` while it stands; None: it could not be made, and is closed."""
        link = ClientLink(self, latency, self._window)
        joined(end, link)
        try:
            connection = connect(peer)
        except Exception as error:  # a fault of ours must end one connection, not all
            self.errors.append(error)
            link.close()
            return None
        driver = Driver(
            connection, link, self._upstreams, self._serving, self._timers, self._settings.now, self._settings.on_error
        )
        if kept is not None:
            kept[link] = None

        def gone() -> None:
            self._drivers.pop(driver, None)
            if kept is not None:
                kept.pop(link, None)

        link.on_gone = gone
        link.begin(driver)
        return driver

    def _in_thread(self, work: Callable[[], Step | Exception], done: Callable[[Step | Exception], None]) -> None:
        """There are no threads: work takes no time, but others may come first."""
        self.after(0, lambda: done(work()))

    def _next_instant(self) -> float:
        deadline = self._timers.next_instant()
        return self._agenda[0][0] if self._agenda and self._agenda[0][0] < deadline else deadline

    def _step(self, at: float) -> None:
        """The next thing: what arrives at an instant comes before deadlines of that instant."""
        if at > self.now:
            self._set_clock(at)
        if self._agenda and self._agenda[0][0] <= at:
            heapq.heappop(self._agenda)[2]()
            return
        for watched in self._timers.due(at):
            watched.handle_timer()

    def _set_clock(self, at: float) -> None:
        self.now = at
        if at >= self._expires_at:
            self._upstreams.pool.expire(at)
            self._expires_at = at + self._settings.upstream_idle_seconds / _LOOKS


class MemoryClient(End):
    """A client's end.

    Attributes:
        received: All bytes that came.
        has_ended: The other side closed.
        is_reading: Set it to False to let what comes wait, and call `resume` to go on.

    """

    def __init__(self, network: MemoryNetwork, latency: float, window: int) -> None:
        super().__init__(network, latency, window)
        self.received = b""
        self.has_ended = False
        self.is_reading = True

    @property
    def wants(self) -> bool:
        """Whether it reads."""
        return self.is_reading

    def receive(self, data: bytes) -> None:
        """Take what came."""
        self.received += data
        if not data:
            self.has_ended = True

    def send(self, data: bytes) -> None:
        """Send."""
        self.write(data)

    def resume(self) -> None:
        """Read on."""
        self.is_reading = True
        self.wake()
