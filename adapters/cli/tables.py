"""Tables for people on a terminal, the same as plain text with tabs for pipes. Rich is loaded for a terminal only."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import click

from dragoman.adapters.config_file import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

#: Colours of words that say how something is.
STYLES: Final[Mapping[str, str]] = {
    "ok": "green", "active": "green", "note": "cyan", "unknown": "yellow", "cooling": "yellow", "exhausted": "yellow", "problem": "bold red",
    "rejected": "bold red", "disabled": "dim",
}  # fmt: skip


@attrs.frozen
class Table:
    """Rows under columns.

    Attributes:
        title: What it shows.
        columns: Names; one that begins with ``>`` is of numbers.
        rows: Texts.
        note: What is said in place of no rows.

    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""


def is_terminal() -> bool:
    """Whether a person sees what is printed."""
    return sys.stdout.isatty()


def show(*tables: Table) -> None:
    """Print tables."""
    if is_terminal():
        from rich.console import Console

        console = Console()
        for table in tables:
            console.print(drawn(table))
        return
    click.echo("\n\n".join(plain(table) for table in tables))


def plain(table: Table) -> str:
    """A table as lines with tabs: easy for `cut` and `awk`."""
    names = "\t".join(name.lstrip(">") for name in table.columns)
    rows = ["\t".join(map(printable, row)) for row in table.rows]
    return "\n".join([names, *rows] if rows else [table.note or names])


def drawn(table: Table) -> "RichTable":
    """A table as rich draws it."""
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        title=table.title, title_justify="left", title_style="bold", caption=None if table.rows else table.note
    )
    for name in table.columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(printable(text), style=STYLES.get(text, "")) for text in row))
    return made
