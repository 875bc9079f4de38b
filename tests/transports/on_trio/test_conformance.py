"""The trio transport does what every transport does."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import attrs
import pytest
import trio

from dragoman.transports.on_trio.server import Server
from dragoman.transports.services import Service, Settings
from tests.transports.conformance import Conformance, Stoppable, run_in_thread
from tests.transports.watchers import Windows


@contextlib.contextmanager
def server_thread(services: Sequence[Service], settings: Settings) -> Iterator[Stoppable]:
    """Serve in a thread."""

    def run(tell: Callable[[Callable[[], None]], None]) -> None:
        async def main() -> None:
            token = trio.lowlevel.current_trio_token()

            def ready() -> None:
                settings.on_ready()
                tell(lambda: token.run_sync_soon(server.stop))

            server = Server(services, attrs.evolve(settings, on_ready=ready))
            await server.run()

        trio.run(main)

    yield from run_in_thread(run)


class TestTrio(Conformance):
    """On trio."""

    server_thread = staticmethod(server_thread)


class TestTrioWithTasks(Conformance):
    """On trio, a task waiting for each socket, as on Windows."""

    server_thread = staticmethod(server_thread)

    @pytest.fixture(autouse=True)
    def no_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is no selector that is a file."""
        monkeypatch.setattr("dragoman.transports.on_trio.readiness.selectors", Windows)
