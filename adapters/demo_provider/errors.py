"""What a dialect has of its own, beside its answers: headers, errors, errors in mid-stream."""

from collections.abc import Callable

import attrs

from dragoman.adapters.demo_provider.reply import Headers, Reply


@attrs.frozen
class Fault:
    """Something went wrong, in no dialect.

    Attributes:
        status: Of HTTP.
        message: For people.
        param: The field at fault, or None.
        retry_after: Seconds, or None.

    """

    status: int
    message: str
    param: str | None = None
    retry_after: int | None = None


@attrs.frozen
class Dialect:
    """What is the dialect's own.

    Attributes:
        headers: Headers of every answer, from the request's seed.
        refuse: Writes an error response.
        break_off: Writes the error that ends a stream, given the events already written.

    """

    headers: Callable[[str], Headers]
    refuse: Callable[[Fault], Reply]
    break_off: Callable[[tuple[bytes, ...], Fault], tuple[bytes, ...]]
