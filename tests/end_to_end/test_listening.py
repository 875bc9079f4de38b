"""Where it listens and what it goes through: HTTPS, a Unix socket, proxies."""

import base64
import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import trustme

from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.wire import chat, connected, read_answer, request, send
from tests.scripted_upstream import ANSWER, ScriptedUpstream

KEY = "sk-client-5ecret"


def write(folder: Path, text: str) -> None:
    """A configuration with a client key."""
    path = folder / "config.yaml"
    path.write_text(f"host: 127.0.0.1\napi-keys: [{KEY}]\n{text}")
    path.chmod(0o600)


def test_https(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """The SDK over TLS; who speaks plainly or trusts nobody is turned away, and the next is served."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    write(
        tmp_path,
        "tls: {enable: true, cert: server.pem, key: server.pem}\n"
        f"openai-compatibility: [{{name: lab, base-url: {upstream.url}/v1}}]\n",
    )
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with serving(tmp_path, transport, secrets=[KEY]) as gateway:
        assert gateway.url.startswith("https://")
        http_client = openai.DefaultHttpxClient(trust_env=False, verify=trusting)
        with openai.OpenAI(
            base_url=f"{gateway.url}/v1", api_key=KEY, http_client=http_client, max_retries=0, timeout=PATIENCE
        ) as client:
            for _ in range(2):
                pieces = client.chat.completions.create(
                    model="lab/x", messages=[{"role": "user", "content": "x"}], stream=True
                )
                assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Hello"
                assert not spoken_plainly(gateway).startswith(b"HTTP/")
                with (
                    socket.create_connection((gateway.host, gateway.port), PATIENCE) as doubting,
                    pytest.raises(ssl.SSLCertVerificationError),
                ):
                    ssl.create_default_context().wrap_socket(doubting, server_hostname="localhost")


def spoken_plainly(gateway: Gateway) -> bytes:
    """What a client hears that does not speak TLS: an alert, or nothing."""
    with connected(gateway) as client:
        client.sendall(request(chat("lab/x"), key=KEY))
        with contextlib.suppress(ConnectionResetError):
            return client.recv(1000)
        return b""


def test_https_upstream(tmp_path: Path, transport: str) -> None:
    """A provider's certificate has to come from somebody trusted (`ca-file`), and for the name in the URL."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    right, wrong, unknown = (
        server_context(ca.issue_cert(name))
        for ca, name in ((authority, "127.0.0.1"), (authority, "other.example"), (trustme.CA(), "127.0.0.1"))
    )
    with tls_provider(right) as first, tls_provider(wrong) as second, tls_provider(unknown) as third:
        providers = [("right", first), ("wrong", second), ("unknown", third)]
        entries = [f"  - {{name: {name}, base-url: 'https://127.0.0.1:{port}/v1'}}\n" for name, port in providers]
        write(tmp_path, f"ca-file: {tmp_path / 'ca.pem'}\nopenai-compatibility:\n{''.join(entries)}")
        with serving(tmp_path, transport, secrets=[KEY]) as gateway:
            assert send(gateway, request(chat("right/x"), key=KEY)).body == ANSWER
            for name in ("wrong", "unknown"):
                answer = send(gateway, request(chat(f"{name}/x"), key=KEY))
                assert answer.status == 502
                assert f"{name} could not be reached: " in answer.error["message"]
                assert "certificate is not accepted" in answer.error["message"]


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A context that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_unix_socket(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """Beside the port; only its owner may connect; it is gone when the gateway is."""
    path = tmp_path / "g.sock"
    write(tmp_path, f"unix-socket: {path}\nopenai-compatibility: [{{name: lab, base-url: {upstream.url}/v1}}]\n")
    with serving(tmp_path, transport) as gateway:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(request(chat("lab/x"), key=KEY))
            assert read_answer(client).body == ANSWER
        assert send(gateway, request(chat("lab/x"), key=KEY)).body == ANSWER
    assert not path.exists()


def test_ipv6(tmp_path: Path, transport: str) -> None:
    """Where the machine has it."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(tmp_path, transport, "--host", "::1") as gateway:
        assert gateway.url == f"http://[::1]:{gateway.port}"
        gateway.host = "::1"
        assert send(gateway, request(method="GET", path="/health"), "GET").status == 200


def test_proxies(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    """All go through the global one, but for a credential that says `direct`; its password is nobody's business."""
    with connect_proxy() as proxy:
        port = upstream.url.rpartition(":")[2]
        write(
            tmp_path,
            f"proxy-url: 'http://me:pr0xy-5ecret@127.0.0.1:{proxy.port}'\n"
            "openai-compatibility:\n"
            f"  - {{name: far, base-url: 'http://far.invalid:{port}/v1', api-key-entries: [{{api-key: a}}]}}\n"
            f"  - {{name: near, base-url: '{upstream.url}/v1', api-key-entries: [{{api-key: b, proxy-url: direct}}]}}\n"
            f"  - {{name: shut, base-url: 'http://shut.invalid:{port}/v1', api-key-entries: [{{api-key: c}}]}}\n",
        )
        with serving(tmp_path, transport, secrets=[KEY, "5ecret"]) as gateway:
            assert send(gateway, request(chat("near/x"), key=KEY)).body == ANSWER
            assert send(gateway, request(chat("far/x"), key=KEY)).body == ANSWER
            answer = send(gateway, request(chat("shut/x"), key=KEY))
            assert answer.status == 502
            assert "shut" in answer.error["message"]
            assert "403" in answer.error["message"]
            assert "5ecret" not in answer.text
            # Others were asked for their models besides; nobody went to the near one this way.
            assert {line for line, _ in proxy.asked} == {
                f"CONNECT {name}.invalid:{port} HTTP/1.1" for name in ("far", "shut")
            }
            assert {credentials for _, credentials in proxy.asked} == {
                "Basic " + base64.b64encode(b"me:pr0xy-5ecret").decode()
            }


class ConnectProxy:
    """An HTTP proxy that leads everywhere to this machine, but not to ``shut.invalid``.

    Attributes:
        port: Where it listens.
        asked: Request line and credentials of each CONNECT.

    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline().decode().strip()
                credentials = ""
                while field := self.rfile.readline().decode().strip():
                    if field.lower().startswith("proxy-authorization: "):
                        credentials = field.partition(": ")[2]
                proxy.asked.append((line, credentials))
                host, _, port = line.split()[1].rpartition(":")
                if host == "shut.invalid":
                    self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    return
                with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as there:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=pour, args=(there, self.connection), daemon=True)
                    back.start()
                    pour(self.connection, there)
                    back.join(PATIENCE)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])


def pour(source: socket.socket, target: socket.socket) -> None:
    """All that comes from one side goes to the other, its end too."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextlib.contextmanager
def connect_proxy() -> Iterator[ConnectProxy]:
    """Run one until the block ends."""
    proxy = ConnectProxy()
    with _running(proxy.server):
        yield proxy


@contextlib.contextmanager
def tls_provider(context: ssl.SSLContext) -> Iterator[int]:
    """A provider behind TLS that answers everything alike; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def finish_request(self, request: object, client_address: object) -> None:
            assert isinstance(request, socket.socket)
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    with _running(Server(("127.0.0.1", 0), Handler)) as server:
        yield int(server.server_address[1])


@contextlib.contextmanager
def _running(server: socketserver.ThreadingTCPServer) -> Iterator[socketserver.ThreadingTCPServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


def has_ipv6() -> bool:
    """Whether there is an IPv6 loopback."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False
