"""What survives: a gateway is killed under load and started again."""

import json
import sqlite3
import stat
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"
FIRST = "sk-first-up5tream"


def configured(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{{name: anna, key: {KEY}, requests-per-minute: 100000}}]\nstate-file: {folder}/kept/state.sqlite3\n"
        f"openai-compatibility: [{{name: lab, base-url: {url}/v1, models: [{{name: plain}}, {{name: limited}}],\n"
        f"  api-key-entries: [{{api-key: {FIRST}, quotas: [{{window: 7d, requests: 1000000}}]}}]}}]\n{more}"
    )
    path.chmod(0o600)
    return folder / "kept" / "state.sqlite3"


def records(path: Path) -> dict[tuple[str, str], object]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT kind, name, value FROM records")
        return {(kind, name): json.loads(value) for kind, name, value in rows}


def used(path: Path) -> int:
    """How many requests the credential's window has counted, as saved."""
    (member,) = (value for (kind, _), value in records(path).items() if kind == "member")
    assert isinstance(member, dict)
    return int(member["quota"][0][3][0])


def ask(gateway: Gateway, model: str = "plain", session: str = "") -> int:
    headers = {"Session-Id": session} if session else {}
    return send(gateway, request(chat(model), key=KEY, headers=headers)).status


def wait_until_saved(path: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(sqlite3.Error, ValueError):
            if used(path) >= count:
                return
        time.sleep(0.05)
    raise AssertionError("not saved")


def load_and_kill(gateway: Gateway, path: Path, counted: int, run: int) -> int:
    """Ask for more and more until something of it is saved, then kill; returns how many answers were a second old by then."""
    done: list[float] = []

    def load() -> None:
        with suppress(OSError, AssertionError, ValueError):
            while True:
                ask(gateway, "plain", f"conversation-{run}-{len(done)}")
                done.append(time.monotonic())

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    wait_until_saved(path, counted + 20)
    killed_at = time.monotonic()
    gateway.process.kill()
    gateway.process.wait()
    thread.join(PATIENCE)
    return sum(1 for at in done if at < killed_at - 1.0)


def check_it_cools(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Nobody is asked for what was limited before the last kill."""
    before = len(upstream.asked)
    refused = send(gateway, request(chat("limited"), key=KEY))
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 30
    assert len(upstream.asked) == before


def test_killed_under_load(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Five times: the file is sound, no instant moved, at most the last second of counts is lost."""
    path = configured(tmp_path, upstream.url)
    with serving(tmp_path, transport, secrets=[KEY, FIRST]) as gateway:
        assert ask(gateway, "limited") == 429
    instant, counted = None, used(path)
    for run in range(5):
        old_enough: list[int] = []

        def serve_until_killed(counted: int = counted, run: int = run, old_enough: list[int] = old_enough) -> None:
            with serving(tmp_path, transport) as gateway:
                check_it_cools(gateway, upstream)
                old_enough.append(load_and_kill(gateway, path, counted, run))

        with pytest.raises(AssertionError, match="ended with -9"):
            serve_until_killed()
        saved = used(path)
        assert saved >= counted + old_enough[0]
        counted = saved
        (member,) = (value for (kind, _), value in records(path).items() if kind == "member")
        assert isinstance(member, dict)
        state, resumes_at, *_ = member["models"]["limited"]
        assert state == "COOLING"
        assert instant is None or resumes_at == instant
        instant = resumes_at
    kinds = {kind for kind, _ in records(path)}
    assert kinds == {"member", "affinity", "allowance"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for side in path.parent.iterdir():
        assert FIRST.encode() not in side.read_bytes()


def test_saved_at_a_proper_end(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    path = configured(tmp_path, upstream.url)
    with serving(tmp_path, transport) as gateway:
        assert [ask(gateway) for _ in range(3)] == [200] * 3
    assert used(path) == 3


def test_cooldowns_may_be_forgotten(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """With ``save-cooldown-status: false`` counts survive and cooldowns do not."""
    path = configured(tmp_path, upstream.url, "save-cooldown-status: false\n")
    for count in (1, 2):
        with serving(tmp_path, "trio") as gateway:
            assert ask(gateway, "limited") == 429
        assert len(upstream.asked) == used(path) == count


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"\x00"])
def test_a_damaged_file(tmp_path: Path, upstream: ScriptedUpstream, content: bytes) -> None:
    """It is moved aside with a warning; a new one is begun."""
    path = configured(tmp_path, upstream.url)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with serving(tmp_path, "trio") as gateway:
        gateway.stderr.wait_for(lambda line: "level=warning" in line and "it is now" in line)
        assert ask(gateway) == 200
    assert used(path) == 1
    (aside,) = path.parent.glob("*.aside-*")
    assert aside.read_bytes() == content


def test_nowhere_to_save(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """A warning, and the gateway serves all the same."""
    path = configured(tmp_path, upstream.url)
    path.mkdir(parents=True)
    with serving(tmp_path, "trio") as gateway:
        gateway.stderr.wait_for(lambda line: "state is not saved" in line)
        assert ask(gateway) == 200


def test_the_demo_saves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "trio") as gateway:
        assert send(gateway, request(chat("demo/echo"), key=gateway.key)).status == 200
    assert list(tmp_path.iterdir()) == []
