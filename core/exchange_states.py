"""Where an exchange is, what can happen to it, and where that leads: one literal table, which `exchange` follows and the docs draw."""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class State(Enum):
    """Where an exchange is."""

    __hash__ = object.__hash__  # an Enum's own is Python code, and the table is asked five times an exchange

    READY = auto()  #: a request, and no attempt in hand
    OPENING = auto()  #: an upstream connection is being opened
    AWAITING = auto()  #: the request is sent; nothing usable came back yet
    COLLECTING = auto()  #: an answer is arriving that will be sent when it is whole
    STREAMING = auto()  #: an answer is on its way to the client
    SERVING = auto()  #: somebody outside the core is answering
    PAUSING = auto()  #: until somebody may be asked again
    DONE = auto()  #: one answer was given (or nobody is left to give it to)


class Input(Enum):
    """What can happen to an exchange."""

    __hash__ = object.__hash__

    HANDED_OVER = auto()  #: it is for somebody outside the core
    ATTEMPTED = auto()  #: an attempt is made
    OPENED = auto()  #: its connection stands
    COLLECTED = auto()  #: its answer began, to be sent when whole
    STREAMED = auto()  #: its answer goes to the client from here on
    FAILED = auto()  #: it came to nothing, and nothing of it went to the client
    PAUSED = auto()  #: the next attempt may be made later
    RESUMED = auto()  #: that time has come
    ANSWERED = auto()  #: the client has its answer
    ABANDONED = auto()  #: the client left, or the gateway ends


TRANSITIONS: Final[Mapping[tuple[State, Input], State]] = MappingProxyType({
    (State.READY, Input.ATTEMPTED): State.OPENING,
    (State.READY, Input.PAUSED): State.PAUSING,
    (State.READY, Input.HANDED_OVER): State.SERVING,
    (State.READY, Input.ANSWERED): State.DONE,  # a local answer, or an error when nobody is left to try
    (State.PAUSING, Input.RESUMED): State.READY,
    (State.OPENING, Input.OPENED): State.AWAITING,
    (State.OPENING, Input.FAILED): State.READY,
    (State.AWAITING, Input.ATTEMPTED): State.OPENING,  # a kept connection was dead: once more, on a fresh one
    (State.AWAITING, Input.COLLECTED): State.COLLECTING,
    (State.AWAITING, Input.STREAMED): State.STREAMING,
    (State.AWAITING, Input.FAILED): State.READY,
    (State.COLLECTING, Input.STREAMED): State.STREAMING,  # longer than what we collect
    (State.COLLECTING, Input.FAILED): State.READY,  # cut, or a status that another attempt may better
    (State.COLLECTING, Input.ANSWERED): State.DONE,
    (State.STREAMING, Input.ANSWERED): State.DONE,
    (State.SERVING, Input.ANSWERED): State.DONE,
    (State.READY, Input.ABANDONED): State.DONE,
    (State.SERVING, Input.ABANDONED): State.DONE,
    (State.PAUSING, Input.ABANDONED): State.DONE,
    (State.OPENING, Input.ABANDONED): State.DONE,
    (State.AWAITING, Input.ABANDONED): State.DONE,
    (State.COLLECTING, Input.ABANDONED): State.DONE,
    (State.STREAMING, Input.ABANDONED): State.DONE,
})  # fmt: skip
