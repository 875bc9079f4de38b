"""Real processes: start them on a CPU, learn what they cost, and end exactly those.

CPU time and memory are those of a process and all its descendants. They come from ``/proc``; where there is none, they are NaN.
"""

import contextlib
import math
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class StartError(Exception):
    """A process did not come up; the message has the end of its log."""


def cpu_plan() -> tuple[set[int], set[int]]:
    """Which CPUs the mock and the load share, and which the gateway gets: the first and the last one; empty where neither can be said."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    cpus = sorted(os.sched_getaffinity(0))
    return ({cpus[0]}, {cpus[-1]}) if len(cpus) > 1 else (set(), set())


@contextlib.contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Run on `cpus`, and so does what is started meanwhile; an empty set changes nothing."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, *, cpus: set[int], env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` on `cpus`, its output in `log`; ended on leaving, kindly for three seconds, then by force."""
    with log.open("ab") as out, pinned(cpus):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_listening(process: subprocess.Popen[bytes], port: int, log: Path, *, limit: float) -> None:
    """Return as soon as somebody listens on `port`.

    Raises:
        StartError: The process ended, or `limit` seconds passed.

    """
    until = time.monotonic() + limit
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            raise StartError(f"ended with status {process.returncode}: {last_lines(log)}")
        time.sleep(0.002)
    raise StartError(f"does not listen after {limit:g} s: {last_lines(log)}")


def wait_announced(process: subprocess.Popen[bytes], log: Path, *, limit: float = 10.0) -> int:
    """The port of a mock, which prints ``listening PORT``.

    Raises:
        StartError: The process ended, or `limit` seconds passed.

    """
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if found := re.search(rb"^listening (\d+)$", log.read_bytes(), re.MULTILINE):
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise StartError(f"the mock does not listen: {last_lines(log)}")


def last_lines(log: Path, count: int = 3) -> str:
    """The last lines of a log, in one."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return " | ".join([line.strip() for line in lines if line.strip()][-count:]) or "no output"


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for known in found:
        for children in Path(f"/proc/{known}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants so far."""
    total = 0.0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return math.nan
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def settle(pid: int, *, limit: float = 3.0) -> None:
    """Wait until a process rests: what it still does for the last load would be taken from the next target's CPU."""
    until = time.monotonic() + limit
    before = cpu_seconds(pid)
    while time.monotonic() < until:
        time.sleep(0.05)
        now = cpu_seconds(pid)
        if not now - before > 1 / _TICKS:
            return
        before = now


def pss_mb(pid: int) -> float:
    """Memory of a process and its descendants in MB, shared pages in proportion (PSS)."""
    total = 0
    for one in family(pid):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            return math.nan
        total += sum(int(kb) for kb in re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE))
    return total / 1000
