"""The folder of credential files: real files in a real folder."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.adapters.credential_files import MAX_BYTES, CredentialFileError, CredentialFiles, NoSuchFile

CLAUDE = {"type": "claude", "access_token": "at-secret", "refresh_token": "rt-secret", "email": "bob@example.com"}
ONLY_POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    (tmp_path / "auths").mkdir(mode=0o700)
    return CredentialFiles(tmp_path / "auths")


def put(files: CredentialFiles, name: str, data: object = CLAUDE, mode: int = 0o600) -> Path:
    path = files.folder / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    path.chmod(mode)
    return path


def test_a_provider_s_terms_are_told_of_once(files: CredentialFiles) -> None:
    for name in ("a.json", "b.json"):
        put(files, name)
    (caution,) = files.scan().notices
    assert "a.json: Anthropic's terms" in caution


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    files = CredentialFiles(tmp_path / "nowhere" / "auths")
    assert files.list() == []
    assert files.scan().notices == ()
    with pytest.raises(NoSuchFile):
        files.read("a.json")
    files.write("a.json", json.dumps(CLAUDE).encode())
    assert [file.name for file in files.list()] == ["a.json"]
    if os.name == "posix":
        assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700


def test_what_is_listed(files: CredentialFiles) -> None:
    put(
        files,
        "Claude-Bob@Example.com.json",
        {**CLAUDE, "prefix": "p", "priority": 3, "note": "n", "disabled": True, "expired": 1795564800},
    )
    (file,) = files.list()
    assert (file.name, file.type, file.provider, file.label) == (
        "claude-bob@example.com.json",
        "claude",
        "claude",
        "bob@example.com",
    )
    assert (file.disabled, file.prefix, file.priority, file.note, file.expires_at) == (True, "p", 3, "n", 1795564800.0)
    assert (file.problem, file.is_spoken, file.has_refresh_token) == (None, True, True)
    assert file.size == files.folder.joinpath("Claude-Bob@Example.com.json").stat().st_size
    assert file.modified_at > 1.6e9
    assert "secret" not in repr(files.scan())
    assert "secret" not in repr(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"type": NaN}', "not valid JSON"),
        (b"[]", "one JSON object"),
        (b'{"type": "claude"}', "access_token: is missing"),
        (b'{"type": "zzz"}', "type: is none that is known"),
        (b" " * (MAX_BYTES + 1), "larger than"),
        (b'{"type": "kiro"}', "serves nothing: its protocol"),
    ],
)
def test_a_bad_file_is_told_of_and_breaks_nothing(files: CredentialFiles, content: bytes, told: str) -> None:
    put(files, "good.json")
    put(files, "bad.json", content)
    scan = files.scan()
    assert [file.name for file in scan.files] == ["bad.json", "good.json"]
    assert told in str(scan.files[0].problem)
    assert [file.name for file, _ in scan.credentials] == ["good.json"]
    assert any("bad.json" in notice and told in notice for notice in scan.notices)


@ONLY_POSIX
def test_a_pipe_and_a_folder_are_not_waited_for(files: CredentialFiles) -> None:
    os.mkfifo(files.folder / "pipe.json")
    (files.folder / "folder.json").mkdir()
    (files.folder / "nowhere.json").symlink_to("gone")
    assert [str(file.problem).split(":")[0] for file in files.list()] == [
        "cannot be read",
        "cannot be read",
        "is not a file that can be read",
    ]


@ONLY_POSIX
def test_files_that_others_may_read(files: CredentialFiles) -> None:
    put(files, "a.json", mode=0o644)
    files.folder.chmod(0o755)
    notices = files.scan().notices
    assert any("a.json" in notice and "chmod 600" in notice for notice in notices)
    assert any("chmod 700" in notice for notice in notices)
    assert [file.name for file, _ in files.scan().credentials] == ["a.json"]


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(files: CredentialFiles) -> None:
    files.folder.chmod(0)
    try:
        assert files.list() == []
        assert "cannot be listed" in files.scan().notices[0]
    finally:
        files.folder.chmod(0o700)


def test_two_spellings_of_one_name_are_one_credential(files: CredentialFiles) -> None:
    put(files, "Bob.json", {**CLAUDE, "note": "other spelling"})
    put(files, "bob.json", {**CLAUDE, "note": "as on all systems"})
    if len(list(files.folder.iterdir())) == 1:
        pytest.skip("this file system cannot tell them apart")
    scan = files.scan()
    assert [(file.name, file.note) for file in scan.files] == [("bob.json", "as on all systems")]
    assert any("Bob.json: is not used" in notice for notice in scan.notices)
    put(files, "BOB.json")
    assert [file.note for file in files.list()] == ["as on all systems"]


def test_added_refreshed_listed_restarted_listed(files: CredentialFiles) -> None:
    first = files.write("Claude-Bob.json", json.dumps(CLAUDE).encode())
    files.update("claude-BOB.json", lambda data: {**data, "access_token": "new"})
    listed = files.list()
    again = CredentialFiles(files.folder).list()
    assert [file.auth_index for file in listed] == [file.auth_index for file in again] == [first.auth_index]
    assert [file.name for file in again] == ["claude-bob.json"]


def test_a_file_keeps_the_spelling_it_has(files: CredentialFiles) -> None:
    put(files, "Claude-Bob.json")
    files.write("claude-bob.json", json.dumps({**CLAUDE, "note": "new"}).encode())
    assert [path.name for path in files.folder.iterdir()] == ["Claude-Bob.json"]
    assert json.loads(files.read("CLAUDE-bob.json"))["note"] == "new"


@pytest.mark.parametrize("name", ["../a.json", "a/b.json", "a\\b.json", "con.json", ".a.json", "a.txt", ""])
def test_names_that_lead_elsewhere_are_refused(files: CredentialFiles, name: str) -> None:
    put(files, "a.json")
    (files.folder.parent / "a.json").write_text("outside")
    with pytest.raises(CredentialFileError):
        files.write(name, json.dumps(CLAUDE).encode())
    with pytest.raises(CredentialFileError):
        files.read(name)
    with pytest.raises(CredentialFileError):
        files.delete(name)
    assert (files.folder.parent / "a.json").read_text() == "outside"


@given(
    st.text(max_size=20).map(lambda text: f"{text}.json"),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_any_name_any_mapping(files: CredentialFiles, name: str, data: dict[str, str]) -> None:
    before = {file.name for file in files.list()}
    try:
        written = files.write(name, json.dumps({**data, "type": "groq", "api_key": "k"}).encode())
    except CredentialFileError:
        assert {file.name for file in files.list()} == before
        return
    assert {file.name for file in files.list()} == {*before, written.name}
    assert files.read(name) == files.read(written.name)
    assert files.list() == CredentialFiles(files.folder).list()
    files.delete(name)
    assert {file.name for file in files.list()} == before - {written.name}


def test_what_is_no_credential_is_not_written(files: CredentialFiles) -> None:
    put(files, "a.json")
    lines = []
    for data in (b"{", b"{}", b" " * (MAX_BYTES + 1), b'{"type":"claude","priority":"high"}'):
        with pytest.raises(CredentialFileError) as caught:
            files.write("a.json", data)
        assert all(line.startswith("a.json: ") for line in caught.value.lines)
        lines.append(len(caught.value.lines))
    assert lines == [1, 1, 1, 2]  # all mistakes at once
    assert json.loads(files.read("a.json")) == CLAUDE


@ONLY_POSIX
def test_written_whole_and_for_the_owner_alone(files: CredentialFiles) -> None:
    put(files, "a.json", mode=0o644)
    files.write("a.json", json.dumps(CLAUDE).encode())
    assert stat.S_IMODE((files.folder / "a.json").stat().st_mode) == 0o600
    assert [path.name for path in files.folder.iterdir()] == ["a.json"]


@ONLY_POSIX
def test_what_a_link_leads_to_is_written(files: CredentialFiles) -> None:
    real = files.folder.parent / "real.json"
    real.write_text(json.dumps(CLAUDE))
    (files.folder / "a.json").symlink_to(real)
    files.set_disabled("a.json", True)
    assert (files.folder / "a.json").is_symlink()
    assert json.loads(real.read_text())["disabled"] is True


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(files: CredentialFiles) -> None:
    put(files, "a.json")
    files.folder.chmod(0o500)
    try:
        with pytest.raises(CredentialFileError, match="cannot be written"):
            files.write("b.json", json.dumps(CLAUDE).encode())
        with pytest.raises(CredentialFileError, match="cannot be removed"):
            files.delete("a.json")
    finally:
        files.folder.chmod(0o700)


def test_a_disk_that_cannot_be_written(files: CredentialFiles) -> None:
    """Also for root, for whom no mode is a bar."""
    blocked = CredentialFiles(files.folder / "a.json" / "below")
    put(files, "a.json")
    with pytest.raises(CredentialFileError, match="cannot be written"):
        blocked.write("b.json", json.dumps(CLAUDE).encode())


def test_switched_off_and_on_with_all_else_kept(files: CredentialFiles) -> None:
    put(files, "a.json", {**CLAUDE, "unknown": {"x": [1, None, "ü", 10**30]}})
    assert files.set_disabled("A.json", True).disabled
    assert json.loads(files.read("a.json")) == {**CLAUDE, "unknown": {"x": [1, None, "ü", 10**30]}, "disabled": True}
    assert not files.set_disabled("a.json", False).disabled
    put(files, "list.json", [])
    with pytest.raises(CredentialFileError, match="one JSON object"):
        files.set_disabled("list.json", True)


def test_an_update_may_leave_the_file_alone(files: CredentialFiles) -> None:
    before = put(files, "a.json").stat().st_mtime_ns
    assert files.update("a.json", lambda data: None) is False
    assert (files.folder / "a.json").stat().st_mtime_ns == before


def test_no_more_files_than_there_may_be(files: CredentialFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.adapters.credential_files.MAX_FILES", 2)
    for name in ("a.json", "b.json"):
        files.write(name, json.dumps(CLAUDE).encode())
    with pytest.raises(CredentialFileError, match="remove some"):
        files.write("c.json", json.dumps(CLAUDE).encode())
    files.write("a.json", json.dumps(CLAUDE).encode())
    put(files, "c.json")
    assert [file.name for file in files.list()] == ["a.json", "b.json"]
    assert any("more than 2" in notice for notice in files.scan().notices)
