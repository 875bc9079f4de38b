"""``dragoman connect``: what a tool has to be told to talk to this gateway, or telling it so in its own files."""

import os
from pathlib import Path
from typing import Any

import attrs
import click
import orjson

from dragoman.adapters.cli.options import place_options
from dragoman.adapters.config_file import printable
from dragoman.adapters.connect.edits import EditError, edited
from dragoman.adapters.connect.models import known_models
from dragoman.adapters.connect.telling import Told, locate, settings, shell_lines, snippet, unset_lines, variables
from dragoman.adapters.connect.tool_files import ToolFileError, take_back, write
from dragoman.adapters.connect.tools import ALIASES, KEY_VARIABLE, TOOLS, Tool, ToolFile
from dragoman.adapters.gateway_place import Place, PlaceError, find_place

_NAMES = [*TOOLS, *ALIASES]


@click.command("connect")
@click.argument("name", metavar="TOOL", type=click.Choice(_NAMES))
@click.option("--model", default="", metavar="NAME", help="The model that the tool is to ask for; else its own choice.")
@click.option(
    "--write", "does_write", is_flag=True, help="Put it into the tool's own file, keeping a copy of what was."
)
@click.option("--undo", "does_undo", is_flag=True, help="Make the tool's file what it was before --write.")
@click.option(
    "--show-key", is_flag=True, help=f"Show or write the client key itself, not a reference to ${KEY_VARIABLE}."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@place_options
def command(
    name: str,
    model: str,
    does_write: bool,
    does_undo: bool,
    show_key: bool,
    as_json: bool,
    url: str | None,
    key_name: str | None,
    config_path: Path | None,
) -> None:
    """Show the lines that point TOOL at this gateway; with --write, put them into its file.

    TOOL is claude-code, codex, gemini, opencode, aider, amp, openai, anthropic or google-genai. The client key is not shown and not
    written unless --show-key says so: what stands there refers to the variable DRAGOMAN_CLIENT_KEY.
    `dragoman run TOOL` starts a tool without any of this.
    """
    tool = TOOLS[ALIASES.get(name, name)]
    if does_write and does_undo:
        raise click.UsageError("--write or --undo, not both.")
    if (does_write or does_undo) and not tool.files:
        raise click.ClickException(
            f"{tool.title} has no file for this: it reads the environment (dragoman connect {name})"
        )
    if does_undo:
        _undo(tool)
        return
    try:
        place = find_place(url=url, key_name=key_name, config_path=config_path)
        told = _told(tool, place, model, with_key=show_key)
    except PlaceError as error:
        raise click.ClickException(printable(str(error))) from None
    if does_write:
        _write(tool, told)
    elif as_json:
        click.echo(orjson.dumps(_as_json(tool, told), option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n".join(_lines(tool, told)))


def _told(tool: Tool, place: Place, model: str, *, with_key: bool) -> Told:
    if with_key and place.key is None:
        raise PlaceError(f"no client key is known: put it into ${KEY_VARIABLE}, or name a configuration with --config")
    models = known_models(place) if tool.needs_model and not model else ()
    if tool.needs_model and not model and not models:
        raise PlaceError(
            f"{tool.title} has to be told the models' names and none is known here: say --model NAME, start the gateway "
            "or name a configuration with --config"
        )
    return Told(place.url, place.key if with_key else None, model, models)


def _lines(tool: Tool, told: Told) -> list[str]:
    lines = [f"# {tool.title} -> {told.url}"]
    if told.key is None:
        lines.append(f"# The client key is expected in ${KEY_VARIABLE} (--show-key puts it in here).")
    if tool.note:
        lines.append(f"# {tool.note}")
    lines += unset_lines(tool, os.environ)
    lines += shell_lines(tool, told)
    files = tool.files if tool.arguments or tool.needs_model else ()  # the others' variables say it all
    for file in files:
        lines += [
            "",
            f"# in {_shown(locate(file, os.environ))}:",
            snippet(file, attrs.evolve(told, key=None)).rstrip("\n"),
        ]
    if tool.files:
        where = " and ".join(_shown(locate(file, os.environ)) for file in tool.files)
        lines += ["", f"# `dragoman connect {tool.name} --write` puts it into {where}, --undo takes it back."]
    return lines


def _as_json(tool: Tool, told: Told) -> dict[str, Any]:
    files = [
        {"path": str(locate(file, os.environ)), "format": file.form, "content": snippet(file, told)}
        for file in tool.files
    ]
    return {
        "tool": tool.name,
        "url": told.url,
        "environment": variables(tool, told),
        "unset": list(tool.clears),
        "files": files,
    }


def _write(tool: Tool, told: Told) -> None:
    for file in tool.files:
        path = locate(file, os.environ)
        if not (wanted := settings(file, told)):
            continue

        def edit(text: str, file: ToolFile = file, wanted: dict[tuple[str, ...], Any] = wanted) -> str:
            return edited(text, file.form, wanted)

        try:
            has_changed = write(path, edit, has_secret=told.key is not None and bool(file.by_value))
        except (ToolFileError, EditError) as error:
            text = str(error) if isinstance(error, ToolFileError) else f"{path}: {error}; it is left as it is"
            raise click.ClickException(printable(text)) from None
        click.echo(f"wrote {_shown(path)}" if has_changed else f"{_shown(path)} says so already")
    if told.key is None:
        _say_of_key(tool)
    click.echo(f"`dragoman connect {tool.name} --undo` takes it back.")


def _say_of_key(tool: Tool) -> None:
    names = [name for name, template in tool.variables if "{key}" in template]
    if any(file.by_reference for file in tool.files):
        names = [KEY_VARIABLE]
    click.echo(
        f"The client key is not in it: {tool.title} reads it from ${names[0]}, so export that (or say --show-key)."
    )


def _undo(tool: Tool) -> None:
    failures = []
    for file in reversed(tool.files):
        try:
            click.echo(f"{_shown(take_back(locate(file, os.environ)))} is as it was")
        except ToolFileError as error:
            failures.append(str(error))
    for failure in failures:
        click.echo(f"Error: {printable(failure)}", err=True)
    if failures:
        raise SystemExit(1)


def _shown(path: Path) -> str:
    return printable(str(path))
