"""``dragoman models``: what can be asked for, and who would answer."""

import os
from pathlib import Path

import attrs
import click
import orjson

from dragoman.adapters.chance import draw
from dragoman.adapters.cli.options import config_option, end_with
from dragoman.adapters.clock import Clock
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.planning import Plan, find_config, plan_serving, with_demo
from dragoman.core.routing.router import Candidate, Explanation, Router


@click.command("models")
@config_option
@click.option("--explain", "name", metavar="NAME", help="Say who would be asked for NAME, and why others would not.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(config_path: Path | None, name: str | None, as_json: bool) -> None:
    """List what can be asked for, as the configuration has it, or explain one name.

    A running gateway may know more names, of providers whose models the configuration does not list. Cooldowns are those in the state file.
    Ends with 1 when nobody would be asked for NAME.
    """
    try:
        plan = plan_serving(find_config(config_path, os.environ, Path()), os.environ)
    except ConfigFileError as error:
        raise end_with(error) from None
    now = Clock().now()
    config = with_demo(plan.config, "http://127.0.0.1") if plan.is_demo else plan.config
    router = Router(config, "dragoman", draw=draw, now=now)
    if name is None:
        cards = router.models()
        shown = [{"id": card.id, "provider": card.owned_by} for card in cards]
        click.echo(orjson.dumps(shown) if as_json else "\n".join(printable(f"{c.id}  ({c.owned_by})") for c in cards))
        return
    _restore(router, plan, now)
    found = router.explain(name, now)
    click.echo(orjson.dumps(attrs.asdict(found)) if as_json else explained(found))
    if all(candidate.why_not for candidate in found.candidates):
        raise SystemExit(1)


def _restore(router: Router, plan: Plan, now: float) -> None:
    if plan.state_file is None:
        return
    from dragoman.adapters.storage.sqlite import StateFileError, peek, saved_by

    try:
        records = peek(plan.state_file)
    except StateFileError as error:
        click.echo(f"warning: {printable(str(error))}; cooldowns are not known", err=True)
        return
    router.restore(saved_by(records), now, with_states=plan.config.save_cooldown_status)


def explained(found: Explanation) -> str:
    """An explanation as lines for people: steps, who is asked in order, who is not and why."""
    asked = [candidate for candidate in found.candidates if not candidate.why_not]
    lines = [f"{found.name}:", *(f"  {step}" for step in found.steps)]
    lines += [f"  {i}. {_who(candidate)}" for i, candidate in enumerate(asked, 1)]
    lines += [f"  -  {_who(one)}: {one.why_not}" for one in found.candidates if one.why_not]
    return "\n".join(map(printable, lines))


def _who(candidate: Candidate) -> str:
    who = "/".join(filter(None, (candidate.provider, candidate.credential)))
    notes = f"priority {candidate.priority}, weight {candidate.weight}" if candidate.credential else ""
    notes += ", little of its quota is left" if candidate.is_reserved else ""
    return f"{who} as {candidate.upstream_model}" + (f" ({notes})" if notes else "")
