"""``canaries``."""

from typing import Any

import pytest

from dragoman.core.canary_specs import CanarySpec
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError


def canaries(*items: dict[str, Any]) -> tuple[CanarySpec, ...]:
    return parse_config({"canaries": list(items)}, environment={})[0].canaries


def test_what_is_said() -> None:
    everything = {
        "name": "think", "model": "p/m", "kind": "thinking", "dialect": "claude", "every": "1h", "timeout": "5s", "stream": True,
        "level": "low", "expect": "pong", "prompt": "say pong",
    }  # fmt: skip
    assert canaries({"name": "a", "model": "m"}, everything) == (
        CanarySpec("a", "m"),
        CanarySpec("think", "p/m", "thinking", "claude", 3600.0, 5.0, True, "low", "pong", "say pong"),
    )
    assert canaries() == ()


@pytest.mark.parametrize(
    ("kind", "speaks", "ways"),
    [
        ("plain", "openai_chat", (False,)),
        ("thinking", "openai_chat", (False,)),
        ("usage_parity", "openai_responses", (False, True)),
        ("tool_result_image", "claude", (False, True)),
    ],
)
def test_what_is_not(kind: str, speaks: str, ways: tuple[bool, ...]) -> None:
    (spec,) = canaries({"name": "a", "model": "m", "kind": kind})
    assert (spec.speaks, spec.ways) == (speaks, ways)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([{"name": "a"}], "canaries[0]: a canary needs a `name` and a `model`"),
        ([{"name": "a", "model": "m"}] * 2, "canaries[1]: the name 'a' is taken"),
        ([{"name": "a", "model": "m", "kind": "plan"}], "did you mean 'plain'?"),
        ([{"name": "a", "model": "m", "every": "1s"}], "canaries[0].every: expected seconds"),
        ([{"name": "a", "model": "m", "kind": "usage_parity", "stream": True}], "asks both ways"),
        ([{"name": "a", "model": "m", "level": "low"}], "`level` is for canaries of kind 'thinking'"),
        ([{"name": "a", "model": "m", "evry": 60}], "did you mean 'every'?"),
    ],
)
def test_mistakes(items: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        canaries(*items)
    (mistake,) = caught.value.mistakes
    assert expected in f"{mistake.dotted()}: {mistake.message}"
