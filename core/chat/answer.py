"""A whole answer in no provider's words. `dragoman.core.chat.stream` says how it comes in pieces."""

from typing import Any, Literal

import attrs

from dragoman.core.chat.blocks import Block
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Extras
from dragoman.core.chat.usage import TokenUsage

FinishKind = Literal[
    "end",  # the model had said everything
    "stop",  # one of the client's stop texts came up
    "length",  # max_tokens is spent
    "context",  # the model's context is full
    "tool",  # the client is to run tools
    "refusal",  # the model or its safety system declined
    "filter",  # a content filter cut the answer
    "recitation",  # it came too near to protected text
    "malformed_call",  # the model wrote a tool call nobody can read
    "pause",  # the provider's own tools need another request
    "other",
]


@attrs.frozen
class Finish:
    """Why an answer ended.

    Attributes:
        kind: See `FinishKind`.
        stop: The stop text that ended it; None when the dialect does not say which.
        raw: The provider's own word, with its dialect, for the journal and the way back.
        detail: The provider's explanation, or None.

    """

    kind: FinishKind
    stop: str | None = None
    raw: tuple[str, str] | None = None
    detail: str | None = None


@attrs.frozen
class Choice:
    """One of the answers to one request.

    Attributes:
        blocks: Its content, in order.
        finish: Why it ended; None: it did not (the stream failed).
        logprobs: Probabilities of its text tokens, in the shape OpenAI writes (``token``, ``logprob``, ``bytes``,
            ``top_logprobs``); None: not given.
        extras: See `Extras`.

    """

    blocks: tuple[Block, ...] = ()
    finish: Finish | None = None
    logprobs: tuple[Any, ...] | None = None
    extras: Extras | None = None


@attrs.frozen
class Answer:
    """What a provider answered.

    Attributes:
        id: The provider's name of it; empty when it gave none.
        model: The model that says it answered; empty when nobody says.
        choices: One, unless more were asked for.
        created: Epoch seconds; None when the dialect does not say.
        usage: Counted tokens; None when the provider did not count.
        fault: Set when the provider failed after it had begun; what came before stands in `choices`.
        extras: See `Extras`.

    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    created: int | None = None
    usage: TokenUsage | None = None
    fault: Fault | None = None
    extras: Extras | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The content of the first choice."""
        return self.choices[0].blocks if self.choices else ()

    @property
    def finish(self) -> Finish | None:
        """Why the first choice ended."""
        return self.choices[0].finish if self.choices else None
