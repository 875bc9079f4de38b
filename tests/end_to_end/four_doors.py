"""A gateway before four providers, one of each dialect, and what those were asked.

All four are one demo provider, in this process and without a pace: it writes down each request as it came, and answers with what a test
laid ready for a model, or as it does.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from dragoman.adapters.demo_provider import DemoProvider
from dragoman.core.effects import CloseClient, Effect, WriteClient
from tests.demo_server import ServedConnection, serve_connections
from tests.end_to_end.processes import Gateway, serving

CLIENT_KEY: Final = "sk-client-4d00rs"
UPSTREAM_KEY: Final = "sk-upstream-4d00rs"
DOORS: Final = (
    "chat",
    "responses",
    "claude",
    "gemini",
)  # what a model's name begins with; the rest is the upstream's name of it
_PACE: Final = 0.02  # enough that events come one by one on a busy machine

_TEMPLATE: Final = """\
host: 127.0.0.1
api-keys: [{{name: anna, key: {client}}}]
disable-cooling: true
openai-compatibility:
  - name: chat
    base-url: {url}/v1
    api-key-entries: [{{api-key: {upstream}}}]
  - name: probed
    base-url: {url}/v1
    dialect: responses
    models: [{{name: gpt-5.1-codex}}]
    api-key-entries: [{{api-key: {upstream}}}]
codex-api-key: [{{prefix: responses, base-url: '{url}/v1', api-key: {upstream}}}]
claude-api-key: [{{prefix: claude, base-url: '{url}', api-key: {upstream}}}]
gemini-api-key: [{{prefix: gemini, base-url: '{url}', api-key: {upstream}}}]
"""


@attrs.frozen
class Asked:
    """A request as a provider received it.

    Attributes:
        target: Path and query.
        headers: By lower-case name.
        body: The bytes.

    """

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read."""
        return json.loads(self.body)


class Providers:
    """The provider that is all four.

    Attributes:
        asked: The requests so far.
        laid: Whole answers, head included, by the upstream model's name.
        address: Host and port.

    """

    def __init__(self) -> None:
        self.address = ("", 0)
        self.asked: list[Asked] = []
        self.laid: dict[str, bytes] = {}
        self._news = threading.Condition()

    def connect(self) -> ServedConnection:
        """Begin with a client."""
        return _Recorded(self)

    def note(self, asked: Asked) -> bytes | None:
        """Write a request down; returns the answer laid ready for it."""
        with self._news:
            self.asked.append(asked)
        found = [answer for model, answer in self.laid.items() if model in asked.target or model.encode() in asked.body]
        return found[0] if found else None

    def forget(self) -> None:
        """Be as new."""
        with self._news:
            self.asked.clear()
        self.laid.clear()

    @property
    def last(self) -> Asked:
        """The last request of a client's; lists of models, which have no body, the gateway asks for when it likes."""
        with self._news:
            return next(asked for asked in reversed(self.asked) if asked.body)


class _Recorded:
    """The demo provider's end of a connection, with somebody who reads along; each request is answered by a new one."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._inner = DemoProvider(pace=0).connect()
        self._seen = b""

    @property
    def is_reading(self) -> bool:
        return self._inner.is_reading

    def next_deadline(self) -> float:
        return self._inner.next_deadline()

    def handle_timer(self, now: float) -> list[Effect]:
        return self._inner.handle_timer(now)

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        self._seen += data
        head, _, body = self._seen.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if data and len(body) < int(headers.get("content-length", "1")):
            return []
        asked, self._seen = self._seen, b""
        if data:
            ready = self._providers.note(Asked(first.split(" ")[1], headers, body))
            if ready is not None:
                return [WriteClient(ready), CloseClient()]
            # What breaks off in the middle must have begun: told all at once, the gateway would make a whole error of it.
            pace = _PACE if b"demo/cut" in asked or b"demo/error-mid-stream" in asked else 0
            self._inner = DemoProvider(pace=pace).connect()
        return self._inner.client_sent(asked, now)


def laid(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer to lay ready; a text is sent as it is (events), all else as JSON."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/event-stream" if isinstance(body, str) else "application/json"
    fields = {"Content-Type": kind, "Content-Length": str(len(data)), "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + data


@contextlib.contextmanager
def four_doors(folder: Path, transport: str, more: str = "") -> Iterator[tuple[Gateway, Providers]]:
    """Run a gateway before the four.

    Args:
        folder: For its configuration.
        transport: ``trio`` or ``asyncio``.
        more: Further lines of the configuration.

    """
    providers = Providers()
    with serve_connections(providers.connect) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        providers.address = (host, int(port))
        path = folder / "config.yaml"
        path.write_text(_TEMPLATE.format(url=url, client=CLIENT_KEY, upstream=UPSTREAM_KEY) + more)
        path.chmod(0o600)
        with serving(folder, transport, secrets=(CLIENT_KEY, UPSTREAM_KEY)) as gateway:
            gateway.key = CLIENT_KEY
            yield gateway, providers
