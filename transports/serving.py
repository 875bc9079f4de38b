"""What the core has answered elsewhere (`dragoman.core.effects.Serve`): steps in turns, on the loop's thread and in worker threads.

There is no event loop here: how to work in a thread, and how to come back from there, is the transport's to say.
"""

import traceback
from collections.abc import Callable
from typing import Protocol

from dragoman.core.effects import LocalAnswer, LocalRequest, Step

# Threads that answer at a time; further requests wait. They read small files, and check passwords on purpose slowly.
WORKERS = 4


class ServeError(Exception):
    """Whoever was to answer a request failed: a bug of ours. It says where, never what: that may be a secret."""

    def __init__(self, request: LocalRequest, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        file = "/".join(frame.filename.replace("\\", "/").split("/")[-3:])
        super().__init__(f"{request.method} {request.path[:200]}: {type(error).__name__} at {file}:{frame.lineno}")


class InThread(Protocol):
    """Does `work`, which does not raise, in a worker thread, then calls `done` with what it returned on the loop's thread."""

    def __call__(self, work: Callable[[], Step | Exception], done: Callable[[Step | Exception], None], /) -> None:
        """Do it; never calls `done` before it returns."""
        ...


class Serving:
    """Has requests answered.

    Args:
        serve: Takes the first step, on the loop's thread.
        in_thread: Does the others of which it is said.

    """

    def __init__(self, serve: Callable[[LocalRequest], Step], in_thread: InThread) -> None:
        self._serve = serve
        self._in_thread = in_thread

    def begin(
        self, request: LocalRequest, done: Callable[[LocalAnswer | Exception], None]
    ) -> LocalAnswer | Exception | None:
        """Have a request answered.

        Returns:
            The answer, if it is known at once; None: `done` will be called with it. In both places an exception is in its stead if
            there is none.

        """
        step = _attempt(lambda: self._serve(request))
        if isinstance(step, LocalAnswer):
            return step
        if isinstance(step, Exception):
            return ServeError(request, step)
        self._work(request, step, done)
        return None

    def _work(
        self, request: LocalRequest, work: Callable[[], Step], done: Callable[[LocalAnswer | Exception], None]
    ) -> None:
        def returned(step: Step | Exception) -> None:
            if not isinstance(step, LocalAnswer | Exception):
                step = _attempt(step)
            if isinstance(step, LocalAnswer):
                done(step)
            elif isinstance(step, Exception):
                done(ServeError(request, step))
            else:
                self._work(request, step, done)

        self._in_thread(lambda: _attempt(work), returned)


def _attempt(step: Callable[[], Step]) -> Step | Exception:
    try:
        return step()
    except Exception as error:
        return error


def serve_nothing(request: LocalRequest) -> LocalAnswer:
    """The answer where nobody answers."""
    return LocalAnswer(404, error=f"Nothing answers at {request.path[:200]}.", code="not_found")
