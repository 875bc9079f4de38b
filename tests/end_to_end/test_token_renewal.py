"""Tokens of credential files are renewed by a running gateway, at a real token endpoint."""

import base64
import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.end_to_end.processes import Gateway, serving
from tests.end_to_end.test_credential_files import KEY, configured
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ANSWER

CROWD = 30


class Provider:
    """A provider that takes one token at a time, and its token endpoint, which takes each refresh token once."""

    def __init__(self) -> None:
        self.access, self.refresh = "at0k-0", "rt0k-0"
        self.life = 3600
        self.delay = 0.0
        self.refusal = ""
        self.renewals: list[dict[str, str]] = []
        self.shown: list[str] = []
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = (
                    provider.renew(body) if self.path == "/token" else provider.answer(self.headers["authorization"])
                )
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # a crowd comes at once

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def renew(self, body: bytes) -> tuple[int, bytes]:
        fields = dict(urllib.parse.parse_qsl(body.decode()))
        with self._lock:
            self.renewals.append(fields)
            if self.refusal or fields.get("refresh_token", self.refresh) != self.refresh:
                return 400, json.dumps({"error": self.refusal or "invalid_grant"}).encode()
            n = len(self.renewals)
            self.access, self.refresh = f"at0k-{n}", f"rt0k-{n}"
            given = {
                "access_token": self.access,
                "refresh_token": self.refresh,
                "expires_in": self.life,
                "token_type": "Bearer",
            }
        time.sleep(self.delay)
        return 200, json.dumps(given).encode()

    def answer(self, authorization: str) -> tuple[int, bytes]:
        with self._lock:
            self.shown.append(authorization.removeprefix("Bearer "))
            is_good = authorization == f"Bearer {self.access}"
        return (200, ANSWER) if is_good else (401, b'{"error": {"message": "no", "code": "invalid_api_key"}}')


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join(5)


def put(folder: Path, provider: Provider, **more: Any) -> Path:
    data = {
        "type": "kimi", "access_token": "at0k-0", "refresh_token": "rt0k-0", "base_url": f"{provider.url}/v1", "models": ["plain"],
        "token_uri": f"{provider.url}/token", "client_id": "my own", "client_secret": "s3cret&", "unknown": {"kept": [1]}, **more,
    }  # fmt: skip
    path = folder / "auths" / "kimi-1.json"
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(data))
    new.chmod(0o600)
    new.replace(path)
    return path


@contextlib.contextmanager
def running(folder: Path, transport: str) -> Iterator[Gateway]:
    with serving(folder, transport, secrets=[KEY, "at0k", "rt0k", "s3cret"]) as gateway:
        yield gateway


def ask(gateway: Gateway) -> int:
    return send(gateway, request(chat("plain"), key=KEY)).status


def renewed(gateway: Gateway, start: int = 0) -> str:
    return gateway.stderr.wait_for(lambda line: "token renewed" in line, start)


def test_before_it_ends(tmp_path: Path, transport: str, provider: Provider) -> None:
    """Without a request, and without a restart; the file holds the new one, and all else as it was."""
    configured(tmp_path)
    path = put(tmp_path, provider, expired="2026-01-01T00:00:00Z")
    with running(tmp_path, transport) as gateway:
        assert "credential=kimi-1.json" in renewed(gateway)
        assert ask(gateway) == 200
        assert provider.renewals == [
            {
                "grant_type": "refresh_token",
                "refresh_token": "rt0k-0",
                "client_id": "my own",
                "client_secret": "s3cret&",
            }
        ]
        assert provider.shown == ["at0k-1"]
        held = json.loads(path.read_text())
        assert (held["access_token"], held["refresh_token"], held["unknown"]) == ("at0k-1", "rt0k-1", {"kept": [1]})
        assert held["expired"] > "2026-01-01T00:00:00Z"
        gateway.stderr.wait_for(lambda line: "credentials reloaded" in line)  # its own writing was seen, and is no news
        assert ask(gateway) == 200
    with running(tmp_path, transport) as gateway:
        assert ask(gateway) == 200
    assert len(provider.renewals) == 1


def test_a_refused_token_is_renewed_and_the_request_repeated_once(
    tmp_path: Path, transport: str, provider: Provider
) -> None:
    configured(tmp_path)
    put(tmp_path, provider)
    provider.access = "at0k-x"  # taken back early
    with running(tmp_path, transport) as gateway:
        assert ask(gateway) == 200
        assert provider.shown == ["at0k-0", "at0k-1"]
        assert len(provider.renewals) == 1
        provider.access = "at0k-y"
        assert ask(gateway) == 200  # and again, for it was good meanwhile
        assert len(provider.renewals) == 2


def test_a_crowd_that_is_refused_makes_one_renewal(tmp_path: Path, transport: str, provider: Provider) -> None:
    """Those who were refused and those who come meanwhile all get their answer."""
    configured(tmp_path)
    put(tmp_path, provider)
    provider.access, provider.delay = "at0k-x", 0.5
    with running(tmp_path, transport) as gateway, ThreadPoolExecutor(CROWD) as crowd:
        answers = set(crowd.map(lambda _: ask(gateway), range(CROWD)))
        assert answers == {200}, gateway.stderr.text
        assert len(provider.renewals) == 1
        assert provider.shown.count("at0k-1") == CROWD


def test_a_refused_renewal_is_said_and_not_repeated(tmp_path: Path, transport: str, provider: Provider) -> None:
    """Until somebody logs in again: then it serves at once."""
    configured(tmp_path)
    put(tmp_path, provider)
    provider.access, provider.refusal = "at0k-x", "invalid_grant"
    with running(tmp_path, transport) as gateway:
        assert ask(gateway) == 401
        line = gateway.stderr.wait_for(lambda line: "token not renewed" in line)
        assert "(invalid_grant)" in line
        assert "log in again" in line
        assert ask(gateway) in (401, 503)
        assert len(provider.renewals) == 1
        provider.refusal, provider.access, provider.refresh = "", "at0k-login", "rt0k-login"
        start = gateway.stderr.count()
        put(tmp_path, provider, access_token="at0k-login", refresh_token="rt0k-login")
        gateway.stderr.wait_for(lambda line: "credentials reloaded" in line, start)
        assert ask(gateway) == 200
        assert len(provider.renewals) == 1


def test_the_account_of_a_service(tmp_path: Path, transport: str, provider: Provider) -> None:
    """Its first token is made when the gateway starts, with a signature that its provider can check; nothing is written to its file."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "client_email": "robot@p.example",
        "private_key": pem,
        "project_id": "p-1",
        "token_uri": f"{provider.url}/token",
    }
    configured(tmp_path)
    path = put(
        tmp_path,
        provider,
        type="vertex",
        service_account=account,
        base_url=provider.url,
        access_token=None,
        refresh_token=None,
    )
    before = path.read_bytes()
    with serving(tmp_path, transport, secrets=["at0k", pem.splitlines()[1]]) as gateway:
        renewed(gateway)
        ask(gateway)
        assert provider.shown == ["at0k-1"]
    claims, _, signature = provider.renewals[0]["assertion"].rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    key.public_key().verify(raw, claims.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert path.read_bytes() == before
