"""``alerts``: the defaults, changed or switched off by name, and rules of one's own."""

from typing import Any

import attrs
import pytest

from dragoman.core.alert_rules import DEFAULT_RULES, AlertRule, Notifier
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError


def rules(*items: dict[str, Any]) -> dict[str, AlertRule]:
    config, notices = parse_config({"alerts": list(items)}, environment={})
    assert notices == ()
    return {rule.name: rule for rule in config.alerts}


def mistakes(*items: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        rules(*items)
    return [f"{mistake.dotted()}: {mistake.message}" for mistake in caught.value.mistakes]


def test_the_defaults() -> None:
    assert tuple(rules().values()) == DEFAULT_RULES


def test_a_default_is_changed_or_switched_off() -> None:
    found = rules({"name": "rate-limited", "threshold": "20%"}, {"name": "iflow-errors", "enabled": False})
    expected = {rule.name: rule for rule in DEFAULT_RULES if rule.name != "iflow-errors"}
    expected["rate-limited"] = attrs.evolve(expected["rate-limited"], threshold=0.2)
    assert found == expected


def test_all_of_them_at_once() -> None:
    assert rules({"name": "*", "enabled": False}) == {}
    assert {rule.hold for rule in rules({"name": "*", "hold": "5s"}).values()} == {5.0}


def test_one_of_ones_own() -> None:
    item = {
        "name": "mine", "signal": "error-ratio", "scope": "model", "subject": "gpt-*", "threshold": "10%", "window": "1m", "hold": 0,
        "settle": "10s", "minimum-sample": 5, "severity": "critical", "action": "none",
    }  # fmt: skip
    expected = AlertRule("mine", "error-ratio", "model", "gpt-*", 0.1, 60.0, 0.0, 10.0, 5, "critical", "none")
    assert rules({"name": "*", "enabled": False}, item) == {"mine": expected}
    assert rules(item | {"enabled": False}).get("mine") is None
    burst = rules({"name": "burst", "signal": "refused-count", "threshold": 3})["burst"]
    assert (burst.scope, burst.threshold) == ("provider", 3.0)


def test_another_signal_makes_another_rule() -> None:
    found = rules({"name": "rate-limited", "signal": "refused-count"})["rate-limited"]
    assert found == AlertRule("rate-limited", "refused-count", "provider")


def test_what_mitigates() -> None:
    found = rules(
        {"name": "mine", "signal": "error-ratio", "scope": "model", "subject": "a", "threshold": 0.1, "action": "mitigate", "fallback": "b"}
    )  # fmt: skip
    assert found["mine"].fallback == "b"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"signal": "error-ratio"}, "alerts[0]: a rule needs a `name`"),
        ({"name": "rate-limitd"}, "did you mean 'rate-limited'?"),
        ({"name": "x", "signal": "eror-ratio"}, "did you mean 'error-ratio'?"),
        ({"name": "x", "signal": "error-ratio"}, "`threshold` is missing"),
        ({"name": "rate-limited", "window": "2h"}, "alerts[0].window: expected at most 1h"),
        ({"name": "rate-limited", "scope": "canary"}, "expected one of provider, model, credential"),
        ({"name": "rate-limited", "treshold": 1}, "alerts[0].treshold: unknown key 'treshold'; did you mean 'threshold'?"),
        ({"name": "rate-limited", "action": "mitigate"}, "`action: mitigate` is for a rule of"),
        ({"name": "spark-errors", "action": "mitigate"}, "`action: mitigate` needs a `fallback`"),
        ({"name": "refusal-burst", "threshold": "5%"}, "expected a whole number from 0"),
    ],
)  # fmt: skip
def test_mistakes(item: dict[str, Any], expected: str) -> None:
    found = mistakes(item)
    assert len(found) == 1
    assert expected in found[0]


def notifiers(*items: object) -> tuple[Notifier, ...]:
    return parse_config({"notifications": list(items)}, environment={"TOKEN": "t0ken"})[0].notifications


def test_who_is_told() -> None:
    assert notifiers(
        "json://host/${TOKEN}", {"name": "ops", "url": "slack://a/b/c", "severity": "critical"}, "JSONS://x"
    ) == (
        Notifier("json-1", "json://host/t0ken"),
        Notifier("ops", "slack://a/b/c", "critical"),
        Notifier("jsons-3", "JSONS://x"),
    )


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["s3cret"], "notifications[0]: expected an Apprise URL"),
        ([{"name": "x"}], "notifications[0].url: expected an Apprise URL"),
        ([{"url": "a://b", "s3cret": 1}], "expected only the keys name, url, severity here"),
        (
            [{"name": "x", "url": "a://s3cret"}, {"name": "x", "url": "a://b"}],
            "notifications[1]: the name 'x' is taken",
        ),
        ([{"url": "a://b", "severity": "loud"}], "expected one of warning, critical"),
    ],
)
def test_mistakes_of_notifiers(items: list[object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        notifiers(*items)
    said = "\n".join(f"{mistake.dotted()}: {mistake.message}" for mistake in caught.value.mistakes)
    assert expected in said
    assert "s3cret" not in said
    assert "s3cret" not in repr(Notifier("x", "a://s3cret"))
