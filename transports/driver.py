"""Between the core and an event loop: tells one client connection what happened and performs what it asks for, in order, at once.

There is no event loop here and nothing is awaited: a write goes to the socket as far as the socket takes it, and the rest waits in
the link. Who reads must ask `is_backed_up` of the other side first and wait: that is the whole of backpressure.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from dragoman.core.effects import (
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    OpenUpstream,
    Origin,
    ReleaseUpstream,
    WriteClient,
    WriteUpstream,
)
from dragoman.transports.timers import Timers

# How long a client that was answered and is to go may take to read it before the connection is torn down, seconds (RFC 9112, 9.6).
_LINGER: Final = 1.0
# A client that was told to go and does not even read: torn down after this.
_FLUSH: Final = 10.0


class Connection(Protocol):
    """The border of `dragoman.core.effects`, as a type: what can be served."""

    @property
    def is_reading(self) -> bool:
        """Whether the client's bytes are wanted now."""
        ...

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Bytes from the client; nothing: it closed."""
        ...

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """An upstream connection stands."""
        ...

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """An upstream connection could not be opened."""
        ...

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """Bytes from the provider; nothing: it closed."""
        ...

    def handle_timer(self, now: float) -> list[Effect]:
        """The deadline has come."""
        ...

    def drain(self, now: float) -> list[Effect]:
        """Finish and close."""
        ...

    def abort(self, now: float) -> list[Effect]:
        """End now."""
        ...

    def next_deadline(self) -> float:
        """When the timer is due; math.inf for never."""
        ...


class ClientLink(Protocol):
    """The client's socket, as a driver sees it."""

    @property
    def is_backed_up(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        ...

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        ...

    def finish(self) -> None:
        """Send what is kept, shut down writing, read and drop until the client closes or `close` is called."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...

    def wake(self) -> None:
        """Reading is wanted again."""
        ...


class UpstreamHandle(Protocol):
    """An upstream connection, open or being opened."""

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        ...

    def release(self) -> None:
        """Keep the connection for others."""
        ...

    def close(self) -> None:
        """Close it, or stop opening it."""
        ...


class Upstreams(Protocol):
    """Opens upstream connections."""

    def open(self, driver: "Driver", attempt: int, origin: Origin, fresh: bool) -> UpstreamHandle | None:
        """Open one, or take an idle one; report to `driver.upstream_opened` or `upstream_failed`, now or later.

        None when it has failed already.
        """
        ...


class Driver:
    """One client connection on its way through an event loop.

    Args:
        connection: The core's side.
        client: The client's socket.
        upstreams: Opens upstream connections.
        timers: The server's deadlines.
        now: The clock.

    Attributes:
        watched_at: See `dragoman.transports.timers.Watched`.
        client: The client's socket.

    """

    def __init__(
        self, connection: Connection, client: ClientLink, upstreams: Upstreams, timers: Timers, now: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._upstreams = upstreams
        self._timers = timers
        self._now = now
        self._handles: dict[int, UpstreamHandle] = {}
        self._effects: deque[Effect] = deque()
        self._is_performing = False
        self._is_closing = False
        self._closes_at = math.inf
        self.client = client
        self.watched_at = math.inf

    @property
    def is_reading(self) -> bool:
        """Whether the client's bytes are wanted now; what comes after the end is read only to be dropped."""
        return self._is_closing or self._connection.is_reading

    def start(self) -> None:
        """The connection stands: its deadline counts from here."""
        self._timers.watch(self)

    def client_sent(self, data: bytes) -> None:
        """Bytes from the client; nothing: it closed."""
        if self._is_closing:
            if not data:
                self.client.close()
            return
        self._perform(self._connection.client_sent(data, self._now()))

    def upstream_opened(self, attempt: int, handle: UpstreamHandle, reused: bool) -> None:
        """A connection stands; what it was while being opened is forgotten."""
        self._handles[attempt] = handle
        self._perform(self._connection.upstream_opened(attempt, self._now(), reused))

    def upstream_failed(self, attempt: int, failure: ConnectFailure) -> None:
        """A connection could not be opened."""
        self._handles.pop(attempt, None)
        self._perform(self._connection.upstream_failed(attempt, failure, self._now()))

    def upstream_sent(self, attempt: int, data: bytes) -> None:
        """Bytes from the provider; nothing: it closed."""
        if not data:
            self._handles.pop(attempt, None)
        self._perform(self._connection.upstream_sent(attempt, data, self._now()))

    def next_deadline(self) -> float:
        """When `handle_timer` is due."""
        return self._closes_at if self._is_closing else self._connection.next_deadline()

    def handle_timer(self) -> None:
        """The deadline has come."""
        if self._is_closing:
            self.client.close()
        else:
            self._perform(self._connection.handle_timer(self._now()))

    def drain(self) -> None:
        """Finish the exchange in hand, then close."""
        if not self._is_closing:
            self._perform(self._connection.drain(self._now()))

    def abort(self) -> None:
        """End now, with a proper error."""
        if not self._is_closing:
            self._perform(self._connection.abort(self._now()))

    def closed(self) -> None:
        """The client's socket is gone: nothing of this connection may live on."""
        self._is_closing = True
        self._closes_at = math.inf
        self._timers.forget(self)
        for handle in list(self._handles.values()):
            handle.close()
        self._handles.clear()

    def sent_all(self) -> None:
        """The link has nothing more to send, after `finish`: the client has its time to read it."""
        self._closes_at = self._now() + _LINGER
        self._timers.watch(self)

    def _perform(self, effects: Iterable[Effect]) -> None:
        queue = self._effects
        queue.extend(effects)
        if self._is_performing:
            return  # the outermost call performs, in order
        self._is_performing = True
        try:
            to_client: list[bytes] = []
            while queue:
                effect = queue.popleft()
                kind = type(effect)
                if kind is WriteClient:
                    to_client.append(effect.data)  # type: ignore[union-attr]
                    continue
                if to_client:
                    self.client.write(b"".join(to_client))
                    to_client.clear()
                self._perform_one(effect)
            if to_client:
                self.client.write(to_client[0] if len(to_client) == 1 else b"".join(to_client))
        finally:
            self._is_performing = False
        if not self._is_closing:
            self._timers.watch(self)
            if self._connection.is_reading:
                self.client.wake()

    def _perform_one(self, effect: Effect) -> None:
        match effect:
            case WriteUpstream(attempt, data):
                if attempt in self._handles:
                    self._handles[attempt].write(data)
            case OpenUpstream(attempt, origin, fresh):
                handle = self._upstreams.open(self, attempt, origin, fresh)
                if handle is not None:
                    self._handles.setdefault(attempt, handle)
            case ReleaseUpstream(attempt):
                if attempt in self._handles:
                    self._handles.pop(attempt).release()
            case CloseUpstream(attempt):
                if attempt in self._handles:
                    self._handles.pop(attempt).close()
            case CloseClient():
                self._is_closing = True
                self._closes_at = self._now() + _FLUSH
                self._timers.watch(self)
                self.client.finish()
            case WriteClient():
                self.client.write(effect.data)
