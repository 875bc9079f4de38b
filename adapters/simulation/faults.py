"""What can go wrong in a simulated world, each by its name and with its usual share."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: Of a provider's answers: the share of each fault among all requests that reach it.
ANSWER_FAULTS: Final[Mapping[str, float]] = MappingProxyType({
    "limited": 0.008,  # 429 that says when to come again, in one of the ways of its dialect
    "limited-silently": 0.006,  # 429 that says nothing
    "skewed": 0.004,  # 429 with an instant by a clock that is wrong
    "spent": 0.001,  # the credential's allowance is used up
    "unauthorized": 0.0006,
    "unpaid": 0.0004,
    "forbidden": 0.0006,
    "no-model": 0.0006,
    "failed": 0.012,  # 500, 502, 503, 529
    "error-inside": 0.008,  # 200, and an error in the body, or as the first event of the stream
    "error-late": 0.004,  # an error in the midst of a stream
    "cut": 0.008,  # the connection ends within the answer
    "reset": 0.006,  # it ends before the answer
    "raced": 0.01,  # a kept connection ends as the next request comes
    "slow": 0.01,  # the first byte takes its time, sometimes too much
    "silent": 0.001,  # nothing comes, ever
    "stalled": 0.001,  # nothing more comes, within the answer
    "page": 0.003,  # HTML, from something in between
    "garbage": 0.004,  # 200, and no JSON
    "empty": 0.002,  # 200, and nothing
    "bad-request": 0.006,  # the request is at fault
})  # fmt: skip

#: Of clients: the share among their requests.
CLIENT_FAULTS: Final[Mapping[str, float]] = MappingProxyType({
    "leaves": 0.012,  # before its answer is complete
    "reads-slowly": 0.01,
})  # fmt: skip

#: Of the world: how often in 1000 s.
WORLD_FAULTS: Final[Mapping[str, float]] = MappingProxyType({
    "outage": 25.0,  # a provider's connections end, new ones are refused for a while
    "unreachable": 12.0,  # a provider's new connections are neither taken nor refused for a while
    "switched": 20.0,  # the operator switches a credential off, and later on again, by a reload
    "rate-limits": 1.0,  # providers count requests, refuse what is too much, and say so; not a rate
})  # fmt: skip

FAULTS: Final[Mapping[str, float]] = MappingProxyType({**ANSWER_FAULTS, **CLIENT_FAULTS, **WORLD_FAULTS})


def parse_faults(text: str) -> Mapping[str, float]:
    """Read ``all``, ``none``, or names with commas between them, each with ``=SHARE`` or its usual share; ``all,cut=0.1`` changes one.

    Raises:
        ValueError: With what is wrong, for people.

    >>> parse_faults("cut,reset=0.5")
    {'cut': 0.008, 'reset': 0.5}
    """
    shares: dict[str, float] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, _, share = item.partition("=")
        if name == "all" and not share:
            shares |= FAULTS
        elif name != "none":
            if name not in FAULTS:
                raise ValueError(f"{name!r} is no fault; there are: all, none, {', '.join(FAULTS)}")
            try:
                shares[name] = float(share) if share else FAULTS[name]
            except ValueError:
                raise ValueError(f"{item!r}: expected a number after the sign") from None
            most = 1.0 if name not in WORLD_FAULTS else 1e6
            if not 0 <= shares[name] <= most:
                raise ValueError(f"{item!r}: expected a number from 0 to {most:g}")
    if sum(shares.get(name, 0.0) for name in ANSWER_FAULTS) > 1:
        raise ValueError("the shares of providers' faults are more than 1 together")
    return shares
