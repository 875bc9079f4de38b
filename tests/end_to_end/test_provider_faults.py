"""A provider that cannot be reached or cannot be read: 502 or 504 that names it, never its key."""

import json

import openai
import pytest

from tests.end_to_end.processes import Gateway
from tests.end_to_end.sdk import sync_client
from tests.end_to_end.setting import SECRETS
from tests.end_to_end.wire import Answer, chat, request, send
from tests.scripted_upstream import ScriptedUpstream, event


def ask(gateway: Gateway, model: str, *, streamed: bool = False) -> Answer:
    """Ask; no secret comes back."""
    answer = send(gateway, request(chat(model, stream=streamed), key=gateway.key))
    for secret in SECRETS:
        assert secret not in answer.text
    return answer


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "provider", "what"),
    [
        ("refused", "nobody", "refused"),
        ("unresolved", "nowhere", "resolve"),
        ("no-tls", "plainly", "does not speak TLS"),
        ("garbage", "lab", "HTTP"),
        ("closes", "lab", "closed"),
        ("html", "lab", "HTML"),
        ("cut", "lab", "cut"),
    ],
)
def test_unreachable_or_unreadable(
    gateway: Gateway, upstream: ScriptedUpstream, model: str, provider: str, what: str, streamed: bool
) -> None:
    """502 before anything of an answer went out, and a line in the log that names credential and cause."""
    start = gateway.stderr.count()
    answer = ask(gateway, model, streamed=streamed)
    assert answer.status == 502
    assert answer.headers["x-dragoman-fault"] == "provider"
    assert answer.error["type"] == "server_error"
    assert answer.error["code"] == "upstream_error"
    assert provider in answer.error["message"]
    assert "html" not in answer.headers["content-type"]
    if what != "cut":  # said in many words
        assert what.lower() in answer.error["message"].lower()
    line = gateway.stderr.wait_for(lambda line: f"request_id={answer.headers['x-request-id']} " in line, start)
    assert f" provider={provider} " in line
    assert " credential=key-" in line
    assert " level=error " in line
    assert " fault=provider " in line


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_silent(strict: Gateway, upstream: ScriptedUpstream, streamed: bool) -> None:
    """504, and the provider's connection is closed: it need not go on. It may be answering, so nobody else is asked."""
    answer = ask(strict, "silent", streamed=streamed)
    assert answer.status == 504
    assert "lab" in answer.error["message"]
    assert answer.error["code"] == "upstream_timeout"
    assert upstream.left.wait(30)
    assert len(upstream.asked) == 1
    with sync_client(strict) as client, pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="silent", messages=[{"role": "user", "content": "x"}])


def test_stalled(strict: Gateway, upstream: ScriptedUpstream) -> None:
    """A stream that stops in the middle: what came, then an error in the stream."""
    answer = ask(strict, "stalled", streamed=True)
    assert answer.status == 200
    assert answer.body.startswith(event("Hel"))
    error = json.loads(answer.body.split(b"\n\n")[1].removeprefix(b"data: "))["error"]
    assert "lab" in error["message"]
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert upstream.left.wait(30)
