"""In front of a provider: what goes on byte for byte, what comes back byte for byte, who is asked next when one fails."""

import json

import openai
import pytest

from tests.end_to_end.processes import Gateway
from tests.end_to_end.sdk import sync_client
from tests.end_to_end.setting import FIRST, HEADER, SECOND, SECRETS
from tests.end_to_end.wire import Answer, chat, connected, read_answer, request, send
from tests.scripted_upstream import ANSWER, DONE, ERROR, LIMITED, USAGE_EVENT, ScriptedUpstream, event

CREDENTIALS = {f"Bearer {FIRST}", f"Bearer {SECOND}"}

# Fields that nobody knows, numbers that a float would change, escapes, duplicate names: all of it has to arrive as it was written.
ODD = (
    b'{ "zz": [1, 2.50, 12345678901234567890, 1e400],\n\t"messages" : [ {"role":"user", "content":"\\u00e9 \\ud83d\\ude00 \xc3\xa9"} ] ,'
    b' "x": {"model": "decoy"}, "model":%b,"temperature":0.10 }'
)


def ask(gateway: Gateway, body: bytes, **headers: str) -> Answer:
    """Ask for a chat completion; no secret is in what comes back."""
    answer = send(gateway, request(body, key=gateway.key, headers=headers))
    for secret in SECRETS:
        assert secret not in answer.text
    return answer


def test_bytes_there_and_back(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Only the model's name changes; the answer does not change at all."""
    answer = ask(gateway, ODD % b'"nice"')
    assert upstream.asked[0].body == ODD % b'"real/model-name"'
    assert (answer.status, answer.body) == (200, ANSWER)
    ask(gateway, ODD % b'"plain"')
    assert upstream.asked[1].body == ODD % b'"plain"'


@pytest.mark.parametrize("name", ["nice", "lab/nice"])
def test_alias_and_prefix(gateway: Gateway, upstream: ScriptedUpstream, name: str) -> None:
    """Both lead to the provider's own name."""
    assert ask(gateway, chat(name)).status == 200
    assert upstream.asked[0].model == "real/model-name"


def test_provider_without_a_list(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """It serves whatever is asked for under its name, slashes and all; it wants no key and gets none."""
    assert ask(gateway, chat("open/org/any-model:free")).status == 200
    assert upstream.asked[0].model == "org/any-model:free"
    assert upstream.asked[0].authorization == ""


def test_error_body(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """A provider's error comes back byte for byte: clients match its wording. It is not tried again elsewhere."""
    answer = ask(gateway, chat("naughty"))
    assert (answer.status, answer.body) == (400, ERROR)
    assert answer.headers["x-dragoman-fault"] == "client"
    assert answer.headers["x-upstream-request-id"] == "up-2"
    assert len(upstream.asked) == 1


def test_the_second_credential(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """A limit on one credential is none on the other; the client sees only the answer."""
    answer = ask(gateway, chat("limited-once"))
    assert (answer.status, answer.body) == (200, ANSWER)
    assert {asked.authorization for asked in upstream.asked} == CREDENTIALS
    assert len(upstream.asked) == 2
    assert upstream.asked[0].body == upstream.asked[1].body


def test_credentials_in_turn(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Both are used."""
    for _ in range(4):
        ask(gateway, chat("plain"))
    used = [asked.authorization for asked in upstream.asked]
    assert used[:2] == used[2:]
    assert set(used) == CREDENTIALS


def test_every_credential_limited(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """First the provider's own words, and when to come back; until then it is not asked again, and the gateway says so."""
    answer = ask(gateway, chat("limited"))
    assert (answer.status, answer.body) == (429, LIMITED)
    assert (answer.headers["retry-after"], answer.headers["x-ratelimit-reset"]) == ("30", "9")
    assert answer.headers["x-dragoman-fault"] == "provider"
    assert len(upstream.asked) == 2
    with sync_client(gateway) as client, pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model="limited", messages=[{"role": "user", "content": "x"}])
    assert error.value.code == "all_credentials_cooling"
    assert 0 < int(error.value.response.headers["retry-after"]) <= 30
    assert "'limited'" in error.value.message
    assert not [secret for secret in SECRETS if secret in error.value.message]
    assert len(upstream.asked) == 2


def test_headers_there(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """What concerns the provider goes on; the client's key, cookies and the connection's own do not."""
    ask(
        gateway,
        chat("plain"),
        **{
            "OpenAI-Beta": "assistants=v2",
            "Idempotency-Key": "idem-1",
            "traceparent": "00-a-b-01",
            "Cookie": "c=1",
            "X-Api-Key": gateway.key,
            "Connection": "keep-alive, x-hop",
            "X-Hop": "1",
            "X-Forwarded-For": "10.0.0.1",
        },
    )
    got = upstream.asked[0].headers
    assert upstream.asked[0].path == "/v1/chat/completions"
    assert (got["openai-beta"], got["idempotency-key"], got["traceparent"]) == ("assistants=v2", "idem-1", "00-a-b-01")
    assert got["x-lab"] == HEADER
    assert got["user-agent"].lower().startswith("dragoman/")
    assert got["authorization"] in CREDENTIALS
    assert not {"cookie", "x-api-key", "x-hop", "x-forwarded-for"} & got.keys()
    assert gateway.key not in str(got)


def test_headers_back(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Request ids of both, rate limits; nothing of the provider's server."""
    answer = ask(gateway, chat("plain"), **{"x-request-id": "mine.2"})
    assert answer.headers["x-request-id"] == "mine.2"
    assert answer.headers["x-upstream-request-id"] == "up-1"
    assert answer.headers["x-ratelimit-remaining-requests"] == "41"
    assert "server" not in answer.headers
    assert answer.headers["content-type"] == "application/json"
    assert "x-dragoman-fault" not in answer.headers


def test_stream_without_usage(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Usage is asked for, counted, and not shown to a client that did not ask."""
    start = gateway.stderr.count()
    answer = ask(gateway, chat("plain", stream=True), **{"x-request-id": "counted"})
    assert upstream.asked[0].json["stream_options"] == {"include_usage": True}
    assert answer.body == event("Hel") + event("lo") + event("", '"stop"') + DONE
    line = gateway.stderr.wait_for(lambda line: "request_id=counted" in line, start)
    assert " tokens_in=11 tokens_out=7 " in line


def test_stream_with_usage(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """A client that asked has its request untouched and is shown everything."""
    body = chat("plain", stream=True, stream_options={"include_usage": True})
    answer = ask(gateway, body)
    assert upstream.asked[0].body == body
    assert answer.body == event("Hel") + event("lo") + event("", '"stop"') + USAGE_EVENT + DONE


def test_other_stream_options_are_kept(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Only what is needed is added."""
    ask(gateway, chat("plain", stream=True, stream_options={"include_usage": False, "include_obfuscation": False}))
    assert upstream.asked[0].json["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_the_sdk_takes_it(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Whole and streamed."""
    with sync_client(gateway) as client:
        whole = client.chat.completions.create(model="nice", messages=[{"role": "user", "content": "x"}])
        assert whole.choices[0].message.content == "Hi ü"
        streamed = client.chat.completions.create(
            model="nice", messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "Hello"


def test_a_client_that_leaves(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Its provider is not kept working for nobody; the log has it as nginx would."""
    start = gateway.stderr.count()
    with connected(gateway) as client:
        client.sendall(request(chat("endless", stream=True), key=gateway.key, headers={"x-request-id": "left"}))
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert upstream.left.wait(30)
    line = gateway.stderr.wait_for(lambda line: "request_id=left" in line, start)
    assert " status=200 " in line
    assert " fault=client " in line


def test_pipelined(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Requests that arrive at once are answered one after another, in order, on one connection."""
    paths = ["/health", "/v1/models", "/health"]
    asked = b"".join(
        request(method="GET", path=path, key=gateway.key, headers={"x-request-id": f"p{number}"})
        for number, path in enumerate(paths)
    )
    with connected(gateway) as client:
        client.sendall(request(chat("plain"), key=gateway.key, headers={"x-request-id": "first"}) + asked)
        text = b""
        while text.count(b"HTTP/1.1 200 OK") < 4 or not text.endswith(b"}"):
            data = client.recv(65536)
            assert data
            text += data
    places = [text.index(f"x-request-id: {name}\r\n".encode()) for name in ("first", "p0", "p1", "p2")]
    assert places == sorted(places)


def test_kept_alive(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """One connection serves whole answers, streams and errors alike."""
    with connected(gateway) as client:
        for model, streamed, status in [("nice", False, 200), ("plain", True, 200), ("naughty", False, 400)] * 2:
            client.sendall(request(chat(model, stream=streamed), key=gateway.key))
            answer = read_answer(client)
            assert (answer.status, answer.is_last) == (status, False)
    assert len(upstream.asked) == 6


def test_a_stream_that_breaks_off(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """What came goes on; then an error in the stream that names the provider; then the end."""
    answer = ask(gateway, chat("cut-stream", stream=True))
    assert answer.status == 200
    head, _, rest = answer.body.partition(event("Hel"))
    assert head == b""
    data, done = rest.removeprefix(b"data: ").split(b"\n\n", 1)
    error = json.loads(data)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert "lab" in error["message"]
    assert done == DONE
