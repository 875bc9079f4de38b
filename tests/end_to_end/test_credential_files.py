"""Credential files of a running gateway: added, edited, removed."""

import json
from pathlib import Path
from typing import Any

from tests.end_to_end.processes import Gateway, serving
from tests.end_to_end.test_commands import run
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"


def configured(folder: Path, more: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(f"host: 127.0.0.1\napi-keys: [{KEY}]\nauth-dir: {folder / 'auths'}\n{more}")
    path.chmod(0o600)
    (folder / "auths").mkdir(mode=0o700, exist_ok=True)
    return path


def put(folder: Path, name: str, url: str, secret: str, **more: Any) -> None:
    data = {"type": "kimi", "access_token": secret, "base_url": f"{url}/v1", "models": ["plain", "limited"], **more}
    path = folder / "auths" / name
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(data))
    new.chmod(0o600)
    new.replace(path)


def ask(gateway: Gateway, model: str) -> int:
    return send(gateway, request(chat(model), key=KEY)).status


def reloaded(gateway: Gateway, start: int) -> None:
    gateway.stderr.wait_for(lambda line: "configuration reloaded" in line, start)


def test_added_edited_removed(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Without a restart; a bad one is told of by name; who is unchanged keeps its state."""
    configured(tmp_path)
    with serving(tmp_path, transport, secrets=[KEY, "t0ken"]) as gateway:
        assert ask(gateway, "plain") == 404
        start = gateway.stderr.count()
        put(tmp_path, "Kimi-1.json", upstream.url, "t0ken-1")
        reloaded(gateway, start)
        assert ask(gateway, "plain") == 200
        assert upstream.asked[-1].authorization == "Bearer t0ken-1"
        assert upstream.asked[-1].headers["user-agent"].startswith("dragoman/")
        assert ask(gateway, "limited") == 429
        asked = len(upstream.asked)
        start = gateway.stderr.count()
        (tmp_path / "auths" / "bad.json").write_text('{"type": "claude"')
        gateway.stderr.wait_for(lambda line: "bad.json: is not valid JSON" in line, start)
        reloaded(gateway, start)
        assert ask(gateway, "limited") == 429
        assert len(upstream.asked) == asked  # it cools on, and was not asked
        start = gateway.stderr.count()
        put(tmp_path, "Kimi-1.json", upstream.url, "t0ken-2", prefix="team")
        reloaded(gateway, start)
        assert ask(gateway, "team/plain") == 200
        assert upstream.asked[-1].authorization == "Bearer t0ken-2"
        start = gateway.stderr.count()
        (tmp_path / "auths" / "Kimi-1.json").unlink()
        reloaded(gateway, start)
        assert ask(gateway, "plain") == 404


def test_the_check_tells_of_them(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    configured(
        tmp_path,
        "oauth-model-alias: {kimi: [{name: plain, alias: simple}]}\noauth-excluded-models: {kimi: [limited]}\n",
    )
    put(tmp_path, "kimi-1.json", upstream.url, "t0ken-1")
    put(tmp_path, "kiro-1.json", upstream.url, "t0ken-2", type="kiro")
    (tmp_path / "auths" / "open.json").write_text('{"type": "groq", "api_key": "t0ken-3"}')
    (tmp_path / "auths" / "open.json").chmod(0o644)
    done = run(tmp_path, "check")
    assert done.returncode == 0
    said = done.stdout + done.stderr
    assert "t0ken" not in said
    assert "kiro-1.json: serves nothing: its protocol" in said
    assert "open.json: holds secrets and other users may read it (mode 0644): chmod 600 it" in said
    assert f"provider       kimi  openai_chat  {upstream.url}/v1  (auth-dir)" in said
    assert "credentials  kimi-1.json" in said
    assert "simple -> plain" in said
    assert "limited" not in said
