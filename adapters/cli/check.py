"""``dragoman check``: is the configuration right, and what would be served?"""

import os
from pathlib import Path

import click

from dragoman.adapters.cli.options import config_option
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.greeting import summary
from dragoman.adapters.planning import find_config, plan_serving
from dragoman.core.routing.catalog import Catalog


@click.command("check")
@config_option
def command(config_path: Path | None) -> None:
    """Check the configuration and show what would be served, without serving it.

    Ends with 0 if it can be served, with 1 and a line for each mistake if not.
    """
    try:
        plan = plan_serving(find_config(config_path, os.environ, Path()), os.environ)
    except ConfigFileError as error:
        for line in error.lines:
            click.echo(line, err=True)
        count = len(error.lines)
        click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'}; nothing can be served", err=True)
        raise SystemExit(1) from None
    for notice in plan.notices:
        click.echo(f"warning: {notice}", err=True)
    for collision in Catalog(plan.config, "dragoman").collisions:
        click.echo(f"warning: {printable(collision.message)}", err=True)
    click.echo(summary(plan))
