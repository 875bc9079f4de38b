"""Starting a tool so that it talks to the gateway, for this once: by environment and arguments, nothing of it on the disk.

The tool takes the place of this process. Only Gemini CLI needs a setting that it reads from no other place than a file: it gets a
home of its own for the while, with links to what is in the real one.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from dragoman.adapters.asking import ask, bearer
from dragoman.adapters.connect.edits import EditError, edited
from dragoman.adapters.connect.telling import Told, arguments, settings, snippet, variables
from dragoman.adapters.connect.tools import Tool
from dragoman.core.urls import split_url

#: Exit codes, as `env` and `nice` have them: our own failure, and a program that is not there.
FAILED: Final = 125
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
IS_POSIX: Final = os.name == "posix"  # elsewhere exec is a new process behind the back of the one that waits for us


class StartError(Exception):
    """The tool is not started, and why; with the exit code that says so."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def check_gateway(tool: Tool, told: Told, trust: str | None) -> None:
    """Fail before the tool does if the gateway is not there, is no gateway of ours, or refuses the key.

    Raises:
        StartError: With what to do.

    """
    health = ask(told.url, "/health", trust=trust)
    if health.fault:
        raise StartError(f"no gateway answers at {told.url} ({health.fault}); start it with `dragoman serve`")
    if not isinstance(health.json, dict) or health.json.get("status") != "ok":
        raise StartError(f"what answers at {told.url} is not this gateway: /health gave {health.status}")
    models = ask(told.url, "/v1/models", headers=bearer(told.key), trust=trust)
    if models.status == 401:
        raise StartError(
            f"the gateway at {told.url} does not take this client key; $DRAGOMAN_CLIENT_KEY or --key-name says which"
        )
    if tool.probe and ask(told.url, tool.probe, method="POST", headers=bearer(told.key), trust=trust).status == 404:
        raise StartError(f"{tool.without_probe}; it would not come through the gateway, so it is not started")


def find_program(tool: Tool, environment: Mapping[str, str]) -> str:
    """Where the tool's program is.

    Raises:
        StartError: It is not installed.

    """
    found = shutil.which(tool.program, path=environment.get("PATH"))
    if found is None:
        raise StartError(f"{tool.title} is not installed: there is no {tool.program!r} in $PATH", NOT_FOUND)
    return found


def prepared(tool: Tool, told: Told, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a tool: this one, without what would lead it elsewhere."""
    kept = {name: value for name, value in environment.items() if name not in tool.clears}
    if tool.name == "opencode":
        config = tool.files[0]
        kept["OPENCODE_CONFIG_CONTENT"] = snippet(config, Told(told.url, None, told.model, told.models))
    return {**kept, **_unproxied(kept, told.url), **variables(tool, told)}


def _unproxied(environment: Mapping[str, str], url: str) -> dict[str, str]:
    """Where a proxy is set, tools must not go through it to the gateway."""
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environment):
        return {}
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, given.split(",")), split_url(url).host]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def overriders(tool: Tool, told: Told, environment: Mapping[str, str]) -> list[str]:
    """Variables that the tool's own settings set, and which win over the environment."""
    if tool.name != "claude-code":
        return []
    folder = environment.get("CLAUDE_CONFIG_DIR") or os.path.join(environment.get("HOME", ""), ".claude")
    try:
        found: Any = json.loads(Path(folder, "settings.json").read_bytes())
        theirs = found.get("env") or {}
    except (OSError, ValueError, AttributeError):
        return []
    ours = variables(tool, told)
    return [name for name in (*ours, *tool.clears) if name in theirs and theirs[name] != ours.get(name)]


def start(tool: Tool, told: Told, given: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the tool; or, where it needs files for the while, run it and end as it ended.

    Raises:
        StartError: It cannot be started.

    """
    program = find_program(tool, environment)
    command = [program, *arguments(tool, told), *given]
    theirs = prepared(tool, told, environment)
    try:
        if tool.name == "gemini":
            with _home_for_gemini(tool, told, theirs) as home:
                code = _run(command, {**theirs, "GEMINI_CLI_HOME": str(home)})
        elif IS_POSIX:
            sys.stdout.flush()
            sys.stderr.flush()
            os.execve(program, command, theirs)
        else:
            code = _run(command, theirs)
    except OSError as error:
        raise StartError(f"{tool.title} cannot be started: {error.strerror}", CANNOT_RUN) from None
    sys.exit(code)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run to the end; signals that a terminal sends reach the tool by themselves, others are handed on."""
    process = subprocess.Popen(command, env=environment)
    handed = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    before = {number: signal.signal(number, lambda found, _: process.send_signal(found)) for number in handed}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _home_for_gemini(tool: Tool, told: Told, environment: Mapping[str, str]) -> Iterator[Path]:
    """A home for Gemini CLI with the one setting it has to have: the rest are links to what is in the user's."""
    file = tool.files[1]
    real = Path(environment.get("GEMINI_CLI_HOME") or environment.get("HOME") or os.path.expanduser("~"), ".gemini")
    with tempfile.TemporaryDirectory(prefix="dragoman-") as home:
        folder = Path(home, ".gemini")
        folder.mkdir(mode=0o700)
        try:
            entries = sorted(real.iterdir())
        except OSError:
            entries = []
        text = ""
        for entry in entries:
            if entry.name == "settings.json":
                text = entry.read_text(encoding="utf-8", errors="replace")
            elif entry.name != ".env":
                (folder / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
        try:
            text = edited(text, file.form, settings(file, told))
        except EditError as error:
            raise StartError(f"{real / 'settings.json'}: {error}") from None
        (folder / "settings.json").write_text(text, encoding="utf-8")
        yield Path(home)
