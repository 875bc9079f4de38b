"""What a dialect is: eight halves behind one interface."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs

from dragoman.core.chat.answer import Answer
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.names import NameRule
from dragoman.core.chat.request import ChatRequest
from dragoman.core.chat.stream import Delta
from dragoman.core.chat.target import Target
from dragoman.core.chat.usage import TokenUsage


@attrs.frozen
class AnswerContext:
    """What a dialect must know, beside the answer, to write it for the client.

    Attributes:
        request: The client's request as parsed; some dialects echo parts of it. None: an answer without a request.
        model: The model to name in the answer; None: as the answer says, else as the request says.
        created: Epoch seconds to write when the answer has none of its own: the time of the exchange.

    """

    request: ChatRequest | None = None
    model: str | None = None
    created: int = 0

    def model_of(self, said: str) -> str:
        """The model to name, when the answer says `said`."""
        return self.model or said or (self.request.model if self.request else "")


class RequestParser(Protocol):
    """Reads a request."""

    def __call__(
        self, body: bytes, *, model: str | None = None, stream: bool | None = None
    ) -> tuple[ChatRequest, tuple[Loss, ...]]:
        """Read a request body.

        Args:
            body: As the client sent it, decompressed.
            model: The model from the path, for dialects that say it there; overrides the body's.
            stream: Whether the path asks for a stream, for dialects that say it there; overrides the body's.

        Returns:
            The request; and what even the hub could not hold (rare: unknown fields are kept as extras).

        Raises:
            BadRequest: The body is not a request of this dialect; `param` names the field. Nothing else.

        """
        ...


class RequestBuilder(Protocol):
    """Writes a request."""

    def __call__(self, request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
        """Write a request body that the dialect's provider accepts.

        Names and ids are made to fit (`fitted`), calls paired with results (`paired`): this is the last hand on the request.

        Returns:
            The body; and everything of `request` that is not in it, other dialects' extras excepted (`translate` lists those).

        Raises:
            Untranslatable: The dialect cannot say something that must not be left out. Nothing else.

        """
        ...


class AnswerParser(Protocol):
    """Reads a whole answer."""

    def __call__(self, body: bytes) -> tuple[Answer, tuple[Loss, ...]]:
        """Read the body of a 2xx answer.

        Raises:
            BadAnswer: It is none of this dialect. Nothing else.

        """
        ...


class AnswerBuilder(Protocol):
    """Writes a whole answer."""

    def __call__(self, answer: Answer, context: AnswerContext) -> tuple[bytes, tuple[Loss, ...]]:
        """Write the body of a 200 answer. `answer.fault` is the caller's business (`build_error`). Raises nothing."""
        ...


class StreamReader(Protocol):
    """Reads an answer in pieces; one for each stream.

    Attributes:
        losses: What could not be carried over, as it comes up.

    """

    losses: list[Loss]

    @property
    def usage(self) -> TokenUsage | None:
        """What has been counted until now; None: nothing."""
        ...

    def feed(self, data: bytes) -> list[Delta]:
        """Take a piece of the body, cut anywhere; return what it completes, in the grammar of `dragoman.core.chat.stream`.

        Never raises: what cannot be read is skipped or becomes `StreamFailed`. After the last delta, a no-op.
        """
        ...

    def close(self) -> list[Delta]:
        """Tell that the body has ended. The last delta, if it has not come yet, comes now: `StreamFailed` when it was cut."""
        ...


class StreamWriter(Protocol):
    """Writes an answer in pieces; one for each stream.

    Attributes:
        losses: What could not be carried over, as it comes up.

    """

    losses: list[Loss]

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Write deltas in the grammar of `dragoman.core.chat.stream`; ``b""`` when nothing is to be sent for them yet.

        `AnswerEnded` writes the dialect's proper end, `StreamFailed` its error in mid-stream. Raises nothing.
        """
        ...


class ErrorClassifier(Protocol):
    """Reads an error."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
        """Say what an HTTP error means, whatever its body is (HTML, nothing, another dialect's). Raises nothing.

        Args:
            status: HTTP status, 400 or more.
            headers: Names in lower case.
            body: As sent, decompressed.
            now: Epoch seconds, for dates.

        """
        ...


class ErrorBuilder(Protocol):
    """Writes an error."""

    def __call__(self, fault: Fault) -> tuple[int, bytes]:
        """Give the status and body of an HTTP error in this dialect. Retry headers are the caller's. Raises nothing."""
        ...


@attrs.frozen
class Dialect:
    """One wire format: its halves, and its rules for names.

    Attributes:
        name: As in `DIALECTS`.
        provider: Whose signatures of reasoning are native here: ``openai``, ``claude``, ``gemini``.
        tool_names: What a tool may be called.
        has_custom_tools: Whether it knows tools that take free text; if not, they are functions of one argument here.
        has_namespaces: Whether it knows namespaces of tools; if not, they become part of the name.
        parse_request: See the protocol of each.
        build_request: ...
        parse_answer: ...
        build_answer: ...
        reader: Makes a stream reader.
        writer: Makes a stream writer.
        keepalive: Bytes to send a waiting client that mean nothing.
        classify_error: ...
        build_error: ...
        words: Whose `Extras` it writes back, for a dialect that is another in an envelope; None: its own.

    """

    name: str
    provider: str
    tool_names: NameRule
    has_custom_tools: bool
    has_namespaces: bool
    parse_request: RequestParser
    build_request: RequestBuilder
    parse_answer: AnswerParser
    build_answer: AnswerBuilder
    reader: Callable[[], StreamReader]
    writer: Callable[[AnswerContext], StreamWriter]
    keepalive: bytes
    classify_error: ErrorClassifier
    build_error: ErrorBuilder
    words: str | None = None
