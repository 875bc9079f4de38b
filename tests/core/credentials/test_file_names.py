"""Names of credential files: any has one normal form or none."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials.file_names import BadFileName, auth_index, name_of, normal_name


@given(st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"{text}.json"))
def test_a_normal_name_is_its_own_and_that_of_every_spelling(name: str) -> None:
    try:
        normal = normal_name(name)
    except BadFileName:
        assert name_of(name) == name
        return
    assert normal_name(normal) == normal
    assert name_of(name) == normal
    for other in (name.upper(), name.lower(), *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))):
        if other.casefold() == name.casefold() or other == unicodedata.normalize("NFD", name):
            assert name_of(other) == normal
            assert auth_index(other) == auth_index(name)
    assert not set(normal) & set('/\\:*?"<>|\0')


@pytest.mark.parametrize(
    "name",
    [
        "", "a", "a.txt", ".json", ".hidden.json", " a.json", "a/b.json", "a\\b.json", "../a.json", "c:a.json", "con.json", "NUL.json", "com1.x.json",
        "lpt9.json", "a\n.json", "a\x00.json", "a*.json", "x" * 200 + ".json",
    ],
)  # fmt: skip
def test_names_that_some_system_cannot_keep(name: str) -> None:
    with pytest.raises(BadFileName):
        normal_name(name)


def test_names_of_real_files() -> None:
    for name in ("claude-bob@example.com.json", "codex-1a2b3c4d-bob@example.com-plus.json", "gemini-bob+x@example.com-my-project.json",
                 "console.json", "common.json"):  # fmt: skip
        assert normal_name(name) == name
    assert normal_name("Claude-Bo\u0308b@Example.COM.json") == "claude-böb@example.com.json"


def test_an_index_is_short_and_of_its_own() -> None:
    assert len(auth_index("a.json")) == 16
    assert auth_index("a.json") != auth_index("b.json")
