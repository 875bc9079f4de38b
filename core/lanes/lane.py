"""What a lane is: the way of one request to one target, and of its answer back."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.endpoints import Endpoint, Operation
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.request_text import RequestPeek
from dragoman.core.routing.catalog import Target

# Where each operation is at a provider that speaks a dialect, behind its base URL; `{root}` and `{model}` are the target's. OpenAI's base
# URLs end in /v1, as its SDKs have it; Anthropic's and Gemini's do not.
PATHS: Final[Mapping[tuple[str, Operation], str]] = {
    ("openai_chat", Operation.CHAT): "/chat/completions",
    ("openai_chat", Operation.COMPLETIONS): "/completions",
    ("openai_chat", Operation.EMBEDDINGS): "/embeddings",
    ("openai_responses", Operation.CHAT): "/responses",
    ("openai_responses", Operation.COMPACT): "/responses/compact",
    ("openai_responses", Operation.COUNT_TOKENS): "/responses/input_tokens",
    ("claude", Operation.CHAT): "/v1/messages",
    ("claude", Operation.COUNT_TOKENS): "/v1/messages/count_tokens",
    ("code_assist", Operation.CHAT): "/v1internal:generateContent",
    ("gemini", Operation.CHAT): "{root}/models/{model}:generateContent",
    ("gemini", Operation.COUNT_TOKENS): "{root}/models/{model}:countTokens",
    ("gemini", Operation.EMBEDDINGS): "{root}/models/{model}:embedContent",
    ("gemini", Operation.BATCH_EMBEDDINGS): "{root}/models/{model}:batchEmbedContents",
}  # fmt: skip

JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (b"content-type", b"text/event-stream")
_MAX_LOSS_HEADER: Final = 2000  # bytes; the journal has them all


class Ask(msgspec.Struct, frozen=True):
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


class Reply(msgspec.Struct, frozen=True):
    """An answer for the client.

    Attributes:
        status: HTTP status.
        fields: Headers that concern the client.
        body: The body.
        usage: Counted tokens, or None.
        fault: What the provider said went wrong, or None.
        losses: What of the answer could not be said to the client.

    """

    status: int
    fields: list[Field]
    body: bytes
    usage: TokenUsage | None = None
    fault: Fault | None = None
    losses: Sequence[Loss] = ()


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


def path_to(target: Target, ask: Ask) -> bytes:
    """The request target for what is asked, behind the base URL."""
    return _path(target.dialect, ask.endpoint.operation, target.model_root, target.upstream_model, ask.peek.stream)


def path_of(target: Target, operation: Operation) -> bytes:
    """The request target of an operation that never streams, behind the base URL."""
    return _path(target.dialect, operation, target.model_root, target.upstream_model, None)


@lru_cache(1024)
def _path(dialect: str, operation: Operation, root: str, model: str, streams: bool | None) -> bytes:
    # Slashes stay: names of tuned models have them.
    quoted = re.sub(r"[^A-Za-z0-9._~/@:-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), model)
    path = PATHS[dialect, operation].format(root=root, model=quoted)
    if dialect in ("gemini", "code_assist") and operation is Operation.CHAT and streams:
        path = path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
    return path.encode("ascii")


def is_events(head: ResponseHead) -> bool:
    """Whether an answer is a stream of events."""
    return head.content_type == b"text/event-stream"


def loss_header(losses: Sequence[Loss]) -> bytes:
    """The header that names what was lost: ``kind path`` pairs, as many as fit.

    >>> from dragoman.core.chat.loss import dropped
    >>> loss_header([dropped("seed", "Claude has no seed"), dropped("logit_bias", "")])
    b'dropped seed, dropped logit_bias'
    """
    said = ", ".join(f"{loss.kind} {loss.path}" for loss in losses)
    text = re.sub(r"[^\x20-\x7e]", "?", said).encode("ascii")
    return text if len(text) <= _MAX_LOSS_HEADER else text[:_MAX_LOSS_HEADER].rpartition(b",")[0] + b", ..."
