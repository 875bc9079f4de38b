"""What it costs requests that somebody looks: ``/v1/metrics/providers``, ``/metrics`` and the management are read while streams run.

``python -m benchmarks.bench_operations [--streams 500] [--reads 5] [--rounds 3] [--secs 5] [--credentials 400] [--only trio]``

A gateway on a CPU of its own, in front of the mock, with so many paced streams open (an event each 100 ms). Beside them one client asks for a JSON answer,
waits 5 ms, and asks again: its latencies are what is measured, in turns without and with readers, in one run; ratios are taken within a round. Each
reader asks for one page, so many times a second.
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks import data
from benchmarks.bench_loopback import raise_file_limit
from benchmarks.drivers import Drivers, Load, mock_running, pick_drivers, run_load
from benchmarks.processes import cpu_plan, settle
from benchmarks.results import Cell
from benchmarks.targets import Target, our_targets, started

SECRET: Final = "bench-management-secret"
PAGES: Final = ("/v1/metrics/providers", "/metrics", "/v0/management/auth-files", "/v0/management/quota")
_SECTIONS: Final = ("openrouter", "groq", "deepseek", "mistral", "together", "fireworks", "novita", "siliconflow")
_PACE_MS: Final = 100.0
_SETTLE: Final = 1.0  # seconds until all streams are open


@dataclass
class Reader:
    """Reads one page, over and over.

    Attributes:
        path: Which.
        seconds: What each read took.
        failures: Answers other than 200.

    """

    path: str
    seconds: list[float] = field(default_factory=list)
    failures: int = 0

    def read(self, port: int, every: float, over: threading.Event) -> None:
        """Read until it is over."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not over.wait(every):
            begun = time.perf_counter()
            connection.request("GET", self.path, headers={"X-Management-Key": SECRET})
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - begun)
            self.failures += answer.status != 200
        connection.close()


@contextmanager
def beside(work: list[Callable[[], object]]) -> Iterator[None]:
    """Have work done in threads while the block runs; it ends by itself."""
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


class Bench:
    """One gateway under one load.

    Args:
        drivers: Make the load.
        folder: For bodies of requests.
        port: The gateway's.
        options: Of the command.

    """

    def __init__(self, drivers: Drivers, folder: Path, port: int, options: argparse.Namespace) -> None:
        self._drivers = drivers
        self._folder = folder
        self._port = port
        self._options = options
        self.readers = [Reader(path) for path in PAGES]

    def cell(self, *, watched: bool) -> Cell:
        """The latencies of the one client, with readers or without."""
        options, cpus = self._options, cpu_plan()[0]
        streams = Load("bench-paced-50", options.streams, options.secs + 2 * _SETTLE)
        client = Load("bench-json", 1, options.secs, think_ms=5.0, length=data.ANSWER_BYTES)
        over = threading.Event()
        work: list[Callable[[], object]] = [
            lambda: run_load(self._drivers, streams, self._port, self._folder, cpus=cpus)
        ]
        if watched:
            work += [lambda reader=reader: reader.read(self._port, 1 / options.reads, over) for reader in self.readers]  # type: ignore[misc]  # an early binding
        with beside(work):
            time.sleep(_SETTLE)
            found = run_load(self._drivers, client, self._port, self._folder, cpus=cpus)
            over.set()
        return found


def with_credentials(target: Target, count: int) -> Target:
    """A target whose configuration has the management on, and so many credentials more in eight providers."""
    each = max(1, count // len(_SECTIONS))
    more = [f"remote-management: {{secret-key: {SECRET}}}"]
    for name in _SECTIONS:
        more.append(f"{name}:")
        more += [f"  - {{api-key: {name}-bench-{n}}}" for n in range(each)]
    text = target.files["config.yaml"] + "\n".join(more) + "\n"
    return replace(target, files={**target.files, "config.yaml": text})


def measure(target: Target, options: argparse.Namespace, drivers: Drivers, folder: Path, upstream: int) -> bool:
    """Measure one target and print what was found; False when anything failed."""
    gateway_cpus = cpu_plan()[1]
    print(f"{target.name}, {options.streams} streams, {options.reads:g} reads/s of each of {len(PAGES)} pages")
    ratios: dict[str, list[float]] = {"p50": [], "p90": [], "p99": []}
    sound = True
    with started(target, upstream, folder / target.name, cpus=gateway_cpus) as gateway:
        bench = Bench(drivers, folder, gateway.port, options)
        for number in range(options.rounds):
            cells = {watched: bench.cell(watched=watched) for watched in (number % 2 == 1, number % 2 == 0)}
            if gateway.pid is not None:
                settle(gateway.pid)
            sound = sound and not any(cell["errors"] or cell["non200"] for cell in cells.values())
            for name, found in ratios.items():
                without, with_ = (cells[watched]["lat_ms"][name] for watched in (False, True))  # type: ignore[literal-required]
                found.append(with_ / without)
                print(f"  round {number + 1} {name}: {without:8.3f} ms without, {with_:8.3f} ms with readers")
        for reader in bench.readers:
            sound = sound and not reader.failures and bool(reader.seconds)
            took = sorted(second * 1000 for second in reader.seconds) or [0.0]
            print(
                f"  {reader.path:<28} {len(took):>5} reads, median {statistics.median(took):7.2f} ms, longest {took[-1]:7.2f} ms"
            )
    for name, found in ratios.items():
        print(
            f"  {name} with / without: median {statistics.median(found):.3f} (from {min(found):.3f} to {max(found):.3f})"
        )
    return sound


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=500, help="paced streams that are open meanwhile")
    parser.add_argument("--reads", type=float, default=5.0, help="reads of each page a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=5.0, help="seconds of each cell")
    parser.add_argument("--credentials", type=int, default=400)
    parser.add_argument("--only", default="trio", help="trio, asyncio, uvloop, or all")
    options = parser.parse_args()
    raise_file_limit()
    targets = [t for t in our_targets() if not t.skipped and options.only in ("all", t.name.removeprefix("dragoman-"))]
    drivers = pick_drivers()
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as name:
        folder = Path(name)
        with mock_running(drivers, folder, cpus=cpu_plan()[0], pace_ms=_PACE_MS) as upstream:
            targets = [with_credentials(target, options.credentials) for target in targets]
            sound = [measure(target, options, drivers, folder, upstream) for target in targets]
    if not all(sound):
        sys.exit("something failed, so the figures count for nothing")


if __name__ == "__main__":
    main()
