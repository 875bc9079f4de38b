"""The only dice: request ids, drawn numbers, fresh client keys."""

import itertools
import os
import random
from collections.abc import Callable

KEY_PREFIX = "sk-dragoman-"  # some clients refuse keys that do not begin with "sk-"


def id_maker() -> Callable[[], str]:
    """Make a maker of ids: 24 hex digits, of which 16 were drawn when the maker was made and 8 are counted.

    Unique within a process and, but for a chance of one in 2**64, among processes. Not secret and not meant to be: an id names an
    exchange in logs. Asking the system for randomness for each would cost ten times as much.

    >>> new_id = id_maker()
    >>> len(new_id()), new_id() != new_id()
    (24, True)
    """
    prefix = os.urandom(8).hex()
    count = itertools.count(int.from_bytes(os.urandom(3)))  # so that ids are not mistaken for ordinals
    return lambda: f"{prefix}{next(count) & 0xFFFFFFFF:08x}"


draw: Callable[[], float] = random.Random().random  # seeded by the system; in [0, 1)


def new_client_key() -> str:
    """Make a client key nobody can guess: 160 bits after a prefix that tells whose it is."""
    return KEY_PREFIX + os.urandom(20).hex()
