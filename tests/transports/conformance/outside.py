"""What the core has answered elsewhere: on the loop, in threads."""

import contextlib
import threading
import time

import pytest

from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from dragoman.transports.serving import WORKERS
from tests.transports.conformance.served import Suite
from tests.transports.line_proxy import LineProxy
from tests.transports.peers import PATIENCE, read_to_end, read_until


class Outside(Suite):
    """What the core has answered elsewhere: on the loop, in threads."""

    def test_serves_from_the_loop_and_from_a_thread(self) -> None:
        """In turns: the loop's thread, a worker's, the loop's again."""
        threads: list[str] = []

        def serve(request: LocalRequest) -> Step:
            threads.append(threading.current_thread().name)
            if request.path == "serve at once":
                return LocalAnswer(200, b"now")
            return work

        def work() -> Step:
            threads.append(threading.current_thread().name)
            return finish

        def finish() -> Step:
            threads.append(threading.current_thread().name)
            return lambda: LocalAnswer(200, b"later")

        with self.serve(serve=serve) as served, served.dial() as client:
            client.sendall(b"serve at once\n")
            assert read_until(client, b"end\n") == b"now\nend\n"
            client.sendall(b"serve in a thread\n")
            assert read_until(client, b"end\n") == b"later\nend\n"
        loop, again, worker, back = threads
        assert loop == again == back != worker

    def test_a_slow_answer_holds_up_nobody(self) -> None:
        """And not more than so many threads work, however many ask."""
        going = threading.Semaphore(0)
        count = threading.Lock()
        at_work, most = 0, 0

        def work() -> Step:
            nonlocal at_work, most
            with count:
                at_work += 1
                most = max(most, at_work)
            assert going.acquire(timeout=PATIENCE)
            with count:
                at_work -= 1
            return LocalAnswer(200, b"slow")

        with self.serve(serve=lambda request: work) as served, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(served.dial()) for _ in range(2 * WORKERS)]
            for client in clients:
                client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            going.release(len(clients))
            for client in clients:
                assert read_until(client, b"end\n") == b"slow\nend\n"
        assert 1 <= most <= WORKERS

    @pytest.mark.parametrize("in_thread", [False, True])
    def test_bug_in_an_answer_ends_nothing(self, in_thread: bool) -> None:
        """It is reported, and the connection goes on."""

        def fail() -> Step:
            raise RuntimeError("secret")

        with self.serve(
            connect=lambda notes: LineProxy(None, notes), serve=lambda request: fail if in_thread else fail()
        ) as served:
            with served.dial() as client:
                client.sendall(b"serve\n")
                assert read_until(client, b"end\n") == b"failed\nend\n"
                client.sendall(b"hello\n")
                assert read_until(client, b"end\n") == b"hello\nend\n"
            (error,) = served.errors
            assert "RuntimeError at transports/conformance/outside.py" in str(error)
            assert "secret" not in str(error)

    def test_client_that_leaves_while_it_is_served(self) -> None:
        """The answer is for nobody."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"late")

        with self.serve(serve=lambda request: work) as served:
            with served.dial() as client:
                client.sendall(b"serve\n")
                assert served.ask() == b"hello\nend\n"
            served.notes.wait_for("client left")
            going.set()
            assert served.ask(b"serve\n") == b"late\nend\n"

    def test_draining_waits_for_an_answer(self) -> None:
        """It is in hand."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"last")

        with self.serve(serve=lambda request: work) as served, served.dial() as client:
            client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            served.server.stop()
            served.notes.wait_for("drain")
            going.set()
            assert read_to_end(client) == b"last\nend\n"

    def test_an_answer_that_never_comes_does_not_hold_up_the_end(self) -> None:
        """Its client gets an error; the thread is left behind."""
        going = threading.Event()

        def work() -> Step:
            going.wait(PATIENCE)
            return LocalAnswer(200, b"too late")

        with self.serve(serve=lambda request: work, drain_seconds=0.05) as served, served.dial() as client:
            client.sendall(b"serve\n")
            assert served.ask() == b"hello\nend\n"
            began = time.monotonic()
            served.server.stop()
            assert read_to_end(client) == b"aborted\n"
            assert time.monotonic() - began < 1.5
        going.set()
