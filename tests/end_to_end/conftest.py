"""Gateways that all tests here share, one of each kind on each transport."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import Gateway, serving
from tests.end_to_end.setting import CLIENT_KEY, SECRETS, config_text
from tests.scripted_upstream import ScriptedUpstream, scripted_upstream

TRANSPORTS = ("trio", "asyncio")


@pytest.fixture(scope="session", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Each transport in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def running_upstream() -> Iterator[ScriptedUpstream]:
    """The one scripted upstream of the session."""
    with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: ScriptedUpstream) -> ScriptedUpstream:
    """The scripted upstream, having forgotten what was."""
    running_upstream.forget()
    return running_upstream


@pytest.fixture(scope="session")
def refused_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, but that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def demo(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with nothing configured: the demo provider answers."""
    with serving(tmp_path_factory.mktemp("demo"), transport) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def gateway(
    transport: str, running_upstream: ScriptedUpstream, refused_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with a configuration in front of the scripted upstream."""
    with _configured(
        tmp_path_factory.mktemp("gateway"), transport, config_text(running_upstream.url, refused_port)
    ) as it:
        yield it


@pytest.fixture(scope="session")
def strict(
    transport: str, running_upstream: ScriptedUpstream, refused_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """The same with little patience and small limits, logging JSON."""
    more = (
        "timeouts: {request-head: 300ms, request-body: 300ms, first-byte: 300ms, between-pieces: 300ms}\n"
        "limits: {body: 64KiB, head: 16KiB}\nlog-format: json\n"
    )
    text = config_text(running_upstream.url, refused_port) + more
    with _configured(tmp_path_factory.mktemp("strict"), transport, text) as it:
        yield it


@contextlib.contextmanager
def _configured(folder: Path, transport: str, text: str) -> Iterator[Gateway]:
    path = folder / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with serving(folder, transport, secrets=SECRETS) as gateway:
        gateway.key = CLIENT_KEY
        yield gateway
