"""One client request with all its attempts, from the first upstream to the last byte.

Rule 1: every change of state is a row of `exchange_states.TRANSITIONS`. Rule 2: time comes in as ``now``, chance and ids from the gateway. Rule 3: what is
to be done in the world goes out as effects, in order. Rule 4: once a byte of an answer went to the client, no other attempt is made.
Rule 5: every exchange ends with exactly one answer and one journal record, whatever fails when.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from dragoman.core.access import ClientKeys
from dragoman.core.answering import Answering
from dragoman.core.attempt_in_hand import AttemptInHand
from dragoman.core.chat.fault import TRUNCATED, Fault
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
    OpenUpstream,
    ReleaseUpstream,
    Serve,
    WriteUpstream,
)
from dragoman.core.endpoints import LOCAL, Endpoint, Operation, dialect_of_path, find_endpoint
from dragoman.core.errors import ClientError, MisuseError, UpstreamError
from dragoman.core.exchange_states import TRANSITIONS, Input, State
from dragoman.core.gateway import Gateway
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.journaling import Journaling
from dragoman.core.lanes import Ask, Estimating, Flow, Reply, choose_lane
from dragoman.core.local_answers import local_body, local_request, preflight_fields, refusal_fields, retry_fields
from dragoman.core.passthrough import answer_fields
from dragoman.core.request_text import peek_body, peek_request
from dragoman.core.routing.plan import Choice, GiveUp, Plan, Wait
from dragoman.core.thinking import THINKING_HEADER, say_thinking, split_suffix

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
        "_ask", "_canary", "_config", "_ends_by", "_gateway", "_is_found", "_is_telling", "_last_failure", "_last_reply", "_next_attempt",
        "_notes", "_out", "_peer", "_plan", "_refusal", "_request", "_serving", "_times", "deadline", "state",
    )  # fmt: skip

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
        config = self._config = gateway.config  # a reload is for those that come after
        self._gateway = gateway
        self._next_attempt = next_attempt
        self._request = request
        self._peer = peer
        self._canary = canary
        self._times = config.timeouts
        self._ends_by = now + config.timeouts.exchange
        self._is_telling = b"x-dragoman-attempts" in request.fields or _THINKING in request.fields
        out = self._out = Answering(
            config, downstream, request, _request_id(request) or gateway.new_id(), "openai_chat"
        )
        self._notes = Journaling(gateway, request, out, now, canary)
        self._is_found = False  # what is asked for is something that is there
        self._ask: Ask | None = None
        self._plan: Plan | None = None
        self._refusal: ClientError | None = None  # why the request cannot be said to somebody
        self._serving = 0  # the number under which somebody outside answers
        self._last_failure = ("", 502)
        self._last_reply: Reply | None = None
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
            endpoint = request.findings.get("endpoint") or find_endpoint(request.method, request.path)
            request.findings["endpoint"] = endpoint
            self._out.dialect, self._is_found = endpoint.dialect, True
            if endpoint.needs_key and not self._canary:
                self._notes.client_key = self._who_asks()
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
        known: tuple[ClientKeys, ClientKey] | None = request.findings.get("key")
        if known is None or known[0] is not keys:
            known = request.findings["key"] = keys, keys.check(request.fields, request.query)
        return known[1]

    def _read_ask(self, endpoint: Endpoint, now: float) -> Ask:
        """What is asked for, and of whom."""
        body, config, router = self._request.body, self._config, self._gateway.router
        peek = peek_request(body) if endpoint.streams is None else peek_body(body, endpoint.model, endpoint.streams)
        self._notes.model = peek.model
        session = router.session(self._request.fields, body, self._notes.client_key)
        plan = self._plan = router.begin(peek.model, self._notes.client_key, now, session=session)
        suffix = split_suffix(f"m({plan.suffix.text})")[1] if plan.suffix is not None else None
        as_array = endpoint.streams is True and "alt=sse" not in self._request.query.split("&")
        is_watched = config.debug or _THINKING in self._request.fields
        return Ask(endpoint, peek, body, suffix, config.strict_translation, is_watched, as_array)

    def refuse(self, error: ClientError, now: float, effects: list[Effect]) -> None:
        """Answer with an error that is the client's fault."""
        if not self._is_found:
            self._out.dialect = dialect_of_path(self._request.path)
        fields = refusal_fields(error, now)
        self._out.fail(
            error.status, error.message, "client", now, effects, code=error.code, param=error.param, fields=fields
        )
        self._end(now, effects)

    def _answer_preflight(self, now: float, effects: list[Effect]) -> bool:
        if not self._out.cors_fields():
            return False
        self._out.whole(204, preflight_fields(self._request), b"", now, effects)
        self._end(now, effects)
        return True

    def _answer_locally(self, endpoint: Endpoint, now: float, effects: list[Effect]) -> None:
        body = local_body(self._gateway, endpoint, self._request, self._notes.client_key, now)
        self._out.whole(200, [(b"content-type", b"application/json")], body, now, effects)
        self._end(now, effects)

    # --- what is answered outside ---

    def _hand_over(self, effects: list[Effect]) -> None:
        self._receive(Input.HANDED_OVER)
        self._serving = self._next_attempt()
        effects.append(Serve(self._serving, local_request(self._request, self._peer)))

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
                    try:
                        lane = choose_lane(ask, step.target)
                    except ClientError as error:
                        self._refusal = error
                        plan.report(broken(Kind.UNREACHABLE, "the request cannot be said in its dialect"), now)
                        continue
                    hand = self._notes.hand = AttemptInHand(step, lane, self._gateway.heads, now)
                    if isinstance(lane, Estimating):
                        plan.report(broken(Kind.ABANDONED, "it cannot count: estimated here"), now)
                        reply = lane.reply
                        self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                        self._end(now, effects)
                        return
                    self._open(hand, now, effects, fresh=False)
                    return
                case Wait() if self._refusal is None or self._notes.attempts:
                    self._receive(Input.PAUSED)
                    self.deadline = min(step.until, self._ends_by)
                    return
                case _:
                    self._give_up(plan.explain(step, now) if isinstance(step, GiveUp) else None, now, effects)
                    return

    def _open(self, hand: AttemptInHand, now: float, effects: list[Effect], *, fresh: bool) -> None:
        self._receive(Input.ATTEMPTED)
        hand.number = self._next_attempt()
        if self._is_telling:
            self._tell_attempts(hand, is_under_way=True)
        self._wait(hand, now, self._times.connect)
        effects.append(OpenUpstream(hand.number, hand.target.origin, fresh))

    def _wait(self, hand: AttemptInHand, now: float, seconds: float) -> None:
        """The provider has `seconds` for the next thing; the client, if it is owed a stream, hears something meanwhile."""
        silent_by = hand.silent_by = now + seconds
        deadline = self.deadline = silent_by if silent_by < self._ends_by else self._ends_by
        keepalive = self._config.keepalive_seconds
        if keepalive and self._may_keep_alive(hand):
            self.deadline = min(deadline, now + keepalive)

    def _may_keep_alive(self, hand: AttemptInHand) -> bool:
        if self.state is State.STREAMING:
            return hand.flow is not None
        return self.state is State.AWAITING and self._ask is not None and bool(self._ask.peek.stream)

    def upstream_opened(self, attempt: int, now: float, reused: bool, effects: list[Effect]) -> None:
        """The connection of an attempt stands: send the request."""
        hand = self._notes.hand
        if hand is None or attempt != hand.number or self.state is not State.OPENING:
            return
        self._receive(Input.OPENED)
        hand.is_reused = reused
        self._wait(hand, now, self._times.first_byte)
        effects.append(WriteUpstream(attempt, hand.ask(self._request)))

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float, effects: list[Effect]) -> None:
        """The connection of an attempt could not be opened."""
        hand = self._notes.hand
        if hand is None or attempt != hand.number or self.state is not State.OPENING:
            return
        self._fail(
            hand,
            failure.kind.value,
            f"could not be reached: {failure.detail}",
            502,
            broken(Kind.UNREACHABLE, failure.detail),
            now,
            effects,
        )

    def upstream_sent(self, attempt: int, data: bytes, now: float, effects: list[Effect]) -> None:
        """The provider sent something; nothing: it closed."""
        hand = self._notes.hand
        if hand is None or attempt != hand.number or self.state not in _EXPECTING:
            return
        up = hand.up
        try:
            if data:
                data = up.receive_data(data)
            else:
                if hand.is_reused and not up.has_begun and self.state is State.AWAITING:
                    self._open(hand, now, effects, fresh=True)
                    return
                up.receive_end()
        except UpstreamError as error:
            self._broken(hand, error.message, now, effects)
            return
        head = up.head
        if head is None:
            return
        if self.state is State.AWAITING and hand.flow is None and not self._begin_answer(hand, head, now, effects):
            return
        if hand.is_early and not self._check_early(hand, head, data, now, effects):
            return
        self._wait(hand, now, self._times.between_pieces)
        if self.state is State.COLLECTING:
            self._collect(hand, head, data, now, effects)
        else:
            self._relay(hand, head, data, now, effects)

    def _begin_answer(self, hand: AttemptInHand, head: ResponseHead, now: float, effects: list[Effect]) -> bool:
        """The answer's head is there: decide whether it flows or is collected. False: neither, it is of no use."""
        if head.content_type == b"text/html":
            # A page for people, from a proxy or a load balancer in between: no client of an API can read it.
            self._broken(hand, f"answered {head.status} with an HTML page instead of JSON", now, effects)
            return False
        flow = hand.lane.flow(head, now) if head.status < 300 else None
        if flow is None:
            self._receive(Input.COLLECTED)
        else:
            hand.flow_fields, hand.flow = flow
        return True

    def _check_early(
        self, hand: AttemptInHand, head: ResponseHead, data: bytes, now: float, effects: list[Effect]
    ) -> bool:
        """The client's stream began before this answer: if it is no stream, its error goes into that. False: not yet, or done."""
        if head.status < 300 and head.content_type == b"text/event-stream":
            hand.is_early = False
            return True
        hand.collect(data)
        if hand.up.is_complete or hand.collected > _COLLECTED_LIMIT:
            reply = hand.lane.error(head, hand.take_collected(), now)
            self._leave_upstream(hand, effects)
            self._note_attempt(
                hand,
                "status",
                f"answered {head.status}",
                head.status,
                classify(head.status, head.fields, reply.body, now),
                now,
            )
            self._break_flow(
                hand, reply.fault or Fault("internal", f"{hand.provider} answered {head.status}"), now, effects
            )
        return False

    def _collect(self, hand: AttemptInHand, head: ResponseHead, data: bytes, now: float, effects: list[Effect]) -> None:
        hand.collect(data)
        if hand.up.is_complete:
            body = hand.take_collected()
            self._leave_upstream(hand, effects)
            self._answer_collected(hand, head, body, now, effects)
        elif hand.collected > _COLLECTED_LIMIT and hand.target.dialect == self._out.dialect:
            self._receive(Input.STREAMED)
            body = hand.take_collected()
            self._out.begin(head.status, answer_fields(head), None, now, effects)
            self._out.write(body, effects)

    def _answer_collected(
        self, hand: AttemptInHand, head: ResponseHead, body: bytes, now: float, effects: list[Effect]
    ) -> None:
        lane = hand.lane
        if head.status < 300:
            if not body and head.status != 204:
                self._fail(hand, "empty", "answered with an empty body", 502, broken(Kind.CUT, "empty"), now, effects)
                return
            try:
                reply = lane.answer(head, body, now)
            except UpstreamError as error:
                what = f"answered with something that is no answer: {error.message}"
                self._fail(hand, "garbage", what, 502, broken(Kind.CUT, "garbage"), now, effects)
                return
            if reply.fault is None:
                self._notes.usage = reply.usage
                self._notes.losses = reply.losses
                self._note_attempt(hand, "ok", "", head.status, self._good(head, now), now)
                self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                self._end(now, effects)
                return
            outcome = self._judge(reply.status, head.fields, body, now)
        else:
            reply = lane.error(head, body, now)
            outcome = self._judge(head.status, head.fields, body, now)
            if reply.status < 300:  # the provider cannot, but the gateway can
                self._note_attempt(hand, "status", f"answered {head.status}", head.status, outcome, now)
                self._out.whole(reply.status, reply.fields, reply.body, now, effects)
                self._end(now, effects)
                return
        self._fail_with(hand, reply, outcome, now, effects)

    def _judge(self, status: int, fields: Sequence[Field], body: bytes, now: float) -> Outcome:
        """What an error says about whom. A missing side door says nothing about the model: other requests go through the front."""
        is_chat = self._ask is not None and self._ask.endpoint.operation is Operation.CHAT
        kind = None if is_chat or status not in {404, 405, 501} else Kind.REQUEST_FAULT
        return classify(status, fields, body, now, kind=kind)

    def _good(self, head: ResponseHead, now: float) -> Outcome:
        tokens = self._notes.usage.total if self._notes.usage is not None else 0
        return succeeded(head.by_name, now, status=head.status, tokens=tokens)

    def _fail_with(
        self, hand: AttemptInHand, reply: Reply, outcome: Outcome, now: float, effects: list[Effect]
    ) -> None:
        """The provider answered with an error: ask another if that may help, else it is the client's."""
        status = outcome.status or reply.status
        self._fail(hand, "status", f"answered {status}", status, outcome, now, effects, reply=reply)

    def _pass_error(self, reply: Reply, now: float, effects: list[Effect]) -> None:
        """A provider's error, in the client's words; between equal dialects byte for byte, for clients match its wording."""
        self._out.fault = "client" if reply.status in _CLIENT_FAULTS else "provider"
        self._out.error = f"{self._in_hand.provider} answered {reply.status}"
        fields = [*reply.fields, (b"x-dragoman-fault", self._out.fault.encode())]
        self._out.whole(reply.status, fields, reply.body, now, effects)
        self._end(now, effects)

    def _relay(self, hand: AttemptInHand, head: ResponseHead, data: bytes, now: float, effects: list[Effect]) -> None:
        """A piece of an answer that flows."""
        flow = hand.flow
        out = flow.feed(data) if flow is not None and data else data
        if out and hand.first_token_at is None:
            hand.first_token_at = now
        is_complete = hand.up.is_complete
        if is_complete and flow is not None:
            out += flow.end()
        if flow is not None and flow.fault is not None:
            self._flow_failed(hand, flow, flow.fault, out, now, effects)
            return
        if self.state is State.AWAITING:
            if not out:
                if is_complete:
                    self._leave_upstream(hand, effects)
                    what = "ended its stream before it began"
                    self._fail(hand, "empty", what, 502, broken(Kind.CUT, what), now, effects)
                return
            self._receive(Input.STREAMED)
            self._out.begin(head.status, hand.flow_fields, None, now, effects)
            if not is_complete and self._plan is not None:
                self._plan.answered(self._good(head, now), now)
        if is_complete:
            self._leave_upstream(hand, effects)
            self._notes.usage = flow.usage if flow is not None else None
            self._note_attempt(hand, "ok", "", head.status, self._good(head, now), now)
            self._out.finish(out, effects)
            self._end(now, effects)
        elif out:
            self._out.write(out, effects)

    def _flow_failed(
        self, hand: AttemptInHand, flow: Flow, fault: Fault, out: bytes, now: float, effects: list[Effect]
    ) -> None:
        """The provider says, inside a stream that began as a success, that it failed."""
        effects.append(CloseUpstream(hand.number))
        if self.state is State.AWAITING:  # nothing went to the client: it can have a proper error, or another's answer
            status, body = DIALECTS[self._out.dialect].build_error(fault)
            fields: list[Field] = [(b"content-type", b"application/json")]
            if fault.retry_after is not None:
                fields.append((b"retry-after", b"%d" % math.ceil(fault.retry_after)))
            outcome = self._judge(status, [*hand.flow_fields, *fields], body, now)
            self._fail_with(hand, Reply(status, fields, body, None, fault), outcome, now, effects)
            return
        self._notes.usage = flow.usage
        name = "cut" if fault is TRUNCATED else "failed"
        came_to = broken(Kind.CUT, fault.message)
        if fault is not TRUNCATED:
            status, body = DIALECTS[self._out.dialect].build_error(fault)
            came_to = self._judge(status, (), body, now)
        self._note_attempt(hand, name, fault.message, hand.status, came_to, now)
        self._out.fault, self._out.error = "provider", f"{hand.provider}: {fault.message}"
        self._out.finish(out, effects)
        self._end(now, effects)

    def _broken(self, hand: AttemptInHand, what: str, now: float, effects: list[Effect]) -> None:
        """The provider broke the protocol, or its answer off."""
        effects.append(CloseUpstream(hand.number))
        if self.state is State.STREAMING:
            self._note_attempt(hand, "cut", what, hand.status, broken(Kind.CUT, what), now)
            self._break_flow(hand, Fault("truncated", f"{hand.provider} {what}."), now, effects)
        else:
            name = "cut" if hand.up.has_begun else "closed"
            self._fail(hand, name, what, 502, broken(Kind.CUT, what), now, effects)

    def _break_flow(
        self, hand: AttemptInHand, fault: Fault, now: float, effects: list[Effect], *, blame: str = "provider"
    ) -> None:
        """End an answer that has begun with an error in the client's dialect."""
        self._out.fault, self._out.error = blame, fault.message
        if hand.flow is None:  # not a stream of events: there is no place for an error but the missing end
            self._out.tear()
        else:
            self._notes.usage = hand.flow.usage
            self._out.finish(hand.flow.fail(fault), effects)
        self._end(now, effects)

    def _fail(
        self,
        hand: AttemptInHand,
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
        self._note_attempt(hand, name, what, status if reply else None, outcome, now)
        self._receive(Input.FAILED)
        self._last_failure = (f"{hand.provider} {what}.", status)
        self._last_reply = reply
        hand.number = 0
        if is_last:
            self._give_up(None, now, effects)
        else:
            self._try(now, effects)

    def _give_up(self, refusal: GiveUp | None, now: float, effects: list[Effect]) -> None:
        """Nobody is left to ask: what the last one said is the answer, or why nobody could be asked."""
        if self._last_reply is not None:
            self._pass_error(self._last_reply, now, effects)
            return
        if self._refusal is not None and not self._notes.attempts:
            self.refuse(self._refusal, now, effects)
            return
        fields: list[Field] = []
        if self._notes.attempts or refusal is None:
            message, status = self._last_failure
            code = "upstream_timeout" if status == 504 else "upstream_error"
        else:
            message, status, code = refusal.message, refusal.status, refusal.code
            fields = [] if refusal.retry_at is None else retry_fields(refusal.retry_at, now)
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
                self._last_failure = (
                    self._last_failure if self._notes.attempts else ("Nobody could be asked in time.", 504)
                )
                self._give_up(None, now, effects)
            else:
                self._try(now, effects)
            return
        hand = self._in_hand
        if not over and now < hand.silent_by:
            self._keep_alive(hand, now, effects)
            return
        effects.append(CloseUpstream(hand.number))
        self._silent(hand, over, now, effects)

    def _keep_alive(self, hand: AttemptInHand, now: float, effects: list[Effect]) -> None:
        """The provider thinks: tell the client that somebody is there, and let it know nothing else."""
        if self.state is State.AWAITING:
            if hand.flow is None:
                hand.flow_fields, hand.flow = hand.lane.early_flow(now)
                hand.is_early = True
            self._receive(Input.STREAMED)
            self._out.begin(200, hand.flow_fields, None, now, effects)
        assert self._ask is not None  # only what was understood is asked
        self._out.write(b"\n" if self._ask.wants_array else DIALECTS[self._out.dialect].keepalive, effects)
        self._wait(hand, now, hand.silent_by - now)

    def _silent(self, hand: AttemptInHand, over: bool, now: float, effects: list[Effect]) -> None:
        """The provider had its time."""
        if over:
            what = f"had not finished after {self._times.exchange:g} seconds"
        elif self.state is State.OPENING:
            what = f"could not be reached within {self._times.connect:g} seconds"
        elif hand.up.has_begun:
            what = f"sent nothing for {self._times.between_pieces:g} seconds"
        else:
            what = f"sent nothing within {self._times.first_byte:g} seconds"
        if self.state is State.STREAMING:
            self._note_attempt(hand, "silent", what, hand.status, broken(Kind.CUT, what), now)
            self._break_flow(hand, Fault("timeout", f"{hand.provider} {what}."), now, effects)
            return
        # If it was asked, it may be answering still: asking another would be paid for twice.
        is_asked = self.state is not State.OPENING
        outcome = broken(Kind.CUT if is_asked else Kind.UNREACHABLE, what)
        self._fail(hand, "silent", what, 504, outcome, now, effects, is_last=over or is_asked)

    def abandon(self, now: float, effects: list[Effect]) -> None:
        """The client left: stop whatever is being done for it."""
        hand = self._notes.hand
        if self.state is State.DONE:
            return
        if hand is not None and hand.number:
            effects.append(CloseUpstream(hand.number))
            self._note_attempt(hand, "abandoned", "the client left", hand.status, broken(Kind.ABANDONED), now)
        if hand is not None and hand.flow is not None:
            self._notes.usage = hand.flow.usage
        self._receive(Input.ABANDONED)
        self._out.status = self._out.status or _CLIENT_LEFT
        self._out.fault = "client"
        self._out.error = "the client left before its answer was complete"
        self._close_journal(now, effects)

    def abort(self, now: float, effects: list[Effect]) -> None:
        """The gateway ends: give the client a proper error in place of what is missing."""
        hand = self._notes.hand
        if self.state is State.DONE:
            return
        message = "The gateway is shutting down; try again."
        if hand is not None and hand.number:
            effects.append(CloseUpstream(hand.number))
            self._note_attempt(hand, "abandoned", "the gateway is shutting down", None, broken(Kind.ABANDONED), now)
        if self.state is State.STREAMING:
            self._break_flow(self._in_hand, Fault("overloaded", message), now, effects, blame="gateway")
            return
        self._receive(Input.ABANDONED)
        self._out.fail(503, message, "gateway", now, effects, code="shutting_down")
        self._close_journal(now, effects)

    # --- the end ---

    @property
    def _in_hand(self) -> AttemptInHand:
        """The attempt in hand, or the last one there was."""
        hand = self._notes.hand
        assert hand is not None  # made before anything happened to it
        return hand

    def _leave_upstream(self, hand: AttemptInHand, effects: list[Effect]) -> None:
        """The answer is complete: let the connection go, for others if it is sound."""
        effects.append(ReleaseUpstream(hand.number) if hand.up.may_be_kept else CloseUpstream(hand.number))

    def _end(self, now: float, effects: list[Effect]) -> None:
        self._receive(Input.ANSWERED)
        self._close_journal(now, effects)

    def _note_attempt(
        self, hand: AttemptInHand, name: str, detail: str, status: int | None, outcome: Outcome, now: float
    ) -> None:
        """The attempt in hand has ended: tell the journal and the pool, once."""
        assert self._plan is not None  # it chose whom to ask
        self._plan.report(outcome, now)
        attempts = self._notes.attempts
        attempts.append(hand.ended(len(attempts) + 1, name, detail, status, now))
        if self._is_telling:
            self._tell_attempts(hand)

    def _tell_attempts(self, hand: AttemptInHand, *, is_under_way: bool = False) -> None:
        """The story of the attempts, and of the reasoning asked for, as headers, for a client that asks for it."""
        fields, extra = self._request.fields, list[Field]()
        if b"x-dragoman-attempts" in fields:
            extra.append((b"x-dragoman-attempts", self._notes.story(is_under_way=is_under_way)))
        if _THINKING in fields:
            extra.append((_THINKING, say_thinking(hand.lane.asked, hand.lane.applied).encode("ascii")))
        self._out.extra = extra

    def _close_journal(self, now: float, effects: list[Effect]) -> None:
        self.deadline = math.inf
        self._notes.ended_at = now
        effects.append(Afterwards(self._notes.write))


def _request_id(request: Request) -> str:
    """The client's own ``x-request-id``, if it is one that can go into logs and headers as it is."""
    value = request.fields.get(b"x-request-id", b"")
    if 0 < len(value) <= 128 and value.replace(b"-", b"").replace(b"_", b"").replace(b".", b"").isalnum():
        return value.decode("ascii")
    return ""
