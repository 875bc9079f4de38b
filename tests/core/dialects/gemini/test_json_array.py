"""Streams that are one JSON array."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.dialects.gemini.json_array import ArrayReader
from dragoman.core.errors import BadStream
from tests.strategies import cuts_of
from tests.strategies_chat import JSON

OBJECTS = st.dictionaries(
    st.sampled_from(["a", '"', "\\", "[", "}"]), JSON | st.sampled_from(['"]}', "\\", '\\"']), min_size=1, max_size=3
)


@given(st.lists(OBJECTS, max_size=4), st.sampled_from([None, 1, "\t"]), st.data())
def test_elements_in_any_cut(elements: list[Any], indent: Any, data: st.DataObject) -> None:
    body = json.dumps(elements, indent=indent, ensure_ascii=data.draw(st.booleans())).encode()
    reader = ArrayReader()
    found = [element for piece in data.draw(cuts_of(body)) for element in reader.feed(piece)]
    assert [json.loads(element) for element in found] == elements
    assert reader.close()


@given(st.binary(max_size=60) | st.text('[]{}"\\, ', max_size=30).map(str.encode))
def test_anything_reads_the_same_in_any_cut(body: bytes) -> None:
    whole, bytewise = ArrayReader(), ArrayReader()
    assert whole.feed(body) == [e for i in range(len(body)) for e in bytewise.feed(body[i : i + 1])]
    assert whole.close() == bytewise.close()


def test_an_element_too_large() -> None:
    reader = ArrayReader(max_element=10)
    assert reader.feed(b"[" + b" " * 50 + b'{"a":1}' + b"\n" * 50) == [b'{"a":1}']
    with pytest.raises(BadStream):
        reader.feed(b',{"a":"1234567890')
    assert not reader.close()


def test_an_escape_may_be_cut() -> None:
    reader = ArrayReader()
    assert reader.feed(b'[{"a": "x\\') == []
    assert reader.feed(b'"}"}]') == [b'{"a": "x\\"}"}']
    assert reader.close()
