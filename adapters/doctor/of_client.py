"""A client's environment: do the variables that say where a provider is lead to this gateway, and is the key with them taken?

For launchers: a tool whose variable is missing or leads elsewhere goes around the gateway, and nothing tells of that but silence here.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from dragoman.adapters.asking import ask
from dragoman.adapters.connect.tools import TOOLS
from dragoman.adapters.doctor.findings import Finding, Level
from dragoman.core.urls import Url, is_loopback, split_url

#: Variables that say where a provider is: the end of the URL that they need, and the variable of the key that goes with them.
VARIABLES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    name: (template.removeprefix("{url}"), next((other for other, value in tool.variables if value == "{key}"), ""))
    for tool in [*TOOLS.values()][::-1]
    for name, template in tool.variables
    if template.startswith("{url}")
} | {
    "AIDER_OPENAI_API_BASE": ("/v1", "OPENAI_API_KEY"),
    "LITELLM_PROXY_API_BASE": ("", "LITELLM_PROXY_API_KEY"),
    "OPENAI_HOST": ("", "OPENAI_API_KEY"),  # Goose
})  # fmt: skip


def check_client(
    url: str, environment: Mapping[str, str], wanted: Sequence[str] = (), *, is_strict: bool, trust: str | None = None
) -> Iterator[Finding]:
    """Look at each variable that is set, and at those that must be.

    Args:
        url: Of the gateway.
        environment: Of the client.
        wanted: Variables that must be set.
        is_strict: A variable that leads elsewhere is a problem, not a note.
        trust: The gateway's certificate.

    """
    set_ones = [name for name in VARIABLES if environment.get(name, "").strip() and name not in wanted]
    keys: dict[str, str] = {}
    for name in [*wanted, *set_ones]:
        finding = _variable(name, url, environment, is_strict=is_strict or name in wanted)
        yield finding
        key = VARIABLES.get(name, ("", ""))[1]
        if finding.level is Level.OK and key:
            keys.setdefault(key, name)
    for key, name in keys.items():
        yield _key(key, name, url, environment, trust)
    if is_strict and not set_ones and not wanted:
        names = "OPENAI_BASE_URL, OPENAI_API_BASE, ANTHROPIC_BASE_URL or GOOGLE_GEMINI_BASE_URL"
        yield Finding(
            "client", "environment", Level.UNKNOWN, f"none of {names} is set", "`dragoman connect TOOL` prints them"
        )
    if {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"} <= {name for name, value in environment.items() if value}:
        detail = "is set beside ANTHROPIC_AUTH_TOKEN: Claude Code warns of two keys"
        yield Finding("client", "ANTHROPIC_API_KEY", Level.NOTE, detail, "unset ANTHROPIC_API_KEY")


def _variable(name: str, url: str, environment: Mapping[str, str], *, is_strict: bool) -> Finding:
    end = VARIABLES.get(name, ("", ""))[0]
    advice = f"export {name}={url}{end}"
    elsewhere = Level.PROBLEM if is_strict else Level.NOTE
    value = environment.get(name, "").strip()
    if not value:
        return Finding("client", name, elsewhere, "is not set, so the client goes around the gateway", advice)
    try:
        found = split_url(value)
    except ValueError as error:
        return Finding("client", name, elsewhere, f"is no URL: {error}", advice)
    here = split_url(url)
    if not is_same_place(found, here):
        return Finding(
            "client",
            name,
            elsewhere,
            f"leads to {found.scheme}://{found.authority}, not to the gateway at {url}",
            advice,
        )
    if name in VARIABLES and found.path.rstrip("/") != here.path.rstrip("/") + end:
        wanted = f"end in {end}" if end else "have no path"
        return Finding("client", name, Level.PROBLEM, f"leads to the gateway, but has to {wanted}", advice)
    return Finding("client", name, Level.OK, f"leads to the gateway at {url}")


def is_same_place(one: Url, other: Url) -> bool:
    """Whether two URLs lead to the same port of the same host; all names of this machine are one.

    >>> is_same_place(split_url("http://localhost:8317/v1"), split_url("http://127.0.0.1:8317"))
    True
    """
    hosts = one.host == other.host or (is_loopback(one.host) and is_loopback(other.host))
    return hosts and (one.scheme, one.port) == (other.scheme, other.port)


def _key(variable: str, beside: str, url: str, environment: Mapping[str, str], trust: str | None) -> Finding:
    value = environment.get(variable, "").strip()
    if not value:
        return Finding(
            "client",
            variable,
            Level.PROBLEM,
            f"is not set beside {beside}",
            f'export {variable}="$DRAGOMAN_CLIENT_KEY"',
        )
    asked = ask(url, "/v1/models", headers={"Authorization": f"Bearer {value}"}, trust=trust)
    if asked.fault:
        return Finding(
            "client",
            variable,
            Level.PROBLEM,
            f"the gateway does not answer: {asked.fault}",
            "`dragoman serve` starts it",
        )
    if asked.status == 401:
        return Finding("client", variable, Level.PROBLEM, "the gateway does not take this key", "use one of `api-keys`")
    if asked.status != 200:
        return Finding("client", variable, Level.UNKNOWN, f"the gateway answers with {asked.status}")
    return Finding("client", variable, Level.OK, "the gateway takes this key")
