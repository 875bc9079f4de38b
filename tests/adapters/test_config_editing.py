"""A configuration file rewritten: comments stay, nothing else changes, and what is written is what was meant."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters import config_editing
from dragoman.adapters.config_editing import ConfigEditor, Data, EditError, Stale, rewritten, tag_of, texts_of
from dragoman.adapters.config_file import ConfigFileError, LoadedConfig, check_content, read_source

BIG = Path(__file__).parents[1] / "data" / "config" / "cliproxyapi.yaml"
SMALL = """\
# the whole
debug: no  # for now
api-keys:   # of clients
    - sk-one-client   # Anna's
    # Bert has left
    - 'sk-two-client'
allow-open: true
quota-exceeded: {switch-project: on}
cors: {origins: [http://a.example, "*"]}
mitigations: [{model: m, fallback: n}, {model: "o", fallback: p}]
groq: [{api-key: k}]
"""


def check(content: bytes) -> LoadedConfig:
    return check_content(content, "config.yaml", {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(SMALL)
    path.chmod(0o640)
    return path


def read(content: bytes) -> Any:
    return read_source(content, "x").data


def changed(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    """Lines that went, lines that came."""
    old, new = before.decode().splitlines(), after.decode().splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize("content", [BIG.read_bytes(), SMALL.encode(), SMALL.replace("\n", "\r\n").encode()])
def test_what_is_not_changed_is_byte_for_byte_the_same(content: bytes) -> None:
    """Numbers, truths and dates too, however they are written."""
    same = rewritten(content, read(content))
    assert changed(content, same) == ([], [])
    assert read(same) == read(content)


def test_only_what_changes_changes() -> None:
    data = read(SMALL.encode())
    data["debug"] = "true"
    data["api-keys"] = ["sk-one-client", "sk-three-client"]
    del data["allow-open"]
    data["request-retry"] = "2"
    gone, came = changed(SMALL.encode(), rewritten(SMALL.encode(), data))
    assert gone == ["debug: no  # for now", "    - 'sk-two-client'", "allow-open: true"]
    assert came == ["debug: true # for now", "    - 'sk-three-client'", "request-retry: 2"]


def test_a_file_of_comments_keeps_them() -> None:
    assert rewritten(b"# mine\n", {"debug": "true"}) == b"# mine\ndebug: true\n"
    assert rewritten(b"", {"debug": "true"}) == b"debug: true\n"


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "0123",
        "1e5",
        "<<",
        "- a",
        "a: b",
        "#",
        "${A}",
        "2026-01-01",
        "=",
        "&a",
        "*a",
        "!!x",
        "|",
        "%",
        "'",
        '"',
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | TEXTS | st.booleans() | st.integers(-99, 99),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(before=st.dictionaries(TEXTS, VALUES, max_size=4), after=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_what_was_meant(before: Data, after: Data) -> None:
    """Or it is refused: whatever the texts, from whatever there was."""
    try:
        start = rewritten(b"", texts_of(before))
        assert read(start) == (texts_of(before) or {})
        written = rewritten(start, texts_of({**before, **after}))
    except (EditError, ConfigFileError):
        return
    assert read(written) == (texts_of({**before, **after}) or {})


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {debug: no}\nb: *x\n",  # one value in two places
        "base: &x {k: 1}\nb: {<<: *x, l: 2}\n",
    ],
)
def test_aliases(text: str) -> None:
    """What stands in several places is changed in one of them, or not at all."""
    data = read(text.encode())
    data["b"] = {**data["b"], "k": "5"}
    try:
        assert read(rewritten(text.encode(), data)) == data
    except (EditError, AssertionError):
        assert "a" in data  # the editor compares, and refuses: see below


def test_what_cannot_be_changed_alone_is_refused(path: Path) -> None:
    path.write_text("limits: &x {head: 2KB}\ntimeouts: *x\nallow-open: true\n")
    before = path.read_bytes()

    def edit(data: Data) -> None:
        data["limits"]["head"] = "4KB"
        data["timeouts"] = {}

    editor = ConfigEditor(path, lambda content: LoadedConfig(check(b"").config, read_source(content, "x"), ()))
    data = read(before)
    with pytest.raises(EditError, match="change it by hand"):
        editor.edit(lambda data: data["limits"].update(head="4KB"))
    assert path.read_bytes() == before
    assert data["limits"]["head"] == "2KB"


def test_an_edit_is_checked_before_it_is_written(path: Path) -> None:
    editor = ConfigEditor(path, check)
    with pytest.raises(ConfigFileError) as error:
        editor.edit(lambda data: data.update(debug="perhaps", port=99999))
    assert sorted(mistake.dotted() for mistake in error.value.mistakes) == ["debug", "port"]
    assert path.read_text() == SMALL
    path.write_text("debug: [\n")
    with pytest.raises(ConfigFileError):
        editor.edit(lambda data: data.update(debug=True))
    path.write_text("- a\n")
    with pytest.raises(EditError, match="keys and values"):
        editor.edit(lambda data: data.update(debug=True))


def test_the_file_keeps_its_permissions_and_its_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    loaded = ConfigEditor(link, check).edit(lambda data: data.update(debug=True))
    assert loaded.config.debug
    assert link.is_symlink()
    assert "debug: true" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["config.yaml", "link.yaml"]


def test_nothing_is_written_when_nothing_changes(path: Path) -> None:
    before = path.stat().st_ino
    ConfigEditor(path, check).edit(lambda data: data.update(debug="no"))
    assert path.stat().st_ino == before


def test_a_whole_other_content(path: Path) -> None:
    editor = ConfigEditor(path, check)
    tag = tag_of(editor.read())
    assert editor.replace(b"debug: true\n", tag).config.debug
    with pytest.raises(Stale, match="has changed meanwhile"):
        editor.replace(b"debug: false\n", tag)
    with pytest.raises(ConfigFileError):
        editor.replace(b"debug: maybe\n")
    with pytest.raises(EditError, match="at most"):
        editor.replace(b"#" * (9 * 1024 * 1024))
    assert path.read_bytes() == b"debug: true\n"


def test_a_disk_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays, and nothing lies about."""
    editor = ConfigEditor(path, check)

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(EditError, match=r"config\.yaml cannot be written: No space left"):
            editor.edit(lambda data: data.update(debug=True))
    assert path.read_text() == SMALL
    assert os.listdir(path.parent) == ["config.yaml"]
    path.unlink()
    with pytest.raises(EditError, match="cannot be read"):
        editor.read()
    path.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(EditError, match="larger than"):
        editor.read()


def test_writers_take_turns(path: Path) -> None:
    """None of their changes is lost."""

    def write(number: int) -> None:
        ConfigEditor(path, check).edit(lambda data: data["api-keys"].append(f"sk-client-{number}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = read(path.read_bytes())["api-keys"]
    assert sorted(keys[2:]) == [f"sk-client-{number}" for number in range(8)]
    assert "# Bert has left" in path.read_text()


def test_yaml_that_cannot_be_rewritten() -> None:
    with pytest.raises(EditError, match="change it by hand"):
        rewritten(b"a: 1\n---\nb: 2\n", {"a": "2"})
    assert config_editing._LIST_ITEM.search("a:\n") is None
