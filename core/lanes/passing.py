"""Equal dialects: bytes stay bytes, and are listened to on their way."""

import itertools
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.stream import StreamFailed
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import DIALECTS
from dragoman.core.endpoints import Operation
from dragoman.core.errors import BadAnswer, ClientError
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.json_text import loads
from dragoman.core.lanes.flow import TranslatedFlow
from dragoman.core.lanes.lane import EVENTS, Ask, Flow, Reply, is_events, path_to
from dragoman.core.passthrough import StreamRelay, answer_fields, build_request_body, read_usage
from dragoman.core.routing.catalog import Target
from dragoman.core.translate import StreamTranslator

_DONE_LENGTH: Final = len(b"data: [DONE]\n\n")


class Passing:
    """Equal dialects."""

    losses: Sequence[Loss] = ()

    def __init__(self, ask: Ask, target: Target) -> None:
        self._dialect = target.dialect
        self.asked = self.applied = _thinking_of(ask) if ask.is_watched else None
        self.path = path_to(target, ask)
        named = not ask.endpoint.model  # in the body, not in the path
        self.body = (
            build_request_body(ask.body, ask.peek, target.upstream_model, ask_usage=False) if named else ask.body
        )

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer as it is; a failure that calls itself a success is known for what it is."""
        return _judged(self._dialect, head, body)

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error as it is: clients match its wording."""
        return Reply(head.status, answer_fields(head), body)

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream as it is."""
        return (answer_fields(head), self._flow()) if is_events(head) else None

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The stream as it will be."""
        return [EVENTS], self._flow()

    def _flow(self) -> Flow:
        flow = TranslatedFlow(StreamTranslator(self._dialect, self._dialect))
        return ResponsesFlow(flow) if self._dialect == "openai_responses" else flow


class _Counted(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Terminal(msgspec.Struct, gc=False):
    type: str
    response: _Counted
    usage: msgspec.Raw = msgspec.Raw(b"")


_TERMINAL: Final = msgspec.json.Decoder(_Terminal)
_TERMINAL_LINE: Final = re.compile(rb"^data:[^\r\n]*\"response\.(?:completed|incomplete)\"[^\r\n]*", re.MULTILINE)


def usage_on_top(events: bytes) -> bytes:
    r"""Repeat the usage of Responses' last event beside its response, where one filter for all of OpenAI's streams finds it.

    >>> usage_on_top(b'data: {"type":"response.completed","response":{"usage":{"total_tokens":3}}}\n\n')
    b'data: {"type":"response.completed","response":{"usage":{"total_tokens":3}},"usage":{"total_tokens":3}}\n\n'
    """
    if b'"response.completed"' not in events and b'"response.incomplete"' not in events:
        return events
    return _TERMINAL_LINE.sub(_with_usage, events)


def _with_usage(line: re.Match[bytes]) -> bytes:
    said = line[0].rstrip()
    try:
        event = _TERMINAL.decode(said[5:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line[0]
    usage = bytes(event.response.usage)
    if event.type not in ("response.completed", "response.incomplete") or bytes(event.usage) or usage in (b"", b"null"):
        return line[0]
    return said[:-1] + b',"usage":' + usage + b"}"


_NUMBER: Final = re.compile(rb'"sequence_number":[ ]?(\d+)')


class ResponsesFlow:
    """A stream of Responses that passes: its usage is said twice (`usage_on_top`), and an end of ours goes on counting its events."""

    losses: Sequence[Loss] = ()

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._next_number = 0

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        return self._flow.fault

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._flow.usage

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return the whole events that may go on."""
        out = self._flow.feed(data)
        at = out.rfind(b'"sequence_number":')  # within a text its quotes would be escaped
        found = _NUMBER.match(out, at) if at >= 0 else None
        if found is not None:
            self._next_number = int(found[1]) + 1
        return usage_on_top(out)

    def end(self) -> bytes:
        """What was held back; behind a stream that was cut, an error."""
        had_failed = self.fault is not None
        out = self._flow.end()
        return usage_on_top(out) if had_failed or self.fault is None else self._numbered(out)

    def fail(self, fault: Fault) -> bytes:
        """End it with an error."""
        return self._numbered(self._flow.fail(fault))

    def _numbered(self, events: bytes) -> bytes:
        numbers = itertools.count(self._next_number)
        return _NUMBER.sub(lambda _: b'"sequence_number":%d' % next(numbers), events)


class OpenAIPassing(Passing):
    """OpenAI Chat, legacy completions and embeddings: usage is asked for where the client did not, and hidden from it."""

    def __init__(self, ask: Ask, target: Target) -> None:
        asked = ask.peek.stream_options.include_usage if ask.peek.stream_options else False
        self._hides_usage = bool(ask.peek.stream) and ask.endpoint.operation is not Operation.EMBEDDINGS and not asked
        self._dialect = "openai_chat"
        self.asked = self.applied = _thinking_of(ask) if ask.is_watched else None
        self.path = path_to(target, ask)
        self.body = build_request_body(ask.body, ask.peek, target.upstream_model, ask_usage=self._hides_usage)

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer as it is. One that counts tokens is an answer; any other is looked at."""
        usage = read_usage(body)
        return (
            _judged(self._dialect, head, body)
            if usage is None
            else Reply(head.status, answer_fields(head), body, usage)
        )

    def _flow(self) -> Flow:
        return RelayedFlow(self._hides_usage)


class RelayedFlow:
    """A stream of OpenAI Chat that passes."""

    losses: Sequence[Loss] = ()

    def __init__(self, hides_usage: bool) -> None:
        self._relay = StreamRelay(hide_usage=hides_usage)
        self._has_passed = False
        self.fault: Fault | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._relay.usage

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return the whole events that may go on."""
        out = self._relay.feed(data)
        self._has_passed = self._has_passed or bool(out)
        if self._relay.has_failed and self.fault is None:
            deltas = DIALECTS["openai_chat"].reader().feed(out)
            if deltas and isinstance(deltas[-1], StreamFailed):
                self.fault = deltas[-1].fault
        return out

    def end(self) -> bytes:
        """What was held back, and the end it may have forgotten; a stream that said nothing at all is not given one."""
        rest = self._relay.end()
        return rest if self._has_passed or self._relay.is_terminated or len(rest) > _DONE_LENGTH else b""

    def fail(self, fault: Fault) -> bytes:
        """End it with an error event, and the stream's own end, for those who wait for it."""
        return b"data: %b\n\ndata: [DONE]\n\n" % DIALECTS["openai_chat"].build_error(fault)[1]


def _judged(dialect: str, head: ResponseHead, body: bytes) -> Reply:
    """An answer of status 2xx as it is, with what it says of tokens, and with its failure if it is one: some providers say so only inside.

    Raises:
        BadAnswer: It is not JSON.

    """
    fields = answer_fields(head)
    try:
        answer = DIALECTS[dialect].parse_answer(body)[0]
    except BadAnswer:
        if body:  # without a body: 204
            _check_json(body)
        return Reply(head.status, fields, body)  # the client may read what we cannot
    if answer.fault is not None:
        return Reply(answer.fault.http_status, fields, body, answer.usage, answer.fault)
    return Reply(head.status, fields, body, answer.usage)


def _check_json(body: bytes) -> None:
    try:
        loads(body)
    except ValueError:
        raise BadAnswer("the provider's answer is not JSON") from None


def _thinking_of(ask: Ask) -> Thinking | None:
    """What reasoning a request that passes asks for; None: none, or it is no request we can read."""
    if ask.endpoint.operation is not Operation.CHAT:
        return None
    try:
        return DIALECTS[ask.endpoint.dialect].parse_request(ask.body, model=ask.peek.model)[0].thinking
    except ClientError:
        return None
