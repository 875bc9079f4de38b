"""Who can read is called; both ways of finding out."""

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from dragoman.transports.on_trio.readiness import Awaited, Readiness, Selected, readiness

Make = Callable[[trio.Nursery, Callable[[Exception], None]], Readiness]


def selected(nursery: trio.Nursery, on_error: Callable[[Exception], None]) -> Readiness:
    return Selected(nursery, on_error, selectors.DefaultSelector())


both = pytest.mark.parametrize("make", [selected, Awaited])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def turn() -> None:
    """Long enough for whatever is due to happen, and no longer."""
    await trio.testing.wait_all_tasks_blocked(0.01)


@both
@pytest.mark.trio
async def test_who_can_read_is_called_until_it_is_ignored(
    make: Make, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:
        ready = make(nursery, lambda error: pytest.fail(str(error)))
        ready.watch(ours, lambda: got.append(ours.recv(10)))
        await turn()
        assert got == []
        theirs.send(b"a")
        await turn()
        theirs.send(b"b")
        await turn()
        assert got == [b"a", b"b"]
        ready.ignore(ours)
        theirs.send(b"c")
        await turn()
        assert got == [b"a", b"b"]
        ready.watch(ours, lambda: got.append(ours.recv(10)))
        await turn()
        assert got == [b"a", b"b", b"c"]
        ready.close()
        nursery.cancel_scope.cancel()


@both
@pytest.mark.trio
async def test_a_bug_is_told_and_its_socket_ignored(make: Make, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    other, its = socket.socketpair()
    errors: list[Exception] = []
    got: list[bytes] = []
    with other, its:
        other.setblocking(False)
        async with trio.open_nursery() as nursery:
            ready = make(nursery, errors.append)
            ready.watch(ours, lambda: 1 / 0)  # type: ignore[arg-type]  # a bug
            ready.watch(other, lambda: got.append(other.recv(10)))
            theirs.send(b"a")
            its.send(b"b")
            await turn()
            assert [type(error) for error in errors] == [ZeroDivisionError]
            assert got == [b"b"]
            ready.ignore(ours)  # as whoever closes it does
            ready.close()
            nursery.cancel_scope.cancel()


@both
@pytest.mark.trio
async def test_one_may_ignore_itself_and_others_while_it_is_called(
    make: Make, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    calls: list[str] = []
    async with trio.open_nursery() as nursery:
        ready = make(nursery, lambda error: pytest.fail(str(error)))

        def once() -> None:
            calls.append("once")
            ready.ignore(ours)

        ready.watch(ours, once)
        theirs.send(b"a")
        await turn()
        assert calls == ["once"]
        ready.close()
        nursery.cancel_scope.cancel()


class NoFile(selectors.SelectSelector):
    """What there is on Windows: a selector without a number."""


@pytest.mark.trio
async def test_where_selectors_are_no_files_a_task_waits_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async with trio.open_nursery() as nursery:
        assert isinstance(readiness(nursery, lambda error: None), Selected)
        monkeypatch.setattr(selectors, "DefaultSelector", NoFile)
        assert isinstance(readiness(nursery, lambda error: None), Awaited)
        nursery.cancel_scope.cancel()
