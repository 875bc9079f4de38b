"""A hundred thousand exchanges with faults, over several seeds, in processes of their own: two at a time, as fast as they can."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

SEEDS = (101, 102, 103, 104, 105, 106)
EXCHANGES = 17_000


def simulated(seed: int) -> dict[str, Any]:
    """What comes of a seed; how to run it again is in it."""
    command = [
        sys.executable,
        "-m",
        "dragoman",
        "simulate",
        "--json",
        "--seed",
        str(seed),
        "--exchanges",
        str(EXCHANGES),
    ]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode in (0, 1), run.stderr.decode()
    result: dict[str, Any] = json.loads(run.stdout)
    assert run.returncode == (1 if result["violations"] else 0)
    return result


@pytest.mark.timeout(900)  # half a minute on two idle cores; a machine may be anything but idle
def test_a_hundred_thousand_exchanges() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(simulated, SEEDS))
    assert [(result["replay"], result["first_violations"]) for result in results if result["violations"]] == []
    assert sum(result["exchanges"] for result in results) >= 100_000
    faults: Counter[str] = Counter()
    for result in results:
        faults += Counter(result["faults"])
        assert sum(result["statuses"].values()) == result["exchanges"]
    assert sum(faults.values()) >= 5_000
