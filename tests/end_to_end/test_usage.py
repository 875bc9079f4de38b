"""The usage ledger of a real gateway: sound and complete after kills under load, and never in the way of a request.

``DRAGOMAN_KILLS=20 python -m pytest -s tests/end_to_end/test_usage.py`` kills twenty times on each transport and prints what was lost.
"""

import itertools
import json
import os
import random
import sqlite3
import stat
import sys
import threading
import time
import urllib.request
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

import attrs
import pytest

from dragoman.adapters.storage.usage import UsageQuery, read_usage
from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"
FIRST = "sk-first-up5tream"
SECRET = "management-5ecret"
KILLS = int(os.environ.get("DRAGOMAN_KILLS", "3"))
CLIENTS = 4
TOKENS = 18  # of each answer of the scripted upstream


def configured(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{{name: anna, key: {KEY}}}]\nstate-file: {folder}/kept/state.sqlite3\n"
        f"openai-compatibility: [{{name: lab, base-url: {url}/v1, models: [{{name: plain, alias: nice}}, {{name: naughty}}],\n"
        f"  api-key-entries: [{{api-key: {FIRST}}}]}}]\nremote-management: {{secret-key: {SECRET}}}\n{more}"
    )
    path.chmod(0o600)
    return folder / "kept" / "usage.sqlite3"


@attrs.define
class Load:
    """Clients that ask again and again until nobody answers.

    Attributes:
        sent: Ids of requests.
        done: When each was answered in whole.

    """

    gateway: Gateway
    run: int
    sent: set[str] = attrs.field(factory=set)
    done: dict[str, float] = attrs.field(factory=dict)

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _ask(self, client: int) -> None:
        with suppress(OSError, AssertionError, ValueError, HTTPException):  # the kill
            for n in itertools.count():
                name = f"run{self.run}-client{client}-{n}"
                self.sent.add(name)
                body = chat("nice", stream=True) if n % 2 else chat("nice")
                answer = send(self.gateway, request(body, key=KEY, headers={"X-Request-Id": name}))
                assert answer.status == 200
                self.done[name] = time.monotonic()


def rows(path: Path) -> dict[str, tuple[int, ...]]:
    """What the file holds, by request; it must be sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = connection.execute(
            "SELECT request_id, input, output, total, status, streamed FROM exchanges"
        ).fetchall()
    assert len({row[0] for row in found}) == len(found)  # nothing twice
    return {name: tuple(rest) for name, *rest in found}


def count(path: Path) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM exchanges").fetchone()[0])
    return 0


def wait_for(path: Path, least: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while count(path) < least:
        assert time.monotonic() < deadline, "not written"
        time.sleep(0.01)


def load_and_kill(gateway: Gateway, path: Path, before: int, run: int) -> tuple[set[str], set[str]]:
    """Kill it in the middle of writing; gives the requests that were answered a second earlier, and all that were sent."""
    load = Load(gateway, run)
    threads = load.start()
    time.sleep(1.1)  # so that there are answers a second old
    wait_for(path, before + 1)
    time.sleep(random.Random(run).uniform(0.0, 0.3))  # anywhere between two writings, and within one
    killed_at = time.monotonic()
    gateway.process.kill()
    gateway.process.wait()
    for thread in threads:
        thread.join(PATIENCE)
    return {name for name, at in load.done.items() if at < killed_at - 1.0}, load.sent


def test_killed_under_load(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Again and again: the file is sound, sums are what the provider counted, at most the last second is lost."""
    path = configured(tmp_path, upstream.url)
    kept: dict[str, tuple[int, ...]] = {}
    asked = 0
    for run in range(KILLS):
        upstream.forget()
        before: list[tuple[set[str], set[str]]] = []

        def serve_until_killed(
            run: int = run, written: int = len(kept), before: list[tuple[set[str], set[str]]] = before
        ) -> None:
            with serving(tmp_path, transport) as gateway:
                before.append(load_and_kill(gateway, path, written, run))

        with pytest.raises(AssertionError, match="ended with -9"):
            serve_until_killed()
        old_enough, sent = before[0]
        asked += len(upstream.asked)
        found = rows(path)
        assert found.items() >= kept.items()  # what was written stays as it was
        new = found.keys() - kept.keys()
        assert old_enough
        assert old_enough <= new <= sent
        assert len(new) <= len(upstream.asked)
        kept = found
    assert all(row[:4] == (11, 7, TOKENS, 200) for row in kept.values())
    total = read_usage(path, UsageQuery(())).total
    assert (total.requests, total.total, total.usage_missing) == (len(kept), TOKENS * len(kept), 0)
    assert 0 < (total.streamed or 0) < total.requests
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    secrets = (KEY.encode(), FIRST.encode(), b"hello", b"Hel")
    assert not [side for side in path.parent.iterdir() if any(secret in side.read_bytes() for secret in secrets)]
    lost = asked - len(kept)
    sys.stdout.write(f"\n{transport}: {KILLS} kills, provider counted {asked}, ledger has {len(kept)}, lost {lost}\n")


def test_a_stop_loses_nothing_and_all_see_the_same(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """By command and over HTTP: exactly what the provider counted, with costs, the failed ones apart."""
    prices = "usage: {prices: {'pla*': {input: 1, output: 2, cache-read: 0.1}}}\n"
    path = configured(tmp_path, upstream.url, prices)
    with serving(tmp_path, transport) as gateway:
        for n in range(10):
            assert send(gateway, request(chat("nice", stream=n % 2 == 1), key=KEY)).status == 200
        assert send(gateway, request(chat("naughty"), key=KEY)).status == 400
        assert send(gateway, request(chat("nice"), key="wrong")).status == 401
        wait_for(path, 11)
        asking = urllib.request.Request(
            f"{gateway.url}/v0/management/usage?by=client_key,model", headers={"Authorization": f"Bearer {SECRET}"}
        )
        with urllib.request.urlopen(asking, timeout=PATIENCE) as answer:
            told = json.load(answer)
    total = read_usage(path, UsageQuery(())).total
    assert len(upstream.asked) == total.requests == told["total"]["request_count"] == 11
    assert (total.total, total.failures, total.usage_missing, total.streamed) == (10 * TOKENS, 1, 0, 5)
    whole, streamed = 8 * 1_000_000 + 3 * 100_000 + 7 * 2_000_000, 11 * 1_000_000 + 7 * 2_000_000
    assert total.cost == 5 * (whole + streamed)
    assert told["total"]["cost"] == total.cost / 10**12
    assert [(row["client_key"], row["model"], row["failure_count"]) for row in told["usage"]] == [
        ("anna", "nice", 0), ("anna", "naughty", 1),
    ]  # fmt: skip


def test_where_nothing_can_be_written(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Requests are answered as ever; the operator is told once, and once when it is well, and then nothing is missing."""
    configured(tmp_path, upstream.url, f"usage: {{file: {tmp_path}/disk/usage.sqlite3}}\n")
    path = tmp_path / "disk" / "usage.sqlite3"
    (tmp_path / "disk").write_text("no folder")
    with serving(tmp_path, transport) as gateway:
        told = gateway.stderr.wait_for(lambda line: "event=usage " in line)
        assert "cannot be used" in told
        for _ in range(5):
            assert send(gateway, request(chat("nice"), key=KEY)).status == 200
        (tmp_path / "disk").unlink()
        assert "can be written again" in gateway.stderr.wait_for(lambda line: "written again" in line)
        wait_for(path, 5)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(5):
                assert send(gateway, request(chat("nice"), key=KEY)).status == 200
            gateway.stderr.wait_for(lambda line: "database is locked" in line)
        wait_for(path, 10)
    assert gateway.stderr.text.count("event=usage ") == 4
    assert count(path) == 10
