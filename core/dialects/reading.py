"""Reading JSON that somebody else wrote: strictly what clients ask, leniently what providers answer.

A client's mistake is a `BadRequest` that names the field. A provider's odd value counts as absent: an answer is worth more than
one of its fields.
"""

from collections.abc import Mapping
from typing import Any

from dragoman.core.errors import BadAnswer, BadRequest
from dragoman.core.json_text import loads


def request_object(body: bytes) -> dict[str, Any]:
    """Read a request body.

    Raises:
        BadRequest: It is no JSON object.

    """
    try:
        value = loads(body)
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    return an_object(value, "")


def answer_object(body: bytes) -> dict[str, Any]:
    """Read the body of an answer.

    Raises:
        BadAnswer: It is no JSON object.

    """
    try:
        value = loads(body)
    except ValueError:
        raise BadAnswer("the provider's answer is not JSON") from None
    if not isinstance(value, dict):
        raise BadAnswer("the provider's answer is not a JSON object")
    return value


def _name(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def wrong(expected: str, value: object, path: str) -> BadRequest:
    """The error for a field of the wrong type."""
    return BadRequest(f"{path or 'the body'}: expected {expected}, got {_name(value)}", param=path or None)


def an_object(value: object, path: str) -> dict[str, Any]:
    """Insist on an object."""
    if not isinstance(value, dict):
        raise wrong("an object", value, path)
    return value


def an_array(value: object, path: str) -> list[Any]:
    """Insist on an array."""
    if not isinstance(value, list):
        raise wrong("an array", value, path)
    return value


def a_string(value: object, path: str) -> str:
    """Insist on a string."""
    if not isinstance(value, str):
        raise wrong("a string", value, path)
    return value


def objects(node: Mapping[str, Any], key: str, path: str = "") -> list[tuple[dict[str, Any], str]]:
    """The objects of an optional array, each with its path."""
    value = node.get(key)
    if value is None:
        return []
    items = an_array(value, path + key)
    paths = [f"{path}{key}[{n}]" for n in range(len(items))]
    return [(an_object(item, at), at) for item, at in zip(items, paths, strict=True)]


def optional_object(node: Mapping[str, Any], key: str, path: str = "") -> dict[str, Any] | None:
    """An optional object."""
    return None if node.get(key) is None else an_object(node[key], path + key)


def required_string(node: Mapping[str, Any], key: str, path: str = "") -> str:
    """A string that has to be there."""
    if node.get(key) is None:
        raise BadRequest(f"{path}{key} is missing", param=path + key)
    return a_string(node[key], path + key)


def optional_string(node: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """An optional string."""
    return None if node.get(key) is None else a_string(node[key], path + key)


def optional_bool(node: Mapping[str, Any], key: str, path: str = "") -> bool | None:
    """An optional boolean."""
    value = node.get(key)
    if value is not None and not isinstance(value, bool):
        raise wrong("a boolean", value, path + key)
    return value


def optional_number(node: Mapping[str, Any], key: str, path: str = "") -> float | None:
    """An optional number."""
    value = node.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong("a number", value, path + key)
    return value


def optional_integer(node: Mapping[str, Any], key: str, path: str = "") -> int | None:
    """An optional whole number; ``40.0`` is one, too."""
    value = optional_number(node, key, path)
    if isinstance(value, float):
        if not value.is_integer():
            raise BadRequest(f"{path}{key}: expected a whole number", param=path + key)
        return int(value)
    return value


def strings(node: Mapping[str, Any], key: str, path: str = "") -> tuple[str, ...]:
    """An optional array of strings."""
    value = node.get(key)
    if value is None:
        return ()
    return tuple(a_string(item, f"{path}{key}[{n}]") for n, item in enumerate(an_array(value, path + key)))


# ---- what providers answer: a wrong type counts as absent


def text(node: Any, key: str) -> str:
    """A string, or an empty one."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, str) else ""


def text_or_none(node: Any, key: str) -> str | None:
    """A string that is not empty, or None."""
    return text(node, key) or None


def sub_object(node: Any, key: str) -> dict[str, Any]:
    """An object, or an empty one."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def sub_objects(node: Any, key: str) -> list[dict[str, Any]]:
    """The objects of an array, or none."""
    value = node.get(key) if isinstance(node, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def whole(node: Any, key: str) -> int | None:
    """A whole number, or None."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def whole_object(body: bytes) -> dict[str, Any]:
    """The object that a body is, or the first of the array that it is; empty when it is neither."""
    try:
        value = loads(body)
    except ValueError:
        return {}
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def error_object(body: bytes) -> dict[str, Any]:
    """Find the error in the body of an error, whoever wrote it; empty when there is none.

    >>> error_object(b'[{"error": {"message": "no"}}]'), error_object(b'{"detail": "no"}'), error_object(b"<html>")
    ({'message': 'no'}, {'detail': 'no', 'message': 'no'}, {})
    """
    value = whole_object(body)
    for key in ("error", "detail"):
        found = value.get(key)
        if isinstance(found, dict):
            return found
        if isinstance(found, str):
            return {**value, "message": found}
    return value


def error_message(error: Mapping[str, Any], body: bytes, status: int) -> str:
    """The words of an error; failing those, what little the body says."""
    for key in ("message", "detail", "error_description", "title"):
        found = error.get(key)
        if isinstance(found, str) and found:
            return found
    plain = body[:200].decode("utf-8", "replace").strip()
    if plain and not plain.startswith(("<", "{", "[")):
        return plain
    return (
        f"the provider answered with status {status} and no message"
        if status
        else "the provider failed and said no more"
    )
