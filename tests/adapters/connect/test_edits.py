"""Settings go into files of each form; comments stay."""

import tomllib
from typing import Any

import pytest
import tomlkit
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.connect.edits import EditError, edited
from dragoman.adapters.connect.telling import Told, settings
from dragoman.adapters.connect.tools import TOOLS
from tests.adapters.connect.files_of_people import NAMES

CODEX = TOOLS["codex"].files[0]
WANTED = settings(CODEX, Told("http://127.0.0.1:8317", None, "demo/talk"))

_SCALARS = st.one_of(st.booleans(), st.integers(-1000, 1000), st.text("ab#=[] ä", max_size=6))
_TABLES = st.dictionaries(
    NAMES, _SCALARS | st.lists(_SCALARS.filter(lambda v: isinstance(v, str)), max_size=3), max_size=3
)
_TOML = st.tuples(
    _TABLES,
    st.dictionaries(
        st.sampled_from(["model_providers", "tui", "profiles", "x y"]), st.dictionaries(NAMES, _TABLES, max_size=2)
    ),
)


@given(
    _TOML,
    st.sampled_from(["", "# first\n", "model = 'mine' # why\n", "model_providers.other.name = 'o'\n"]),
    st.booleans(),
)
def test_toml(parts: tuple[dict[str, Any], dict[str, Any]], front: str, has_crlf: bool) -> None:
    top, tables = parts
    if "model_providers." in front:
        tables.pop("model_providers", None)
    text = front + tomlkit.dumps({**{k: v for k, v in top.items() if k != "model"}, **tables})
    text = text.replace("\n", "\r\n") if has_crlf else text
    new = edited(text, "toml", WANTED)
    found = tomllib.loads(new)
    expected = tomllib.loads(text)
    for steps, value in WANTED.items():
        table = expected
        for step in steps[:-1]:
            table = table.setdefault(step, {})
        table[steps[-1]] = value
    assert found == expected
    assert edited(new, "toml", WANTED) == new
    assert ("# why" in new) == ("# why" in text)


def test_toml_as_it_looks() -> None:
    assert edited("", "toml", WANTED).splitlines() == [
        'model_provider = "dragoman"',
        'model = "demo/talk"',
        "",
        "[model_providers.dragoman]",
        'name = "Dragoman"',
        'base_url = "http://127.0.0.1:8317/v1"',
        'wire_api = "responses"',
        'env_key = "DRAGOMAN_CLIENT_KEY"',
    ]


@pytest.mark.parametrize(
    ("form", "text", "what"),
    [
        ("toml", "model_providers = 3", "'model_providers' is no table"),
        ("toml", "model_providers = {other = 1}", "add the lines by hand"),
        ("toml", "a = = 1", "not valid TOML"),
        ("json", "{", "not valid JSON"),
        ("yaml", "a: [", "not valid YAML"),
        ("yaml", "a: -_", "not valid YAML: IndexError"),
        ("yaml", "- a", "no keys and values"),
    ],
)
def test_what_cannot_be_edited(form: str, text: str, what: str) -> None:
    with pytest.raises(EditError, match=what):
        edited(text, form, WANTED)


AIDER = settings(TOOLS["aider"].files[0], Told("http://127.0.0.1:8317", "sk-1", "demo/talk"))


@given(
    st.dictionaries(
        NAMES.filter(str.isalpha) | st.sampled_from(["model", "openai-api-key"]),
        _SCALARS | st.lists(st.integers(), max_size=2),
        max_size=4,
    ),
    st.sampled_from(["", "# Mine\n", "---\n"]),
)
def test_yaml(data: dict[str, Any], front: str) -> None:
    text = front + (yaml.safe_dump(data, allow_unicode=True) if data else "")
    new = edited(text, "yaml", AIDER)
    assert yaml.safe_load(new) == {**data, **{steps[0]: value for steps, value in AIDER.items()}}
    assert edited(new, "yaml", AIDER) == new
    assert ("# Mine" in new) == ("# Mine" in text)


def test_yaml_keeps_what_is_not_set() -> None:
    text = "# Mine\ndark-mode:   true # at night\nmodel: 'x'\nread: [a,   b]\n"
    new = edited(text, "yaml", {("model",): "openai/y"})
    assert new == "# Mine\ndark-mode: true   # at night\nmodel: 'openai/y'\nread: [a, b]\n"


@given(
    st.lists(
        st.sampled_from(["A=1", "# note", "", "export GEMINI_API_KEY='old'", " GEMINI_MODEL = x", "XGEMINI_MODEL=1"]),
        max_size=6,
    )
)
def test_dotenv(lines: list[str]) -> None:
    text = "\n".join(lines)
    new = edited(text, "dotenv", {("GEMINI_MODEL",): "m", ("GEMINI_API_KEY",): "k"})
    kept = [line for line in lines if line in ("A=1", "# note", "XGEMINI_MODEL=1")]
    found = new.splitlines()
    assert [line for line in found if line in kept] == kept
    assert [line for line in found if line.startswith("GEMINI_")].count("GEMINI_MODEL=m") == 1
    assert "GEMINI_API_KEY=k" in found
    assert edited(new, "dotenv", {("GEMINI_MODEL",): "m", ("GEMINI_API_KEY",): "k"}) == new


def test_toml_that_is_changed_in_place() -> None:
    """What is there is changed where it stands; what is not, goes to the front, to its table, or into a table at the end."""
    text = "# mine\nmodel = 'old' # why\n\n[model_providers.dragoman]\nname = 'x' # whose\nretries = 3\n\n[tui]\nx = 1"
    new = edited(text, "toml", WANTED)
    assert new.splitlines()[:5] == ['model_provider = "dragoman"', "", "# mine", 'model = "demo/talk" # why', ""]
    assert tomllib.loads(new)["model_providers"]["dragoman"]["retries"] == 3
    assert 'name = "Dragoman" # whose' in new
    assert tomllib.loads(new)["tui"] == {"x": 1}
    bare = edited("\ufeff[tui]\nx = 1", "toml", WANTED)
    assert bare.startswith("\ufeff")
    assert tomllib.loads(bare[1:])["tui"] == {"x": 1}
    assert edited(bare, "toml", WANTED) == bare
