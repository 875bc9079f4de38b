"""The pool of idle connections, in every order of events."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.transports.pool import Pool

ORIGINS = [Origin("http", "a.example", 80), Origin("https", "b.example", 443)]
IDLE, OPEN, SECONDS = 2, 4, 10.0


class FakeLink:
    """A connection that tells the pool when it is closed."""

    def __init__(self, origin: Origin, pool: "Pool[FakeLink]") -> None:
        self.origin = origin
        self.idle_since = -1.0
        self.is_closed = False
        self._pool = pool

    def close(self) -> None:
        """Close."""
        assert not self.is_closed
        self.is_closed = True
        self._pool.ended(self.origin, self)


class PoolMachine(RuleBasedStateMachine):
    """Links are in use (in the bundle), idle (in `idle`), or closed."""

    used = Bundle("used")

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool[FakeLink] = Pool(IDLE, OPEN, SECONDS)
        self.idle: list[FakeLink] = []  # oldest first, the closed ones among them
        self.in_use: list[FakeLink] = []
        self.now = 0.0

    @rule(target=used, origin=st.sampled_from(ORIGINS))
    def take_or_open(self, origin: Origin) -> object:
        """As an exchange does."""
        link = self.pool.take(origin)
        kept = self._idle(origin)
        if link is not None:
            assert link is kept[-1]  # the youngest
            self.idle.remove(link)
        else:
            assert not kept
            is_full = len(self._in_use(origin)) == OPEN
            failure = self.pool.begin(origin)
            assert (failure is not None) == is_full
            if failure is not None:
                assert isinstance(failure, ConnectFailure)
                assert failure.kind is FailureKind.LIMIT
                return multiple()
            link = FakeLink(origin, self.pool)
        self.in_use.append(link)
        return link

    @rule(target=used, origin=st.sampled_from(ORIGINS))
    def open_fresh(self, origin: Origin) -> object:
        """An idle one makes room, if it must."""
        kept = self._idle(origin)
        is_full = len(kept) + len(self._in_use(origin)) == OPEN
        if self.pool.begin(origin) is not None:
            assert is_full
            assert not kept
            return multiple()
        if is_full:
            assert kept[0].is_closed
        link = FakeLink(origin, self.pool)
        self.in_use.append(link)
        return link

    @rule(link=consumes(used))
    def release(self, link: FakeLink) -> None:
        """Keep it."""
        self.in_use.remove(link)
        self.idle.append(link)
        before = self._idle(link.origin)
        self.pool.keep(link, self.now)
        assert before[0].is_closed == (len(before) > IDLE)  # the oldest goes

    @rule(link=consumes(used))
    def close_used(self, link: FakeLink) -> None:
        """It broke."""
        self.in_use.remove(link)
        link.close()

    @rule(data=st.data())
    def close_idle(self, data: st.DataObject) -> None:
        """The peer closed one."""
        kept = [link for link in self.idle if not link.is_closed]
        if kept:
            data.draw(st.sampled_from(kept)).close()

    @rule(origin=st.sampled_from(ORIGINS))
    def fail_to_open(self, origin: Origin) -> None:
        """An attempt that came to nothing counts no more."""
        if self.pool.begin(origin) is None:
            self.pool.ended(origin)

    @rule(seconds=st.floats(0, 2 * SECONDS))
    def expire(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds
        before = [link for link in self.idle if not link.is_closed]
        self.pool.expire(self.now)
        assert [link.is_closed for link in before] == [self.now - link.idle_since >= SECONDS for link in before]

    @rule()
    def close_all(self) -> None:
        """The end, which need not be one."""
        self.pool.close()
        assert all(link.is_closed for link in self.idle)

    @invariant()
    def counts(self) -> None:
        """What is open is counted; what is closed is not kept."""
        for origin in ORIGINS:
            assert self.pool.count_idle(origin) == len(self._idle(origin)) <= IDLE
            assert self.pool.count_open(origin) == len(self._idle(origin)) + len(self._in_use(origin)) <= OPEN

    def _idle(self, origin: Origin) -> list[FakeLink]:
        return [link for link in self.idle if link.origin == origin and not link.is_closed]

    def _in_use(self, origin: Origin) -> list[FakeLink]:
        return [link for link in self.in_use if link.origin == origin]


TestPool = PoolMachine.TestCase
TestPool.settings = settings(stateful_step_count=30, deadline=None)
