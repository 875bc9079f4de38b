"""Translation between dialects: the library.

From one dialect to the hub, from the hub to the other; between equal dialects the bytes pass as they are and only what must change
changes (the model's name). ``source`` is always who wrote the bytes, ``target`` who is to read them: for a request the client and the
provider, for an answer the provider and the client.

>>> body = b'{"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}'
>>> asked = translate_request(body, "openai_chat", "claude", model="claude-opus-4-8")
>>> asked.body
b'{"model":"claude-opus-4-8","max_tokens":128000,"messages":[{"role":"user","content":"Hi"}]}'
>>> [loss.path for loss in asked.losses]
['seed']
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
import msgspec

from dragoman.core.chat.answer import Answer
from dragoman.core.chat.blocks import Block, Media, Nested, Opaque, ToolResult
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss, foreign_fields
from dragoman.core.chat.request import ChatRequest, OpaqueTool, Thinking
from dragoman.core.chat.stream import (
    AnswerStarted,
    Delta,
    Folder,
    Ping,
    StreamFailed,
    UsageUpdate,
    unfold,
)
from dragoman.core.chat.target import ANYBODY, Target
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.chat.wayback import WayBack
from dragoman.core.dialects import DIALECTS, AnswerContext, Dialect
from dragoman.core.dialects.reading import request_object
from dragoman.core.errors import BadAnswer, BadRequest, Untranslatable
from dragoman.core.json_text import dumps
from dragoman.core.sse import WholeEvents
from dragoman.core.thinking import facts_of, fit_thinking, override

# ---- requests


@attrs.frozen
class TranslatedRequest:
    """A request in the target's words.

    Attributes:
        body: What to send.
        losses: What did not arrive as it was; empty between equal dialects.
        request: What the client asked, in the hub's words, its model's name as in the body; needed to translate the answer. None
            between equal dialects, where nobody needs it: `Dialect.parse_request` says it if somebody does.
        asked: The reasoning asked for, suffix included; None: nothing was said, or the dialects are equal.
        applied: The reasoning that was written.

    """

    body: bytes
    losses: tuple[Loss, ...] = ()
    request: ChatRequest | None = None
    asked: Thinking | None = None
    applied: Thinking | None = None


def translate_request(
    body: bytes,
    source: str,
    target: str,
    *,
    model: str | None = None,
    to: Target = ANYBODY,
    suffix: Thinking | None = None,
    is_strict: bool = False,
    path_model: str | None = None,
    stream: bool | None = None,
) -> TranslatedRequest:
    """Translate a request.

    Args:
        body: As the client sent it.
        source: The client's dialect.
        target: The provider's dialect.
        model: The upstream model's name to write; None: the client's.
        to: What is known of the reader. Facts of the model are looked up when they are not given.
        suffix: Reasoning that the model's name asked for (`dragoman.core.thinking.split_suffix`); overrides the body's.
        is_strict: Whether a loss is an error, hints excepted.
        path_model: The model from the client's path, for dialects that say it there.
        stream: Whether the client's path asks for a stream, for dialects that say it there.

    Raises:
        BadRequest: The body is no request of the source dialect (between equal dialects: no JSON object; the rest is the
            provider's to judge).
        Untranslatable: The target cannot say something that must not be left out; with `is_strict`, anything but hints.

    """
    reader, writer = DIALECTS[source], DIALECTS[target]
    if source == target and suffix is None:
        return TranslatedRequest(replace_model(body, model))
    request, losses = reader.parse_request(body, model=path_model, stream=stream)
    name = model or to.model or request.model
    facts = to.facts if to.facts.known else facts_of(name, to.provider)
    asked = override(request.thinking, suffix)
    applied, clamped = fit_thinking(asked, facts)
    wanted = attrs.evolve(request, thinking=applied)
    built, more = writer.build_request(wanted, attrs.evolve(to, model=name, facts=facts))
    found = _unique([*losses, *clamped, *foreign_extras(request, writer.words or target), *more])
    first = next((loss for loss in found if not loss.is_harmless), None) if is_strict else None
    if first is not None:
        raise Untranslatable(f"{first.path}: {first.detail} (strict translation)", param=first.path)
    return TranslatedRequest(built, found, request, asked, applied)


def _unique(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    return tuple(dict.fromkeys(losses))


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


def replace_model(body: bytes, model: str | None) -> bytes:
    """Write another model's name into a body and leave every other byte as it is.

    A body without a name (dialects that say it in the path) is returned as it is, and so is every body when `model` is None.

    Raises:
        BadRequest: The body is no JSON object.

    """
    try:
        raw = bytes(msgspec.json.decode(body, type=_Named).model)
    except (
        msgspec.MsgspecError,
        UnicodeError,
        RecursionError,
    ):  # no JSON, or JSON that only the standard library reads
        whole = request_object(body)
        return dumps({**whole, "model": model}) if "model" in whole and model is not None else body
    if not raw or model is None:
        return body
    places = list(re.finditer(rb'"model"\s*:\s*(?=' + re.escape(raw) + rb")", body))
    if len(places) == 1:
        at = places[0].end()
        return body[:at] + dumps(model) + body[at + len(raw) :]
    # The same pair of words stands elsewhere, too, and which is which takes a real reading.
    node = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    node["model"] = msgspec.Raw(dumps(model))
    return msgspec.json.encode(node)


def foreign_extras(request: ChatRequest, target: str) -> Iterator[Loss]:
    """Every field that only its own dialect understands and `target` is not."""
    yield from foreign_fields(request.extras, target, "")
    if request.output is not None:
        yield from foreign_fields(request.output.extras, target, "output.")
    for n, tool in enumerate(request.tools):
        if not isinstance(tool, OpaqueTool):
            yield from foreign_fields(tool.extras, target, f"tools[{n}].")
    if request.tool_choice is not None:
        yield from foreign_fields(request.tool_choice.extras, target, "tool_choice.")
    for n, block in enumerate(request.instructions):
        yield from foreign_fields(block.extras, target, f"instructions[{n}].")
    for m, message in enumerate(request.messages):
        yield from foreign_fields(message.extras, target, f"messages[{m}].")
        yield from _block_extras(message.content, target, f"messages[{m}].content")


def _block_extras(blocks: Sequence[Block], target: str, path: str) -> Iterator[Loss]:
    for n, block in enumerate(blocks):
        if isinstance(block, Opaque):
            continue
        yield from foreign_fields(block.extras, target, f"{path}[{n}].")
        if isinstance(block, ToolResult):
            yield from _block_extras(block.content, target, f"{path}[{n}].content")
        elif isinstance(block, Media) and isinstance(block.source, Nested):
            yield from _block_extras(block.source.blocks, target, f"{path}[{n}].source")


# ---- answers


@attrs.frozen
class TranslatedAnswer:
    """An answer in the client's words.

    Attributes:
        body: What to send.
        losses: What did not arrive as it was.
        usage: Counted tokens; None when the provider did not count.
        fault: Set when the provider says in the body of a 2xx answer that it failed; `body` is then the client's error.
        is_stream: Whether `body` is a stream.

    """

    body: bytes
    losses: tuple[Loss, ...]
    usage: TokenUsage | None
    fault: Fault | None = None
    is_stream: bool = False


def translate_answer(
    body: bytes,
    source: str,
    target: str,
    *,
    request: ChatRequest | None = None,
    model: str | None = None,
    created: int = 0,
    as_stream: bool = False,
) -> TranslatedAnswer:
    """Translate a whole answer.

    Args:
        body: As the provider sent it.
        source: The provider's dialect.
        target: The client's dialect.
        request: What the client asked (`TranslatedRequest.request`): names of tools come back as the client wrote them.
        model: The model to name in the answer; None: as the provider says.
        created: Epoch seconds, for dialects that date an answer which the provider did not.
        as_stream: Write it as a stream, for a client that wants one where the provider gave none.

    Raises:
        BadAnswer: The body is no answer of the source dialect.

    """
    reader, writer = DIALECTS[source], DIALECTS[target]
    answer, losses = reader.parse_answer(body)
    if source == target and model is None and not as_stream:
        return TranslatedAnswer(body, (), answer.usage, answer.fault)
    if answer.fault is not None:
        return TranslatedAnswer(writer.build_error(answer.fault)[1], losses, answer.usage, answer.fault)
    wayback = _wayback(request, reader)
    answer = wayback.restore(answer)
    context = AnswerContext(request, model, created)
    more: Iterable[Loss]
    if as_stream:
        stream = writer.writer(context)
        built, more = stream.write(list(unfold(answer))), stream.losses
    else:
        built, more = writer.build_answer(answer, context)
    found = [*losses, *_answer_extras(answer, writer.words or target), *more]
    return TranslatedAnswer(built, _unique(found), answer.usage, is_stream=as_stream)


def _answer_extras(answer: Answer, target: str) -> Iterator[Loss]:
    """Every field of an answer that only its own dialect understands and `target` is not."""
    yield from foreign_fields(answer.extras, target, "answer.")
    for choice in answer.choices:
        yield from foreign_fields(choice.extras, target, "answer.choices.")
        for block in choice.blocks:
            if not isinstance(block, Opaque):
                yield from foreign_fields(block.extras, target, "answer.blocks.")


def translate_error(
    status: int, headers: Mapping[str, str], body: bytes, source: str, target: str, now: float
) -> tuple[int, bytes, Fault]:
    """Translate an HTTP error: between equal dialects the bytes pass as they are.

    Returns:
        The status and body for the client, and what happened.

    """
    fault = DIALECTS[source].classify_error(status, headers, body, now)
    if source == target and body:
        return status, body, fault
    return *DIALECTS[target].build_error(fault), fault


def _wayback(request: ChatRequest | None, upstream: Dialect) -> WayBack:
    """How names of tools come back from a provider that speaks `upstream`."""
    return WayBack(
        request,
        upstream.tool_names,
        keep_namespaces=upstream.has_namespaces,
        unwraps_free_text=not upstream.has_custom_tools,
    )


class StreamTranslator:
    """Translates an answer in pieces.

    Between equal dialects the pieces pass as they are; usage and faults are read on the way. Nothing is written before the provider
    has said something that counts: when the first such thing is an error, `fault` is set, `has_begun` is False, nothing was
    written, and the client can still get an HTTP error (`Dialect.build_error`).

    Args:
        source: The provider's dialect.
        target: The client's dialect.
        request: What the client asked (`TranslatedRequest.request`).
        model: The model to name in the answer; None: as the provider says.
        created: Epoch seconds, for dialects that date an answer which the provider did not.

    Attributes:
        has_begun: Whether the provider has said anything that counts.
        fault: What ended the stream, if it did not end as it should.

    """

    def __init__(
        self,
        source: str,
        target: str,
        *,
        request: ChatRequest | None = None,
        model: str | None = None,
        created: int = 0,
    ) -> None:
        self._reader = DIALECTS[source].reader()
        self._writer = DIALECTS[target].writer(AnswerContext(request, model, created))
        self._passes = source == target and model is None
        self._wayback = (
            not self._passes and _wayback(request, DIALECTS[source])
        ) or None  # None: no tools, nothing to restore
        self._held: list[Delta] = []
        self._whole = WholeEvents()
        self.has_begun = False
        self._goes_on = False  # it has begun, and what comes is only to be written
        self.fault: Fault | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """What has been counted until now."""
        return self._reader.usage

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What did not arrive as it was, until now."""
        return () if self._passes else _unique([*self._reader.losses, *self._writer.losses])

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the provider's body and return what to send. Never raises."""
        deltas = self._reader.feed(data)
        if self._goes_on and deltas and type(deltas[-1]) is not StreamFailed:
            return self._writer.write(deltas)
        return self._take(deltas, data)

    def close(self) -> bytes:
        """Tell that the provider's body has ended and return what is left to send; a cut stream ends in the client's error."""
        deltas = self._reader.close()
        if not self._passes:
            return self._take(deltas, b"")
        if deltas and isinstance(deltas[-1], StreamFailed):
            self.fault = deltas[-1].fault
            return self._writer.write(deltas[-1:]) if self.has_begun else b""
        if self.fault is not None and not self.has_begun:
            return b""
        self.has_begun = True
        return self._whole.rest()

    def fail(self, fault: Fault) -> bytes:
        """End the stream ourselves (silence, a lost connection): return the error to send if the client has seen a beginning."""
        if self.fault is None:
            self.fault = fault
        return self._writer.write([StreamFailed(fault)])

    def _take(self, deltas: list[Delta], data: bytes) -> bytes:
        if deltas:
            last = deltas[-1]
            if isinstance(last, StreamFailed):
                self.fault = last.fault
            if not self.has_begun:
                deltas = self._begin(deltas)
        if self._passes:
            return self._whole.feed(data, passes=self.has_begun)
        if self._wayback is not None:
            deltas = self._wayback.restore_deltas(deltas)
        return self._writer.write(deltas) if deltas else b""

    def _begin(self, deltas: list[Delta]) -> list[Delta]:
        """Hold what says nothing yet until something does."""
        self._held += deltas
        first = next((d for d in self._held if not isinstance(d, AnswerStarted | Ping | UsageUpdate)), None)
        if first is None or isinstance(first, StreamFailed):
            return []
        self.has_begun = True
        self._goes_on = not self._passes and self._wayback is None
        deltas, self._held = self._held, []
        if self._passes:  # should the stream break off, the writer has to know what it goes on with
            self._writer.write([delta for delta in deltas if isinstance(delta, AnswerStarted)])
        return deltas


class StreamCollector:
    """Gathers a stream into a whole answer, for a client that wants one where the provider only streams.

    Args:
        source: The provider's dialect.
        target: The client's dialect.
        request: What the client asked (`TranslatedRequest.request`).
        model: The model to name in the answer; None: as the provider says.
        created: Epoch seconds, for dialects that date an answer which the provider did not.

    """

    def __init__(
        self,
        source: str,
        target: str,
        *,
        request: ChatRequest | None = None,
        model: str | None = None,
        created: int = 0,
    ) -> None:
        self._reader = DIALECTS[source].reader()
        self._source = source
        self._writer = DIALECTS[target]
        self._context = AnswerContext(request, model, created)
        self._folder = Folder()

    def feed(self, data: bytes) -> None:
        """Take a piece of the provider's body. Never raises."""
        for delta in self._reader.feed(data):
            self._folder.add(delta)

    def close(self) -> TranslatedAnswer:
        """Tell that the provider's body has ended and return the answer; `fault` is set when it was cut or failed."""
        for delta in self._reader.close():
            self._folder.add(delta)
        answer = self._folder.answer()
        losses = self._reader.losses
        if answer.fault is not None:
            return TranslatedAnswer(
                self._writer.build_error(answer.fault)[1], _unique(losses), answer.usage, answer.fault
            )
        answer = _wayback(self._context.request, DIALECTS[self._source]).restore(answer)
        built, more = self._writer.build_answer(answer, self._context)
        return TranslatedAnswer(built, _unique([*losses, *more]), answer.usage)


__all__ = [
    "BadAnswer",
    "BadRequest",
    "StreamCollector",
    "StreamTranslator",
    "TranslatedAnswer",
    "TranslatedRequest",
    "Untranslatable",
    "foreign_extras",
    "replace_model",
    "translate_answer",
    "translate_error",
    "translate_request",
]
