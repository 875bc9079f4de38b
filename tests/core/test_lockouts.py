"""Who guesses has to wait, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core import lockouts
from dragoman.core.errors import MisuseError
from dragoman.core.lockouts import TRANSITIONS, Lockouts, PeerInput, PeerState

PEER = "192.0.2.1"


def guess(these: Lockouts, now: float, times: int = 1, peer: str = PEER) -> None:
    for _ in range(times):
        these.wrong(peer, now)


@pytest.mark.parametrize("state", list(PeerState))
@pytest.mark.parametrize("received", list(PeerInput))
def test_every_state_takes_every_input_or_says_no(state: PeerState, received: PeerInput) -> None:
    peer = lockouts._Peer()
    peer.state = state
    if (state, received) in TRANSITIONS:
        peer.receive(received)
        assert peer.state is TRANSITIONS[state, received]
    else:
        with pytest.raises(MisuseError, match=f"{received.name} in state {state.name}"):
            peer.receive(received)


def test_a_slip_costs_nothing_and_a_guesser_waits_longer_each_time() -> None:
    these, now = Lockouts(), 1000.0
    guess(these, now, 3)
    assert these.paused_until(PEER, now) == 0.0
    pauses = []
    for _ in range(14):
        guess(these, now)
        until = these.paused_until(PEER, now)
        pauses.append(until - now)
        assert these.paused_until(PEER, until - 0.001) == until
        now = until
        assert these.paused_until(PEER, now) == 0.0
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]


def test_in_a_day_there_are_few_guesses() -> None:
    """However patient the guesser."""
    these, now, guesses = Lockouts(), 0.0, 0
    while now < 86_400.0:
        guess(these, now)
        guesses += 1
        now = max(now, these.paused_until(PEER, now))
    assert guesses < 70


def test_the_right_key_forgives_and_others_are_not_concerned() -> None:
    these = Lockouts()
    guess(these, 0.0, 5)
    assert these.paused_until(PEER, 0.0) == 2.0
    assert these.paused_until("192.0.2.2", 0.0) == 0.0
    these.right("192.0.2.2", 0.0)
    these.right(PEER, 3.0)
    guess(these, 3.0, 3)
    assert these.paused_until(PEER, 3.0) == 0.0


def test_what_was_looked_at_before_the_pause_began_counts() -> None:
    these = Lockouts()
    guess(these, 0.0, 6)
    assert these.paused_until(PEER, 0.0) == 4.0
    these.right(PEER, 0.0)
    assert these.paused_until(PEER, 0.0) == 0.0


def test_it_is_forgotten_after_two_hours() -> None:
    these = Lockouts()
    guess(these, 0.0, 4)
    assert these.paused_until(PEER, 7199.0) == 0.0
    guess(these, 7199.0)
    assert these.paused_until(PEER, 7199.0) == 7201.0
    assert these.paused_until(PEER, 14_399.0) == 0.0
    guess(these, 14_399.0, 3)
    assert these.paused_until(PEER, 14_399.0) == 0.0


def test_a_customer_has_more_than_one_address() -> None:
    """64 bits of them, in IPv6; one address is one in both families."""
    these = Lockouts()
    guess(these, 0.0, 2, "2001:db8::1")
    guess(these, 0.0, 2, "2001:db8::ffff")
    assert these.paused_until("2001:db8::2", 0.0) == 1.0
    assert these.paused_until("2001:db8:0:1::2", 0.0) == 0.0
    guess(these, 0.0, 4, "::ffff:192.0.2.1")
    assert these.paused_until(PEER, 0.0) == 1.0
    guess(these, 0.0, 4, "unix")
    assert these.paused_until("unix", 0.0) == 1.0


def test_no_more_is_remembered_than_so_many() -> None:
    these = Lockouts()
    guess(these, 0.0, 4, "unix")
    for n in range(5000):
        guess(these, 1.0, 1, f"10.0.{n // 256}.{n % 256}")
    assert len(these._peers) == 4096
    assert these.paused_until("unix", 0.5) == 0.0


@given(st.lists(st.tuples(st.sampled_from("wrl"), st.floats(0.0, 4000.0)), max_size=60))
def test_a_pause_follows_wrong_keys_only(steps: list[tuple[str, float]]) -> None:
    """Whoever was not wrong four times since it was right, within two hours each, never waits; nobody waits longer than half an hour."""
    these, now, wrong, wrong_at = Lockouts(), 0.0, 0, 0.0
    for step, seconds in steps:
        now += seconds
        if wrong and now - wrong_at >= 7200.0:
            wrong = 0
        match step:
            case "w":
                these.wrong(PEER, now)
                wrong, wrong_at = wrong + 1, now
            case "r":
                these.right(PEER, now)
                wrong = 0
            case _:
                until = these.paused_until(PEER, now)
                assert until == 0.0 or (wrong > 3 and now < until <= wrong_at + 1800.0)
