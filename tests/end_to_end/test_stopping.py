"""Stopping: what runs ends properly, what is new is turned away, what will not end is ended in its dialect."""

import json
import re
import socket
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, serving
from tests.end_to_end.wire import chat, connected, read_answer, request
from tests.scripted_upstream import DONE, ScriptedUpstream

KEY = "sk-client-5ecret"


def test_a_stream_ends_properly(tmp_path: Path, transport: str) -> None:
    """SIGTERM in the middle of a stream: the stream goes on to its end, idle connections are closed, nobody else gets in."""
    words = " ".join(f"word{number}" for number in range(30))
    with serving(tmp_path, transport) as gateway, connected(gateway) as client, connected(gateway) as idle:
        idle.sendall(request(method="GET", path="/health"))
        assert read_answer(idle, "GET").status == 200
        client.sendall(request(chat("demo", words, stream=True), key=gateway.key))
        data = client.recv(65536)
        while data.count(b"data: ") < 3:
            data += client.recv(65536)
        assert DONE not in data
        gateway.terminate()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((gateway.host, gateway.port), PATIENCE).close()
        assert gateway.process.poll() is None
        while piece := client.recv(65536):
            data += piece
        assert gateway.wait() == 0
    assert data.endswith(DONE.join([b"", b"\r\n0\r\n\r\n"]))
    said = "".join(json.loads(text) for text in re.findall(rb'"delta":\{"content":("(?:[^"\\]|\\.)*")', data))
    assert said == f"You said: {words}"


def test_a_stream_that_will_not_end(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """After the time for it is over the client is told, in the stream, whose fault it is; the provider is let go."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{KEY}]\ntimeouts: {{drain: 200ms}}\n"
        f"openai-compatibility: [{{name: lab, base-url: {upstream.url}/v1}}]\n"
    )
    path.chmod(0o600)
    with (
        serving(tmp_path, transport, secrets=[KEY]) as gateway,
        connected(gateway) as client,
        connected(gateway) as other,
    ):
        client.sendall(request(chat("lab/endless", stream=True), key=KEY))
        other.sendall(request(chat("lab/silent"), key=KEY))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        gateway.terminate()
        refusal = read_answer(other)
        data = b""
        while piece := client.recv(65536):
            data += piece
        assert gateway.wait() == 0
        assert 'error="The gateway is shutting down' in gateway.stderr.text
    assert refusal.status == 503
    assert refusal.error["code"] == "shutting_down"
    assert refusal.headers["x-dragoman-fault"] == "gateway"
    assert b"shutting down" in data
    assert data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert upstream.left.wait(PATIENCE)


def test_a_second_signal(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Who asks twice does not want to wait."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{KEY}]\ntimeouts: {{drain: 1h}}\n"
        f"openai-compatibility: [{{name: lab, base-url: {upstream.url}/v1}}]\n"
    )
    path.chmod(0o600)
    with serving(tmp_path, transport) as gateway, connected(gateway) as client, connected(gateway) as idle:
        client.sendall(request(chat("lab/endless", stream=True), key=KEY))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        gateway.terminate()
        assert idle.recv(1) == b""  # the first signal has arrived
        gateway.terminate()
        assert gateway.wait() == 0
        data = b""
        while piece := client.recv(65536):
            data += piece
    assert b"shutting down" in data
