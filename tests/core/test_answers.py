"""Answers of the gateway's own: shapes that the dialects' clients read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.answers import ModelCard, error_body, model_card, model_list

DIALECTS = ["openai_chat", "openai_responses", "claude", "gemini"]
CARDS = [ModelCard("a/b", "acme", 0), ModelCard("ä", "acme", 1735689600)]


@given(
    dialect=st.sampled_from(DIALECTS),
    status=st.integers(400, 599),
    message=st.text(st.characters(exclude_categories=[])),
    code=st.one_of(st.none(), st.text(max_size=5)),
    param=st.one_of(st.none(), st.text(max_size=5)),
)
def test_errors_have_the_shape_of_their_dialect(
    dialect: str, status: int, message: str, code: str | None, param: str | None
) -> None:
    body = json.loads(error_body(dialect, status, message, code=code, param=param, request_id="r"))
    error = body["error"]
    message = json.loads(json.dumps(message))  # two halves of a surrogate pair become one
    assert error["message"] == message
    match dialect:
        case "claude":
            assert body == {"type": "error", "error": {"type": error["type"], "message": message}, "request_id": "r"}
            assert error["type"].endswith("_error") or error["type"] == "request_too_large"
        case "gemini":
            assert error == {"code": status, "message": message, "status": error["status"]}
            assert error["status"].isupper()
        case _:
            assert body == {"error": {"message": message, "type": error["type"], "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "openai", "claude", "gemini"),
    [
        (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
        (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
        (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, "server_error", "api_error", "INTERNAL"),
        (502, "server_error", "api_error", "INTERNAL"),
        (503, "server_error", "api_error", "UNAVAILABLE"),
        (504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (529, "server_error", "overloaded_error", "INTERNAL"),
    ],
)
def test_what_a_status_is_called(status: int, openai: str, claude: str, gemini: str) -> None:
    assert json.loads(error_body("openai_chat", status, ""))["error"]["type"] == openai
    assert json.loads(error_body("claude", status, ""))["error"]["type"] == claude
    assert json.loads(error_body("gemini", status, ""))["error"]["status"] == gemini


def test_half_a_surrogate_pair_does_not_silence_an_error() -> None:
    assert json.loads(error_body("openai_chat", 404, "no \ud83d"))["error"]["message"] == "no \ud83d"


def test_model_lists() -> None:
    assert json.loads(model_list("openai_chat", CARDS)) == {
        "object": "list",
        "data": [json.loads(model_card("openai_chat", card)) for card in CARDS],
    }
    assert json.loads(model_list("claude", CARDS)) == {
        "data": [json.loads(model_card("claude", card)) for card in CARDS],
        "has_more": False,
        "first_id": "a/b",
        "last_id": "ä",
    }
    assert json.loads(model_list("claude", [])) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(model_card("openai_chat", CARDS[0])) == {
        "id": "a/b",
        "object": "model",
        "created": 0,
        "owned_by": "acme",
    }
    assert json.loads(model_card("claude", CARDS[1])) == {
        "type": "model",
        "id": "ä",
        "display_name": "ä",
        "created_at": "2025-01-01T00:00:00Z",
    }
