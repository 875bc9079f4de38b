"""Writing streams of streamGenerateContent."""

import json
import re
from typing import Any

from hypothesis import given

from dragoman.core.chat.answer import Answer, Choice, Finish
from dragoman.core.chat.blocks import Citation, Inline, Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.core.chat.fault import Fault
from dragoman.core.chat.signature import Signature, unwrap
from dragoman.core.chat.stream import (
    AnswerEnded,
    AnswerStarted,
    BlockEnded,
    Finished,
    LogprobsDelta,
    Ping,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageUpdate,
    WholeBlock,
    fold,
    unfold,
)
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.dialects.dialect import AnswerContext
from dragoman.core.dialects.gemini.answer import build_answer, parse_answer
from dragoman.core.dialects.gemini.stream import Reader
from dragoman.core.dialects.gemini.stream_writer import Writer
from tests.sdk import check_answer, read_stream
from tests.strategies_chat import PNG, answers, read_all

CONTEXT = AnswerContext()
START = AnswerStarted("r", "m")


def chunks(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.split(b"\n") if line]


def write(*deltas: Any) -> tuple[list[Any], list[str]]:
    writer = Writer(CONTEXT)
    data = writer.write([START, *deltas])
    for found in chunks(data):
        if "error" not in found:
            check_answer("gemini", json.dumps(found).encode())
    return chunks(data), [loss.path for loss in writer.losses]


@given(answers(provider="gemini"))
def test_frames_are_all_a_google_client_knows(answer: Answer) -> None:
    data = Writer(CONTEXT).write(list(unfold(answer)))
    assert re.fullmatch(rb"(?:data: \{[^\n\r]*\}\n\n)+", data)
    found = chunks(data)
    ended = [n for n, c in enumerate(found) for candidate in c["candidates"] if "finishReason" in candidate]
    assert ended == [len(found) - 1]
    assert {c["modelVersion"] for c in found} == {answer.model}
    seen = read_stream("gemini", data)
    whole = [block for block in answer.blocks if isinstance(block, ToolCall)]
    assert [(ident, name, args) for ident, name, args in seen.tools] == [
        (c.id, c.name, json.loads(c.arguments)) for c in whole
    ]


def test_usage_stands_on_what_follows() -> None:
    found, _ = write(
        TextDelta("a"),
        UsageUpdate(TokenUsage(3)),
        TextDelta("b"),
        BlockEnded(),
        UsageUpdate(TokenUsage(3, 2)),
        Finished(Finish("end")),
        AnswerEnded(),
    )
    assert [c.get("usageMetadata", {}).get("totalTokenCount") for c in found] == [None, 3, 5]
    assert found[-1]["candidates"] == [
        {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}
    ]


def test_a_call_waits_until_it_is_whole() -> None:
    writer = Writer(CONTEXT)
    call: list[Any] = [START, ToolCallStarted("c", "f"), ToolCallDelta('{"a"'), ToolCallDelta(":1}")]
    assert writer.write(call) == b""
    part = chunks(writer.write([BlockEnded()]))[0]["candidates"][0]["content"]["parts"][0]
    assert part == {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}


def test_calls_that_break_off() -> None:
    call = [ToolCallStarted("c", "f"), ToolCallDelta('{"a":'), BlockEnded()]
    found, lost = write(*call, Finished(Finish("length")), AnswerEnded())
    assert len(found) == 1
    assert lost == ["answer.tool_calls"]
    found, lost = write(*call, Finished(Finish("tool")), AnswerEnded())
    assert found[0]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == {"__raw_arguments": '{"a":'}
    found, lost = write(*call, TextDelta("b"), BlockEnded(), Finished(Finish("length")), AnswerEnded())
    assert "functionCall" in found[0]["candidates"][0]["content"]["parts"][0]
    assert lost == []


def test_signatures_follow_their_block() -> None:
    own, foreign = Signature("gemini", "CiQB"), Signature("claude", "x")
    answer = Answer(
        "r",
        "m",
        (
            Choice(
                (Text("a", signature=own), Reasoning("t", foreign), Reasoning("", own), Reasoning("", foreign)),
                Finish("end"),
            ),
        ),
    )
    found = chunks(Writer(CONTEXT).write(list(unfold(answer))))
    parts = [c["candidates"][0]["content"]["parts"][0] for c in found]
    assert parts[1] == {"text": "", "thoughtSignature": "CiQB"}
    assert parts[3]["thought"] is True
    assert unwrap(parts[3]["thoughtSignature"]) == foreign
    assert parts[4] == {"text": "", "thoughtSignature": "CiQB"}
    assert parts[5]["thought"] is True


def test_whole_blocks() -> None:
    image = Media("image", Inline("image/png", PNG))
    found, lost = write(
        WholeBlock(image), WholeBlock(Reasoning("", Signature("claude", "e"), redacted=True)), WholeBlock(Reasoning("", None, redacted=True)),
        WholeBlock(Opaque("claude", "x", {})), WholeBlock(Refusal("no")), Finished(Finish("end")), AnswerEnded(),
    )  # fmt: skip
    assert len(found) == 4
    assert found[0]["candidates"][0]["content"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    assert lost == ["answer.blocks"]


def test_candidates_stay_apart() -> None:
    answer = Answer(
        "r", "m", (Choice((Text("heads"),), Finish("end")), Choice((Text("tails"),), Finish("length", detail="d")))
    )
    data = Writer(CONTEXT).write(list(unfold(answer)))
    assert all(c["candidates"][0]["index"] == 0 for c in chunks(data))
    back = fold(read_all(Reader(), [data]))
    assert [choice.blocks for choice in back.choices] == [(Text("heads"),), (Text("tails"),)]
    assert back.choices[1].finish == Finish("length", raw=("gemini", "MAX_TOKENS"), detail="d")


def test_blocked_prompts_stay_blocked() -> None:
    blocked = Finish("filter", raw=("gemini", "blocked:SAFETY"))
    found, _ = write(UsageUpdate(TokenUsage(8)), Finished(blocked), AnswerEnded())
    assert [c["promptFeedback"] for c in found] == [{"blockReason": "SAFETY"}]
    assert "candidates" not in found[0]
    found, _ = write(TextDelta("a"), BlockEnded(), Finished(blocked), AnswerEnded())
    assert found[-1]["candidates"][0]["finishReason"] == "SAFETY"


def test_citations_count_from_the_beginning() -> None:
    cited = Text("Blåbær!", (Citation("https://a", "A", 0, 6),))
    answer = Answer("r", "m", (Choice((Text("før", signature=Signature("gemini", "CiQB")), cited), Finish("end")),))
    found = chunks(Writer(CONTEXT).write(list(unfold(answer))))
    segment = found[-1]["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"]
    assert segment == {"startIndex": 4, "endIndex": 12, "text": "Blåbær"}
    assert parse_answer(build_answer(answer, CONTEXT)[0])[0].blocks == answer.blocks


def test_probabilities_errors_and_signs_of_life() -> None:
    found, _ = write(
        TextDelta("a"),
        LogprobsDelta([{"token": "a", "logprob": -1.0}]),
        BlockEnded(),
        Finished(Finish("end")),
        AnswerEnded(),
    )
    assert found[1]["candidates"][0]["logprobsResult"]["chosenCandidates"] == [{"token": "a", "logProbability": -1.0}]
    assert Writer(CONTEXT).write([Ping()]) == b"\n"
    failed = Writer(CONTEXT).write([StreamFailed(Fault("overloaded", "busy"))])
    assert failed.startswith(b'data: {"error":')
    assert read_stream("gemini", failed).error == "ServerError"
    late = Writer(CONTEXT).write([SignatureDelta(Signature("gemini", "CiQB"), 1), BlockEnded(1)])
    assert chunks(late)[0]["candidates"][0]["index"] == 1
