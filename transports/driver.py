"""Between the core and an event loop: tells one client connection what happened and performs what it asks for, in order, at once.

There is no event loop here and nothing is awaited: a write goes to the socket as far as the socket takes it, and the rest waits in
the link. Who reads one side asks first whether the other is backed up, and waits until it is woken: that is the whole of backpressure.

What a connection raises is a bug of ours and ends that connection alone: it goes to `on_error`, and the client's socket is closed.
"""

import functools
import math
from collections.abc import Callable
from typing import Final, Protocol

from dragoman.core.effects import (
    Afterwards,
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    LocalAnswer,
    OpenUpstream,
    Origin,
    ReleaseUpstream,
    Serve,
    WriteClient,
    WriteUpstream,
)
from dragoman.transports.serving import Serving
from dragoman.transports.timers import Timers

# A client that got its last answer has this long to read it and close before we do, seconds (RFC 9112, section 9.6). While
# some of the answer is still unsent, or while the client still sends, it is also how often we look whether anything moves.
_LINGER: Final = 1.0
# After so many looks at a client that takes nothing, it is dropped.
_PATIENCE: Final = 10
# What a client sends after its last answer is read and dropped, up to this, bytes: closing while it sends would reset the
# connection, and the answer (a 413, say) would be lost with it.
_DROP_LIMIT: Final = 64 * 1024 * 1024


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

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """A request was answered elsewhere; None: that failed."""
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
    """The client's socket, as a driver sees it. None of its methods calls the driver back before it returns."""

    @property
    def is_backed_up(self) -> bool:
        """Whether more bytes wait for the socket than should; `Driver.client_caught_up` is called when that is over."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether it has stopped reading, until `wake`."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        ...

    def finish(self) -> None:
        """Send what is kept, then shut down writing; go on reading."""
        ...

    def close(self) -> None:
        """Close at once; `Driver.closed` is called soon."""
        ...

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call it once what was written is sent, as far as it can be; where that is so already, now."""
        ...

    def wake(self) -> None:
        """`Driver.is_reading` has become true, or may have."""
        ...


class Nobody:
    """The client of a job: there is none."""

    is_backed_up = False
    is_waiting = False
    unsent = 0

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def finish(self) -> None:
        """Nobody is waited for."""

    def close(self) -> None:
        """Nobody is there to be closed."""

    def afterwards(self, call: Callable[[], None]) -> None:
        """Nobody waits for anything."""
        call()

    def wake(self) -> None:
        """Nobody speaks."""


class UpstreamHandle(Protocol):
    """An upstream connection, open or being opened. None of its methods calls the driver back before it returns."""

    @property
    def is_open(self) -> bool:
        """Whether the connection stands."""
        ...

    @property
    def is_backed_up(self) -> bool:
        """Whether more bytes wait for the socket than should; `Driver.upstream_caught_up` is called when that is over."""
        ...

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        ...

    def release(self) -> None:
        """Keep the connection for others."""
        ...

    def close(self) -> None:
        """Close it, or stop opening it."""
        ...

    def wake(self) -> None:
        """The client is not backed up any more."""
        ...


class Opening:
    """A connection that is being opened, as an `UpstreamHandle`: all one can do is stop it.

    Args:
        stop: Stops opening it.

    """

    is_open = False
    is_backed_up = False

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop

    def write(self, data: bytes) -> None:
        """Nothing is written before it stands."""

    def wake(self) -> None:
        """Nothing is read before it stands."""

    def release(self) -> None:
        """Nothing is to be kept yet."""
        self.close()

    def close(self) -> None:
        """Stop opening it."""
        self._stop()


class Upstreams(Protocol):
    """Opens upstream connections."""

    def open(self, driver: "Driver", attempt: int, origin: Origin, fresh: bool) -> UpstreamHandle | ConnectFailure:
        """Take an idle connection, or begin to open one.

        Returns:
            An idle one, which stands (`is_open`); or one being opened, of which `Driver.upstream_opened` or
            `Driver.upstream_failed` will tell; or why none may be opened.

        """
        ...


class Driver:
    """One client connection on its way through an event loop.

    Args:
        connection: The core's side.
        client: The client's socket.
        upstreams: Opens upstream connections.
        serving: Has answered what the core has answered elsewhere.
        timers: The server's deadlines.
        now: The clock.
        on_error: Receives what the connection raises.

    Attributes:
        watched_at: See `dragoman.transports.timers.Watched`.
        client: The client's socket.

    """

    def __init__(
        self,
        connection: Connection,
        client: ClientLink,
        upstreams: Upstreams,
        serving: Serving,
        timers: Timers,
        now: Callable[[], float],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._connection = connection
        self._upstreams = upstreams
        self._serving = serving
        self._timers = timers
        self._now = now
        self._on_error = on_error
        self._handles: dict[int, UpstreamHandle] = {}
        self._is_closing = False  # the core asked for CloseClient: it is told nothing more by the client
        self._is_gone = False  # the socket is closed: the core is told nothing more at all
        self._has_left = False  # the client closed its side
        self._closes_at = math.inf
        self._unsent = 0
        self._patience = _PATIENCE
        self._dropped = self._dropped_before = 0
        self.client = client
        self.watched_at = math.inf

    @property
    def is_reading(self) -> bool:
        """Whether the client's bytes are wanted now: the core wants them, and nobody it may write to is backed up."""
        if self._is_closing:
            return not self._has_left  # to be dropped
        if self.client.is_backed_up or not self._connection.is_reading:
            return False
        for handle in self._handles.values():  # noqa: SIM110 - asked with every piece, and a generator costs more than the loop
            if handle.is_backed_up:
                return False
        return True

    # What happened

    def start(self) -> None:
        """The connection stands: its deadline counts from here."""
        self._feed(lambda now: [])

    def client_sent(self, data: bytes) -> None:
        """Bytes from the client; nothing: it closed, or was reset."""
        if self._is_closing:
            self._drop(data)
        elif data:
            self._feed(self._connection.client_sent, data)
        elif not self._has_left:
            self._has_left = True
            self._feed(self._connection.client_sent, data)
            if not self._is_closing:  # nobody is left to talk to, whatever the core thinks
                self._feed(lambda now: [CloseClient()])

    def upstream_opened(self, attempt: int, handle: UpstreamHandle) -> None:
        """A connection that was being opened stands; if it is not wanted any more, it is closed."""
        if attempt in self._handles:
            self._handles[attempt] = handle
            self._feed(self._connection.upstream_opened, attempt)
        else:
            handle.close()

    def upstream_failed(self, attempt: int, failure: ConnectFailure) -> None:
        """A connection could not be opened."""
        if self._handles.pop(attempt, None) is not None:
            self._feed(self._connection.upstream_failed, attempt, failure)

    def upstream_sent(self, attempt: int, data: bytes) -> None:
        """Bytes from the provider; nothing: it closed, or was reset."""
        if attempt in self._handles:
            if not data:
                self._handles.pop(attempt).close()
            self._feed(self._connection.upstream_sent, attempt, data)

    def _served(self, attempt: int, answer: LocalAnswer | Exception) -> None:
        """A request was answered elsewhere; the core drops what it does not wait for any more."""
        self._feed(self._connection.served, attempt, self._checked(answer))

    def client_caught_up(self) -> None:
        """The client is not backed up any more."""
        for handle in self._handles.values():
            handle.wake()
        self.upstream_caught_up()

    def upstream_caught_up(self) -> None:
        """An upstream is not backed up any more."""
        if not self._is_gone and self.is_reading:
            self.client.wake()

    def drain(self) -> None:
        """Finish the exchange in hand, then close."""
        if not self._is_closing:
            self._feed(self._connection.drain)

    def abort(self) -> None:
        """End now, with a proper error."""
        if not self._is_closing:
            self._feed(self._connection.abort)

    def closed(self) -> None:
        """The client's socket is gone: nothing of this connection may live on."""
        if not self._is_gone:
            if not self._is_closing and not self._has_left:
                self.client_sent(b"")  # the exchange in hand, if any, was for nobody: the core is to know
            self._is_gone = self._is_closing = True
            self._timers.forget(self)
            for handle in self._handles.values():
                handle.close()
            self._handles.clear()

    # Deadlines

    def next_deadline(self) -> float:
        """When `handle_timer` is due."""
        if self._is_closing:
            return self._closes_at
        try:
            return self._connection.next_deadline()
        except Exception as error:
            self._fail(error)
            return math.inf

    def handle_timer(self) -> None:
        """The deadline has come."""
        if self._is_closing:
            self._look_after_leaving()
            self._timers.watch(self)
        else:
            self._feed(self._connection.handle_timer)

    def _begin_closing(self) -> None:
        self._is_closing = True
        self.client.finish()
        self._unsent = self.client.unsent
        if self._has_left and not self._unsent:
            self.client.close()
        self._closes_at = self._now() + _LINGER

    def _look_after_leaving(self) -> None:
        """Close when the client has had its time to read the last answer, reads none of it, or sends without end."""
        unsent, is_sending = self.client.unsent, self._dropped > self._dropped_before
        self._patience = _PATIENCE if unsent < self._unsent else self._patience - 1
        has_had_its_time = self._has_left or not (self._unsent or is_sending)
        if (not unsent and has_had_its_time) or self._patience <= 0:
            self._closes_at = math.inf
            self.client.close()
            return
        self._unsent, self._dropped_before = unsent, self._dropped
        self._closes_at = self._now() + _LINGER

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        self._has_left = self._has_left or not data
        if self._dropped > _DROP_LIMIT or (self._has_left and not self.client.unsent):
            self.client.close()

    # What is to be done

    def _feed(self, tell: Callable[..., list[Effect]], *what: object) -> None:
        """Tell the connection, and perform what it asks for."""
        if self._is_gone:
            return
        try:
            effects = tell(*what, self._now())
            if effects:
                self._perform(effects)
            if self.client.is_waiting and self.is_reading:
                self.client.wake()
            if self.next_deadline() < self.watched_at:
                self._timers.watch(self)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End this connection and no other."""
        self._is_closing = True
        self._on_error(error)
        self.client.close()

    def _perform(self, effects: list[Effect]) -> None:
        """Perform in order, writes that follow each other as one; what opening an upstream leads to joins the end of the list."""
        at = 0
        while at < len(effects):
            effect = effects[at]
            at += 1
            # Asked of every piece of every stream, so the most frequent first, and by identity: `match` takes three times as long.
            if type(effect) is WriteClient:
                pieces = [effect.data]
                while at < len(effects) and isinstance(more := effects[at], WriteClient):
                    pieces.append(more.data)
                    at += 1
                self.client.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            elif type(effect) is WriteUpstream:
                pieces = [effect.data]
                while (
                    at < len(effects)
                    and isinstance(more := effects[at], WriteUpstream)
                    and more.attempt == effect.attempt
                ):
                    pieces.append(more.data)
                    at += 1
                if effect.attempt in self._handles:
                    self._handles[effect.attempt].write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            elif type(effect) is OpenUpstream:
                effects += self._open(effect)
            elif type(effect) is ReleaseUpstream:
                if effect.attempt in self._handles:
                    self._handles.pop(effect.attempt).release()
            elif type(effect) is Afterwards:
                self.client.afterwards(effect.call)
            elif type(effect) is CloseUpstream:
                if effect.attempt in self._handles:
                    self._handles.pop(effect.attempt).close()
            elif type(effect) is Serve:
                effects += self._serve(effect)
            elif type(effect) is CloseClient and not self._is_closing:
                self._begin_closing()

    def _serve(self, effect: Serve) -> list[Effect]:
        answer = self._serving.begin(effect.request, functools.partial(self._served, effect.attempt))
        if answer is None:
            return []
        return self._connection.served(effect.attempt, self._checked(answer), self._now())

    def _checked(self, answer: LocalAnswer | Exception) -> LocalAnswer | None:
        """An answer; if there is none, it was told why to who wants to know, and this connection lives on."""
        if isinstance(answer, LocalAnswer):
            return answer
        self._on_error(answer)
        return None

    def _open(self, effect: OpenUpstream) -> list[Effect]:
        opened = self._upstreams.open(self, effect.attempt, effect.origin, effect.fresh)
        if isinstance(opened, ConnectFailure):
            return self._connection.upstream_failed(effect.attempt, opened, self._now())
        self._handles[effect.attempt] = opened
        if opened.is_open:
            return self._connection.upstream_opened(effect.attempt, self._now(), True)
        return []
