"""Ids are unique, keys are secret, numbers are drawn from [0, 1)."""

import re

from dragoman.adapters.chance import draw, id_maker, new_client_key


def test_ids_are_unique_within_and_among_makers() -> None:
    """Two processes are two makers."""
    first, second = id_maker(), id_maker()
    ids = [make() for make in (first, second) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch(r"[0-9a-f]{24}", new) for new in ids)


def test_drawn_numbers() -> None:
    """They differ and are in bounds."""
    numbers = [draw() for _ in range(100)]
    assert len(set(numbers)) > 90
    assert all(0 <= number < 1 for number in numbers)


def test_client_keys() -> None:
    """40 digits after the prefix, never the same."""
    keys = {new_client_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"sk-dragoman-[0-9a-f]{40}", key) for key in keys)
