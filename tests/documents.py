"""The documents as scripts: their commands run in order in one shell, and what they say comes out has to come out.

In a document, ``sh`` and ``python`` blocks are run. A block of ``output`` behind one holds lines that its output contains in that order; so
does a file's text (``json``, ``toml``, ``yaml``, ``text``) behind a block that shows the file. ``console`` blocks start somebody's program:
they are run where the programs are there.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN: Final = ("output", "json", "toml", "yaml", "text")
_MARK: Final = "-- end of block --"


@attrs.frozen
class Block:
    """A fenced block.

    Attributes:
        kind: What stands behind the fence.
        text: What is in it.
        expected: Lines that come out, where it is run.

    """

    kind: str
    text: str
    expected: tuple[str, ...] = ()


def blocks_of(text: str) -> list[Block]:
    """The blocks of a document that are run, with what has to come out of them."""
    found: list[Block] = []
    follows = False
    for kind, content in _FENCE.findall(text):
        if kind in _SHOWN:
            assert follows, f"nothing before this is run:\n{content}"
            found[-1] = attrs.evolve(found[-1], expected=(*found[-1].expected, *filter(None, content.splitlines())))
        else:
            assert kind in ("sh", "python", "console"), kind
            found.append(Block(kind, content))
            follows = True
    return found


def run_document(
    path: Path,
    folder: Path,
    environment: Mapping[str, str],
    replaced: Mapping[str, str],
    *,
    python: str,
    with_console: bool,
) -> list[str]:
    """Run what a document says; gives the output of each block that was run.

    Raises:
        AssertionError: A command failed, or did not say what the document says it does.

    """
    text = path.read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    blocks = [block for block in blocks_of(text) if with_console or block.kind != "console"]
    script = "set -euo pipefail\n" + "".join(_lines(block, python) for block in blocks)
    ended = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    outputs = ended.stdout.split(_MARK + "\n")
    assert ended.returncode == 0, (
        f"{path.name}, block {len(outputs)}:\n{blocks[len(outputs) - 1].text}\n{outputs[-1]}\n{ended.stderr}"
    )
    for block, output in zip(blocks, outputs, strict=False):
        _check(block, output)
    return outputs[:-1]


def _lines(block: Block, python: str) -> str:
    text = f"{python} <<'END-OF-PYTHON'\n{block.text}END-OF-PYTHON\n" if block.kind == "python" else block.text
    return f"{text}\necho; echo '{_MARK}'\n"


def _check(block: Block, output: str) -> None:
    rest: Sequence[str] = output.splitlines()
    for line in block.expected:
        at = next((n for n, one in enumerate(rest) if line in one), None)
        assert at is not None, f"{line!r} does not come out of\n{block.text}\nbut:\n{output}"
        rest = rest[at:]
