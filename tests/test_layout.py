"""The house keeps its own rules."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("adapters", "core", "transports")

# What the core may import from outside the project. A new line here is a design decision.
CORE_MAY_IMPORT = {
    "__future__", "abc", "attrs", "base64", "binascii", "bisect", "brotli", "collections", "collections.abc", "datetime", "difflib",
    "enum", "functools", "h11", "hashlib", "heapq", "hmac", "ipaddress", "itertools", "json", "math", "msgspec",
    "operator", "orjson", "re", "struct", "types", "typing", "unicodedata", "zlib", "zstandard",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_core_imports_only_the_listed(path: Path) -> None:
    """A list of what is allowed catches what a list of what is forbidden forgets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {n for n in names if not n.startswith("dragoman.core")} <= CORE_MAY_IMPORT


def test_core_loads_no_event_loop() -> None:
    """Nor do the libraries it imports."""
    modules = sorted(
        "dragoman." + ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "core").glob("*.py")
    )
    modules = [m.removesuffix(".__init__") for m in modules]
    code = f"import sys\nfor m in {modules}: __import__(m)\nprint({{'asyncio', 'selectors', 'socket', 'trio'}} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def test_every_package_is_listed() -> None:
    """Setuptools installs exactly what pyproject.toml lists: an unlisted subpackage would be left out of the wheel."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {"dragoman"} | {
        "dragoman." + ".".join(init.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(config["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_has_one_name(folder: str) -> None:
    """``import core`` from the root would make a second copy of every class."""
    run = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import this folder as dragoman.{folder}" in run.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_link_leads_to_folder(folder: str) -> None:
    """Type checkers and editors find the folders through the links in dragoman/."""
    assert (ROOT / folder).samefile(ROOT / "dragoman" / folder)
