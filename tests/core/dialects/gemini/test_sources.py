"""Grounding and probabilities."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Citation
from dragoman.core.chat.loss import Losses
from dragoman.core.dialects.gemini.sources import SourcesWriter, build_logprobs, parse_logprobs, parse_sources
from tests.strategies_chat import JSON, WORDS


@given(WORDS, st.data())
def test_stretches_in_bytes_are_stretches_in_characters(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    before = data.draw(WORDS)
    begins = len(before.encode())
    cited = Citation("https://a", "A", start, end)
    writer = SourcesWriter(Losses())
    writer.add(cited, text, begins)
    node = writer.build()
    assert node is not None
    segment = node["groundingSupports"][0]["segment"]
    assert (before + text).encode()[segment["startIndex"] : segment["endIndex"]].decode() == text[start:end]
    assert list(parse_sources(node, {}, text, begins)) == [cited]


def test_kinds_of_sources() -> None:
    grounding = {"groundingChunks": [{"retrievedContext": {"uri": "gs://a"}}, {"maps": {"title": "M"}}, {"other": {}}]}
    assert list(parse_sources(grounding, {}, "x")) == [Citation("gs://a"), Citation(None, "M"), Citation()]
    protected = {"citations": [{"startIndex": 1, "endIndex": 2, "uri": "u"}], "citationSources": [{"endIndex": 99}]}
    assert list(parse_sources({}, protected, "abc")) == [Citation("u", None, 1, 2), Citation()]


def test_segments_that_name_a_part() -> None:
    chunk = {"web": {"uri": "u"}}
    segment = {"partIndex": 1, "startIndex": 0, "endIndex": 1}
    grounding: dict[str, Any] = {
        "groundingChunks": [chunk],
        "groundingSupports": [
            {"segment": segment, "groundingChunkIndices": [0, 7, "x", -1]},
            {"groundingChunkIndices": 7},
        ],
    }
    assert list(parse_sources(grounding, {}, "abcd", 0, (0, 2))) == [Citation("u", None, 2, 3)]
    assert list(parse_sources(grounding, {}, "abcd")) == [Citation("u", None, 0, 1)]


@given(JSON, JSON)
def test_anything_can_be_read(grounding: Any, cited: Any) -> None:
    list(parse_sources({"groundingSupports": grounding, "groundingChunks": [grounding]}, {"citations": cited}, "abc"))
    parse_logprobs({"chosenCandidates": grounding, "topCandidates": cited})


def test_probabilities_come_back() -> None:
    tokens = [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
        },
        {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
    ]
    assert parse_logprobs(build_logprobs(tokens)) == tokens
    assert build_logprobs([7, {"token": "a", "logprob": "x"}])["chosenCandidates"] == [
        {"token": "a", "logProbability": 0.0}
    ]
    assert parse_logprobs({"chosenCandidates": [{"token": "a", "logProbability": True}]})[0]["logprob"] == 0.0


def test_nothing_cited() -> None:
    writer = SourcesWriter(Losses())
    writer.add(Citation("https://a"), "text")
    assert writer.build() == {"groundingChunks": [{"web": {"uri": "https://a"}}]}
    assert SourcesWriter(Losses()).build() is None
