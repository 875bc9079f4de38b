"""``dragoman serve``: the gateway itself."""

import os
from pathlib import Path

import click

from dragoman.adapters.assembly import serve
from dragoman.adapters.cli.options import config_option, end_with
from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.greeting import greeting
from dragoman.adapters.planning import TRANSPORTS, Overrides, find_config, plan_serving
from dragoman.core.config_parsing import LOG_FORMATS
from dragoman.transports.listeners import ListenError


@click.command("serve")
@config_option
@click.option("--transport", type=click.Choice(TRANSPORTS), default="trio", show_default=True, help="Event loop.")
@click.option("--host", help='Address to listen on, "" for all interfaces; overrides the configuration.')
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for any free one; overrides the configuration.")
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="Form of log lines; overrides the configuration.")
def command(
    config_path: Path | None, transport: str, host: str | None, port: int | None, log_format: str | None
) -> None:
    """Serve the gateway.

    Without a configuration file, the providers whose keys are in the environment (OPENAI_API_KEY, ...) are served; without those,
    a built-in demo provider. A client key is made then and shown once.
    """
    try:
        path = find_config(config_path, os.environ, Path())
        plan = plan_serving(path, os.environ, Overrides(host, port, log_format, transport))
    except ConfigFileError as error:
        raise end_with(error) from None
    for notice in plan.notices:
        click.echo(f"warning: {notice}", err=True)
    try:
        serve(plan, lambda bound: click.echo(greeting(plan, bound)))
    except ListenError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
