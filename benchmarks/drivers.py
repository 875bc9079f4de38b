"""The mock and the load generator: in C where there is a compiler, in Python where not; and running them.

The Python pair answers and counts the same, but is so slow that it, not the gateway, limits most figures. Results carry the driver's
name, and no gate applies to those of ``python``.
"""

import contextlib
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from benchmarks import data
from benchmarks.processes import cpu_seconds, pinned, pss_mb, running, wait_announced
from benchmarks.results import Cell

HERE: Final = Path(__file__).parent
BUILD: Final = HERE / "build"
SOURCES: Final = {"mock": HERE / "mock" / "mock.c", "lg": HERE / "load" / "lg.c"}


@dataclass(frozen=True)
class Drivers:
    """The commands of a pair.

    Attributes:
        name: ``c`` or ``python``.
        mock: How to start the mock.
        load: How to start the load generator.

    """

    name: str
    mock: tuple[str, ...]
    load: tuple[str, ...]


PYTHON: Final = Drivers(
    "python", (sys.executable, str(HERE / "mock" / "mock.py")), (sys.executable, str(HERE / "load" / "lg.py"))
)


def build_c() -> Drivers | None:
    """Compile what has changed; None without a compiler, or where the sources do not compile (they need Linux)."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    BUILD.mkdir(exist_ok=True)
    for name, source in SOURCES.items():
        program = BUILD / name
        if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
            continue
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source), "-lm"]
        if subprocess.run(command, check=False, timeout=60, capture_output=True).returncode:
            return None
    return Drivers("c", (str(BUILD / "mock"),), (str(BUILD / "lg"),))


def pick_drivers() -> Drivers:
    """The fastest pair this machine can run."""
    return build_c() or PYTHON


@contextlib.contextmanager
def mock_running(drivers: Drivers, folder: Path, *, cpus: set[int], pace_ms: float = 20.0) -> Iterator[int]:
    """Run the mock with its payloads in `folder`; gives its port."""
    data.write_payloads(folder)
    log = folder / "mock.log"
    with running([*drivers.mock, "0", str(folder), f"{pace_ms:g}"], log, cpus=cpus) as process:
        yield wait_announced(process, log)


@dataclass(frozen=True)
class Load:
    """What to send, how often; the defaults are one connection of a closed loop.

    Attributes:
        model: The mock's word for what to answer: ``bench-json``, ``bench-split`` ...
        conns: Connections.
        secs: Seconds measured; ignored with `each`.
        warmup: Seconds before, not measured.
        each: Requests for each connection, then it is done; 0: as many as fit.
        think_ms: Pause of a connection between answer and request.
        length: What an answer's body must measure in bytes; -1: whatever.
        dialect: Which path, and which end of a stream.

    """

    model: str
    conns: int = 1
    secs: float = 1.0
    warmup: float = 0.0
    each: int = 0
    think_ms: float = 0.0
    length: int = -1
    dialect: data.Dialect = "openai_chat"

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream."""
        return self.model != "bench-json"


def run_load(
    drivers: Drivers,
    load: Load,
    port: int,
    folder: Path,
    *,
    cpus: set[int],
    headers: Sequence[tuple[str, str]] = (),
    watch: int | None = None,
) -> Cell:
    """Run one load against `port` and return its figures, with CPU and memory of process `watch` if there is one.

    CPU time of the warm-up is taken off in proportion.
    """
    body = folder / f"{load.model}.body"
    if not body.exists():
        body.write_bytes(data.request_body(data.ALIAS_PREFIX + load.model, stream=load.is_stream))
    limit = load.warmup + load.secs + 20
    options = {
        "port": port, "conns": load.conns, "secs": load.secs, "warmup": load.warmup, "each": load.each, "limit": limit,
        "think-ms": load.think_ms, "length": load.length, "path": data.PATH[load.dialect], "body": body,
        "terminator": data.TERMINATOR[load.dialect] if load.is_stream else "",
    }  # fmt: skip
    command = [*drivers.load]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    for name, text in [*data.request_headers(), *headers]:
        command += ["--header", f"{name}: {text}"]
    cpu_before, before = (cpu_seconds(watch), pss_mb(watch)) if watch else (math.nan, math.nan)
    with pinned(cpus):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = _wait(process, watch, limit=limit + 15, peak=before)
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator failed: {err.decode(errors='replace').strip()}")
    cell = cast(Cell, json.loads(out))
    if watch:
        share = cell["secs"] / (cell["secs"] + load.warmup)
        cpu, after = (cpu_seconds(watch) - cpu_before) * share, pss_mb(watch)
        if not math.isnan(cpu):
            cell["cpu_s"] = cpu
        if not math.isnan(after):
            cell["rss_before_mb"], cell["rss_peak_mb"], cell["rss_after_mb"] = before, peak, after
    return cell


def _wait(process: subprocess.Popen[bytes], watch: int | None, *, limit: float, peak: float) -> float:
    """Wait for the load to end, looking at the memory of `watch` ten times a second; the highest is returned."""
    until = time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() > until:
            process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        if watch:
            peak = max(peak, pss_mb(watch))
    return peak
