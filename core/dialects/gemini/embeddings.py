"""Embeddings: Gemini's ``:embedContent`` and ``:batchEmbedContents``, OpenAI's ``/embeddings``, each both ways.

There are only these two forms, so they meet here and not in the hub. OpenAI's own client asks for base64: vectors of 32-bit floats,
little-endian.
"""

import base64
import struct
from typing import Any

import attrs

from dragoman.core.chat.loss import Loss, dropped
from dragoman.core.chat.usage import count
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import in_camel_case
from dragoman.core.dialects.gemini.request import plain_model, request_node
from dragoman.core.errors import BadAnswer, BadRequest, Untranslatable
from dragoman.core.json_text import dumps


@attrs.frozen
class EmbeddingRequest:
    """Texts to turn into vectors.

    Attributes:
        model: As the client wrote it; empty when the path says it.
        texts: One vector is made of each.
        dimensions: Length of the vectors; None: the model's own.
        task: What they are for, in Gemini's words (``RETRIEVAL_QUERY``); None: not said.
        title: Of a document.
        is_batch: Whether Gemini was asked for several at once; says which form its answer has.
        is_base64: Whether OpenAI's answer is to hold base64 and not numbers.
        user: An opaque id of the end user.

    """

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    task: str | None = None
    title: str | None = None
    is_batch: bool = True
    is_base64: bool = False
    user: str | None = None


@attrs.frozen
class Embeddings:
    """The vectors, in the order of the texts; `tokens` read, None when nobody counted; `model` as the answer says."""

    vectors: tuple[tuple[float, ...], ...]
    model: str = ""
    tokens: int | None = None


# ---- Gemini


def parse_gemini_request(body: bytes, *, model: str | None = None) -> EmbeddingRequest:
    """Read the body of either method; ``requests`` tells them apart. Options are those of the first request.

    Raises:
        BadRequest: It is none, or asks for vectors of other things than text.

    """
    node = request_node(body)
    is_batch = node.get("requests") is not None
    found = reading.objects(node, "requests") if is_batch else [(node, "")]
    if not found:
        raise BadRequest("requests is empty", param="requests")
    texts = tuple(_text_of(item, f"{path}." if path else "") for item, path in found)
    first = found[0][0]
    options = {**(reading.optional_object(first, "embedContentConfig") or {}), **first}
    named = model or reading.optional_string(options, "model") or ""
    return EmbeddingRequest(
        plain_model(named),
        texts,
        reading.optional_integer(options, "outputDimensionality"),
        reading.optional_string(options, "taskType"),
        reading.optional_string(options, "title"),
        is_batch,
    )


def _text_of(node: dict[str, Any], path: str) -> str:
    content = node.get("content")
    if isinstance(content, str):
        return content
    parts = reading.objects(reading.an_object(content, path + "content"), "parts", path + "content.")
    return "".join(reading.required_string(part, "text", where + ".") for part, where in parts)


def build_gemini_request(request: EmbeddingRequest, model: str) -> tuple[bytes, tuple[Loss, ...]]:
    """Write the body for ``:batchEmbedContents`` of `model`, or for ``:embedContent`` when one was asked for alone."""
    name = "models/" + plain_model(model)
    options = {"taskType": request.task, "title": request.title, "outputDimensionality": request.dimensions}
    rest = {key: value for key, value in options.items() if value is not None}
    items = [{"model": name, "content": {"parts": [{"text": text}]}, **rest} for text in request.texts]
    losses = (dropped("user", "gemini cannot say it"),) if request.user is not None else ()
    return dumps({"requests": items} if request.is_batch else items[0]), losses


def parse_gemini_answer(body: bytes) -> Embeddings:
    """Read the answer of either method.

    Raises:
        BadAnswer: It holds no vectors.

    """
    try:
        node = in_camel_case(reading.answer_object(body))
    except RecursionError:
        raise BadAnswer("the provider's answer is nested too deeply") from None
    one = reading.sub_object(node, "embedding")
    found = [one] if one else reading.sub_objects(node, "embeddings")
    if not found:
        raise BadAnswer("the provider's answer holds no vectors")
    usage = reading.sub_object(node, "usageMetadata")
    tokens = count(usage.get("promptTokenCount")) if usage else None
    return Embeddings(tuple(_vector(item.get("values")) for item in found), "", tokens)


def _vector(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise BadAnswer("a vector in the provider's answer is not a list of numbers")
    return tuple(value)


def build_gemini_answer(answer: Embeddings, request: EmbeddingRequest) -> bytes:
    """Write the answer of the method that was called."""
    values = [{"values": list(vector)} for vector in answer.vectors]
    node: dict[str, Any] = {"embeddings": values} if request.is_batch else {"embedding": values[0] if values else {}}
    if answer.tokens is not None:
        node["usageMetadata"] = {"promptTokenCount": answer.tokens, "totalTokenCount": answer.tokens}
    return dumps(node)


# ---- OpenAI


def parse_openai_request(body: bytes) -> EmbeddingRequest:
    """Read the body of ``/embeddings``.

    Raises:
        BadRequest: It is none.
        Untranslatable: Its texts come as tokens, which only their own model can read.

    """
    node = reading.request_object(body)
    given = node.get("input")
    texts = [given] if isinstance(given, str) else reading.an_array(given, "input")
    if any(isinstance(text, int | list) for text in texts):
        raise Untranslatable("input: tokens mean nothing to another provider's model; send text", param="input")
    form = reading.optional_string(node, "encoding_format")
    if form not in (None, "float", "base64"):
        raise BadRequest(f"encoding_format: there is no {form!r}", param="encoding_format")
    return EmbeddingRequest(
        reading.required_string(node, "model"),
        tuple(reading.a_string(text, f"input[{n}]") for n, text in enumerate(texts)),
        reading.optional_integer(node, "dimensions"),
        is_base64=form == "base64",
        user=reading.optional_string(node, "user"),
    )


def build_openai_request(request: EmbeddingRequest, model: str) -> tuple[bytes, tuple[Loss, ...]]:
    """Write the body for ``/embeddings``."""
    node: dict[str, Any] = {"model": model, "input": list(request.texts), "encoding_format": "float"}
    if request.dimensions is not None:
        node["dimensions"] = request.dimensions
    if request.user is not None:
        node["user"] = request.user
    lost = [(name, value) for name, value in (("task", request.task), ("title", request.title)) if value is not None]
    return dumps(node), tuple(dropped(name, "openai cannot say it") for name, _ in lost)


def parse_openai_answer(body: bytes) -> Embeddings:
    """Read the answer of ``/embeddings``, in the order of its indices.

    Raises:
        BadAnswer: It holds no vectors.

    """
    node = reading.answer_object(body)
    found = reading.sub_objects(node, "data")
    if not found:
        raise BadAnswer("the provider's answer holds no vectors")
    found.sort(key=lambda item: reading.whole(item, "index") or 0)
    usage = reading.sub_object(node, "usage")
    vectors = tuple(_from_base64(v) if isinstance(v := item.get("embedding"), str) else _vector(v) for item in found)
    return Embeddings(vectors, reading.text(node, "model"), count(usage.get("prompt_tokens")) if usage else None)


def _from_base64(text: str) -> tuple[float, ...]:
    try:
        data = base64.b64decode(text, validate=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    except (ValueError, struct.error):
        raise BadAnswer("a vector in the provider's answer is not base64 of floats") from None


def build_openai_answer(answer: Embeddings, request: EmbeddingRequest, model: str) -> bytes:
    """Write the answer of ``/embeddings``. Tokens nobody counted are 0, for the field is mandatory."""
    data = [
        {"object": "embedding", "index": n, "embedding": _to_base64(vector) if request.is_base64 else list(vector)}
        for n, vector in enumerate(answer.vectors)
    ]
    tokens = answer.tokens or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return dumps({"object": "list", "data": data, "model": answer.model or model, "usage": usage})


def _to_base64(vector: tuple[float, ...]) -> str:
    limit = 3.4028234e38  # what does not fit 32 bits becomes the largest that does
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *(min(max(x, -limit), limit) for x in vector))).decode()
