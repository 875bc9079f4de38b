"""One answer on its way to the client, in the client's dialect: written once, and remembered for the journal."""

from collections.abc import Sequence

from dragoman.core.answers import error_body
from dragoman.core.config import Config
from dragoman.core.downstream import Downstream, Request
from dragoman.core.effects import Effect, WriteClient
from dragoman.core.evidence import KEPT
from dragoman.core.http_heads import Field


class Answering:
    """The answer to one request.

    Args:
        config: Whose browsers may call.
        downstream: Frames it.
        request: What it answers.
        request_id: Named in it.

    Attributes:
        request_id: The same.
        dialect: The client's; may be set once more is known than the path.
        status: HTTP status, 0 before there is one.
        fault: Whose fault it is: ``client``, ``gateway``, ``provider``; empty when nothing failed.
        error: What failed, for the journal.
        bytes_out: Length of the body sent, framing excluded.
        first_byte_at: Epoch seconds, or None before the first.
        extra: Further headers of whatever answer it will be.
        fields: Headers of the answer as sent, but those that frame it.
        body: The body of a whole answer; None of a stream, and before there is one.
        copy: The beginning of the body of any answer, for whoever wants it; None when nobody does.

    """

    __slots__ = (
        "_cors",
        "_down",
        "_request",
        "body",
        "bytes_out",
        "copy",
        "dialect",
        "error",
        "extra",
        "fault",
        "fields",
        "first_byte_at",
        "request_id",
        "status",
    )

    def __init__(self, config: Config, downstream: Downstream, request: Request, request_id: str, dialect: str) -> None:
        self._cors = config.cors_origins
        self._down = downstream
        self._request = request
        self.request_id = request_id
        self.dialect = dialect
        self.status = 0
        self.fault = ""
        self.error = ""
        self.bytes_out = 0
        self.first_byte_at: float | None = None
        self.extra: list[Field] = []
        self.fields: Sequence[Field] = ()
        self.body: bytes | None = None
        self.copy: bytearray | None = None

    def begin(self, status: int, fields: list[Field], length: int | None, now: float, effects: list[Effect]) -> None:
        """Write the head; `length` None: a stream follows."""
        effects.append(WriteClient(self._head(status, fields, length, now)))

    def _head(self, status: int, fields: list[Field], length: int | None, now: float) -> bytes:
        self.status = status
        self.first_byte_at = now
        fields = [*fields, (b"x-request-id", self.request_id.encode("ascii")), *self.extra]
        if self._cors:
            fields += self.cors_fields()
        self.fields = fields
        return self._down.start_answer(status, fields, length=length)

    def write(self, data: bytes, effects: list[Effect]) -> None:
        """Write a piece of the body; not empty."""
        self.bytes_out += len(data)
        if self.copy is not None:
            self._copy(data)
        effects.append(WriteClient(self._down.frame(data)))

    def finish(self, data: bytes, effects: list[Effect]) -> None:
        """Write the last of the body, which may be nothing."""
        end = self._last(data)
        if end:
            effects.append(WriteClient(end))

    def _last(self, data: bytes) -> bytes:
        if data:
            self.bytes_out += len(data)
            if self.copy is not None:
                self._copy(data)
            data = self._down.frame(data)
        return data + self._down.finish()

    def tear(self) -> None:
        """The body will not be completed: closing without its end is the only honest thing left to say."""
        self._down.keeps_alive = False

    def whole(self, status: int, fields: list[Field], body: bytes, now: float, effects: list[Effect]) -> None:
        """Write a whole answer."""
        self.body = body
        head = self._head(status, fields, len(body), now)
        effects.append(WriteClient(head + self._last(body)))

    def fail(
        self,
        status: int,
        message: str,
        fault: str,
        now: float,
        effects: list[Effect],
        *,
        code: str | None = None,
        param: str | None = None,
        fields: Sequence[Field] = (),
    ) -> None:
        """Write a whole answer that is an error of ours.

        Args:
            status: HTTP status.
            message: For people; no secrets.
            fault: Whose it is.
            now: Epoch seconds.
            effects: Where the writing goes.
            code: For programs.
            param: The field at fault.
            fields: Further headers.

        """
        self.fault = fault
        self.error = message
        body = error_body(self.dialect, status, message, code=code, param=param, request_id=self.request_id)
        head = [(b"content-type", b"application/json"), (b"x-dragoman-fault", fault.encode()), *fields]
        self.whole(status, head, body, now, effects)

    def _copy(self, data: bytes) -> None:
        assert self.copy is not None  # asked by whoever calls
        self.copy += data[: max(0, KEPT - len(self.copy))]

    def cors_fields(self) -> list[Field]:
        """Headers that let a browser's page read the answer; none unless its origin is configured."""
        origin = self._request.fields.get(b"origin")
        if not self._cors or origin is None:
            return []
        if "*" in self._cors:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
        if origin.decode("latin-1") in self._cors:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", b"retry-after, x-request-id, x-dragoman-fault, x-dragoman-loss"),
                (b"vary", b"origin"),
            ]
        return []
