"""The fuzzer finds what is there to find, and a little of it runs with every test."""

from random import Random

import pytest

from tests.fuzz.__main__ import Run, fuzz, one_input
from tests.fuzz.targets import Target, recorded, targets


def test_nothing_undocumented_comes_out() -> None:
    run = Run()
    chosen = targets()
    fuzz(run, chosen, seed=1, numbers=iter(range(20 * len(chosen))))
    assert not run.found
    assert set(run.inputs.values()) == {20}


def test_what_is_raised_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    def feed(rng: Random, data: bytes) -> None:
        raise ValueError("no")

    run = Run()
    fuzz(run, [Target("bad", [b"{}"], feed)], seed=1, numbers=iter(range(3)))
    assert list(run.times.values()) == [3]
    assert "--seed 1 --only 'bad' --first 0" in capsys.readouterr().err


def test_an_input_comes_again() -> None:
    chosen, every = targets(), recorded("*.json")
    assert one_input(5, 7, chosen, every)[2] == one_input(5, 7, chosen, every)[2]
