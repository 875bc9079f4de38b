"""No field of a request is lost without a word, wherever it stands: a new one is put into every object of every recorded request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.core.dialects import DIALECTS
from dragoman.core.dialects.inner_fields import unread
from dragoman.core.errors import DragomanError
from dragoman.core.translate import translate_request
from tests.wire import Fixture, fixtures

NEW = "xnew"
# Objects whose keys are somebody else's words.
_FREE = frozenset({
    "args", "input_schema", "parameters", "schema", "response", "metadata", "responseSchema", "parametersJsonSchema",
    "responseJsonSchema", "logit_bias", "properties", "labels", "response_schema",
})  # fmt: skip
# Objects whose unknown fields are told with the name of the object.
_AS_ONE = frozenset({
    "generationConfig", "generation_config", "toolConfig", "functionCall", "functionResponse", "safetySettings", "text", "reasoning",
    "filters", "stream_options", "codeExecution",
})  # fmt: skip


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of the objects in a request."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            is_arguments = key == "input" and (path and path[0] == "messages")
            if key not in _FREE and not is_arguments:
                yield from objects(inner, (*path, key))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from objects(item, (*path, n))


def with_new(text: bytes, path: tuple[str | int, ...]) -> bytes:
    """The request with a new field in the object at `path`."""
    whole = node = json.loads(text)
    for step in path:
        node = node[step]
    node[NEW] = "zz"
    return json.dumps(whole).encode()


def is_ours(text: bytes, path: tuple[str | int, ...]) -> bool:
    """Whether an object is a mark that we wrote ourselves."""
    node = json.loads(text)
    for step in path:
        node = node[step]
    return "<tool-result-media" in str(node.get("text"))


@pytest.mark.parametrize("target", ["openai_chat", "openai_responses", "claude", "gemini"])
@pytest.mark.parametrize("fixture", fixtures("request"), ids=lambda fixture: fixture.name)
def test_no_inner_field_is_lost_in_silence(fixture: Fixture, target: str) -> None:
    if fixture.dialect == target:
        return
    try:
        translate_request(fixture.data, fixture.dialect, target, path_model="m")
    except DragomanError:
        return
    for path in objects(json.loads(fixture.data)):
        done = translate_request(with_new(fixture.data, path), fixture.dialect, target, path_model="m")
        told = [loss.path for loss in done.losses]
        if NEW.encode() in done.body or any(NEW in where for where in told) or is_ours(fixture.data, path):
            continue
        last = next((step for step in reversed(path) if isinstance(step, str)), "")
        name = {"generation_config": "generationConfig", "codeExecution": "tools[", "tools": "tools["}.get(last, last)
        if fixture.dialect == "code_assist" and not path:
            name = "code_assist"
        assert last in _AS_ONE or name in ("tools[", "code_assist"), path
        assert any(name in where for where in told), (path, told)


def test_known_fields_are_not_told() -> None:
    for dialect in DIALECTS.values():
        for fixture in fixtures("request"):
            if fixture.dialect == dialect.name:
                try:
                    _, losses = dialect.parse_request(fixture.data, model="m")
                except DragomanError:
                    continue
                assert not [loss for loss in losses if "has no such field" in loss.detail], fixture.name


def test_what_says_nothing_is_not_told() -> None:
    table = {"a": ("x",), "b.*": ("x",), "c.*.d": ("x",)}
    node = {"a": {"x": 1, "y": None}, "b": [{"x": 1}, 5, {"z": 0}], "c": {"d": {"y": 1}}}
    assert [loss.path for loss in unread(node, table, "acme")] == ["b[2].z"]
    assert [loss.path for loss in unread({"a": [{"y": 1}], "c": [{"d": "text"}]}, table, "acme")] == []
