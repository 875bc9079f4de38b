"""The table of credential files' types."""

import pytest

from dragoman.core.dialects import DIALECTS
from dragoman.core.providers.logins import LOGINS
from dragoman.core.urls import split_url


@pytest.mark.parametrize("kind", LOGINS)
def test_a_type_is_spoken_or_says_why_not(kind: str) -> None:
    login = LOGINS[kind]
    assert kind == kind.lower()
    assert bool(login.dialect) != bool(login.why_not)
    assert bool(login.base_url) == bool(login.dialect)
    if login.dialect:
        assert login.dialect in DIALECTS
        assert split_url(login.base_url).scheme == "https"
        assert not login.base_url.endswith("/")


def test_nobody_is_imitated() -> None:
    """No name of software, no vendor's client id, stands in the table."""
    for login in LOGINS.values():
        for name, value in (*login.headers, *login.copied):
            assert "user-agent" not in name
            assert "editor" not in name
            assert not value.startswith("app_")
