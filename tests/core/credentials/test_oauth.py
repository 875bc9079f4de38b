"""Renewing a token: when, how it is asked for, what the answer means, what the file holds afterwards."""

import base64
import itertools
import json
import math
import urllib.parse
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Renewal
from dragoman.core.credentials.files import parse_credential_file
from dragoman.core.credentials.oauth import (
    LEAST_BETWEEN,
    TRANSITIONS,
    NewToken,
    NoToken,
    RenewalInput,
    RenewalState,
    TokenLife,
    build_claims,
    build_request,
    parse_answer,
    renew_at,
    renewed_file,
)
from dragoman.core.errors import MisuseError

S, I = RenewalState, RenewalInput  # noqa: E741
NOW = 1_795_564_800.0  # 2026-11-25
RENEWAL = Renewal(
    "f.json", "https://auth.example:444/token", "rt-0", "my id", "s&cret", expires_at=NOW + 3600, lead=300.0
)
NEVER = {(state, I.DUE) for state in set(S) - {S.VALID}}
NEVER |= {(state, received) for state in set(S) - {S.REFRESHING} for received in (I.GRANTED, I.REFUSED, I.TROUBLED)}
NEVER |= {(state, I.SAVED) for state in set(S) - {S.SAVING}} | {(state, I.WAIT_OVER) for state in set(S) - {S.WAITING}}


# --- the machine ---


@pytest.mark.parametrize(("state", "received"), list(itertools.product(S, I)))
def test_every_state_and_input(state: RenewalState, received: RenewalInput) -> None:
    """A row of the table, or a bug of the caller."""
    life = TokenLife(RENEWAL)
    life.state = state
    if (state, received) in NEVER:
        with pytest.raises(MisuseError, match=f"can't handle {received.name} in state {state.name}"):
            life.receive(received)
        return
    life.receive(received)
    assert life.state is TRANSITIONS[state, received]


def test_the_table_has_no_other_rows() -> None:
    assert set(TRANSITIONS) == set(itertools.product(S, I)) - NEVER


def test_a_life() -> None:
    life = TokenLife(RENEWAL)
    assert life.due_at == NOW + 3300
    life.begin()
    assert (life.state, life.due_at) == (S.REFRESHING, math.inf)
    life.granted(NewToken("at-1", "rt-1", expires_at=NOW + 7200), NOW + 3300)
    assert life.renewal == attrs.evolve(RENEWAL, refresh_token="rt-1", expires_at=NOW + 7200, issued_at=NOW + 3300)
    life.saved(NOW + 3301)
    assert (life.state, life.due_at) == (S.VALID, NOW + 6900)
    life.begin(is_asked=True)
    life.granted(NewToken("at-2"), NOW + 4000)  # no new refresh token, no end
    assert (life.renewal.refresh_token, life.renewal.expires_at) == ("rt-1", None)
    life.saved(NOW + 4000)
    assert life.due_at == math.inf


def test_trouble_is_asked_again_later_and_later() -> None:
    life, waits, now = TokenLife(RENEWAL), [], NOW
    for _ in range(9):
        life.begin()
        life.missed(NoToken(False, "trouble"), now)
        waits.append(life.due_at - now)
        now = life.due_at
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    life.begin()
    life.missed(NoToken(False, "trouble", retry_at=now + 10_000), now)
    assert life.due_at == now + 300
    due_at = life.due_at
    life.begin(is_asked=True)  # a refusal meanwhile does not hasten it
    assert (life.state, life.due_at, life.reason) == (S.WAITING, due_at, "trouble")
    life.begin()
    life.granted(NewToken("a", expires_at=now + 9000), now)
    life.saved(now)
    assert life.reason == ""
    life.begin()
    life.missed(NoToken(False, "trouble", retry_at=now + 60), now)
    assert life.due_at == now + 60  # longer than the first wait


def test_a_refusal_stands_until_there_is_another_login() -> None:
    life = TokenLife(RENEWAL)
    life.begin()
    life.missed(NoToken(True, "refused"), NOW)
    assert (life.state, life.due_at) == (S.FAILED, math.inf)
    assert life.offer(RENEWAL) is False
    assert life.state is S.FAILED
    other = attrs.evolve(RENEWAL, client_id="another")
    assert life.offer(other) is True  # asked as somebody else
    assert (life.state, life.reason, life.renewal) == (S.VALID, "", other)
    life.begin()
    life.missed(NoToken(True, "refused"), NOW)
    login = attrs.evolve(RENEWAL, refresh_token="rt-login")
    assert life.offer(login) is True
    assert (life.state, life.renewal, life.due_at) == (S.VALID, login, NOW + 3300)


def test_a_file_that_was_read_before_its_renewal_was_written_is_no_news() -> None:
    life = TokenLife(RENEWAL)
    life.begin()
    life.granted(NewToken("at-1", "rt-1", expires_at=NOW + 7200), NOW)
    held = life.renewal
    assert life.offer(attrs.evolve(RENEWAL, expires_at=NOW + 10**6)) is False
    assert life.renewal == held
    life.saved(NOW)
    assert life.offer(attrs.evolve(RENEWAL, token_url="https://moved.example/")) is False
    assert life.renewal == attrs.evolve(held, token_url="https://moved.example/")
    assert (
        life.offer(attrs.evolve(held, expires_at=NOW + 9000)) is False
    )  # renewed by somebody else, who was given the same refresh token
    assert life.due_at == NOW + 8700


def test_a_token_is_not_renewed_over_and_over() -> None:
    """Its whole life may be shorter than the lead; and a provider may give tokens that end at once."""
    assert renew_at(attrs.evolve(RENEWAL, lead=1e9, issued_at=NOW)) == NOW + 1800
    assert renew_at(attrs.evolve(RENEWAL, issued_at=NOW + 9999)) == NOW + 3300
    assert renew_at(attrs.evolve(RENEWAL, expires_at=None)) == math.inf
    life = TokenLife(RENEWAL)
    life.begin()
    life.granted(NewToken("a", expires_at=NOW + 1), NOW)
    life.saved(NOW)
    assert life.due_at == NOW + LEAST_BETWEEN


# --- the request ---


def test_the_request_is_that_of_the_rfc() -> None:
    head, _, body = build_request(RENEWAL, "dragoman/0").partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[:2] == [b"POST /token HTTP/1.1", b"host: auth.example:444"]
    assert b"content-length: %d" % len(body) in head
    assert b"user-agent: dragoman/0" in head
    assert b"content-type: application/x-www-form-urlencoded" in head
    assert dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)) == {
        "grant_type": "refresh_token", "refresh_token": "rt-0", "client_id": "my id", "client_secret": "s&cret",
    }  # fmt: skip


def test_as_json_and_as_nobody() -> None:
    renewal = attrs.evolve(RENEWAL, sends_json=True, client_id="", client_secret="", token_url="http://127.0.0.1:1")
    head, _, body = build_request(renewal, "d").partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\nhost: 127.0.0.1:1\r\n")
    assert json.loads(body) == {"grant_type": "refresh_token", "refresh_token": "rt-0"}


def test_the_account_of_a_service_signs() -> None:
    """RFC 7523: what it says of itself, signed, in the place of a refresh token."""
    renewal = attrs.evolve(RENEWAL, issuer="robot@p.example", client_id="", client_secret="", refresh_token="PEM")
    claims = build_claims(renewal, NOW)
    body = build_request(renewal, "d", claims, b"\xff\xfe").partition(b"\r\n\r\n")[2].decode()
    fields = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
    assert sorted(fields) == ["assertion", "grant_type"]
    assert fields["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, said, signature = (base64.urlsafe_b64decode(part + "==") for part in fields["assertion"].split("."))
    assert (json.loads(head)["alg"], signature) == ("RS256", b"\xff\xfe")
    assert json.loads(said) == {
        "iss": "robot@p.example", "scope": "https://www.googleapis.com/auth/cloud-platform", "aud": RENEWAL.token_url,
        "iat": int(NOW), "exp": int(NOW) + 3600,
    }  # fmt: skip
    assert "PEM" not in body


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_secret_arrives_as_it_is(refresh_token: str, client_id: str) -> None:
    request = build_request(attrs.evolve(RENEWAL, refresh_token=refresh_token, client_id=client_id), "d")
    body = request.partition(b"\r\n\r\n")[2].decode("ascii")
    fields = urllib.parse.parse_qs(body, keep_blank_values=True, strict_parsing=True)
    assert (fields["refresh_token"], fields["client_id"]) == ([refresh_token], [client_id])


# --- the answer ---


def answer(status: int, body: object, *fields: tuple[bytes, bytes]) -> NewToken | NoToken:
    return parse_answer(status, fields, body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)


@given(st.integers(100, 599), st.binary(max_size=50) | st.recursive(
    st.none() | st.text(max_size=9) | st.integers() | st.floats(), lambda inner: st.dictionaries(
        st.sampled_from(["access_token", "refresh_token", "expires_in", "error", "code", "id_token", "expires_at"]), inner), max_leaves=6,
))  # fmt: skip
def test_any_answer_is_one_or_the_other(status: int, body: object) -> None:
    found = answer(status, body)
    if isinstance(found, NewToken):
        assert found.access_token
        assert status == 200
        assert found.expires_at is None or found.expires_at > 0
    else:
        assert found.reason


def test_what_a_provider_gives() -> None:
    whole = {"access_token": "a", "refresh_token": "r", "id_token": "i", "expires_in": 60, "token_type": "Bearer"}
    assert answer(200, whole) == NewToken("a", "r", "i", NOW + 60)
    assert "'a'" not in repr(answer(200, whole))
    assert answer(200, {"access_token": "a", "expires_in": "60"}) == NewToken("a", expires_at=NOW + 60)
    assert answer(200, {"access_token": "a", "expires_at": "2026-11-25T01:00:00Z"}) == NewToken(
        "a", expires_at=NOW + 3600
    )
    lives: list[object] = [True, -5, 0, 1e300, "soon", None, [], "9" * 12]
    for life in lives:
        assert answer(200, {"access_token": "a", "expires_in": life, "refresh_token": 5}) == NewToken("a")
    for token in ("", "two words", "a\r\nb", None, 7):
        found = answer(200, {"access_token": token})
        assert isinstance(found, NoToken)
        assert not found.is_final


@pytest.mark.parametrize(
    ("status", "body", "is_final", "word"),
    [
        (400, {"error": "invalid_grant"}, True, "invalid_grant"),
        (401, {"error": {"code": "refresh_token_reused", "message": "secret"}}, True, "refresh_token_reused"),
        (403, {"error": {"type": "permission_error"}}, True, "permission_error"),
        (403, b"<html>are you a human?", False, "403"),
        (400, b"", False, "400"),
        (401, {"error": "two words"}, False, "401"),
        (400, {"error": 7}, False, "400"),
        (400, [], False, "400"),
        (429, {"error": "slow_down"}, False, "slow_down"),
        (503, {"error": "invalid_grant"}, False, "invalid_grant"),
        (302, b"", False, "302"),
    ],
)
def test_what_a_provider_says_instead(status: int, body: object, is_final: bool, word: str) -> None:
    found = answer(status, body)
    assert isinstance(found, NoToken)
    assert found.is_final is is_final
    assert word in found.reason
    assert "secret" not in found.reason


def test_when_to_come_again() -> None:
    found = answer(429, {}, (b"date", b"x"), (b"retry-after", b"90"))
    assert isinstance(found, NoToken)
    assert found.retry_at == NOW + 90


# --- the file ---


TOKEN = NewToken("at-1", "rt-1", "", NOW + 3600)


def renewed(data: dict[str, Any], token: NewToken = TOKEN, used: str = "rt-0") -> Any:
    return renewed_file(data, used, token, NOW)


FLAT = {
    "type": "claude",
    "access_token": "at-0",
    "refresh_token": "rt-0",
    "expired": "2026-11-25T00:00:00Z",
    "zz": {"kept": [1, None]},
}


def test_the_new_token_is_where_the_old_one_was() -> None:
    assert renewed(FLAT) == {
        **FLAT, "access_token": "at-1", "refresh_token": "rt-1", "expired": "2026-11-25T01:00:00Z", "last_refresh": "2026-11-25T00:00:00Z",
    }  # fmt: skip
    google = {
        "type": "gemini",
        "token": {"access_token": "at-0", "refresh_token": "rt-0", "client_id": "c", "expiry": "x"},
        "expired": 5,
    }
    assert renewed(google) == {
        "type": "gemini", "expired": int(NOW) + 3600, "last_refresh": "2026-11-25T00:00:00Z",
        "token": {"access_token": "at-1", "refresh_token": "rt-1", "client_id": "c", "expiry": "2026-11-25T01:00:00Z"},
    }  # fmt: skip


def test_what_was_not_given_stays() -> None:
    token = NewToken("at-1")
    assert renewed({**FLAT, "id_token": "i"}, token) == {
        **FLAT, "id_token": "i", "access_token": "at-1", "last_refresh": "2026-11-25T00:00:00Z",
    }  # fmt: skip
    assert renewed(FLAT, attrs.evolve(token, id_token="j"))["id_token"] == "j"


def test_a_file_of_somebody_else_is_left_alone() -> None:
    assert renewed(FLAT, used="another") is None
    assert renewed({"access_token": "a"}) is None


FORMS: list[tuple[object, object]] = [
        ("2026-01-01", "2026-11-25T01:00:00Z"), (1, int(NOW) + 3600), (1_700_000_000_000, (int(NOW) + 3600) * 1000),
        ("1700000000", str(int(NOW) + 3600)), ("1700000000000", str((int(NOW) + 3600) * 1000)), ("²", "2026-11-25T01:00:00Z"),
        (True, "2026-11-25T01:00:00Z"), (10**400, "2026-11-25T01:00:00Z"), ([], "2026-11-25T01:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FORMS, ids=range(len(FORMS)))
def test_an_instant_keeps_its_form(before: object, after: object) -> None:
    assert renewed({**FLAT, "expired": before})["expired"] == after


def test_where_a_file_has_no_end_yet() -> None:
    plain = {"type": "kimi", "accessToken": "at-0", "refreshToken": "rt-0", "expires_in": 5, "lastRefresh": 5}
    assert renewed(plain) == {
        "type": "kimi", "accessToken": "at-1", "refreshToken": "rt-1", "expires_in": 3600, "lastRefresh": int(NOW), "expired": "2026-11-25T01:00:00Z",
    }  # fmt: skip
    inside = {"token": {"access_token": "a"}, "refresh_token": "rt-0"}
    assert renewed(inside)["token"] == {
        "access_token": "at-1",
        "refresh_token": "rt-1",
        "expiry": "2026-11-25T01:00:00Z",
    }


@given(
    st.dictionaries(st.sampled_from(["expired", "expires_at", "expiry", "last_refresh", "email", "zz", "id_token"]), st.integers(1, 10**13) | st.text(max_size=5)),
    st.booleans(),
)  # fmt: skip
def test_a_renewed_file_says_what_was_given_and_all_else_as_before(more: dict[str, Any], inside: bool) -> None:
    token = {"access_token": "at-0", "refresh_token": "rt-0"}
    data = {
        "type": "gemini" if inside else "claude",
        "project_id": "p",
        **more,
        **({"token": token} if inside else token),
    }
    after = renewed(data)
    assert json.loads(json.dumps(after)) == after
    read = parse_credential_file(after).credential
    if read is not None:
        assert (read.secret, read.refresh_token) == ("at-1", "rt-1")
        assert read.expires_at == pytest.approx(NOW + 3600, abs=1)
    touched = {"access_token", "refresh_token", "expired", "expires_at", "expiry", "last_refresh", "token"}
    assert {k: v for k, v in after.items() if k not in touched} == {k: v for k, v in data.items() if k not in touched}
