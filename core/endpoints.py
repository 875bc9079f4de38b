"""Which operation a request asks for: method and path -> dialect and operation. One literal table."""

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.access import percent_decode
from dragoman.core.errors import UnknownPath, WrongMethod


class Operation(Enum):
    """What can be asked of the gateway."""

    __hash__ = object.__hash__  # an Enum's own is Python code, and several tables are asked for each exchange

    HOME = "home"
    HEALTH = "health"
    MODELS = "list of models"
    MODEL = "model"
    PROVIDERS = "how providers do"
    CHAT = "chat"
    COUNT_TOKENS = "counting of tokens"
    COMPACT = "compaction"
    COMPLETIONS = "legacy completions"
    EMBEDDINGS = "embeddings"
    BATCH_EMBEDDINGS = "batches of embeddings"
    OUTSIDE = "what is answered outside the core"


LOCAL: Final = frozenset({Operation.HOME, Operation.HEALTH, Operation.MODELS, Operation.MODEL, Operation.PROVIDERS})


@attrs.frozen
class Endpoint:
    """A dialect and an operation of it.

    Attributes:
        dialect: The client's dialect: also of errors, so even ``/health`` has one.
        operation: What is asked for.
        needs_key: Whether a client key is asked for.
        model: The model named in the path, where the dialect does that.
        streams: Whether the path asks for a stream; None where the body does.

    """

    dialect: str
    operation: Operation
    needs_key: bool = True
    model: str = ""
    streams: bool | None = None


_HEALTH: Final = Endpoint("openai_chat", Operation.HEALTH, needs_key=False)
_MODELS: Final = Endpoint("openai_chat", Operation.MODELS)
# Who may ask, and by which method, is known to those who answer.
_OUTSIDE: Final = Endpoint("openai_chat", Operation.OUTSIDE, needs_key=False)
_OUTSIDE_PATHS: Final = frozenset({"/metrics", "/openapi.json"})
_OUTSIDE_PREFIX: Final = "/v0/management/"

ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = MappingProxyType({
    "/": {"GET": Endpoint("openai_chat", Operation.HOME, needs_key=False)},  # Claude Code probes it with HEAD
    "/health": {"GET": _HEALTH},
    "/healthz": {"GET": _HEALTH},
    "/v1/metrics/providers": {"GET": Endpoint("openai_chat", Operation.PROVIDERS, needs_key=False)},
    "/v1/models": {"GET": _MODELS},
    "/v1beta/models": {"GET": Endpoint("gemini", Operation.MODELS)},
    "/v1alpha/models": {"GET": Endpoint("gemini", Operation.MODELS)},
    "/v1/chat/completions": {"POST": Endpoint("openai_chat", Operation.CHAT)},
    "/v1/completions": {"POST": Endpoint("openai_chat", Operation.COMPLETIONS)},
    "/v1/embeddings": {"POST": Endpoint("openai_chat", Operation.EMBEDDINGS)},
    "/v1/messages": {"POST": Endpoint("claude", Operation.CHAT)},
    "/v1/messages/count_tokens": {"POST": Endpoint("claude", Operation.COUNT_TOKENS)},
    "/v1/responses": {"POST": Endpoint("openai_responses", Operation.CHAT)},
    "/v1/responses/compact": {"POST": Endpoint("openai_responses", Operation.COMPACT)},
    "/v1/responses/input_tokens": {"POST": Endpoint("openai_responses", Operation.COUNT_TOKENS)},
})  # fmt: skip

#: What can be asked of a model in Gemini's paths, and whether it streams. Clients use each of the three versions: the CLI /v1beta, google-genai /v1.
ACTIONS: Final[Mapping[str, tuple[Operation, bool]]] = MappingProxyType({
    "generateContent": (Operation.CHAT, False),
    "streamGenerateContent": (Operation.CHAT, True),
    "countTokens": (Operation.COUNT_TOKENS, False),
    "embedContent": (Operation.EMBEDDINGS, False),
    "batchEmbedContents": (Operation.BATCH_EMBEDDINGS, False),
})  # fmt: skip
VERSIONS: Final = ("v1", "v1beta", "v1alpha")
_MODEL_PATH: Final = re.compile(rf"/({'|'.join(VERSIONS)})/models/(.+?)(?::(\w+))?", re.DOTALL)


def find_endpoint(method: str, path: str) -> Endpoint:
    """Find what `method` and `path` (as sent) ask for; HEAD counts as GET.

    Raises:
        UnknownPath: Nothing is there.
        WrongMethod: Something is there, for other methods.

    """
    decoded = decode_path(path)
    if decoded.startswith(_OUTSIDE_PREFIX) or decoded in _OUTSIDE_PATHS:
        return _OUTSIDE
    methods = ENDPOINTS.get(decoded)
    if methods is None:
        methods = _methods_of_model(decoded)
    if methods is None:
        raise UnknownPath(
            f"Nothing answers at {path[:200]}. There are /v1/chat/completions, /v1/responses, /v1/messages, "
            "/v1beta/models/{model}:generateContent, /v1/embeddings and /v1/models."
        )
    endpoint = methods.get("GET" if method == "HEAD" else method)
    if endpoint is None:
        allow = [*methods, "HEAD"] if "GET" in methods else [*methods]
        raise WrongMethod(f"{path[:200]} does not take {method[:40]}; it takes {', '.join(allow)}.", allow=allow)
    return endpoint


def _methods_of_model(path: str) -> Mapping[str, Endpoint] | None:
    """What can be asked of the model that a path names."""
    found = _MODEL_PATH.fullmatch(path)
    if found is None:
        return None
    version, model, action = found.groups()
    if action in ACTIONS:
        operation, streams = ACTIONS[action]
        return {"POST": Endpoint("gemini", operation, model=model, streams=streams)}
    if action is not None:
        model = f"{model}:{action}"  # a name with a colon in it, such as those of fine-tuned models
    return {"GET": Endpoint("openai_chat" if version == "v1" else "gemini", Operation.MODEL, model=model)}


def dialect_of_path(path: str) -> str:
    """The dialect in which a caller of `path` reads errors, whether or not anything is there.

    >>> dialect_of_path("/v1/messages/nothing"), dialect_of_path("/v1beta/models/x:y"), dialect_of_path("/nowhere")
    ('claude', 'gemini', 'openai_chat')
    """
    path = decode_path(path)
    if path.startswith("/v1/messages"):
        return "claude"
    if path.startswith(("/v1beta/", "/v1alpha/")) or (path.startswith("/v1/models/") and ":" in path):
        return "gemini"
    return "openai_responses" if path.startswith("/v1/responses") else "openai_chat"


def decode_path(path: str) -> str:
    """Undo percent-encoding, once: some clients write the slash of ``org/model`` or the colon of ``model:generateContent`` that way."""
    return percent_decode(path).decode("utf-8", "replace") if "%" in path else path
