"""Parts: keys of either case, results of tools."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Reasoning
from dragoman.core.chat.signature import Signature, wrap_base64
from dragoman.core.dialects.gemini.content import build_response, in_camel_case, is_old, parse_parts, parse_response
from tests.strategies_chat import JSON, OBJECTS, TEXT

KEYS = ["functionCall", "inlineData", "thoughtSignature", "generationConfig", "maxOutputTokens", "text", "properties"]
NODES: st.SearchStrategy[Any] = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS[:-1]), inner, max_size=4),
)


def _snake(node: Any, draw: Any) -> Any:
    if isinstance(node, list):
        return [_snake(item, draw) for item in node]
    if not isinstance(node, dict):
        return node
    out = {}
    for key, value in node.items():
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
        out[snake if draw(st.booleans()) else key] = _snake(value, draw)
    return out


@given(st.data())
def test_any_mix_of_cases_reads_the_same(data: st.DataObject) -> None:
    node = data.draw(NODES)
    assert in_camel_case(_snake(node, data.draw)) == node


@given(st.dictionaries(st.sampled_from(["a_b", "max_tokens", "x"]), JSON, min_size=1))
def test_names_of_others_are_left_alone(value: dict[str, Any]) -> None:
    for key in ("args", "response", "parametersJsonSchema", "labels"):
        assert in_camel_case({key: value}) == {key: value}
    schema = {"properties": {"a_b": {"any_of": [{"min_items": 1}]}}}
    assert in_camel_case(schema) == {"properties": {"a_b": {"anyOf": [{"minItems": 1}]}}}


def test_a_key_said_twice_counts_once() -> None:
    assert in_camel_case({"mime_type": "a", "mimeType": "b", "_x": 1}) == {"mimeType": "b", "_x": 1}


@given(TEXT | st.just("") | OBJECTS.map(str), st.booleans())
def test_any_text_comes_back_from_a_result(text: str, is_error: bool) -> None:
    assert parse_response(build_response(text, is_error=is_error)) == (text, is_error)


@given(OBJECTS)
def test_any_object_comes_back_from_a_result(value: dict[str, Any]) -> None:
    assert build_response(parse_response(value)[0], is_error=False) == value


def test_a_signature_behind_reasoning_in_pieces_signs_all_of_it() -> None:
    signed = {"text": "", "thought": True, "thoughtSignature": wrap_base64(Signature("claude", "EqQB"))}
    pieces: list[dict[str, Any]] = [{"text": text, "thought": True} for text in ("I ", "know", ".")]
    before = {"text": "own", "thought": True, "thoughtSignature": wrap_base64(Signature("claude", "Eold"))}
    assert parse_parts([before, *pieces, signed], "parts") == [
        Reasoning("own", Signature("claude", "Eold")),
        Reasoning("I know.", Signature("claude", "EqQB")),
    ]
    assert parse_parts([*pieces, signed], "parts") == [Reasoning("I know.", Signature("claude", "EqQB"))]
    assert parse_parts(pieces, "parts") == [Reasoning("I "), Reasoning("know"), Reasoning(".")]


def test_results_in_other_words() -> None:
    assert parse_response(None) == ("", False)
    assert parse_response("plain") == ("plain", False)
    assert parse_response({"result": "x"}) == ("x", False)
    assert parse_response({"output": {"a": 1}}) == ('{"output":{"a":1}}', False)
    assert build_response('{"output":"x"}', is_error=False) == {"output": '{"output":"x"}'}
    assert build_response("{oops", is_error=False) == {"output": "{oops"}


@pytest.mark.parametrize(
    ("model", "old"),
    [
        ("gemini-2.5-pro", True),
        ("models/gemini-1.5-flash", True),
        ("gemini-3-pro", False),
        ("gemini-flash-latest", False),
        ("gemma-3", True),
    ],
)
def test_generations(model: str, old: bool) -> None:
    assert is_old(model) is old
