"""``dragoman run``: a tool that talks to this gateway, for this once."""

import os
from pathlib import Path

import click

from dragoman.adapters.cli.options import place_options
from dragoman.adapters.config_file import printable
from dragoman.adapters.connect.models import known_models
from dragoman.adapters.connect.starting import StartError, check_gateway, find_program, overriders, start
from dragoman.adapters.connect.telling import Told
from dragoman.adapters.connect.tools import ALIASES, KEY_VARIABLE, TOOLS
from dragoman.adapters.gateway_place import PlaceError, find_place, is_open

_PROGRAMS = [name for name, tool in TOOLS.items() if tool.program]
_NAMES = [*_PROGRAMS, *(alias for alias, name in ALIASES.items() if name in _PROGRAMS)]


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", metavar="TOOL", type=click.Choice(_NAMES))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--model", default="", metavar="NAME", help="The model that the tool is to ask for; else its own choice.")
@place_options
def command(
    name: str, arguments: tuple[str, ...], model: str, url: str | None, key_name: str | None, config_path: Path | None
) -> None:
    """Start TOOL (claude, codex, gemini, opencode, aider, amp) so that it talks to this gateway, and write nothing anywhere.

    What comes after TOOL is the tool's own. Ends with the tool's exit code; with 127 when the tool is not installed, and with 125,
    before it is started, when the gateway does not answer or refuses the client key.
    """
    tool = TOOLS[ALIASES.get(name, name)]
    try:
        find_program(tool, os.environ)
        place = find_place(url=url, key_name=key_name, config_path=config_path)
        if place.key is None and not (place.plan is not None and is_open(place.plan.config)):
            raise StartError(
                f"no client key is known: put it into ${KEY_VARIABLE}, or name a configuration with --config"
            )
        key = place.key or "none"  # an open gateway takes anything, and tools insist on something
        models = known_models(place) if tool.needs_model else ()
        told = Told(place.url, key, model, models)
        check_gateway(tool, told, place.trust)
        for variable in overriders(tool, told, os.environ):
            click.echo(f"warning: {tool.title}'s own settings.json sets {variable}, which wins over this", err=True)
        start(tool, told, arguments, os.environ)
    except (PlaceError, StartError) as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(error.code if isinstance(error, StartError) else 125) from None
