"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from dragoman.adapters.config_file import ConfigFileError

_Command = TypeVar("_Command", bound=Callable[..., Any])

CONFIG_HELP: Final = "Configuration file; else $DRAGOMAN_CONFIG, else ./config.yaml if there is one."


def config_option(command: _Command) -> _Command:
    """``--config FILE``."""
    return click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", help=CONFIG_HELP)(
        command
    )


def place_options(command: _Command) -> _Command:
    """``--url``, ``--key-name`` and ``--config``: which gateway, with which client key."""
    for option in (
        click.option(
            "--key-name",
            metavar="NAME",
            help="Which client key of the configuration; else $DRAGOMAN_CLIENT_KEY, else the first.",
        ),
        click.option(
            "--url", metavar="URL", help="Where the gateway is; else $DRAGOMAN_URL, else what the configuration says."
        ),
    ):
        command = option(command)
    return config_option(command)


def end_with(error: ConfigFileError, code: int = 1) -> SystemExit:
    """Show every mistake of a configuration; gives what to raise."""
    for line in error.lines:
        click.echo(line, err=True)
    return SystemExit(code)
