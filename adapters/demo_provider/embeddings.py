"""Embeddings: unit vectors made of nothing but a hash of the text; equal texts have equal vectors, and that is all."""

import base64
import hashlib
import math
import struct
from typing import Any, Final

from dragoman.adapters.demo_provider.answers import count_tokens, seed_of
from dragoman.adapters.demo_provider.chat import headers
from dragoman.adapters.demo_provider.legacy import read_prompts
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, string, whole
from dragoman.adapters.demo_provider.reply import Reply, json_reply

DIMENSIONS: Final = 256
MAX_DIMENSIONS: Final = 4096


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Make the unit vector of a text, in single precision.

    >>> len(vector("hi", 8)), round(sum(x * x for x in vector("hi", 8)), 6)
    (8, 1.0)
    """
    noise = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [n - 32767.5 for (n,) in struct.iter_unpack("<H", noise)]  # never 0, so never a vector of no length
    length = math.sqrt(sum(n * n for n in numbers))
    # Rounded to float32, so that `float` and `base64` carry the same numbers.
    return [n for (n,) in struct.iter_unpack("<f", struct.pack(f"<{dimensions}f", *(n / length for n in numbers)))]


def embed(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/embeddings``."""
    model = string(body.get("model"))
    if not model:
        raise BadQuestion("you must provide a model parameter", "model")
    texts = read_prompts(body.get("input"), "input")
    dimensions = read_dimensions(body.get("dimensions"), "dimensions")
    data = []
    for number, text in enumerate(texts):
        values: list[float] | str = vector(text, dimensions)
        if body.get("encoding_format") == "base64":
            values = base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode()
        data.append({"object": "embedding", "index": number, "embedding": values})
    tokens = count_tokens(texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": data, "model": model, "usage": usage}, headers=headers(seed_of(body)))


def read_dimensions(value: object, field: str) -> int:
    """Read how long a vector should be; absent: 256.

    Raises:
        BadQuestion: It is not a number from 1 to 4096.

    """
    if value is None:
        return DIMENSIONS
    dimensions = whole(value)
    if dimensions is None or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise BadQuestion(f"{field} must be a number from 1 to {MAX_DIMENSIONS}", field)
    return dimensions
