"""JSON is edited where it is set and nowhere else."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.adapters.connect.json_edits import edited_json
from tests.adapters.connect.files_of_people import KEYS, VALUES, json_texts

PATHS = st.lists(KEYS, min_size=1, max_size=4).map(tuple)


def stripped(text: str) -> str:
    """Without comments and trailing commas."""
    token = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n\r]*|/\*.*?\*/|,(?=(?>\s|//[^\n\r]*|/\*.*?\*/)*+[}\]])', re.DOTALL)
    return token.sub(lambda found: found[0] if found[0].startswith('"') else "", text).removeprefix("\ufeff")


def with_value(data: Any, steps: tuple[str, ...], value: Any) -> Any:
    """What the edit is to come to; None where something else than an object is in the way."""
    if not isinstance(data, dict):
        return None
    first, *rest = steps
    if not rest:
        return {**data, first: value}
    inner = with_value(data.get(first, {}), tuple(rest), value)
    return None if inner is None else {**data, first: inner}


@given(json_texts(has_comments=False) | json_texts(has_comments=True), PATHS, VALUES)
@example(('{"a": 1 // c\n}', {"a": 1}), ("b",), 2)
@example(("{ /* only */ }", {}), ("b", "c"), {"d": []})
def test_a_setting_is_set_and_the_rest_stays(written: tuple[str, Any], steps: tuple[str, ...], value: Any) -> None:
    text, data = written
    wanted = with_value(data, steps, value)
    if wanted is None:
        with pytest.raises(ValueError, match="is not an object"):
            edited_json(text, {steps: value})
        return
    new = edited_json(text, {steps: value})
    assert json.loads(stripped(new)) == wanted
    assert edited_json(new, {steps: value}) == new
    if wanted == data and type(value) is not bool and value not in (0, 1):
        assert new == text
    assert ("\r" in new) <= ("\r" in text) or "\r" in json.dumps(value)


@given(json_texts(has_comments=True), KEYS, VALUES)
def test_every_line_that_was_there_is_there(written: tuple[str, Any], key: str, value: Any) -> None:
    """A new key changes no line but the one that gets a comma, and where the object closes."""
    text, data = written
    if key in data or "\n" not in text.strip():
        return
    new = edited_json(text, {(key,): value})
    old_lines, new_lines = text.split("\n"), new.split("\n")
    lost = [line for line in old_lines if line.rstrip() not in [one.rstrip() for one in new_lines]]
    assert len(lost) <= 2


@pytest.mark.parametrize(
    ("text", "settings", "new"),
    [
        ("", {("a",): 1}, '{\n  "a": 1\n}\n'),
        ("// why\n", {("a",): 1}, '// why\n{\n  "a": 1\n}\n'),
        ("// why", {("a", "b"): 1}, '// why\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", {("a",): {}}, '{\n  "a": {}\n}'),
        ('{"a": 1}', {("b",): 2}, '{"a": 1, "b": 2}'),
        ('{"a": 1,}', {("b",): 2}, '{"a": 1, "b": 2,}'),
        ('{\n\t"a": {}\n}', {("a", "b"): [1]}, '{\n\t"a": {\n\t\t"b": [\n\t\t\t1\n\t\t]\n\t}\n}'),
        ('{\n  "a": 1, // one\n}\n', {("b",): 2}, '{\n  "a": 1, // one\n  "b": 2,\n}\n'),
        ('{\n  "a": 1 // one\n}\n', {("b",): 2}, '{\n  "a": 1, // one\n  "b": 2\n}\n'),
        ('{"a": 1, "a": 2}', {("a",): 3}, '{"a": 1, "a": 3}'),
        ('{"a": true}', {("a",): 1}, '{"a": 1}'),
        ('{"a": "x"}', {("a",): "y"}, '{"a": "y"}'),
    ],
)
def test_how_it_looks(text: str, settings: Any, new: str) -> None:
    assert edited_json(text, settings) == new


@pytest.mark.parametrize(
    "text",
    ["{", '{"a"}', '{"a" 1}', '{"a": }', "{a: 1}", '{"a": 1 "b": 2}', "[1 2]", "[,]", "{,}", "nope", '{"a": nope}', "{} {}", '"',
     "/* open", "{}}", '{"a": [1,,2]}', "'a'", "[" * 300 + "]" * 300, '{"\\x": 1}'],
)  # fmt: skip
def test_what_is_no_json_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match=r"not valid JSON|nested too deeply"):
        edited_json(text, {("k",): 1})


@pytest.mark.parametrize(
    ("text", "what"), [("[]", "it is not"), ('{"a": [1, {"x": 2}, []]}', "a is not"), ('{"a": 1}', "a is not")]
)
def test_only_objects_have_settings(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        edited_json(text, {("a", "b"): 1})
