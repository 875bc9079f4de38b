"""The how-to pages and the tutorial, letter for letter but for the port and the key, against a live gateway."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.adapters.connect.tools import TOOLS
from tests.documents import blocks_of, run_document
from tests.end_to_end.processes import ROOT, Gateway, clean_environment, serving

HOW_TO = ROOT / "docs" / "how-to"
#: Those that the overview lists.
PAGES = sorted(
    HOW_TO / name for name in re.findall(r"\]\(([\w-]+\.md)\)", (HOW_TO / "README.md").read_text(encoding="utf-8"))
)
#: A folder with claude, codex, gemini, opencode, aider and amp in it: their commands are run too. Minutes, and not for every machine.
REAL_TOOLS = os.environ.get("DRAGOMAN_REAL_TOOLS", "")

needs_programs = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq"
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serving(tmp_path_factory.mktemp("gateway"), "trio") as running:
        yield running


def run(page: Path, home: Path, gateway: Gateway) -> list[str]:
    program = home / "bin" / "dragoman"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dragoman "$@"\n')
    program.chmod(0o755)
    theirs = {name for tool in TOOLS.values() for name in (*dict(tool.variables), *tool.clears)}
    environment = {name: value for name, value in clean_environment(no_proxy="*").items() if name not in theirs}
    environment |= {
        "HOME": str(home),
        "PATH": ":".join(filter(None, (str(program.parent), REAL_TOOLS, os.environ["PATH"]))),
        "DRAGOMAN_URL": gateway.url,
        "DRAGOMAN_CLIENT_KEY": gateway.key,
        "TERM": "dumb",
    }
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "GEMINI_CLI_HOME"):
        environment.pop(name, None)
    folder = home / "work"
    folder.mkdir()
    replaced = {"http://127.0.0.1:8317": gateway.url, "sk-dragoman-...": gateway.key}
    return run_document(
        page, folder, environment, replaced, python=sys.executable, with_console=bool(REAL_TOOLS) and page.name != "tutorial.md"
    )  # fmt: skip


@needs_programs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to_page_is_true(page: Path, tmp_path: Path, gateway: Gateway) -> None:
    assert run(page, tmp_path, gateway)
    left = [path for path in tmp_path.rglob("*dragoman*") if path.name != "dragoman"]
    assert left == []  # what was written was taken back


@needs_programs
def test_the_tutorial_is_true(tmp_path: Path, gateway: Gateway) -> None:
    assert len(run(ROOT / "docs" / "tutorial.md", tmp_path, gateway)) >= 8


def test_every_tool_has_its_page() -> None:
    """Named by the command, and with each of its variables."""
    texts = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}
    for tool in TOOLS.values():
        page = texts.get({"gemini": "gemini-cli"}.get(tool.name, tool.name), texts["sdks"])
        for name, _ in tool.variables:
            assert name in page, (tool.name, name)
        assert all(os.path.basename(file.path) in page for file in tool.files)


def test_every_page_proves_itself() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "## The request that proves it\n" in text
        assert any("curl" in block.text for block in blocks_of(text))
