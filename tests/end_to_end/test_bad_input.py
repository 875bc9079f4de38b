"""Whatever a client sends is answered: the right status, in the dialect of the path, in words that help, without a secret."""

import http.client
import json
import socket
import time
from collections.abc import Mapping

import pytest

from tests.end_to_end.processes import Gateway
from tests.end_to_end.setting import SECRETS
from tests.end_to_end.wire import Answer, chat, connected, read_answer, request, send
from tests.scripted_upstream import ScriptedUpstream


def ask(gateway: Gateway, data: bytes, method: str = "POST", *, to_the_end: bool = False) -> Answer:
    """Send bytes; no secret is in what comes back, which has an id and a fault."""
    answer = send(gateway, data, method, to_the_end=to_the_end)
    for secret in SECRETS:
        assert secret not in answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["x-dragoman-fault"] == "client"
    return answer


def is_well(gateway: Gateway) -> bool:
    """Whether the gateway still answers."""
    return send(gateway, request(method="GET", path="/health"), "GET").status == 200


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"model": "nice", "messages": [}', "JSON"),
        (b'{"model": "ni\xffce"}', ""),
        (b'{"model": "nice"} {"model": "nice"}', "JSON"),
        (b"\x00\x01\x02\xff\xfe", "JSON"),
        (b"[" * 100_000, ""),
        (b"[]", "object"),
        (b'"nice"', "object"),
        (b"null", "object"),
        (b"{}", "model"),
        (b'{"messages": []}', "model"),
        (b'{"model": null}', "model"),
        (b'{"model": 7}', "model"),
        (b'{"model": ""}', "model"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_bodies(gateway: Gateway, upstream: ScriptedUpstream, body: bytes, hint: str) -> None:
    """400, and no provider is bothered."""
    answer = ask(gateway, request(body, key=gateway.key))
    assert answer.status == 400
    assert hint in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"
    assert upstream.asked == []


def test_unknown_model(gateway: Gateway) -> None:
    """404, as OpenAI says it, with what comes near."""
    answer = ask(gateway, request(chat("niec"), key=gateway.key))
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")
    assert "'niec'" in answer.error["message"]
    assert "nice" in answer.error["message"].partition("Near it: ")[2]
    far = ask(gateway, request(chat("zzzzzzzzzzz"), key=gateway.key)).error["message"]
    assert "/v1/models" in far
    huge = ask(gateway, request(chat("z" * 1_000_000), key=gateway.key))
    assert huge.status == 404
    assert len(huge.body) < 2000


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", {"POST"}),
        ("DELETE", "/v1/models", {"GET", "HEAD"}),
        ("PUT", "/health", {"GET", "HEAD"}),
        ("BREW", "/v1/embeddings", {"POST"}),
    ],
)
def test_wrong_method(gateway: Gateway, method: str, path: str, allow: set[str]) -> None:
    """405, with the methods that work."""
    answer = ask(gateway, request(key=gateway.key, method=method, path=path), method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allow
    assert answer.error["code"] == "method_not_allowed"


def test_unknown_path(gateway: Gateway) -> None:
    """404, in the dialect of the path."""
    answer = ask(gateway, request(b"{}", key=gateway.key, path="/v1/chat/completion"))
    assert answer.status == 404
    assert answer.error["code"] == "not_found"
    assert "/v1/chat/completions" in answer.error["message"]
    claude = ask(gateway, request(b"{}", key=gateway.key, path="/v1/messages/nowhere")).json
    assert claude["type"] == "error"
    assert claude["error"]["type"] == "not_found_error"
    gemini = ask(gateway, request(b"{}", key=gateway.key, path="/v1beta/nowhere")).json
    assert (gemini["error"]["code"], gemini["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"Authorization": "Bearer sk-wrong-c1a55ified"}, ""),
        ({"Authorization": "Basic c2s6eA=="}, ""),
        ({"Authorization": "Bearer "}, ""),
        ({"x-api-key": "sk-wrong-c1a55ified"}, ""),
        ({"x-goog-api-key": "sk-wrong-c1a55ified"}, ""),
        ({}, "?key=sk-wrong-c1a55ified"),
        ({"Authorization": "Bearer \xff\xfe"}, ""),
    ],
)
def test_wrong_key(gateway: Gateway, upstream: ScriptedUpstream, headers: Mapping[str, str], query: str) -> None:
    """401 however it is shown; the wrong one is not said back or logged either: it may be right elsewhere."""
    data = request(chat("nice"), path=f"/v1/chat/completions{query}", headers=headers)
    answer = ask(gateway, data)
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "sk-wrong" not in answer.text
    gateway.stderr.wait_for(lambda line: f"request_id={answer.headers['x-request-id']} " in line)
    assert "sk-wrong" not in gateway.stderr.text
    assert upstream.asked == []


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer {}"}, ""),
        ({"Authorization": "bearer   {}"}, ""),
        ({"x-api-key": "{}"}, ""),
        ({"x-goog-api-key": "{}"}, ""),
        ({}, "?key={}"),
        ({}, "?a=b&key={}&c"),
    ],
)
def test_right_key(gateway: Gateway, upstream: ScriptedUpstream, headers: Mapping[str, str], query: str) -> None:
    """All ways lead in; the provider is shown its own credential, not ours, and not our query."""
    shown = {name: value.format(gateway.key) for name, value in headers.items()}
    data = request(chat("nice"), path=f"/v1/chat/completions{query.format(gateway.key)}", headers=shown)
    assert send(gateway, data).status == 200
    assert gateway.key not in f"{upstream.asked[0].path} {upstream.asked[0].headers}"


def test_body_over_the_limit(strict: Gateway) -> None:
    """413, from what the head says, before the body is sent; or once too much has come."""
    head = request(key=strict.key, headers={"Content-Length": "65537"})
    answer = ask(strict, head, to_the_end=True)
    assert answer.status == 413
    assert answer.error["code"] == "request_too_large"
    chunked = request(key=strict.key, headers={"Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
    answer = ask(strict, chunked + b"10001\r\n" + b"x" * 0x10001 + b"\r\n", to_the_end=True)
    assert answer.status == 413
    assert is_well(strict)


def test_compressed_bomb(strict: Gateway) -> None:
    """The limit holds for what comes out, too."""
    import gzip

    bomb = gzip.compress(chat("nice", "x" * 10_000_000))
    answer = ask(strict, request(bomb, key=strict.key, headers={"Content-Encoding": "gzip"}))
    assert answer.status == 413


def test_head_over_the_limit(strict: Gateway) -> None:
    """431, whether in one header, in many, or in the target."""
    for data in (
        request(b"{}", key=strict.key, headers={"X-Long": "x" * 20_000}),
        request(b"{}", key=strict.key, headers={f"X-{n}": "x" * 100 for n in range(200)}),
        request(b"{}", key=strict.key, path="/v1/chat/completions?" + "x" * 20_000),
        b"GET /" + b"x" * 20_000,
    ):
        answer = ask(strict, data, to_the_end=True)
        assert answer.status == 431
        assert answer.error["code"] == "request_header_fields_too_large"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 5\r\n folded: yes\r\n",
        b"No colon here\r\n",
        b"Nul: \x00\r\n",
    ],
)
def test_smuggling(gateway: Gateway, upstream: ScriptedUpstream, lines: bytes) -> None:
    """400 (501 for a coding we do not have) and the end: nobody agrees with nobody on where the next request would begin."""
    data = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % gateway.key.encode()
    data += lines + b"\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = ask(gateway, data, to_the_end=True)
    assert answer.status in {400, 501}
    assert answer.error["message"]
    assert upstream.asked == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"\x00" * 100 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"\xf0\x9f\x98\x80 / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET \x1b[31m/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"* * *\r\n\r\n",
    ],
    ids=lambda data: repr(data[:16]),
)
def test_garbage(gateway: Gateway, data: bytes) -> None:
    """400 and the end, whatever it is; the next client is served."""
    answer = ask(gateway, data + b"\r\n\r\n", "GET", to_the_end=True)
    assert answer.status in {400, 505}
    assert answer.error["type"] == "invalid_request_error"
    assert is_well(gateway)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"POST /v1/chat/completions HT", "head"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: ", "head"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "body"),
    ],
)
def test_slow_loris(strict: Gateway, sent: bytes, what: str) -> None:
    """408 and the end, and no dribbling puts it off."""
    with connected(strict) as client:
        client.sendall(sent)
        client.settimeout(0.05)
        start = time.monotonic()
        while time.monotonic() - start < 20:
            try:
                client.sendall(b"x")
                if client.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        client.settimeout(20)
        answer = read_answer(client, to_the_end=True)
    assert answer.status == 408
    assert what in answer.error["message"]
    assert answer.error["code"] == "request_timeout"


def test_one_says_nothing(strict: Gateway) -> None:
    """A connection on which nothing is sent is closed without a word."""
    with connected(strict) as client:
        assert client.recv(100) == b""


def test_half_a_request(gateway: Gateway) -> None:
    """A client that goes away in mid-request leaves nothing behind."""
    for cut in (1, 20, 120, 200):
        with connected(gateway) as client:
            client.sendall(request(chat("nice"), key=gateway.key)[:cut])
    assert is_well(gateway)


def test_head_and_options(gateway: Gateway) -> None:
    """HEAD is GET without a body; without `cors`, OPTIONS is a method like any other."""
    with connected(gateway) as client:
        client.sendall(request(method="HEAD", path="/health"))
        response = http.client.HTTPResponse(client, method="HEAD")
        response.begin()
        assert response.status == 200
        assert int(response.getheader("content-length") or 0) > 10
        assert response.read() == b""
        response.close()
        client.sendall(request(method="GET", path="/healthz"))
        assert read_answer(client, "GET").json["status"] == "ok"
    assert ask(gateway, request(method="OPTIONS", path="/v1/models"), "OPTIONS").status == 405


def test_health_tells_no_secret(gateway: Gateway) -> None:
    """Without a key: how it is, nothing of whom it serves."""
    answer = send(gateway, request(method="GET", path="/health"), "GET")
    assert answer.json.keys() >= {"status", "version", "uptime_seconds", "transport"}
    assert answer.json["transport"] == gateway.transport
    for word in (*SECRETS, "lab", "anna"):
        assert word not in answer.text


def test_http_1_0(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """An old client's answer ends with the connection, a stream's too."""
    data = request(chat("plain", stream=True), key=gateway.key).replace(b" HTTP/1.1", b" HTTP/1.0", 1)
    answer = send(gateway, data, to_the_end=True)
    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_expect_continue(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Who asks first is told to go on."""
    body = chat("nice")
    with connected(gateway) as client:
        client.sendall(request(key=gateway.key, headers={"Content-Length": str(len(body)), "Expect": "100-continue"}))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_answer(client).status == 200
    assert json.loads(upstream.asked[0].body)["model"] == "real/model-name"
