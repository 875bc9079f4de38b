"""What was written is taken back to the byte."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.adapters.connect.edits import EditError, edited
from dragoman.adapters.connect.telling import Told
from dragoman.adapters.connect.telling import settings as wanted_settings
from dragoman.adapters.connect.tool_files import MAX_BYTES, ToolFileError, take_back, write
from dragoman.adapters.connect.tools import TOOLS
from tests.adapters.connect.files_of_people import json_texts

FILE = TOOLS["claude-code"].files[0]


def put(path: Path, told: Told) -> bool:
    wanted = wanted_settings(FILE, told)
    return write(path, lambda text: edited(text, FILE.form, wanted), has_secret=told.key is not None)


TOLDS = st.builds(
    Told,
    st.sampled_from(["http://127.0.0.1:8317", "https://gw.example"]),
    st.sampled_from([None, "sk-1", "sk-2"]),
    st.sampled_from(["", "m"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.none() | json_texts(has_comments=True), st.lists(TOLDS, min_size=1, max_size=4), st.sampled_from([0o600, 0o644])
)
def test_write_and_undo(tmp_path: Path, written: tuple[str, Any] | None, tolds: list[Told], mode: int) -> None:
    """However often it is written: the same bytes and mode again, and nothing left beside it."""
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    path = folder / "settings.json"
    original = None if written is None else written[0].encode()
    if original is not None:
        path.write_bytes(original)
        path.chmod(mode)
    if isinstance(written, tuple) and not isinstance(written[1].get("env", {}), dict):
        with pytest.raises(EditError, match="env is not an object"):
            put(path, tolds[0])
        assert [*folder.iterdir()] == [path]
        assert path.read_bytes() == original
        return
    changes = [put(path, told) for told in tolds]
    assert changes[-1] == (len(tolds) == 1 or tolds[-1] != tolds[-2]) or not changes[-1]
    assert not put(path, tolds[-1])
    after = path.read_text(encoding="utf-8")
    assert (tolds[-1].key or "sk-") in after or tolds[-1].key is None
    if tolds[-1].key is None:
        assert "sk-1" not in after
        assert "sk-2" not in after
    if path.read_bytes() == original:
        return
    assert take_back(path) == path.resolve()
    if original is None:
        assert [*folder.iterdir()] == []
    else:
        assert path.read_bytes() == original
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert [*folder.iterdir()] == [path]


def test_a_key_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    put(path, Told("http://gw"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    put(path, Told("http://gw", "sk-1"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_somebody_changed_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    put(path, Told("http://gw"))
    path.write_text(path.read_text() + "\n")
    with pytest.raises(
        ToolFileError,
        match=r"changed since it was written, .* what was before is in .*settings\.json\.before-dragoman-",
    ):
        take_back(path)
    put(path, Told("http://other"))
    take_back(path)
    assert "http://gw" in path.read_text()  # what somebody changed, with what was ours then


def test_a_file_that_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    put(path, Told("http://gw"))
    path.unlink()
    with pytest.raises(ToolFileError, match="changed since"):
        take_back(path)
    path.write_text("{}")
    put(path, Told("http://gw"))
    take_back(path)
    assert path.read_text() == "{}"
    assert [*tmp_path.iterdir()] == [path]


def test_back_to_what_was_by_writing(tmp_path: Path) -> None:
    """An edit that comes to the original leaves no copy."""
    path = tmp_path / "settings.json"
    path.write_text("{}")
    put(path, Told("http://gw"))
    assert write(path, lambda text: text, has_secret=False)
    assert path.read_text() == "{}"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "settings.json"
    real.write_text("{}")
    link.symlink_to(real)
    put(link, Told("http://gw"))
    assert link.is_symlink()
    assert "http://gw" in real.read_text()
    take_back(link)
    assert link.is_symlink()
    assert real.read_text() == "{}"


def test_nothing_to_take_back(tmp_path: Path) -> None:
    with pytest.raises(ToolFileError, match="nothing was written here"):
        take_back(tmp_path / "nowhere" / "x")


@pytest.mark.parametrize(
    ("content", "what"), [(b"\xff", "not a text in UTF-8"), (b" " * (MAX_BYTES + 1), "larger than")]
)
def test_files_that_are_left_alone(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(ToolFileError, match=what):
        put(path, Told("http://gw"))
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ToolFileError, match="directory"):
        put(tmp_path, Told("http://gw"))
    with pytest.raises(ToolFileError, match="directory"):
        take_back(tmp_path)
