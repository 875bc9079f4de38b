"""The stage that all pages share."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.runbook.commands import RAN
from tests.runbook.stage import Stage, staged


@pytest.fixture(scope="session", params=("trio", "asyncio"))
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, webhook: str) -> Iterator[Stage]:
    """On each transport in turn; iFlow has met its limit, every other provider has answered."""
    with staged(tmp_path_factory.mktemp("runbook"), str(request.param), webhook) as it:
        assert it.ask("gpt-5.1-codex", reasoning_effort="high") == 200
        assert it.ask("iflow/qwen3-max") == 200
        assert it.ask("antigravity/claude-sonnet") == 200
        assert it.ask("iflow/busy") == 429
        yield it


@pytest.fixture(scope="session")
def webhook() -> Iterator[str]:
    """An Apprise address that takes whatever it is sent."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many commands ran."""
    if RAN:
        text = f"{len(RAN)} commands of the runbooks ran and did what is written, {len(set(RAN))} different ones"
        terminalreporter.write_line(text)
