"""``dragoman init``: a configuration to start from."""

import shlex
from pathlib import Path

import click

from dragoman.adapters.chance import new_client_key
from dragoman.adapters.config_file import printable
from dragoman.adapters.planning import DEFAULT_CONFIG
from dragoman.adapters.starter_config import write_starter


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG)
def command(path: Path) -> None:
    """Write a commented configuration to PATH (config.yaml), with a fresh client key, readable by you only.

    What is there already is never overwritten.
    """
    if path.is_dir():
        path /= DEFAULT_CONFIG
    name = printable(str(path))
    try:
        write_starter(path, new_client_key())
    except FileExistsError:
        raise click.ClickException(f"{name} exists already and is left as it is; name another file") from None
    except FileNotFoundError:
        raise click.ClickException(f"the folder of {name} does not exist; make it first") from None
    except OSError as error:
        raise click.ClickException(f"{name} cannot be written: {error.strerror}") from None
    shown = "" if path == Path(DEFAULT_CONFIG) else f" --config {shlex.quote(name)}"
    click.echo(f"wrote {name}; its client key is under api-keys. Next: add a provider, then\n  dragoman check{shown}")
