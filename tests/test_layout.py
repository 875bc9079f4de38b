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


# What a gateway with a key and a model does without until it listens: others' modules, and our own folders and files.
SPARED = {
    "apprise", "asyncio", "cryptography", "difflib", "email", "http", "logging", "opentelemetry", "prometheus_client", "sqlite3", "ssl", "trio", "uvloop", "zoneinfo",
    "dragoman.adapters.connect", "dragoman.adapters.demo_provider", "dragoman.adapters.doctor", "dragoman.adapters.management",
    "dragoman.adapters.prometheus", "dragoman.adapters.simulation", "dragoman.adapters.storage", "dragoman.adapters.telemetry",
    "dragoman.core.dialects.claude", "dragoman.core.dialects.code_assist", "dragoman.core.dialects.gemini",
    "dragoman.core.dialects.openai_chat", "dragoman.core.dialects.openai_responses", "dragoman.core.canary_runs", "dragoman.core.ledger",
    "dragoman.core.redaction", "dragoman.core.renewing",
}  # fmt: skip
MOST_MODULES = 132  # of our own; a new one that a start can do without is loaded where it is used


def test_start_loads_what_it_needs(tmp_path: Path) -> None:
    """What is loaded when the gateway begins to listen decides how soon it does: counted, for time depends on the machine."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"host: 127.0.0.1\nport: 0\napi-keys: [k]\nauth-dir: {tmp_path}\nstate-file: none\n"
        "claude-api-key: [{api-key: sk, models: [{name: m}]}]\n"
    )
    code = (
        "import sys\nfrom dragoman.adapters import assembly\nfrom dragoman.adapters.cli import dragoman\n"
        "def listen(host, port):\n    print(*sys.modules)\n    raise SystemExit(0)\n"
        f"assembly.listen_tcp = listen\ndragoman(['serve', '--config', {str(config)!r}])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = out.split()
    assert not [name for name in loaded for spared in SPARED if f"{name}.".startswith(f"{spared}.")]
    assert 50 < len([name for name in loaded if name.startswith("dragoman.")]) <= MOST_MODULES
