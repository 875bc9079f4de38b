"""Same seed, same bytes."""

import json
import os
import subprocess
import sys

from dragoman.adapters.simulation.scenario import make_scenario
from dragoman.adapters.simulation.world import World


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (World(make_scenario(7, exchanges=400)).run() for _ in range(2))
    assert first.digest == second.digest
    assert (first.statuses, first.faults, first.seconds) == (second.statuses, second.faults, second.seconds)


def test_another_seed_gives_others() -> None:
    digests = {World(make_scenario(seed, exchanges=100)).run().digest for seed in range(3)}
    assert len(digests) == 3


def test_the_order_of_hashes_makes_no_difference() -> None:
    """In processes of their own, which hash texts differently."""
    digests = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "dragoman", "simulate", "--seed", "9", "--exchanges", "300", "--json"]
        run = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True)
        digests.add(json.loads(run.stdout)["digest"])
    assert len(digests) == 1
