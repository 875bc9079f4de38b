"""The dialects by name, each loaded when it is first asked for."""

import pytest

from dragoman.core.dialects import DIALECTS


def test_every_name_has_its_dialect() -> None:
    """Whoever asks which names there are loads none; asking twice gives the same."""
    assert len(DIALECTS) == len(list(DIALECTS)) == 5
    for name in DIALECTS:
        assert name in DIALECTS
        assert DIALECTS[name].name == name
        assert DIALECTS[name] is DIALECTS[name]


def test_an_unknown_name() -> None:
    """As any mapping has it."""
    assert "acme" not in DIALECTS
    assert DIALECTS.get("acme") is None
    with pytest.raises(KeyError, match="acme"):
        DIALECTS["acme"]
