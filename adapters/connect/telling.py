"""From the table of tools to what one tool is told: templates filled in, as variables, settings and lines to paste."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from dragoman.adapters.connect.edits import edited
from dragoman.adapters.connect.tools import KEY_VARIABLE, Settings, Steps, Tool, ToolFile

_IN_SHELL: Final = f"${{{KEY_VARIABLE}}}"


@attrs.frozen
class Told:
    """What a tool is told.

    Attributes:
        url: Where the gateway is, without a slash at the end.
        key: The client key; None where it is only referred to.
        model: The model to ask for; empty for the tool's own choice.
        models: Names that may be asked for, for tools that have to know.

    """

    url: str
    key: str | None = attrs.field(default=None, repr=False)
    model: str = ""
    models: tuple[str, ...] = ()

    def fill(self, template: str) -> str | None:
        """Fill in a template; None where something for it is missing."""
        if "{model}" in template and not self.model:
            return None
        if "{key}" in template and self.key is None:
            return None
        filled = template.replace("{url}", self.url).replace("{model}", self.model)
        return filled.replace("{key}", self.key or "")


def variables(tool: Tool, told: Told) -> dict[str, str]:
    """The environment that a tool needs."""
    filled = {name: told.fill(template) for name, template in tool.variables}
    return {name: value for name, value in filled.items() if value is not None}


def settings(file: ToolFile, told: Told) -> dict[Steps, Any]:
    """What is put into a file, by path."""
    wanted: Settings = (*file.settings, *(file.by_reference if told.key is None else file.by_value))
    found: dict[Steps, Any] = {}
    for steps, template in wanted:
        value = told.fill(template)
        if value is not None:
            found[steps] = value
    if file.path.endswith("opencode.json"):
        for name in dict.fromkeys((*((told.model,) if told.model else ()), *told.models)):
            found["provider", "dragoman", "models", name] = {}
    return found


def locate(file: ToolFile, environment: Mapping[str, str]) -> Path:
    """Where a file of a tool is for this user."""
    home = environment.get("HOME") or os.path.expanduser("~")
    first, *rest = Path(file.path.removeprefix("~/")).parts
    moved = environment.get(file.moved_by, "") if file.moved_by else ""
    if not moved:
        path = Path(home, first, *rest)
    elif file.moved_by == "GEMINI_CLI_HOME":  # it takes the place of the home, not of the folder within
        path = Path(moved, first, *rest)
    else:
        path = Path(moved, *rest)
    return next((rival for name in file.rivals if (rival := path.with_name(name)).exists()), path)


def shell_lines(tool: Tool, told: Told) -> list[str]:
    """``export`` lines for a shell; the key stands there as a reference unless it is told."""
    lines = []
    for name, template in tool.variables:
        if told.key is None and "{key}" in template:
            if name != KEY_VARIABLE:
                lines.append(f'export {name}="{template.replace("{key}", _IN_SHELL)}"')
        elif (value := told.fill(template)) is not None:
            lines.append(f"export {name}={shlex.quote(value)}")
    return lines


def unset_lines(tool: Tool, environment: Mapping[str, str]) -> list[str]:
    """Lines that take away what would lead the tool elsewhere, of what is there."""
    return [f"unset {name}" for name in tool.clears if name in environment]


def snippet(file: ToolFile, told: Told) -> str:
    """What a file of a tool would hold if nothing else were in it."""
    return edited("", file.form, settings(file, told))


def arguments(tool: Tool, told: Told) -> list[str]:
    """What a tool is started with: pairs of an option and its value, those left out for which something is missing."""
    pairs: Iterable[Sequence[str]] = zip(tool.arguments[::2], tool.arguments[1::2], strict=True)
    return [part for option, value in pairs if (filled := told.fill(value)) is not None for part in (option, filled)]
