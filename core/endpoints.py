"""Which operation a request asks for: method and path -> dialect and operation. One literal table."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import attrs

from dragoman.core.access import percent_decode
from dragoman.core.errors import UnknownPath, WrongMethod


class Operation(Enum):
    """What can be asked of the gateway."""

    HEALTH = "health"
    MODELS = "models"
    MODEL = "model"
    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


LOCAL: Final = frozenset({Operation.HEALTH, Operation.MODELS, Operation.MODEL})


@attrs.frozen
class Endpoint:
    """A dialect and an operation of it.

    Attributes:
        dialect: The client's dialect: also of errors, so even ``/health`` has one.
        operation: What is asked for.
        upstream_path: The path at a provider of the same dialect, behind its base URL.
        needs_key: Whether a client key is asked for.
        model: The model named in the path, where the dialect does that.

    """

    dialect: str
    operation: Operation
    upstream_path: str = ""
    needs_key: bool = True
    model: str = ""


_HEALTH: Final = Endpoint("openai_chat", Operation.HEALTH, needs_key=False)

ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = MappingProxyType({
    "/health": {"GET": _HEALTH},
    "/healthz": {"GET": _HEALTH},
    "/v1/models": {"GET": Endpoint("openai_chat", Operation.MODELS)},
    "/v1/chat/completions": {"POST": Endpoint("openai_chat", Operation.CHAT, "/chat/completions")},
    "/v1/completions": {"POST": Endpoint("openai_chat", Operation.COMPLETIONS, "/completions")},
    "/v1/embeddings": {"POST": Endpoint("openai_chat", Operation.EMBEDDINGS, "/embeddings")},
})  # fmt: skip


def find_endpoint(method: str, path: str) -> Endpoint:
    """Find what `method` and `path` (as sent) ask for; HEAD counts as GET.

    Raises:
        UnknownPath: Nothing is there.
        WrongMethod: Something is there, for other methods.

    """
    decoded = _decoded(path)
    methods = ENDPOINTS.get(decoded)
    if methods is None and decoded.startswith("/v1/models/"):
        methods = {"GET": Endpoint("openai_chat", Operation.MODEL, model=decoded.removeprefix("/v1/models/"))}
    if methods is None:
        raise UnknownPath(
            f"Nothing answers at {path[:200]}. Chat Completions are at /v1/chat/completions, models at /v1/models."
        )
    endpoint = methods.get("GET" if method == "HEAD" else method)
    if endpoint is None:
        allow = [*methods, "HEAD"] if "GET" in methods else [*methods]
        raise WrongMethod(f"{path[:200]} does not take {method[:40]}; it takes {', '.join(allow)}.", allow=allow)
    return endpoint


def dialect_of_path(path: str) -> str:
    """The dialect in which a caller of `path` reads errors, whether or not anything is there.

    >>> dialect_of_path("/v1/messages/nothing"), dialect_of_path("/v1beta/models/x:y"), dialect_of_path("/nowhere")
    ('claude', 'gemini', 'openai_chat')
    """
    path = _decoded(path)
    if path.startswith("/v1/messages"):
        return "claude"
    if path.startswith(("/v1beta/", "/v1alpha/")) or (path.startswith("/v1/models/") and ":" in path):
        return "gemini"
    return "openai_chat"


def _decoded(path: str) -> str:
    """Undo percent-encoding, once: some clients write the slash of ``org/model`` or the colon of ``model:generateContent`` that way."""
    return percent_decode(path).decode("utf-8", "replace") if "%" in path else path
