"""What can go wrong, by whose fault it is.

::

    DragomanError                     never raised itself
    ├── ClientError               the caller is to blame; carries the status and code of its answer; the message is shown to the caller
    │   ├── BadRequest  AccessDenied  UnknownModel  ModelDenied  OverLimit  UnknownPath  WrongMethod  TooLarge  TooSlow
    │   ├── HeadTooLarge  Untranslatable
    ├── UpstreamError             the provider broke its own protocol or could not be reached
    │   ├── BadStream  BadAnswer
    ├── NoDeployment              everybody who could answer is cooling, exhausted or gone
    ├── ConfigError               every mistake of a configuration, each with its path
    └── MisuseError               we called the core wrongly: a bug; the transport lets it rise

An upstream's 429 is daily business and therefore a value, not one of these.
"""

from collections.abc import Sequence
from typing import ClassVar

import attrs


class DragomanError(Exception):
    """The root; never raised itself."""


class ClientError(DragomanError):
    """The caller is to blame.

    Args:
        message: What was expected, what came, what to do; shown to the caller. No secrets.
        param: The field of the request at fault, as the caller wrote it (``messages[2].content``), or None.

    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class BadRequest(ClientError):
    """The request cannot be read or lacks something; 400."""


class AccessDenied(ClientError):
    """No client key, or one we do not know; 401."""

    status = 401
    code = "invalid_api_key"


class ModelDenied(ClientError):
    """The client key may not ask for this model; 403."""

    status = 403
    code = "model_not_allowed"


class OverLimit(ClientError):
    """The client key has used up what it may use for now; 429. `retry_at`: when it may ask again, epoch seconds."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_at: float) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class UnknownPath(ClientError):
    """Nothing answers at this path; 404."""

    status = 404
    code = "not_found"


class UnknownModel(ClientError):
    """No provider serves the model asked for; 404."""

    status = 404
    code = "model_not_found"


class WrongMethod(ClientError):
    """The path exists, but not for this method; 405. `allow` lists the methods that work."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: Sequence[str]) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class TooSlow(ClientError):
    """The request did not arrive in time; 408."""

    status = 408
    code = "request_timeout"


class TooLarge(ClientError):
    """The body is over the limit; 413."""

    status = 413
    code = "request_too_large"


class HeadTooLarge(ClientError):
    """The request line and headers are over the limit; 431."""

    status = 431
    code = "request_header_fields_too_large"


class Untranslatable(ClientError):
    """The target dialect cannot say this, and leaving it out would change the meaning; 400."""

    code = "unsupported_parameter"


class UpstreamError(DragomanError):
    """The provider broke its own protocol, or could not be reached.

    Args:
        message: What happened, naming the provider, never the credential.
        status: What the client is answered: 502 (broken or unreachable) or 504 (silent).

    """

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class BadStream(UpstreamError):
    """The provider's stream breaks its format or a limit."""


class BadAnswer(UpstreamError):
    """The provider's answer cannot be read."""


class NoDeployment(DragomanError):
    """Nobody can answer now.

    Args:
        message: Who was asked for, and why none of them answers.
        retry_at: When somebody may be well again (epoch seconds), or None when nobody knows.

    """

    def __init__(self, message: str, *, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_at = retry_at


@attrs.frozen
class Mistake:
    """One mistake in a configuration.

    Attributes:
        path: Where, as keys and indices: ``("openai-compatibility", 0, "base-url")``. Empty: the file as a whole.
        message: What was expected, what came, what to do.

    """

    path: tuple[str | int, ...]
    message: str

    def dotted(self) -> str:
        """The path as people write it.

        >>> Mistake(("openai-compatibility", 0, "base-url"), "").dotted()
        'openai-compatibility[0].base-url'
        """
        out = ""
        for step in self.path:
            out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
        return out


class ConfigError(DragomanError):
    """A configuration that cannot be used, with all its mistakes."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{m.dotted() or 'config'}: {m.message}" for m in mistakes))
        self.mistakes = tuple(mistakes)


class MisuseError(DragomanError):
    """The core was called in a way it does not allow: a bug in the caller, never the client's or the provider's fault."""
