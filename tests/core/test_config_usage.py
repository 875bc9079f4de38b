"""What a configuration says of the usage ledger."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Config, Ledger, Price
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError


def read(usage: object) -> Ledger:
    return parse_config({"usage": usage}, environment={"P": "0.5"})[0].usage


def test_absent_and_whole() -> None:
    assert read(None) == Ledger() == Config().usage
    found = read({
        "enabled": "no", "file": "/x/u", "retention-days": 7,
        "prices": {
            "gpt-*": {"input": 3, "output": "15", "cache-read": 0.3, "cache-write": 3.75, "cache-write-1h": 6},
            "lab/*": {"reasoning": "${P}", "audio-input": 1, "audio-output": 2},
        },
    })  # fmt: skip
    one = Price("gpt-*", 3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)
    other = Price("lab/*", reasoning=500_000, audio_input=1_000_000, audio_output=2_000_000)
    assert found == Ledger(enabled=False, file="/x/u", retention_days=7, prices=(one, other))


@given(st.integers(0, 10**12 - 1))
def test_prices_are_exact(millionths: int) -> None:
    """LAW: a decimal number of up to six places is read as it is written, as text and as YAML's float."""
    text = f"{Decimal(millionths) / 1_000_000:.6f}"
    assert read({"prices": {"m": {"input": text}}}).prices == (Price("m", millionths),)
    assert read({"prices": {"m": {"input": float(text)}}}).prices == (Price("m", millionths),)


@pytest.mark.parametrize(
    "value", [-1, 10**6, True, "3 dollars", "", 1e-7, float("nan"), float("inf"), [], {"a": 1}, 1e30]
)
def test_what_is_no_price(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"prices": {"m": {"input": 1, "output": value}}})
    (mistake,) = caught.value.mistakes
    assert mistake.path == ("usage", "prices", "m", "output")
    assert "what a million tokens cost" in mistake.message


@pytest.mark.parametrize(
    ("usage", "path"),
    [
        ({"retention-days": -1}, "usage.retention-days"),
        ({"prices": {"m": {}}}, "usage.prices.m"),
        ({"prices": {"m": 3}}, "usage.prices.m"),
        ({"prices": {"m": {"inputs": 3, "output": 1}}}, "usage.prices.m.inputs"),
        ({"price": {}}, "usage.price"),
    ],
)
def test_mistakes_with_their_place(usage: object, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(usage)
    assert {mistake.dotted() for mistake in caught.value.mistakes} == {path}


def test_a_pattern_without_a_price_has_none() -> None:
    assert read({"prices": {"m": None}}).prices == (Price("m"),)
