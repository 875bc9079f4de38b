"""The states of a credential, and of one model of a credential: both are the same machine.

Rule 1: every change of state is a row of `TRANSITIONS`; a pair that is not in it is a bug in the caller. Rule 2: no pause ends in a
stampede: when its instant has come the state is HALF_OPEN, the next request becomes the one probe, and what comes of it decides. Rule
3: an answer to a request that was sent before the state last changed says nothing good about it (`Standing.generation`); bad news always counts.
Rule 4: what a provider says replaces what was believed before, be it earlier or later; what we only guess never shortens a pause.
"""

import math
from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from dragoman.core.errors import MisuseError


class CredentialState(Enum):
    """Where a credential (or a model of it) is."""

    __hash__ = object.__hash__  # an Enum's own is Python code, and the table is asked at each pick

    ACTIVE = auto()  #: may be picked
    COOLING = auto()  #: rests after a limit or a failure, until `resumes_at`
    EXHAUSTED = auto()  #: its allowance is spent, until `resumes_at`
    REJECTED = auto()  #: the provider refused it, or the model to it; looked at again at `resumes_at`
    REFRESHING = auto()  #: its token is being renewed; given up at `resumes_at`
    HALF_OPEN = auto()  #: a pause is over: the next request is the probe
    PROBING = auto()  #: the probe is on its way
    DISABLED = auto()  #: switched off by the operator


class CredentialInput(Enum):
    """What can happen to it."""

    __hash__ = object.__hash__

    PICKED = auto()  #: an attempt begins
    SUCCEEDED = auto()  #: it answered a request that was sent in this state
    RELEASED = auto()  #: an attempt of this state ended and says nothing about it: client gone, request at fault
    RATE_LIMITED = auto()  #: too many requests
    QUOTA_SPENT = auto()  #: an allowance is used up
    REFUSED = auto()  #: key not accepted, not paid for, or not entitled
    FAILED = auto()  #: it did not answer, or with a failure of its own
    WAIT_OVER = auto()  #: `resumes_at` has come
    RENEWAL_BEGUN = auto()  #: a new token was asked for
    RENEWED = auto()  #: and came
    RENEWAL_FAILED = auto()  #: and was refused
    CLEARED = auto()  #: the operator, or a provider's own count, says that all is well
    SWITCHED_OFF = auto()  #: by the operator
    SWITCHED_ON = auto()  #: by the operator


_S = CredentialState
_I = CredentialInput

TRANSITIONS: Final[Mapping[tuple[CredentialState, CredentialInput], CredentialState]] = MappingProxyType({
    (_S.ACTIVE, _I.PICKED): _S.ACTIVE,
    (_S.ACTIVE, _I.SUCCEEDED): _S.ACTIVE,
    (_S.ACTIVE, _I.RELEASED): _S.ACTIVE,
    (_S.ACTIVE, _I.RATE_LIMITED): _S.COOLING,
    (_S.ACTIVE, _I.QUOTA_SPENT): _S.EXHAUSTED,
    (_S.ACTIVE, _I.REFUSED): _S.REJECTED,
    (_S.ACTIVE, _I.FAILED): _S.COOLING,
    (_S.ACTIVE, _I.RENEWAL_BEGUN): _S.REFRESHING,  # after a 401; a renewal in good time changes nothing
    (_S.ACTIVE, _I.RENEWED): _S.ACTIVE,
    (_S.ACTIVE, _I.RENEWAL_FAILED): _S.ACTIVE,  # the old token is good still: its own 401 will tell
    (_S.ACTIVE, _I.CLEARED): _S.ACTIVE,
    (_S.ACTIVE, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.COOLING, _I.RATE_LIMITED): _S.COOLING,  # several requests hit the limit together
    (_S.COOLING, _I.QUOTA_SPENT): _S.EXHAUSTED,
    (_S.COOLING, _I.REFUSED): _S.REJECTED,
    (_S.COOLING, _I.FAILED): _S.COOLING,
    (_S.COOLING, _I.WAIT_OVER): _S.HALF_OPEN,
    (_S.COOLING, _I.RENEWAL_BEGUN): _S.COOLING,  # beside the pause: an old token must not grow older for it
    (_S.COOLING, _I.RENEWED): _S.COOLING,
    (_S.COOLING, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.COOLING, _I.CLEARED): _S.ACTIVE,
    (_S.COOLING, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.EXHAUSTED, _I.RATE_LIMITED): _S.EXHAUSTED,  # the word about the allowance weighs more
    (_S.EXHAUSTED, _I.QUOTA_SPENT): _S.EXHAUSTED,
    (_S.EXHAUSTED, _I.REFUSED): _S.REJECTED,
    (_S.EXHAUSTED, _I.FAILED): _S.EXHAUSTED,
    (_S.EXHAUSTED, _I.WAIT_OVER): _S.HALF_OPEN,
    (_S.EXHAUSTED, _I.RENEWAL_BEGUN): _S.EXHAUSTED,
    (_S.EXHAUSTED, _I.RENEWED): _S.EXHAUSTED,
    (_S.EXHAUSTED, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.EXHAUSTED, _I.CLEARED): _S.ACTIVE,
    (_S.EXHAUSTED, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.REJECTED, _I.RATE_LIMITED): _S.REJECTED,  # begun before it was refused
    (_S.REJECTED, _I.QUOTA_SPENT): _S.REJECTED,
    (_S.REJECTED, _I.REFUSED): _S.REJECTED,
    (_S.REJECTED, _I.FAILED): _S.REJECTED,
    (_S.REJECTED, _I.WAIT_OVER): _S.HALF_OPEN,  # a bill may be paid, a key allowed again
    (_S.REJECTED, _I.RENEWAL_BEGUN): _S.REFRESHING,
    (_S.REJECTED, _I.RENEWED): _S.HALF_OPEN,
    (_S.REJECTED, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.REJECTED, _I.CLEARED): _S.ACTIVE,
    (_S.REJECTED, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.REFRESHING, _I.RATE_LIMITED): _S.REFRESHING,  # what the old token came to is of no interest now
    (_S.REFRESHING, _I.QUOTA_SPENT): _S.REFRESHING,
    (_S.REFRESHING, _I.REFUSED): _S.REFRESHING,
    (_S.REFRESHING, _I.FAILED): _S.REFRESHING,
    (_S.REFRESHING, _I.WAIT_OVER): _S.REJECTED,  # the renewal got lost
    (_S.REFRESHING, _I.RENEWAL_BEGUN): _S.REFRESHING,  # one at a time: the second is told to wait for the first
    (_S.REFRESHING, _I.RENEWED): _S.HALF_OPEN,
    (_S.REFRESHING, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.REFRESHING, _I.CLEARED): _S.ACTIVE,
    (_S.REFRESHING, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.HALF_OPEN, _I.PICKED): _S.PROBING,
    (_S.HALF_OPEN, _I.RATE_LIMITED): _S.COOLING,
    (_S.HALF_OPEN, _I.QUOTA_SPENT): _S.EXHAUSTED,
    (_S.HALF_OPEN, _I.REFUSED): _S.REJECTED,
    (_S.HALF_OPEN, _I.FAILED): _S.COOLING,
    (_S.HALF_OPEN, _I.RENEWAL_BEGUN): _S.REFRESHING,
    (_S.HALF_OPEN, _I.RENEWED): _S.HALF_OPEN,
    (_S.HALF_OPEN, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.HALF_OPEN, _I.CLEARED): _S.ACTIVE,
    (_S.HALF_OPEN, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.PROBING, _I.SUCCEEDED): _S.ACTIVE,
    (_S.PROBING, _I.RELEASED): _S.HALF_OPEN,  # it told us nothing: the next is the probe
    (_S.PROBING, _I.RATE_LIMITED): _S.COOLING,
    (_S.PROBING, _I.QUOTA_SPENT): _S.EXHAUSTED,
    (_S.PROBING, _I.REFUSED): _S.REJECTED,
    (_S.PROBING, _I.FAILED): _S.COOLING,
    (_S.PROBING, _I.RENEWAL_BEGUN): _S.REFRESHING,
    (_S.PROBING, _I.RENEWED): _S.PROBING,
    (_S.PROBING, _I.RENEWAL_FAILED): _S.REJECTED,
    (_S.PROBING, _I.CLEARED): _S.ACTIVE,
    (_S.PROBING, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.DISABLED, _I.RATE_LIMITED): _S.DISABLED,  # attempts that were under way end
    (_S.DISABLED, _I.QUOTA_SPENT): _S.DISABLED,
    (_S.DISABLED, _I.REFUSED): _S.DISABLED,
    (_S.DISABLED, _I.FAILED): _S.DISABLED,
    (_S.DISABLED, _I.RENEWAL_BEGUN): _S.DISABLED,
    (_S.DISABLED, _I.RENEWED): _S.DISABLED,
    (_S.DISABLED, _I.RENEWAL_FAILED): _S.DISABLED,
    (_S.DISABLED, _I.CLEARED): _S.DISABLED,
    (_S.DISABLED, _I.SWITCHED_OFF): _S.DISABLED,
    (_S.DISABLED, _I.SWITCHED_ON): _S.ACTIVE,
})  # fmt: skip

PAUSES: Final = frozenset({_S.COOLING, _S.EXHAUSTED, _S.REJECTED, _S.REFRESHING})  #: states that end by themselves
# Newer news of the same thing may shorten a pause; a mere failure in the midst of a limit may not.
_SAME_NEWS: Final = MappingProxyType({_S.COOLING: _I.RATE_LIMITED, _S.EXHAUSTED: _I.QUOTA_SPENT})
_LIMITED: Final = frozenset(_SAME_NEWS)
_BESIDE: Final = frozenset({_I.RENEWAL_BEGUN, _I.RENEWAL_FAILED})
_PICKABLE: Final = frozenset({_S.ACTIVE, _S.HALF_OPEN})


class Standing:
    """The state of one credential, or of one model of it.

    Attributes:
        state: Where it is.
        blocked_until: It may not be picked before; 0 when it may, infinite when no instant is known.
        resumes_at: When its pause ends; 0 when it has none.
        resets_at: When its allowance is full again, as far as known; may be later than `resumes_at`; else 0.
        reason: Why it is where it is, for people; empty when all is well.
        level: How many pauses in a row had to be guessed; the next guess is twice as long.
        generation: Grows with each change of state.
        since: When it came into its state.

    """

    __slots__ = (
        "blocked_until",
        "generation",
        "level",
        "reason",
        "resets_at",
        "resumes_at",
        "since",
        "state",
    )

    def __init__(self) -> None:
        self.state = CredentialState.ACTIVE
        self.blocked_until = 0.0
        self.resumes_at = 0.0
        self.resets_at = 0.0
        self.reason = ""
        self.level = 0
        self.generation = 0
        self.since = 0.0

    def receive(self, received: CredentialInput, now: float) -> bool:
        """Take an input. Returns whether the state is another than before.

        Raises:
            MisuseError: It cannot happen in this state.

        """
        before = self.state
        state = TRANSITIONS.get((before, received))
        if state is None:
            raise MisuseError(f"can't handle {received.name} in state {before.name}")
        if state is before:
            return False
        self.state = state
        self.generation += 1
        self.since = now
        if state is CredentialState.ACTIVE:
            self.level, self.reason = 0, ""
        if state not in PAUSES:
            self.resumes_at = self.resets_at = 0.0
            self.blocked_until = 0.0 if state in _PICKABLE else math.inf
        return True

    def pause(
        self, received: CredentialInput, until: float, reason: str, now: float, *, told: bool, resets_at: float = 0.0
    ) -> bool:
        """Take an input that may begin a pause, or bring newer news of one.

        Args:
            received: What happened.
            until: When the pause should end, epoch seconds.
            reason: Why, for people.
            now: Epoch seconds.
            told: The provider named the instant; so it replaces an earlier one. A guess never shortens a pause.
            resets_at: When the allowance is full again, if that is known.

        Returns:
            Whether it may be picked earlier than before this.

        """
        before, blocked = self.state, self.blocked_until
        self.receive(received, now)
        if self.state not in PAUSES:
            return False
        if self.state is before and (received in _BESIDE or before in (_S.REJECTED, _S.REFRESHING)):
            return False
        if self.state is before:
            is_newest_word = told and received is _SAME_NEWS.get(before)
        else:
            is_newest_word = told or before not in _LIMITED
        if not is_newest_word:
            until = max(until, self.resumes_at)
        self.resumes_at = self.blocked_until = until
        self.resets_at = max(until, resets_at)
        self.reason = reason
        return until < blocked

    def settle(self, now: float) -> bool:
        """Take note of the time. Returns whether a pause has ended (for a renewal that got lost: whether it was given up)."""
        if self.state in PAUSES and self.resumes_at <= now:
            return self.receive(CredentialInput.WAIT_OVER, now)
        return False
