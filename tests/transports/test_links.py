"""What is written in a turn, and what becomes of it when the connection ends in the same turn."""

import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from dragoman.core.effects import Origin
from dragoman.transports.driver import Driver, Nobody
from dragoman.transports.links import ClientLink, Link, UpstreamLink
from dragoman.transports.readiness import READ, WRITE, Watched
from tests.transports.watchers import pair


class ByHand:
    """Readiness whose turns begin and end when told."""

    def __init__(self) -> None:
        self.is_turning = False
        self.events: dict[int, int] = {}
        self.due: list[Watched] = []
        self.called_soon: list[Callable[[], None]] = []

    def watch(self, sock: socket.socket, watched: Watched, events: int) -> None:
        self.events[sock.fileno()] = events

    def later(self, watched: Watched) -> None:
        self.due.append(watched)

    def soon(self, call: Callable[[], None]) -> None:
        self.called_soon.append(call)

    def close(self) -> None:
        pass

    def end_turn(self) -> None:
        due, self.due = self.due, []
        for watched in due:
            watched.flush()
        self.is_turning = False


class Keeper:
    """Keeps nothing, and remembers."""

    def __init__(self) -> None:
        self.kept: list[UpstreamLink] = []
        self.gone: list[UpstreamLink] = []

    def keep(self, link: UpstreamLink) -> None:
        self.kept.append(link)

    def ended(self, link: UpstreamLink) -> None:
        self.gone.append(link)


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand()


def received(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    try:
        return sock.recv(1_000_000)
    except BlockingIOError:
        return b"nothing yet"


ORIGIN = Origin("http", "a.example", 80)


def test_outside_of_a_turn_writing_is_sending(by_hand: ByHand) -> None:
    with pair() as (ours, theirs):
        link = Link(ours, None, by_hand)
        link.write(b"a")
        assert received(theirs) == b"a"


def test_in_a_turn_all_that_was_written_is_one_piece_at_its_end(by_hand: ByHand) -> None:
    with pair() as (ours, theirs):
        link = Link(ours, None, by_hand)
        by_hand.is_turning = True
        for piece in (b"a", b"", b"b"):
            link.write(piece)
        assert received(theirs) == b"nothing yet"
        assert (link.unsent, by_hand.due, link.is_backed_up) == (2, [link], False)
        by_hand.end_turn()
        assert received(theirs) == b"ab"
        assert link.unsent == 0


def test_finishing_sends_first(by_hand: ByHand) -> None:
    with pair() as (ours, theirs):
        link = Link(ours, None, by_hand)
        by_hand.is_turning = True
        link.write(b"last words")
        link.finish()
        link.write(b"too late")
        assert received(theirs) == b"last words"
        assert received(theirs) == b""
        by_hand.end_turn()


def test_a_client_that_is_closed_gets_what_was_said_to_it(by_hand: ByHand) -> None:
    gone: list[ClientLink] = []
    with pair() as (ours, theirs):
        link = ClientLink(ours, None, by_hand, gone.append)
        by_hand.is_turning = True
        link.write(b"an answer")
        link.close()
        link.close()
        by_hand.end_turn()
        assert received(theirs) == b"an answer"
        assert received(theirs) == b""
        assert gone == []
        for call in by_hand.called_soon:
            call()
        assert gone == [link]


def test_bookkeeping_is_for_when_the_answer_is_sent(by_hand: ByHand) -> None:
    calls: list[str] = []
    with pair() as (ours, _):
        link = ClientLink(ours, None, by_hand, lambda link: None)
        link.afterwards(lambda: calls.append("now"))
        assert calls == ["now"]
        by_hand.is_turning = True
        link.afterwards(lambda: calls.append("soon"))
        assert calls == ["now"]
        by_hand.called_soon.pop()()
        assert calls == ["now", "soon"]


def test_a_provider_is_not_asked_what_nobody_wants_any_more(by_hand: ByHand) -> None:
    keeper = Keeper()
    with pair() as (ours, theirs):
        link = UpstreamLink(ours, None, by_hand, ORIGIN, keeper)
        by_hand.is_turning = True
        link.write(b"a request")
        link.close()
        by_hand.end_turn()
        assert received(theirs) == b""
        assert keeper.gone == [link]


def test_a_connection_with_an_unsent_request_is_not_kept(by_hand: ByHand) -> None:
    keeper = Keeper()
    with pair() as (ours, _):
        link = UpstreamLink(ours, None, by_hand, ORIGIN, keeper)
        by_hand.is_turning = True
        link.write(b"a request")
        link.release()
        assert (keeper.kept, keeper.gone) == ([], [link])
        by_hand.end_turn()


def test_what_comes_before_the_request_has_gone_is_no_answer_to_it(by_hand: ByHand) -> None:
    """An idle connection speaks (a 408, say) in the turn in which it is taken: whoever took it hears that it closed."""
    keeper, told = Keeper(), list[tuple[int, bytes]]()

    class Asking:
        client = Nobody()

        def upstream_sent(self, attempt: int, data: bytes) -> None:
            told.append((attempt, data))

    for is_sent, said in ((False, b""), (True, b"HTTP/1.1 408 Too late")):
        with pair() as (ours, theirs):
            link = UpstreamLink(ours, None, by_hand, ORIGIN, keeper)
            by_hand.is_turning = True
            link.serve(cast("Driver", Asking()), 7)
            link.write(b"a request")
            if is_sent:
                by_hand.end_turn()
            theirs.send(b"HTTP/1.1 408 Too late")
            link.readable()
            assert told.pop() == (7, said)
            assert link.is_closed is not is_sent
            by_hand.end_turn()


def test_what_the_socket_does_not_take_waits_in_order(by_hand: ByHand) -> None:
    with pair() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        caught_up: list[int] = []
        link = Link(ours, None, by_hand)
        link.caught_up = lambda: caught_up.append(1)  # type: ignore[method-assign]
        link.wake()
        number = ours.fileno()
        assert by_hand.events[number] == READ
        sent = bytes(range(256)) * 400
        link.write(sent)
        assert link.is_backed_up
        assert by_hand.events[number] == READ | WRITE
        link.write(b"behind")
        by_hand.is_turning = True
        link.write(b" it")
        assert by_hand.due == []  # the socket says when
        by_hand.end_turn()
        got = b""
        for _ in range(1000):
            got += _or_nothing(received(theirs))
            link.writable()
            if caught_up:
                break
        got += _or_nothing(received(theirs))
        assert got == sent + b"behind it"
        assert (caught_up, link.is_backed_up, link.unsent) == ([1], False, 0)
        assert by_hand.events[number] == READ
        link.writable()  # decided on before
        assert caught_up == [1]


def _or_nothing(data: bytes) -> bytes:
    return b"" if data == b"nothing yet" else data


def test_whoever_is_gone_is_found_out_by_reading(by_hand: ByHand) -> None:
    got: list[Any] = []
    with pair() as (ours, theirs):
        link = Link(ours, None, by_hand)
        link.received = got.append  # type: ignore[method-assign, assignment]
        theirs.close()
        link.write(b"to nobody")
        assert not link.is_backed_up
        link.readable()
        assert got == [b""]
        link.close()
        link.readable()
        link.write(b"to nobody")
        assert got == [b""]
