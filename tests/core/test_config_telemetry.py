"""``metrics`` and ``telemetry``."""

import pytest

from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError
from dragoman.core.telemetry_settings import Telemetry

FULL = {
    "exporter": "otlp",
    "endpoint": "https://collector.test:4318/otlp/",
    "headers": {"X-Key": "${SECRET}"},
    "service-name": "gate",
    "interval": "10s",
}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, Telemetry()),
        ({}, Telemetry()),
        ({"exporter": "console"}, Telemetry("console")),
        (FULL, Telemetry("otlp", "https://collector.test:4318/otlp", (("X-Key", "s3cret"),), "gate", 10.0)),
    ],
)
def test_telemetry_is_read(section: object, expected: Telemetry) -> None:
    found = parse_config({"telemetry": section}, environment={"SECRET": "s3cret"})[0].telemetry
    assert found == expected
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"exporter": "jaeger"}, "none, otlp, console"),
        ({"endpoint": "collector:4318"}, "expected a URL with a scheme"),
        ({"endpoint": "socks5://collector"}, "expected http:// or https://"),
        ({"endpoint": "http://me:secret@collector"}, "use `headers`"),
        ({"interval": "0.1s"}, "1"),
        ({"endpiont": ""}, "endpoint"),
    ],
)
def test_mistakes_say_what_was_expected(section: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({"telemetry": section}, environment={})
    (mistake,) = error.value.mistakes
    assert mistake.path[0] == "telemetry"
    assert message in mistake.message
    assert "secret" not in mistake.message


@pytest.mark.parametrize(
    ("section", "is_open"), [(None, False), ({}, False), ({"open": True}, True), ({"open": "no"}, False)]
)
def test_metrics_are_open_if_said(section: object, is_open: bool) -> None:
    assert parse_config({"metrics": section}, environment={})[0].metrics_open is is_open
