"""Another configuration while the gateway runs."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.processes import Gateway, serving
from tests.end_to_end.wire import chat, connected, request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"
STREAMS = 100


def text(url: str, *models: str, more: str = "") -> str:
    listed = ", ".join(f"{{name: {model}}}" for model in models)
    return (
        f"host: 127.0.0.1\napi-keys: [{KEY}]\nopenai-compatibility: [{{name: lab, base-url: {url}/v1, models: [{listed}],\n"
        f"  api-key-entries: [{{api-key: sk-up5tream}}]}}]\n{more}"
    )


def written(path: Path, content: str) -> None:
    """As editors do it: beside, then renamed."""
    new = path.with_name("new.yaml")
    new.write_text(content)
    new.chmod(0o600)
    new.replace(path)


def ask(gateway: Gateway, model: str) -> int:
    return send(gateway, request(chat(model), key=KEY)).status


def reloaded(gateway: Gateway, start: int) -> str:
    return gateway.stderr.wait_for(lambda line: "configuration reloaded" in line, start)


def test_while_streams_run(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """None breaks, although their provider is gone; new requests see the new names; a cooling credential goes on cooling."""
    path = tmp_path / "config.yaml"
    written(path, text(upstream.url, "endless", "limited"))
    with serving(tmp_path, transport) as gateway, ExitStack() as stack:
        clients = [stack.enter_context(connected(gateway)) for _ in range(STREAMS)]
        for client in clients:
            client.sendall(request(chat("endless", stream=True), key=KEY))
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert ask(gateway, "limited") == 429
        assert ask(gateway, "plain") == 404
        asked = len(upstream.asked)
        start = gateway.stderr.count()
        written(path, text(upstream.url, "plain", "limited"))
        reloaded(gateway, start)
        assert ask(gateway, "plain") == 200
        assert ask(gateway, "endless") == 404
        assert ask(gateway, "limited") == 429
        assert len(upstream.asked) == asked + 1
        start = gateway.stderr.count()
        written(path, f"host: 127.0.0.1\napi-keys: [{KEY}]\n")
        reloaded(gateway, start)
        assert ask(gateway, "plain") == 404
        for client in clients:
            seen = b""
            while seen.count(b"data: ") < 20:
                piece = client.recv(65536)
                assert piece, "a stream broke"
                seen += piece
            assert b'"error"' not in seen


def test_a_bad_file_is_refused(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """With its mistakes in the log; the old one stays; mended, it is taken."""
    path = tmp_path / "config.yaml"
    written(path, text(upstream.url, "plain"))
    with serving(tmp_path, transport, secrets=[KEY]) as gateway:
        written(path, text(upstream.url, "naughty", more="prot: 1\nport: x\n"))
        lines = [
            gateway.stderr.wait_for(lambda line, key=key: "configuration refused" in line and key in line)  # type: ignore[misc]
            for key in ("prot", "port")
        ]
        assert all("config.yaml:" in line and "level=error" in line for line in lines)
        assert ask(gateway, "plain") == 200
        start = gateway.stderr.count()
        path.unlink()
        gateway.stderr.wait_for(lambda line: "configuration refused" in line, start)
        assert ask(gateway, "plain") == 200
        start = gateway.stderr.count()
        written(path, text(upstream.url, "other", more="limits: {client-connections: 7}\nlog-format: json\n"))
        line = reloaded(gateway, start)
        assert "needs_restart=log-format,limits.client-connections" in line
        assert [ask(gateway, "plain"), ask(gateway, "other")] == [404, 200]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal here")
def test_hangup(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """SIGHUP reads the file, changed or not, and ends nothing."""
    written(tmp_path / "config.yaml", text(upstream.url, "plain"))
    with serving(tmp_path, transport) as gateway:
        for _ in range(2):
            start = gateway.stderr.count()
            gateway.process.send_signal(signal.SIGHUP)
            assert "needs_restart" not in reloaded(gateway, start)
        assert ask(gateway, "plain") == 200


def test_a_link_that_is_swapped(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """As Kubernetes does with a ConfigMap: the file is a link through a link to a folder."""
    for name, model in (("v1", "plain"), ("v2", "other")):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "config.yaml", text(upstream.url, model))
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "config.yaml").symlink_to("data/config.yaml")
    with serving(tmp_path, "trio") as gateway:
        assert ask(gateway, "plain") == 200
        (tmp_path / "data-new").symlink_to("v2")
        (tmp_path / "data-new").replace(tmp_path / "data")
        reloaded(gateway, 0)
        assert [ask(gateway, "plain"), ask(gateway, "other")] == [404, 200]
