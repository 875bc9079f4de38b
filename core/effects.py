"""What the core asks of a transport, and what a transport tells the core: the whole border on one page.

A transport owns one `ClientConnection` (see `dragoman.core.connection`) for each client socket. It tells the connection what
happened, each time with ``now``, and performs the effects that come back, in order, at once (`Afterwards` soon), deciding nothing::

    connection.client_sent(data, now)                     bytes from the client; b"" = it closed or reset
    connection.upstream_opened(attempt, now, reused)      the connection of OpenUpstream stands
    connection.upstream_failed(attempt, failure, now)     it could not be opened
    connection.upstream_sent(attempt, data, now)          bytes from the provider; b"" = it closed or reset
    connection.served(attempt, answer, now)               what Serve asked for; None = whoever was to answer failed
    connection.handle_timer(now)                          next_deadline() has come
    connection.drain(now)                                 finish the exchange in hand, then close
    connection.abort(now)                                 end now, with a proper error in the client's dialect

    connection.next_deadline() -> float                   when to call handle_timer next; math.inf = never
    connection.is_reading -> bool                         False: leave the client's bytes in the socket for now

Attempts are numbered within a connection. Every input about an upstream, or about what is served, brings its attempt back; the core drops what is late, so
a transport needs no rite of cancellation: after CloseUpstream or ReleaseUpstream it may forget the number at once.

Effects are msgspec Structs, not attrs values: there is one for each piece that is sent, and a Struct is made in a quarter of the time.
"""

from collections.abc import Callable, Mapping
from enum import Enum

import attrs
import msgspec


@attrs.frozen
class Proxy:
    """A proxy in front of an upstream.

    Attributes:
        scheme: ``http`` (CONNECT for TLS origins, absolute-form otherwise is not used), ``socks5`` (names resolved here) or
            ``socks5h`` (names resolved by the proxy).
        host: Name or address, without brackets.
        port: TCP port.
        username: For the proxy, or None.
        password: For the proxy, or None.

    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(cache_hash=True)
class Origin:
    """Where an upstream is: what a keep-alive pool is keyed by.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, without brackets; the name TLS certificates are checked against.
        port: TCP port.
        proxy: The proxy to go through, or None.
        ca_file: A PEM file of extra trust roots for this origin, or None for the default ones.

    """

    scheme: str
    host: str
    port: int
    proxy: Proxy | None = None
    ca_file: str | None = None


class FailureKind(Enum):
    """Why an upstream connection could not be opened."""

    REFUSED = "refused"  #: nobody listens there, or the network is unreachable
    UNRESOLVED = "unresolved"  #: the name does not resolve
    TLS = "tls"  #: the handshake failed: certificate, host name, protocol
    PROXY = "proxy"  #: the proxy refused or could not be understood
    LIMIT = "limit"  #: too many connections to this origin are open already


class ConnectFailure(msgspec.Struct, frozen=True, gc=False):
    """Why an upstream connection could not be opened, with a sentence for people; no secrets in it."""

    kind: FailureKind
    detail: str


class OpenUpstream(msgspec.Struct, frozen=True, gc=False):
    """Open a connection to `origin`, or take an idle one; then call `upstream_opened` (or `upstream_failed`).

    With `fresh` an idle connection will not do: the last one turned out to be dead.
    """

    attempt: int
    origin: Origin
    fresh: bool = False


class WriteUpstream(msgspec.Struct, frozen=True, gc=False):
    """Send to the provider."""

    attempt: int
    data: bytes


class ReleaseUpstream(msgspec.Struct, frozen=True, gc=False):
    """The answer is complete and the connection sound: keep it for the next exchange with its origin."""

    attempt: int


class CloseUpstream(msgspec.Struct, frozen=True, gc=False):
    """Close the connection (or stop opening it), whatever is in flight: the provider should notice at once."""

    attempt: int


class WriteClient(msgspec.Struct, frozen=True, gc=False):
    """Send to the client."""

    data: bytes


class CloseClient(msgspec.Struct, frozen=True, gc=False):
    """Flush what was written, close our side, and drop the connection.

    A transport should shut down writing, then read and drop for a short while what the client still sends (RFC 9112,
    section 9.6), so that a final answer is not destroyed by a reset.
    """


@attrs.frozen
class LocalRequest:
    """A request that is answered here, but not by the core: it takes the disk, or a library.

    Attributes:
        method: ``GET`` (also for HEAD), ``POST`` ...
        path: Decoded, without the query.
        query: As sent, without ``?``.
        fields: Headers by lower-case name.
        body: Decoded from its Content-Encoding.
        peer: The address of whoever is connected, or ``unix``.

    """

    method: str
    path: str
    query: str
    fields: Mapping[bytes, bytes] = attrs.field(repr=False)  # a key is in them
    body: bytes = attrs.field(repr=False)
    peer: str = ""


@attrs.frozen
class LocalAnswer:
    """The answer to a `LocalRequest`.

    Attributes:
        status: HTTP status.
        body: Empty for an error.
        fields: Headers but those that frame the message; safe to send.
        error: For an error: what is wrong, for people, without secrets; told in the dialect of the path.
        code: For an error: for programs.

    """

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    fields: tuple[tuple[bytes, bytes], ...] = ()
    error: str = ""
    code: str | None = None


#: On the way to an answer: the answer, or what is to be done next. What the loop's thread gives is done in a worker thread, what
#: that gives is done on the loop's thread again, and so on in turns: state of the gateway is touched by the loop's thread only.
Step = LocalAnswer | Callable[[], "Step"]


class Serve(msgspec.Struct, frozen=True, gc=False):
    """Have `request` answered outside the core; then call `served`. Whoever leaves meanwhile is not told of it."""

    attempt: int
    request: LocalRequest


class Afterwards(msgspec.Struct, frozen=True, gc=False):
    """Call `call` once what was written is sent, before long: bookkeeping, for which nobody should wait."""

    call: Callable[[], None]


Effect = OpenUpstream | WriteUpstream | ReleaseUpstream | CloseUpstream | WriteClient | CloseClient | Serve | Afterwards
