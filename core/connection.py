"""One client connection: its exchanges, one after another. What a transport drives; the border is in `dragoman.core.effects`."""

import math

from dragoman.core.downstream import Downstream, Request
from dragoman.core.effects import CloseClient, ConnectFailure, Effect, LocalAnswer, WriteClient
from dragoman.core.errors import ClientError, TooSlow
from dragoman.core.exchange import Exchange
from dragoman.core.gateway import Gateway


class ClientConnection:
    """One client connection.

    Args:
        gateway: The gateway it belongs to.
        now: Epoch seconds.
        peer: The address of whoever is connected, or ``unix``.
        canary: The name of the canary that it is made for, which needs no client key; empty for clients.

    Attributes:
        is_closed: It has asked for CloseClient; nothing more is to be told to it.

    """

    def __init__(self, gateway: Gateway, now: float, peer: str = "", *, canary: str = "") -> None:
        self._gateway = gateway
        self._peer = peer
        self._canary = canary
        self._times = gateway.config.timeouts
        self._down = Downstream(gateway.heads, gateway.config.limits.body)
        self._exchange: Exchange | None = None
        self._attempts = 0
        self._is_draining = False
        self._read_by = now + self._times.request_head
        self._read_phase = "head"  # of the first request, which may not keep us waiting
        self.is_closed = False

    @property
    def is_reading(self) -> bool:
        """Whether more bytes of the client are wanted now; False: leave them in the socket."""
        return not (self.is_closed or (self._exchange is not None and self._down.is_full))

    def next_deadline(self) -> float:
        """When `handle_timer` is due, epoch seconds; math.inf when never."""
        if self._exchange is not None:
            return self._exchange.deadline
        return math.inf if self.is_closed else self._read_by

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Take what the client sent; nothing: it closed its side, which ends whatever is being done for it."""
        effects: list[Effect] = []
        if self.is_closed:
            return effects
        if not data:
            if self._exchange is not None:
                self._exchange.abandon(now, effects)
            self._close(effects)
            return effects
        self._down.receive_data(data)
        if self._exchange is None:
            self._go_on(now, effects)
        return effects

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """The connection of an attempt stands; `reused`: it served another exchange before."""
        effects: list[Effect] = []
        if self._exchange is not None:
            self._exchange.upstream_opened(attempt, now, reused, effects)
        return effects

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """The connection of an attempt could not be opened."""
        effects: list[Effect] = []
        if self._exchange is not None:
            self._exchange.upstream_failed(attempt, failure, now, effects)
            self._after(now, effects)
        return effects

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """Take what the provider sent; nothing: it closed."""
        effects: list[Effect] = []
        if self._exchange is not None:
            self._exchange.upstream_sent(attempt, data, now, effects)
            self._after(now, effects)
        return effects

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """Somebody outside the core has answered a request; None: failed to."""
        effects: list[Effect] = []
        if self._exchange is not None:
            self._exchange.served(attempt, answer, now, effects)
            self._after(now, effects)
        return effects

    def handle_timer(self, now: float) -> list[Effect]:
        """`next_deadline` has come."""
        effects: list[Effect] = []
        if self._exchange is not None:
            self._exchange.handle_timer(now, effects)
            self._after(now, effects)
        elif not self.is_closed and now >= self._read_by:
            if self._down.has_input:
                what = "body" if self._read_phase == "body" else "head"
                self._refuse(TooSlow(f"The {what} of the request did not arrive in time."), now, effects)
            self._close(effects)
        return effects

    def drain(self, now: float) -> list[Effect]:
        """Finish the exchange in hand, take no other, then close."""
        effects: list[Effect] = []
        self._is_draining = True
        if self._exchange is None:
            self._close(effects)
        else:
            self._down.keeps_alive = False
        return effects

    def abort(self, now: float) -> list[Effect]:
        """End now, with a proper error in the client's dialect if it is owed an answer."""
        effects: list[Effect] = []
        self._is_draining = True
        self._down.keeps_alive = False
        if self._exchange is not None:
            self._exchange.abort(now, effects)
            self._after(now, effects)
        self._close(effects)
        return effects

    def _after(self, now: float, effects: list[Effect]) -> None:
        """Once the exchange in hand is done, go on with the next request."""
        if self._exchange is not None and self._exchange.is_done:
            self._exchange = None
            if self._is_draining or not self._down.keeps_alive:
                self._close(effects)
            else:
                self._go_on(now, effects)

    def _go_on(self, now: float, effects: list[Effect]) -> None:
        """Read the next request and answer it, as long as there are any."""
        while self._exchange is None and not self.is_closed:
            try:
                request = self._down.next_request()
            except ClientError as error:
                self._refuse(error, now, effects)
                self._close(effects)
                return
            if request is None:
                self._await_more(now, effects)
                return
            self._read_phase = ""
            exchange = self._exchange = Exchange(
                self._gateway, self._down, self._next_attempt, request, now, self._peer, canary=self._canary
            )
            exchange.start(now, effects)
            if exchange.is_done:
                self._exchange = None
                if not self._down.keeps_alive:
                    self._close(effects)

    def _await_more(self, now: float, effects: list[Effect]) -> None:
        """Part of a request is here, or none: how long the rest may take."""
        if self._down.head is not None:
            interim = self._down.take_continue()
            if interim:
                effects.append(WriteClient(interim))
            phase, seconds = "body", self._times.request_body
        elif self._down.has_input:
            phase, seconds = "head", self._times.request_head
        else:
            phase, seconds = "idle", self._times.keep_alive
        if phase != self._read_phase:
            self._read_phase = phase
            self._read_by = now + seconds

    def _refuse(self, error: ClientError, now: float, effects: list[Effect]) -> None:
        """Answer a request that could not be read."""
        self._down.keeps_alive = False
        head = self._down.head
        request = Request(
            head.method.decode("ascii") if head else "",
            head.target.decode("ascii").partition("?")[0] if head else "",
            "",
            dict(head.fields) if head else {},
            b"",
            0,
        )
        Exchange(self._gateway, self._down, self._next_attempt, request, now).refuse(error, now, effects)

    def _next_attempt(self) -> int:
        self._attempts += 1
        return self._attempts

    def _close(self, effects: list[Effect]) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._exchange = None
            effects.append(CloseClient())
