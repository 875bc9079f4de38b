"""The driver alone, between a scripted core and links that only take notes."""

import math
from collections.abc import Callable

import pytest

from dragoman.core.effects import (
    Afterwards,
    CloseClient,
    CloseUpstream,
    ConnectFailure,
    Effect,
    FailureKind,
    LocalAnswer,
    LocalRequest,
    OpenUpstream,
    Origin,
    ReleaseUpstream,
    Serve,
    Step,
    WriteClient,
    WriteUpstream,
)
from dragoman.transports.driver import Driver, UpstreamHandle
from dragoman.transports.serving import Serving
from dragoman.transports.timers import Timers

ORIGIN = Origin("http", "a.example", 80)


class World:
    """A clock, a log of what was done, and a driver in the middle."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.errors: list[Exception] = []
        self.core = Core(self)
        self.client = Link(self, "client")
        self.upstreams = Upstreams(self)
        self.timers = Timers(lambda at: None)
        self.answers: list[Step | Exception] = []
        self.threads: list[Callable[[], None]] = []  # to be run when the test says so
        self.serving = Serving(self._serve, lambda work, done: self.threads.append(lambda: done(work())))
        self.driver = Driver(
            self.core, self.client, self.upstreams, self.serving, self.timers, lambda: self.now, self.errors.append
        )

    def _serve(self, request: LocalRequest) -> Step:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pass_time(self, seconds: float) -> None:
        """Wake the driver as a loop would, each time it is due."""
        end = self.now + seconds
        while (at := self.timers.next_instant()) <= end:
            self.now = max(self.now, at)
            for watched in self.timers.due(self.now):
                watched.handle_timer()
        self.now = end

    def took(self) -> list[str]:
        """What was done since it was last asked."""
        log, self.log = self.log, []
        return log


class Core:
    """Says what it is told to say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_reading = True
        self.deadline = math.inf
        self.says: list[list[Effect]] = []

    def _say(self, what: str) -> list[Effect]:
        self._world.log.append(what)
        return self.says.pop(0) if self.says else []

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        """Bytes from the client."""
        return self._say(f"client sent {data.decode()!r}")

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """It stands."""
        return self._say(f"opened {attempt} {reused}")

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """It failed."""
        return self._say(f"failed {attempt} {failure.detail}")

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """Bytes from the provider."""
        return self._say(f"upstream {attempt} sent {data.decode()!r}")

    def served(self, attempt: int, answer: LocalAnswer | None, now: float) -> list[Effect]:
        """It was answered elsewhere."""
        return self._say(f"served {attempt} {None if answer is None else answer.body.decode()}")

    def handle_timer(self, now: float) -> list[Effect]:
        """It is due."""
        self.deadline = math.inf
        return self._say(f"timer at {now}")

    def drain(self, now: float) -> list[Effect]:
        """Finish."""
        return self._say("drain")

    def abort(self, now: float) -> list[Effect]:
        """End."""
        return self._say("abort")

    def next_deadline(self) -> float:
        """When."""
        return self.deadline


class Link:
    """A client's link, or an upstream's handle."""

    def __init__(self, world: World, name: str, is_open: bool = True) -> None:
        self._world = world
        self._name = name
        self.is_open = is_open
        self.is_backed_up = False
        self.is_waiting = True
        self.is_closed = False
        self.unsent = 0
        self.wakes = 0

    def write(self, data: bytes) -> None:
        """Send."""
        self._world.log.append(f"{self._name} < {data.decode()}")

    def finish(self) -> None:
        """Shut down."""
        self._world.log.append(f"{self._name} finish")

    def release(self) -> None:
        """Keep."""
        self._world.log.append(f"{self._name} release")

    def close(self) -> None:
        """Close."""
        if not self.is_closed:
            self.is_closed = True
            self._world.log.append(f"{self._name} close")

    def wake(self) -> None:
        """Read on."""
        self.wakes += 1

    def afterwards(self, call: Callable[[], None]) -> None:
        """Now."""
        call()


class Upstreams:
    """Opens what it is told to open next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.next: UpstreamHandle | ConnectFailure = Link(world, "up", is_open=False)

    def open(self, driver: Driver, attempt: int, origin: Origin, fresh: bool) -> UpstreamHandle | ConnectFailure:
        """Open."""
        self._world.log.append(f"open {attempt} {'fresh' if fresh else 'any'}")
        return self.next


@pytest.fixture
def world() -> World:
    """A new one."""
    return World()


def test_writes_that_follow_each_other_are_one(world: World) -> None:
    """Of the client, and of each attempt."""
    world.upstreams.next = Link(world, "up")
    world.core.says = [[OpenUpstream(1, ORIGIN)], []]
    world.driver.client_sent(b"x")
    world.took()
    world.core.says = [
        [
            WriteClient(b"a"), WriteClient(b"b"), WriteUpstream(1, b"c"), WriteUpstream(1, b"d"), WriteUpstream(2, b"?"),
            WriteUpstream(1, b"e"), WriteClient(b"f"), WriteUpstream(1, b"g"), WriteClient(b"h"), WriteClient(b"i"),
        ]
    ]  # fmt: skip
    world.driver.client_sent(b"y")
    assert world.took()[1:] == ["client < ab", "up < cd", "up < e", "client < f", "up < g", "client < hi"]


def test_bookkeeping_is_left_to_the_link(world: World) -> None:
    """In its place among what is asked for; only the link knows what is sent."""
    world.core.says = [[WriteClient(b"a"), Afterwards(lambda: world.log.append("books")), ReleaseUpstream(1)]]
    world.driver.client_sent(b"x")
    assert world.log[-2:] == ["client < a", "books"]


def test_what_follows_from_an_idle_connection_comes_after(world: World) -> None:
    """Effects of one list first, then those of what the list led to."""
    world.upstreams.next = Link(world, "up")
    world.core.says = [[OpenUpstream(1, ORIGIN), WriteClient(b"early")], [WriteUpstream(1, b"late")]]
    world.driver.client_sent(b"x")
    assert world.took() == ["client sent 'x'", "open 1 any", "opened 1 True", "client < early", "up < late"]


def test_limit_is_told_at_once(world: World) -> None:
    """And the next attempt may follow."""
    world.upstreams.next = ConnectFailure(FailureKind.LIMIT, "full")
    world.core.says = [[OpenUpstream(1, ORIGIN, True)], [CloseUpstream(1), WriteClient(b"sorry")]]
    world.driver.client_sent(b"x")
    assert world.took() == ["client sent 'x'", "open 1 fresh", "failed 1 full", "client < sorry"]


def test_opened_later(world: World) -> None:
    """The handle of the opening is replaced by that of the connection."""
    world.core.says = [[OpenUpstream(1, ORIGIN)]]
    world.driver.client_sent(b"x")
    world.core.says = [[WriteUpstream(1, b"y")]]
    world.driver.upstream_opened(1, Link(world, "new"))
    world.core.says = [[ReleaseUpstream(1)]]
    world.driver.upstream_sent(1, b"z")
    assert world.took()[2:] == ["opened 1 False", "new < y", "upstream 1 sent 'z'", "new release"]


@pytest.mark.parametrize("end", [CloseUpstream(1), ReleaseUpstream(1)])
def test_late_news_is_nobodys(world: World, end: Effect) -> None:
    """After the number was given back, nothing of it is told, and a late connection is closed."""
    world.core.says = [[OpenUpstream(1, ORIGIN), end, WriteUpstream(1, b"?"), CloseUpstream(1), ReleaseUpstream(1)]]
    world.driver.client_sent(b"x")
    world.took()
    world.driver.upstream_sent(1, b"late")
    world.driver.upstream_sent(1, b"")
    world.driver.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, ""))
    world.driver.upstream_opened(1, Link(world, "late"))
    assert world.took() == ["late close"]


def test_failure_is_told_once(world: World) -> None:
    """The number is free then."""
    world.core.says = [[OpenUpstream(1, ORIGIN)]]
    world.driver.client_sent(b"x")
    for _ in range(2):
        world.driver.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, "no"))
    assert world.took()[2:] == ["failed 1 no"]


def test_upstream_that_left_is_closed(world: World) -> None:
    """Its socket is of no use."""
    world.upstreams.next = Link(world, "up")
    world.core.says = [[OpenUpstream(1, ORIGIN)]]
    world.driver.client_sent(b"x")
    world.driver.upstream_sent(1, b"")
    assert world.took()[3:] == ["up close", "upstream 1 sent ''"]


def test_reading_waits_for_whoever_is_backed_up(world: World) -> None:
    """The core, the client, or the upstream."""
    up = Link(world, "up")
    world.upstreams.next = up
    world.core.says = [[OpenUpstream(1, ORIGIN)]]
    world.driver.client_sent(b"x")
    answers = []
    for world.client.is_backed_up, up.is_backed_up in ((False, False), (True, False), (False, True)):
        answers.append(world.driver.is_reading)
    assert answers == [True, False, False]
    before = world.client.wakes
    world.driver.client_caught_up()
    assert (up.wakes, world.client.wakes) == (1, before)
    up.is_backed_up, world.core.is_reading = False, False
    world.driver.upstream_caught_up()
    assert world.client.wakes == before
    world.core.is_reading = True
    world.driver.upstream_caught_up()
    assert world.client.wakes == before + 1


def test_deadline(world: World) -> None:
    """It moves with each input, and is handled once."""
    world.core.deadline = 5.0
    world.driver.start()
    world.pass_time(4)
    world.core.deadline = 7.0
    world.driver.client_sent(b"x")
    world.pass_time(10)
    assert world.took() == ["client sent 'x'", "timer at 7.0"]


def closing(world: World, unsent: int = 0) -> None:
    """Bring about CloseClient."""
    world.client.unsent = unsent
    world.core.says = [[CloseClient(), CloseClient()]]
    world.driver.client_sent(b"x")
    assert world.took() == ["client sent 'x'", "client finish"]


def test_client_has_a_second_to_read_its_answer(world: World) -> None:
    """Whatever it is told meanwhile."""
    closing(world)
    assert world.driver.is_reading
    world.driver.drain()
    world.driver.abort()
    world.pass_time(0.9)
    assert world.took() == []
    world.pass_time(0.2)
    assert world.took() == ["client close"]


def test_client_that_leaves_while_closing_is_closed_at_once(world: World) -> None:
    """Nothing is left to wait for."""
    closing(world)
    world.driver.client_sent(b"")
    assert world.took() == ["client close"]


def test_slow_reader_gets_its_last_answer(world: World) -> None:
    """As long as it takes some of it in ten seconds."""
    closing(world, unsent=100)
    world.driver.client_sent(b"")
    assert not world.driver.is_reading
    for _ in range(10):
        world.pass_time(9)
        world.client.unsent -= 10
        assert world.took() == []
    world.pass_time(1)
    assert world.took() == ["client close"]


def test_client_that_reads_nothing_is_closed(world: World) -> None:
    """After ten seconds."""
    closing(world, unsent=100)
    world.pass_time(9.5)
    assert world.took() == []
    world.pass_time(1)
    assert world.took() == ["client close"]
    world.pass_time(100)
    assert world.took() == []


def test_slow_reader_has_its_second_too(world: World) -> None:
    """It counts from when all was seen to be sent."""
    closing(world, unsent=100)
    world.pass_time(1.5)
    world.client.unsent = 0
    world.pass_time(1)
    assert world.took() == []
    world.pass_time(1)
    assert world.took() == ["client close"]


def test_client_that_still_sends_may_end(world: World) -> None:
    """What it sends is dropped, and a second without any is its end."""
    closing(world)
    for _ in range(4):
        world.driver.client_sent(b"x" * 262_144)
        world.pass_time(1.01)
        assert world.took() == []
    world.pass_time(1.01)
    assert world.took() == ["client close"]


def test_client_that_talks_on_is_cut_off(world: World) -> None:
    """After ten seconds, or 64 MiB."""
    closing(world)
    for _ in range(9):
        world.driver.client_sent(b"x")
        world.pass_time(1.01)
        assert world.took() == []
    world.driver.client_sent(b"x")
    world.pass_time(1.01)
    assert world.took() == ["client close"]


def test_client_that_sends_without_end_is_cut_off(world: World) -> None:
    """However quickly."""
    closing(world)
    for _ in range(64):
        world.driver.client_sent(bytes(1024 * 1024))
    assert world.took() == []
    world.driver.client_sent(b"x")
    assert world.took() == ["client close"]


def test_end_of_client_is_told_once(world: World) -> None:
    """And closes, even if the core does not ask for it."""
    world.driver.client_sent(b"")
    world.driver.client_sent(b"")
    assert world.took() == ["client sent ''", "client finish", "client close"]


def test_closed_socket_ends_everything(world: World) -> None:
    """The core learns of it, upstreams are closed, and nothing is told afterwards."""
    world.core.deadline = 5.0
    world.core.says = [[OpenUpstream(1, ORIGIN)]]
    world.driver.client_sent(b"x")
    world.took()
    world.driver.closed()
    assert world.took() == ["client sent ''", "client finish", "client close", "up close"]
    world.driver.closed()
    world.driver.client_sent(b"x")
    world.driver.upstream_caught_up()
    world.driver.drain()
    world.pass_time(100)
    assert [line for line in world.took() if line != "client close"] == []


def test_drain_and_abort(world: World) -> None:
    """They are passed on."""
    world.driver.drain()
    world.driver.abort()
    assert world.took() == ["drain", "abort"]


@pytest.mark.parametrize(
    "do",
    [
        lambda world: world.driver.client_sent(b"x"),
        lambda world: world.driver.drain(),
        lambda world: world.driver.abort(),
        lambda world: world.driver.handle_timer(),
        lambda world: world.driver.closed(),
    ],
    ids=["client_sent", "drain", "abort", "handle_timer", "closed"],
)
def test_bug_closes_the_client(world: World, do: Callable[[World], None]) -> None:
    """It goes to `on_error` and no further; what else was to be done is not."""
    world.core.says = [[WriteClient(b"a"), "no effect at all", WriteClient(b"b")]]  # type: ignore[list-item]
    world.core._say = lambda what: world.core.says[0]  # type: ignore[method-assign]
    world.core.next_deadline = lambda: 1 / 0  # type: ignore[method-assign]
    do(world)
    assert [type(error) for error in world.errors] == [ZeroDivisionError]
    assert world.client.is_closed
    assert world.driver.next_deadline() == math.inf


# What is answered elsewhere


def serving(attempt: int = 1) -> Serve:
    """A request to be answered elsewhere."""
    return Serve(attempt, LocalRequest("GET", "/here", "", {}, b"", "memory"))


def test_an_answer_at_once_is_told_after_what_was_asked_before() -> None:
    world = World()
    world.answers = [LocalAnswer(200, b"one"), LocalAnswer(200, b"two")]
    world.core.says = [[serving(), WriteClient(b"a")], [WriteClient(b"b"), serving(2)], [WriteClient(b"c")]]
    world.driver.client_sent(b"x")
    assert world.took() == ["client sent 'x'", "served 1 one", "client < ab", "served 2 two", "client < c"]


def test_many_answers_at_once_do_not_go_deep() -> None:
    """A client may send thousands of requests in one piece."""
    world = World()
    world.answers = [LocalAnswer(200)] * 5000
    world.core.says = [[serving(n)] for n in range(5000)]
    world.driver.client_sent(b"x")
    assert len(world.took()) == 5001
    assert world.errors == []


def test_steps_are_made_in_turns() -> None:
    world = World()
    turns: list[str] = []

    def last() -> Step:
        turns.append("loop")
        return lambda: LocalAnswer(200, b"done")

    def first() -> Step:
        turns.append("thread")
        return last

    world.answers = [first]
    world.core.says = [[serving()], [WriteClient(b"a")]]
    world.driver.client_sent(b"x")
    assert (world.took(), turns) == (["client sent 'x'"], [])
    world.threads.pop()()
    assert (world.took(), turns) == ([], ["thread", "loop"])
    world.threads.pop()()
    assert world.took() == ["served 1 done", "client < a"]


def _thread_that_fails() -> Step:
    raise KeyError("secret")


@pytest.mark.parametrize("answer", [KeyError("secret"), _thread_that_fails, lambda: _thread_that_fails])
def test_who_fails_to_answer_is_reported_and_the_connection_lives(answer: Step | Exception) -> None:
    """Without what the exception says, for that may be a secret."""
    world = World()
    world.answers = [answer]
    world.core.says = [[serving()], [WriteClient(b"sorry")]]
    world.driver.client_sent(b"x")
    for thread in world.threads:
        thread()
    assert world.took() == ["client sent 'x'", "served 1 None", "client < sorry"]
    (error,) = world.errors
    assert "GET /here: KeyError at " in str(error)
    assert "secret" not in str(error)
    world.driver.client_sent(b"y")
    assert world.took() == ["client sent 'y'"]


def test_news_for_a_client_that_is_gone_is_dropped() -> None:
    world = World()
    world.answers = [lambda: LocalAnswer(200, b"late")]
    world.core.says = [[serving()]]
    world.driver.client_sent(b"x")
    world.driver.closed()
    world.took()
    world.threads.pop()()
    assert world.took() == []
    assert world.errors == []
