"""``dragoman canary``: run one now."""

import os
from pathlib import Path

import click

from dragoman.adapters.canaries import run_here, run_through
from dragoman.adapters.cli.options import end_with, place_options
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.gateway_place import PlaceError, find_place
from dragoman.adapters.planning import TRANSPORTS, Plan, find_config, plan_serving
from dragoman.core.canary_specs import CanarySpec


@click.group("canary")
def command() -> None:
    """Small requests that are made now and then to see that all is well: `canaries` of the configuration."""


@command.command("run")
@click.argument("name")
@place_options
@click.option(
    "--transport", type=click.Choice(TRANSPORTS), default="trio", show_default=True, help="Without --url: event loop."
)
def run(name: str, url: str | None, key_name: str | None, config_path: Path | None, transport: str) -> None:
    """Run the canary NAME now: in this process, as the configuration says, or with --url through a gateway that runs.

    Ends with 0 when it passes, with 1 and what is not as it should be when not.
    """
    try:
        plan = plan_serving(find_config(config_path, os.environ, Path()), os.environ)
        spec = _find(plan, name)
        if url is None:
            verdict = run_here(plan, spec, transport)
        else:
            verdict = run_through(find_place(url=url, key_name=key_name, config_path=config_path), spec)
    except ConfigFileError as error:
        raise end_with(error) from None
    except PlaceError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
    if verdict is None:
        click.echo(f"{name}: interrupted", err=True)
        raise SystemExit(1)
    about = f"{spec.kind}, {spec.model}, {verdict.usage.input} tokens in, {verdict.usage.output} out"
    if verdict.is_good:
        click.echo(printable(f"{name}: pass ({about})"))
    else:
        click.echo(printable(f"{name}: {verdict.difference} ({about})"), err=True)
        raise SystemExit(1)


def _find(plan: Plan, name: str) -> CanarySpec:
    for spec in plan.config.canaries:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in plan.config.canaries) or "none"
    click.echo(printable(f"error: there is no canary {name!r} in the configuration; there are: {known}"), err=True)
    raise SystemExit(1)
