"""What is known of each provider, as values: base URL, environment variables, dialect, kind of credential.

Lives here: literal tables: `PROVIDERS`, and the models of some (`dragoman.core.providers.known_models`). May not live here: behaviour that
differs by provider; that is a dialect's.
Base URLs end where the provider's own SDK convention ends: with ``/v1`` for OpenAI's, without for Anthropic's and Gemini's.
Sources: the providers' public API references, seen 2026-11.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from dragoman.core.config import Credential, Provider
from dragoman.core.config_nodes import Notice
from dragoman.core.providers.known_models import known_models
from dragoman.core.urls import Url, is_loopback, split_url

KIND: Final = "environment"  # the `kind` of discovered providers


@attrs.frozen
class KnownProvider:
    """A provider we know without being told.

    Attributes:
        name: What logs and model names (``name/model``) call it.
        base_url: Without a trailing slash.
        key_variables: Environment variables of its key; the first that is set wins.
        url_variables: Environment variables that replace `base_url`; the first that is set wins.
        dialect: The wire format it speaks.
        auth_header: How it takes its key: ``bearer`` (Authorization), ``x-api-key`` or ``x-goog-api-key``.

    """

    name: str
    base_url: str
    key_variables: tuple[str, ...]
    url_variables: tuple[str, ...]
    dialect: str = "openai_chat"
    auth_header: str = "bearer"


@attrs.frozen
class Discovery:
    """What an environment offers.

    Attributes:
        providers: Those whose key is set, in the order of `PROVIDERS`. Each serves ``name/anything``, and the models we know it has
            (`known_models`) under their own names, unless another server is in its place.
        notices: What was left out and why. Their paths are names of variables.

    """

    providers: tuple[Provider, ...]
    notices: tuple[Notice, ...]


def _known(name: str, base_url: str, *key_variables: str) -> KnownProvider:
    keys = key_variables or (f"{name.upper()}_API_KEY",)
    return KnownProvider(name, base_url, keys, (f"{name.upper()}_BASE_URL",))


PROVIDERS: Final[tuple[KnownProvider, ...]] = (
    KnownProvider(
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),  # the SDK's since 1.0, and before
    ),
    KnownProvider(
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_BASE_URL",),
        dialect="claude",
        auth_header="x-api-key",
    ),
    KnownProvider(
        "gemini",
        "https://generativelanguage.googleapis.com",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        dialect="gemini",
        auth_header="x-goog-api-key",
    ),
    _known("openrouter", "https://openrouter.ai/api/v1"),
    _known("deepseek", "https://api.deepseek.com"),
    _known("groq", "https://api.groq.com/openai/v1"),
    _known("mistral", "https://api.mistral.ai/v1"),
    _known("together", "https://api.together.xyz/v1"),
    _known("fireworks", "https://api.fireworks.ai/inference/v1"),
    _known("novita", "https://api.novita.ai/openai/v1"),
    _known("siliconflow", "https://api.siliconflow.cn/v1"),
    _known("kilo", "https://api.kilo.ai/api/gateway", "KILO_API_KEY", "KILOCODE_API_KEY"),
    _known("xai", "https://api.x.ai/v1"),
    _known("cerebras", "https://api.cerebras.ai/v1"),
    _known("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", "NIM_API_KEY"),
    _known("zen", "https://opencode.ai/zen/v1", "ZEN_API_KEY", "OPENCODE_API_KEY"),
    _known("moonshot", "https://api.moonshot.ai/v1"),
    _known("minimax", "https://api.minimax.io/v1"),
    _known("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
    _known("perplexity", "https://api.perplexity.ai"),
    _known("sambanova", "https://api.sambanova.ai/v1"),
    _known("roo", "https://api.roocode.com/v1"),
)


def discover(environment: Mapping[str, str], *, host: str, port: int) -> Discovery:
    """Find the providers whose keys are in the environment.

    A base URL that leads to ourselves is there for our clients (who set ``OPENAI_BASE_URL`` to find us), and the key beside it
    is most likely one of our client keys: that provider is left out, for following it would be a loop, and sending the key to
    the provider's real address would give it away.

    Args:
        environment: Names and values.
        host: Where we listen; empty for all interfaces.
        port: Where we listen.

    """
    providers: list[Provider] = []
    notices: list[Notice] = []
    for known in PROVIDERS:
        key_variable = _first(known.key_variables, environment)
        if key_variable is None:
            continue
        key, base_url = environment[key_variable].strip(), known.base_url
        problem = None if _fits(key) else (key_variable, "holds spaces or characters that no API key has")
        url_variable = _first(known.url_variables, environment)
        if url_variable is not None:
            base_url = environment[url_variable].strip().rstrip("/")
            problem = _problem_of_url(url_variable, base_url, host, port) or problem
        if problem is not None:
            name, what = problem
            notices.append(Notice((name,), f"{what}; the provider {known.name!r} is left out"))
            continue
        label = key_variable.lower().replace("_", "-")
        credentials = (Credential(label, key),)
        models = known_models(known.name) if base_url == known.base_url else ()
        providers.append(
            Provider(known.name, KIND, known.dialect, base_url, credentials=credentials, models=models, takes_any=True)
        )
    return Discovery(tuple(providers), tuple(notices))


def _first(names: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    return next((name for name in names if environment.get(name, "").strip()), None)


def _fits(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def _problem_of_url(variable: str, base_url: str, host: str, port: int) -> tuple[str, str] | None:
    try:
        url = split_url(base_url)
    except ValueError as error:
        return variable, f"is not a usable base URL ({error})"
    if url.scheme not in ("http", "https") or url.username is not None:
        return variable, "is not a usable base URL (expected http:// or https://, without a user name or password)"
    if _is_ourselves(url, host, port):
        return (
            variable,
            "leads to this gateway itself, as it should for clients; unset it for the gateway's own process",
        )
    return None


def _is_ourselves(url: Url, host: str, port: int) -> bool:
    here = is_loopback(url.host) or url.host in ("0.0.0.0", "::", host.lower())
    return url.port == port and here
