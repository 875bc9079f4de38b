"""Who can be read or written is called: every way of finding out, on every event loop."""

import asyncio
import selectors
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
import uvloop

from dragoman.transports.on_asyncio import readiness as on_asyncio
from dragoman.transports.on_trio import readiness as on_trio
from dragoman.transports.readiness import READ, WRITE, Readiness, Selected
from tests.transports.watchers import NoFile, Watcher, pair

Turn = Callable[[], Awaitable[None]]  # long enough for whatever is due to happen, and no longer
Story = Callable[[Readiness, Turn], Awaitable[None]]
Run = Callable[[Story, list[Exception]], None]


def run_on_trio(make: Callable[[trio.Nursery, Callable[[Exception], None]], Readiness]) -> Run:
    def run(story: Story, errors: list[Exception]) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                ready = make(nursery, errors.append)
                await story(ready, lambda: trio.testing.wait_all_tasks_blocked(0.01))
                if not getattr(ready, "is_closed", False):
                    ready.close()
                nursery.cancel_scope.cancel()

        trio.run(main)

    return run


def run_on_asyncio(
    make: Callable[[Callable[[Exception], None]], Readiness], factory: Callable[[], asyncio.AbstractEventLoop]
) -> Run:
    def run(story: Story, errors: list[Exception]) -> None:
        async def main() -> None:
            ready = make(errors.append)
            await story(ready, lambda: asyncio.sleep(0.01))
            if not getattr(ready, "is_closed", False):
                ready.close()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run


def called(on_error: Callable[[Exception], None]) -> Readiness:
    return on_asyncio.Called(asyncio.get_running_loop(), on_error)


WITH_TURNS = [
    pytest.param(run_on_trio(on_trio.readiness), id="trio"),
    pytest.param(run_on_asyncio(on_asyncio.readiness, asyncio.new_event_loop), id="asyncio"),
    pytest.param(run_on_asyncio(on_asyncio.readiness, uvloop.new_event_loop), id="uvloop"),
]
WITHOUT = [
    pytest.param(run_on_trio(on_trio.Awaited), id="trio-tasks"),
    pytest.param(run_on_asyncio(called, asyncio.new_event_loop), id="asyncio-callbacks"),
]
everywhere = pytest.mark.parametrize("run", [*WITH_TURNS, *WITHOUT])
with_turns = pytest.mark.parametrize("run", WITH_TURNS)


@everywhere
def test_who_can_read_is_called_until_it_is_ignored(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs):
            got: list[bytes] = []
            watcher = Watcher(lambda: got.append(ours.recv(10)))
            ready.watch(ours, watcher, READ)
            await turn()
            assert got == []
            theirs.send(b"a")
            await turn()
            theirs.send(b"b")
            await turn()
            assert got == [b"a", b"b"]
            ready.watch(ours, watcher, 0)
            theirs.send(b"c")
            await turn()
            assert got == [b"a", b"b"]
            ready.watch(ours, watcher, READ)
            await turn()
            assert got == [b"a", b"b", b"c"]
            ready.watch(ours, watcher, 0)
            ready.watch(ours, watcher, 0)  # again, which changes nothing

    run(story, errors)
    assert errors == []


@everywhere
def test_who_can_write_is_called_beside(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs):
            calls: list[str] = []

            def writable() -> None:
                calls.append("write")
                ready.watch(ours, watcher, READ)

            def readable() -> None:
                calls.append("read")
                ours.recv(10)

            watcher = Watcher(readable, writable)
            ready.watch(ours, watcher, READ | WRITE)
            await turn()
            assert calls == ["write"]
            theirs.send(b"a")
            await turn()
            assert calls == ["write", "read"]
            ready.watch(ours, watcher, WRITE)
            theirs.send(b"b")
            await turn()
            assert calls[2] == "write"
            ready.watch(ours, watcher, 0)

    run(story, errors)
    assert errors == []


@everywhere
def test_a_bug_is_told_and_its_socket_ignored(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs), pair() as (other, its):
            got: list[bytes] = []
            ready.watch(ours, Watcher(lambda: 1 / 0), READ)
            ready.watch(other, Watcher(lambda: got.append(other.recv(10))), READ)
            theirs.send(b"a")
            its.send(b"b")
            await turn()
            assert got == [b"b"]
            for sock in (ours, other):  # as whoever closes them does
                ready.watch(sock, Watcher(), 0)

    run(story, errors)
    assert [type(error) for error in errors] == [ZeroDivisionError]


@everywhere
def test_one_may_ignore_itself_and_close_while_it_is_called(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs):
            calls: list[str] = []

            def once() -> None:
                calls.append("once")
                ready.watch(ours, watcher, 0)
                ours.close()
                raise RuntimeError("and have a bug")

            watcher = Watcher(once)
            ready.watch(ours, watcher, READ)
            theirs.send(b"a")
            await turn()
            assert calls == ["once"]

    run(story, errors)
    assert [str(error) for error in errors] == ["and have a bug"]


@everywhere
def test_soon_is_after_what_is_going_on(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs):
            calls: list[str] = []

            def readable() -> None:
                ours.recv(10)
                ready.soon(lambda: calls.append("soon"))
                calls.append("read")

            watcher = Watcher(readable)
            ready.watch(ours, watcher, READ)
            theirs.send(b"a")
            await turn()
            assert calls == ["read", "soon"]
            ready.soon(lambda: calls.append("by itself"))
            assert len(calls) == 2
            await turn()
            assert calls == ["read", "soon", "by itself"]
            ready.watch(ours, watcher, 0)

    run(story, errors)
    assert errors == []


@with_turns
def test_what_was_written_is_flushed_when_all_were_called(run: Run) -> None:
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (one, its), pair() as (other, the_others):
            calls: list[str] = []

            def readable(sock: socket.socket, watcher: Callable[[], Watcher]) -> None:
                sock.recv(10)
                calls.append("read")
                assert ready.is_turning
                ready.soon(lambda: calls.append("soon"))
                ready.later(watcher())

            first = Watcher(lambda: readable(one, lambda: first), flush=lambda: calls.append("flush"))
            second = Watcher(lambda: readable(other, lambda: second), flush=lambda: 1 / 0)
            ready.watch(one, first, READ)
            ready.watch(other, second, READ)
            its.send(b"a")
            the_others.send(b"b")
            assert not ready.is_turning
            await turn()
            assert calls == ["read", "read", "flush", "soon", "soon"]
            assert not ready.is_turning
            for sock in (one, other):
                ready.watch(sock, Watcher(), 0)

    run(story, errors)
    assert [type(error) for error in errors] == [ZeroDivisionError]


@with_turns
def test_one_alone_is_not_kept_waiting_for_those_to_come(run: Run) -> None:
    """What became readable meanwhile is called in the same turn, after it."""
    errors: list[Exception] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (one, its), pair() as (other, the_others):
            calls: list[str] = []

            def readable(sock: socket.socket, name: str, watcher: Callable[[], Watcher]) -> None:
                sock.recv(10)
                if sock is one:
                    the_others.send(b"b")
                calls.append(name)
                ready.later(watcher())

            first = Watcher(lambda: readable(one, "one", lambda: first), flush=lambda: calls.append("flush"))
            second = Watcher(lambda: readable(other, "other", lambda: second), flush=lambda: calls.append("flush"))
            ready.watch(one, first, READ)
            ready.watch(other, second, READ)
            its.send(b"a")
            await turn()
            assert calls == ["one", "flush", "other", "flush"]
            for sock in (one, other):
                ready.watch(sock, Watcher(), 0)

    run(story, errors)
    assert errors == []


@with_turns
def test_a_crowd_does_not_make_the_first_wait(run: Run) -> None:
    errors: list[Exception] = []
    calls: list[str] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        pairs = [socket.socketpair() for _ in range(150)]

        def watcher(sock: socket.socket) -> Watcher:
            def readable() -> None:
                sock.recv(10)
                calls.append("read")
                ready.later(its_own)

            its_own = Watcher(readable, flush=lambda: calls.append("flush"))
            return its_own

        for ours, theirs in pairs:
            ready.watch(ours, watcher(ours), READ)
            theirs.send(b"a")
        await turn()
        for ours, theirs in pairs:
            ready.watch(ours, Watcher(), 0)
            ours.close()
            theirs.close()

    run(story, errors)
    assert errors == []
    assert calls.count("read") == calls.count("flush") == 150
    assert calls.index("flush") < 100


@pytest.mark.parametrize(("pause", "most"), [(0.0, 64), (0.01, 1)])
def test_a_turn_ends_though_somebody_is_always_ready(pause: float, most: int) -> None:
    """Who comes and what is due must not wait for a flood, be it of many small things or of one that takes long."""
    calls: list[int] = []

    def readable() -> None:
        calls.append(1)
        time.sleep(pause)

    ready = Selected(selectors.DefaultSelector(), lambda call: None, lambda error: pytest.fail(str(error)))
    with pair() as (ours, theirs):
        theirs.send(b"never read")
        ready.watch(ours, Watcher(readable), READ)
        ready.turn()
        assert 1 <= len(calls) <= most
        ready.close()


@pytest.mark.parametrize("run", WITHOUT)
def test_without_turns_nothing_waits(run: Run) -> None:
    async def story(ready: Readiness, turn: Turn) -> None:
        calls: list[str] = []
        assert not ready.is_turning
        ready.later(Watcher(flush=lambda: calls.append("flush")))
        assert calls == ["flush"]

    run(story, [])


@everywhere
def test_closed_it_calls_nobody(run: Run) -> None:
    async def story(ready: Readiness, turn: Turn) -> None:
        with pair() as (ours, theirs):
            calls: list[str] = []
            watcher = Watcher(lambda: calls.append("read"))
            ready.watch(ours, watcher, READ)
            ready.close()
            theirs.send(b"a")
            await turn()
            assert calls == []

    async def and_again(ready: Readiness, turn: Turn) -> None:
        selector = selectors.DefaultSelector()
        closed = Selected(selector, lambda call: None, lambda error: None)
        closed.close()
        with pair() as (ours, _):
            closed.watch(ours, Watcher(), READ)  # whoever comes too late
            closed.watch(ours, Watcher(), 0)

    errors: list[Exception] = []
    run(story, errors)
    run(and_again, errors)
    assert errors == []


def test_where_selectors_are_no_files_each_socket_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Readiness] = []

    async def story(ready: Readiness, turn: Turn) -> None:
        found.append(ready)

    monkeypatch.setattr(selectors, "DefaultSelector", NoFile)
    run_on_trio(on_trio.readiness)(story, [])
    run_on_asyncio(on_asyncio.readiness, asyncio.new_event_loop)(story, [])
    assert [type(ready) for ready in found] == [on_trio.Awaited, on_asyncio.Called]
