"""Files of exchanges: whole, without secrets, few."""

import os
import queue
import stat
import threading
import time
from pathlib import Path

import attrs
import msgspec.structs
import pytest

from dragoman.adapters import request_logs
from dragoman.adapters.request_logs import RequestLogs, name_of, prune, secrets_of, text_of
from dragoman.core.config import ClientKey, Config, Credential, LogFiles, Provider
from dragoman.core.evidence import KEPT, Evidence
from tests.core.test_ledger import JOURNAL

FAILED = msgspec.structs.replace(JOURNAL, status=502, fault="provider", error="lab broke its answer off")
SAID = Evidence(
    "key=AIzaNo&alt=sse",
    {b"authorization": b"Bearer sk-client", b"user-agent": b"test\x1b[2J"},
    b'{"model":"nice","password":"hunter2","text":"my key is client-key-1"}',
    b"/v1/chat/completions?key=AIzaNo",
    b'{"model":"real"}',
    ((b"content-type", b"application/json"), (b"set-cookie", b"a=hunter2")),
    b'{"error":"up-key-22 is bad"}',
)
PROVIDER = Provider(
    "lab", "lab", "claude", "http://h", credentials=(Credential("k", "up-key-22"),), headers=(("X", "header-key-3"),)
)


def made(folder: Path, **more: object) -> Config:
    files = LogFiles(folder=str(folder), **more)  # type: ignore[arg-type]
    return Config(api_keys=(ClientKey("client-key-1", "anna"),), providers=(PROVIDER,), log_files=files)


def test_a_file(tmp_path: Path) -> None:
    """Everything that was said, and no secret."""
    config = made(tmp_path / "logs")
    logs = RequestLogs(lambda: config, pytest.fail)
    logs.show(FAILED, SAID)
    logs.close()
    (path,) = (tmp_path / "logs").iterdir()
    assert path.name == "error-v1-chat-completions-2027-01-15T080003-req-1.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    for secret in ("sk-client", "AIza", "hunter2", "client-key-1", "up-key-22", "\x1b"):
        assert secret not in text
    for said in (
        "POST /v1/chat/completions?key=[redacted]&alt=sse", '"text":"my key is [redacted]"', "authorization: [redacted]", "error: lab broke",
        "1. lab/key-1 as first: 429", "POST /v1/chat/completions?key=[redacted]\n", '{"model":"real"}', '{"error":"[redacted] is bad"}',
    ):  # fmt: skip
        assert said in text


def test_what_is_not_there(tmp_path: Path) -> None:
    text = text_of(FAILED, attrs.evolve(SAID, asked_path=b"", answer=None, body=b"x" * KEPT), ())
    assert "REQUEST TO THE PROVIDER" not in text
    assert "a stream that was not kept" in text
    assert "(cut after 262,144 bytes)" in text


def test_secrets_of_a_configuration(tmp_path: Path) -> None:
    assert secrets_of(made(tmp_path)) == ["client-key-1", "header-key-3", "up-key-22"]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    """Of failed ones by number, of others by size; what is not ours stays."""
    for n in range(6):
        for journal in (FAILED, JOURNAL):
            path = tmp_path / name_of(msgspec.structs.replace(journal, request_id=f"r{n}"))
            path.write_bytes(b"x" * 400_000)
            os.utime(path, (n, n))
    (tmp_path / "main.log").write_text("log")
    (tmp_path / "error-mine.log").write_text("note")
    prune(tmp_path, LogFiles(error_files=2, total_mb=1))
    kept = sorted(path.name.rpartition("-")[2] for path in tmp_path.iterdir())
    assert kept == ["main.log", "mine.log", "r4.log", "r4.log", "r5.log", "r5.log"]
    prune(tmp_path, LogFiles(error_files=0, total_mb=0))
    assert len([*tmp_path.iterdir()]) == 6


def test_bounded_while_it_runs(tmp_path: Path) -> None:
    config = made(tmp_path, error_files=3)
    logs = RequestLogs(lambda: config, pytest.fail)
    for n in range(40):
        logs.show(msgspec.structs.replace(FAILED, request_id=f"r{n}"), SAID)
        logs.show(msgspec.structs.replace(JOURNAL, request_id=f"w{n}"), SAID)
        time.sleep(0.005)
    logs.close()
    assert len([*tmp_path.glob("error-*.log")]) == 3
    assert (tmp_path / name_of(msgspec.structs.replace(FAILED, request_id="r39"))).exists()


def test_a_disk_that_fails_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once, and once when it is well; a bug is told and ends nothing."""
    told = queue.SimpleQueue[str]()
    (tmp_path / "logs").write_text("no folder")
    config = made(tmp_path / "logs")
    logs = RequestLogs(lambda: config, told.put)
    logs.show(FAILED, SAID)
    assert "cannot be written (" in told.get(timeout=20)
    with monkeypatch.context() as patch:
        patch.setattr(request_logs, "text_of", lambda *_: 1 / 0)
        patch.setattr(Path, "mkdir", lambda *_, **__: None)
        logs.show(FAILED, SAID)
        assert told.get(timeout=20) == "the file of an exchange cannot be made (ZeroDivisionError)"
    (tmp_path / "logs").unlink()
    logs.show(FAILED, SAID)
    assert told.get(timeout=20) == "files of exchanges can be written again"
    logs.close()
    assert told.empty()


def test_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck disk takes no more than what may wait, and closing ends in time."""
    gate = threading.Event()
    monkeypatch.setattr(request_logs, "secrets_of", lambda config: [str(gate.wait(20))])
    config = made(tmp_path)
    logs = RequestLogs(lambda: config, pytest.fail)
    begun = time.monotonic()
    for _ in range(200):
        logs.show(FAILED, SAID)
    logs.close(patience=0.05)
    assert time.monotonic() - begun < 5
    gate.set()
    RequestLogs(lambda: config, pytest.fail).close()  # nothing came
