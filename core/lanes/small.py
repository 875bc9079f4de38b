"""The smaller operations: tokens counted beforehand, and embeddings, between different dialects.

Where a provider cannot count, the gateway estimates, and says so: the header ``x-dragoman-estimate``, and ``estimated`` in the body, which
the SDKs let pass. What only one dialect has (its counts, its embeddings) is loaded where it is spoken, as dialects are.
"""

from collections.abc import Sequence
from typing import Final

from dragoman.core.chat.counting import TokenCount
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.request import ChatRequest, Thinking
from dragoman.core.dialects import DIALECTS
from dragoman.core.endpoints import Operation
from dragoman.core.errors import BadAnswer, ClientError, UpstreamError
from dragoman.core.http_heads import Field, ResponseHead
from dragoman.core.json_text import dumps, loads
from dragoman.core.lanes.estimate import estimate
from dragoman.core.lanes.lane import JSON, Ask, Flow, Reply, path_of
from dragoman.core.lanes.passing import Passing
from dragoman.core.lanes.translating import Between, reader_of
from dragoman.core.passthrough import answer_fields
from dragoman.core.routing.catalog import Target
from dragoman.core.translate import foreign_extras

# What of a chat request the counting endpoints take; anything else they refuse. Sources: the two API references, seen 2026-11.
_COUNTED: Final = {
    "claude": ("model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers"),
    "openai_responses": (
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation",
    ),
}  # fmt: skip
_CANNOT: Final = frozenset({404, 405, 501})  # how a provider says that it has no such endpoint
_ESTIMATED: Final = (b"x-dragoman-estimate", b"tokens")


class _Whole:
    """Lanes whose answers are never streamed."""

    def flow(self, head: ResponseHead, now: float) -> tuple[list[Field], Flow] | None:
        """Collected always."""
        return None

    def early_flow(self, now: float) -> tuple[list[Field], Flow]:
        """Never asked for: no such request streams."""
        raise UpstreamError("this answer is no stream")


class Estimating(_Whole):
    """Tokens are estimated here: the provider has no way to count them.

    Attributes:
        reply: The answer.

    """

    path = b""
    body = b""
    losses: Sequence[Loss] = ()
    asked: Thinking | None = None
    applied: Thinking | None = None

    def __init__(self, ask: Ask) -> None:
        self.reply = _estimated(ask)

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The estimate; nobody was asked."""
        return self.reply

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The estimate; nobody was asked."""
        return self.reply


class Counting(_Whole, Between):
    """Tokens are counted by a provider of another dialect."""

    def __init__(self, ask: Ask, target: Target) -> None:
        super().__init__(ask, target)
        self._ask = ask
        request, losses = _parse_counted(ask)
        self.path = path_of(target, Operation.COUNT_TOKENS)
        self.body, more = _build_counted(request, target)
        self.losses = tuple(dict.fromkeys((*losses, *foreign_extras(request, target.dialect), *more)))

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The count in the client's words."""
        return Reply(head.status, self._fields(head, JSON), _write_count(self._source, _read_count(self._target, body)))

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error in the client's words; an estimate, where the provider does not count."""
        return _estimated(self._ask) if head.status in _CANNOT else super().error(head, body, now)


class CountingPassing(Passing):
    """Tokens are counted by a provider of the same dialect, if it can."""

    def __init__(self, ask: Ask, target: Target) -> None:
        super().__init__(ask, target)
        self._ask = ask

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The count as it is."""
        return Reply(head.status, answer_fields(head), body)

    def error(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The error as it is; an estimate, where the provider does not count."""
        return _estimated(self._ask) if head.status in _CANNOT else super().error(head, body, now)


class Embedding(_Whole, Between):
    """Embeddings, between OpenAI's form and Gemini's."""

    def __init__(self, ask: Ask, target: Target) -> None:
        super().__init__(ask, target)
        from dragoman.core.dialects.gemini import embeddings

        if self._source == "gemini":
            self._request = embeddings.parse_gemini_request(ask.body, model=ask.peek.model)
            self.path = path_of(target, Operation.EMBEDDINGS)
            self.body, self.losses = embeddings.build_openai_request(self._request, target.upstream_model)
        else:
            self._request = embeddings.parse_openai_request(ask.body)
            self.path = path_of(target, Operation.BATCH_EMBEDDINGS)
            self.body, self.losses = embeddings.build_gemini_request(self._request, target.upstream_model)

    def answer(self, head: ResponseHead, body: bytes, now: float) -> Reply:
        """The vectors in the client's words."""
        from dragoman.core.dialects.gemini import embeddings

        if self._source == "gemini":
            text = embeddings.build_gemini_answer(embeddings.parse_openai_answer(body), self._request)
        else:
            text = embeddings.build_openai_answer(embeddings.parse_gemini_answer(body), self._request, self._model)
        return Reply(head.status, self._fields(head, JSON), text)


def _parse_counted(ask: Ask) -> tuple[ChatRequest, tuple[Loss, ...]]:
    if ask.endpoint.dialect == "gemini":
        from dragoman.core.dialects.gemini.count import parse_count_request

        return parse_count_request(ask.body, model=ask.peek.model)
    return DIALECTS[ask.endpoint.dialect].parse_request(ask.body)


def _build_counted(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    if target.dialect == "gemini":
        from dragoman.core.dialects.gemini.count import build_count_request

        return build_count_request(request, reader_of(target))
    body, losses = DIALECTS[target.dialect].build_request(request, reader_of(target))
    node = loads(body)
    return dumps({key: node[key] for key in _COUNTED[target.dialect] if key in node}), losses


def _read_count(dialect: str, body: bytes) -> int:
    match dialect:
        case "gemini":
            from dragoman.core.dialects.gemini.count import parse_count_answer

            return parse_count_answer(body)
        case "openai_responses":
            from dragoman.core.dialects.openai_responses.endpoints import parse_count

            return parse_count(body).input
        case _:
            try:
                node = loads(body)
            except ValueError:
                raise BadAnswer("the provider's count is not JSON") from None
            tokens = node.get("input_tokens") if isinstance(node, dict) else None
            if not isinstance(tokens, int):
                raise BadAnswer("the provider's answer does not say how many tokens it counted")
            return tokens


def _write_count(dialect: str, tokens: int) -> bytes:
    match dialect:
        case "gemini":
            from dragoman.core.dialects.gemini.count import build_count_answer

            return build_count_answer(tokens)
        case "openai_responses":
            from dragoman.core.dialects.openai_responses.endpoints import build_count

            return build_count(TokenCount(tokens))
        case _:
            return dumps({"input_tokens": tokens})


def _estimated(ask: Ask) -> Reply:
    try:
        tokens = estimate(_parse_counted(ask)[0])
    except ClientError:
        tokens = len(ask.body) // 4  # the provider could not say, nor can we read it: its length is what is left
    node = loads(_write_count(ask.endpoint.dialect, tokens))
    return Reply(200, [JSON, _ESTIMATED], dumps({**node, "estimated": True}))
