"""``dragoman doctor``: is all well, with the gateway and with the environment of a client?"""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from dragoman.adapters.cli.options import place_options
from dragoman.adapters.cli.tables import Table, show
from dragoman.adapters.config_file import printable
from dragoman.adapters.doctor.findings import Finding, exit_code
from dragoman.adapters.doctor.of_client import check_client
from dragoman.adapters.gateway_place import DEFAULT_URL, Place, PlaceError, find_place
from dragoman.adapters.planning import find_config


@click.command("doctor")
@click.option(
    "--client", "is_client", is_flag=True, help="Only look whether this shell's variables lead to the gateway."
)
@click.option(
    "--variable",
    "variables",
    multiple=True,
    metavar="NAME",
    help="A variable that must lead to the gateway; may be repeated.",
)
@click.option("--no-network", is_flag=True, help="Ask no provider.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@place_options
def command(
    is_client: bool,
    variables: tuple[str, ...],
    no_network: bool,
    as_json: bool,
    url: str | None,
    key_name: str | None,
    config_path: Path | None,
) -> None:
    """Look at the configuration, permissions, port, credentials, providers and clock, and at a client's variables.

    Ends with 0 when all is well, with 1 when something is to be mended, and with 2 when not everything could be found out. In front of a
    client's launcher, `dragoman doctor --client` fails when OPENAI_BASE_URL and the like do not lead to the gateway.
    """
    if is_client:
        try:
            place = find_place(url=url, key_name=key_name, config_path=config_path)
        except PlaceError as error:
            raise click.ClickException(printable(str(error))) from None
        findings = list(check_client(place.url, os.environ, variables, is_strict=True, trust=place.trust))
    else:
        findings = list(_everything(url, config_path, variables, with_network=not no_network))
    code = exit_code(findings)
    if as_json:
        rows = [
            {
                "check": f.check,
                "subject": f.subject,
                "level": f.level.value,
                "detail": f.detail,
                "advice": f.advice or None,
            }
            for f in findings
        ]
        click.echo(orjson.dumps({"exit_code": code, "findings": rows}, option=orjson.OPT_INDENT_2))
    else:
        show(Table("", ("level", "check", "subject", "found", "advice"), [_row(finding) for finding in findings]))
    raise SystemExit(code)


def _row(finding: Finding) -> tuple[str, ...]:
    return (finding.level.value, finding.check, finding.subject, finding.detail, finding.advice)


def _everything(
    url: str | None, config_path: Path | None, variables: tuple[str, ...], *, with_network: bool
) -> Iterator[Finding]:
    from dragoman.adapters.doctor.of_gateway import (
        check_configuration,
        check_credentials,
        check_permissions,
        check_port,
    )
    from dragoman.adapters.doctor.of_providers import check_providers
    from dragoman.adapters.running import quota_rows

    path = find_config(config_path, os.environ, Path())
    findings, plan = check_configuration(path, os.environ)
    yield from findings
    try:
        place = find_place(url=url, config_path=config_path)
    except PlaceError:
        place = Place(url or DEFAULT_URL)
    if plan is not None:
        yield from check_permissions(path, plan)
    yield check_port(place.url, place.trust)
    if plan is not None:
        yield from check_credentials(quota_rows(place, plan, os.environ))
        if with_network and not plan.is_demo:
            yield from check_providers(plan.config)
    yield from check_client(place.url, os.environ, variables, is_strict=False, trust=place.trust)
