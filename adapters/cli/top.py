"""``dragoman top``: how a running gateway does, again and again."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.adapters.cli.options import place_options
from dragoman.adapters.cli.status_tables import headline, tables
from dragoman.adapters.cli.tables import drawn, is_terminal, plain
from dragoman.adapters.config_file import printable
from dragoman.adapters.gateway_place import Place, PlaceError, find_place
from dragoman.adapters.running import Seen, look, management_key

if TYPE_CHECKING:
    from rich.console import Group


@click.command("top")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--count", type=click.IntRange(1), help="How many looks; else until Ctrl-C. When piped: 1.")
@place_options
def command(
    interval: float, count: int | None, url: str | None, key_name: str | None, config_path: Path | None
) -> None:
    """Watch a running gateway: providers, credentials, quotas, requests in flight. Ctrl-C ends it.

    Credentials are shown to who has the management key: $DRAGOMAN_MANAGEMENT_KEY, or the configuration's. Ends with 2 when the gateway does not
    answer at first; later it is waited for.
    """
    try:
        place = find_place(url=url, key_name=key_name, config_path=config_path)
    except PlaceError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(2) from None
    key = management_key(place, os.environ)
    seen = look(place, key)
    if seen.fault:
        click.echo(f"Error: no answer from the gateway at {place.url}: {printable(seen.fault)}", err=True)
        raise SystemExit(2)
    try:
        if is_terminal():
            _live(place, key, seen, interval, count)
        else:
            _piped(place, key, seen, interval, count or 1)
    except KeyboardInterrupt:
        pass  # which is how one ends it


def _live(place: Place, key: str, seen: Seen, interval: float, count: int | None) -> None:
    from rich.live import Live

    with Live(_view(seen, place), screen=True, auto_refresh=False) as live:
        while count is None or (count := count - 1):
            time.sleep(interval)
            live.update(_view(look(place, key), place), refresh=True)


def _view(seen: Seen, place: Place) -> "Group":
    from rich.console import Group
    from rich.text import Text

    if seen.fault:
        return Group(
            Text(f"{place.url} does not answer: {printable(seen.fault)}", style="bold red"),
            Text("waiting; Ctrl-C ends"),
        )
    line = Text(printable(headline(seen, place.url)), style="bold")
    return Group(line, *map(drawn, tables(seen)), Text("Ctrl-C ends", style="dim"))


def _piped(place: Place, key: str, seen: Seen, interval: float, count: int) -> None:
    for n in range(count):
        if n:
            time.sleep(interval)
            seen = look(place, key)
        click.echo(printable(f"{place.url}: {seen.fault}" if seen.fault else headline(seen, place.url)))
        if not seen.fault:
            click.echo("\n\n".join(map(plain, tables(seen))))
