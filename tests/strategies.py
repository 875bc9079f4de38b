"""Hypothesis strategies shared by the tests. A new kind of value is added here first."""

import itertools

from hypothesis import strategies as st


@st.composite
def cuts_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Every way a network may cut `data` into pieces; none of them empty, for an empty piece means the end."""
    at = draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=8))
    return [data[a:b] for a, b in itertools.pairwise([0, *sorted(at), len(data)]) if a < b]
