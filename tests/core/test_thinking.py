"""How much a model may reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.effort import LEVELS, budget_of, level_of, nearest_level
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.target import ModelFacts
from dragoman.core.errors import BadRequest
from dragoman.core.thinking import facts_of, fit_thinking, override, split_suffix

BUDGETS = facts_of("claude-sonnet-4-5")
LEVELLED = facts_of("gpt-5.5")
BOTH = facts_of("gemini-3-pro-preview")
ADAPTIVE = facts_of("claude-opus-5")
FACTS = st.sampled_from(
    [BUDGETS, LEVELLED, BOTH, ADAPTIVE, facts_of("gemini-2.5-flash"), facts_of("claude-opus-4-1"), facts_of("kimi-k3")]
)
ASKED = st.one_of(
    st.builds(Thinking, st.sampled_from(["off", "auto"])),
    st.builds(lambda level: Thinking("level", level=level), st.sampled_from(LEVELS)),
    st.builds(lambda budget: Thinking("budget", budget=budget), st.integers(1, 200_000)),
)  # fmt: skip


@given(ASKED, FACTS)
def test_what_comes_out_is_what_the_model_takes(asked: Thinking, facts: ModelFacts) -> None:
    fitted, losses = fit_thinking(asked, facts)
    assert fitted is not None
    match fitted.mode:
        case "off":
            assert facts.may_be_off
        case "auto":
            assert facts.may_be_auto
        case "level":
            assert fitted.level in facts.levels
        case "budget":
            assert facts.max_budget is not None
            assert fitted.budget is not None
            assert (facts.min_budget or 0) <= fitted.budget <= facts.max_budget
        case _:
            pytest.fail("something else")
    assert bool(losses) == (fitted != asked)
    assert fit_thinking(fitted, facts) == (fitted, ())


@pytest.mark.parametrize(
    ("asked", "facts", "expected"),
    [
        (Thinking("off"), BUDGETS, Thinking("off")),
        (Thinking("off"), facts_of("gemini-2.5-pro"), Thinking("budget", budget=128)),
        (Thinking("off"), BOTH, Thinking("level", level="low")),
        (Thinking("off"), facts_of("grok-4.3"), Thinking("off")),
        (Thinking("auto"), BUDGETS, Thinking("budget", budget=64512)),
        (Thinking("auto"), LEVELLED, Thinking("level", level="medium")),
        (Thinking("auto"), facts_of("claude-opus-4-6"), Thinking("auto")),
        (Thinking("level", level="xhigh"), BUDGETS, Thinking("budget", budget=32768)),
        (Thinking("level", level="minimal", show="off"), BUDGETS, Thinking("budget", budget=1024, show="off")),
        (Thinking("level", level="medium"), BOTH, Thinking("level", level="low")),
        (Thinking("budget", budget=9000), LEVELLED, Thinking("level", level="high")),
        (Thinking("budget", budget=9000), BOTH, Thinking("budget", budget=9000)),
        (Thinking("budget", budget=99_000), BOTH, Thinking("budget", budget=32768)),
        (Thinking("budget", budget=7), ModelFacts(), Thinking("budget", budget=7)),
        (Thinking("level", level="high"), facts_of("claude-3-5-haiku-20241022"), None),
        (Thinking("off"), facts_of("claude-3-5-haiku"), None),
        (Thinking(show="auto"), BUDGETS, Thinking(show="auto")),
        (None, BUDGETS, None),
    ],
)
def test_table(asked: Thinking | None, facts: ModelFacts, expected: Thinking | None) -> None:
    assert fit_thinking(asked, facts)[0] == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Thinking("level", level="max"), 'level "max" not supported, valid levels: low, high'),
        (Thinking("budget", budget=99_000), "budget 99000 out of range [128,32768]"),
    ],
)
def test_mistakes_of_those_who_meant_this_model(asked: Thinking, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        fit_thinking(asked, BOTH, is_strict=True)
    assert caught.value.message == message
    assert fit_thinking(Thinking("level", level="low"), BOTH, is_strict=True)[1] == ()
    assert fit_thinking(Thinking("budget", budget=500), BOTH, is_strict=True)[1] == ()


def test_the_door_makes_a_difference() -> None:
    assert facts_of("claude-sonnet-4-6").levels == ("low", "medium", "high", "max")
    assert facts_of("claude-sonnet-4-6", "antigravity").levels == ()
    assert facts_of("Models/Gemini-Flash-Latest").max_budget == 24576
    assert facts_of("claude-opus-4-1@20250805").max_output == 32000


def test_the_suffix_says_how_much_and_the_body_whether_to_show() -> None:
    assert override(Thinking("off", show="off"), Thinking("auto")) == Thinking("auto", show="off")
    assert override(Thinking("auto", show="auto"), Thinking("off")) == Thinking("off")
    assert override(None, Thinking("auto")) == Thinking("auto")
    assert override(Thinking("auto"), None) == Thinking("auto")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("m(-1)", ("m", Thinking("auto"))),
        ("m(0)", ("m", Thinking("off"))),
        ("m(8192)", ("m", Thinking("budget", budget=8192))),
        ("m( HIGH )", ("m", Thinking("level", level="high"))),
        ("m(99999999999)", ("m(99999999999)", None)),
        ("m()", ("m()", None)),
        ("(high)", ("(high)", None)),
        ("a(b)(low)", ("a(b)", Thinking("level", level="low"))),
    ],
)
def test_suffixes(model: str, expected: Any) -> None:
    assert split_suffix(model) == expected


def test_levels_and_budgets_turn_into_each_other() -> None:
    assert [level_of(budget_of(level)) for level in LEVELS[:5]] == list(LEVELS[:5])
    assert budget_of("odd") == 8192


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_tokens_are_no_lower_level(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert LEVELS.index(level_of(low)) <= LEVELS.index(level_of(high))


@given(st.sampled_from(LEVELS), st.lists(st.sampled_from(LEVELS), min_size=1, unique=True))
def test_the_nearest_level(level: str, supported: list[str]) -> None:
    found = nearest_level(level, supported)
    distances = {known: abs(LEVELS.index(known) - LEVELS.index(level)) for known in supported}
    assert found in supported
    assert distances[found] == min(distances.values())
    assert all(distances[known] > distances[found] or LEVELS.index(known) >= LEVELS.index(found) for known in supported)
    assert nearest_level("odd", supported) == "odd"
    assert nearest_level(level, []) == level
