"""Providers are asked, each with each credential; what they say of the time is compared."""

import email.utils
import time

import pytest

from dragoman.adapters.asking import Asked
from dragoman.adapters.doctor.findings import Finding, Level
from dragoman.adapters.doctor.of_providers import check_clock, check_providers
from dragoman.core.config import Config, Credential, Provider
from tests.small_server import Said, small_server

MODELS = {"/v1/models": Said(200, b'{"data": [{"id": "a"}, {"id": "b"}]}')}


def provider(url: str, *credentials: Credential, dialect: str = "openai_chat", **more: object) -> Provider:
    given = credentials or (Credential("key-1", "sk-5ecret"),)
    return Provider(name="p", kind="x", dialect=dialect, base_url=url, credentials=given, **more)  # type: ignore[arg-type]


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


@pytest.mark.parametrize(
    ("dialect", "path", "base", "header"),
    [
        ("openai_chat", "/v1/models", "/v1", "authorization"),
        ("openai_responses", "/v1/models", "/v1", "authorization"),
        ("claude", "/v1/models?limit=1000", "", "authorization"),
        ("gemini", "/v1beta/models?pageSize=1000", "", "x-goog-api-key"),
    ],
)
def test_a_provider_that_is_well(dialect: str, path: str, base: str, header: str) -> None:
    with small_server({path: MODELS["/v1/models"]}, date=email.utils.formatdate(usegmt=True)) as server:
        config = Config(providers=(provider(server.url + base, dialect=dialect, headers=(("X-Mine", "1"),)),))
        found = check_providers(config)
        headers = server.asked[0][2]
    assert [f.level for f in found] == [Level.OK, Level.OK]
    assert "answers and lists 2 models" in found[0].detail
    assert "5ecret" in headers[header]
    assert headers["x-mine"] == "1"
    assert ("anthropic-version" in headers) == (dialect == "claude")
    assert "5ecret" not in repr(found)


@pytest.mark.parametrize(
    ("said", "level", "what"),
    [
        (Said(401), Level.PROBLEM, "refuses this credential (401)"),
        (Said(403), Level.PROBLEM, "refuses this credential (403)"),
        (Said(503), Level.PROBLEM, "answers with 503"),
        (Said(404), Level.OK, "(its list of models: 404)"),
        (Said(200, b"hm"), Level.OK, "answers"),
        (Said(200, b"{}"), Level.OK, "answers"),
    ],
)
def test_what_it_says(said: Said, level: Level, what: str) -> None:
    with small_server({"/v1/models": said}) as server:
        finding = of(check_providers(Config(providers=(provider(f"{server.url}/v1"),))), "provider")[0]
    assert finding.level is level
    assert what in finding.detail
    assert "5ecret" not in repr(finding)


def test_a_token_that_is_renewed_when_it_is_used() -> None:
    with small_server({"/v1/models": Said(401)}) as server:
        config = Config(providers=(provider(f"{server.url}/v1", Credential("k", "t", is_refreshable=True)),))
        assert of(check_providers(config), "provider")[0].level is Level.NOTE


def test_a_dialect_without_a_list_is_only_reached() -> None:
    with small_server({"/": Said(403)}) as server:
        found = check_providers(Config(providers=(provider(server.url, dialect="code_assist"),)))
        assert "authorization" not in server.asked[0][2]
    assert of(found, "provider")[0].level is Level.OK


def test_who_is_not_asked() -> None:
    behind = provider("http://127.0.0.1:1/v1", Credential("k", "s"), Credential("direct", "s", proxy_url="direct"))
    off = provider("http://127.0.0.1:1/v1", disabled=True)
    idle = provider("http://127.0.0.1:1/v1", Credential("idle", "s", disabled=True))
    found = of(check_providers(Config(proxy_url="http://proxy", providers=(behind, off, idle))), "provider")
    assert [(f.subject, f.level) for f in found] == [("p/direct", Level.PROBLEM), ("p/k", Level.UNKNOWN)]
    assert "cannot be reached: Connection refused" in found[0].detail
    assert of(check_providers(Config()), "provider")[0].level is Level.NOTE


@pytest.mark.parametrize(
    ("skew", "level", "what"),
    [
        (0, Level.OK, "right within"),
        (-50, Level.OK, "right within 50 s"),
        (300, Level.PROBLEM, "300 s ahead of"),
        (-90, Level.PROBLEM, "90 s behind"),
    ],
)
def test_the_clock(skew: int, level: Level, what: str) -> None:
    now = float(int(time.time()))
    answers = [
        Asked(200, {"date": email.utils.formatdate(now - skew, usegmt=True)}, at=now),
        Asked(fault="gone"),
        Asked(200, {"date": "soon"}),
    ]
    (finding,) = check_clock(answers)
    assert finding.level is level
    assert what in finding.detail


def test_nobody_knows_the_time() -> None:
    (finding,) = check_clock([Asked(200)])
    assert finding.level is Level.UNKNOWN
