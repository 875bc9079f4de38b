"""Single values, as a schema reads them."""

import pytest

from dragoman.core.config_nodes import Node, Reading, describe


def node(value: object) -> Node:
    return Node(Reading({"SHARE": "5%"}), ("here",), value)


@pytest.mark.parametrize(
    ("value", "ratio"),
    [(None, 0.5), (0.05, 0.05), (1, 1.0), ("0.25", 0.25), ("5%", 0.05), ("100%", 1.0), ("${SHARE}", 0.05)],
)
def test_shares(value: object, ratio: float) -> None:
    read = node(value)
    assert read.ratio(0.5) == pytest.approx(ratio)
    assert read.reading.mistakes == []


@pytest.mark.parametrize("value", [0, 1.5, "101%", "0%", "%", "much", "-1", [], True])
def test_no_shares(value: object) -> None:
    read = node(value)
    assert read.ratio(0.5) == 0.5
    assert "expected a share like 0.05 or 5%" in read.reading.mistakes[0].message


def test_what_may_be_a_secret_is_not_quoted() -> None:
    read = node("hunter2")
    assert read.items(secret=True) == ()
    assert read.section(secret=True).among(["x"]) == ()
    assert ["something else" in mistake.message for mistake in read.reading.mistakes] == [True, True]
    read.items()
    read.section()
    assert ["'hunter2'" in mistake.message for mistake in read.reading.mistakes] == [False, False, True, True]


def test_what_is_there_comes_in_order() -> None:
    section = node({"b": 1, 5: 2, "a": None, "c": 3}).section()
    assert [(found.path, found.value) for found in section.among(["a", "b", "x"])] == [
        (("here", "b"), 1),
        (("here", "a"), None),
    ]


def test_nothing_in_words() -> None:
    assert describe(None) == "nothing"
