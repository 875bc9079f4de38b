"""Client keys: any that fits will do, in any of the places where clients put them."""

from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.access import ANONYMOUS, ClientKeys, percent_decode
from dragoman.core.config import ClientKey
from dragoman.core.errors import AccessDenied

KEY = ClientKey("sk-ä/1", "one")
OTHER = ClientKey("sk-2", "two")
KEYS = ClientKeys([KEY, OTHER])
SECRET = "sk-ä/1".encode()
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({b"authorization": b"Bearer " + SECRET}, ""),
        ({b"authorization": b"bearer   " + SECRET + b" "}, ""),
        ({b"authorization": SECRET}, ""),
        ({b"x-api-key": SECRET}, ""),
        ({b"x-goog-api-key": SECRET}, ""),
        ({b"api-key": SECRET}, ""),
        ({}, "key=sk-%C3%A4%2f1"),
        ({}, "alt=sse&auth_token=sk-%C3%A4/1&x"),
        ({b"authorization": b"Bearer wrong", b"x-api-key": SECRET}, "key="),
        ({b"authorization": b"", b"x-api-key": b"", b"api-key": SECRET}, ""),
    ],
)
def test_a_key_is_found_where_clients_put_it(fields: dict[bytes, bytes], query: str) -> None:
    assert KEYS.check(fields, query) is KEY


@pytest.mark.parametrize(
    ("fields", "query", "message"),
    [
        ({}, "", "A client key is needed"),
        ({b"x-api-key": b""}, "key=&a=b", "A client key is needed"),
        ({b"authorization": b"Bearer"}, "", "not known here"),
        ({b"authorization": b"Basic " + SECRET}, "", "not known here"),
        ({b"authorization": b"Bearer " + SECRET[:-1]}, "", "not known here"),
        ({b"cookie": SECRET}, "token=sk-2", "A client key is needed"),
    ],
)
def test_who_shows_none_stays_out(fields: dict[bytes, bytes], query: str, message: str) -> None:
    with pytest.raises(AccessDenied, match=message) as denied:
        KEYS.check(fields, query)
    assert denied.value.status == 401


@given(secret=secrets, shown=secrets)
def test_only_the_whole_key_opens(secret: str, shown: str) -> None:
    keys = ClientKeys([ClientKey(secret, "label")])
    assert keys.check({b"x-api-key": secret.encode()}, "").label == "label"
    assert keys.check({}, f"key={quote(secret)}").label == "label"
    for fields, query in (({b"x-api-key": shown.encode()}, ""), ({}, f"key={quote(shown)}")):
        if shown != secret:
            with pytest.raises(AccessDenied):
                keys.check(fields, query)


def test_a_door_without_keys_is_open_only_if_it_was_left_open() -> None:
    assert ClientKeys([], allow_open=True).check({}, "") is ANONYMOUS
    for keys in (ClientKeys([]), ClientKeys([KEY], allow_open=True)):
        with pytest.raises(AccessDenied):
            keys.check({}, "")


def test_no_key_is_in_a_repr() -> None:
    assert "sk-" not in repr(KEY) + repr(KEYS)


@given(text=st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.text("%aA0 gZ+", max_size=12)))
def test_percent_encoding_is_undone_as_the_standard_library_does(text: str) -> None:
    assert percent_decode(text) == unquote_to_bytes(text)
    assert percent_decode(quote(text)) == text.encode()
