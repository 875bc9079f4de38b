"""One short question, and every way in which there is no answer."""

import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from dragoman.adapters.asking import Asked, ask, bearer
from tests.small_server import Said, raw_server, small_server


def test_an_answer() -> None:
    with small_server({"/base/x?y=1": Said(203, b'{"a": [1]}', (("X-Some", "thing"),))}) as server:
        asked = ask(f"{server.url}/base/", "/x?y=1", headers=bearer("sk-1"))
        assert (asked.status, asked.json, asked.headers["x-some"], asked.fault) == (203, {"a": [1]}, "thing", "")
        assert asked.at > 0
        method, path, headers = server.asked[0]
        assert (method, path, headers["authorization"]) == ("GET", "/base/x?y=1", "Bearer sk-1")
        assert headers["user-agent"].startswith("dragoman/")
        assert ask(server.url, "/nothing", method="POST").status == 404


def test_a_redirect_is_not_followed() -> None:
    with small_server({"/": Said(302, b"", (("Location", "http://127.0.0.1:1/"),))}) as server:
        assert ask(server.url, "/").status == 302


def test_what_is_no_json() -> None:
    assert Asked(200, body=b"<html>").json is None
    assert bearer(None) == bearer("") == {}


def test_nobody_is_asked_for_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with small_server({"/": Said()}) as server:
        assert ask(server.url, "/").status == 200


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://127.0.0.1:1", "Connection refused"),
        ("http://nowhere.invalid", "the name nowhere.invalid cannot be resolved"),
        ("socks5://127.0.0.1:1", "not a URL that can be asked: expected http or https"),
        ("nonsense", "not a URL that can be asked: expected a URL with a scheme"),
    ],
)
def test_no_answer(url: str, fault: str) -> None:
    assert ask(url, "/").fault.startswith(fault)


def test_answers_that_are_none() -> None:
    with raw_server(b"SSH-2.0-x\r\n") as url:
        assert ask(url, "/").fault == "what came back is not HTTP (BadStatusLine)"
    with raw_server(b"") as url:
        assert "not HTTP (RemoteDisconnected)" in ask(url, "/").fault
    with raw_server(None) as url:
        assert ask(url, "/", patience=0.05).fault == "no answer within 1 s"
    with raw_server(b"HTTP/1.1 400 no\r\n\r\n") as url:
        assert ask(url.replace("http", "https"), "/").fault.startswith("it does not speak TLS")


def test_tls(tmp_path: Path) -> None:
    """Roots are checked; the gateway's own certificate is trusted whatever name it is for."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("elsewhere.example")
    chain = tmp_path / "chain.pem"
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(chain), append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(3):
                client, _ = listener.accept()
                with client:
                    try:
                        with context.wrap_socket(client, server_side=True) as secure:
                            secure.recv(65536)
                            secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert ask(url, "/").fault.startswith("its certificate is not accepted")
        assert ask(url, "/", ca_file=str(tmp_path / "ca.pem")).fault.startswith(
            "its certificate is not accepted"
        )  # the name
        assert ask(url, "/", trust=str(chain)).body == b"hi"
        thread.join(5)
