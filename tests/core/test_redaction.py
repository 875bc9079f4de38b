"""No secret is left where it can be known for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.redaction import REDACTED, is_secret_name, redact_fields, redact_query, redact_text

NAMES = st.sampled_from(
    [
        "api_key",
        "apiKey",
        "Authorization",
        "access_token",
        "refresh-token",
        "client_secret",
        "password",
        "key",
        "cookie",
    ]
)
MARK = "hunter2secret"
SECRETS = st.tuples(st.text(max_size=8), st.text(max_size=8)).map(lambda ends: f"{ends[0]}{MARK}{ends[1]}")


@given(NAMES, SECRETS, st.integers(0, 3), st.text(max_size=20))
def test_a_named_secret_at_any_depth(name: str, secret: str, depth: int, other: str) -> None:
    """LAW: in JSON, in JSON within JSON, whatever characters it has; and what comes behind it is still read."""
    value: object = {"a": other, name: secret, "b": [{name: secret}], "model": "plain"}
    for _ in range(depth):
        value = {"arguments": json.dumps(value), "c": other.replace(MARK, "")}
    text = redact_text(json.dumps(value))
    assert MARK not in text
    for _ in range(depth):
        value = json.loads(text)
        assert isinstance(value, dict)
        text = value["arguments"]
    assert json.loads(text) == {"a": redact_text(other), name: REDACTED, "b": [{name: REDACTED}], "model": "plain"}


@given(NAMES, SECRETS, st.integers(0, 60))
def test_a_text_that_is_cut(name: str, secret: str, end: int) -> None:
    """LAW: a secret without its end is one, too."""
    text = json.dumps({name: secret})
    assert MARK[:4] not in redact_text(text[:end])


def test_cut_and_escaped() -> None:
    assert redact_text('{"key": "hunter') == '{"key": "[redacted]'
    assert redact_text(r'{"key": "a\"hunter\\", "b": 1}') == '{"key": "[redacted]", "b": 1}'


@given(st.text(), st.lists(st.text(min_size=6, max_size=20), max_size=3))
def test_known_secrets(text: str, secrets: list[str]) -> None:
    """LAW: wherever they stand, alone or one in another."""
    ordered = sorted(secrets, key=len, reverse=True)
    shown = redact_text("".join(f"{text}{secret}" for secret in ordered), ordered)
    assert not [secret for secret in ordered if secret in shown and secret not in REDACTED and secret not in text]


def test_short_words_are_no_secrets() -> None:
    assert redact_text("a demo of it", ["demo"]) == "a demo of it"


@pytest.mark.parametrize(
    "text",
    [
        '{"max_tokens": 5, "prompt_tokens_details": {"cached_tokens": "3"}, "model": "m", "author": "x"}',
        "plain words",
        'half a "token',
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefgh", "AIzaSyA1234567890abcdefghij", "ya29.a0AfH6S", "ghp_abcdefghijklmnopqrstuv", "xoxb-123-abc",
        "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "Bearer abc.def-ghi",
    ],
)  # fmt: skip
def test_forms_of_secrets(secret: str) -> None:
    assert redact_text(f"it is {secret} here") == f"it is {REDACTED} here"


def test_heads_and_queries() -> None:
    fields = [
        (b"authorization", b"x"),
        (b"X-Goog-Api-Key", b"y"),
        (b"accept", b"Bearer zzz"),
        (b"set-cookie", b"c"),
        (b"host", b"h-known1"),
    ]
    assert redact_fields(fields, ["h-known1"]) == [
        ("authorization", REDACTED), ("X-Goog-Api-Key", REDACTED), ("accept", REDACTED), ("set-cookie", REDACTED), ("host", REDACTED),
    ]  # fmt: skip
    assert redact_query("a=1&key=2&access_token=3&b&c=known-secret", ["known-secret"]) == (
        f"a=1&key={REDACTED}&access_token={REDACTED}&b&c={REDACTED}"
    )
    assert is_secret_name("x-management-secret")
    assert not is_secret_name("content-type")
