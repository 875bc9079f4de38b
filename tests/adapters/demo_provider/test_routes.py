"""Whatever is asked in whatever dialect: an answer in that dialect, never an exception."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.demo_provider import routes
from dragoman.adapters.demo_provider.models import MODELS
from dragoman.adapters.demo_provider.reading import MAX_DEPTH, Request
from dragoman.adapters.demo_provider.reply import Ending, Reply

GEMINI = "/v1beta/models/demo:"
PATHS = [*routes.POSTS, *(GEMINI + method for method in routes.GEMINI_METHODS)]

# Names the dialects read, so that what is drawn gets past the first check.
WORDS = """
    model messages role content type text input tools function name parameters properties required enum
    tool_choice user assistant tool image_url url source data base64 media_type contents parts inlineData
    functionResponse response functionDeclarations stop n stream max_tokens response_format json_schema schema
    json_object text format thinking enabled reasoning effort output function_call_output tool_result
    tool_use_id image document generationConfig stopSequences thinkingConfig requests dimensions prompt object
    array string integer minimum maximum items $ref anyOf allOf custom namespace input_schema output_config
    toolConfig functionCallingConfig parallel #/properties
"""
NAMES = st.sampled_from(WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | NAMES | st.text(max_size=5)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)
MESSAGE = {"role": "user", "content": "hello there"}
GOOD: dict[str, Any] = {
    "model": "demo",
    "messages": [MESSAGE],
    "input": "hello there",
    "prompt": "hello there",
    "contents": [{"role": "user", "parts": [{"text": "hello there"}]}],
    "content": {"parts": [{"text": "hello there"}]},
    "requests": [{"content": {"parts": [{"text": "hello there"}]}}],
    "max_tokens": 100,
}


def run(path: str, body: object, method: str = "POST", **headers: str) -> Reply:
    """Ask without HTTP."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = path.partition("?")
    asked = dict(pair.split("=") for pair in query.split("&") if pair)
    return routes.answer(Request(method, path, asked, headers, raw), slowness=2.0)


def error_of(reply: Reply) -> dict[str, Any]:
    """The error object, which all dialects keep under the same name."""
    error: dict[str, Any] = json.loads(reply.body or b"")["error"]
    return error


@given(st.sampled_from(PATHS), st.dictionaries(NAMES, JSON, max_size=6), st.booleans())
def test_any_json_is_answered(path: str, drawn: dict[str, Any], helped: bool) -> None:
    """With 200 or 400; a good request with anything more in it too."""
    reply = run(path, GOOD | drawn if helped else drawn)
    assert reply.status in (200, 400)
    if reply.status == 400:
        assert error_of(reply)["message"]


@given(st.sampled_from(PATHS), st.binary(max_size=30))
def test_any_bytes_are_answered(path: str, raw: bytes) -> None:
    """Almost always with 400."""
    assert run(path, raw).status in (200, 400)


@pytest.mark.parametrize("path", PATHS)
def test_good_requests_are_answered(path: str) -> None:
    """In all the dialects, with any field nobody knows."""
    assert run(path, GOOD | {"unknown": [1]}).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"{}", b"\xff", b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)]
)
def test_bad_requests_are_refused(path: str, raw: bytes) -> None:
    """In the shape of their dialect."""
    reply = run(path, raw)
    assert reply.status == 400
    error = error_of(reply)
    if path.startswith("/v1/messages"):
        assert error["type"] == "invalid_request_error"
        assert "request-id" in dict(reply.headers)
    elif path.startswith(GEMINI):
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    else:
        assert error["type"] == "invalid_request_error"
        assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("prefix", ["", "demo/"])
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/{}:generateContent"]
)
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_failing_models_fail(path: str, prefix: str, status: int) -> None:
    """With or without their prefix, in the path or in the body."""
    reply = run(path.format(f"{prefix}{status}"), GOOD | {"model": f"{prefix}{status}"})
    assert reply.status == status
    assert error_of(reply)["message"]
    assert (dict(reply.headers).get("retry-after") == "7") == (status == 429)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/{}:streamGenerateContent"]
)
def test_special_models(path: str) -> None:
    """Each is listed, and does as its name says in every dialect."""

    def of(model: str) -> Reply:
        return run(path.format(model), GOOD | {"model": model, "stream": True})

    assert len(of("demo").events) > 3
    assert of("demo") == of("demo")
    assert of("demo/slow").delay == 2.0
    assert of("demo/silent").ending is Ending.NEVER
    assert of("demo/garbage").ending is Ending.GARBAGE
    assert (of("demo/html").status, of("demo/empty").events) == (502, ())
    cut = of("demo/cut")
    assert cut.ending is Ending.CUT
    assert 0 < len(cut.events) < len(of("demo").events)
    assert b"mid-stream" in of("demo/error-mid-stream").events[-1]
    assert {"demo", "demo/echo", "demo/think", "demo/tools", "demo/cut", "demo/silent"} <= set(MODELS)


def test_unknown_addresses_speak_the_dialect_of_who_asks() -> None:
    """As far as it can be told."""
    assert error_of(run("/v1/nothing", b""))["code"] == "not_found"
    assert error_of(run("/v1/messages/nothing", b""))["type"] == "not_found_error"
    assert (
        error_of(run("/v1/models/nothing", b"", "GET", **{"anthropic-version": "2023-06-01"}))["type"]
        == "not_found_error"
    )
    assert error_of(run("/v1beta/nothing", b""))["status"] == "NOT_FOUND"
    assert error_of(run("/v1/models/a:nothing?key=x", b""))["status"] == "NOT_FOUND"
    assert run("/v1/messages", b"", "GET").status == 405


@pytest.mark.parametrize(
    ("path", "wrong", "param"),
    [
        ("/v1/chat/completions", {"model": ""}, "model"),
        ("/v1/chat/completions", {"messages": ["x"]}, "messages[0].role"),
        ("/v1/completions", {"model": 1}, "model"),
        ("/v1/completions", {"prompt": {}}, "prompt"),
        ("/v1/embeddings", {"dimensions": 0}, "dimensions"),
        ("/v1/embeddings", {"input": [""]}, "input"),
        ("/v1/responses", {"model": None}, "model"),
        ("/v1/messages", {"messages": []}, "messages"),
        ("/v1/messages", {"max_tokens": None}, "max_tokens"),
        (f"{GEMINI}generateContent", {"contents": []}, "contents"),
        (f"{GEMINI}embedContent", {"content": "x"}, "content"),
        (f"{GEMINI}batchEmbedContents", {"requests": []}, "requests"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_missing_is_named(path: str, wrong: dict[str, Any], param: str) -> None:
    """In the body of the error, wherever its dialect has a place for it."""
    reply = run(path, GOOD | wrong)
    assert reply.status == 400
    assert param in (reply.body or b"").decode()


def said(path: str, **more: Any) -> str:
    """The body of the answer, as text."""
    reply = run(path, GOOD | more)
    assert reply.status == 200
    return (reply.body or b"").decode()


def test_free_text_tools() -> None:
    """They are called with the user's words, and only there where they exist."""
    tool = {"type": "custom", "custom": {"name": "shell"}}
    assert '"custom":{"name":"shell","input":"hello there"}' in said("/v1/chat/completions", tools=[tool])
    assert '"tool_calls"' not in said("/v1/chat/completions", tools=[{"type": "custom"}])


def test_tools_forbidden_or_foreign_are_not_called() -> None:
    """In the three dialects that say so in three ways."""
    tool: dict[str, Any] = {"type": "function", "name": "f", "parameters": {}}
    assert "function_call" not in said("/v1/responses", tools=[tool], tool_choice="none").replace('"tools"', "")
    assert '"output":[{"id":"msg_' in said("/v1/responses", tools=[{"type": "web_search"}])
    declared = [{"functionDeclarations": [{"name": "f"}]}]
    assert '"functionCall"' in said(f"{GEMINI}generateContent", tools=declared)
    config = {"function_calling_config": {"mode": "none"}}
    assert '"functionCall"' not in said(f"{GEMINI}generateContent", tools=declared, tool_config=config)


def test_files_of_every_kind() -> None:
    """By id, as bare base64, as text in blocks, beside a tool's result."""
    parts: list[dict[str, Any]] = [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "QUI="}},
    ]
    assert "octet-stream, at file-1; application/octet-stream, 2 bytes" in said(
        "/v1/chat/completions", messages=[{"role": "user", "content": parts}]
    )
    parts = [
        {"type": "input_file", "file_url": "https://example.com/a"},
        {"type": "input_file", "file_data": "data:text/csv;base64,QQ=="},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        {"type": "input_image", "file_id": "file-2"},
    ]
    described = said("/v1/responses", input=[{"role": "user", "content": parts}])
    for part in ("at https://example.com/a; text/csv, 1 byte", "audio/mp3, 3 bytes", "at file-2"):
        assert part in described
    block = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "abc"}]}}
    assert "text/plain, 3 bytes" in said("/v1/messages", messages=[{"role": "user", "content": [block]}])
    answered = [
        {"functionResponse": {"name": "f", "response": {"temperature": 3}}},
        {"inlineData": {"mimeType": "image/png", "data": "QQ"}},
    ]
    assert 'Tool result 1: {\\"temperature\\":3} with 1 image (image/png, 1 byte)' in said(
        f"{GEMINI}generateContent", contents={"parts": answered}
    )


def test_counts_what_comes_as_text() -> None:
    """Proto JSON writes large integers as strings."""
    assert '"finishReason":"MAX_TOKENS"' in said(
        f"{GEMINI}generateContent", generation_config={"max_output_tokens": "2"}
    )
    assert '"totalTokens":2' in said(
        f"{GEMINI}countTokens", contents=None, generateContentRequest={"contents": GOOD["contents"]}
    )
