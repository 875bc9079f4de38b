"""``dragoman translate``, at the end of a pipe."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data" / "wire"


def translate(*arguments: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dragoman", "translate", *arguments],
        input=given,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_request_and_its_losses() -> None:
    asked = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}
    run = translate("--from", "openai", "--to", "claude", "--model", "claude-opus-5", given=json.dumps(asked).encode())
    assert run.returncode == 0
    assert json.loads(run.stdout)["messages"] == [{"role": "user", "content": "Hi"}]
    assert json.loads(run.stdout)["model"] == "claude-opus-5"
    assert run.stderr.startswith(b"dropped seed: ")


def test_strict_translation_fails() -> None:
    asked = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}
    run = translate("--from", "openai_chat", "--to", "claude", "--strict", given=json.dumps(asked).encode())
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"seed" in run.stderr


@pytest.mark.parametrize("name", ["anthropic.response.plain-text.json"])
def test_an_answer(name: str) -> None:
    run = translate("--from", "claude", "--to", "chat", "--answer", given=(DATA / name).read_bytes())
    assert json.loads(run.stdout)["object"] == "chat.completion"


def test_a_stream() -> None:
    run = translate(
        "--from", "claude", "--to", "chat", "--stream", given=(DATA / "anthropic.stream.plain-text.sse").read_bytes()
    )
    assert run.returncode == 0
    assert run.stdout.endswith(b"data: [DONE]\n\n")


def test_what_is_no_request_is_an_error_in_a_line() -> None:
    run = translate("--from", "claude", "--to", "chat", given=b"[]")
    assert run.returncode == 1
    assert run.stderr.startswith(b"error: ")
    assert run.stderr.count(b"\n") == 1


def test_a_stream_that_is_only_an_error() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    run = translate("--from", "claude", "--to", "chat", "--stream", given=event)
    assert run.returncode == 1
    assert b"Overloaded" in run.stderr
