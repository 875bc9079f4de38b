"""What was said in one exchange: heads and bodies, for whoever looks for a fault. Secrets are in it; see `dragoman.core.redaction`."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

KEPT: Final = 256 * 1024  # bytes of a body


@attrs.frozen(repr=False)
class Evidence:
    """Heads and bodies of an exchange, bodies cut at `KEPT`.

    Attributes:
        query: Of the request, without ``?``.
        fields: Headers of the request by lower-case name.
        body: Of the request, decoded.
        asked_path: Path and query that the last provider was asked with; empty when nobody was.
        asked: The body that it was sent.
        answer_fields: Headers of the answer to the client.
        answer: The body of the answer to the client; None when it was a stream and nobody kept it.

    """

    query: str
    fields: Mapping[bytes, bytes]
    body: bytes
    asked_path: bytes
    asked: bytes
    answer_fields: Sequence[tuple[bytes, bytes]]
    answer: bytes | None
