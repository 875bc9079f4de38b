"""A client connection driven by hand, with no transport: what it asks for is noted, what happens to it is said."""

import itertools
import json
from typing import Any

import h11

from dragoman.core.config import ClientKey, Config, Credential, Model, Provider
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import (
    Afterwards,
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    FailureKind,
    LocalAnswer,
    OpenUpstream,
    ReleaseUpstream,
    Serve,
    WriteClient,
    WriteUpstream,
)
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Journal

KEY = "sk-client"


def provider(name: str = "acme", *, credentials: int = 1, **more: Any) -> Provider:
    """A provider with models ``<name>-large`` (alias of ``large``) and ``shared``."""
    defaults: dict[str, Any] = {
        "kind": "openai-compatibility",
        "dialect": "openai_chat",
        "base_url": f"https://{name}.test/v1",
        "credentials": tuple(Credential(f"{name}-{i}", f"sk-secret-{name}-{i}") for i in range(credentials)),
        "models": (Model("large", f"{name}-large"), Model("shared", "shared")),
    }
    return Provider(name, **(defaults | more))


def config(*providers: Provider, **more: Any) -> Config:
    """A configuration with one client key."""
    return Config(providers=providers or (provider(),), api_keys=(ClientKey(KEY, "alice"),), **more)


class Conversation:
    """One client connection and what became of it.

    Attributes:
        to_client: All bytes written to the client.
        to_upstream: All bytes written to each attempt.
        opened: Attempts that asked for a connection, in order.
        handed_over: Requests that somebody outside is to answer, in order.
        closed: Attempts that were closed; `released` those that were kept.
        is_over: CloseClient came.
        journals: Records, in order.

    """

    def __init__(self, config_: Config | None = None, *, now: float = 1000.0, peer: str = "memory") -> None:
        self.journals: list[Journal] = []
        ids = itertools.count(1)
        self.gateway = Gateway(
            config_ or config(),
            version="1.2.3",
            transport="none",
            now=now,
            new_id=lambda: f"req-{next(ids)}",
            draw=lambda: 0.0,
            record=self.journals.append,
        )
        self.now = now
        self.core = ClientConnection(self.gateway, now, peer)
        self.to_client = b""
        self.to_upstream: dict[int, bytes] = {}
        self.opened: list[OpenUpstream] = []
        self.handed_over: list[Serve] = []
        self.closed: list[int] = []
        self.released: list[int] = []
        self.is_over = False

    def perform(self, effects: list[Effect]) -> None:
        """Note what is asked for; the first of a transport's duties is that nothing follows CloseClient."""
        for effect in effects:
            assert not self.is_over
            match effect:
                case WriteClient(data):
                    self.to_client += data
                case WriteUpstream(attempt, data):
                    self.to_upstream[attempt] = self.to_upstream.get(attempt, b"") + data
                case OpenUpstream():
                    self.opened.append(effect)
                case Serve():
                    self.handed_over.append(effect)
                case CloseUpstream(attempt):
                    self.closed.append(attempt)
                case ReleaseUpstream(attempt):
                    self.released.append(attempt)
                case Afterwards(call):
                    call()
                case CloseClient():
                    self.is_over = True

    @property
    def attempt(self) -> int:
        """The last attempt."""
        return self.opened[-1].attempt

    def client(self, data: bytes) -> "Conversation":
        """The client sends."""
        self.perform(self.core.client_sent(data, self.now))
        return self

    def open(self, attempt: int | None = None, *, reused: bool = False) -> "Conversation":
        """The upstream connection stands."""
        self.perform(self.core.upstream_opened(attempt or self.attempt, self.now, reused))
        return self

    def upstream(self, data: bytes, attempt: int | None = None) -> "Conversation":
        """The provider sends."""
        self.perform(self.core.upstream_sent(attempt or self.attempt, data, self.now))
        return self

    def refuse(self, kind: FailureKind = FailureKind.REFUSED, detail: str = "nobody listens") -> "Conversation":
        """The upstream connection cannot be opened."""
        self.perform(self.core.upstream_failed(self.attempt, ConnectFailure(kind, detail), self.now))
        return self

    def serve(self, answer: LocalAnswer | None, attempt: int | None = None) -> "Conversation":
        """Somebody outside the core has answered."""
        self.perform(self.core.served(attempt or self.handed_over[-1].attempt, answer, self.now))
        return self

    def wait(self) -> float:
        """Let time pass to the next deadline; returns the seconds that takes."""
        deadline = self.core.next_deadline()
        passed = deadline - self.now
        self.now = deadline
        self.perform(self.core.handle_timer(self.now))
        return passed

    def request_at(self, attempt: int | None = None) -> tuple[str, dict[str, str], Any]:
        """What an attempt was sent: path, headers, JSON body; read by h11."""
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(self.to_upstream[attempt or self.attempt])
        head = reader.next_event()
        assert isinstance(head, h11.Request)
        body = b""
        while isinstance(event := reader.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        return head.target.decode(), {n.decode(): v.decode() for n, v in head.headers}, json.loads(body)

    def answers(self, *methods: str) -> list[tuple[int, dict[str, str], bytes]]:
        """What the client got: status, headers, body of each answer; read by h11, which checks the framing."""
        out = []
        reader = h11.Connection(h11.CLIENT)
        reader.receive_data(self.to_client)
        if self.is_over:
            reader.receive_data(b"")
        for method in itertools.chain(methods, itertools.repeat("POST")):
            if not reader.trailing_data[0]:
                break
            reader.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
            reader.send(h11.EndOfMessage())
            event = reader.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = reader.next_event()
            assert isinstance(event, h11.Response), event
            body = b""
            while isinstance(piece := reader.next_event(), h11.Data):
                body += bytes(piece.data)
            assert isinstance(piece, h11.EndOfMessage), piece
            out.append((event.status_code, {n.decode(): v.decode() for n, v in event.headers}, body))
            if reader.their_state is not h11.DONE or reader.our_state is not h11.DONE:
                break
            reader.start_next_cycle()
        return out

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The one answer the client got."""
        (answer,) = self.answers()
        return answer


def post(
    body: object,
    *,
    path: str = "/v1/chat/completions",
    key: str | None = KEY,
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A client's POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(data)}"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def get(path: str, *, key: str | None = KEY, method: str = "GET", headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A client's GET."""
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def reply(
    body: object,
    *,
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
    kind: str = "application/json",
) -> bytes:
    """A provider's answer with a length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """Chunks, and the last one if `end`."""
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + (b"0\r\n\r\n" if end else b"")
