"""The shell commands of a runbook, as a person would copy them: fenced blocks of ``bash``, and code within a line that begins with a program."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

PROGRAMS: Final = ("curl", "jq", "rg", "diff", "apprise", "dragoman")
NEEDED: Final = ("bash", "curl", "jq", "rg", "diff", "sed")
RAN: Final[list[str]] = []  # every command that was typed and came to what it should, for the summary
PATIENCE: Final = 60  # seconds; only a failure ever takes this long

_HEADING = re.compile(r"#+ (.+)")
_FENCE = re.compile(r"\s*```(\w*)\s*")
_INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`")


@attrs.frozen
class Command:
    """One thing to type.

    Attributes:
        heading: Of the part of the runbook it stands in.
        text: As written.

    """

    heading: str
    text: str


@attrs.frozen
class Ran:
    """What came of it."""

    text: str
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed, without empty lines."""
        return [line for line in self.out.splitlines() if line.strip()]


def read_commands(markdown: str) -> list[Command]:
    r"""All commands, in order; a fenced block is one.

    >>> read_commands("## A\n- look: `curl -s x | jq`, not `this`\n```bash\nB=1\ncurl $B\n```\n")
    [Command(heading='A', text='curl -s x | jq'), Command(heading='A', text='B=1\ncurl $B')]
    """
    found: list[Command] = []
    heading = ""
    block: list[str] | None = None
    is_shell = False
    for line in markdown.splitlines():
        fence = _FENCE.fullmatch(line)
        if fence is not None and block is None:
            block, is_shell = [], fence[1] == "bash"
        elif fence is not None and block is not None:
            if is_shell:
                found.append(Command(heading, "\n".join(block)))
            block = None
        elif block is not None:
            block.append(line.strip())
        elif (titled := _HEADING.fullmatch(line)) is not None:
            heading = titled[1]
        else:
            found += [Command(heading, span) for span in _INLINE.findall(line)]
    return found


def run(command: Command, folder: Path, fill: Mapping[str, str], path: Sequence[Path] = ()) -> Ran:
    """Type it, in `folder`.

    Args:
        command: What to type.
        folder: Where.
        fill: Placeholder -> what is put in its place; nothing else is changed.
        path: Folders to look for programs in, before the usual ones.

    """
    text = command.text
    for placeholder, value in fill.items():
        text = text.replace(placeholder, value)
    prefix = f"export PATH={shlex.quote(':'.join(map(str, path)))}:$PATH\n" if path else ""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{prefix}{text}"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(text, done.returncode, done.stdout, done.stderr)
