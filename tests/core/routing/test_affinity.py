"""Which requests are one conversation, and where it is kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.routing.affinity import Affinities, session_of

ORDER: list[tuple[dict[bytes, bytes], dict[str, Any]]] = [
    ({b"x-claude-code-session-id": b"id-0"}, {}),
    ({}, {"metadata": {"user_id": '{"session_id": "id-1"}'}}),
    ({b"session-id": b"id-2"}, {}),
    ({b"session_id": b"id-3"}, {}),
    ({b"x-session-id": b"id-4"}, {}),
    ({b"x-session-affinity": b"id-5"}, {}),
    ({b"x-client-request-id": b"id-6"}, {}),
    ({}, {"session_id": "id-7"}),
    ({}, {"sessionId": "id-8"}),
    ({}, {"prompt_cache_key": "id-9"}),
    ({}, {"conversation": {"id": "id-10"}}),
    ({}, {"conversation_id": "id-12"}),
]


def session(fields: dict[bytes, bytes], body: Any, *, scope: str = "a", derive: bool = False) -> str | None:
    return session_of(
        fields, body if isinstance(body, bytes) else json.dumps(body).encode(), scope=scope, derive=derive
    )


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_precedence(first: int) -> None:
    """Of all that are there, the first of the list."""
    alone = session(*ORDER[first])
    fields: dict[bytes, bytes] = {}
    body: dict[str, Any] = {}
    for more_fields, more_body in reversed(ORDER[first:]):
        fields |= more_fields
        body |= more_body
    assert alone is not None
    assert session(fields, body) == alone


def test_claude_code_user_id() -> None:
    """Its session is behind a mark; any other user id is an id as it is; conversation may be a text."""
    marked = session({}, {"metadata": {"user_id": "user_1_account_2_session_abc"}})
    assert marked == session({b"session-id": b"abc"}, {})
    assert session({}, {"metadata": {"user_id": "{"}}) == session({b"session-id": b"{"}, {})
    assert session({}, {"metadata": {"user_id": "[]"}}) == session({b"session-id": b"[]"}, {})
    assert session({}, {"conversation": "abc", "metadata": {"user_id": "x" * 5000}}) == marked


@pytest.mark.parametrize("body", [b'{"session_id": ', b'["session_id"]', b'"session_id"', b"\xff session_id"])
def test_what_is_no_object_has_no_id(body: bytes) -> None:
    """Nor does it keep a header from being read."""
    assert session({}, body) is None
    assert session({b"x-session-id": b"a"}, body) == session({b"x-session-id": b"a"}, {})


def test_scope() -> None:
    """The same id of two callers is two conversations; ids are kept as digests."""
    one, two = session({b"session-id": b"s3cret"}, {}), session({b"session-id": b"s3cret"}, {}, scope="b")
    assert one != two
    assert one is not None
    assert "s3cret" not in one


@pytest.mark.parametrize("value", [b"", b" ", b"x" * 257, b"a\x01b"])
def test_useless_ids(value: bytes) -> None:
    """Empty, too long, with control characters."""
    assert session({b"session-id": value}, {"session_id": value.decode()}) is None
    assert session({}, {"session_id": 5, "conversation": []}) is None


def test_derived() -> None:
    """The beginning of a conversation is the same while it grows; only where it is wanted."""
    begin = [{"role": "system", "content": "Be brief." + "x" * 100}, {"role": "user", "content": "Hello"}]
    grown = [*begin, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "More"}]
    one = session({}, {"messages": begin}, derive=True)
    assert one is not None
    assert session({}, {"messages": begin}) is None
    assert session({}, {"messages": grown}, derive=True) == one
    assert session({}, {"messages": [begin[0], {"role": "user", "content": "Other"}]}, derive=True) != one
    assert session({}, {"system": "Other", "messages": begin[1:]}, derive=True) != one


@pytest.mark.parametrize(
    "body",
    [
        {"input": "Hello", "instructions": "x", "messages": [{"role": "user", "content": "Other"}]}, {"input": [{"role": "developer", "content": "d"}, {"role": "user", "content": "Hello"}]},
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    ],
)  # fmt: skip
def test_derived_in_each_dialect(body: dict[str, Any]) -> None:
    assert session({}, body, derive=True) is not None


@pytest.mark.parametrize(
    "body", [{}, {"messages": []}, {"messages": 5}, {"input": [5]}, {"input": [{"role": "x"}]}, b"{", b"\xff"]
)
def test_nothing_to_derive_from(body: Any) -> None:
    assert session({}, body, derive=True) is None


@given(st.binary(max_size=40), st.booleans())
def test_nothing_is_raised(body: bytes, derive: bool) -> None:
    """Whatever a client sends."""
    session_of({b"session-id": body}, body, scope="", derive=derive)
    session_of(
        {}, b'{"metadata":{"user_id":' + json.dumps(body.decode("latin-1")).encode() + b"}}", scope="", derive=derive
    )


def test_ttl_slides() -> None:
    """Each request keeps it alive; silence ends it."""
    kept = Affinities(10.0)
    kept.bind("s", "m", "id", "up", 0.0)
    assert kept.find("s", "m", 9.0) == ("id", "up")
    assert kept.find("s", "m", 18.0) == ("id", "up")
    assert kept.find("s", "other", 18.0) is None
    assert kept.find("s", "m", 28.0) is None
    assert len(kept) == 0


def test_unbinding_is_careful() -> None:
    """Only if it still leads there: another request may have bound it anew."""
    kept = Affinities(10.0)
    kept.bind("s", "m", "new", "up", 0.0)
    kept.unbind("s", "m", "old")
    assert len(kept) == 1
    kept.unbind("s", "m", "new")
    kept.unbind("s", "m", "new")
    assert len(kept) == 0


def test_bounded() -> None:
    """The one unused for longest goes; those whose time is over go by themselves."""
    kept = Affinities(10.0, most=3)
    for i in range(5):
        kept.bind(str(i), "m", "id", "up", 0.0)
    assert len(kept) == 3
    assert kept.find("1", "m", 0.0) is None
    kept.bind("9", "m", "id", "up", 11.0)
    assert len(kept) == 1


def test_saved_and_restored() -> None:
    """With their instants; nonsense and what is over left out."""
    kept = Affinities(10.0)
    kept.bind("s", "m", "id", "up", 0.0)
    kept.bind("t", "m", "id", "up", 5.0)
    other = Affinities(10.0)
    other.restore(json.loads(json.dumps(kept.save())), 10.0)
    assert other.save() == [["t", "m", "id", "up", 15.0]]
    for data in (None, 5, [5], [[1, 2, 3, 4, 5]], [["s", "m", "id", "up", "x"]], [["s", "m", "id", "up", 1e9]]):
        other.restore(data, 10.0)
    assert len(other) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["bind", "find", "unbind", "take"]), st.sampled_from("stu"), st.integers(0, 9)),
        max_size=40,
    )
)
def test_changes_come_to_the_whole(steps: list[tuple[str, str, int]]) -> None:
    """LAW: who writes down every change has, at any time he has taken them, what `save` would say, whatever was evicted or over."""
    kept = Affinities(4.0, most=2)
    kept.track()
    now, told = 0.0, {}
    for what, session, seconds in [*steps, ("take", "s", 0)]:
        now += seconds
        if what == "bind":
            kept.bind(session, "m", "id", "up", now)
        elif what == "find":
            kept.find(session, "m", now)
        elif what == "unbind":
            kept.unbind(session, "m", "id")
        else:
            for item in kept.take_changes():
                assert isinstance(item, list)
                told[item[0]] = item
            assert sorted(str(item) for item in told.values() if item[2]) == sorted(map(str, kept.save()))
    assert kept.take_changes() == []


def test_letting_go_is_a_change() -> None:
    kept = Affinities(4.0)
    kept.track()
    kept.bind("s", "m", "id", "up", 0.0)
    assert len(kept.take_changes()) == 1
    kept.unbind("s", "m", "id")
    assert len(kept.take_changes()) == 1
    assert kept.take_changes() == []


def test_nothing_is_noted_for_nobody() -> None:
    """Without `track` the changes do not pile up."""
    kept = Affinities(4.0)
    kept.bind("s", "m", "id", "up", 0.0)
    kept.unbind("s", "m", "id")
    assert kept.take_changes() == []
