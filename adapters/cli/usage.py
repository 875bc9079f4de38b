"""``dragoman usage``: sums of the usage ledger, as a table, CSV or JSON."""

import csv
import io
import os
import sys
from pathlib import Path
from typing import Final

import click
import orjson

from dragoman.adapters.cli.options import config_option, end_with
from dragoman.adapters.clock import Clock
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.planning import find_config, plan_serving, usage_path
from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage import (
    GROUPS,
    UsageReport,
    UsageSums,
    parse_usage_query,
    read_usage,
    report_values,
    values_of,
)
from dragoman.core.ledger import money

_WIDE: Final = 10_000  # columns of what is no terminal: nothing is wrapped
#: Columns of the table; those in brackets are shown when there is something to see.
_COLUMNS: Final = (
    "requests", "failed", "input", "output", "(cache read)", "(cache write)", "(reasoning)", "total", "(not counted)", "cost", "(no price)", "ms",
)  # fmt: skip


@click.command("usage")
@config_option
@click.option(
    "--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="The ledger, whatever a configuration says."
)
@click.option(
    "--by",
    default="model",
    show_default=True,
    metavar="NAMES",
    help=f"Groups, with commas between them: {', '.join(GROUPS)}; '' for none.",
)
@click.option(
    "--since", default="", metavar="WHEN", help="How long ago, like 7d or 12h, or a date like 2026-01-31 (UTC)."
)
@click.option("--until", default="", metavar="WHEN", help="The same.")
@click.option("--provider", default="", help="Only what this provider answered.")
@click.option("--model", default="", help="Only what this model was asked for.")
@click.option("--upstream-model", default="", help="Only what this upstream model answered.")
@click.option("--credential", default="", help="Only what was asked with this credential.")
@click.option("--client-key", default="", help="Only what this client key asked for.")
@click.option("--dialect", default="", help="Only what was asked in this dialect.")
@click.option("--status", default="", help="Only what ended with this HTTP status.")
@click.option("--fault", default="", help="Only what failed by fault of client, gateway or provider.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How it is shown.",
)
def command(
    config_path: Path | None, file: Path | None, by: str, since: str, until: str, form: str, **filters: str
) -> None:
    """Sum up what exchanges used and cost: tokens by kind, from the usage ledger.

    A running gateway is not asked, and not disturbed. Ends with 1 when there is no ledger, or it cannot be read; with 2 when the question is not
    understood.
    """
    try:
        query = parse_usage_query(by, since, until, filters, Clock().now())
    except ValueError as error:
        raise click.UsageError(f"--{error}" if not str(error).startswith("'") else str(error)) from None
    path = file or _ledger(config_path)
    if not path.exists():
        click.echo(
            f"there is no usage ledger at {printable(str(path))} yet; a gateway begins one when it starts", err=True
        )
        raise SystemExit(1)
    try:
        report = read_usage(path, query)
    except StorageError as error:
        click.echo(printable(str(error)), err=True)
        raise SystemExit(1) from None
    if form == "json":
        click.echo(orjson.dumps(report_values(report)))
    elif form == "csv":
        click.echo(as_csv(report), nl=False)
    else:
        _show(report)


def _ledger(config_path: Path | None) -> Path:
    try:
        plan = plan_serving(find_config(config_path, os.environ, Path()), os.environ)
    except ConfigFileError as error:
        raise end_with(error) from None
    path = usage_path(plan.config, os.environ)
    if path is None:
        click.echo(
            "no usage ledger is kept: `usage.enabled` is false, or its file or that of the state is `none`", err=True
        )
        raise SystemExit(1)
    return path


def as_csv(report: UsageReport) -> str:
    """A line of names and one for each group; nothing where nobody knows."""
    out = io.StringIO()
    by = report.query.by
    names = [name.replace("-", "_") for name in by] + [*values_of(report.total)]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for sums in report.rows if by else (report.total,):
        cost = None if sums.cost is None else money(sums.cost)
        writer.writerow({name: _safe(value) for name, value in {**values_of(sums, by), "cost": cost}.items()})
    return out.getvalue()


def _safe(value: object) -> object:
    """A name, which a client may have chosen, as what no spreadsheet takes for a formula and no terminal for an order."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value[:1] in tuple("=+-@\t\r") else value)


def _show(report: UsageReport) -> None:
    """A table; on a terminal with lines and colours, else with nothing but columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = (
        Console(highlight=False)
        if is_terminal
        else Console(width=_WIDE, no_color=True, highlight=False, force_terminal=False)
    )
    rows = [(row.keys, cells(row)) for row in report.rows]
    rows.append((("total",) + ("",) * (len(report.query.by) - 1) if report.query.by else (), cells(report.total)))
    shown = [n for n, name in enumerate(_COLUMNS) if name[0] != "(" or any(row[n] not in ("0", "-") for _, row in rows)]
    table = Table(box=box.SIMPLE_HEAD if is_terminal else None, header_style="bold", pad_edge=False, show_footer=False)
    for name in report.query.by:
        table.add_column(name, overflow="fold")
    for n in shown:
        table.add_column(_COLUMNS[n].strip("()"), justify="right", no_wrap=True)
    for number, (keys, row) in enumerate(rows):
        if number == len(rows) - 1 and report.rows:
            table.add_section()
        table.add_row(*(Text(printable(key) or "-") for key in keys), *(row[n] for n in shown))
    console.print(table)
    if report.is_cut:
        click.echo(f"there are more groups than these {len(report.rows)}; all are in the total", err=True)
    if report.total.usage_missing or report.total.unpriced:
        click.echo(_incomplete(report.total), err=True)


def cells(sums: UsageSums) -> list[str]:
    """The numbers of a row, in the order of the columns; a dash where nobody knows."""
    whole = (
        sums.requests, sums.failures, sums.input, sums.output, sums.cache_read, sums.cache_write, sums.reasoning, sums.total,
        sums.usage_missing,
    )  # fmt: skip
    texts = ["-" if number is None else f"{number:,}" for number in whole]
    cost = "-" if sums.cost is None else _short(sums.cost)
    return [*texts, cost, f"{sums.unpriced:,}", "-" if sums.latency is None else f"{sums.latency * 1000:,.0f}"]


def _short(cost: int) -> str:
    """A cost with four decimals; what is less but not nothing says so."""
    rounded = f"{round(cost, -8) / 10**12:,.4f}"
    return rounded if float(rounded.replace(",", "")) or not cost else "<0.0001"


def _incomplete(total: UsageSums) -> str:
    said = []
    if total.usage_missing:
        said.append(f"of {total.usage_missing:,} exchanges no provider counted the tokens: they are in no sum")
    if total.unpriced:
        said.append(f"{total.unpriced:,} have tokens without a price (`usage.prices`): they are in no cost")
    return "; ".join(said)
