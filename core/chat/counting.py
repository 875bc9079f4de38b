"""How many tokens a request would cost, asked for beforehand."""

import attrs


@attrs.frozen
class TokenCount:
    """What a provider counted, or somebody estimated.

    Attributes:
        input: Tokens of the whole request.
        cached: Of these, those that a cache already holds; 0 when nobody said.
        is_estimate: Whether it was estimated, not counted.

    """

    input: int
    cached: int = 0
    is_estimate: bool = False
