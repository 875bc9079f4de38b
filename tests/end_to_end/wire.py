"""A client without manners: bytes over a socket, and the answer as it came."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from tests.end_to_end.processes import PATIENCE, Gateway


@attrs.frozen
class Answer:
    """An answer, whole.

    Attributes:
        status: Of HTTP.
        headers: By lower-case name.
        body: Without framing.
        is_last: The gateway closed the connection behind it.

    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool

    @property
    def json(self) -> Any:
        """The body read."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape, which it must have."""
        error = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert self.headers["content-type"] == "application/json"
        assert isinstance(error["message"], str)
        return dict(error)

    @property
    def text(self) -> str:
        """All that the client can see, for a search."""
        return f"{self.status} {dict(self.headers)} {self.body.decode('utf-8', 'backslashreplace')}"


@contextlib.contextmanager
def connected(gateway: Gateway) -> Iterator[socket.socket]:
    """A connection to the gateway."""
    with socket.create_connection((gateway.host, gateway.port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def read_answer(client: socket.socket, method: str = "POST", *, to_the_end: bool = False) -> Answer:
    """Read one answer; with `to_the_end` also what the connection does behind it."""
    response = http.client.HTTPResponse(client, method=method)
    try:
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        is_last = headers.get("connection") == "close"
        if to_the_end:
            assert client.recv(1) == b"", "something came behind the last answer"
            is_last = True
        return Answer(response.status, headers, body, is_last)
    finally:
        response.close()


def send(gateway: Gateway, data: bytes, method: str = "POST", *, to_the_end: bool = False) -> Answer:
    """Send bytes on a fresh connection and read the answer."""
    with connected(gateway) as client:
        client.sendall(data)
        return read_answer(client, method, to_the_end=to_the_end)


def request(
    body: bytes = b"",
    *,
    key: str = "",
    method: str = "POST",
    path: str = "/v1/chat/completions",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A request as bytes; `key` as bearer, Content-Length as it should be."""
    fields = {"Host": "gateway", "Content-Type": "application/json"}
    if key:
        fields["Authorization"] = f"Bearer {key}"
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    fields |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def chat(model: str, text: str = "hello", **more: object) -> bytes:
    """The body of a chat completion request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()
