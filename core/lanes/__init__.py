"""How a request travels to a provider and its answer back: as it is, or translated.

Lives here: one lane for each kind of journey (`passing`, `translating`, `small`), what they have in common (`lane`), and the choice among
them. Equal dialects pass: bytes stay bytes. Different ones go through the hub. An exchange asks for a lane for each attempt and knows
nothing of dialects itself; a lane is made for one attempt and used once. May not live here: who is asked (`routing`).
"""

from dragoman.core.endpoints import Operation
from dragoman.core.errors import Untranslatable
from dragoman.core.lanes.array import AsArray
from dragoman.core.lanes.lane import PATHS, Ask, Flow, Lane, Reply, loss_header
from dragoman.core.lanes.passing import OpenAIPassing, Passing
from dragoman.core.lanes.small import Counting, CountingPassing, Embedding, Estimating
from dragoman.core.lanes.translating import Translating
from dragoman.core.routing.catalog import Target

__all__ = ["Ask", "Estimating", "Flow", "Lane", "Reply", "choose_lane", "loss_header"]

_EMBEDDINGS = frozenset({Operation.EMBEDDINGS, Operation.BATCH_EMBEDDINGS})


def choose_lane(ask: Ask, target: Target) -> Lane:
    """The lane for a request to a target.

    Raises:
        ClientError: The request cannot be said to that target; another may take it.

    """
    operation, source, reader = ask.endpoint.operation, ask.endpoint.dialect, target.dialect
    is_there = (reader, operation) in PATHS
    if source == reader and is_there and (ask.suffix is None or operation is not Operation.CHAT):
        if operation is Operation.COUNT_TOKENS:
            return CountingPassing(ask, target)
        lane: Lane = OpenAIPassing(ask, target) if source == "openai_chat" else Passing(ask, target)
        return AsArray(lane) if ask.wants_array else lane
    if operation is Operation.CHAT:
        return AsArray(Translating(ask, target)) if ask.wants_array else Translating(ask, target)
    if operation is Operation.COUNT_TOKENS:
        return Counting(ask, target) if is_there else Estimating(ask)
    if operation in _EMBEDDINGS and {source, reader} == {"openai_chat", "gemini"}:
        return Embedding(ask, target)
    raise Untranslatable(f"{target.provider} has no {operation.value} in its API; use a model of another provider.")
