"""Canaries as values: small requests that are made now and then to see that all is well.

Lives here: what a configuration says of them. May not live here: what they send and how they are judged (`dragoman.core.operations.canaries`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

#: Kinds, with the dialect that each speaks where nothing is said.
KINDS: Final[Mapping[str, str]] = MappingProxyType({
    "plain": "openai_chat",
    "tool_result_image": "claude",
    "usage_parity": "openai_responses",
    "thinking": "openai_chat",
})  # fmt: skip

#: Kinds that ask twice, in a stream and not, and compare.
COMPARING: Final = ("tool_result_image", "usage_parity")


@attrs.frozen
class CanarySpec:
    """A canary.

    Attributes:
        name: Unique.
        model: What it asks for; with a prefix, or as ``provider/model``.
        kind: Of `KINDS`.
        dialect: What it speaks, as a client.
        every: Seconds between runs, more or less.
        timeout: Seconds for each of its requests.
        stream: Whether it asks for a stream; kinds that compare do both.
        level: With kind ``thinking``: how hard to think.
        expect: What must be in the answer, whatever its case; empty: anything will do.
        prompt: What is asked; empty: what its kind asks.

    """

    name: str
    model: str
    kind: str = "plain"
    dialect: str = ""
    every: float = 600.0
    timeout: float = 60.0
    stream: bool = False
    level: str = "high"
    expect: str = ""
    prompt: str = ""

    @property
    def speaks(self) -> str:
        """The dialect, said or not."""
        return self.dialect or KINDS[self.kind]

    @property
    def ways(self) -> tuple[bool, ...]:
        """Its requests: for each whether it asks for a stream."""
        return (False, True) if self.kind in COMPARING else (self.stream,)
