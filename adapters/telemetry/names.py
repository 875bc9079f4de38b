"""The words of OpenTelemetry's semantic conventions for GenAI and HTTP: the one place that changes when they do.

Version: opentelemetry-semantic-conventions 0.66b2 (2026-11); the GenAI part is still in development.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.45.0"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
ERROR_TYPE: Final = "error.type"
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ROUTE: Final = "http.route"
RESEND_COUNT: Final = "http.request.resend_count"

TOKEN_USAGE: Final = "gen_ai.client.token.usage"
CLIENT_DURATION: Final = "gen_ai.client.operation.duration"
CLIENT_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
SERVER_DURATION: Final = "gen_ai.server.request.duration"
SERVER_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"

# Ours, for what they have no word for.
OWN_PROVIDER: Final = "dragoman.provider"
OWN_OUTCOME: Final = "dragoman.outcome"
OWN_FAULT: Final = "dragoman.fault"
OWN_REQUEST_ID: Final = "dragoman.request_id"
OWN_DIALECT: Final = "dragoman.dialect"
OWN_USAGE_MISSING: Final = "dragoman.usage_missing"

TOKEN_BOUNDS: Final = tuple(4**k for k in range(14))
SECOND_BOUNDS: Final = tuple(0.01 * 2**k for k in range(14))

#: What the conventions call providers that configurations call otherwise.
_PROVIDERS: Final[Mapping[str, str]] = MappingProxyType({
    "anthropic": "anthropic", "claude": "anthropic", "openai": "openai", "codex": "openai", "gemini": "gcp.gemini", "vertex": "gcp.vertex_ai",
    "xai": "x_ai", "mistral": "mistral_ai", "kimi": "moonshot_ai", "moonshot": "moonshot_ai", "groq": "groq", "deepseek": "deepseek",
    "perplexity": "perplexity", "cohere": "cohere", "bedrock": "aws.bedrock", "azure": "azure.ai.openai",
})  # fmt: skip

_OPERATIONS: Final = (
    ("/v1/embeddings", "embeddings"),
    (":embedContent", "embeddings"),
    (":batchEmbedContents", "embeddings"),
    ("/v1/completions", "text_completion"),
    ("enerateContent", "generate_content"),
    ("ount_tokens", "count_tokens"),
    (":countTokens", "count_tokens"),
    ("/input_tokens", "count_tokens"),
)


def provider_name(provider: str) -> str:
    """A provider as the conventions call it; one they do not know keeps its name.

    >>> provider_name("claude"), provider_name("iflow")
    ('anthropic', 'iflow')
    """
    return _PROVIDERS.get(provider, provider)


def operation_name(path: str) -> str:
    """What a path asks for, as the conventions call it.

    >>> operation_name("/v1/messages"), operation_name("/v1beta/models/m:streamGenerateContent"), operation_name("/v1/embeddings")
    ('chat', 'generate_content', 'embeddings')
    """
    return next((name for end, name in _OPERATIONS if path.endswith(end)), "chat")


def route_of(path: str) -> str:
    """A path without the model that Gemini's have in them.

    >>> route_of("/v1beta/models/m:generateContent"), route_of("/v1/messages")
    ('/v1beta/models/{model}:generateContent', '/v1/messages')
    """
    before, models, named = path.partition("/models/")
    return f"{before}/models/{{model}}{''.join(named.rpartition(':')[1:])}" if models else path
