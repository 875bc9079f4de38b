"""The list of models, in the three shapes that share its address."""

from typing import Any, Final

from dragoman.adapters.demo_provider.answers import CREATED

MODELS: Final = (
    "demo", "demo/echo", "demo/talk", "demo/think", "demo/tools", "demo/401", "demo/429", "demo/500", "demo/503", "demo/slow", "demo/silent",
    "demo/cut", "demo/error-mid-stream", "demo/html", "demo/garbage", "demo/empty",
)  # fmt: skip

_METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")


def openai_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """A list in OpenAI's shape."""
    return {"object": "list", "data": models}


def openai_model(name: str) -> dict[str, Any]:
    """A model in OpenAI's shape."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "dragoman"}


def claude_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """A list in Anthropic's shape, all of it on one page."""
    return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}


def claude_model(name: str) -> dict[str, Any]:
    """A model in Anthropic's shape."""
    return {"type": "model", "id": name, "display_name": f"Dragoman {name}", "created_at": "2026-01-01T00:00:00Z"}


def gemini_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    """A list in Gemini's shape."""
    return {"models": models}


def gemini_model(name: str) -> dict[str, Any]:
    """A model in Gemini's shape."""
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": f"Dragoman {name}",
        "description": "Answers without a network.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": list(_METHODS),
        "thinking": True,
    }
