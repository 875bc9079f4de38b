"""The recorded shapes of ``tests/data/wire``, as their manifest lists them."""

import json
from pathlib import Path
from typing import Any

import attrs

from dragoman.core.dialects import DIALECTS

_FOLDER = Path(__file__).parent / "data" / "wire"
_NAMES = {
    "A": "openai_chat",
    "B": "openai_responses",
    "C": "claude",
    "D": "gemini",
    "E": "code_assist",
    "Darr": "gemini",
}


@attrs.frozen
class Fixture:
    """One file.

    Attributes:
        name: Its name.
        dialect: As in `DIALECTS`.
        kind: ``request``, ``response``, ``stream``, ``error``.
        expect: Of a stream: what it comes to (``outcome``, ``text``, ``tools``, ``finish``, ``usage`` ...).

    """

    name: str
    dialect: str
    kind: str
    expect: dict[str, Any] = attrs.field(repr=False)

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return (_FOLDER / self.name).read_bytes()


def fixtures(kind: str) -> list[Fixture]:
    """The fixtures of a kind whose dialect we have."""
    listed = json.loads((_FOLDER / "manifest.json").read_text(encoding="utf-8"))["fixtures"]
    found = [
        Fixture(item["file"], _NAMES[item["d"]], item["k"], item.get("expect", {}))
        for item in listed
        if item["d"] in _NAMES and item["k"] == kind
    ]
    return [fixture for fixture in found if fixture.dialect in DIALECTS]


def by_name(name: str) -> bytes:
    """The bytes of one file."""
    return (_FOLDER / name).read_bytes()
