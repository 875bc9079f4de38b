"""Who guesses at a secret: after a few wrong keys a peer has to wait, longer each time. Right keys never count, nor does showing none.

Rule 1: every change of state is a row of `TRANSITIONS`. Rule 2: while a peer waits, no key of it is looked at, so that a guess tells nothing.
Rule 3: what is remembered is bounded; whoever was wrong longest ago is forgotten first.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from dragoman.core.errors import MisuseError

_FREE: Final = 3  # wrong keys that cost nothing: an old script, a slip
_FIRST_PAUSE: Final = 1.0  # seconds after the next one; doubled with each further one
_LONGEST_PAUSE: Final = 1800.0
_FORGOTTEN_AFTER: Final = 7200.0  # seconds without a wrong key
_MOST: Final = 4096  # peers remembered


class PeerState(Enum):
    """What is held against a peer."""

    CLEAR = auto()  #: nothing
    SUSPECT = auto()  #: it showed a wrong key
    PAUSED = auto()  #: it showed too many: nothing of it is looked at for a while


class PeerInput(Enum):
    """What a peer can do, or time."""

    WRONG = auto()  #: a wrong key
    TOO_WRONG = auto()  #: one too many
    RIGHT = auto()  #: the right one
    RESUMED = auto()  #: its pause is over
    FORGOTTEN = auto()  #: it was long ago


TRANSITIONS: Final[Mapping[tuple[PeerState, PeerInput], PeerState]] = MappingProxyType({
    (PeerState.CLEAR, PeerInput.WRONG): PeerState.SUSPECT,
    (PeerState.SUSPECT, PeerInput.WRONG): PeerState.SUSPECT,
    (PeerState.SUSPECT, PeerInput.TOO_WRONG): PeerState.PAUSED,
    (PeerState.SUSPECT, PeerInput.RIGHT): PeerState.CLEAR,
    (PeerState.SUSPECT, PeerInput.FORGOTTEN): PeerState.CLEAR,
    (PeerState.PAUSED, PeerInput.RESUMED): PeerState.SUSPECT,
    (PeerState.PAUSED, PeerInput.TOO_WRONG): PeerState.PAUSED,  # looked at before the pause began
    (PeerState.PAUSED, PeerInput.RIGHT): PeerState.CLEAR,  # likewise
})  # fmt: skip


class _Peer:
    __slots__ = ("resumes_at", "state", "wrong", "wrong_at")

    def __init__(self) -> None:
        self.state = PeerState.CLEAR
        self.wrong = 0
        self.wrong_at = 0.0
        self.resumes_at = 0.0

    def receive(self, received: PeerInput) -> None:
        state = TRANSITIONS.get((self.state, received))
        if state is None:
            raise MisuseError(f"can't handle {received.name} in state {self.state.name}")
        self.state = state


class Lockouts:
    """What is remembered of those who showed a wrong key. Ask `paused_until` before a key is looked at, and say what it was after.

    >>> lockouts = Lockouts()
    >>> for _ in range(4):
    ...     assert lockouts.paused_until("192.0.2.1", now=100.0) == 0.0
    ...     lockouts.wrong("192.0.2.1", now=100.0)
    >>> lockouts.paused_until("192.0.2.1", now=100.0), lockouts.paused_until("192.0.2.2", now=100.0)
    (101.0, 0.0)
    """

    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Peer] = OrderedDict()  # who was wrong last comes last

    def paused_until(self, peer: str, now: float) -> float:
        """Until when no key of `peer` may be looked at; 0 when it may now."""
        found = self._current(peer, now)
        return found.resumes_at if found is not None and found.state is PeerState.PAUSED else 0.0

    def wrong(self, peer: str, now: float) -> None:
        """It showed a wrong key."""
        found = self._current(peer, now)
        if found is None:
            found = self._peers[_network(peer)] = _Peer()
            while len(self._peers) > _MOST:
                self._peers.popitem(last=False)
        self._peers.move_to_end(_network(peer))
        found.wrong += 1
        found.wrong_at = now
        if found.wrong <= _FREE:
            found.receive(PeerInput.WRONG)
        else:
            found.receive(PeerInput.TOO_WRONG)
            found.resumes_at = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (min(found.wrong, 64) - _FREE - 1))

    def right(self, peer: str, now: float) -> None:
        """It showed the right key: nothing is held against it any more."""
        found = self._current(peer, now)
        if found is not None:
            found.receive(PeerInput.RIGHT)
            del self._peers[_network(peer)]

    def _current(self, peer: str, now: float) -> _Peer | None:
        """What is remembered of a peer, as it stands now."""
        network = _network(peer)
        found = self._peers.get(network)
        if found is None:
            return None
        if found.state is PeerState.PAUSED and now >= found.resumes_at:
            found.receive(PeerInput.RESUMED)
        if found.state is PeerState.SUSPECT and now - found.wrong_at >= _FORGOTTEN_AFTER:
            found.receive(PeerInput.FORGOTTEN)
            del self._peers[network]
            return None
        return found


def _network(peer: str) -> str:
    """Who counts as one: an address of IPv4, or the 64 bits of IPv6 that one customer has at least.

    >>> _network("2001:db8::1") == _network("2001:db8::2"), _network("::ffff:192.0.2.1"), _network("unix")
    (True, '192.0.2.1', 'unix')
    """
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
