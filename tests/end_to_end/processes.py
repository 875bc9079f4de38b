"""``dragoman serve`` in a process of its own: started, listened to, stopped as an operator would."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import attrs

from dragoman.adapters.planning import CONFIG_VARIABLE
from dragoman.core.providers import PROVIDERS

ROOT: Final = Path(__file__).parent.parent.parent
PATIENCE: Final = 30.0  # seconds; only a failure ever takes this long

_LISTENS = re.compile(r"Dragoman listens on (\w+)://([^ ]+):(\d+) ")
_KEY = re.compile(r"^  (sk-dragoman-\w+)$", re.MULTILINE)


class Lines:
    """What a process writes, line by line, read by a thread of its own."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line.decode())
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        """Everything so far."""
        with self._news:
            return "".join(self._lines)

    def count(self) -> int:
        """How many lines there are so far."""
        with self._news:
            return len(self._lines)

    def wait_for(self, found: Callable[[str], bool], start: int = 0) -> str:
        """The first line from `start` on for which `found` is true; waits until it is there."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for line in self._lines[start:]:
                    if found(line):
                        return line.rstrip("\n")
                start = len(self._lines)
                if self._is_over or not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError("no such line in:\n" + "".join(self._lines))

    def end(self) -> None:
        """Wait until the process has closed its side."""
        self._thread.join(PATIENCE)


@attrs.define
class Gateway:
    """A running gateway.

    Attributes:
        process: The process.
        transport: ``trio`` or ``asyncio``.
        url: Where it listens, without a slash at the end.
        host: The same, in parts.
        port: The same, in parts.
        stdout: The greeting.
        stderr: The log.
        key: The generated client key; empty when a configuration has its own.

    """

    process: "subprocess.Popen[bytes]"
    transport: str
    url: str
    host: str
    port: int
    stdout: Lines
    stderr: Lines
    key: str = ""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def terminate(self) -> None:
        """Ask it to stop, in good order."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until it is gone; returns its exit code."""
        code = self.process.wait(PATIENCE)
        self.stdout.end()
        self.stderr.end()
        return code


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without providers, proxies and configurations, and with what is given."""
    theirs = {name for known in PROVIDERS for name in (*known.key_variables, *known.url_variables)}
    theirs |= {CONFIG_VARIABLE, "XDG_STATE_HOME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in theirs}
    # Whoever runs the tests may have credential files of their own where a gateway looks for them.
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", "HOME": "/nowhere"} | more


@contextlib.contextmanager
def serving(
    folder: Path,
    transport: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    is_expected: Callable[[str], bool] = lambda line: False,
) -> Iterator[Gateway]:
    """Run ``python -m dragoman serve`` until the block ends, then stop it and see that it ended well.

    Args:
        folder: Where it is started, so a ``config.yaml`` there is found.
        transport: ``trio`` or ``asyncio``.
        arguments: Further ones of the command.
        environment: In place of `clean_environment`.
        secrets: What may be in no line it writes.
        is_expected: Lines on stderr that tell of a fault of the gateway's own, and are right to.

    """
    command = [sys.executable, "-m", "dragoman", "serve", "--transport", transport, "--port", "0", *arguments]
    found_environment = dict(clean_environment() if environment is None else environment)
    found_environment.setdefault("XDG_STATE_HOME", str(folder / "state"))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=found_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = Lines(process.stdout), Lines(process.stderr)
    try:
        try:
            greeting = stdout.wait_for(lambda line: _LISTENS.match(line) is not None)
        except AssertionError:
            raise AssertionError(f"did not start:\n{stderr.text}") from None
        found = _LISTENS.match(greeting)
        assert found is not None
        scheme, host, port = found.groups()
        gateway = Gateway(process, transport, f"{scheme}://{host}:{port}", host, int(port), stdout, stderr)
        gateway.key = _generated_key(stdout)
        yield gateway
        if process.poll() is None:
            gateway.terminate()
        code = gateway.wait()
        assert code == 0, f"ended with {code}:\n{stderr.text}"
        check_log(stderr.text, secrets, is_expected)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        stdout.end()
        stderr.end()


def _generated_key(stdout: Lines) -> str:
    """The client key made for this run; empty when the greeting says that there is a configuration."""
    stdout.wait_for(lambda line: line.startswith(("Configuration: ", "  curl -s http")) and "/v1/chat" not in line)
    found = _KEY.search(stdout.text)
    return found[1] if found else ""


def check_log(text: str, secrets: Sequence[str], is_expected: Callable[[str], bool]) -> None:
    """No secret, no traceback, no connection that failed in a way nobody expected."""
    for secret in secrets:
        assert secret not in text
    for line in text.splitlines():
        assert is_expected(line) or not line.startswith("Traceback"), text
        assert is_expected(line) or "connection failed" not in line, line
