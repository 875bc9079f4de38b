"""``dragoman logs``: the log on disk, shown and followed."""

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from dragoman.adapters.cli.options import config_option, end_with
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.log_files import LEVELS, Follower, chooser, files_of, read_log
from dragoman.adapters.planning import find_config, plan_serving

_OFTEN: Final = 0.2  # seconds between looks


@click.command("logs")
@config_option
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="The folder of logs, whatever a configuration says."
)
@click.option("-n", "--lines", "count", type=click.IntRange(0), default=100, show_default=True, help="Last lines.")
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with what is written from now on.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Lines at least as bad as that.")
@click.option("--grep", "pattern", default="", metavar="REGEX", help="Lines in which that is found.")
def command(
    config_path: Path | None, folder: Path | None, count: int, is_followed: bool, level: str, pattern: str
) -> None:
    """Show the last lines of the log that `logging-to-file` writes.

    Ends with 1 when there is no log.
    """
    try:
        chosen = chooser(level, pattern)
    except ValueError as error:
        raise click.UsageError(f"--grep: {error}") from None
    folder = folder or _folder(config_path)
    if not files_of(folder) and not is_followed:
        name = printable(str(folder))
        click.echo(f"there is no log in {name}; a gateway writes one with `logging-to-file: true`", err=True)
        raise SystemExit(1)
    # Followed from before what is there is read: a line in between is shown twice rather than not at all.
    follower = Follower(folder) if is_followed else None
    for line in read_log(folder, limit=count, chosen=chosen).lines:
        click.echo(printable(line))
    if follower is not None:
        with closing(follower):
            for line in filter(chosen, follower.lines(lambda: time.sleep(_OFTEN))):
                click.echo(printable(line))


def _folder(config_path: Path | None) -> Path:
    try:
        return Path(plan_serving(find_config(config_path, os.environ, Path()), os.environ).config.log_files.folder)
    except ConfigFileError as error:
        raise end_with(error) from None
