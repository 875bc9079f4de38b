"""``dragoman status``: how a running gateway does, once."""

import os
from pathlib import Path

import click
import orjson

from dragoman.adapters.cli.options import place_options
from dragoman.adapters.cli.status_tables import headline, tables
from dragoman.adapters.cli.tables import show
from dragoman.adapters.config_file import printable
from dragoman.adapters.gateway_place import PlaceError, find_place
from dragoman.adapters.running import Seen, look, management_key


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@place_options
def command(as_json: bool, url: str | None, key_name: str | None, config_path: Path | None) -> None:
    """Show how a running gateway does: health, providers over the last ten minutes, credentials and their quotas.

    Credentials are shown to who has the management key: $DRAGOMAN_MANAGEMENT_KEY, or the configuration's. Ends with 0 when all is well, with 1 when
    a provider has no credential that could be used now, and with 2 when the gateway does not answer.
    """
    try:
        place = find_place(url=url, key_name=key_name, config_path=config_path)
    except PlaceError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(2) from None
    seen = look(place, management_key(place, os.environ))
    if as_json:
        shown = {
            "url": place.url,
            "fault": seen.fault or None,
            "health": seen.health,
            "providers": seen.providers,
            "credentials": seen.credentials,
        }
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    elif seen.fault:
        click.echo(f"Error: no answer from the gateway at {place.url}: {printable(seen.fault)}", err=True)
    else:
        click.echo(printable(headline(seen, place.url)))
        click.echo()
        show(*tables(seen))
    raise SystemExit(2 if seen.fault else int(bool(stranded(seen))))


def stranded(seen: Seen) -> list[str]:
    """Providers that could not be asked now: none of their credentials may be picked."""
    usable = ("active", "half_open", "probing")
    return [
        name
        for name, row in seen.providers.items()
        if (counts := row.get("credentials")) and not any(counts.get(state) for state in usable)
    ]
