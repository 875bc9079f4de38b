"""Why an upstream could not be opened, in words; the same ones on every event loop."""

import os
import socket

from dragoman.core.effects import ConnectFailure, FailureKind


class OpenError(Exception):
    """An upstream connection could not be opened.

    Attributes:
        failure: Why.

    """

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = ConnectFailure(kind, detail)


def unresolved(host: str, error: Exception, kind: FailureKind = FailureKind.UNRESOLVED) -> OpenError:
    """Say that a name does not resolve.

    >>> unresolved("a..b", UnicodeError("empty label")).failure.detail
    'the name a..b does not resolve: empty label'
    """
    return OpenError(kind, f"the name {host} does not resolve: {reason(error)}")


def reason(error: BaseException) -> str:
    """Tell the cause, without the noise: several addresses that all refused are one refusal.

    >>> reason(ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"))
    'connection refused'
    """
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return reason(cause)
    if isinstance(error, BaseExceptionGroup):
        return reason(error.exceptions[0])
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return text.lower()
