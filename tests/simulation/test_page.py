"""The page about the simulator names what there is."""

from pathlib import Path

import pytest

from dragoman.adapters.simulation.faults import FAULTS
from dragoman.adapters.simulation.laws import LAWS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "simulate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_on_it(fault: str) -> None:
    assert f"`{fault}`" in PAGE


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_on_it(law: str) -> None:
    assert f"| {law} | {LAWS[law]}" in PAGE
