"""The command line, one file per command.

Lives here: reading options, showing results. May not live here: anything another program would want to call.
A command's file is imported when the command is run: ``dragoman --version`` loads no YAML, ``dragoman check`` no event loop.
"""

import gc
import importlib
from types import MappingProxyType
from typing import Final, NoReturn

import click

from dragoman import __version__

#: Commands, with what ``--help`` says of them; each is the attribute `command` of the module of its name.
COMMANDS: Final = MappingProxyType(
    {
        "serve": "Serve the gateway.",
        "check": "Check the configuration and show what would be served.",
        "models": "List what can be asked for, and explain who would answer.",
        "logs": "Show the log, also while it is written.",
        "usage": "Sum up what exchanges used and cost.",
        "init": "Write a commented configuration to start from.",
        "notify": "Check who is told of alerts.",
        "canary": "Run a canary now.",
        "connect": "Show or write what points a tool at this gateway.",
        "run": "Start a tool so that it talks to this gateway.",
        "doctor": "Look whether all is well, and say what to mend.",
        "status": "Show how a running gateway does.",
        "top": "Watch a running gateway.",
        "translate": "Translate a request or an answer from one dialect to another.",
        "simulate": "Simulate a gateway with faults, and check its laws.",
    }
)


class LazyCommands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"dragoman.adapters.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command("dragoman", cls=LazyCommands)
@click.version_option(__version__, prog_name="dragoman")
def dragoman() -> None:
    """One door to every model API."""


def main() -> NoReturn:
    """Run the command ``dragoman``.

    What modules make while they are loaded, some 60,000 objects, is no garbage: looking through it eighty times costs a tenth of a start.
    """
    gc.set_threshold(100_000, 20, 20)
    dragoman(prog_name="dragoman")
    raise AssertionError("click ends the process")
