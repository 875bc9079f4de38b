"""Watching a configuration file, and what is done now and then."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from dragoman.adapters import reloading
from dragoman.adapters.chore import Chore
from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.reloading import ConfigWatch, News, digest_of_folder, on_hangup, settled_changes
from dragoman.core.config import Config, Limits
from dragoman.core.effects import ConnectFailure, FailureKind


def taken(watch: ConfigWatch) -> News:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        news = watch.take()
        if news is not None:
            return news
        time.sleep(0.005)
    raise AssertionError("no news")


def watching(path: Path, reread: Callable[[], tuple[Config, tuple[str, ...]]]) -> ConfigWatch:
    watch = ConfigWatch(path, reread, period=0.02)
    watch.start()
    return watch


def test_what_is_good_what_is_bad_what_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_QUIET", 0.001)
    path = tmp_path / "config.yaml"
    path.write_text("1")
    results: list[Exception | None] = [None, ConfigFileError(("a", "b")), RuntimeError("sk-5ecret"), None]
    read: list[str] = []

    def reread() -> tuple[Config, tuple[str, ...]]:
        read.append(path.read_text())
        error = results[len(read) - 1]
        if error is not None:
            raise error
        return Config(port=len(read)), ("notice",)

    watch = watching(path, reread)
    watch.ask()
    assert taken(watch) == News(Config(port=1), ("notice",))
    path.write_text("2")
    assert taken(watch) == News(mistakes=("a", "b"))
    stat = path.stat()
    path.write_text("3")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the time of the change says nothing
    (mistake,) = taken(watch).mistakes
    assert "RuntimeError" in mistake
    assert "5ecret" not in mistake
    path.write_text("4")
    assert taken(watch).config == Config(port=4)
    os.utime(path)  # touched, but the same
    time.sleep(0.1)
    watch.close()
    assert watch.take() is None
    assert read == ["1", "2", "3", "4"]


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """It is read when it has been the same for a while; once."""
    path = tmp_path / "config.yaml"
    path.write_text("")
    read: list[str] = []

    def reread() -> tuple[Config, tuple[str, ...]]:
        read.append(path.read_text())
        return Config(), ()

    watch = watching(path, reread)
    for length in range(1, 11):
        path.write_text("x" * length)
        time.sleep(0.03)
    taken(watch)
    watch.close()
    assert read == ["x" * 10]


def test_hangups() -> None:
    """The handler is set within the block, and in the main thread only."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGHUP)
    with on_hangup(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGHUP)
    assert asked == [1]
    assert signal.getsignal(signal.SIGHUP) is before

    def elsewhere() -> None:
        with on_hangup(lambda: asked.append(2)):
            asked.append(3)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert asked == [1, 3]


def test_what_is_settled() -> None:
    running = Config()
    assert settled_changes(running, attrs.evolve(running, fallbacks=(("a", ("b",)),))) == ()
    changed = attrs.evolve(running, port=1, limits=Limits(client_connections=5, body=7))
    assert settled_changes(running, changed) == ("port", "limits.client-connections")


def test_a_chore() -> None:
    """It is done once a period, however late somebody comes; stopped, never again."""
    done: list[float] = []
    chore = Chore(done.append, 2.0, 10.0)
    assert chore.next_deadline() == 12.0
    assert chore.handle_timer(11.0) == []
    assert done == []
    assert chore.handle_timer(19.0) == []
    assert done == [19.0]
    assert chore.next_deadline() == 21.0
    assert chore.client_sent(b"", 20.0) == chore.upstream_opened(1, 20.0) == chore.upstream_sent(1, b"", 20.0) == []
    assert chore.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, ""), 20.0) == []
    assert chore.abort(20.0) == []
    assert chore.next_deadline() == math.inf
    assert not chore.is_reading


def test_the_folder_of_credential_files_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added, edited, removed; and another folder when the configuration names one."""
    monkeypatch.setattr(reloading, "_QUIET", 0.001)
    path, folder, other = tmp_path / "config.yaml", tmp_path / "auths", tmp_path / "other"
    path.write_text("1")
    for made in (folder, other):
        made.mkdir()
    watch = ConfigWatch(path, lambda: (Config(auth_dir=path.read_text()), ()), period=0.02, folder=folder)
    path.write_text(str(folder))
    watch.start()
    taken(watch)
    (folder / "a.json").write_text("1")
    taken(watch)
    (folder / "a.json").write_text("2")
    taken(watch)
    (folder / "a.json").unlink()
    taken(watch)
    path.write_text(str(other))
    assert taken(watch).config == Config(auth_dir=str(other))
    (other / "b.json").write_text("1")
    taken(watch)
    (folder / "c.json").write_text("of no interest now")
    (other / ".hidden.json").write_text("of no interest")
    (other / "b.cds").write_text("of no interest")
    time.sleep(0.1)
    watch.close()
    assert watch.take() is None


def test_what_a_folder_comes_to(tmp_path: Path) -> None:
    assert digest_of_folder(tmp_path / "nowhere") == digest_of_folder(tmp_path / "nowhere either")
    empty = digest_of_folder(tmp_path)
    (tmp_path / "dangling.json").symlink_to("nowhere")
    dangling = digest_of_folder(tmp_path)
    (tmp_path / "nowhere").write_text("here")
    assert len({empty, dangling, digest_of_folder(tmp_path)}) == 3


def test_reading_now_waits_until_it_was_read(tmp_path: Path) -> None:
    """Without waiting for more to be written, and whether or not the file is good."""
    path = tmp_path / "config.yaml"
    path.write_text("a")
    reads: list[str] = []

    def reread() -> tuple[Config, tuple[str, ...]]:
        reads.append(path.read_text())
        if reads[-1] == "bad":
            raise ConfigFileError(("no",))
        return Config(), ()

    watch = ConfigWatch(path, reread, period=60.0)
    assert not watch.read_now(0.0)
    watch.start()
    try:
        path.write_text("b")
        assert watch.read_now(5.0)
        assert watch.take() == News(Config())
        path.write_text("bad")
        assert watch.read_now(5.0)
        assert watch.take() == News(mistakes=("no",))
    finally:
        watch.close()
    assert reads[-2:] == ["b", "bad"]
