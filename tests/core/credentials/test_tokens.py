"""Tokens that change while exchanges run."""

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.credentials.tokens import Token, Tokens


def test_a_token_of_the_past_is_no_news() -> None:
    token = Token()
    assert token.offer("one") is False  # the first replaces nobody
    assert token.line == b"authorization: Bearer one\r\n"
    token.renew("two")
    assert token.offer("one") is False  # a file that was read before the renewal was written to it
    assert token.line == b"authorization: Bearer two\r\n"
    assert token.offer("two") is False
    assert token.offer("three") is True  # another login
    assert token.line == b"authorization: Bearer three\r\n"


def test_no_token_is_no_news() -> None:
    token = Token()
    assert token.offer("") is False
    assert token.line == b""
    token.renew("one")
    assert token.offer("") is False
    assert token.line == b"authorization: Bearer one\r\n"


def test_renewed_before_it_was_offered() -> None:
    token = Token()
    token.renew("one")
    assert token.line == b"authorization: Bearer one\r\n"
    assert token.offer("one") is False


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), max_size=20))
def test_the_newest_renewal_is_never_undone_by_what_it_replaced(steps: list[tuple[bool, str]]) -> None:
    token, present = Token(), ""
    for is_renewal, secret in steps:
        before = present
        if is_renewal:
            token.renew(secret)
            present = secret
            if before and before != secret:
                assert token.offer(before) is False
        elif token.offer(secret) or not present:
            present = secret
        assert token.line == (b"authorization: Bearer %b\r\n" % present.encode() if present else b"")


def test_who_is_gone_is_forgotten() -> None:
    tokens = Tokens()
    token = tokens["a"]
    assert tokens["a"] is token
    tokens.keep({"b"})
    assert tokens["a"] is not token
    tokens.keep({"a"})
    assert tokens["a"] is tokens["a"]
