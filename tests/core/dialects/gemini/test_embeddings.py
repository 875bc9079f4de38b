"""Embeddings in both forms."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.dialects.gemini.embeddings import (
    EmbeddingRequest,
    Embeddings,
    build_gemini_answer,
    build_gemini_request,
    build_openai_answer,
    build_openai_request,
    parse_gemini_answer,
    parse_gemini_request,
    parse_openai_answer,
    parse_openai_request,
)
from dragoman.core.errors import BadAnswer, BadRequest, Untranslatable
from tests.wire import by_name

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(st.lists(FLOATS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)


@given(VECTORS, st.booleans(), st.booleans())
def test_vectors_arrive_exactly(vectors: tuple[tuple[float, ...], ...], is_base64: bool, is_batch: bool) -> None:
    request = EmbeddingRequest("m", ("t",), is_base64=is_base64, is_batch=is_batch)
    answer = Embeddings(vectors, "m", 7)
    assert parse_openai_answer(build_openai_answer(answer, request, "other")) == answer
    back = parse_gemini_answer(build_gemini_answer(answer, request))
    assert back == Embeddings(vectors if is_batch else vectors[:1], "", 7)


def test_requests_in_geminis_form() -> None:
    batch = {
        "requests": [
            {
                "model": "models/e",
                "content": {"parts": [{"text": "a"}, {"text": "b"}]},
                "outputDimensionality": 3,
                "taskType": "RETRIEVAL_QUERY",
            },
            {"content": "c"},
        ]
    }
    request = parse_gemini_request(json.dumps(batch).encode())
    assert request == EmbeddingRequest("e", ("ab", "c"), 3, "RETRIEVAL_QUERY")
    body, losses = build_gemini_request(request, "models/f")
    assert parse_gemini_request(body) == EmbeddingRequest("f", ("ab", "c"), 3, "RETRIEVAL_QUERY")
    assert losses == ()
    one = parse_gemini_request(b'{"content":{"parts":[{"text":"a"}]},"embed_content_config":{"title":"T"}}', model="e")
    assert one == EmbeddingRequest("e", ("a",), title="T", is_batch=False)
    assert json.loads(build_gemini_request(one, "e")[0]) == {
        "model": "models/e",
        "content": {"parts": [{"text": "a"}]},
        "title": "T",
    }
    body, losses = build_openai_request(one, "text-embedding-3-small")
    assert json.loads(body)["input"] == ["a"]
    assert [loss.path for loss in losses] == ["title"]
    for bad in (b'{"requests":[]}', b'{"requests":[{}]}', b'{"content":{"parts":[{"inlineData":{}}]}}'):
        with pytest.raises(BadRequest):
            parse_gemini_request(bad)


def test_requests_in_openais_form() -> None:
    request = parse_openai_request(b'{"model":"e","input":"a","dimensions":3,"encoding_format":"base64","user":"u"}')
    assert request == EmbeddingRequest("e", ("a",), 3, is_base64=True, user="u")
    body, losses = build_gemini_request(request, "gemini-embedding-001")
    assert json.loads(body)["requests"][0]["outputDimensionality"] == 3
    assert [loss.path for loss in losses] == ["user"]
    assert json.loads(build_openai_request(request, "f")[0]) == {
        "model": "f", "input": ["a"], "encoding_format": "float", "dimensions": 3, "user": "u",
    }  # fmt: skip
    assert parse_openai_request(b'{"model":"e","input":["a","b"]}').texts == ("a", "b")
    with pytest.raises(Untranslatable):
        parse_openai_request(b'{"model":"e","input":[[1,2]]}')
    for bad in (b'{"model":"e"}', b'{"input":"a"}', b'{"model":"e","input":"a","encoding_format":"int8"}'):
        with pytest.raises(BadRequest):
            parse_openai_request(bad)


def test_recorded_answers() -> None:
    recorded = parse_gemini_answer(by_name("gemini.embeddings.batch.json"))
    assert len(recorded.vectors) == len(json.loads(by_name("gemini.embeddings.batch.json"))["embeddings"])
    floats = parse_openai_answer(by_name("openai.embeddings.float.json"))
    packed = parse_openai_answer(by_name("openai.embeddings.base64-le-float32.json"))
    assert packed.vectors[1] == pytest.approx((0.0, 2.0, -4.0))
    assert len(floats.vectors) == len(packed.vectors)


def test_what_is_no_answer() -> None:
    for body in (b"{}", b'{"embeddings":[{"values":["x"]}]}', b'{"embedding":{"values":7}}'):
        with pytest.raises(BadAnswer):
            parse_gemini_answer(body)
    for body in (
        b"{}",
        b'{"data":[{"embedding":"!"}]}',
        b'{"data":[{"embedding":"AAA="}]}',
        b'{"data":[{"embedding":[true]}]}',
    ):
        with pytest.raises(BadAnswer):
            parse_openai_answer(body)


def test_numbers_beyond_32_bits() -> None:
    body = build_openai_answer(Embeddings(((1e300, -1e300),)), EmbeddingRequest("m", ("t",), is_base64=True), "m")
    largest = parse_openai_answer(body).vectors[0][0]
    assert largest == struct.unpack("<f", struct.pack("<f", largest))[0] > 3e38
    assert json.loads(build_gemini_answer(Embeddings(()), EmbeddingRequest("m", (), is_batch=False))) == {
        "embedding": {}
    }
    assert json.loads(body)["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_an_answer_nested_too_deeply_is_none() -> None:
    with pytest.raises(BadAnswer, match="too deeply"):
        parse_gemini_answer(b'{"x": ' + b"[" * 700 + b"]" * 700 + b"}")
