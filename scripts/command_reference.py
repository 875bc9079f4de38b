"""Writes docs/reference/commands.md from the commands: ``python scripts/command_reference.py``; with ``--check`` it only compares.

The page is never edited by hand: what ``--help`` says and what the page says cannot disagree.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dragoman.adapters.cli import dragoman  # noqa: E402 - the path comes first

PAGE = ROOT / "docs" / "reference" / "commands.md"

FRONT = """\
# Commands

<!-- Made by scripts/command_reference.py from the commands themselves; do not edit. -->

`dragoman COMMAND --help` says the same. Wherever a configuration is read, it is the file of `--config`, else the one that `$DRAGOMAN_CONFIG`
names, else `config.yaml` in the folder that the command is started in. A wrong option ends with 2.

| command | |
|---|---|
"""


def page() -> str:
    """The whole page."""
    context = click.Context(dragoman, info_name="dragoman")
    found = list(_commands(dragoman, context))
    lines = [
        f"| [`{path}`](#{path.replace(' ', '-')}) | {_cell(command.get_short_help_str(200))} |"
        for path, command, _ in found
    ]
    return FRONT + "\n".join(lines) + "\n" + "".join(_section(*one) for one in found)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield inner.command_path, command, inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(path: str, command: click.Command, context: click.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    text = f"\n## {path}\n\n```text\n{path} {usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n"
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        text += "\n| option | |\n|---|---|\n" + "\n".join(rows) + "\n"
    return text


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or "--help" in parameter.opts:
        return None
    return f"| `{record[0].replace('|', chr(92) + '|')}` | {_cell(record[1])} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write the page, or compare."""
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, encoding="utf-8", newline="\n")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        sys.exit("docs/reference/commands.md is not what the commands say: run python scripts/command_reference.py")


if __name__ == "__main__":
    main()
