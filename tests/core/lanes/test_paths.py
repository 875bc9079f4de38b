"""Where requests go at a provider."""

import pytest

from dragoman.core.config_parsing import parse_config
from dragoman.core.endpoints import Endpoint, Operation
from dragoman.core.lanes import Ask, choose_lane
from dragoman.core.request_text import RequestPeek
from dragoman.core.routing.catalog import Catalog, Target


def the_target(section: str, base_url: str | None) -> Target:
    """Of the model ``m 1`` of a provider that is configured with a key and, where not None, a base URL."""
    config, _ = parse_config({section: [{"api-key": "k", "base-url": base_url}]}, environment={})
    (target,) = Catalog(config, "dragoman/1").find(f"{config.providers[0].name}/m 1")
    return target


@pytest.mark.parametrize(
    ("section", "base_url", "operation", "stream", "path"),
    [
        ("claude-api-key", None, Operation.CHAT, True, "/v1/messages"),
        ("claude-api-key", None, Operation.COUNT_TOKENS, False, "/v1/messages/count_tokens"),
        ("codex-api-key", None, Operation.CHAT, False, "/v1/responses"),
        ("codex-api-key", "http://h/openai", Operation.COMPACT, False, "/openai/responses/compact"),
        ("xai-api-key", None, Operation.CHAT, True, "/v1/chat/completions"),
        ("openrouter", None, Operation.CHAT, True, "/api/v1/chat/completions"),
        ("kilo", None, Operation.EMBEDDINGS, False, "/api/gateway/embeddings"),
        ("gemini-api-key", None, Operation.CHAT, False, "/v1beta/models/m%201:generateContent"),
        ("gemini-api-key", None, Operation.EMBEDDINGS, False, "/v1beta/models/m%201:embedContent"),
        ("vertex-api-key", None, Operation.CHAT, False, "/v1/publishers/google/models/m%201:generateContent"),
        (
            "vertex-api-key",
            "http://h/x",
            Operation.COUNT_TOKENS,
            False,
            "/x/v1/publishers/google/models/m%201:countTokens",
        ),
        (
            "vertex-api-key",
            None,
            Operation.CHAT,
            True,
            "/v1/publishers/google/models/m%201:streamGenerateContent?alt=sse",
        ),
    ],
)
def test_paths(section: str, base_url: str | None, operation: Operation, stream: bool, path: str) -> None:
    """Those of the dialect, behind the base URL; Vertex AI's models are elsewhere."""
    target = the_target(section, base_url)
    endpoint = Endpoint(target.dialect, operation, model="m 1" if target.dialect == "gemini" else "")
    lane = choose_lane(Ask(endpoint, RequestPeek("m 1", stream), b'{"model": "m 1"}'), target)
    assert target.base_path.decode() + lane.path.decode() == path
