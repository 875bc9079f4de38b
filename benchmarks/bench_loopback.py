"""The gateway as people run it: real processes over loopback, beside a direct call and beside its peers, in one run.

``python -m benchmarks.bench_loopback [--quick | --full] [--rounds N] [--peers a,b | none] [--out FILE] [--check]``

How it is measured, so that ratios can be trusted on a machine that is not: the gateway has the last CPU to itself, mock and load share
the first; all targets are up at once and take turns cell by cell, round by round, each when the one before has come to rest; every cell has a warm-up; every answer is checked for
its length and its end, and one failure voids its cell; the answers are compared byte by byte before anything is timed; memory and paced
streams are measured in a fresh process, before anything saturates it.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import data, report
from benchmarks.drivers import Drivers, Load, mock_running, pick_drivers, run_load
from benchmarks.processes import StartError, cpu_plan, pss_mb, settle
from benchmarks.results import Cell, Meta, Results, TargetResult, is_ours, is_void, judge_all
from benchmarks.targets import (
    ROOT,
    CheckError,
    Running,
    Target,
    check_answers,
    our_targets,
    peer_targets,
    started,
)

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        name: ``quick``, ``default`` or ``full``.
        rounds: Of the cells that have goals.
        warmup: Seconds before each cell.
        secs: Seconds of each cell.
        conns: Connections of the requests that are not streamed; 1 and 64 among them.
        curve: Streams of the growth curve besides 16; one round.
        paced: Open paced streams, growing, in one fresh process; 500 among them.
        long_paced: Whether the 500 streams have all 203 events (4 s), or 50 (1 s).
        fresh: Fresh processes for starts and paced streams.
        limit: Seconds after which no further cell is begun.

    """

    name: str
    rounds: int
    warmup: float
    secs: float
    conns: tuple[int, ...]
    curve: tuple[int, ...]
    paced: tuple[int, ...]
    long_paced: bool
    fresh: int
    limit: float

    def cells(self) -> dict[str, Load]:
        """The cells of every round."""
        stream = Load("bench-split", 16, self.secs, self.warmup, length=STREAM_LENGTH)
        answer = Load("bench-json", 1, self.secs, self.warmup, length=data.ANSWER_BYTES)
        return {
            **{f"J{n}": replace(answer, conns=n) for n in self.conns},
            "L": replace(answer, think_ms=5.0),
            "SF16": replace(stream, model="bench-fast"),
            "SS16": stream,
            # How long a translated answer is, is the translator's business; that it ends as it should is checked all the same.
            "TF16": replace(stream, model=data.FOREIGN + "bench-fast", length=-1),
            "TS16": replace(stream, model=data.FOREIGN + "bench-split", length=-1),
        }

    def curve_cells(self) -> dict[str, Load]:
        """The cells of the growth curve, measured once."""
        stream = Load("bench-split", 16, self.secs, self.warmup, length=STREAM_LENGTH)
        return {f"SS{n}": replace(stream, conns=n) for n in self.curve}

    def paced_cells(self) -> dict[str, Load]:
        """The cells of a fresh process."""
        return {
            f"P{n}": Load("bench-paced" if n == 500 and self.long_paced else "bench-paced-50", n, secs=30, each=1)
            for n in self.paced
        }


STREAM_LENGTH: Final = sum(map(len, data.chat_events()))
QUICK: Final = Plan("quick", 2, 0.06, 0.26, (1, 64), (), (500,), False, 1, 42)
DEFAULT: Final = Plan("default", 3, 0.2, 0.8, (1, 16, 64, 256), (1, 4, 64, 256), (100, 500, 1000), True, 1, 240)
FULL: Final = Plan("full", 3, 0.3, 1.2, (1, 16, 64, 256), (1, 4, 64, 256, 1000), (100, 500, 1000), True, 3, 420)


class Bench:
    """One run: the mock, the targets, and what was found about each."""

    def __init__(self, plan: Plan, targets: list[Target], drivers: Drivers, folder: Path, upstream: int) -> None:
        self.plan = plan
        self.found: dict[str, TargetResult] = {}
        self.was_cut = False
        self._targets = targets
        self._drivers = drivers
        self._folder = folder
        self._upstream = upstream
        self._load_cpus, self._gateway_cpus = cpu_plan()
        self._until = time.monotonic() + plan.limit
        for target in targets:
            self.found[target.name] = TargetResult(version=target.version, cold_listen_s=[], cold_start_s=[], cells={})
            if target.skipped:
                self._skip(target, target.skipped)

    def _alive(self) -> list[Target]:
        return [t for t in self._targets if "skipped" not in self.found[t.name]]

    def _skip(self, target: Target, reason: str) -> None:
        self.found[target.name]["skipped"] = reason
        print(f"{target.name}: skipped: {reason}", file=sys.stderr)

    def _start(self, target: Target) -> contextlib.AbstractContextManager[Running]:
        return started(target, self._upstream, self._folder / target.name, cpus=self._gateway_cpus)

    def measure(self) -> None:
        """Everything, in the order that keeps memory figures honest."""
        for _ in range(self.plan.fresh):
            for target in self._alive():
                self._measure_fresh(target)
        with contextlib.ExitStack() as stack:
            up = dict(self._bring_up(stack))
            for number in range(self.plan.rounds):
                cells = {**self.plan.cells(), **(self.plan.curve_cells() if number == 0 else {})}
                for cell, load in cells.items():
                    for target in self._alive():
                        self._measure_cell(target, cell, load, up[target.name])

    def _measure_fresh(self, target: Target) -> None:
        """The start of a target, its memory at rest, and its paced streams."""
        found = self.found[target.name]
        try:
            with self._start(target) as running:
                if running.pid is not None:
                    found["cold_listen_s"].append(running.listen_s)
                    found["cold_start_s"].append(running.answer_s)
                    idle = pss_mb(running.pid)
                    if not math.isnan(idle):
                        found.setdefault("rss_idle_mb", idle)
                check_answers(target, running.port)
                for cell, load in self.plan.paced_cells().items():
                    self._measure_cell(target, cell, load, running)
        except (StartError, CheckError) as error:
            self._skip(target, str(error))

    def _bring_up(self, stack: contextlib.ExitStack) -> Iterator[tuple[str, Running]]:
        for target in self._alive():
            try:
                running = stack.enter_context(self._start(target))
                check_answers(target, running.port)
                yield target.name, running
            except (StartError, CheckError) as error:
                self._skip(target, str(error))

    def _measure_cell(self, target: Target, name: str, load: Load, running: Running) -> None:
        if load.is_stream and load.conns > target.max_streams:
            return
        if name[0] == "T" and not is_ours(target.name):
            return
        if time.monotonic() > self._until:
            self.was_cut = True
            return
        if not target.exact:
            load = replace(load, length=-1)
        cell = run_load(self._drivers, load, running.port, self._folder, cpus=self._load_cpus, watch=running.pid)
        if running.pid is not None:
            settle(running.pid)
        self.found[target.name]["cells"].setdefault(name, []).append(cell)
        print(f"{name:>5} {target.name:<18} {_line(cell, load)}", file=sys.stderr)


def _line(cell: Cell, load: Load) -> str:
    figure = f"{cell['events_s']:>12,.0f} ev/s" if load.is_stream else f"{cell['rps']:>12,.0f} req/s"
    failed = f"  VOID: {cell['errors']} errors, {cell['non200']} not 200, {cell['unfinished']} unfinished"
    return f"{figure}  p50 {cell['lat_ms']['p50']:.3f} ms" + (failed if is_void(cell) else "")


def describe(plan: Plan, drivers: Drivers, bench: Bench, *, began: float, load_before: float) -> Meta:
    """Where and how the run was made."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").split("\n") if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Meta(
        utc=datetime.now(UTC).isoformat(timespec="seconds"),
        git=git.stdout.strip() or "unknown",
        cpu=models[0] if models else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 0,
        python=platform.python_version(),
        driver=drivers.name,
        plan=plan.name,
        versions={name: found["version"] for name, found in bench.found.items() if found["version"]},
        load_before=load_before,
        load_after=_machine_load(),
        secs=time.monotonic() - began,
        cut=bench.was_cut,
    )


def _machine_load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def raise_file_limit() -> None:
    """A thousand streams are two thousand sockets: take as many open files as we may; what is started inherits it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(plan: Plan, targets: list[Target], drivers: Drivers) -> Results:
    """Measure `targets` by `plan`, and judge."""
    began, load_before = time.monotonic(), _machine_load()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as name:
        folder = Path(name)
        with mock_running(drivers, folder, cpus=cpu_plan()[0]) as upstream:
            bench = Bench(plan, targets, drivers, folder, upstream)
            bench.measure()
    ratios, goals = judge_all(bench.found)
    meta = describe(plan, drivers, bench, began=began, load_before=load_before)
    return Results(meta=meta, targets=bench.found, ratios=ratios, goals=goals)


def missed(results: Results) -> list[str]:
    """Why ``--check`` fails: gates missed, and targets of ours that could not be measured. The Python driver has no gates."""
    names = [name for name, found in results["targets"].items() if is_ours(name) and "skipped" in found]
    reasons = [f"{n}: {results['targets'][n].get('skipped', '')}" for n in names if n != "dragoman-uvloop"]
    for name, found in results["targets"].items():
        voids = [c for c, cells in found["cells"].items() if is_ours(name) and any(map(is_void, cells))]
        reasons += [f"{name}: something failed in {cell}" for cell in voids]
    if results["meta"]["driver"] == "c":
        reasons += [
            f"{v['target']}: {v['id']} is {v['value']:.3g} of {v['versus']}, the gate is {v['gate']:.3g}"
            for v in results["goals"]
            if v["verdict"] == "below"
        ]
    return reasons


def main() -> None:
    """Run, print the tables, write JSON and charts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under 45 s: fewer and shorter cells")
    size.add_argument("--full", action="store_true", help="about five minutes: longer cells, the whole curves")
    parser.add_argument("--rounds", type=int, help="rounds of the cells that have goals")
    parser.add_argument(
        "--peers", help="comma-separated files of peers/, or none; by default all that are installed (--quick: nginx)"
    )
    parser.add_argument(
        "--only", help="comma-separated targets of ours: dragoman-trio, dragoman-asyncio, dragoman-uvloop"
    )
    parser.add_argument("--out", type=Path, help="the JSON file; charts go beside it (benchmarks/results/ by default)")
    parser.add_argument("--check", action="store_true", help="fail when a ratio misses its gate")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL if options.full else DEFAULT
    if options.rounds is not None:
        plan = replace(plan, rounds=max(options.rounds, 1), limit=plan.limit / plan.rounds * max(options.rounds, 1))
    ours = [t for t in our_targets() if options.only is None or t.name in options.only.split(",")]
    names = (
        (["nginx"] if options.quick else None)
        if options.peers is None
        else [p for p in options.peers.split(",") if p not in ("", "none")]
    )
    results = run(plan, [Target("direct"), *ours, *peer_targets(names)], pick_drivers())
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    out: Path = options.out or RESULTS / f"{stamp}-{results['meta']['git']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")
    print(report.markdown(results))
    print("\n".join(map(str, [out, *report.write_charts(results, out.with_suffix(""))])))
    reasons = missed(results)
    if options.check and reasons:
        sys.exit("missed:\n" + "\n".join(reasons))


if __name__ == "__main__":
    main()
