"""What a server is asked to serve, the same on every event loop."""

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from dragoman.transports.driver import Connection

if TYPE_CHECKING:
    import ssl


@attrs.frozen
class Service:
    """Listening sockets and what answers on them.

    Attributes:
        listeners: Bound, listening, non-blocking.
        connect: Makes the core's side of a new connection; the argument is the peer's address, for people.
        tls: For HTTPS, or None.
        limit: Most connections at a time; further ones wait in the listen queue.

    """

    listeners: Sequence[socket.socket]
    connect: Callable[[str], Connection]
    tls: "ssl.SSLContext | None" = None
    limit: int = 10_000


@attrs.frozen
class Settings:
    """What transports are told once.

    Attributes:
        now: The clock, epoch seconds.
        upstream_connections: Open to one origin, at most.
        upstream_idle: Idle to one origin, at most.
        upstream_idle_seconds: How long an idle one is kept.
        drain_seconds: How long running exchanges may take to end when the server stops.
        on_ready: Called once, when everything listens.
        on_error: Receives what nobody expected of one connection; that connection is closed, the others live on.

    """

    now: Callable[[], float]
    upstream_connections: int = 2000
    upstream_idle: int = 128
    upstream_idle_seconds: float = 55.0
    drain_seconds: float = 30.0
    on_ready: Callable[[], None] = lambda: None
    on_error: Callable[[BaseException], None] = lambda error: None
