"""The smaller rules of the hub: arguments, faults, media, losses."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.arguments import build_arguments, parse_arguments, unwrap_free_text, wrap_free_text
from dragoman.core.chat.blocks import Inline, Text, ToolResult
from dragoman.core.chat.fault import STATUS, Fault, kind_of_status, retry_after
from dragoman.core.chat.loss import Loss, Losses, changed, dropped, hint
from dragoman.core.chat.media import data_url, inline_of, inline_text, standard_base64, text_of
from dragoman.core.chat.request import ChatRequest, Message
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.instants import duration_in_words
from tests.strategies_chat import ARGUMENTS, OBJECTS, TEXT


@given(TEXT | ARGUMENTS | st.sampled_from(["", " ", "[]", "7", "{oops", '{"a":"\\ud800"}']))
def test_arguments_survive_an_object(text: str) -> None:
    value = parse_arguments(text)
    again = build_arguments(value)
    assert parse_arguments(again) == value
    if "__raw_arguments" in value:
        assert again == text


@given(OBJECTS)
def test_objects_survive_as_arguments(value: dict[str, object]) -> None:
    assert parse_arguments(build_arguments(value)) == value
    assert build_arguments({"__raw_arguments": "{}"}) == '{"__raw_arguments":"{}"}'


@given(TEXT)
def test_free_text_survives_a_function(text: str) -> None:
    assert unwrap_free_text(json.dumps(wrap_free_text(text))) == text


@given(st.binary(max_size=9), st.booleans(), st.booleans())
def test_base64_of_either_alphabet(data: bytes, is_url_safe: bool, is_padded: bool) -> None:
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    assert base64.b64decode(standard_base64(text if is_padded else text.rstrip("="))) == data


def test_urls_that_hold_data() -> None:
    assert inline_of("data:Text/Plain;charset=utf-8;base64,YQ") == Inline("text/plain", "YQ==")
    assert inline_of("data:text/plain,a") is None
    assert data_url(Inline("", "YQ==")) == "data:application/octet-stream;base64,YQ=="
    assert text_of(inline_text("a\ud800")) == "a\ud800"
    assert text_of(Inline("text/plain", "_")) is None


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_is_of_a_kind(status: int) -> None:
    assert kind_of_status(status) in STATUS
    assert Fault(kind_of_status(status), "x", status).http_status == status


@pytest.mark.parametrize("status", [0, 200, 600])
def test_a_status_of_no_error_is_not_told(status: int) -> None:
    assert Fault("timeout", "x", status).http_status == 504


@given(st.text(max_size=30), st.text(max_size=30))
def test_headers_of_any_text(one: str, other: str) -> None:
    found = retry_after({"retry-after": one, "retry-after-ms": other}, 0.0)
    assert found is None or found >= 0
    duration_in_words(one)
    assert retry_after({"retry-after": "inf", "retry-after-ms": "nan"}, 0.0) is None
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:07 GMT"}, 9.0) == 0.0


def test_places_are_known_by_identity_and_results_by_their_call() -> None:
    text, result = Text("x"), ToolResult("c1")
    losses = Losses([Message("user", (Text("x"), text)), Message("user", (result,))])
    assert losses.at(text) == "messages[0].content[1]"
    assert losses.at(ToolResult("c1", name="f")) == "messages[1].content[0]"
    assert losses.at(Text("x")) == "messages"


def test_a_hint_is_a_loss_that_strict_translation_lets_pass() -> None:
    assert [loss.is_harmless for loss in (hint("a", ""), dropped("a", ""), changed("a", ""))] == [True, False, False]


def test_what_is_unsaid_is_dropped_or_a_hint() -> None:
    losses = Losses()
    losses.unsaid(ChatRequest("m", (), seed=0, cache_key="k"), ("seed", "top_k"), "acme", hints=("cache_key", "cache"))
    assert [(loss.path, loss.kind) for loss in losses.found] == [("seed", "dropped"), ("cache_key", "hint")]


@pytest.mark.parametrize(("reader", "kind"), [("gemini", "dropped"), ("claude", "hint"), ("", "hint")])
def test_a_signature_is_missed_only_by_its_maker(reader: str, kind: str) -> None:
    losses = Losses()
    losses.unsigned(Text("x"), reader)
    losses.unsigned(Text("x", signature=Signature("gemini", "AAAA")), reader)
    assert [(loss.path, loss.kind) for loss in losses.found] == [("messages.signature", kind)]


def test_parts_of_a_count_that_nobody_asked_for_are_hints() -> None:
    losses = Losses()
    losses.uncounted(TokenUsage(5, 5, tool_input=2), ("tool_input", "web_searches"), "acme")
    losses.uncounted(None, ("tool_input",), "acme")
    assert losses.found == [Loss("answer.usage.tool_input", "hint", "acme does not count it apart")]
