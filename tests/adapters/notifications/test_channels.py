"""Whoever hands over a notice never waits, whatever the notifier does."""

import threading
import time

import pytest

from dragoman.adapters.notifications.channels import Channel, Channels
from dragoman.adapters.notifications.sender import Notice, send
from dragoman.core.alert_rules import Notifier
from tests.adapters.notifications.webhook import SECRET, webhook

NOTICE = Notice("t", "b")
PATIENCE = 10.0


class Told:
    """What the operator was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.news = threading.Semaphore(0)

    def __call__(self, name: str, text: str) -> None:
        self.lines.append(f"{name}: {text}")
        self.news.release()


def test_all_who_want_to_know() -> None:
    with webhook() as one, webhook() as two:
        told = Told()
        made = Channels(told)
        made.configure([Notifier("all", one.url), Notifier("worst", two.url, "critical")])
        made.put(Notice("w", "w"), "warning")
        made.put(Notice("c", "c"), "critical")
        assert [one.told.get(timeout=PATIENCE)["title"] for _ in "wc"] == ["w", "c"]
        assert two.told.get(timeout=PATIENCE)["title"] == "c"
        made.close(PATIENCE)
        assert two.told.empty()
    assert {name: (t.sent, t.failed, t.dropped) for name, t in made.tallies().items()} == {
        "all": (2, 0, 0),
        "worst": (1, 0, 0),
    }
    assert told.lines == []


def test_one_that_hangs_delays_nobody() -> None:
    """Neither whoever hands over, nor other notifiers; what finds no room is counted and told once; its URL is never told."""
    with webhook(hangs=True) as dead, webhook() as alive:
        told = Told()
        slow = Channel(Notifier("dead", dead.url), told, send, limit=0.2, room=2)
        good = Channel(Notifier("alive", alive.url), told)
        began = time.monotonic()
        slow.put(NOTICE)
        assert dead.asked.wait(PATIENCE)
        held = [slow.put(NOTICE) for _ in range(5)]
        assert time.monotonic() - began < PATIENCE / 2
        assert good.put(NOTICE)
        assert alive.told.get(timeout=PATIENCE)
        assert held.count(False) >= 2
        for _ in range(2):
            assert told.news.acquire(timeout=PATIENCE)
        slow.close()
        good.close()
        good.join(PATIENCE)
        dead.let_go.set()
    assert set(told.lines) >= {
        "dead: a notice could not be sent: it takes longer than 0.2 seconds",
        "dead: notices are dropped: 2 wait already",
    }
    assert SECRET not in repr(slow.notifier) + "".join(told.lines)
    assert slow.tally.dropped >= 2


def test_what_waits_behind_one_that_hangs_is_dropped_then_it_is_well_again() -> None:
    told, gate, sent = Told(), threading.Event(), threading.Semaphore(0)

    def sending(url: str, notice: Notice) -> str:
        if notice.title == "stuck":
            gate.wait(PATIENCE)
        sent.release()
        return ""

    made = Channel(Notifier("n", "x://y"), told, sending, limit=0.05)
    made.put(Notice("stuck", ""))
    made.put(NOTICE)
    assert told.news.acquire(timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while not made.tally.dropped and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    assert sent.acquire(timeout=PATIENCE)
    made.put(NOTICE)
    assert told.news.acquire(timeout=PATIENCE)
    made.close()
    made.join(PATIENCE)
    assert (made.tally.sent, made.tally.failed, made.tally.dropped) == (1, 1, 1)
    assert told.lines == [
        "n: a notice could not be sent: it takes longer than 0.05 seconds",
        "n: notices can be sent again",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_is_told_once() -> None:
    told = Told()

    def sending(url: str, notice: Notice) -> str:
        if notice.title == "bug":
            raise ValueError(url)
        return "no"

    made = Channel(Notifier("n", "x://y"), told, sending)
    for title in ("bug", "a", "b"):
        made.put(Notice(title, ""))
    made.close()
    made.join(PATIENCE)
    assert told.lines == ["n: a notice could not be sent: it failed"]
    assert made.tally.failed == 3


def test_another_configuration_keeps_who_stays() -> None:
    made = Channels(Told(), lambda url, notice: "")
    one, two = Notifier("one", "x://1"), Notifier("two", "x://2")
    made.configure([one, two])
    made.put(NOTICE, "warning")
    made.configure([two])
    made.put(NOTICE, "warning")
    made.close(PATIENCE)
    assert {name: tally.sent for name, tally in made.tallies().items()} == {"two": 2}


def test_nobody() -> None:
    made = Channels(Told())
    made.configure([])
    made.put(NOTICE, "critical")
    made.close()
    assert made.tallies() == {}


def test_a_full_queue_can_be_closed() -> None:
    gate = threading.Event()
    made = Channel(Notifier("n", "x://y"), Told(), lambda url, notice: str(gate.wait(PATIENCE))[:0], room=1)
    while made.put(NOTICE):
        pass
    made.close()
    gate.set()
