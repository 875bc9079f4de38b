"""LiteLLM's conversion of a stream within a process, where it is installed: what its proxy does with each event of another dialect.

Its iterator of the source dialect reads the lines, `CustomStreamWrapper` makes OpenAI chunks of them, pydantic writes their JSON. It is
given the stream in lines, so it does not even have to find them. Towards OpenAI Chat only: the other ways have no such common core.
"""

import contextlib
import importlib
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

# Source dialect -> where its iterator is, its name, and LiteLLM's name of the provider.
_ITERATORS = {
    "claude": ("litellm.llms.anthropic.chat.handler", "ModelResponseIterator", "anthropic"),
    "gemini": ("litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini", "ModelResponseIterator", "gemini"),
    "openai_responses": (
        "litellm.completion_extras.litellm_responses_transformation.transformation",
        "OpenAiResponsesToChatCompletionStreamIterator",
        "openai",
    ),
}


def missing() -> str:
    """Why it cannot be measured; empty when it can."""
    return "" if importlib.util.find_spec("litellm") else "the package litellm is not installed"


def converter(source: str) -> Callable[[Sequence[bytes]], int] | None:
    """What converts the events of a stream to OpenAI Chat and returns how many bytes that came to; None: nothing does, here.

    Raises:
        Exception: This version of LiteLLM keeps its parts elsewhere, or does not take the stream.

    """
    if source not in _ITERATORS:
        return None
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or its import asks the network
    os.environ["LITELLM_LOG"] = "ERROR"
    module, name, provider = _ITERATORS[source]
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True
    iterator = getattr(importlib.import_module(module), name)
    wrapper = importlib.import_module("litellm.litellm_core_utils.streaming_handler").CustomStreamWrapper
    logging = importlib.import_module("litellm.litellm_core_utils.litellm_logging").Logging

    def convert(events: Sequence[bytes]) -> int:
        log = logging(
            model="bench", messages=[{"role": "user", "content": "Hi"}], stream=True, call_type="completion", litellm_call_id="1",
            start_time=datetime.now(UTC), function_id="1",
        )  # fmt: skip
        log.optional_params = {}  # which its own start of a call sets
        lines = iter([line for event in events for line in event.decode().splitlines() if line])
        options = {"logging_obj": log} if source == "gemini" else {}
        size = 0
        with contextlib.redirect_stdout(io.StringIO()):  # it talks
            events_in = iter(iterator(lines, sync_stream=True, **options))
            for chunk in wrapper(events_in, "bench", log, custom_llm_provider=provider):
                size += len(f"data: {chunk.model_dump_json(exclude_none=True, exclude_unset=True)}\n\n".encode())
        return size

    return convert
