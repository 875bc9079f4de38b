"""One client request with all its attempts, from the first upstream to the last byte.

Rule 1: every change of state is a row of `TRANSITIONS`. Rule 2: time comes in as ``now``, chance and ids from the gateway. Rule 3: what is
to be done in the world goes out as effects, in order. Rule 4: once a byte of an answer went to the client, no other attempt is made.
Rule 5: every exchange ends with exactly one answer and one journal record, whatever fails when.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from dragoman.core.answers import error_body, model_card, model_list, stream_error
from dragoman.core.config import ClientKey
from dragoman.core.downstream import Downstream, Request
from dragoman.core.effects import (
    CloseUpstream,
    ConnectFailure,
    Effect,
    OpenUpstream,
    ReleaseUpstream,
    WriteClient,
    WriteUpstream,
)
from dragoman.core.endpoints import LOCAL, Endpoint, Operation, dialect_of_path, find_endpoint
from dragoman.core.errors import ClientError, MisuseError, UpstreamError, WrongMethod
from dragoman.core.gateway import Gateway
from dragoman.core.http_heads import Field
from dragoman.core.instants import parse_retry_after
from dragoman.core.journal import Attempt, Journal, TokenUsage
from dragoman.core.passthrough import StreamRelay, answer_fields, build_request_body, forwarded_fields, read_usage
from dragoman.core.request_text import RequestPeek, peek_request
from dragoman.core.routing.catalog import Target
from dragoman.core.upstream import Upstream

# An answer that is no stream is sent when it is whole, so that a cut one can be an honest error. A larger one goes on as it comes.
_COLLECTED_LIMIT: Final = 8 * 1024 * 1024

# What another credential or provider may answer better. Request faults (400, 404, 413, 422 ...) would fail there as well.
_RETRIED: Final = frozenset({401, 402, 403, 408, 429, 500, 502, 503, 504, 529})
# What a client did wrong, when a provider says so.
_CLIENT_FAULTS: Final = frozenset({400, 404, 405, 406, 409, 411, 413, 414, 415, 422})
_LONGEST_PAUSE: Final = 4.0  # seconds between two rounds
_CLIENT_LEFT: Final = 499  # nginx's status for a client that closed before its answer


class State(Enum):
    """Where an exchange is."""

    __hash__ = object.__hash__  # an Enum's own is Python code, and the table is asked five times an exchange

    READY = auto()  #: a request, and no attempt in hand
    OPENING = auto()  #: an upstream connection is being opened
    AWAITING = auto()  #: the request is sent; nothing usable came back yet
    COLLECTING = auto()  #: an answer is arriving that will be sent when it is whole
    STREAMING = auto()  #: an answer is on its way to the client
    PAUSING = auto()  #: between two rounds of attempts
    DONE = auto()  #: one answer was given (or nobody is left to give it to)


class Input(Enum):
    """What can happen to an exchange."""

    __hash__ = object.__hash__

    ATTEMPTED = auto()  #: an attempt is made
    OPENED = auto()  #: its connection stands
    COLLECTED = auto()  #: its answer began, to be sent when whole
    STREAMED = auto()  #: its answer goes to the client from here on
    FAILED = auto()  #: it came to nothing, and nothing of it went to the client
    PAUSED = auto()  #: the next round may begin later
    ANSWERED = auto()  #: the client has its answer
    ABANDONED = auto()  #: the client left, or the gateway ends


TRANSITIONS: Final[Mapping[tuple[State, Input], State]] = MappingProxyType({
    (State.READY, Input.ATTEMPTED): State.OPENING,
    (State.READY, Input.PAUSED): State.PAUSING,
    (State.READY, Input.ANSWERED): State.DONE,  # a local answer, or an error when nobody is left to try
    (State.PAUSING, Input.ATTEMPTED): State.OPENING,
    (State.PAUSING, Input.ANSWERED): State.DONE,  # the time of the whole exchange is over
    (State.OPENING, Input.OPENED): State.AWAITING,
    (State.OPENING, Input.FAILED): State.READY,
    (State.AWAITING, Input.ATTEMPTED): State.OPENING,  # a kept connection was dead: once more, on a fresh one
    (State.AWAITING, Input.COLLECTED): State.COLLECTING,
    (State.AWAITING, Input.STREAMED): State.STREAMING,
    (State.AWAITING, Input.FAILED): State.READY,
    (State.COLLECTING, Input.STREAMED): State.STREAMING,  # longer than what we collect
    (State.COLLECTING, Input.FAILED): State.READY,  # cut, or a status that another attempt may better
    (State.COLLECTING, Input.ANSWERED): State.DONE,
    (State.STREAMING, Input.ANSWERED): State.DONE,
    (State.READY, Input.ABANDONED): State.DONE,
    (State.PAUSING, Input.ABANDONED): State.DONE,
    (State.OPENING, Input.ABANDONED): State.DONE,
    (State.AWAITING, Input.ABANDONED): State.DONE,
    (State.COLLECTING, Input.ABANDONED): State.DONE,
    (State.STREAMING, Input.ABANDONED): State.DONE,
})  # fmt: skip


class Exchange:
    """One client request with all its attempts.

    Args:
        gateway: The gateway it belongs to.
        downstream: The client's side of HTTP, which frames the answer.
        next_attempt: Numbers attempts within the connection.
        request_id: Ours, or the client's own.

    Attributes:
        state: Where it is.
        deadline: When `handle_timer` is due, epoch seconds.

    """

    def __init__(
        self, gateway: Gateway, downstream: Downstream, next_attempt: Callable[[], int], request: Request, now: float
    ) -> None:
        self._gateway = gateway
        self._down = downstream
        self._next_attempt = next_attempt
        self._request = request
        self._times = gateway.config.timeouts
        self._started_at = now
        self._ends_by = now + self._times.exchange
        self._id = _request_id(request) or gateway.new_id()
        self._endpoint: Endpoint | None = None
        self._client_key: ClientKey | None = None
        self._model = ""
        self._peek: RequestPeek | None = None
        self._hides_usage = False
        self._targets: Sequence[Target] = ()
        self._position = 0  # in _targets, of the attempt in hand
        self._rounds_left = gateway.config.request_retry
        self._pause = 0.25
        # of the attempt in hand
        self._attempt = 0
        self._attempt_at = now
        self._is_reused = False
        self._up = Upstream(gateway.heads)
        self._relay: StreamRelay | None = None
        self._pieces: list[bytes] = []
        self._collected = 0
        # of what came of it
        self._attempts: list[Attempt] = []
        self._last_failure = ("", 502)
        self._last_answer: tuple[int, list[Field], bytes, bool] | None = None
        self._usage: TokenUsage | None = None
        self._status = 0
        self._fault = ""
        self._error = ""
        self._bytes_out = 0
        self._first_byte_at: float | None = None
        self.state = State.READY
        self.deadline = self._ends_by

    @property
    def is_done(self) -> bool:
        """Whether the client has its one answer."""
        return self.state is State.DONE

    def _receive(self, received: Input) -> None:
        state = TRANSITIONS.get((self.state, received))
        if state is None:
            raise MisuseError(f"can't handle {received.name} in state {self.state.name}")
        self.state = state

    # --- the request ---

    def start(self, now: float, effects: list[Effect]) -> None:
        """Answer the request, or make the first attempt to have it answered."""
        request = self._request
        try:
            if request.method == "OPTIONS" and self._answer_preflight(now, effects):
                return
            endpoint = self._endpoint = find_endpoint(request.method, request.path)
            if endpoint.needs_key:
                self._client_key = self._gateway.keys.check(request.fields, request.query)
            if endpoint.operation in LOCAL:
                self._answer_locally(endpoint, now, effects)
                return
            peek = peek_request(request.body)
            self._model = peek.model
            self._targets = self._gateway.catalog.find(peek.model)
        except ClientError as error:
            self.refuse(error, now, effects)
            return
        self._peek = peek
        asked = peek.stream_options.include_usage if peek.stream_options else False
        self._hides_usage = bool(peek.stream) and endpoint.operation is not Operation.EMBEDDINGS and not asked
        self._try(now, effects)

    def refuse(self, error: ClientError, now: float, effects: list[Effect]) -> None:
        """Answer with an error that is the client's fault."""
        fields: list[Field] = []
        if isinstance(error, WrongMethod):
            fields.append((b"allow", ", ".join(error.allow).encode()))
        if error.status == 401:
            fields.append((b"www-authenticate", b"Bearer"))
        self._answer_error(
            error.status, error.message, "client", now, effects, code=error.code, param=error.param, fields=fields
        )

    def _answer_preflight(self, now: float, effects: list[Effect]) -> bool:
        if not self._cors_fields():
            return False
        fields = [
            (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
            (b"access-control-allow-headers", self._request.fields.get(b"access-control-request-headers", b"*")),
            (b"access-control-max-age", b"600"),
        ]
        self._answer(204, fields, b"", now, effects)
        return True

    def _answer_locally(self, endpoint: Endpoint, now: float, effects: list[Effect]) -> None:
        gateway = self._gateway
        dialect = "claude" if b"anthropic-version" in self._request.fields else "openai_chat"
        match endpoint.operation:
            case Operation.HEALTH:
                body = gateway.health(now)
            case Operation.MODELS:
                body = model_list(dialect, gateway.catalog.models())
            case _:
                body = model_card(dialect, gateway.catalog.model(endpoint.model))
        self._answer(200, [(b"content-type", b"application/json")], body, now, effects)

    # --- attempts ---

    def _try(self, now: float, effects: list[Effect], *, fresh: bool = False) -> None:
        """Make an attempt at the target in hand."""
        self._receive(Input.ATTEMPTED)
        if not fresh:
            self._attempt_at = now
        self._attempt = self._next_attempt()
        self._up = Upstream(self._gateway.heads)
        self._relay = None
        self._pieces = []
        self._collected = 0
        self.deadline = min(now + self._times.connect, self._ends_by)
        effects.append(OpenUpstream(self._attempt, self._targets[self._position].origin, fresh))

    def upstream_opened(self, attempt: int, now: float, reused: bool, effects: list[Effect]) -> None:
        """The connection of an attempt stands: send the request."""
        if attempt != self._attempt or self.state is not State.OPENING:
            return
        self._receive(Input.OPENED)
        self._is_reused = reused
        self.deadline = min(now + self._times.first_byte, self._ends_by)
        effects.append(WriteUpstream(attempt, self._upstream_request(self._targets[self._position])))

    def _upstream_request(self, target: Target) -> bytes:
        endpoint, peek = self._endpoint, self._peek
        assert endpoint is not None and peek is not None  # noqa: PT018 - there is no attempt without them
        body = build_request_body(self._request.body, peek, target.upstream_model, ask_usage=self._hides_usage)
        return b"POST %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
            target.base_path,
            endpoint.upstream_path.encode("ascii"),
            target.head,
            forwarded_fields(self._request.fields),
            len(body),
            body,
        )

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float, effects: list[Effect]) -> None:
        """The connection of an attempt could not be opened."""
        if attempt != self._attempt or self.state is not State.OPENING:
            return
        self._fail(failure.kind.value, f"could not be reached: {failure.detail}", 502, now, effects)

    def upstream_sent(self, attempt: int, data: bytes, now: float, effects: list[Effect]) -> None:
        """The provider sent something; nothing: it closed."""
        if attempt != self._attempt or self.state not in {State.AWAITING, State.COLLECTING, State.STREAMING}:
            return
        up = self._up
        try:
            if data:
                data = up.receive_data(data)
            else:
                if self._is_reused and not up.has_begun:
                    self._try(now, effects, fresh=True)
                    return
                up.receive_end()
        except UpstreamError as error:
            self._broken(error.message, now, effects)
            return
        if up.head is None:
            return
        self.deadline = min(now + self._times.between_pieces, self._ends_by)
        if self.state is State.AWAITING and not self._begin_answer(now, effects):
            return
        if self.state is State.COLLECTING:
            self._collect(data, now, effects)
        else:
            self._relay_piece(data, now, effects)

    def _begin_answer(self, now: float, effects: list[Effect]) -> bool:
        """The answer's head is there: decide whether it is a stream or collected. False: neither, it is of no use."""
        head = self._up.head
        assert head is not None  # the caller looked
        kind = _content_type(head.fields)
        if kind == b"text/html":
            # A page for people, from a proxy or a load balancer in between: no client of an API can read it.
            self._broken(f"answered {head.status} with an HTML page instead of JSON", now, effects)
            return False
        if kind == b"text/event-stream" and head.status < 300:
            if self._relay is None:
                self._relay = StreamRelay(hide_usage=self._hides_usage)
            return True
        self._receive(Input.COLLECTED)
        return True

    def _collect(self, data: bytes, now: float, effects: list[Effect]) -> None:
        if data:
            self._pieces.append(data)
            self._collected += len(data)
        up = self._up
        head = up.head
        assert head is not None  # collecting begins with it
        if up.is_complete:
            self._answer_collected(b"".join(self._pieces), now, effects)
        elif self._collected > _COLLECTED_LIMIT:
            self._receive(Input.STREAMED)
            body, self._pieces = b"".join(self._pieces), []
            self._write_head(head.status, answer_fields(head), None, now, effects)
            self._write(body, now, effects)

    def _answer_collected(self, body: bytes, now: float, effects: list[Effect]) -> None:
        head = self._up.head
        assert head is not None  # collecting begins with it
        self._leave_upstream(effects)
        if head.status < 300:
            if not body and head.status != 204:
                self._fail("empty", "answered with an empty body", 502, now, effects)
                return
            self._usage = read_usage(body)
            self._note_attempt("ok", "", head.status, now)
            self._answer(head.status, answer_fields(head), body, now, effects)
            return
        answer = (head.status, answer_fields(head), body, True)
        if head.status in _RETRIED:
            self._fail("status", f"answered {head.status}", head.status, now, effects, answer=answer)
            return
        self._note_attempt("status", f"answered {head.status}", head.status, now)
        self._pass_error(answer, now, effects)

    def _pass_error(self, answer: tuple[int, list[Field], bytes, bool], now: float, effects: list[Effect]) -> None:
        """A provider's error, byte for byte: clients match its wording."""
        status, fields, body, _ = answer
        self._fault = "client" if status in _CLIENT_FAULTS else "provider"
        self._error = f"{self._provider} answered {status}"
        self._answer(status, [*fields, (b"x-dragoman-fault", self._fault.encode())], body, now, effects)

    def _relay_piece(self, data: bytes, now: float, effects: list[Effect]) -> None:
        up, relay = self._up, self._relay
        out = relay.feed(data) if relay is not None and data else data
        if self.state is State.AWAITING:
            head = up.head
            assert head is not None  # an answer began
            if not out:
                if up.is_complete:
                    self._leave_upstream(effects)
                    self._fail("empty", "ended its stream before it began", 502, now, effects)
                return
            self._receive(Input.STREAMED)
            self._write_head(head.status, answer_fields(head), None, now, effects)
        if up.is_complete:
            end = relay.end() if relay is not None else b""
            self._leave_upstream(effects)
            if relay is not None:
                self._usage = relay.usage
            self._note_attempt("ok", "", up.head.status if up.head else None, now)
            self._finish(out + end, now, effects)
        elif out:
            self._write(out, now, effects)

    def _broken(self, what: str, now: float, effects: list[Effect]) -> None:
        """The provider broke the protocol, or its answer off."""
        effects.append(CloseUpstream(self._attempt))
        if self.state is State.STREAMING:
            self._note_attempt("cut", what, self._up.head.status if self._up.head else None, now)
            self._break_stream(502, f"{self._provider} {what}.", now, effects)
        else:
            self._fail("cut" if self._up.has_begun else "closed", what, 502, now, effects)

    def _break_stream(self, status: int, message: str, now: float, effects: list[Effect]) -> None:
        """End an answer that has begun with an error in the client's dialect."""
        self._fault = "gateway" if status == 503 else "provider"
        self._error = message
        if self._relay is None:  # not a stream of events: there is no place for an error but the missing end
            self._down.keeps_alive = False
            self._end(now, effects)
            return
        self._usage = self._relay.usage
        self._finish(stream_error(self._dialect, status, message, request_id=self._id), now, effects)

    def _fail(
        self,
        outcome: str,
        what: str,
        status: int,
        now: float,
        effects: list[Effect],
        *,
        answer: tuple[int, list[Field], bytes, bool] | None = None,
    ) -> None:
        """The attempt in hand came to nothing: make another, or give up."""
        self._note_attempt(outcome, what, answer[0] if answer else None, now)
        self._receive(Input.FAILED)
        self._last_failure = (f"{self._provider} {what}.", status)
        self._last_answer = answer
        self._attempt = 0
        if self._position + 1 < len(self._targets):
            self._position += 1
            self._try(now, effects)
        elif self._rounds_left > 0 and self._may_come_again(answer, status, now):
            self._rounds_left -= 1
            self._position = 0
            self._receive(Input.PAUSED)
            pause = self._pause * (1 + self._gateway.draw())
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self.deadline = min(now + pause, self._ends_by)
        else:
            self._give_up(now, effects)

    def _may_come_again(self, answer: tuple[int, list[Field], bytes, bool] | None, status: int, now: float) -> bool:
        """Whether another round may do better: not for a credential that is refused, not before a long Retry-After."""
        if answer is None:
            return status != 504
        retry_after = next((value for name, value in answer[1] if name == b"retry-after"), None)
        retry_at = parse_retry_after(retry_after.decode("latin-1"), now=now) if retry_after is not None else None
        return status not in {401, 402} and (retry_at is None or retry_at - now <= _LONGEST_PAUSE)

    def _give_up(self, now: float, effects: list[Effect]) -> None:
        if self._last_answer is not None:
            self._pass_error(self._last_answer, now, effects)
            return
        message, status = self._last_failure
        code = "upstream_timeout" if status == 504 else "upstream_error"
        self._answer_error(status, message, "provider", now, effects, code=code)

    # --- time ---

    def handle_timer(self, now: float, effects: list[Effect]) -> None:
        """`deadline` has come."""
        if self.state is State.DONE or now < self.deadline:
            return
        over = now >= self._ends_by
        if self.state is State.PAUSING:
            if over:
                self._give_up(now, effects)
            else:
                self._try(now, effects)
            return
        effects.append(CloseUpstream(self._attempt))
        limit = self._times.exchange
        if over:
            what = f"had not finished after {limit:g} seconds"
            self._targets = self._targets[: self._position + 1]
            self._rounds_left = 0
        elif self.state is State.OPENING:
            what = f"could not be reached within {self._times.connect:g} seconds"
        elif self._up.has_begun:
            what = f"sent nothing for {self._times.between_pieces:g} seconds"
        else:
            what = f"sent nothing within {self._times.first_byte:g} seconds"
        if self.state is State.STREAMING:
            self._note_attempt("silent", what, self._up.head.status if self._up.head else None, now)
            self._break_stream(504, f"{self._provider} {what}.", now, effects)
            return
        if self.state is not State.OPENING:
            # It may be answering still: asking another would be paid for twice.
            self._targets = self._targets[: self._position + 1]
        self._fail("silent", what, 504, now, effects)

    def abandon(self, now: float, effects: list[Effect]) -> None:
        """The client left: stop whatever is being done for it."""
        if self.state is State.DONE:
            return
        if self._attempt:
            effects.append(CloseUpstream(self._attempt))
            self._note_attempt("abandoned", "the client left", self._up.head.status if self._up.head else None, now)
        if self._relay is not None:
            self._usage = self._relay.usage
        self._receive(Input.ABANDONED)
        self._status = self._status or _CLIENT_LEFT
        self._fault = "client"
        self._error = "the client left before its answer was complete"
        self._close_journal(now)

    def abort(self, now: float, effects: list[Effect]) -> None:
        """The gateway ends: give the client a proper error in place of what is missing."""
        if self.state is State.DONE:
            return
        message = "The gateway is shutting down; try again."
        if self._attempt:
            effects.append(CloseUpstream(self._attempt))
            self._note_attempt("abandoned", "the gateway is shutting down", None, now)
        if self.state is State.STREAMING:
            self._break_stream(503, message, now, effects)
            return
        self.state = State.READY
        self._answer_error(503, message, "gateway", now, effects, code="shutting_down")

    # --- the answer ---

    @property
    def _provider(self) -> str:
        return self._targets[self._position].provider

    @property
    def _dialect(self) -> str:
        return self._endpoint.dialect if self._endpoint is not None else dialect_of_path(self._request.path)

    def _cors_fields(self) -> list[Field]:
        allowed = self._gateway.config.cors_origins
        origin = self._request.fields.get(b"origin")
        if not allowed or origin is None:
            return []
        if "*" in allowed:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
        if origin.decode("latin-1") in allowed:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", b"retry-after, x-request-id, x-dragoman-fault"),
                (b"vary", b"origin"),
            ]
        return []

    def _write_head(
        self, status: int, fields: list[Field], length: int | None, now: float, effects: list[Effect]
    ) -> None:
        self._status = status
        self._first_byte_at = now
        fields = [*fields, (b"x-request-id", self._id.encode("ascii"))]
        if self._gateway.config.cors_origins:
            fields += self._cors_fields()
        effects.append(WriteClient(self._down.start_answer(status, fields, length=length)))

    def _write(self, data: bytes, now: float, effects: list[Effect]) -> None:
        self._bytes_out += len(data)
        effects.append(WriteClient(self._down.frame(data)))

    def _finish(self, data: bytes, now: float, effects: list[Effect]) -> None:
        """The last of an answer that has begun."""
        if data:
            self._bytes_out += len(data)
            data = self._down.frame(data)
        end = data + self._down.finish()
        if end:
            effects.append(WriteClient(end))
        self._end(now, effects)

    def _answer(self, status: int, fields: list[Field], body: bytes, now: float, effects: list[Effect]) -> None:
        """A whole answer."""
        self._write_head(status, fields, len(body), now, effects)
        self._finish(body, now, effects)

    def _answer_error(
        self,
        status: int,
        message: str,
        fault: str,
        now: float,
        effects: list[Effect],
        *,
        code: str | None = None,
        param: str | None = None,
        fields: Sequence[Field] = (),
    ) -> None:
        self._fault = fault
        self._error = message
        body = error_body(self._dialect, status, message, code=code, param=param, request_id=self._id)
        head = [(b"content-type", b"application/json"), (b"x-dragoman-fault", fault.encode()), *fields]
        self._answer(status, head, body, now, effects)

    def _leave_upstream(self, effects: list[Effect]) -> None:
        """The answer is complete: let the connection go, for others if it is sound."""
        effects.append(ReleaseUpstream(self._attempt) if self._up.may_be_kept else CloseUpstream(self._attempt))

    def _end(self, now: float, effects: list[Effect]) -> None:
        if self.state is not State.DONE:
            self._receive(Input.ANSWERED)
            self._close_journal(now)

    # --- the books ---

    def _note_attempt(self, outcome: str, detail: str, status: int | None, now: float) -> None:
        target = self._targets[self._position]
        self._attempts.append(
            Attempt(
                len(self._attempts) + 1,
                target.provider,
                target.upstream_model,
                target.credential,
                status,
                outcome,
                detail,
                self._attempt_at,
                now,
            )
        )

    def _close_journal(self, now: float) -> None:
        self.deadline = math.inf
        request = self._request
        self._gateway.record(
            Journal(
                request_id=self._id,
                method=request.method,
                path=request.path,
                dialect=self._dialect,
                client_key=self._client_key.label if self._client_key is not None else "",
                model=self._model,
                status=self._status,
                fault=self._fault,
                error=self._error,
                streamed=self._relay is not None,
                attempts=tuple(self._attempts),
                usage=self._usage,
                bytes_in=request.bytes_in,
                bytes_out=self._bytes_out,
                started_at=self._started_at,
                first_byte_at=self._first_byte_at,
                ended_at=now,
            )
        )


def _request_id(request: Request) -> str:
    """The client's own ``x-request-id``, if it is one that can go into logs and headers as it is."""
    value = request.fields.get(b"x-request-id", b"")
    if 0 < len(value) <= 128 and value.replace(b"-", b"").replace(b"_", b"").replace(b".", b"").isalnum():
        return value.decode("ascii")
    return ""


def _content_type(fields: Sequence[Field]) -> bytes:
    for name, value in fields:
        if name == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""
