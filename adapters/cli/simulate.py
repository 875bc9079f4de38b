"""``dragoman simulate``: a whole gateway in a simulated world, from one seed."""

from collections.abc import Mapping

import click
import orjson

from dragoman.adapters.simulation.faults import FAULTS, parse_faults
from dragoman.adapters.simulation.report import as_data, as_text, command_line
from dragoman.adapters.simulation.scenario import make_scenario
from dragoman.adapters.simulation.world import World


def _read_faults(context: click.Context, option: click.Parameter, text: str) -> tuple[str, Mapping[str, float]]:
    try:
        return text, parse_faults(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("simulate", epilog=f"Faults: {', '.join(FAULTS)}.")
@click.option("--seed", type=int, default=1, show_default=True, help="All that is drawn comes from it.")
@click.option(
    "--exchanges", type=click.IntRange(1), default=10_000, show_default=True, help="Requests that clients send."
)
@click.option("--clients", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many there are.")
@click.option("--providers", type=click.IntRange(1, 100), default=4, show_default=True, help="How many there are.")
@click.option(
    "--faults",
    default="all",
    show_default=True,
    metavar="NAMES",
    callback=_read_faults,
    help="What goes wrong: all, none, or names with commas between them, each with =SHARE or its usual share.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    seed: int, exchanges: int, clients: int, providers: int, faults: tuple[str, Mapping[str, float]], as_json: bool
) -> None:
    """Run a gateway with simulated clients and providers in virtual time, and see whether it keeps its laws.

    No socket is opened and nothing waits. The same options give the same digest, which is one of every byte that anybody got and when.
    Ends with 1 when a law was broken.
    """
    text, shares = faults
    scenario = make_scenario(seed, exchanges=exchanges, clients=clients, providers=providers, faults=shares)
    result = World(scenario).run()
    replay = command_line(seed, exchanges, clients, providers, text)
    click.echo(orjson.dumps(as_data(result, replay)) if as_json else as_text(result, replay))
    if result.broken:
        raise SystemExit(1)
