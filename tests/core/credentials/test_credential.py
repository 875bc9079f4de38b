"""Every state meets every input."""

import itertools
import math

import pytest

from dragoman.core.credentials.credential import PAUSES, TRANSITIONS, CredentialInput, CredentialState, Standing
from dragoman.core.errors import MisuseError

S, I = CredentialState, CredentialInput  # noqa: E741
NEVER = {(state, received) for state in set(S) - {S.ACTIVE, S.HALF_OPEN} for received in [I.PICKED]}
NEVER |= {(state, received) for state in set(S) - {S.ACTIVE, S.PROBING} for received in (I.SUCCEEDED, I.RELEASED)}
NEVER |= {(state, I.WAIT_OVER) for state in set(S) - PAUSES}
NEVER |= {(state, I.SWITCHED_ON) for state in set(S) - {S.DISABLED}}


@pytest.mark.parametrize(("state", "received"), list(itertools.product(S, I)))
def test_every_state_and_input(state: CredentialState, received: CredentialInput) -> None:
    """A row of the table, or a bug of the caller; blocked exactly where nobody may pick."""
    standing = Standing()
    standing.state, standing.resumes_at = state, 50.0
    if (state, received) in NEVER:
        with pytest.raises(MisuseError, match=f"can't handle {received.name} in state {state.name}"):
            standing.receive(received, 100.0)
        assert standing.state is state
        return
    changed = standing.receive(received, 100.0)
    assert standing.state is TRANSITIONS[state, received]
    assert changed == (standing.state is not state) == bool(standing.generation)
    if changed and standing.state not in PAUSES:
        is_free = standing.state in (S.ACTIVE, S.HALF_OPEN)
        assert standing.blocked_until == (0.0 if is_free else math.inf)


def test_the_table_has_no_other_rows() -> None:
    """Each pair is allowed or named as impossible."""
    assert set(TRANSITIONS) == set(itertools.product(S, I)) - NEVER


@pytest.mark.parametrize("state", [state for state in S if state in PAUSES])
def test_every_pause_ends(state: CredentialState) -> None:
    """By time alone, and never in a stampede."""
    standing = Standing()
    standing.state, standing.resumes_at = state, 50.0
    assert not standing.settle(49.9)
    while standing.settle(50.0):
        pass
    assert standing.state is S.HALF_OPEN


def paused(until: float, received: CredentialInput = I.RATE_LIMITED) -> Standing:
    standing = Standing()
    standing.pause(received, until, "r", 0.0, told=True)
    return standing


def test_newer_news_shortens_a_pause() -> None:
    """What outlived the real quota for days elsewhere: the provider's newest word counts, earlier or later."""
    standing = paused(500.0)
    assert standing.pause(I.RATE_LIMITED, 20.0, "r", 10.0, told=True)
    assert standing.resumes_at == 20.0
    assert not standing.pause(I.RATE_LIMITED, 30.0, "r", 10.0, told=True)
    assert standing.resumes_at == 30.0


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (I.RATE_LIMITED, I.RATE_LIMITED, False),
        (I.RATE_LIMITED, I.FAILED, True),
        (I.QUOTA_SPENT, I.RATE_LIMITED, True),
        (I.REFUSED, I.REFUSED, True),
        (I.RATE_LIMITED, I.RENEWAL_BEGUN, True),
        (I.RATE_LIMITED, I.REFUSED, False),
        (I.RATE_LIMITED, I.QUOTA_SPENT, False),
        (I.QUOTA_SPENT, I.REFUSED, False),
    ],
)
def test_no_other_news_shortens_it(first: CredentialInput, then: CredentialInput, told: bool) -> None:
    """Guesses, lesser failures, and what goes on beside the pause."""
    standing = paused(500.0, first)
    assert not standing.pause(then, 20.0, "r", 10.0, told=told)
    assert standing.resumes_at == 500.0


def test_nothing_to_pause() -> None:
    """A credential that is switched off has no instants."""
    standing = Standing()
    standing.receive(I.SWITCHED_OFF, 0.0)
    assert not standing.pause(I.FAILED, 20.0, "r", 10.0, told=False)
    assert standing.blocked_until == math.inf
