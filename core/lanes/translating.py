"""Different dialects: requests, answers, streams and errors go through the hub."""

from collections.abc import Sequence

from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.target import Target as Reader
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.lanes.flow import TranslatedFlow
from dragoman.core.lanes.lane import EVENTS, JSON, Ask, Flow, Reply, is_events, loss_header, path_to
from dragoman.core.passthrough import answer_fields
from dragoman.core.routing.catalog import Target
from dragoman.core.translate import (
    StreamCollector,
    StreamTranslator,
    TranslatedRequest,
    translate_answer,
    translate_error,
    translate_request,
)


def reader_of(target: Target) -> Reader:
    """What a dialect must know of who is to read a request."""
    return Reader(
        model=target.upstream_model, provider=target.signer, is_official=target.is_official, project=target.project
    )


class Between:
    """What all lanes between different dialects do alike."""

    losses: Sequence[Loss] = ()
    asked: Thinking | None = None
    applied: Thinking | None = None

    def __init__(self, ask: Ask, target: Target) -> None:
        self._source, self._target = ask.endpoint.dialect, target.dialect
        self._model = ask.peek.model

    def _fields(self, head: ResponseHead, kind: Field, more: Sequence[Loss] = ()) -> list[Field]:
        fields = [field for field in answer_fields(head) if field[0] != b"content-type"]
        fields.append(kind)
        if losses := (*self.losses, *more):
            fields.append((b"x-dragoman-loss", loss_header(losses)))
        return fields

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error in the client's words, with the waits the client understands."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields}
        status, text, fault = translate_error(head.status, headers, body, self._target, self._source, now)
        fields = [f for f in self._fields(head, JSON) if f[0] not in {b"retry-after", b"retry-after-ms"}]
        if fault.retry_after is not None:
            fields.append((b"retry-after", b"%d" % -(-fault.retry_after // 1)))
            fields.append((b"retry-after-ms", b"%d" % (fault.retry_after * 1000)))
        return Reply(status, fields, text, None, fault)


class Translating(Between):
    """A chat, through the hub."""

    def __init__(self, ask: Ask, target: Target) -> None:
        super().__init__(ask, target)
        self._streams = bool(ask.peek.stream)
        self._asked: TranslatedRequest = translate_request(
            ask.body,
            self._source,
            self._target,
            model=target.upstream_model,
            to=reader_of(target),
            suffix=ask.suffix,
            is_strict=ask.is_strict,
            path_model=ask.endpoint.model or None,
            stream=self._streams,
        )
        self.path = path_to(target, ask)
        self.body = self._asked.body
        self.losses: Sequence[Loss] = self._asked.losses
        self.asked = self._asked.asked
        self.applied = self._asked.applied

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The answer in the client's words; as a stream, where the client wants one and the provider gave none."""
        if is_events(head):
            collector = StreamCollector(
                self._target, self._source, request=self._asked.request, model=self._model, created=int(now)
            )
            collector.feed(body)
            answer = collector.close()
        else:
            answer = translate_answer(
                body,
                self._target,
                self._source,
                request=self._asked.request,
                model=self._model,
                created=int(now),
                as_stream=self._streams,
            )
        status = answer.fault.http_status if answer.fault is not None else head.status
        fields = self._fields(head, EVENTS if answer.is_stream else JSON, answer.losses)
        return Reply(status, fields, answer.body, answer.usage, answer.fault, answer.losses)

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """The stream in the client's words."""
        return (self._fields(head, EVENTS), self._flow(now)) if is_events(head) and self._streams else None

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """The stream as it will be."""
        fields = [EVENTS]
        if self.losses:
            fields.append((b"x-dragoman-loss", loss_header(self.losses)))
        return fields, self._flow(now)

    def _flow(self, now: float) -> Flow:
        return TranslatedFlow(
            StreamTranslator(
                self._target, self._source, request=self._asked.request, model=self._model, created=int(now)
            )
        )
