"""The official `openai` clients, pointed at a gateway."""

import openai

from tests.end_to_end.processes import PATIENCE, Gateway


def sync_client(gateway: Gateway, *, key: str = "", retries: int = 0) -> openai.OpenAI:
    """The blocking client; a proxy in the environment is not asked."""
    return openai.OpenAI(
        base_url=f"{gateway.url}/v1",
        api_key=key or gateway.key,
        max_retries=retries,
        timeout=PATIENCE,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


def async_client(gateway: Gateway) -> openai.AsyncOpenAI:
    """The asynchronous client."""
    return openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1",
        api_key=gateway.key,
        max_retries=0,
        timeout=PATIENCE,
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    )
