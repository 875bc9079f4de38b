"""The asyncio transport does what every transport does, on asyncio's own loop and on uvloop."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

import attrs
import pytest

from dragoman.transports.on_asyncio.server import Server
from dragoman.transports.services import Service, Settings
from tests.transports.conformance import Conformance, ServerThread, Stoppable, run_in_thread
from tests.transports.watchers import Windows


def serving_on(factory: Callable[[], asyncio.AbstractEventLoop]) -> ServerThread:
    """Make a function that serves in a thread, on the loop that `factory` makes."""

    @contextlib.contextmanager
    def server_thread(services: Sequence[Service], settings: Settings) -> Iterator[Stoppable]:
        def run(tell: Callable[[Callable[[], None]], None]) -> None:
            async def main() -> None:
                loop = asyncio.get_running_loop()
                loop.set_exception_handler(lambda _, context: complaints.append(context))

                def stop() -> None:
                    loop.call_soon_threadsafe(server.stop)

                def ready() -> None:
                    settings.on_ready()
                    tell(stop)

                server = Server(services, attrs.evolve(settings, on_ready=ready))
                await server.run()
                assert asyncio.all_tasks() == {asyncio.current_task()}
                assert complaints == []

            complaints: list[object] = []
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main())

        yield from run_in_thread(run)

    return server_thread


class TestAsyncio(Conformance):
    """On asyncio's own loop."""

    server_thread = staticmethod(serving_on(asyncio.new_event_loop))


class TestUvloop(Conformance):
    """On uvloop."""

    resolves_in_python = False

    @classmethod
    def setup_class(cls) -> None:
        """Skip where it is not installed."""
        uvloop = pytest.importorskip("uvloop")
        cls.server_thread = staticmethod(serving_on(uvloop.new_event_loop))


class TestAsyncioWithCallbacks(Conformance):
    """On asyncio's own loop, which calls for each socket, as on Windows."""

    server_thread = staticmethod(serving_on(asyncio.new_event_loop))

    @pytest.fixture(autouse=True)
    def no_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is no selector that is a file."""
        monkeypatch.setattr("dragoman.transports.on_asyncio.readiness.selectors", Windows)
