"""How a request travels to a provider and its answer back: as it is, or translated.

Equal dialects pass: bytes stay bytes (`dragoman.core.passthrough`). Different ones go through the hub (`dragoman.core.translate`). An exchange asks
for a lane for each attempt and knows nothing of dialects itself. Lanes are made for one attempt and used once.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import attrs

from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.stream import StreamFailed
from dragoman.core.chat.target import Target as Reader
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects import DIALECTS
from dragoman.core.endpoints import Endpoint, Operation
from dragoman.core.errors import BadAnswer, ClientError, Untranslatable
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.passthrough import StreamRelay, answer_fields, build_request_body, read_usage
from dragoman.core.request_text import RequestPeek
from dragoman.core.routing.catalog import Target
from dragoman.core.sse import EventReader, ServerSentEvent
from dragoman.core.translate import (
    StreamCollector,
    StreamTranslator,
    TranslatedRequest,
    stream_of,
    translate_answer,
    translate_error,
    translate_request,
)

# Where each operation is at a provider that speaks a dialect, behind its base URL; `{root}` and `{model}` are the target's. OpenAI's base
# URLs end in /v1, as its SDKs have it; Anthropic's and Gemini's do not.
_PATHS: Final[Mapping[tuple[str, Operation], str]] = {
    ("openai_chat", Operation.CHAT): "/chat/completions",
    ("openai_chat", Operation.COMPLETIONS): "/completions",
    ("openai_chat", Operation.EMBEDDINGS): "/embeddings",
    ("openai_responses", Operation.CHAT): "/responses",
    ("openai_responses", Operation.COMPACT): "/responses/compact",
    ("openai_responses", Operation.COUNT_TOKENS): "/responses/input_tokens",
    ("claude", Operation.CHAT): "/v1/messages",
    ("claude", Operation.COUNT_TOKENS): "/v1/messages/count_tokens",
    ("gemini", Operation.CHAT): "{root}/models/{model}:generateContent",
    ("gemini", Operation.COUNT_TOKENS): "{root}/models/{model}:countTokens",
    ("gemini", Operation.EMBEDDINGS): "{root}/models/{model}:embedContent",
    ("gemini", Operation.BATCH_EMBEDDINGS): "{root}/models/{model}:batchEmbedContents",
}  # fmt: skip

_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream")
_DONE_LENGTH: Final = len(b"data: [DONE]\n\n")
_MAX_LOSS_HEADER: Final = 2000  # bytes; the journal has them all


@attrs.frozen
class Ask:
    """A request that is to travel.

    Attributes:
        endpoint: What is asked for, in which dialect.
        peek: Its model and whether it streams.
        body: As the client sent it, decoded from its Content-Encoding.
        suffix: Reasoning that the model's name asked for.
        is_strict: A loss is an error.
        is_watched: Somebody wants to know what reasoning is asked for, even where nothing is translated.
        wants_array: A stream is to be one JSON array instead of events (Gemini without ``alt=sse``).

    """

    endpoint: Endpoint
    peek: RequestPeek
    body: bytes
    suffix: Thinking | None = None
    is_strict: bool = False
    is_watched: bool = False
    wants_array: bool = False


@attrs.frozen
class Reply:
    """An answer for the client.

    Attributes:
        status: HTTP status.
        fields: Headers that concern the client.
        body: The body.
        usage: Counted tokens, or None.
        fault: What the provider said went wrong, or None.

    """

    status: int
    fields: list[Field]
    body: bytes
    usage: TokenUsage | None = None
    fault: Fault | None = None


class Flow(Protocol):
    """A streamed answer on its way to the client.

    Attributes:
        fault: What ended it, if the provider said so inside a stream that began as a success.

    """

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        ...

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        ...

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be said to the client."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return what may go on (possibly nothing)."""
        ...

    def end(self) -> bytes:
        """The provider's body has ended; return what is left to send."""
        ...

    def fail(self, fault: Fault) -> bytes:
        """End it with an error in the client's dialect."""
        ...


class Lane(Protocol):
    """The way to one target and back.

    Attributes:
        path: The request target at the provider, behind its base URL.
        body: The request's body.
        losses: What of the request could not be said.
        asked: Reasoning the client asked for; None: nothing was said, or nobody looked.
        applied: Reasoning the provider was asked for.

    """

    path: bytes
    body: bytes
    losses: Sequence[Loss]
    asked: Thinking | None
    applied: Thinking | None

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """A whole answer of status 2xx, for the client; raises `BadAnswer`."""
        ...

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """An answer of another status, for the client."""
        ...

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The headers for a stream, and the stream; None when the answer is to be collected first."""
        ...

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The same, before the provider has said anything."""
        ...


class AsArray:
    """A lane whose streams become JSON arrays."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.path, self.body = lane.path, lane.body
        self.losses, self.asked, self.applied = lane.losses, lane.asked, lane.applied
        self.answer, self.error = lane.answer, lane.error

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream, as an array."""
        found = self._lane.flow(head, now)
        return None if found is None else _as_array(*found)

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The same, before the provider has said anything."""
        return _as_array(*self._lane.early_flow(now))


def _as_array(fields: list[Field], flow: Flow) -> tuple[list[Field], Flow]:
    return [*(field for field in fields if field[0] != b"content-type"), _JSON], ArrayFlow(flow)


def choose_lane(ask: Ask, target: Target) -> Lane:
    """The lane for a request to a target.

    Raises:
        ClientError: The request cannot be said to that target; another may take it.

    """
    source, reader = ask.endpoint.dialect, target.dialect
    if (reader, ask.endpoint.operation) not in _PATHS:
        raise Untranslatable(
            f"{target.provider} has no {ask.endpoint.operation.value} in its API; use a model of another provider."
        )
    if source == reader and ask.suffix is None:
        lane: Lane = OpenAIPassing(ask, target) if source == "openai_chat" else Passing(ask, target)
        return AsArray(lane) if ask.wants_array else lane
    if ask.endpoint.operation is Operation.CHAT:
        return AsArray(Translating(ask, target)) if ask.wants_array else Translating(ask, target)
    raise Untranslatable(
        f"{target.provider} speaks another dialect, and {ask.endpoint.operation.value} is not translated; use a model of another provider."
    )


def _path_to(target: Target, ask: Ask) -> bytes:
    return _path(target.dialect, ask.endpoint.operation, target.model_root, target.upstream_model, ask.peek.stream)


@lru_cache(1024)
def _path(dialect: str, operation: Operation, root: str, model: str, streams: bool | None) -> bytes:
    # Slashes stay: names of tuned models have them.
    quoted = re.sub(r"[^A-Za-z0-9._~/@:-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), model)
    path = _PATHS[dialect, operation].format(root=root, model=quoted)
    if dialect == "gemini" and operation is Operation.CHAT and streams:
        path = path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
    return path.encode("ascii")


def _is_events(head: ResponseHead) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in head.fields)


class Passing:
    """Equal dialects."""

    losses: Sequence[Loss] = ()

    def __init__(self, ask: Ask, target: Target) -> None:
        self._dialect = target.dialect
        self.asked = self.applied = _thinking_of(ask) if ask.is_watched else None
        self.path = _path_to(target, ask)
        named = not ask.endpoint.model  # in the body, not in the path
        self.body = (
            build_request_body(ask.body, ask.peek, target.upstream_model, ask_usage=False) if named else ask.body
        )

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer as it is."""
        try:
            usage = DIALECTS[self._dialect].parse_answer(body)[0].usage
        except BadAnswer:  # it passes all the same: the client may read what we cannot
            usage = None
        return Reply(head.status, answer_fields(head), body, usage)

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error as it is: clients match its wording."""
        return Reply(head.status, answer_fields(head), body)

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream as it is."""
        return (answer_fields(head), self._flow()) if _is_events(head) else None

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The stream as it will be."""
        return [_EVENTS], self._flow()

    def _flow(self) -> Flow:
        return TranslatedFlow(StreamTranslator(self._dialect, self._dialect))


class OpenAIPassing(Passing):
    """OpenAI Chat, legacy completions and embeddings: usage is asked for where the client did not, and hidden from it."""

    def __init__(self, ask: Ask, target: Target) -> None:
        asked = ask.peek.stream_options.include_usage if ask.peek.stream_options else False
        self._hides_usage = bool(ask.peek.stream) and ask.endpoint.operation is not Operation.EMBEDDINGS and not asked
        self._dialect = "openai_chat"
        self.asked = self.applied = _thinking_of(ask) if ask.is_watched else None
        self.path = _path_to(target, ask)
        self.body = build_request_body(ask.body, ask.peek, target.upstream_model, ask_usage=self._hides_usage)

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer as it is."""
        return Reply(head.status, answer_fields(head), body, read_usage(body))

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


class ArrayFlow:
    r"""A stream of Gemini's events as one JSON array, which is what its API sends unless asked for events.

    An error in mid-stream is the array's last element, as Google's own streams have it.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._reader = EventReader()
        self._is_open = False

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        return self._flow.fault

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._flow.usage

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be said to the client."""
        return self._flow.losses

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return the elements in it."""
        return self._elements(self._reader.feed(self._flow.feed(data)))

    def end(self) -> bytes:
        """What is left, and the end of the array."""
        rest = self._elements([*self._reader.feed(self._flow.end()), *self._reader.close()])
        return rest + b"]" if self._is_open else rest

    def fail(self, fault: Fault) -> bytes:
        """An error as the last element."""
        last = self._elements([*self._reader.feed(self._flow.fail(fault)), *self._reader.close()])
        return last + b"]"

    def _elements(self, events: Sequence[ServerSentEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            out += (b"\n," if self._is_open else b"[", event.data)
            self._is_open = True
        return b"".join(out)


class TranslatedFlow:
    """A stream that is read on its way, translated or not."""

    def __init__(self, translator: StreamTranslator) -> None:
        self._translator = translator
        self.feed = translator.feed
        self.end = translator.close
        self.fail = translator.fail

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        return self._translator.fault

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._translator.usage

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be said to the client."""
        return self._translator.losses


class Translating:
    """Different dialects, through the hub."""

    def __init__(self, ask: Ask, target: Target) -> None:
        self._source, self._target = ask.endpoint.dialect, target.dialect
        self._streams = bool(ask.peek.stream)
        self._model = ask.peek.model
        self._asked: TranslatedRequest = translate_request(
            ask.body,
            self._source,
            self._target,
            model=target.upstream_model,
            to=Reader(model=target.upstream_model, provider=target.signer, is_official=target.is_official),
            suffix=ask.suffix,
            is_strict=ask.is_strict,
            path_model=ask.endpoint.model or None,
            stream=self._streams,
        )
        self.path = _path_to(target, ask)
        self.body = self._asked.body
        self.losses: Sequence[Loss] = self._asked.losses
        self.asked = self._asked.asked
        self.applied = self._asked.applied

    def _fields(self, head: ResponseHead, kind: Field) -> list[Field]:
        fields = [field for field in answer_fields(head) if field[0] != b"content-type"]
        fields.append(kind)
        if self.losses:
            fields.append((b"x-dragoman-loss", loss_header(self.losses)))
        return fields

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer in the client's words; as a stream, where the client wants one and the provider gave none."""
        if _is_events(head):
            collector = StreamCollector(
                self._target, self._source, request=self._asked.request, model=self._model, created=int(now)
            )
            collector.feed(body)
            answer = collector.close()
        else:
            if self._streams:
                whole = DIALECTS[self._target].parse_answer(body)[0]
                events = stream_of(
                    whole, self._source, request=self._asked.request, model=self._model, created=int(now)
                )
                return Reply(head.status, self._fields(head, _EVENTS), events, whole.usage)
            answer = translate_answer(
                body, self._target, self._source, request=self._asked.request, model=self._model, created=int(now)
            )
        status = answer.fault.http_status if answer.fault is not None else head.status
        return Reply(status, self._fields(head, _JSON), answer.body, answer.usage, answer.fault)

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error in the client's words, with the waits the client understands."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields}
        status, text, fault = translate_error(head.status, headers, body, self._target, self._source, now)
        fields = [f for f in self._fields(head, _JSON) if f[0] not in {b"retry-after", b"retry-after-ms"}]
        if fault.retry_after is not None:
            fields.append((b"retry-after", b"%d" % -(-fault.retry_after // 1)))
            fields.append((b"retry-after-ms", b"%d" % (fault.retry_after * 1000)))
        return Reply(status, fields, text, None, fault)

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream in the client's words."""
        return (self._fields(head, _EVENTS), self._flow(now)) if _is_events(head) and self._streams else None

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The stream as it will be."""
        fields = [_EVENTS]
        if self.losses:
            fields.append((b"x-dragoman-loss", loss_header(self.losses)))
        return fields, self._flow(now)

    def _flow(self, now: float) -> Flow:
        return TranslatedFlow(
            StreamTranslator(
                self._target, self._source, request=self._asked.request, model=self._model, created=int(now)
            )
        )


def _thinking_of(ask: Ask) -> Thinking | None:
    """What reasoning a request that passes asks for; None: none, or it is no request we can read."""
    if ask.endpoint.operation is not Operation.CHAT:
        return None
    try:
        return DIALECTS[ask.endpoint.dialect].parse_request(ask.body, model=ask.peek.model)[0].thinking
    except ClientError:
        return None


def loss_header(losses: Sequence[Loss]) -> bytes:
    """The header that names what was lost: ``kind path`` pairs, as many as fit.

    >>> from dragoman.core.chat.loss import dropped
    >>> loss_header([dropped("seed", "Claude has no seed"), dropped("logit_bias", "")])
    b'dropped seed, dropped logit_bias'
    """
    said = ", ".join(f"{loss.kind} {loss.path}" for loss in losses)
    text = re.sub(r"[^\x20-\x7e]", "?", said).encode("ascii")
    return text if len(text) <= _MAX_LOSS_HEADER else text[:_MAX_LOSS_HEADER].rpartition(b",")[0] + b", ..."


__all__ = ["Ask", "BadAnswer", "Flow", "Lane", "Passing", "Reply", "Translating", "choose_lane", "loss_header"]
