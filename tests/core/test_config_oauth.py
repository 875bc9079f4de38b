"""What a configuration says of credential files."""

import pytest

from dragoman.core.config import Config, OAuthClient
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError


def read(data: object) -> Config:
    return parse_config(data, environment={"SECRET": "s3cret"})[0]


def test_sections_by_channel() -> None:
    config = read({
        "oauth-excluded-models": {"Claude": ["Opus-*", ""], "codex": None},
        "oauth-upstream": {"codex": "http://127.0.0.1:1/v1/", "claude": ""},
        "oauth-clients": {"Codex": {"token-url": "https://t.example/x", "client-id": "c", "client-secret": "${SECRET}"}, "qwen": {}},
    })  # fmt: skip
    assert config.channel_exclusions == (("claude", ("opus-*",)), ("codex", ()))
    assert config.channel_urls == (("codex", "http://127.0.0.1:1/v1"),)
    assert config.oauth_clients == (OAuthClient("codex", "https://t.example/x", "c", "s3cret"), OAuthClient("qwen"))
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"oauth-upstream": {"codex": "ftp://x"}}, "oauth-upstream.codex"),
        ({"oauth-upstream": {"codex": "socks5://x"}}, "oauth-upstream.codex"),
        ({"oauth-clients": {"codex": {"token-url": "https://me@x"}}}, "oauth-clients.codex.token-url"),
        ({"oauth-clients": {"codex": {"token-url": "http://far.example/x"}}}, "oauth-clients.codex.token-url"),
        ({"oauth-clients": {"codex": {"secret": "x"}}}, "oauth-clients.codex"),
        ({"oauth-clients": {"codex": "x"}}, "oauth-clients.codex"),
        ({"oauth-excluded-models": {"codex": "x"}}, "oauth-excluded-models.codex"),
    ],
)
def test_mistakes_with_their_place(data: object, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(data)
    assert [mistake.dotted() for mistake in caught.value.mistakes] == [path]
