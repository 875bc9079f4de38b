"""JSON text: what is spliced changes, every other byte stays; whatever is wrong is told so that one can act on it."""

import json
import time
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.errors import BadRequest
from dragoman.core.request_text import decode_request, insert_key, peek_request, read_value, replace_value, splice_model
from tests.strategies import json_texts, json_values

names = st.one_of(
    st.text(max_size=8), st.sampled_from(["gpt", "a", '"model"', "ä\\", "\U0001f600", "org/model:1"])
).filter(lambda name: name != "" and name.isprintable())
objects = st.dictionaries(
    st.one_of(st.text(max_size=6), st.sampled_from(["messages", "tools", "model", "usage"])), json_values, max_size=5
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """Requests as text and as values; the model stands anywhere among the keys."""
    items = [(key, value) for key, value in draw(objects).items() if key not in {"model", "stream", "stream_options"}]
    items.insert(draw(st.integers(0, len(items))), ("model", draw(names)))
    value = dict(items)
    return draw(json_texts(value)), value


def written_as(text: bytes, value: str) -> set[bytes]:
    """How `json_texts` may have spelled a string."""
    forms = {json.dumps(value, ensure_ascii=ascii_only) for ascii_only in (True, False)} | {'"mod\\u0065l"'}
    return {form.encode() for form in forms if form.encode() in text and json.loads(form) == value}


@given(request=requests(), new=names)
def test_only_the_model_changes(request: tuple[bytes, dict[str, Any]], new: str) -> None:
    body, value = request
    old = peek_request(body).model
    assert old == value["model"]
    spliced = splice_model(body, old, new)
    assert json.loads(spliced) == {**value, "model": new}
    if old == new:
        assert spliced == body
        return
    text = json.dumps(new, ensure_ascii=False).encode()
    assert any(
        body == spliced[:at] + form + spliced[at + len(text) :]
        for form in written_as(body, old)
        for at in range(len(spliced))
        if spliced.startswith(text, at)
    )


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b' {"t":{"model":"a"},"model"\n:\t"a"}', b' {"t":{"model":"a"},"model"\n:\t"b"}'),
        (b'{"t":{"model":"a"},"mod\\u0065l":"a"}', b'{"t":{"model":"a"},"mod\\u0065l":"b"}'),
        (b'{"t":"\\"model\\":\\"a\\"","model":"a"}', b'{"t":"\\"model\\":\\"a\\"","model":"b"}'),
        (b'{"model":"x","model":"a"}', b'{"model":"b","model":"b"}'),
        (b'{"model":"\\u0061"}', b'{"model":"b"}'),
        (
            b'{"x":"\xff","\xfe":1,"\\ud83d":"\\ud83d","model":"a"}',
            b'{"x":"\xff","\xfe":1,"\\ud83d":"\\ud83d","model":"b"}',
        ),
    ],
)
def test_the_model_is_found_where_it_stands(body: bytes, spliced: bytes) -> None:
    try:
        assert peek_request(body).model == "a"
    except BadRequest:
        assert b"\xff" in body  # beside a lone surrogate it is looked at in full
    assert splice_model(body, "a", "b") == spliced


@given(value=objects, data=st.data())
def test_values_are_read_and_replaced_at_the_top_only(value: dict[str, Any], data: st.DataObject) -> None:
    body = data.draw(json_texts(value))
    key = data.draw(st.sampled_from([*value, "absent"]))
    text = read_value(body, key)
    assert (json.loads(text) == value[key]) if key in value else text == b""
    replaced = replace_value(body, key, b'{"n":1}')
    assert json.loads(replaced) == {name: {"n": 1} if name == key else old for name, old in value.items()}
    assert replace_value(body, key, text) == body


@given(value=objects, data=st.data(), new=json_values)
def test_a_key_is_inserted_and_nothing_else_changes(value: dict[str, Any], data: st.DataObject, new: object) -> None:
    value.pop("new", None)
    body = data.draw(json_texts(value))
    longer = insert_key(body, "new", new)
    assert json.loads(longer) == {"new": new, **value}
    at = body.index(b"{") + 1
    assert longer.startswith(body[:at])
    assert longer.endswith(body[at:])


@given(body=st.one_of(st.binary(max_size=40), st.text('{}[]",:\\model 1ueE.-', max_size=40).map(str.encode)))
def test_any_bytes_are_refused_in_the_documented_way_only(body: bytes) -> None:
    try:
        peek = peek_request(body)
    except BadRequest:
        return
    assert json.loads(splice_model(body, peek.model, "new"))["model"] == "new"


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b"", "The body is empty; a JSON object was expected.", None),
        (b" \n", "The body is empty; a JSON object was expected.", None),
        (b"[]", "The body must be a JSON object, not a list.", None),
        (b"5", "The body must be a JSON object, not a whole number.", None),
        (b"{}", "The request lacks `model`.", "model"),
        (b'{"model":5}', "`model` must be a string, not a whole number.", "model"),
        (b'{"model":null}', "`model` must be a string, not null.", "model"),
        (b'{"model":"a","stream":"yes"}', "`stream` must be true, false or null, not a string.", "stream"),
        (
            b'{"model":"a","stream_options":[]}',
            "`stream_options` must be an object or null, not a list.",
            "stream_options",
        ),
        (
            b'{"model":"a","stream_options":{"include_usage":1.5}}',
            "`stream_options.include_usage` must be true, false or null, not a number.",
            "stream_options.include_usage",
        ),
        (b'{"model":"a"', "The body is not JSON: it ends too early.", None),
        (b'{"model":"a",}', "The body is not JSON: trailing comma in object (byte 13).", None),
        (b'{"model":"a"} x', "The body is not JSON: trailing characters (byte 15).", None),
        (b'{"model":"a","x":NaN}', "The body is not JSON: invalid character (byte 17).", None),
        (b'{"model":"a","x":-Infinity,"y":"\\ud83d"}', "The body is not JSON: invalid character (byte 18).", None),
        (b'\xef\xbb\xbf{"model":"a"}', "The body is not JSON: it begins with a byte order mark; leave that out.", None),
        ('{"model":"a"}'.encode("utf-16"), "The body is not JSON: it is not UTF-8 (byte 0).", None),
        ('{"model":"a"}'.encode("utf-16-le"), "The body is not JSON: object keys must be strings (byte 1).", None),
        (b'{"model":"\xff"}', "The body is not JSON: it is not UTF-8 (byte 10).", None),
        (b'{"model":""}', "`model` is empty; GET /v1/models lists what can be asked for.", "model"),
        (b'{"model":"\\ud83d"}', "`model` has half a surrogate pair in it; no model is called that.", "model"),
        (b'"\\ud83d"', "The body is not of the right shape: there is text where something else was expected.", None),
        (
            b'{"model":"a","stream":"\\ud83d"}',
            "The body is not of the right shape: there is text where something else was expected.",
            None,
        ),
        (b'{"x":"\\ud83d","model":7}', "`model` must be a string, not a whole number.", "model"),
        (b'{"model":7,"x":"\\ud83d"}', "`model` must be a string, not a whole number.", "model"),
        (b'{"model":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "The body is nested too deeply.", None),
        (
            b'{"x":"\\ud83d","model":"a","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "The body is nested too deeply.",
            None,
        ),
    ],
)
def test_errors_say_what_is_wrong_and_where(body: bytes, message: str, param: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        peek_request(body)
    assert (refused.value.message, refused.value.param) == (message, param)


@pytest.mark.parametrize(
    "extra",
    [
        rb'"\ud83d"',
        rb'"\ude00\ud83d x"',
        b"1e400",
        b"-1e999",
        b"9" * 5000,
        b'"\xc3\xa4\xf0\x9f\x98\x80"',
        rb'"\u0000"',
        b"[" * 300 + b"]" * 300,
    ],
)
def test_what_real_clients_send_is_taken_and_kept(extra: bytes) -> None:
    body = b'{"model": "\xc3\xa4", "x": %b}' % extra
    assert peek_request(body).model == "ä"
    assert splice_model(body, "ä", "b") == b'{"model": "b", "x": %b}' % extra


class Inner(msgspec.Struct):
    """A field of another shape."""

    n: int


class Outer(msgspec.Struct):
    """A request of another shape."""

    items: list[Inner]
    kind: str = msgspec.field(default="a")
    size: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    flag: bool = False


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b'{"items":[{"n":1},{}]}', "The request lacks `items[1].n`.", "items[1].n"),
        (b'{"items":[{"n":"x"}]}', "`items[0].n` must be a whole number, not a string.", "items[0].n"),
        (b'{"items":[{"n":"x"}],"kind":"\\ud83d"}', "`items[0].n` must be a whole number, not a string.", "items[0].n"),
        (b'{"items":[],"size":true}', "`size` must be a number, not a boolean.", "size"),
        (b'{"items":[],"size":-1}', "The body is not what was expected: Expected `float` >= 0.0 - at `$.size`.", None),
        (b'{"items":[],"flag":1}', "`flag` must be true or false, not a whole number.", "flag"),
    ],
)
def test_other_shapes_are_told_as_well(body: bytes, message: str, param: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_request(msgspec.json.Decoder(Outer), body)
    assert refused.value.message.startswith(message)
    assert refused.value.param == param


def test_nesting_at_the_edge_is_spliced_or_refused_but_never_breaks() -> None:
    """What one frame can just read, the next deeper one cannot."""

    def deeper(body: bytes, frames: int) -> bytes:
        return deeper(body, frames - 1) if frames else splice_model(body, "a", "b")

    for depth in range(1, 1200):
        body = b'{"model":"a","x":' + b"[" * depth + b"]" * depth + b"}"
        try:
            peek_request(body)
        except BadRequest:
            break
        assert deeper(body, 20) == body.replace(b'"a"', b'"b"')
    else:
        pytest.fail("nothing is ever too deep")


def test_a_deep_body_beside_a_surrogate_is_refused() -> None:
    """The two decoders do not agree on how deep is too deep."""
    for depth in range(100, 1500, 7):
        body = b'{"x":"\\ud83d","model":"a","y":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        try:
            peek_request(body)
        except BadRequest as error:
            assert "deeply" in error.message  # noqa: PT017 - either is right
            return
    pytest.fail("nothing is ever too deep")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","x":"' + b"y" * 2**24 + b'","t":{"model":"a"}}',
        b'{"model":"a","x":"' + b"\\n" * 2**22 + b'","t":{"model":"a"}}',
        b"{" + b'"model":"a",' * 100_000 + b'"model":"a"}',
        b'{"model":"a"' + b" " * 2**22 + b',"t":{"model":"a"}}',
    ],
    ids=["long string", "escapes", "duplicates", "blanks"],
)
def test_the_slow_way_is_linear(body: bytes) -> None:
    began = time.perf_counter()
    assert json.loads(splice_model(body, "a", "b"))["model"] == "b"
    assert insert_key(body, "n", 1).startswith(b'{"n":1,')
    assert time.perf_counter() - began < 4.0
