"""The record of one exchange: what was asked, who tried to answer, what it came to. No secret is ever in it."""

from collections.abc import Sequence

import msgspec

from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage


class Attempt(msgspec.Struct, frozen=True):
    """One try at one deployment with one credential.

    Attributes:
        number: Counted from 1 within the exchange.
        provider: The provider's name.
        upstream_model: The name that was sent.
        credential: The credential's label, never the credential.
        status: The provider's HTTP status; None when none arrived.
        outcome: ``ok``, ``refused``, ``unresolved``, ``tls``, ``proxy``, ``limit``, ``silent``, ``cut``, ``garbage``,
            ``status`` (an HTTP error), ``abandoned`` (the client left) ...
        detail: A sentence for the operator; may be empty.
        started_at: Epoch seconds.
        ended_at: Epoch seconds.
        why: Why this one was chosen.
        first_token_at: Epoch seconds of the first piece of its answer that went to the client as part of a stream, or None.

    """

    number: int
    provider: str
    upstream_model: str
    credential: str
    status: int | None
    outcome: str
    detail: str
    started_at: float
    ended_at: float
    why: str = ""
    first_token_at: float | None = None


class Journal(msgspec.Struct, frozen=True):
    """The record of one exchange.

    Attributes:
        request_id: Ours, or the client's own ``x-request-id``.
        method: HTTP method.
        path: HTTP path without its query.
        dialect: The client's dialect.
        client_key: Label of the client key, never the key; empty when none was needed or none matched.
        model: The model asked for; empty when there was none.
        status: HTTP status sent to the client; 499 when it left before an answer (nginx's precedent).
        fault: ``client``, ``gateway``, ``provider``, or empty when nothing failed.
        error: A sentence on what failed; may be empty.
        streamed: Whether the answer was a stream.
        attempts: Every attempt, in order.
        usage: Counted tokens, or None when the provider did not say.
        bytes_in: Length of the request body as received.
        bytes_out: Length of the answer body as sent, framing excluded.
        started_at: Epoch seconds, when the head of the request was complete.
        first_byte_at: Epoch seconds of the first byte to the client, or None.
        ended_at: Epoch seconds.
        losses: What could not be said in another dialect.
        thinking_asked: Reasoning the client asked for; None: it said nothing, or nobody looked.
        thinking_applied: Reasoning the provider was asked for.
        canary: The name of the canary whose request it was; such an exchange is counted apart.

    """

    request_id: str
    method: str
    path: str
    dialect: str
    client_key: str
    model: str
    status: int
    fault: str
    error: str
    streamed: bool
    attempts: tuple[Attempt, ...]
    usage: TokenUsage | None
    bytes_in: int
    bytes_out: int
    started_at: float
    first_byte_at: float | None
    ended_at: float
    losses: Sequence[Loss] = ()
    thinking_asked: Thinking | None = None
    thinking_applied: Thinking | None = None
    canary: str = ""
