"""What a server is asked to serve, the same on every event loop."""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from dragoman.core.effects import LocalRequest, Step
from dragoman.transports.driver import Connection
from dragoman.transports.serving import serve_nothing

if TYPE_CHECKING:
    import ssl  # OpenSSL is loaded with the event loops, once the gateway listens

LAST_WORDS: Final = 2.0  # seconds for what was said at the very end to reach the clients
GLANCES: Final = 100  # at jobs that finish what they have begun, within that time
HANDSHAKE: Final = 10.0  # seconds a client may take to bring up TLS
PAUSE: Final = 0.1  # seconds to wait when the system has no sockets left
SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ACCEPTS: Final = 100  # clients taken in one turn of the loop: one alone would make a crowd wait for a turn each
HAPPY_EYEBALLS: Final = 0.25  # seconds until the next address is tried beside a slow one (RFC 8305, section 5)


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
        serve: Answers what the core has answered elsewhere: see `dragoman.core.effects.Step`.
        jobs: Connections without a client, for what the core does on behalf of nobody. At the end one is drained, and waited for a
            moment while it has a deadline.
        on_ready: Called once, when everything listens.
        on_error: Receives what nobody expected of one connection; that connection is closed, the others live on.

    """

    now: Callable[[], float]
    upstream_connections: int = 2000
    upstream_idle: int = 1000
    upstream_idle_seconds: float = 55.0
    drain_seconds: float = 30.0
    serve: Callable[[LocalRequest], Step] = serve_nothing
    jobs: Sequence[Connection] = ()
    on_ready: Callable[[], None] = lambda: None
    on_error: Callable[[Exception], None] = lambda error: None
