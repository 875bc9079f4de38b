"""What is said when the gateway listens: where, with which key, and what to paste to try it."""

from typing import Final

from dragoman.adapters.planning import Plan
from dragoman.core.config import Config, Provider
from dragoman.core.config_sections import SECTIONS
from dragoman.core.credentials.file_providers import KIND
from dragoman.core.urls import Url

DEMO_MODEL: Final = "demo/echo"

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def address(config: Config, port: int) -> str:
    """The URL at which somebody on this machine finds the gateway."""
    scheme = "https" if config.tls else "http"
    return f"{scheme}://{Url(scheme, _EVERYWHERE.get(config.host, config.host), port).authority}"


def greeting(plan: Plan, port: int) -> str:
    """Say what listens at `port`; with a generated key, show it and how to use it."""
    url = address(plan.config, port)
    lines = [f"Dragoman listens on {url} ({plan.transport})."]
    if plan.is_demo:
        lines.append(
            "Demo mode: there is no configuration file and no provider key in the environment (such as OPENAI_API_KEY), so the "
            "built-in demo provider answers. `dragoman init` writes a configuration to start from."
        )
    elif plan.generated_key is not None:
        names = ", ".join(dict.fromkeys(provider.name for provider in plan.config.providers))
        lines.append(
            f"No configuration file; providers found in the environment: {names}. Ask for models as name/model, or by the names that "
            "/v1/models lists."
        )
    else:
        lines.append(f"Configuration: {plan.source}")
    if plan.generated_key is not None:
        lines += ["", "Client key for this run only:", "", f"  {plan.generated_key}", "", "Try it:", ""]
        lines += [f"  {line}" for line in curl_lines(url, plan.generated_key, _model_to_try(plan))]
    return "\n".join(lines)


def curl_lines(url: str, key: str, model: str) -> list[str]:
    """Three commands to paste: an answer, a stream, the list of models."""
    auth = f"-H 'Authorization: Bearer {key}'"
    chat = f"curl -s {url}/v1/chat/completions {auth} -H 'Content-Type: application/json' -d"
    body = f'"model": "{model}", "messages": [{{"role": "user", "content": "Hello, who are you?"}}]'
    return [
        f"{chat} '{{{body}}}'",
        f"{chat.replace('-s', '-sN', 1)} '{{\"stream\": true, {body}}}'",
        f"curl -s {url}/v1/models {auth}",
    ]


def summary(plan: Plan) -> str:
    """What `plan` would serve, without any secret: address, client keys by label, providers, credentials by label, models."""
    config = plan.config
    lines = [f"configuration  {plan.source}", f"address        {address(config, config.port)}"]
    if config.host in _EVERYWHERE:
        lines[-1] += "  (on all interfaces)"
    lines.append(f"client keys    {', '.join(key.label for key in config.api_keys) or 'none: open to everybody here'}")
    for provider in config.providers:
        lines += _provider_lines(provider)
    if not config.providers:
        lines.append(f"providers      {'demo (built in)' if plan.is_demo else 'none'}")
    return "\n".join(lines)


def _provider_lines(provider: Provider) -> list[str]:
    is_said = provider.kind in (*SECTIONS, KIND) and provider.kind != provider.name
    section = f"  ({provider.kind})" if is_said else ""
    state = "  (disabled)" if provider.disabled else ""
    lines = [f"provider       {provider.name}  {provider.dialect}  {provider.base_url}{section}{state}"]
    lines.append(f"  credentials  {', '.join(credential.label for credential in provider.credentials)}")
    front = f"[{provider.prefix}/]" if provider.prefix else ""
    if provider.takes_any:
        fronts = " or ".join(dict.fromkeys(f"{name}/MODEL" for name in (provider.name, provider.prefix) if name))
        known = f"{front}{provider.models[0].alias} and the like ({len(provider.models)}); " if provider.models else ""
        return [*lines, f"  models       {known}any, as {fronts}"]
    for model in provider.models:
        lines.append(
            f"  model        {front}{model.alias}" + (f" -> {model.name}" if model.alias != model.name else "")
        )
    return lines


def _model_to_try(plan: Plan) -> str:
    if plan.is_demo:
        return DEMO_MODEL
    first = plan.config.providers[0]
    return first.models[0].alias if first.models else f"{first.name}/MODEL"
