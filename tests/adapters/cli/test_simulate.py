"""``dragoman simulate``."""

import json

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters.cli import dragoman
from dragoman.adapters.simulation import world
from dragoman.adapters.simulation.world import World

FEW = ("--exchanges", "60", "--clients", "5", "--providers", "2")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, ["simulate", *arguments])


def test_what_happened_is_told() -> None:
    result = run("--seed", "3", *FEW)
    assert result.exit_code == 0
    assert result.output.startswith("seed 3: 5 clients, 2 providers with ")
    for word in ("exchanges/s", "faults ", "answers ", "outcomes ", "laws ", "digest ", "violations   0"):
        assert word in result.output
    assert "replay" not in result.output


def test_for_programs_the_same_seed_says_the_same() -> None:
    first, second = (json.loads(run("--seed", "3", *FEW, "--faults", "cut=0.2,leaves", "--json").stdout) for _ in "12")
    assert first["digest"] == second["digest"]
    assert first["faults"] == second["faults"]
    assert first["faults"].keys() <= {"cut", "leaves"}
    assert first["faults"]["cut"] > 0
    assert first["replay"] == (
        "dragoman simulate --seed 3 --exchanges 60 --clients 5 --providers 2 --faults cut=0.2,leaves"
    )
    assert (first["violations"], first["first_violations"]) == (0, [])


def test_a_violation_ends_with_1_and_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that cannot be had of the gateway as it is: a world in which the referee misjudges."""

    class Strict(World):
        def finish(self) -> world.Result:
            self.referee.broke("served", "for the test")
            return super().finish()

    monkeypatch.setattr("dragoman.adapters.cli.simulate.World", Strict)
    result = run("--seed", "4", *FEW)
    assert result.exit_code == 1
    assert "violations   1\n  served: while a credential is well" in result.output
    assert "replay it: dragoman simulate --seed 4 --exchanges 60" in result.output
    found = json.loads(run("--seed", "4", *FEW, "--json").stdout)
    assert found["first_violations"][0]["detail"] == "for the test"


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ("meteor", "is no fault; there are: all, none, limited"),
        ("cut=much", "expected a number after the sign"),
        ("cut=2", "expected a number from 0 to 1"),
        ("cut=0.7,reset=0.7", "more than 1 together"),
    ],
)
def test_faults_that_are_none(faults: str, message: str) -> None:
    result = run("--faults", faults)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_without_faults_all_is_well() -> None:
    found = json.loads(run(*FEW, "--faults", "none", "--json").stdout)
    assert (found["faults"], list(found["statuses"])) == ({}, ["200"])
