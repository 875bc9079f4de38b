"""What is built is what is here: every module, the marker for type checkers, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dragoman import __version__

ROOT = Path(__file__).parent.parent
FOLDERS = ("adapters", "core", "transports")

PAPERS = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile")


def modules() -> set[str]:
    """Every file of the package, as it is called in a wheel."""
    own = {f"dragoman/{path.name}" for path in (ROOT / "dragoman").iterdir() if path.suffix == ".py"}
    rest = {
        f"dragoman/{path.relative_to(ROOT).as_posix()}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    }
    return own | rest | {"dragoman/py.typed"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of a copy of the tree, and a wheel of that sdist, as a packager would make them; without a network."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    tree.mkdir()
    for name in PAPERS:
        shutil.copy(ROOT / name, tree / name)
    for name in ("dragoman", "tests", "benchmarks", "docs", *FOLDERS):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "data"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(tree)]
    run(command, folder)
    return folder / "dist"


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command to its end; returns what it says."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_wheel_has_every_module(built: Path) -> None:
    """And nothing else, but for its own papers; no root folder is importable by its bare name."""
    [wheel] = built.glob("*.whl")
    assert wheel.name == f"dragoman-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    papers = {name for name in names if name.startswith(f"dragoman-{__version__}.dist-info/")}
    assert names - papers == modules()
    assert {name.rpartition("/")[2] for name in papers} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "LICENSE",
    }  # fmt: skip


def test_sdist_has_what_building_needs(built: Path) -> None:
    """Every module once, at its place; no path of the machine that made it."""
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert {"pyproject.toml", "README.md", "LICENSE", "core/exchange.py", "dragoman/py.typed"} <= members.keys()
    assert not any(member.islnk() or member.issym() or member.name.startswith("/") for member in members.values())
    files = {name for name, member in members.items() if member.isfile()}
    assert {name for name in files if name.startswith(("dragoman/", *FOLDERS))} == {
        name if name.count("/") == 1 else name.removeprefix("dragoman/") for name in modules()
    }
    folders = {name.partition("/")[0] for name in files if "/" in name}
    assert folders == {
        "dragoman",
        "dragoman.egg-info",
        "tests",
        *FOLDERS,
    }  # setuptools adds tests/test*.py of its own accord


def test_installed_it_runs_elsewhere(built: Path, tmp_path: Path) -> None:
    """Installed from the wheel, it runs from a folder where nothing of this tree is."""
    [wheel] = built.glob("*.whl")
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
    run([sys.executable, *install, str(wheel)], tmp_path)
    here = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    where = run([sys.executable, "-c", "import dragoman.core; print(dragoman.core.__file__)"], tmp_path, **here)
    assert where.strip() == str(site / "dragoman" / "core" / "__init__.py")
    dragoman = [sys.executable, "-m", "dragoman"]
    assert run([*dragoman, "--version"], tmp_path, **here) == f"dragoman, version {__version__}\n"
    run([*dragoman, "init"], tmp_path, **here)
    assert "client keys    first" in run([*dragoman, "check"], tmp_path, **here)
    assert (site / "bin" / "dragoman").read_text().startswith("#!")
