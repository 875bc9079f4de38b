"""One client request with all its attempts, from the first upstream to the last byte.

Rule 1: every change of state is a row of `exchange_states.TRANSITIONS`. Rule 2: time comes in as ``now``, chance and ids from the gateway. Rule 3: what is
to be done in the world goes out as effects, in order. Rule 4: once a byte of an answer went to the client, no other attempt is made.
Rule 5: every exchange ends with exactly one answer and one journal record, whatever fails when.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from dragoman.core.access import ANONYMOUS, CANARY, ClientKeys
from dragoman.core.answering import Answering
from dragoman.core.answers import model_card, model_list
from dragoman.core.chat.fault import TRUNCATED, Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import ClientKey
from dragoman.core.credentials.outcome import Kind, Outcome, broken, classify, succeeded
from dragoman.core.dialects import DIALECTS
from dragoman.core.downstream import Downstream, Request
from dragoman.core.effects import (
    Afterwards,
    CloseUpstream,
    ConnectFailure,
    Effect,
    LocalAnswer,
    LocalRequest,
    OpenUpstream,
    ReleaseUpstream,
    Serve,
    WriteUpstream,
)
from dragoman.core.endpoints import LOCAL, Endpoint, Operation, decode_path, dialect_of_path, find_endpoint
from dragoman.core.errors import ClientError, MisuseError, OverLimit, UpstreamError, WrongMethod
from dragoman.core.evidence import KEPT, Evidence
from dragoman.core.exchange_states import TRANSITIONS, Input, State
from dragoman.core.gateway import Gateway
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.journal import Attempt, Journal
from dragoman.core.lanes import Ask, Estimating, Flow, Lane, Reply, choose_lane
from dragoman.core.passthrough import answer_fields, forwarded_fields
from dragoman.core.request_text import peek_body, peek_request
from dragoman.core.routing.catalog import Target
from dragoman.core.routing.plan import Choice, GiveUp, Plan, Wait
from dragoman.core.thinking import THINKING_HEADER, say_thinking, split_suffix
from dragoman.core.upstream import Upstream

# An answer that is no stream is sent when it is whole, so that a cut one can be an honest error. A larger one goes on as it comes.
_COLLECTED_LIMIT: Final = 8 * 1024 * 1024

# What a client did wrong, when a provider says so.
_CLIENT_FAULTS: Final = frozenset({400, 404, 405, 406, 409, 411, 413, 414, 415, 422})
_THINKING: Final = THINKING_HEADER.encode("ascii")
_CLIENT_LEFT: Final = 499  # nginx's status for a client that closed before its answer


# States in which the provider may speak.
_EXPECTING: Final = frozenset({State.AWAITING, State.COLLECTING, State.STREAMING})


class Exchange:
    """One client request with all its attempts.

    Args:
        gateway: The gateway it belongs to.
        downstream: The client's side of HTTP, which frames the answer.
        next_attempt: Numbers attempts within the connection.
        request: What the client asks.
        now: Epoch seconds.
        peer: The client's address, or ``unix``.

    Attributes:
        state: Where it is.
        deadline: When `handle_timer` is due, epoch seconds.

    """

    __slots__ = (
        "_answer_losses",
        "_ask",
        "_attempt",
        "_attempt_at",
        "_attempts",
        "_canary",
        "_client_key",
        "_collected",
        "_config",
        "_ended_at",
        "_ends_by",
        "_first_token_at",
        "_flow",
        "_flow_fields",
        "_gateway",
        "_heads",
        "_is_early",
        "_is_found",
        "_is_reused",
        "_is_telling",
        "_lane",
        "_last_failure",
        "_last_reply",
        "_model",
        "_next_attempt",
        "_out",
        "_peer",
        "_pieces",
        "_plan",
        "_refusal",
        "_request",
        "_serving",
        "_silent_by",
        "_started_at",
        "_target",
        "_times",
        "_up",
        "_usage",
        "_why",
        "deadline",
        "state",
    )

    def __init__(
        self,
        gateway: Gateway,
        downstream: Downstream,
        next_attempt: Callable[[], int],
        request: Request,
        now: float,
        peer: str = "",
        canary: str = "",
    ) -> None:
        self._gateway = gateway
        self._config = gateway.config  # a reload is for those that come after
        self._is_telling = b"x-dragoman-attempts" in request.fields or _THINKING in request.fields
        self._heads = gateway.heads
        self._next_attempt = next_attempt
        self._request = request
        self._peer = peer
        self._canary = canary
        self._times = self._config.timeouts
        self._started_at = self._ended_at = now
        self._ends_by = now + self._times.exchange
        self._out = Answering(
            self._config, downstream, request, _request_id(request) or gateway.new_id(), "openai_chat"
        )
        if gateway.show is not None and self._config.log_files.every_request:
            self._out.copy = bytearray()
        self._client_key: ClientKey = CANARY if canary else ANONYMOUS
        self._model = ""
        self._is_found = False  # what is asked for is something that is there
        self._ask: Ask | None = None
        self._plan: Plan | None = None
        self._refusal: ClientError | None = None  # why the request cannot be said to somebody
        # of the attempt in hand
        self._target: Target | None = None
        self._why = ""
        self._attempt = 0
        self._serving = 0  # the number under which somebody outside answers
        self._attempt_at = now
        self._is_reused = False
        self._up = Upstream(self._heads)
        self._lane: Lane | None = None
        self._flow: Flow | None = None
        self._flow_fields: list[Field] = []
        self._is_early = False  # the client was sent the head of a stream before the provider said anything
        self._first_token_at: float | None = None
        self._silent_by = math.inf  # the attempt's own deadline, beside those of the exchange and of keep-alives
        self._pieces: list[bytes] = []
        self._collected = 0
        # of what came of it
        self._attempts: list[Attempt] = []
        self._last_failure = ("", 502)
        self._last_reply: Reply | None = None
        self._answer_losses: Sequence[Loss] = ()  # of an answer that was whole
        self._usage: TokenUsage | None = None
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
            endpoint = request.notes.get("endpoint") or find_endpoint(request.method, request.path)
            request.notes["endpoint"] = endpoint
            self._out.dialect, self._is_found = endpoint.dialect, True
            if endpoint.needs_key and not self._canary:
                self._client_key = self._who_asks()
            if endpoint.operation in LOCAL:
                self._answer_locally(endpoint, now, effects)
                return
            if endpoint.operation is Operation.OUTSIDE:
                self._hand_over(effects)
                return
            self._ask = self._read_ask(endpoint, now)
        except ClientError as error:
            self.refuse(error, now, effects)
            return
        self._try(now, effects)

    def _who_asks(self) -> ClientKey:
        """Whose key was shown; a client that shows the same one again, byte for byte, is not asked twice."""
        request, keys = self._request, self._gateway.keys
        known: tuple[ClientKeys, ClientKey] | None = request.notes.get("key")
        if known is None or known[0] is not keys:
            known = request.notes["key"] = keys, keys.check(request.fields, request.query)
        return known[1]

    def _read_ask(self, endpoint: Endpoint, now: float) -> Ask:
        """What is asked for, and of whom."""
        body, config, router = self._request.body, self._config, self._gateway.router
        peek = peek_request(body) if endpoint.streams is None else peek_body(body, endpoint.model, endpoint.streams)
        self._model = peek.model
        session = router.session(self._request.fields, body, self._client_key)
        plan = self._plan = router.begin(peek.model, self._client_key, now, session=session)
        suffix = split_suffix(f"m({plan.suffix.text})")[1] if plan.suffix is not None else None
        as_array = endpoint.streams is True and "alt=sse" not in self._request.query.split("&")
        is_watched = config.debug or _THINKING in self._request.fields
        return Ask(endpoint, peek, body, suffix, config.strict_translation, is_watched, as_array)

    def refuse(self, error: ClientError, now: float, effects: list[Effect]) -> None:
        """Answer with an error that is the client's fault."""
        if not self._is_found:
            self._out.dialect = dialect_of_path(self._request.path)
        fields: list[Field] = []
        if isinstance(error, WrongMethod):
            fields.append((b"allow", ", ".join(error.allow).encode()))
        if error.status == 401:
            fields.append((b"www-authenticate", b"Bearer"))
        if isinstance(error, OverLimit):
            fields += _retry_fields(error.retry_at, now)
        self._out.fail(
            error.status, error.message, "client", now, effects, code=error.code, param=error.param, fields=fields
        )
        self._end(now, effects)

    def _answer_preflight(self, now: float, effects: list[Effect]) -> bool:
        if not self._out.cors_fields():
            return False
        fields = [
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            (b"access-control-allow-headers", self._request.fields.get(b"access-control-request-headers", b"*")),
            (b"access-control-max-age", b"600"),
        ]
        self._out.whole(204, fields, b"", now, effects)
        self._end(now, effects)
        return True

    def _answer_locally(self, endpoint: Endpoint, now: float, effects: list[Effect]) -> None:
        gateway = self._gateway
        dialect = endpoint.dialect
        if dialect == "openai_chat" and b"anthropic-version" in self._request.fields:
            dialect = "claude"
        elif dialect == "openai_chat" and b"x-goog-api-key" in self._request.fields:
            dialect = "gemini"  # google-genai asks under /v1
        match endpoint.operation:
            case Operation.HOME:
                body = gateway.home()
            case Operation.HEALTH:
                body = gateway.health(now)
            case Operation.PROVIDERS:
                body = gateway.provider_metrics(now)
            case Operation.MODELS:
                body = model_list(dialect, gateway.router.models(self._client_key))
            case _:
                body = model_card(dialect, gateway.router.catalog.model(endpoint.model, self._client_key))
        self._out.whole(200, [(b"content-type", b"application/json")], body, now, effects)
        self._end(now, effects)

    # --- what is answered outside ---

    def _hand_over(self, effects: list[Effect]) -> None:
        request = self._request
        self._receive(Input.HANDED_OVER)
        self._serving = self._next_attempt()
        local = LocalRequest(
            "GET" if request.method == "HEAD" else request.method,
            decode_path(request.path),
            request.query,
            request.fields,
            request.body,
            self._peer,
        )
        effects.append(Serve(self._serving, local))

    def served(self, attempt: int, answer: LocalAnswer | None, now: float, effects: list[Effect]) -> None:
        """Somebody outside has answered; None: failed to."""
        if attempt != self._serving or self.state is not State.SERVING:
            return
        if answer is None:
            self._out.fail(500, "The gateway failed; its log says how.", "gateway", now, effects, code="internal_error")
        elif answer.error:
            fault = "client" if answer.status < 500 else "gateway"
            self._out.fail(answer.status, answer.error, fault, now, effects, code=answer.code, fields=answer.fields)
        else:
            self._out.whole(answer.status, [*answer.fields], answer.body, now, effects)
        self._end(now, effects)

    # --- attempts ---

    def _try(self, now: float, effects: list[Effect]) -> None:
        """Make the next attempt there is to make, now or later, or give up."""
        ask, plan = self._ask, self._plan
        assert ask is not None and plan is not None  # noqa: PT018 - there is no attempt before the request was read
        while True:
            step = plan.next(now)
            match step:
                case Choice():
                    self._target, self._why, self._attempt_at = step.target, step.reason, now
                    try:
                        self._lane = choose_lane(ask, step.target)
                    except ClientError as error:
                        self._refusal = error
                        plan.report(broken(Kind.UNREACHABLE, "the request cannot be said in its dialect"), now)
                        continue
                    if isinstance(self._lane, Estimating):
                        plan.report(broken(Kind.ABANDONED, "it cannot count: estimated here"), now)
                        reply = self._lane.reply
                        self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                        self._end(now, effects)
                        return
                    self._open(now, effects, fresh=False)
                    return
                case Wait() if self._refusal is None or self._attempts:
                    self._receive(Input.PAUSED)
                    self.deadline = min(step.until, self._ends_by)
                    return
                case _:
                    self._give_up(plan.explain(step, now) if isinstance(step, GiveUp) else None, now, effects)
                    return

    def _open(self, now: float, effects: list[Effect], *, fresh: bool) -> None:
        self._receive(Input.ATTEMPTED)
        self._attempt = self._next_attempt()
        if self._up.has_begun:
            self._up = Upstream(self._heads)
        self._flow = None
        self._first_token_at = None
        self._pieces = []
        self._collected = 0
        if self._is_telling:
            self._tell_attempts(is_under_way=True)
        self._wait(now, self._times.connect)
        effects.append(OpenUpstream(self._attempt, self._aim.origin, fresh))

    def _wait(self, now: float, seconds: float) -> None:
        """The provider has `seconds` for the next thing; the client, if it is owed a stream, hears something meanwhile."""
        silent_by = self._silent_by = now + seconds
        deadline = self.deadline = silent_by if silent_by < self._ends_by else self._ends_by
        keepalive = self._config.keepalive_seconds
        if keepalive and self._may_keep_alive():
            self.deadline = min(deadline, now + keepalive)

    def _may_keep_alive(self) -> bool:
        if self.state is State.STREAMING:
            return self._flow is not None
        return self.state is State.AWAITING and self._ask is not None and bool(self._ask.peek.stream)

    def upstream_opened(self, attempt: int, now: float, reused: bool, effects: list[Effect]) -> None:
        """The connection of an attempt stands: send the request."""
        if attempt != self._attempt or self.state is not State.OPENING:
            return
        self._receive(Input.OPENED)
        self._is_reused = reused
        self._wait(now, self._times.first_byte)
        target, lane = self._aim, self._lane
        assert lane is not None  # chosen before the connection was asked for
        notes = self._request.notes
        forwarded = notes.get(target.dialect)
        if forwarded is None:
            forwarded = notes[target.dialect] = forwarded_fields(self._request.fields, target.dialect)
        head = b"POST %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
            target.base_path,
            lane.path,
            target.lines,
            forwarded,
            len(lane.body),
        )
        effects.append(WriteUpstream(attempt, head + lane.body))

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float, effects: list[Effect]) -> None:
        """The connection of an attempt could not be opened."""
        if attempt != self._attempt or self.state is not State.OPENING:
            return
        self._fail(
            failure.kind.value,
            f"could not be reached: {failure.detail}",
            502,
            broken(Kind.UNREACHABLE, failure.detail),
            now,
            effects,
        )

    def upstream_sent(self, attempt: int, data: bytes, now: float, effects: list[Effect]) -> None:
        """The provider sent something; nothing: it closed."""
        if attempt != self._attempt or self.state not in _EXPECTING:
            return
        up = self._up
        try:
            if data:
                data = up.receive_data(data)
            else:
                if self._is_reused and not up.has_begun and self.state is State.AWAITING:
                    self._open(now, effects, fresh=True)
                    return
                up.receive_end()
        except UpstreamError as error:
            self._broken(error.message, now, effects)
            return
        head = up.head
        if head is None:
            return
        if self.state is State.AWAITING and self._flow is None and not self._begin_answer(head, now, effects):
            return
        if self._is_early and not self._check_early(head, data, now, effects):
            return
        self._wait(now, self._times.between_pieces)
        if self.state is State.COLLECTING:
            self._collect(head, data, now, effects)
        else:
            self._relay(head, data, now, effects)

    def _begin_answer(self, head: ResponseHead, now: float, effects: list[Effect]) -> bool:
        """The answer's head is there: decide whether it flows or is collected. False: neither, it is of no use."""
        if head.content_type == b"text/html":
            # A page for people, from a proxy or a load balancer in between: no client of an API can read it.
            self._broken(f"answered {head.status} with an HTML page instead of JSON", now, effects)
            return False
        assert self._lane is not None  # chosen before the connection was asked for
        flow = self._lane.flow(head, now) if head.status < 300 else None
        if flow is None:
            self._receive(Input.COLLECTED)
        else:
            self._flow_fields, self._flow = flow
        return True

    def _check_early(self, head: ResponseHead, data: bytes, now: float, effects: list[Effect]) -> bool:
        """The client's stream began before this answer: if it is no stream, its error goes into that. False: not yet, or done."""
        if head.status < 300 and head.content_type == b"text/event-stream":
            self._is_early = False
            return True
        if data:
            self._pieces.append(data)
            self._collected += len(data)
        if self._up.is_complete or self._collected > _COLLECTED_LIMIT:
            assert self._lane is not None  # chosen before the connection was asked for
            reply = self._lane.error(head, b"".join(self._pieces), now)
            self._leave_upstream(effects)
            self._note_attempt(
                "status",
                f"answered {head.status}",
                head.status,
                classify(head.status, head.fields, reply.body, now),
                now,
            )
            self._break_flow(reply.fault or Fault("internal", f"{self._provider} answered {head.status}"), now, effects)
        return False

    def _collect(self, head: ResponseHead, data: bytes, now: float, effects: list[Effect]) -> None:
        if data:
            self._pieces.append(data)
            self._collected += len(data)
        if self._up.is_complete:
            body, self._pieces = b"".join(self._pieces), []
            self._leave_upstream(effects)
            self._answer_collected(head, body, now, effects)
        elif self._collected > _COLLECTED_LIMIT and self._aim.dialect == self._out.dialect:
            self._receive(Input.STREAMED)
            body, self._pieces = b"".join(self._pieces), []
            self._out.begin(head.status, answer_fields(head), None, now, effects)
            self._out.write(body, effects)

    def _answer_collected(self, head: ResponseHead, body: bytes, now: float, effects: list[Effect]) -> None:
        lane = self._lane
        assert lane is not None  # chosen before the connection was asked for
        if head.status < 300:
            if not body and head.status != 204:
                self._fail("empty", "answered with an empty body", 502, broken(Kind.CUT, "empty"), now, effects)
                return
            try:
                reply = lane.answer(head, body, now)
            except UpstreamError as error:
                what = f"answered with something that is no answer: {error.message}"
                self._fail("garbage", what, 502, broken(Kind.CUT, "garbage"), now, effects)
                return
            if reply.fault is None:
                self._usage = reply.usage
                self._answer_losses = reply.losses
                self._note_attempt("ok", "", head.status, self._good(head, now), now)
                self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                self._end(now, effects)
                return
            outcome = self._judge(reply.status, head.fields, body, now)
        else:
            reply = lane.error(head, body, now)
            outcome = self._judge(head.status, head.fields, body, now)
            if reply.status < 300:  # the provider cannot, but the gateway can
                self._note_attempt("status", f"answered {head.status}", head.status, outcome, now)
                self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                self._end(now, effects)
                return
        self._fail_with(reply, outcome, now, effects)

    def _judge(self, status: int, fields: Sequence[Field], body: bytes, now: float) -> Outcome:
        """What an error says about whom. A missing side door says nothing about the model: other requests go through the front."""
        is_chat = self._ask is not None and self._ask.endpoint.operation is Operation.CHAT
        kind = None if is_chat or status not in {404, 405, 501} else Kind.REQUEST_FAULT
        return classify(status, fields, body, now, kind=kind)

    def _good(self, head: ResponseHead, now: float) -> Outcome:
        tokens = self._usage.total if self._usage is not None else 0
        return succeeded(head.by_name, now, status=head.status, tokens=tokens)

    def _fail_with(self, reply: Reply, outcome: Outcome, now: float, effects: list[Effect]) -> None:
        """The provider answered with an error: ask another if that may help, else it is the client's."""
        status = outcome.status or reply.status
        self._fail("status", f"answered {status}", status, outcome, now, effects, reply=reply)

    def _pass_error(self, reply: Reply, now: float, effects: list[Effect]) -> None:
        """A provider's error, in the client's words; between equal dialects byte for byte, for clients match its wording."""
        self._out.fault = "client" if reply.status in _CLIENT_FAULTS else "provider"
        self._out.error = f"{self._provider} answered {reply.status}"
        fields = [*reply.fields, (b"x-dragoman-fault", self._out.fault.encode())]
        self._out.whole(reply.status, fields, reply.body, now, effects)
        self._end(now, effects)

    def _relay(self, head: ResponseHead, data: bytes, now: float, effects: list[Effect]) -> None:
        """A piece of an answer that flows."""
        flow = self._flow
        out = flow.feed(data) if flow is not None and data else data
        if out and self._first_token_at is None:
            self._first_token_at = now
        is_complete = self._up.is_complete
        if is_complete and flow is not None:
            out += flow.end()
        if flow is not None and flow.fault is not None:
            self._flow_failed(flow, flow.fault, out, now, effects)
            return
        if self.state is State.AWAITING:
            if not out:
                if is_complete:
                    self._leave_upstream(effects)
                    what = "ended its stream before it began"
                    self._fail("empty", what, 502, broken(Kind.CUT, what), now, effects)
                return
            self._receive(Input.STREAMED)
            self._out.begin(head.status, self._flow_fields, None, now, effects)
            if not is_complete and self._plan is not None:
                self._plan.answered(self._good(head, now), now)
        if is_complete:
            self._leave_upstream(effects)
            self._usage = flow.usage if flow is not None else None
            self._note_attempt("ok", "", head.status, self._good(head, now), now)
            self._out.finish(out, effects)
            self._end(now, effects)
        elif out:
            self._out.write(out, effects)

    def _flow_failed(self, flow: Flow, fault: Fault, out: bytes, now: float, effects: list[Effect]) -> None:
        """The provider says, inside a stream that began as a success, that it failed."""
        effects.append(CloseUpstream(self._attempt))
        if self.state is State.AWAITING:  # nothing went to the client: it can have a proper error, or another's answer
            status, body = DIALECTS[self._out.dialect].build_error(fault)
            fields: list[Field] = [(b"content-type", b"application/json")]
            if fault.retry_after is not None:
                fields.append((b"retry-after", b"%d" % math.ceil(fault.retry_after)))
            outcome = self._judge(status, [*self._flow_fields, *fields], body, now)
            self._fail_with(Reply(status, fields, body, None, fault), outcome, now, effects)
            return
        self._usage = flow.usage
        name = "cut" if fault is TRUNCATED else "failed"
        came_to = broken(Kind.CUT, fault.message)
        if fault is not TRUNCATED:
            status, body = DIALECTS[self._out.dialect].build_error(fault)
            came_to = self._judge(status, (), body, now)
        self._note_attempt(name, fault.message, self._up.head.status if self._up.head else None, came_to, now)
        self._out.fault, self._out.error = "provider", f"{self._provider}: {fault.message}"
        self._out.finish(out, effects)
        self._end(now, effects)

    def _broken(self, what: str, now: float, effects: list[Effect]) -> None:
        """The provider broke the protocol, or its answer off."""
        effects.append(CloseUpstream(self._attempt))
        if self.state is State.STREAMING:
            status = self._up.head.status if self._up.head else None
            self._note_attempt("cut", what, status, broken(Kind.CUT, what), now)
            self._break_flow(Fault("truncated", f"{self._provider} {what}."), now, effects)
        else:
            name = "cut" if self._up.has_begun else "closed"
            self._fail(name, what, 502, broken(Kind.CUT, what), now, effects)

    def _break_flow(self, fault: Fault, now: float, effects: list[Effect], *, blame: str = "provider") -> None:
        """End an answer that has begun with an error in the client's dialect."""
        self._out.fault, self._out.error = blame, fault.message
        if self._flow is None:  # not a stream of events: there is no place for an error but the missing end
            self._out.tear()
        else:
            self._usage = self._flow.usage
            self._out.finish(self._flow.fail(fault), effects)
        self._end(now, effects)

    def _fail(
        self,
        name: str,
        what: str,
        status: int,
        outcome: Outcome,
        now: float,
        effects: list[Effect],
        *,
        reply: Reply | None = None,
        is_last: bool = False,
    ) -> None:
        """The attempt in hand came to nothing: make another, or (also if it must be the last) give up."""
        self._note_attempt(name, what, status if reply else None, outcome, now)
        self._receive(Input.FAILED)
        self._last_failure = (f"{self._provider} {what}.", status)
        self._last_reply = reply
        self._attempt = 0
        if is_last:
            self._give_up(None, now, effects)
        else:
            self._try(now, effects)

    def _give_up(self, refusal: GiveUp | None, now: float, effects: list[Effect]) -> None:
        """Nobody is left to ask: what the last one said is the answer, or why nobody could be asked."""
        if self._last_reply is not None:
            self._pass_error(self._last_reply, now, effects)
            return
        if self._refusal is not None and not self._attempts:
            self.refuse(self._refusal, now, effects)
            return
        fields: list[Field] = []
        if self._attempts or refusal is None:
            message, status = self._last_failure
            code = "upstream_timeout" if status == 504 else "upstream_error"
        else:
            message, status, code = refusal.message, refusal.status, refusal.code
            fields = [] if refusal.retry_at is None else _retry_fields(refusal.retry_at, now)
        self._out.fail(status, message, "provider", now, effects, code=code, fields=fields)
        self._end(now, effects)

    # --- time ---

    def handle_timer(self, now: float, effects: list[Effect]) -> None:
        """`deadline` has come."""
        if self.state is State.DONE or now < self.deadline:
            return
        over = now >= self._ends_by
        if self.state is State.SERVING:
            message = f"The gateway had no answer after {self._times.exchange:g} seconds."
            self._out.fail(504, message, "gateway", now, effects, code="timeout")
            self._end(now, effects)
            return
        if self.state is State.PAUSING:
            self._receive(Input.RESUMED)
            if over:
                self._last_failure = self._last_failure if self._attempts else ("Nobody could be asked in time.", 504)
                self._give_up(None, now, effects)
            else:
                self._try(now, effects)
            return
        if not over and now < self._silent_by:
            self._keep_alive(now, effects)
            return
        effects.append(CloseUpstream(self._attempt))
        self._silent(over, now, effects)

    def _keep_alive(self, now: float, effects: list[Effect]) -> None:
        """The provider thinks: tell the client that somebody is there, and let it know nothing else."""
        if self.state is State.AWAITING:
            assert self._lane is not None  # chosen before the connection was asked for
            if self._flow is None:
                self._flow_fields, self._flow = self._lane.early_flow(now)
                self._is_early = True
            self._receive(Input.STREAMED)
            self._out.begin(200, self._flow_fields, None, now, effects)
        assert self._ask is not None  # only what was understood is asked
        self._out.write(b"\n" if self._ask.wants_array else DIALECTS[self._out.dialect].keepalive, effects)
        self._wait(now, self._silent_by - now)

    def _silent(self, over: bool, now: float, effects: list[Effect]) -> None:
        """The provider had its time."""
        if over:
            what = f"had not finished after {self._times.exchange:g} seconds"
        elif self.state is State.OPENING:
            what = f"could not be reached within {self._times.connect:g} seconds"
        elif self._up.has_begun:
            what = f"sent nothing for {self._times.between_pieces:g} seconds"
        else:
            what = f"sent nothing within {self._times.first_byte:g} seconds"
        if self.state is State.STREAMING:
            status = self._up.head.status if self._up.head else None
            self._note_attempt("silent", what, status, broken(Kind.CUT, what), now)
            self._break_flow(Fault("timeout", f"{self._provider} {what}."), now, effects)
            return
        # If it was asked, it may be answering still: asking another would be paid for twice.
        is_asked = self.state is not State.OPENING
        outcome = broken(Kind.CUT if is_asked else Kind.UNREACHABLE, what)
        self._fail("silent", what, 504, outcome, now, effects, is_last=over or is_asked)

    def abandon(self, now: float, effects: list[Effect]) -> None:
        """The client left: stop whatever is being done for it."""
        if self.state is State.DONE:
            return
        if self._attempt:
            effects.append(CloseUpstream(self._attempt))
            status = self._up.head.status if self._up.head else None
            self._note_attempt("abandoned", "the client left", status, broken(Kind.ABANDONED), now)
        if self._flow is not None:
            self._usage = self._flow.usage
        self._receive(Input.ABANDONED)
        self._out.status = self._out.status or _CLIENT_LEFT
        self._out.fault = "client"
        self._out.error = "the client left before its answer was complete"
        self._close_journal(now, effects)

    def abort(self, now: float, effects: list[Effect]) -> None:
        """The gateway ends: give the client a proper error in place of what is missing."""
        if self.state is State.DONE:
            return
        message = "The gateway is shutting down; try again."
        if self._attempt:
            effects.append(CloseUpstream(self._attempt))
            self._note_attempt("abandoned", "the gateway is shutting down", None, broken(Kind.ABANDONED), now)
        if self.state is State.STREAMING:
            self._break_flow(Fault("overloaded", message), now, effects, blame="gateway")
            return
        self._receive(Input.ABANDONED)
        self._out.fail(503, message, "gateway", now, effects, code="shutting_down")
        self._close_journal(now, effects)

    # --- the end ---

    @property
    def _aim(self) -> Target:
        """The target of the attempt in hand."""
        assert self._target is not None  # chosen before anything happened to it
        return self._target

    @property
    def _provider(self) -> str:
        return self._aim.provider

    def _leave_upstream(self, effects: list[Effect]) -> None:
        """The answer is complete: let the connection go, for others if it is sound."""
        effects.append(ReleaseUpstream(self._attempt) if self._up.may_be_kept else CloseUpstream(self._attempt))

    def _end(self, now: float, effects: list[Effect]) -> None:
        self._receive(Input.ANSWERED)
        self._close_journal(now, effects)

    def _note_attempt(self, name: str, detail: str, status: int | None, outcome: Outcome, now: float) -> None:
        """The attempt in hand has ended: tell the journal and the pool, once."""
        assert self._plan is not None  # it chose whom to ask
        self._plan.report(outcome, now)
        target = self._aim
        self._attempts.append(
            Attempt(
                len(self._attempts) + 1,
                target.provider,
                target.upstream_model,
                target.credential,
                status,
                name,
                detail,
                self._attempt_at,
                now,
                self._why,
                self._first_token_at,
            )
        )
        if self._is_telling:
            self._tell_attempts()

    def _tell_attempts(self, *, is_under_way: bool = False) -> None:
        """The story of the attempts, and of the reasoning asked for, as headers, for a client that asks for it."""
        fields, extra = self._request.fields, list[Field]()
        if b"x-dragoman-attempts" in fields:
            told = [f"{a.provider}/{a.credential} {a.status or a.outcome}" for a in self._attempts]
            if is_under_way:
                told.append(f"{self._provider}/{self._aim.credential}")
            text = ", ".join(told)
            safe = "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
            extra.append((b"x-dragoman-attempts", safe.encode("ascii")))
        if _THINKING in fields and self._lane is not None:
            extra.append((_THINKING, say_thinking(self._lane.asked, self._lane.applied).encode("ascii")))
        self._out.extra = extra

    def _close_journal(self, now: float, effects: list[Effect]) -> None:
        self.deadline = math.inf
        self._ended_at = now
        effects.append(Afterwards(self._record))

    def _record(self) -> None:
        """Write down what it came to."""
        request, out, lane = self._request, self._out, self._lane
        told = self._flow.losses if self._flow is not None else self._answer_losses
        losses = () if lane is None else (*lane.losses, *told)
        journal = Journal(
            request_id=out.request_id,
            method=request.method,
            path=request.path,
            dialect=out.dialect,
            client_key=self._client_key.label,
            model=self._model,
            status=out.status,
            fault=out.fault,
            error=out.error,
            streamed=self._flow is not None,
            attempts=tuple(self._attempts),
            usage=self._usage,
            bytes_in=request.bytes_in,
            bytes_out=out.bytes_out,
            started_at=self._started_at,
            first_byte_at=out.first_byte_at,
            ended_at=self._ended_at,
            losses=losses,
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
        return self._config.log_files.every_request or bool(journal.fault) or journal.status >= 400

    def _evidence(self) -> Evidence:
        request, out, lane = self._request, self._out, self._lane
        is_asked = bool(self._attempts) and lane is not None
        return Evidence(
            query=request.query,
            fields=dict(request.fields),
            body=request.body[:KEPT],
            asked_path=self._aim.base_path + lane.path if is_asked and lane is not None else b"",
            asked=lane.body[:KEPT] if is_asked and lane is not None else b"",
            answer_fields=tuple(out.fields),
            answer=bytes(out.copy) if out.copy is not None else out.body[:KEPT] if out.body is not None else None,
        )


def _request_id(request: Request) -> str:
    """The client's own ``x-request-id``, if it is one that can go into logs and headers as it is."""
    value = request.fields.get(b"x-request-id", b"")
    if 0 < len(value) <= 128 and value.replace(b"-", b"").replace(b"_", b"").replace(b".", b"").isalnum():
        return value.decode("ascii")
    return ""


def _retry_fields(retry_at: float, now: float) -> list[Field]:
    """When to come again, for every kind of client: whole seconds, and milliseconds."""
    wait = max(0.0, retry_at - now)
    return [(b"retry-after", b"%d" % math.ceil(wait)), (b"retry-after-ms", b"%d" % math.ceil(wait * 1000))]
