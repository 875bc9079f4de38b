"""``remote-management``."""

import pytest

from dragoman.core.config import Management
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError

HASH = "$2b$04$" + "abcdefghijklmnopqrstuv" * 2 + "123456789"


def read(section: object, **more: object) -> Management:
    return parse_config({"remote-management": section, **more}, environment={"SECRET": "from outside"})[0].management


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, Management()),
        ({}, Management()),
        ({"secret-key": ""}, Management()),
        ({"secret-key": " plain ", "allow-remote": "true"}, Management("plain", allow_remote=True)),
        ({"secret-key": "${SECRET}"}, Management("from outside")),
        ({"secret-key": HASH}, Management(HASH)),
    ],
)
def test_it_is_read(section: object, expected: Management) -> None:
    assert read(section) == expected
    assert "plain" not in repr(expected)


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (HASH[:-1], "begins like a bcrypt hash and is none"),
        (HASH.replace("$04$", "$03$"), "of cost 4 to 15"),
        (HASH.replace("$04$", "$31$"), "of cost 4 to 15"),
        ("sk-client", "this is a client key too"),
        ("x" * 1025, "at most 1024 characters"),
    ],
)
def test_mistakes(secret: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read({"secret-key": secret}, **{"api-keys": ["sk-client"]})
    (mistake,) = error.value.mistakes
    assert mistake.path == ("remote-management", "secret-key")
    assert message in mistake.message
    assert secret not in mistake.message


def test_the_panel_is_not_there() -> None:
    """Its keys are known and have no effect."""
    section = {"secret-key": "s", "disable-control-panel": True, "panel-github-repository": "a"}
    notices = parse_config({"remote-management": section}, environment={})[1]
    assert [notice.path[-1] for notice in notices] == ["disable-control-panel", "panel-github-repository"]
