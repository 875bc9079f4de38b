"""The benchmark of who looks on: it runs, reads every page, and ends."""

import subprocess
import sys
from pathlib import Path

from benchmarks.bench_operations import PAGES


def test_it_runs_and_nothing_fails() -> None:
    command = [sys.executable, "-m", "benchmarks.bench_operations", "--streams", "4", "--rounds", "1", "--secs", "0.5"]
    run = subprocess.run(
        [*command, "--credentials", "8", "--reads", "20"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert all(f"  {page} " in run.stdout for page in PAGES)
    assert "p99 with / without: median" in run.stdout
