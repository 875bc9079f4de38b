"""The part of a configuration that is about the usage ledger: whether and where, for how long, and what tokens cost."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dragoman.core.config import Ledger, Price
from dragoman.core.config_nodes import Node, Section, describe

LEDGER: Final = ("enabled", "file", "retention-days", "prices")
#: Keys of a price, and the field of `Price` that each is.
PRICES: Final[Mapping[str, str]] = MappingProxyType({
    "input": "input", "output": "output", "cache-read": "cache_read", "cache-write": "cache_write",
    "cache-write-1h": "cache_write_1h", "reasoning": "reasoning", "audio-input": "audio_input", "audio-output": "audio_output",
})  # fmt: skip

_DECIMAL: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?")  # a million for a million tokens is dear enough


def read_ledger(section: Section) -> Ledger:
    """Read ``usage``."""
    section.check_keys(LEDGER, {})
    default = Ledger()
    return Ledger(
        enabled=section["enabled"].boolean(default.enabled),
        file=section["file"].text() or default.file,
        retention_days=section["retention-days"].integer(default.retention_days, 0, 36_500),
        prices=tuple(_price(node) for node in section["prices"].section().nodes()),
    )


def _price(node: Node) -> Price:
    entry = node.section()
    entry.check_keys(tuple(PRICES), {})
    found = {field: _millionths(entry[key]) for key, field in PRICES.items()}
    if entry.node.value is not None and not any(price is not None for price in found.values()):
        node.mistake("a price without a number: give `input` and `output`, as what a million tokens cost")
    return Price(str(node.path[-1]), **found)


def _millionths(node: Node) -> int | None:
    """A decimal number, times a million: whole, so that sums are exact."""
    value = node.value
    if value is None:
        return None
    match = _DECIMAL.fullmatch(_decimal(node))
    if match is None:
        node.mistake(
            "expected what a million tokens cost: a number like 3 or 0.075, below a million and with up to six decimals; "
            f"got {describe(value)}"
        )
        return None
    return int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0"))


def _decimal(node: Node) -> str:
    """A number as it was written; a float as the decimal number that it stands for, if it does."""
    value = node.value
    if isinstance(value, float):
        text = f"{value:.6f}"
        return text if float(text) == value else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 <= value < 1_000_000 else ""
    return node.text() or "" if isinstance(value, str) else ""
