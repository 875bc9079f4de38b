"""What stands beside the text of an answer: where it comes from (grounding) and how likely its tokens were, both ways.

Google counts a cited stretch in bytes of UTF-8, the hub in characters.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dragoman.core.chat.blocks import Citation
from dragoman.core.chat.loss import Losses
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME


def parse_sources(
    grounding: Mapping[str, Any], cited: Mapping[str, Any], text: str, begins: int = 0, starts: Sequence[int] = ()
) -> Iterator[Citation]:
    """Read ``groundingMetadata`` and ``citationMetadata`` into citations of one block of text.

    Args:
        grounding: What the web said; the supports name stretches of text, the chunks their sources.
        cited: Protected text the model came near to.
        text: The text of the block.
        begins: Bytes of the candidate's text before the block.
        starts: Bytes of the candidate's text before each of its parts, for segments that name a part.

    """
    data = text.encode("utf-8", "surrogatepass")
    chunks = reading.sub_objects(grounding, "groundingChunks")
    supports = reading.sub_objects(grounding, "groundingSupports")
    for support in supports:
        segment = reading.sub_object(support, "segment")
        part = reading.whole(segment, "partIndex") or 0
        offset = (starts[part] if 0 < part < len(starts) else 0) - begins
        start, end = _stretch(data, segment, offset)
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if isinstance(index, int) and 0 <= index < len(chunks):
                yield _source(chunks[index], start, end)
    if not supports:
        yield from (_source(chunk, None, None) for chunk in chunks)
    for key in ("citations", "citationSources"):
        for found in reading.sub_objects(cited, key):
            start, end = _stretch(data, found, -begins)
            yield Citation(reading.text_or_none(found, "uri"), reading.text_or_none(found, "title"), start, end)


def _source(chunk: Mapping[str, Any], start: int | None, end: int | None) -> Citation:
    for kind in ("web", "retrievedContext", "maps"):
        if found := reading.sub_object(chunk, kind):
            return Citation(reading.text_or_none(found, "uri"), reading.text_or_none(found, "title"), start, end)
    return Citation(start=start, end=end)


def _stretch(data: bytes, node: Mapping[str, Any], offset: int) -> tuple[int | None, int | None]:
    """The characters that a stretch of bytes is; None, None when it is not within the block."""
    start = (reading.whole(node, "startIndex") or 0) + offset
    end = (reading.whole(node, "endIndex") or 0) + offset
    if not 0 <= start < end <= len(data):
        return None, None
    first = len(data[:start].decode("utf-8", "ignore"))
    return first, first + len(data[start:end].decode("utf-8", "ignore"))


class SourcesWriter:
    """Gathers the citations of a candidate and writes them as ``groundingMetadata``."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._urls: dict[tuple[str, str], int] = {}
        self._supports: list[dict[str, Any]] = []

    def add(self, citation: Citation, text: str, begins: int = 0, part: int = 0) -> None:
        """Take a citation of a block.

        Args:
            citation: What to write.
            text: The text of the block.
            begins: Bytes to count from: of the candidate's text before the block, unless a part is named.
            part: The part the block is; 0: not said.

        """
        if citation.url is None:
            self._losses.dropped("answer.citations", f"{NAME} cites only addresses")
            return
        index = self._urls.setdefault((citation.url, citation.title or ""), len(self._urls))
        if citation.start is None or citation.end is None:
            return
        before = len(text[: citation.start].encode("utf-8", "surrogatepass"))
        quoted = text[citation.start : citation.end]
        start = begins + before
        segment: dict[str, Any] = {
            "startIndex": start,
            "endIndex": start + len(quoted.encode("utf-8", "surrogatepass")),
        }
        if part:
            segment["partIndex"] = part
        self._supports.append({"segment": {**segment, "text": quoted}, "groundingChunkIndices": [index]})

    def build(self) -> dict[str, Any] | None:
        """What has been gathered; None when that is nothing."""
        if not self._urls:
            return None
        chunks = [{"web": {"uri": url, "title": title} if title else {"uri": url}} for url, title in self._urls]
        node: dict[str, Any] = {"groundingChunks": chunks}
        if self._supports:
            node["groundingSupports"] = self._supports
        return node


# ---- probabilities of tokens


def parse_logprobs(node: Mapping[str, Any]) -> list[Any]:
    """Read ``logprobsResult`` into the shape OpenAI writes."""
    tops = reading.sub_objects(node, "topCandidates")
    out = []
    for n, chosen in enumerate(reading.sub_objects(node, "chosenCandidates")):
        others = reading.sub_objects(tops[n], "candidates") if n < len(tops) else []
        out.append({**_token(chosen), "top_logprobs": [_token(other) for other in others]})
    return out


def _token(node: Mapping[str, Any]) -> dict[str, Any]:
    token = reading.text(node, "token")
    value = node.get("logProbability")
    probability = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return {"token": token, "logprob": probability, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def build_logprobs(tokens: Sequence[Any]) -> dict[str, Any]:
    """Write probabilities."""
    chosen = [_candidate(token) for token in tokens if isinstance(token, dict)]
    tops = [
        {"candidates": [_candidate(other) for other in reading.sub_objects(token, "top_logprobs")]}
        for token in tokens
        if isinstance(token, dict)
    ]
    return {"chosenCandidates": chosen, "topCandidates": tops}


def _candidate(token: Mapping[str, Any]) -> dict[str, Any]:
    value = token.get("logprob")
    known = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return {"token": reading.text(token, "token"), "logProbability": known}
