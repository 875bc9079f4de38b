"""Credential files: any mapping is read or refused with reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials.files import FileCredential, parse_credential_file, parse_instant
from dragoman.core.providers.logins import LOGINS

FIELDS = (
    "type", "email", "username", "access_token", "api_key", "refresh_token", "token", "disabled", "prefix", "priority", "weight", "note", "proxy_url",
    "proxy-url", "base_url", "resource_url", "headers", "models", "excluded_models", "disable_cooling", "request_retry", "expired", "expires_at",
    "last_refresh", "token_uri", "client_id", "client_secret", "account_id", "project_id",
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | st.sampled_from([*LOGINS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def claude(**fields: object) -> dict[str, object]:
    return {
        "type": "claude",
        "access_token": "sk-ant-oat01-x",
        "refresh_token": "r",
        "email": "bob@example.com",
        **fields,
    }


def read(data: object) -> FileCredential:
    reading = parse_credential_file(data)
    assert reading.mistakes == ()
    assert reading.credential is not None
    return reading.credential


def mistakes(data: object) -> list[str]:
    reading = parse_credential_file(data)
    assert reading.credential is None
    return [mistake.dotted() for mistake in reading.mistakes]


# --- any mapping ---


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8) | VALUES)
def test_anything_is_read_or_refused_and_never_raises(data: object) -> None:
    reading = parse_credential_file(data)
    assert (reading.credential is None) == bool(reading.mistakes)


@given(st.text(min_size=8, max_size=30), st.sampled_from(FIELDS))
def test_no_message_and_no_repr_quotes_a_secret(secret: str, field: str) -> None:
    token = "\x7f" + secret
    reading = parse_credential_file(claude(**{field: token, "access_token": token}))
    assert all(token not in mistake.message for mistake in reading.mistakes)
    plain = read(claude(access_token="tok-12345", refresh_token="ref-12345", client_secret="sec-12345"))
    assert "12345" not in repr(plain)


def test_a_file_of_cliproxyapi_is_read_as_it_is() -> None:
    credential = read(
        claude(
            id_token="i", account_uuid="u", organization_name="o", last_refresh="2026-11-24T10:00:00+01:00",
            expired="2026-11-25T00:00:00Z", disabled=False, unknown={"kept": 1},
        )
    )  # fmt: skip
    assert (credential.type, credential.login.channel, credential.secret) == ("claude", "claude", "sk-ant-oat01-x")
    assert (credential.email, credential.refresh_token) == ("bob@example.com", "r")
    assert (credential.expires_at, credential.last_refresh) == (1795564800.0, 1795510800.0)
    assert credential.base_url == "https://api.anthropic.com"
    assert credential.headers == (("anthropic-beta", "oauth-2025-04-20"),)


def test_common_fields_in_either_spelling() -> None:
    snake = claude(
        prefix="/team/", priority="5", weight=2.0, note="n", proxy_url="socks5h://127.0.0.1:1080", excluded_models=["Claude-*", " "],
        disable_cooling="true", request_retry=2, disabled=True, headers={"X-Team": "a"},
    )  # fmt: skip
    credential = read(snake)
    assert (credential.prefix, credential.priority, credential.weight, credential.note) == ("team", 5, 2, "n")
    assert (credential.proxy_url, credential.excluded_models) == ("socks5h://127.0.0.1:1080", ("claude-*",))
    assert (credential.disable_cooling, credential.request_retry, credential.disabled) == (True, 2, True)
    assert ("x-team", "a") in credential.headers
    assert read({key.replace("_", "-") if key in ("proxy_url", "excluded_models", "disable_cooling", "request_retry") else key: value
                 for key, value in snake.items()}) == credential  # fmt: skip


def test_where_each_type_has_its_secret() -> None:
    assert read({"type": "codex", "access_token": "a", "account_id": "acc"}).own_headers == (
        ("chatgpt-account-id", "acc"),
    )
    assert read({"type": "iflow", "access_token": "no", "api_key": "yes"}).secret == "yes"
    assert read({"type": "minimax", "token": "t"}).secret == "t"
    assert read({"type": "kilo", "kilocodeToken": "t", "kilocodeOrganizationId": "o"}).own_headers == (
        ("x-kilocode-organizationid", "o"),
    )
    google = read({"type": "gemini", "token": {"access_token": "a", "refresh_token": "r", "token_uri": "https://t.example/x",
                                               "client_id": "c", "client_secret": "s", "expiry": "2026-11-25T00:00:00Z"}, "project_id": "p-1,p-2"})  # fmt: skip
    assert (google.secret, google.refresh_token, google.token_url) == ("a", "r", "https://t.example/x")
    assert (google.client_id, google.client_secret, google.expires_at) == ("c", "s", 1795564800.0)
    assert google.project == "p-1"
    assert read({"type": "xai", "access_token": "a", "token_endpoint": "https://auth.example/t"}).token_url


def test_where_requests_go() -> None:
    qwen = {"type": "qwen", "access_token": "a"}
    assert read(qwen).base_url == "https://portal.qwen.ai/v1"
    assert read({**qwen, "resource_url": "portal.example"}).base_url == "https://portal.example/v1"
    assert read({**qwen, "resource_url": "https://portal.example/v1/"}).base_url == "https://portal.example/v1"
    assert read({**qwen, "resource_url": "x.example", "base_url": "http://b.example/"}).base_url == "http://b.example"


KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"


def vertex(**fields: object) -> dict[str, object]:
    account = {"type": "service_account", "client_email": "robot@p.example", "private_key": KEY, "project_id": "p-1"}
    return {"type": "vertex", "service_account": account, **fields}


def test_the_account_of_a_service() -> None:
    credential = read(vertex())
    assert credential.base_url == "https://us-central1-aiplatform.googleapis.com"
    assert credential.model_root == "/v1/projects/p-1/locations/us-central1/publishers/google"
    assert (credential.issuer, credential.refresh_token) == ("robot@p.example", KEY.strip())
    assert credential.token_url == "https://oauth2.googleapis.com/token"
    assert credential.email == "robot@p.example"
    assert "PRIVATE" not in repr(credential)
    far = read(vertex(location="global", project_id="p-2", email="me"))
    assert (far.base_url, far.email) == ("https://aiplatform.googleapis.com", "me")
    assert far.model_root == "/v1/projects/p-2/locations/global/publishers/google"
    assert read(vertex(base_url="http://127.0.0.1:1")).base_url == "http://127.0.0.1:1"
    assert mistakes({"type": "vertex", "service_account": 7}) == ["service_account", "project_id"]
    assert mistakes(vertex(location="../x")) == ["location"]
    assert mistakes(vertex(service_account={"client_email": 7, "private_key": KEY, "project_id": "p"})) == [
        "service_account",
        "client_email",
    ]


def test_what_a_renewal_would_change() -> None:
    assert read(claude(token_uri="http://127.0.0.1:1/t")).token_url == "http://127.0.0.1:1/t"
    assert read(claude()).is_renewable
    assert not read({"type": "iflow", "api_key": "k", "access_token": "a"}).is_renewable


def test_a_type_that_is_not_spoken_is_no_mistake() -> None:
    for kind in ("kiro", "cursor", "github-copilot", "antigravity"):
        credential = read({"type": kind, "email": "a@b"})
        assert credential.login.why_not
        assert credential.secret == ""


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ([], [""]),
        ({}, ["type"]),
        ({"type": "service_account"}, ["type"]),
        ({"type": "nonsense"}, ["type"]),
        ({"type": 7}, ["type", "type"]),
        ({"type": "claude"}, ["access_token"]),
        (claude(access_token="with space"), ["access_token"]),
        (claude(access_token=5), ["access_token", "access_token"]),
        (claude(prefix="a/b"), ["prefix"]),
        (claude(proxy_url="ftp://x"), ["proxy_url"]),
        (claude(base_url="nowhere"), ["base_url"]),
        (claude(base_url="socks5://x"), ["base_url"]),
        (claude(base_url="https://me@x"), ["base_url"]),
        (claude(token_uri="http://far.example/x"), ["token_uri"]),
        (claude(token_uri="ftp://far.example/x"), ["token_uri"]),
        ({"type": "gemini", "token": {"access_token": "a"}, "project_id": " ,p"}, ["project_id"]),
        (claude(headers=[]), ["headers"]),
        (claude(headers={"Host": "x"}), ["headers"]),
        (claude(headers={"a": "b\r\nc"}), ["headers"]),
        ({"type": "codex", "access_token": "a", "account_id": "b\r\nc: d"}, ["account_id"]),
        (claude(models={}), ["models"]),
        (claude(models=[{}]), ["models"]),
        (claude(excluded_models="x"), ["excluded_models"]),
        (claude(disabled=1), ["disabled"]),
        (claude(priority="high"), ["priority"]),
        (claude(priority=True, weight=10**9, request_retry=1.5), ["priority", "weight", "request_retry"]),
    ],
)
def test_every_mistake_is_told_at_once_with_its_place(data: object, where: list[str]) -> None:
    assert mistakes(data) == where


def test_direct_and_empty() -> None:
    assert read(claude(proxy_url="direct")).proxy_url == "direct"
    assert read(claude(proxy_url="", priority="")).proxy_url is None


def test_models_of_a_file() -> None:
    assert read(claude(models=["a", {"name": "b", "alias": "c"}, "a"])).models == (("a", "a"), ("b", "c"))


# --- instants ---


@given(VALUES)
def test_an_instant_is_positive_or_none(value: object) -> None:
    at = parse_instant(value)
    assert at is None or 0 < at < 10**12


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-11-25 00:00", 1795564800.0),
        ("2026-11-25", 1795564800.0),
        ("2026-11-25T00:00:00.123456789Z", 1795564800.123456),
        (1795564800, 1795564800.0),
        ("1795564800123", 1795564800.123),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (0, None),
        (-5, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("0000", None),
    ],
)
def test_every_form_of_an_instant(value: object, at: float | None) -> None:
    assert parse_instant(value) == at
