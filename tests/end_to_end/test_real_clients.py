"""What unmodified coding agents and SDKs send, and what broke them elsewhere, over sockets.

Each test is a fact that was seen: an odd request that has to arrive whole (at a provider of its own dialect byte for byte) and to be understood
by every other; or a fault of another gateway, which must not happen here.
"""

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.end_to_end.clients import SCHEMA as TRIP
from tests.end_to_end.clients import sdks
from tests.end_to_end.four_doors import DOORS, Providers, four_doors, laid
from tests.end_to_end.processes import PATIENCE, Gateway
from tests.end_to_end.real_requests import BETAS, USER, claude_code, codex, gemini_cli
from tests.end_to_end.wire import Answer, request, send

_MODELS: Final = {
    "chat": "gpt-5.5",
    "responses": "gpt-5.5",
    "claude": "claude-opus-4-8",
    "gemini": "gemini-3-pro-preview",
}
_HOME: Final = {"claude-code": "claude", "codex": "responses", "gemini-cli": "gemini"}
_SSE: Final = "text/event-stream"

Four = tuple[Gateway, Providers]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    """A gateway before the four providers."""
    with four_doors(tmp_path_factory.mktemp("clients"), request.param) as both:
        yield both


@pytest.fixture
def four(running: Four) -> Four:
    """The same, and nothing remembered."""
    running[1].forget()
    return running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that takes no losses."""
    with four_doors(tmp_path_factory.mktemp("strict"), "trio", "strict-translation: true\n") as (gateway, _):
        yield gateway


def _as_client(client: str, model: str, *, stream: bool = True) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of a client's request."""
    match client:
        case "claude-code":
            headers = {
                "anthropic-version": "2023-06-01",
                "anthropic-beta": BETAS,
                "anthropic-dangerous-direct-browser-access": "true",
                "X-Claude-Code-Session-Id": "s-1",
                "x-app": "cli",
            }
            return "/v1/messages?beta=true", json.dumps(claude_code(model, stream=stream)).encode(), headers
        case "codex":
            return (
                "/v1/responses",
                json.dumps(codex(model)).encode(),
                {"session_id": "s-1", "originator": "codex_cli_rs"},
            )
        case _:
            action = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"/v1beta/models/{model}:{action}", json.dumps(gemini_cli()).encode(), {}


def _ask(gateway: Gateway, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    return send(gateway, request(body, key=gateway.key, path=path, headers=headers))


def _directly(providers: Providers) -> bytes:
    """What the provider answers to its last request when nobody is in between."""
    asked = providers.last
    connection = http.client.HTTPConnection(*providers.address, timeout=PATIENCE)
    try:
        connection.request("POST", asked.target, asked.body, dict(asked.headers))
        return connection.getresponse().read()
    finally:
        connection.close()


def _events(answer: Answer) -> list[Any]:
    assert answer.headers["content-type"].startswith(_SSE)
    lines = [line.removeprefix("data:").strip() for line in answer.body.decode().splitlines() if line[:5] == "data:"]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _text(client: str, events: list[Any]) -> str:
    """The text of a stream, and that it ended as it should."""
    match client:
        case "claude-code":
            assert [event["type"] for event in (events[0], *events[-2:])] == [
                "message_start",
                "message_delta",
                "message_stop",
            ]
            return "".join(event.get("delta", {}).get("text", "") for event in events)
        case "codex":
            assert events[0]["type"] == "response.created"
            assert events[-1]["type"] == "response.completed"
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        case _:
            assert events[-1]["candidates"][0]["finishReason"] == "STOP"
            parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
            return "".join(part.get("text", "") for part in parts if not part.get("thought"))


# ---- to their own provider


@pytest.mark.parametrize("client", _HOME)
def test_its_own_provider_gets_what_the_client_sent(four: Four, client: str) -> None:
    gateway, providers = four
    door = _HOME[client]
    path, body, headers = _as_client(client, f"{door}/{_MODELS[door]}")
    answer = _ask(gateway, path, body, headers)
    assert answer.status == 200
    assert "x-dragoman-loss" not in answer.headers
    asked = providers.last
    assert asked.body == body.replace(f'"{door}/{_MODELS[door]}"'.encode(), f'"{_MODELS[door]}"'.encode())
    direct = _directly(providers)
    if client == "codex":  # the last event says its usage once more (SR-39)
        *events, last = _events(answer)
        assert last.pop("usage") == last["response"]["usage"]
        lines = [line[6:] for line in direct.splitlines() if line.startswith(b"data: ")]
        assert [*events, last] == list(map(json.loads, lines))
        assert asked.headers["session_id"] == "s-1"
    else:
        assert answer.body == direct
    if client == "claude-code":
        assert asked.headers["anthropic-beta"] == BETAS
        assert asked.headers["anthropic-version"] == "2023-06-01"


def test_the_newest_version_of_anthropics_api_goes_on(four: Four) -> None:
    gateway, providers = four
    path, body, headers = _as_client("claude-code", "claude/claude-opus-4-8")
    assert _ask(gateway, path, body, headers | {"anthropic-version": "2026-10-21"}).status == 200
    assert providers.last.headers["anthropic-version"] == "2026-10-21"


# ---- to any provider


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("client", _HOME)
def test_every_provider_understands_it(four: Four, client: str, door: str) -> None:
    gateway, providers = four
    path, body, headers = _as_client(client, f"{door}/{_MODELS[door]}")
    answer = _ask(gateway, path, body, headers)
    assert answer.status == 200, answer.text
    result = "done" if client == "codex" else "print(1)"
    assert _text(client, _events(answer)) == f"Tool result 1: {result}"
    sent = providers.last.body.decode()
    assert "exclusiveMinimum" in sent or '"minimum":1' in sent  # the schema arrived, in whichever words
    if door == _HOME[client]:
        return
    losses = answer.headers["x-dragoman-loss"].split(", ")
    match client:
        case "claude-code":
            assert {"dropped context_management", "dropped tools[1].defer_loading"} <= set(losses)
            assert "RXFRQg" not in sent  # Claude's signature is for Claude
            assert "You help with code." in sent
            assert sent.index("Be brief.") < sent.index(
                "Tools may be loaded"
            )  # what the system says later, stays later
            assert "mcp__tracker__list_items" in sent
            assert door == "gemini" or providers.last.json["user"] == USER
        case "codex":
            assert "dropped client_metadata" in losses
            assert "gAAAAABo" not in sent
            assert "tracker__list" in sent
            assert "You write code." in sent
            assert door != "chat" or "web_search_options" not in sent
        case _:
            assert not any(
                "signature" in loss for loss in losses
            )  # what stands in for one is nothing that could be lost
            assert "skip_thought_signature_validator" not in sent
            assert "You are an agent." in sent


@pytest.mark.parametrize("door", DOORS)
def test_a_tool_in_a_namespace_is_called_by_its_name(four: Four, door: str) -> None:
    gateway, _ = four
    body = codex(f"{door}/{_MODELS[door]}")
    body |= {"input": body["input"][:3], "tools": body["tools"][1:2]}
    events = _events(_ask(gateway, "/v1/responses", json.dumps(body).encode()))
    [call] = [item for item in events[-1]["response"]["output"] if item["type"] == "function_call"]
    assert (call["namespace"], call["name"]) == ("tracker", "list")


@pytest.mark.parametrize("door", DOORS)
def test_a_second_request_without_tools_goes_beside_the_first(four: Four, door: str) -> None:
    gateway, _ = four
    title = {"model": f"{door}/x", "stream": True, "messages": [{"role": "user", "content": "Title?"}]}
    headers = {"x-session-id": "ses_1", "x-session-affinity": "ses_1"}
    answer = _ask(gateway, "/v1/chat/completions", json.dumps(title).encode(), headers)
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in _events(answer)) == "You said: Title?"


# ---- what would change the meaning, and what is lost


@pytest.mark.parametrize("door", ["chat", "claude", "gemini"])
def test_what_would_change_the_meaning_is_an_error(four: Four, door: str) -> None:
    gateway, providers = four
    body = json.dumps({"model": f"{door}/x", "input": "Go on.", "previous_response_id": "resp_1"}).encode()
    answer = _ask(gateway, "/v1/responses", body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "previous_response_id"
    assert answer.headers["x-dragoman-fault"] == "client"
    assert not providers.asked


def test_several_answers_at_once_are_not_made_one(four: Four) -> None:
    gateway, _ = four
    body = json.dumps({"model": "claude/x", "n": 2, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    answer = _ask(gateway, "/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "n"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "door"), [(c, d) for c in _HOME for d in DOORS if d != _HOME[c]])
def test_strictly_a_loss_is_an_error_that_names_the_field(
    strict: Gateway, client: str, door: str, stream: bool
) -> None:
    path, body, headers = _as_client(client, f"{door}/{_MODELS[door]}", stream=stream)
    answer = _ask(strict, path, body, headers)
    assert answer.status == 400
    assert "(strict translation)" in answer.json["error"]["message"]
    if client == "claude-code":
        assert "context_management" in answer.json["error"]["message"]
        assert answer.json["error"]["type"] == "invalid_request_error"


def test_strictly_what_loses_nothing_passes(strict: Gateway) -> None:
    body = json.dumps({"model": "claude/x", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    answer = _ask(strict, "/v1/chat/completions", body)
    assert answer.status == 200
    assert "x-dragoman-loss" not in answer.headers


# ---- faults seen elsewhere

_ASKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi there"}]}),
    "responses": ("/v1/responses", {"input": "Hi there"}),
    "claude": ("/v1/messages", {"messages": [{"role": "user", "content": "Hi there"}], "max_tokens": 100}),
    "gemini": ("/v1beta/models/{}:{}", {"contents": [{"role": "user", "parts": [{"text": "Hi there"}]}]}),
}


def _plainly(client: str, model: str, *, stream: bool = False, **more: object) -> tuple[str, bytes]:
    """Path and body of a plain request."""
    path, body = _ASKS[client]
    if client == "gemini":
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return path.format(model, action), json.dumps({**body, **more}).encode()
    return path, json.dumps({"model": model, "stream": stream, **body, **more}).encode()


def _check_shape(client: str, status: int, error: Any) -> None:
    """An error is in the client's own shape."""
    match client:
        case "claude":
            assert error["type"] == "error"
            assert {"type", "message"} <= error["error"].keys()
        case "gemini":
            assert error["error"]["code"] == status
            assert error["error"]["status"].isupper()
            assert error["error"]["message"]
        case _:
            assert error["error"].keys() >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("client", DOORS)
def test_an_error_before_a_stream_is_an_http_error(four: Four, client: str, door: str) -> None:
    gateway, _ = four
    for model, status in (("429", 429), ("500", 500), ("401", 401)):
        answer = _ask(gateway, *_plainly(client, f"{door}/demo/{model}", stream=True))
        assert answer.status == status
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-dragoman-fault"] == "provider"
        _check_shape(client, status, answer.json)
        assert answer.headers.get("retry-after") == ("7" if status == 429 else None)


_FAILED: Final = 'event: response.failed\ndata: {"type":"response.failed","sequence_number":1,"response":{"id":"resp_1","object":"response","status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"Slow down."}}}\n\n'
_CREATED: Final = 'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}\n\n'


@pytest.mark.parametrize("client", DOORS)
def test_a_stream_that_begins_with_its_failure_is_an_http_error(four: Four, client: str) -> None:
    gateway, providers = four
    providers.laid["fails-at-once"] = laid(_CREATED + _FAILED)
    answer = _ask(gateway, *_plainly(client, "responses/fails-at-once", stream=True))
    assert answer.status == 429
    assert "Slow down." in answer.json["error"]["message"]
    _check_shape(client, 429, answer.json)


@pytest.mark.parametrize("model", ["error-mid-stream", "cut"])
@pytest.mark.parametrize("door", DOORS)
def test_a_failure_within_a_stream_of_responses_has_a_beginning(four: Four, door: str, model: str) -> None:
    gateway, _ = four
    events = _events(_ask(gateway, *_plainly("responses", f"{door}/demo/{model}", stream=True)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    assert "response.completed" not in kinds
    assert kinds[-1] in ("response.failed", "error")
    assert "response.failed" in kinds
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("door", DOORS)
def test_geminis_routes_are_under_each_version(four: Four, door: str, version: str) -> None:
    gateway, _ = four
    _, body = _plainly("gemini", "")
    answer = _ask(gateway, f"/{version}/models/{door}/x:generateContent", body)
    assert answer.json["candidates"][0]["content"]["parts"] == [{"text": "You said: Hi there"}]
    whole = _ask(gateway, f"/{version}/models/{door}/x:streamGenerateContent", body)  # without alt=sse: an array
    assert whole.headers["content-type"].startswith("application/json")
    parts = [part for chunk in whole.json for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "You said: Hi there"
    counted = _ask(gateway, f"/{version}/models/{door}/x:countTokens", body)
    assert counted.json["totalTokens"] > 0


def test_geminis_routes_answer_errors_in_geminis_shape(four: Four) -> None:
    gateway, _ = four
    for path, body, status in (
        ("/v1beta/models/nobody-has-this:generateContent", b'{"contents":[]}', 404),
        ("/v1/models/gemini/x:generateContent", b"{", 400),
        ("/v1beta/models/chat/x:generateContent", b'{"contents":3}', 400),
        ("/v1beta/models/gemini/x:noSuchMethod", b"{}", 405),
    ):
        answer = _ask(gateway, path, body)
        assert answer.status == status, answer.text
        _check_shape("gemini", status, answer.json)


@pytest.mark.parametrize("client", DOORS)
def test_a_wrong_key_is_401_and_a_right_one_may_be_anywhere(four: Four, client: str) -> None:
    gateway, _ = four
    path, body = _plainly(client, f"{client}/x")
    answer = send(gateway, request(body, key="sk-wrong", path=path))
    assert answer.status == 401
    _check_shape(client, 401, answer.json)
    for name in ("Authorization", "x-api-key", "x-goog-api-key"):
        value = f"Bearer {gateway.key}" if name == "Authorization" else gateway.key
        assert send(gateway, request(body, path=path, headers={name: value})).status == 200
    if client == "gemini":
        assert send(gateway, request(body, path=f"{path}?key={gateway.key}")).status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", DOORS)
def test_two_calls_of_one_tool_have_different_ids(four: Four, door: str, stream: bool) -> None:
    gateway, providers = four
    tool = {"functionDeclarations": [{"name": "look", "parametersJsonSchema": TRIP}]}
    path, body = _plainly("gemini", f"{door}/x", stream=stream, tools=[tool])
    answer = _ask(gateway, path, body.replace(b"Hi there", b"Twice in parallel"))
    chunks = _events(answer) if stream else [answer.json]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [call["name"] for call in calls] == ["look", "look"]
    assert len({call["id"] for call in calls}) == 2
    # The schema was honoured: arguments fit it.
    assert all(call["args"].keys() == {"city", "days"} for call in calls)
    assert b'"city"' in providers.last.body


_CACHED: Final[dict[str, Any]] = {
    "chat": {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "counted",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "counted",
        "status": "completed",
        "output": [
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gAAA",
            },
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
            },
        ],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_tokens_details": {"cached_tokens": 60},
            "output_tokens_details": {"reasoning_tokens": 15},
        },
    },
    "claude": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "counted",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "RXFR"}, {"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 40,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 0,
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 15},
        },
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", _CACHED)
def test_thoughts_and_cached_tokens_reach_gemini_clients(four: Four, door: str, stream: bool) -> None:
    gateway, providers = four
    providers.laid["counted"] = laid(_CACHED[door])
    answer = _ask(gateway, *_plainly("gemini", f"{door}/counted", stream=stream))
    chunks = _events(answer) if stream else [answer.json]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts if part.get("thought") and "text" in part) == "Hm."
    usage = chunks[-1]["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (100, 60)
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"]) == (5, 15, 120)


# ---- lists of models, in the form each client reads


def test_each_client_can_list_models(four: Four) -> None:
    gateway, _ = four

    def listed(path: str, **headers: str) -> Any:
        answer = send(gateway, request(key=gateway.key, method="GET", path=path, headers=headers))
        assert answer.status == 200
        return answer.json

    names = {"gpt-5.1-codex"}
    plain = listed("/v1/models")
    assert plain["object"] == "list"
    assert {model["id"] for model in plain["data"]} >= names
    assert all(model.keys() >= {"id", "object", "created", "owned_by"} for model in plain["data"])
    theirs = listed("/v1/models?limit=1000", **{"anthropic-version": "2023-06-01"})
    assert {"has_more", "first_id", "last_id"} <= theirs.keys()
    assert all(model.keys() >= {"type", "id", "display_name", "created_at"} for model in theirs["data"])
    for path in ("/v1beta/models", "/v1alpha/models"):
        assert {model["name"] for model in listed(path)["models"]} >= {f"models/{name}" for name in names}
    assert listed("/v1/models", **{"x-goog-api-key": gateway.key}) == listed("/v1beta/models")
    with sdks(gateway) as made:
        assert {model.id for model in made.openai.models.list()} >= names
        assert {model.id for model in made.anthropic.models.list()} >= names
        assert {model.name for model in made.genai.models.list()} >= {f"models/{name}" for name in names}
        assert made.genai.models.get(model="gpt-5.1-codex").name == "models/gpt-5.1-codex"
        assert made.openai.models.retrieve("gpt-5.1-codex").id == "gpt-5.1-codex"
        assert made.anthropic.models.retrieve("gpt-5.1-codex").id == "gpt-5.1-codex"


def test_claude_code_finds_somebody_at_home(four: Four) -> None:
    gateway, _ = four
    assert send(gateway, request(method="HEAD", path="/"), "HEAD").status == 200
    _, body, headers = _as_client("claude-code", "claude/claude-opus-4-8", stream=False)
    counted = {key: value for key, value in json.loads(body).items() if key not in ("stream", "max_tokens")}
    answer = _ask(gateway, "/v1/messages/count_tokens?beta=true", json.dumps(counted).encode(), headers)
    assert answer.json["input_tokens"] > 0


# ---- the runbook's probe of parity, as it is written there

_PROBE: Final = r"""
set -euo pipefail
command -v rg >/dev/null || rg() { grep -E "$@"; }
curl -sS URL/v1/responses -H "Authorization: Bearer KEY" -H "Content-Type: application/json" -d '{"model":"MODEL","input":[{"role":"user","content":"ping"}],"stream":false}' | tee nonstream.json | jq '{input_tokens: .usage.input_tokens, output_tokens: .usage.output_tokens, total_tokens: .usage.total_tokens}'
curl -sN URL/v1/responses -H "Authorization: Bearer KEY" -H "Content-Type: application/json" -d '{"model":"MODEL","input":[{"role":"user","content":"ping"}],"stream":true}' | rg '^data:' | sed 's/^data: //' | jq -c 'select(.usage? != null) | {input_tokens: (.usage.input_tokens // .usage.prompt_tokens), output_tokens: (.usage.output_tokens // .usage.completion_tokens), total_tokens: .usage.total_tokens}' | tail -n 1 | tee stream-usage.json
diff -u <(jq -S . nonstream.json | jq '{input_tokens: .usage.input_tokens, output_tokens: .usage.output_tokens, total_tokens: .usage.total_tokens}') <(jq -S . stream-usage.json)
"""


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq")
@pytest.mark.parametrize("model", ["gpt-5.1-codex", *(f"{door}/x" for door in DOORS)])
def test_usage_is_the_same_in_a_stream(four: Four, tmp_path_factory: pytest.TempPathFactory, model: str) -> None:
    gateway, _ = four
    script = _PROBE.replace("URL", gateway.url).replace("KEY", gateway.key).replace("MODEL", model)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path_factory.mktemp("probe"), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    whole, _, streamed = done.stdout.rpartition("}\n{")
    assert json.loads(whole + "}") == json.loads("{" + streamed)
    assert json.loads("{" + streamed)["total_tokens"] > 0
