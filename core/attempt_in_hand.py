"""One attempt under way: whom it asks, and what has come of the answer so far. What follows from that is for `exchange`."""

import math

from dragoman.core.downstream import Request
from dragoman.core.http_heads import Field, HeadReader
from dragoman.core.journal import Attempt
from dragoman.core.lanes import Flow, Lane
from dragoman.core.passthrough import forwarded_fields, forwarded_query
from dragoman.core.routing.plan import Choice
from dragoman.core.upstream import Upstream


class AttemptInHand:
    """One attempt, from the choice of whom to ask to the end of the answer.

    Args:
        choice: Whom it asks, and why.
        lane: The way there and back.
        heads: Reads the answer's head.
        now: Epoch seconds.

    Attributes:
        target: Provider, upstream model and credential.
        lane: The same.
        number: The transport's, while it is under way; 0 before and after.
        is_reused: Its connection served another exchange before.
        up: The answer, as HTTP.
        flow: The answer on its way, if it is a stream.
        flow_fields: Headers of that.
        is_early: The client was sent the head of a stream before the provider said anything.
        first_token_at: When the first of a stream went on to the client, epoch seconds.
        silent_by: When the provider has been silent for too long, epoch seconds.
        collected: Bytes of an answer that is kept until it is whole.

    """

    __slots__ = (
        "_pieces", "_started_at", "_why", "collected", "first_token_at", "flow", "flow_fields", "is_early", "is_reused", "lane", "number",
        "silent_by", "target", "up",
    )  # fmt: skip

    def __init__(self, choice: Choice, lane: Lane, heads: HeadReader, now: float) -> None:
        self.target = choice.target
        self._why = choice.reason
        self._started_at = now
        self.lane = lane
        self.number = 0
        self.is_reused = False
        self.up = Upstream(heads)
        self.flow: Flow | None = None
        self.flow_fields: list[Field] = []
        self.is_early = False
        self.first_token_at: float | None = None
        self.silent_by = math.inf
        self.collected = 0
        self._pieces: list[bytes] = []

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.target.provider

    @property
    def status(self) -> int | None:
        """The provider's HTTP status, as soon as there is one."""
        return self.up.head.status if self.up.head is not None else None

    def ask(self, request: Request) -> bytes:
        """What is sent to the provider, on behalf of a client that sent `request`."""
        target, lane, known = self.target, self.lane, request.findings
        forwarded: tuple[bytes, bytes] | None = known.get(target.dialect)
        if forwarded is None:
            query = forwarded_query(request.query, target.dialect)
            forwarded = known[target.dialect] = query, forwarded_fields(request.fields, target.dialect)
        return b"POST %b%b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
            target.base_path,
            lane.path,
            forwarded[0],
            target.lines,
            forwarded[1],
            len(lane.body),
            lane.body,
        )

    def collect(self, data: bytes) -> None:
        """Keep a piece of an answer that is to be whole."""
        if data:
            self._pieces.append(data)
            self.collected += len(data)

    def take_collected(self) -> bytes:
        """All that was kept."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def ended(self, number: int, name: str, detail: str, status: int | None, now: float) -> Attempt:
        """The record of it; see `dragoman.core.journal.Attempt`."""
        target = self.target
        return Attempt(
            number,
            target.provider,
            target.upstream_model,
            target.credential,
            status,
            name,
            detail,
            self._started_at,
            now,
            self._why,
            self.first_token_at,
        )
