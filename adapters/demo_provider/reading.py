"""Reading JSON that may be anything: a value of the wrong type reads as an empty one, and never raises."""

from typing import Any, Final

import attrs
import orjson

# orjson reads 1024 levels and writes 254; an answer echoes parts of its request.
MAX_DEPTH: Final = 100


class BadQuestion(Exception):
    """The request cannot be answered: the client's fault.

    Args:
        message: What was expected.
        param: The field at fault, or None.

    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


@attrs.frozen
class Request:
    """One request, as the dialects see it.

    Attributes:
        method: ``POST``, ``GET``, ...
        path: Without the query, percent-decoded.
        query: The query's names and values; the last wins.
        headers: Lower-case names.
        raw: The body's bytes.

    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes


def mapping(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else []


def string(value: object) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """The number as an integer (``40.0`` and ``"40"`` are 40, as in proto JSON), or None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return int(value)
    return None


def read_body(raw: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadQuestion: It is not JSON, not an object, or nested too deeply.

    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadQuestion(f"The body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadQuestion("The body must be a JSON object.")
    level: list[object] = [body]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
        if not level:
            return body
    raise BadQuestion(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
