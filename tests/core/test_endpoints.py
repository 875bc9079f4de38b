"""Endpoints: a literal table, and errors that say what there is instead."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.endpoints import ENDPOINTS, Endpoint, Operation, dialect_of_path, find_endpoint
from dragoman.core.errors import UnknownPath, WrongMethod


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, methods in ENDPOINTS.items() for method in methods]
)
def test_the_table_answers(path: str, method: str) -> None:
    endpoint = find_endpoint(method, path)
    assert endpoint is ENDPOINTS[path][method]
    assert endpoint.dialect == dialect_of_path(path)
    assert endpoint.needs_key is (endpoint.operation not in {Operation.HOME, Operation.HEALTH, Operation.PROVIDERS})
    assert find_endpoint(method, path.replace("e", "%65")) is endpoint
    if method == "GET":
        assert find_endpoint("HEAD", path) is endpoint
    with pytest.raises(WrongMethod) as wrong:
        find_endpoint("DELETE", path)
    assert wrong.value.allow == (("GET", "HEAD") if method == "GET" else ("POST",))
    assert wrong.value.message == f"{path} does not take DELETE; it takes {', '.join(wrong.value.allow)}."


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(model=NAMES.filter(lambda name: ":" not in name))
def test_a_model_is_named_in_its_path_and_decoded_once(model: str) -> None:
    for path in ("/v1/models/" + quote(model, safe=""), "/v1/models/" + quote(model)):
        endpoint = find_endpoint("GET", path)
        assert (endpoint.operation, endpoint.model) == (Operation.MODEL, model)
    with pytest.raises(WrongMethod):
        find_endpoint("POST", "/v1/models/" + quote(model))


@given(model=NAMES, version=st.sampled_from(["v1", "v1beta", "v1alpha"]))
def test_gemini_names_model_and_action_in_its_path(model: str, version: str) -> None:
    for action, operation, streams in (
        ("generateContent", Operation.CHAT, False),
        ("streamGenerateContent", Operation.CHAT, True),
        ("countTokens", Operation.COUNT_TOKENS, False),
        ("embedContent", Operation.EMBEDDINGS, False),
        ("batchEmbedContents", Operation.BATCH_EMBEDDINGS, False),
    ):
        path = f"/{version}/models/{quote(model)}:{action}"
        assert find_endpoint("POST", path) == Endpoint("gemini", operation, model=model, streams=streams)
        assert dialect_of_path(path) == "gemini"


def test_a_colon_may_be_part_of_a_name() -> None:
    assert find_endpoint("GET", "/v1/models/ft:gpt:acme").model == "ft:gpt:acme"
    assert find_endpoint("GET", "/v1beta/models/m").dialect == "gemini"


@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126)), method=st.sampled_from(["GET", "POST", "X"]))
def test_any_path_is_found_or_refused(path: str, method: str) -> None:
    try:
        find_endpoint(method, path)
    except (UnknownPath, WrongMethod) as error:
        assert error.status in {404, 405}  # noqa: PT017


def test_errors_do_not_grow_with_what_was_asked() -> None:
    with pytest.raises(UnknownPath) as unknown:
        find_endpoint("GET", "/" + "a" * 60_000)
    with pytest.raises(WrongMethod) as wrong:
        find_endpoint("M" * 60_000, "/v1/models/" + "a" * 60_000)
    assert len(unknown.value.message) < 400
    assert len(wrong.value.message) < 400
    assert "/v1/chat/completions" in unknown.value.message


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", "claude"),
        ("/v1/messages/count_tokens", "claude"),
        ("/v1beta/models", "gemini"),
        ("/v1alpha/x", "gemini"),
        ("/v1/models/gemini:generateContent", "gemini"),
        ("/v1/models/gemini%3AgenerateContent", "gemini"),
        ("/v1/models/a", "openai_chat"),
        ("", "openai_chat"),
    ],
)
def test_errors_are_read_in_the_dialect_of_the_path(path: str, dialect: str) -> None:
    assert dialect_of_path(path) == dialect


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/v0/management/config", "/v0/management/%61/b"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_some_paths_are_answered_outside_the_core(path: str, method: str) -> None:
    """Whatever the method: who answers knows."""
    assert find_endpoint(method, path) == Endpoint("openai_chat", Operation.OUTSIDE, needs_key=False)
    assert dialect_of_path(path) == "openai_chat"


@pytest.mark.parametrize("path", ["/v0/management", "/v0/managementx", "/metrics/", "/v0"])
def test_what_is_beside_them_is_not(path: str) -> None:
    with pytest.raises(UnknownPath):
        find_endpoint("GET", path)
