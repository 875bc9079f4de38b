"""Large values from one small draw.

Hypothesis takes about 50 µs for each thing it draws, so a conversation of a hundred parts took longer to draw than to test. Here one string of
bytes is drawn, and a value is made by asking it one small question after another; zeros are the simplest answers, so shrinking works as ever.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Decisions:
    """Answers to questions.

    Args:
        drawn: What decides; when it is used up, everything is as simple as can be.
        own: A text of any characters, possibly empty, for whoever makes texts.

    """

    def __init__(self, drawn: bytes, own: str = "") -> None:
        self._drawn = iter(drawn)
        self.own = own

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1 (at most 255)."""
        return next(self._drawn, 0) % limit

    def number(self, limit: int) -> int:
        """A number from 0 to `limit` - 1 (at most 65,535)."""
        return (next(self._drawn, 0) << 8 | next(self._drawn, 0)) % limit

    def yes(self) -> bool:
        """Yes or no."""
        return next(self._drawn, 0) & 1 == 1

    def seldom(self, odds: int) -> bool:
        """Yes in one of `odds` cases."""
        return next(self._drawn, 0) % odds == odds - 1

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, of which the first is the simplest."""
        return options[next(self._drawn, 0) % len(options)]

    def some(self, make: Callable[[], T], least: int, most: int) -> list[T]:
        """From `least` to `most` things."""
        return [make() for _ in range(least + self.below(most - least + 1))]


def made(make: Callable[[Decisions], T], size: int) -> st.SearchStrategy[T]:
    """What `make` makes of up to `size` decisions."""
    drawn = st.binary(min_size=size, max_size=size)
    return st.tuples(drawn, st.text(st.characters(codec="utf-8"), max_size=8)).map(
        lambda drawn: make(Decisions(*drawn))
    )
