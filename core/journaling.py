"""What is noted of one exchange while it goes on, and written down once when it is over: for logs, counts, and whoever wants to see what was said."""

from collections.abc import Sequence

from dragoman.core.access import ANONYMOUS, CANARY
from dragoman.core.answering import Answering
from dragoman.core.attempt_in_hand import AttemptInHand
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import ClientKey
from dragoman.core.downstream import Request
from dragoman.core.evidence import KEPT, Evidence
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Attempt, Journal


class Journaling:
    """The notes of one exchange.

    Args:
        gateway: Who is told at the end.
        request: What was asked.
        out: What is answered.
        now: Epoch seconds.
        canary: The name of the canary that asks; empty for clients.

    Attributes:
        client_key: Whose key was shown.
        model: The model asked for; empty while it is unknown.
        attempts: Those that have ended.
        hand: The attempt in hand, or the last one there was.
        usage: Counted tokens.
        losses: What could not be said to the client of an answer that was whole.
        ended_at: Epoch seconds; to be set before `write`.

    """

    __slots__ = (
        "_canary", "_gateway", "_is_keeping_all", "_out", "_request", "_started_at", "attempts", "client_key", "ended_at", "hand", "losses",
        "model", "usage",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, request: Request, out: Answering, now: float, canary: str) -> None:
        self._gateway = gateway
        self._request = request
        self._out = out
        self._started_at = self.ended_at = now
        self._canary = canary
        self._is_keeping_all = gateway.config.log_files.every_request  # as it was when the exchange began
        if self._is_keeping_all and gateway.show is not None:
            out.copy = bytearray()
        self.client_key: ClientKey = CANARY if canary else ANONYMOUS
        self.model = ""
        self.attempts: list[Attempt] = []
        self.hand: AttemptInHand | None = None
        self.usage: TokenUsage | None = None
        self.losses: Sequence[Loss] = ()

    def story(self, *, is_under_way: bool) -> bytes:
        """Who was asked, and what came of it, for a header."""
        told = [f"{a.provider}/{a.credential} {a.status or a.outcome}" for a in self.attempts]
        if is_under_way and self.hand is not None:
            told.append(f"{self.hand.provider}/{self.hand.target.credential}")
        return "".join(c if c.isprintable() and c.isascii() else "?" for c in ", ".join(told)).encode("ascii")

    def write(self) -> None:
        """Tell the gateway, once."""
        request, out, hand = self._request, self._out, self.hand
        flow = hand.flow if hand is not None else None
        lane = hand.lane if hand is not None else None
        told = flow.losses if flow is not None else self.losses
        journal = Journal(
            request_id=out.request_id,
            method=request.method,
            path=request.path,
            dialect=out.dialect,
            client_key=self.client_key.label,
            model=self.model,
            status=out.status,
            fault=out.fault,
            error=out.error,
            streamed=flow is not None,
            attempts=tuple(self.attempts),
            usage=self.usage,
            bytes_in=request.bytes_in,
            bytes_out=out.bytes_out,
            started_at=self._started_at,
            first_byte_at=out.first_byte_at,
            ended_at=self.ended_at,
            losses=() if lane is None else (*lane.losses, *told),
            thinking_asked=lane.asked if lane is not None else None,
            thinking_applied=lane.applied if lane is not None else None,
            canary=self._canary,
        )
        self._gateway.record(journal)
        if self._gateway.show is not None and self._is_worth_a_file(journal):
            self._gateway.show(journal, self._evidence())

    def _is_worth_a_file(self, journal: Journal) -> bool:
        """Whether somebody will want to see what was said. Not of strangers, and of clients that left."""
        if not journal.model or (journal.attempts and journal.attempts[-1].outcome == "abandoned"):
            return False
        return self._is_keeping_all or bool(journal.fault) or journal.status >= 400

    def _evidence(self) -> Evidence:
        request, out = self._request, self._out
        asked = self.hand if self.attempts else None
        return Evidence(
            query=request.query,
            fields=dict(request.fields),
            body=request.body[:KEPT],
            asked_path=asked.target.base_path + asked.lane.path if asked is not None else b"",
            asked=asked.lane.body[:KEPT] if asked is not None else b"",
            answer_fields=tuple(out.fields),
            answer=bytes(out.copy) if out.copy is not None else out.body[:KEPT] if out.body is not None else None,
        )
