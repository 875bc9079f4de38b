"""The state file: what is written is read again, and what is not ours is left whole."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.adapters.storage import database as storage
from dragoman.adapters.storage.sqlite import SCHEMA, StateFile, StateFileError, peek, records_of, saved_by

NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=50)
@given(
    st.dictionaries(NAMES, JSON),
    st.dictionaries(NAMES, JSON),
    st.dictionaries(st.tuples(st.text(), st.text()), st.tuples(st.text(min_size=1), st.text(), st.integers(1, 10**9))),
)
def test_there_and_back(
    members: dict[str, object], allowances: dict[str, object], bound: dict[tuple[str, str], tuple[str, str, int]]
) -> None:
    """LAW: what the core said is what the core gets, whatever characters are in it."""
    affinities = sorted(([*key, *value] for key, value in bound.items()), key=lambda item: float(str(item[4])))
    whole, changes = records_of({"pool": {"members": members}, "allowances": allowances, "affinities": affinities})
    again = saved_by(whole | {key: value for key, value in changes.items() if value is not None})
    assert again == {"pool": {"version": 1, "members": members}, "allowances": allowances, "affinities": affinities}


@given(st.dictionaries(st.tuples(st.sampled_from(["member", "affinity", "allowance", "x"]), st.text()), st.text()))
def test_nonsense_is_left_out(records: dict[tuple[str, str], str]) -> None:
    """LAW: whatever the table holds, nothing is raised."""
    assert saved_by(records).keys() == {"pool", "allowances", "affinities"}


def test_a_binding_that_was_let_go() -> None:
    _, changes = records_of({"pool": {"members": {}}, "allowances": {}, "affinities": [["s", "m", "", "", 0.0]]})
    assert changes == {("affinity", '["s","m"]'): None}


def test_written_deleted_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state"
    assert peek(path) == {}
    file = StateFile(path, NOW)
    assert file.records == {}
    file.write({("member", "x"): "1", ("member", "y"): "2"}, NOW)
    file.write({("member", "x"): None, ("member", "z"): "3"}, NOW + 100)
    assert peek(path) == {("member", "y"): "2", ("member", "z"): "3"}  # while it is open
    file.close()
    file = StateFile(path, NOW + 31 * 86400 + 50)
    assert file.records == {("member", "z"): "3"}
    assert file.notices == ()
    file.close()


def database(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


OURS = f"PRAGMA application_id = {SCHEMA.application_id}; PRAGMA user_version = {SCHEMA.version};"


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)",
        "CREATE TABLE records (a); " + OURS,
        f"CREATE TABLE records (a); {OURS} PRAGMA user_version = 99",
    ],
)
def test_the_database_of_somebody_else(tmp_path: Path, script: str) -> None:
    """It is renamed and stays as it was, also the second time within a second."""
    path = tmp_path / "state"
    for count in (1, 2):
        database(path, script)
        file = StateFile(path, NOW)
        assert "it is now" in file.notices[0]
        file.close()
        asides = sorted(tmp_path.glob("state.aside-*[Z0-9]"))
        assert len(asides) == count
        for aside in asides:
            with closing(sqlite3.connect(aside)) as connection:
                assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] >= 1
        assert peek(path) == {}
        path.unlink()


def test_what_cannot_be_peeked_at(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(StateFileError, match="cannot be read"):
        peek(path)
    path.unlink()
    database(path, "CREATE TABLE theirs (a)")
    with pytest.raises(StateFileError, match="not one of ours"):
        peek(path)


def test_what_is_no_text_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state"
    StateFile(path, NOW).close()
    database(path, f"INSERT INTO records VALUES ('member', 'x', x'00ff', {NOW}), ('member', 'y', '[]', {NOW})")
    assert peek(path) == {("member", "y"): "[]"}


def test_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody else is writing to for long is not damaged: it stays where it is."""
    monkeypatch.setattr(storage, "BUSY", 0.01)
    path = tmp_path / "state"
    file = StateFile(path, NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateFileError, match="locked"):
            StateFile(path, NOW)
        with pytest.raises(StateFileError, match="cannot be written"):
            file.write({("member", "x"): json.dumps(1)}, NOW)
    file.write({("member", "x"): json.dumps(1)}, NOW)
    file.close()
    assert [found.name for found in tmp_path.iterdir()] == ["state"]
