"""Putting settings into the text of somebody's file: only what is set changes; comments, order and the rest stay.

TOML by tomlkit and YAML by ruamel.yaml, which keep comments; both are loaded when such a file is edited. JSON with comments has no
library that edits in place without Node.js, so that is `dragoman.adapters.connect.json_edits`.
"""

import io
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from dragoman.adapters.connect.json_edits import edited_json


class EditError(Exception):
    """A text that cannot be edited: it is not of its form, or something else stands where a setting should go."""


def edited(text: str, form: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    """Put settings into a text; the same text where they are there already.

    Args:
        text: The file's.
        form: ``json``, ``toml``, ``yaml`` or ``dotenv``.
        settings: Values by path.

    Raises:
        EditError: It cannot be done.

    """
    return _EDITORS[form](text, settings)


def _json(text: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    try:
        return edited_json(text, settings)
    except ValueError as error:
        raise EditError(str(error)) from None


def _toml(text: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    """New keys and tables go in as text, to the front and to the end; tomlkit changes what is there.

    tomlkit 0.15 puts new keys behind tables that dotted keys made, and so into them: hence also the look at what came out.
    """
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise EditError(f"it is not valid TOML: {error}") from None
    fresh: dict[tuple[str, ...], dict[str, Any]] = {}
    changes = {}
    for steps, value in settings.items():
        holder = _holder(data, steps[:-1])
        if holder is None or (len(steps) == 1 and steps[0] not in data):
            fresh.setdefault(steps[:-1], {})[steps[-1]] = value
        elif holder.get(steps[-1]) != value:
            changes[steps] = value
    if not fresh and not changes:
        return text
    new = _with_fresh(_with_changes(text, changes), fresh)
    try:
        is_right = tomllib.loads(new.removeprefix("\ufeff")) == _merged(data, settings)
    except tomllib.TOMLDecodeError:  # an inline table, for example, cannot be added to from outside
        is_right = False
    if not is_right:
        raise EditError("it is written in a way that cannot be added to; add the lines by hand")
    return new


def _holder(data: dict[str, Any], steps: tuple[str, ...]) -> dict[str, Any] | None:
    """The table at a path; None where there is none yet."""
    for step in steps:
        if step not in data:
            return None
        data = data[step]
        if not isinstance(data, dict):
            raise EditError(f"{step!r} is no table")
    return data


def _with_changes(text: str, changes: Mapping[tuple[str, ...], Any]) -> str:
    if not changes:
        return text
    import tomlkit

    document = tomlkit.parse(text)
    for steps, value in changes.items():
        table: Any = document
        for step in steps[:-1]:
            table = table[step]
        table[steps[-1]] = value
    return document.as_string()


def _with_fresh(text: str, fresh: Mapping[tuple[str, ...], Mapping[str, Any]]) -> str:
    import tomlkit

    newline = "\r\n" if "\r\n" in text else "\n"
    bom, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    if top := fresh.get(()):
        text = tomlkit.dumps(top).replace("\n", newline) + (newline if text else "") + text
    for steps, values in fresh.items():
        if steps:
            lines = f"[{'.'.join(steps)}]\n{tomlkit.dumps(values)}".replace("\n", newline)
            text += ("" if not text or text.endswith("\n") else newline) + (newline if text else "") + lines
    return bom + text


def _merged(data: dict[str, Any], settings: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    for steps, value in settings.items():
        table = data
        for step in steps[:-1]:
            table = table.setdefault(step, {})
        table[steps[-1]] = value
    return data


def _yaml(text: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    try:
        document = yaml.load(text)
    except (YAMLError, ValueError, IndexError) as error:  # ruamel.yaml 0.19 stumbles over some odd scalars, such as -_
        raise EditError(f"it is not valid YAML: {getattr(error, 'problem', None) or type(error).__name__}") from None
    if document is None:  # nothing, or comments only
        front = text if not text or text.endswith("\n") else text + "\n"
        return front + "".join(f"{steps[0]}: {value}\n" for steps, value in settings.items())
    if not isinstance(document, CommentedMap):
        raise EditError("it holds no keys and values")
    if all(document.get(steps[0]) == value for steps, value in settings.items()):
        return text
    for steps, value in settings.items():
        document[steps[0]] = value
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


_LINE: Final = r"(?m)^[ \t]*(?:export[ \t]+)?{}[ \t]*=.*$"


def _dotenv(text: str, settings: Mapping[tuple[str, ...], Any]) -> str:
    for (name,), value in settings.items():
        line = f"{name}={value}"
        found = list(re.finditer(_LINE.format(re.escape(name)), text))
        if found:
            last = found[-1]  # which is the one that counts
            text = text[: last.start()] + line + text[last.end() :]
        else:
            text += ("\n" if text and not text.endswith("\n") else "") + line + "\n"
    return text


_EDITORS: Final = {"json": _json, "toml": _toml, "yaml": _yaml, "dotenv": _dotenv}
