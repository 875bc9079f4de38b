"""Variables of a client lead here, or it is said that they do not."""

import pytest

from dragoman.adapters.connect.tools import TOOLS
from dragoman.adapters.doctor.findings import Finding, Level, exit_code
from dragoman.adapters.doctor.of_client import VARIABLES, check_client
from tests.small_server import Said, small_server

GATEWAY = "http://127.0.0.1:8317"


def only(*findings: Finding) -> Finding:
    assert len(findings) == 1
    return findings[0]


def look(url: str, environment: dict[str, str], *wanted: str, strict: bool = True) -> list[Finding]:
    return list(check_client(url, environment, wanted, is_strict=strict))


def test_every_variable_of_the_tools_is_known() -> None:
    told = {name for tool in TOOLS.values() for name, template in tool.variables if "{url}" in template}
    assert told <= VARIABLES.keys()
    assert {"OPENAI_API_BASE", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"} <= told
    assert VARIABLES["OPENAI_API_BASE"] == ("/v1", "OPENAI_API_KEY")
    assert VARIABLES["ANTHROPIC_BASE_URL"] == ("", "ANTHROPIC_AUTH_TOKEN")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("https://api.openai.com/v1", "leads to https://api.openai.com, not to the gateway at http://127.0.0.1:8317"),
        ("http://127.0.0.1:9999/v1", "leads to http://127.0.0.1:9999, not"),
        ("https://127.0.0.1:8317/v1", "leads to https://127.0.0.1:8317, not"),
        ("http://127.0.0.1:8317", "leads to the gateway, but has to end in /v1"),
        ("http://127.0.0.1:8317/v1/v1", "leads to the gateway, but has to end in /v1"),
        ("127.0.0.1:8317/v1", "is no URL"),
    ],
)
def test_elsewhere(value: str, what: str) -> None:
    finding = only(*look(GATEWAY, {"OPENAI_API_BASE": value}))
    assert (finding.level, finding.subject) == (Level.PROBLEM, "OPENAI_API_BASE")
    assert what in finding.detail
    assert finding.advice == "export OPENAI_API_BASE=http://127.0.0.1:8317/v1"


@pytest.mark.parametrize("value", ["http://localhost:8317/v1/", "http://[::1]:8317/v1", "http://127.0.0.1:8317/v1"])
def test_here(value: str) -> None:
    found = look(GATEWAY, {"OPENAI_API_BASE": value, "OPENAI_BASE_URL": value})
    assert [finding.level for finding in found] == [Level.OK, Level.OK, Level.PROBLEM]
    assert "OPENAI_API_KEY: is not set beside OPENAI_" in f"{found[-1].subject}: {found[-1].detail}"


def test_a_variable_that_must_be_set() -> None:
    finding = only(*look(GATEWAY, {}, "OPENAI_API_BASE"))
    assert finding.level is Level.PROBLEM
    assert "goes around the gateway" in finding.detail
    unknown = only(*look(GATEWAY, {"MY_URL": f"{GATEWAY}/anything"}, "MY_URL"))
    assert unknown.level is Level.OK


def test_nothing_set_says_nothing() -> None:
    assert exit_code(look(GATEWAY, {})) == 2
    assert look(GATEWAY, {}, strict=False) == []


def test_on_the_gateways_side_it_is_a_note() -> None:
    """There the variables may say where its own provider is."""
    assert only(*look(GATEWAY, {"OPENAI_BASE_URL": "https://api.openai.com/v1"}, strict=False)).level is Level.NOTE


@pytest.mark.parametrize(("status", "level"), [(200, Level.OK), (401, Level.PROBLEM), (429, Level.UNKNOWN)])
def test_the_key_is_tried(status: int, level: Level) -> None:
    with small_server({"/v1/models": Said(status)}) as server:
        found = look(server.url, {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-5ecret"})
        assert [finding.level for finding in found] == [Level.OK, level]
        assert server.asked[0][2]["authorization"] == "Bearer sk-5ecret"
    assert "5ecret" not in repr(found)
    gone = look(server.url, {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-5ecret"})
    assert "does not answer: Connection refused" in gone[-1].detail


def test_two_keys_for_claude_code() -> None:
    found = look(GATEWAY, {"ANTHROPIC_API_KEY": "a", "ANTHROPIC_AUTH_TOKEN": "b"}, strict=False)
    assert only(*found).level is Level.NOTE
