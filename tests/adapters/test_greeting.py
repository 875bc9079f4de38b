"""What is shown can be pasted, and shows no secret but the one that was made to be shown."""

import json
import shlex

import attrs
import pytest

from dragoman.adapters.greeting import DEMO_MODEL, address, curl_lines, greeting, summary
from dragoman.adapters.planning import Plan
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider, ServerTLS
from dragoman.core.config_parsing import parse_config

PROVIDER = Provider(
    "lab",
    "openai-compatibility",
    "openai_chat",
    "https://lab/v1",
    prefix="l",
    credentials=(Credential("key-1", "hunter2"),),
    models=(Model("big/model", "big"), Model("small", "small")),
)
CONFIG = Config(api_keys=(ClientKey("hunter2", "anna"),), providers=(PROVIDER, attrs.evolve(PROVIDER, name="off", prefix=None, models=(), takes_any=True, disabled=True)))  # fmt: skip


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (Config(host=""), "http://127.0.0.1:8317"),
        (Config(host="0.0.0.0"), "http://127.0.0.1:8317"),
        (Config(host="::"), "http://[::1]:8317"),
        (Config(host="gw.example"), "http://gw.example:8317"),
        (Config(tls=ServerTLS("c", "k")), "https://127.0.0.1:8317"),
    ],
)
def test_address(config: Config, url: str) -> None:
    """One that leads there from this machine."""
    assert address(config, 8317) == url


def test_curl_lines_can_be_pasted() -> None:
    """A shell takes them apart as meant, and their bodies are JSON."""
    chat, stream, models = map(shlex.split, curl_lines("http://h:1", "sk-x", "demo/echo"))
    for words, streamed in ((chat, None), (stream, True)):
        assert words[0] == "curl"
        assert words[2:5] == ["http://h:1/v1/chat/completions", "-H", "Authorization: Bearer sk-x"]
        body = json.loads(words[-1])
        assert body["model"] == "demo/echo"
        assert body.get("stream") is streamed
    assert "-sN" in stream
    assert models == ["curl", "-s", "http://h:1/v1/models", "-H", "Authorization: Bearer sk-x"]


def test_demo_greeting() -> None:
    """It says that it is a demo, shows the key, and what to paste."""
    text = greeting(Plan(Config(), "demo", generated_key="sk-x"), 4000)
    assert "Demo mode" in text
    assert "\n  sk-x\n" in text
    assert text.count("Bearer sk-x") == 3
    assert text.count(DEMO_MODEL) == 2
    assert text.count("http://127.0.0.1:4000") == 4


def test_greeting_of_the_environment() -> None:
    """It names the providers found."""
    text = greeting(Plan(CONFIG, "environment", generated_key="sk-x"), 1)
    assert "found in the environment: lab, off." in text
    assert '"model": "big"' in text
    assert "hunter2" not in text
    off = attrs.evolve(CONFIG, providers=(CONFIG.providers[1],) * 2)
    text = greeting(Plan(off, "environment", generated_key="sk-x"), 1)
    assert "found in the environment: off." in text
    assert '"model": "off/MODEL"' in text


def test_greeting_of_a_file() -> None:
    """Two lines: nothing is generated."""
    assert greeting(Plan(CONFIG, "config.yaml", "asyncio"), 1) == (
        "Dragoman listens on http://127.0.0.1:1 (asyncio).\nConfiguration: config.yaml"
    )


def test_summary() -> None:
    """Everything by its label."""
    text = summary(Plan(CONFIG, "config.yaml"))
    assert text.splitlines() == [
        "configuration  config.yaml",
        "address        http://127.0.0.1:8317",
        "client keys    anna",
        "provider       lab  openai_chat  https://lab/v1",
        "  credentials  key-1",
        "  model        [l/]big -> big/model",
        "  model        [l/]small",
        "provider       off  openai_chat  https://lab/v1  (disabled)",
        "  credentials  key-1",
        "  models       any, as off/MODEL",
    ]


def test_summary_of_keys() -> None:
    """Sections by their name; what is known is not listed whole."""
    keys: dict[str, object] = {
        "claude-api-key": [{"api-key": "hunter2"}, {"api-key": "hunter2", "prefix": "team"}, {"api-key": "hunter3"}],
        "groq": [{"api-key": "hunter2", "excluded-models": ["*"]}],
    }
    text = summary(Plan(parse_config({"host": ""} | keys, environment={})[0], "config.yaml"))
    assert "hunter" not in text
    assert text.splitlines()[3:] == [
        "provider       claude  claude  https://api.anthropic.com  (claude-api-key)",
        "  credentials  key-1, key-3",
        "  models       claude-haiku-4-5 and the like (19); any, as claude/MODEL",
        "provider       claude  claude  https://api.anthropic.com  (claude-api-key)",
        "  credentials  key-2",
        "  models       [team/]claude-haiku-4-5 and the like (19); any, as claude/MODEL or team/MODEL",
        "provider       groq  openai_chat  https://api.groq.com/openai/v1  (disabled)",
        "  credentials  key-1",
        "  models       any, as groq/MODEL",
    ]


def test_summary_of_little() -> None:
    """It says what there is not."""
    assert "demo (built in)" in summary(Plan(Config(), "demo"))
    lines = summary(Plan(Config(host=""), "config.yaml")).splitlines()
    assert lines[1].endswith("(on all interfaces)")
    assert "open to everybody" in lines[2]
    assert lines[3].endswith("none")
