"""Feed everybody for a while and tell what came out.

Input number N of seed S is always the same: ``--seed S --first N --inputs 1`` gives a finding again.
"""

import argparse
import contextlib
import gc
import importlib
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType, FunctionType
from typing import Any

from tests.fuzz.mutation import mutated
from tests.fuzz.targets import Target, recorded, targets

CPU_LIMIT = 5.0  # seconds of CPU time for one input; the largest take a few hundredths
MEMORY_LIMIT = 1 << 30  # bytes beyond what the process has at its start: more is a MemoryError, which is a finding
GROWTH_LIMIT = 400 << 20  # bytes that the process may grow in all


class TooLongError(Exception):
    """An input took longer than any may."""


@dataclass
class Run:
    """What has been done and found.

    Attributes:
        inputs: How many inputs were fed, by target.
        found: The first of each kind of finding: what it is -> how to get it again, and the traceback.
        times: How often each was found.

    """

    inputs: dict[str, int] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    def feed(self, target: Target, rng: Random, data: bytes, again: str) -> None:
        """Feed one input and note what comes out."""
        self.inputs[target.name] = self.inputs.get(target.name, 0) + 1
        try:
            with cpu_limit(CPU_LIMIT):
                target.feed(rng, data)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            at = [frame for frame in where if "/core/" in frame.filename] or list(where)
            what = f"{target.name}: {type(error).__name__} at {Path(at[-1].filename).name}:{at[-1].lineno}"
            self.times[what] = self.times.get(what, 0) + 1
            if what not in self.found:
                self.found[what] = f"{again}\n{''.join(traceback.format_exception(error))}"
                print(f"{what}\n{self.found[what]}\ninput: {data[:2000]!r}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def cpu_limit(secs: float) -> Iterator[None]:
    """Raise `TooLongError` in what runs longer, where the system has such timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"over {secs} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, secs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def one_input(seed: int, number: int, chosen: Sequence[Target], every: Sequence[bytes]) -> tuple[Target, Random, bytes]:
    """Input `number` of `seed`: for whom, and the bytes."""
    rng = Random(f"{seed}:{number}")
    target = chosen[number % len(chosen)]
    seeds = every if rng.random() < 0.05 else target.seeds
    return target, rng, mutated(rng, rng.choice(seeds), every if rng.random() < 0.2 else target.seeds)


def fuzz(run: Run, chosen: Sequence[Target], *, seed: int, numbers: Iterator[int]) -> None:
    """Feed the inputs with these numbers."""
    every = recorded("*.json", "*.sse")
    for number in numbers:
        target, rng, data = one_input(seed, number, chosen, every)
        run.feed(target, rng, data, f"again: --seed {seed} --only '{target.name}' --first {number // len(chosen)} --inputs 1"
                 if len(chosen) == 1 else f"again: --seed {seed} --first {number} --inputs 1")  # fmt: skip


def numbers_for(secs: float, first: int, count: int | None) -> Iterator[int]:
    """The numbers from `first`, until the time is over or `count` were given."""
    until = time.monotonic() + secs
    number = first
    while time.monotonic() < until and (count is None or number < first + count):
        yield number
        number += 1


def peak() -> int:
    """The most memory this process has had, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def limit_memory() -> None:
    """Let no input take more than `MEMORY_LIMIT`, where the system can hold us to it."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_LIMIT,) * 2)


def by_atheris(run: Run, chosen: Sequence[Target], seed: int, secs: float) -> None:
    """Let libFuzzer choose the inputs by the code they reach, and end the process; an input's first byte says for whom it is."""
    atheris: Any = importlib.import_module("atheris")
    for function in gc.get_objects():  # ours; `instrument_all` takes minutes for what nobody asks about
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith("dragoman.core"):
            atheris.instrument_func(function)

    def one(data: bytes) -> None:
        if data:
            target = chosen[data[0] % len(chosen)]
            run.feed(target, Random(seed), data[1:], f"again: feed {data[1:]!r} to {target.name}")

    with tempfile.TemporaryDirectory(prefix="dragoman-fuzz-") as folder:
        for number, target in enumerate(chosen):
            for n, data in enumerate(target.seeds):
                Path(folder, f"{number}-{n}").write_bytes(bytes([number]) + data)
        options = [
            f"-max_total_time={secs:.0f}",
            f"-seed={seed}",
            "-max_len=20000",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, folder], one)
        atheris.Fuzz()


def main() -> None:
    """Fuzz, print what was done and found; ends with 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 1_000_000, help="where inputs begin; by default, by the clock"
    )
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--inputs", type=int, help="how many inputs at most")
    parser.add_argument("--only", help="a word of the targets' names")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage; needs the package atheris")
    options = parser.parse_args()
    chosen = [target for target in targets() if options.only is None or options.only in target.name]
    if not chosen:
        sys.exit(f"no target is called so; there are {', '.join(target.name for target in targets())}")
    run, began, before = Run(), time.monotonic(), peak()
    if options.atheris:
        by_atheris(run, chosen, options.seed, options.seconds)
    else:
        limit_memory()
        fuzz(run, chosen, seed=options.seed, numbers=numbers_for(options.seconds, options.first, options.inputs))
    secs, total, grown = time.monotonic() - began, sum(run.inputs.values()), peak() - before
    print(
        f"seed {options.seed}: {total:,} inputs in {secs:.0f} s, {total / secs:,.0f} inputs/s; grown by {grown >> 20} MB at most"
    )
    for what, times in run.times.items():
        print(f"{times:>6} x {what}\n         {run.found[what].partition(chr(10))[0]}")
    if grown > GROWTH_LIMIT:
        print("memory grows")
    sys.exit(1 if run.found or grown > GROWTH_LIMIT else 0)


if __name__ == "__main__":
    main()
