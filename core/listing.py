"""Asking providers which models they have, on behalf of nobody: for those whose configuration does not say.

A `ModelListing` has the border of a client connection (`dragoman.core.effects`), without a client: a transport drives it like any other. It
asks each such provider when the gateway starts and now and then again; what it learns goes to the catalog. A provider that does not
answer is asked again soon; until then its models can be asked for by name all the same.
"""

import math
from typing import Final

import msgspec

from dragoman.core.effects import (
    CloseUpstream,
    ConnectFailure,
    Effect,
    OpenUpstream,
    ReleaseUpstream,
    WriteUpstream,
)
from dragoman.core.errors import UpstreamError
from dragoman.core.gateway import Gateway
from dragoman.core.half_borders import Clientless
from dragoman.core.passthrough import forwarded_fields
from dragoman.core.routing.catalog import Target
from dragoman.core.upstream import WholeAnswer

_AGAIN: Final = 3600.0  # seconds until a provider that answered is asked again
_SOON: Final = 120.0  # and one that did not
_PATIENCE: Final = 30.0  # seconds for the whole of an answer
_LIMIT: Final = 8 * 1024 * 1024  # bytes of an answer; OpenRouter's is about half a MiB

#: Where each dialect lists its models, below the base URL.
PATHS: Final = {
    "openai_chat": "/models",
    "openai_responses": "/models",
    "claude": "/v1/models?limit=1000",
    "gemini": "/v1beta/models?pageSize=1000",
}


class _Card(msgspec.Struct):
    id: str = ""
    name: str = ""


class _List(msgspec.Struct):
    data: list[_Card] = []
    models: list[_Card] = []


_DECODER: Final = msgspec.json.Decoder(_List)


class _Asking:
    """One provider being asked."""

    def __init__(self, target: Target, answer: WholeAnswer, until: float) -> None:
        self.target = target
        self.answer = answer
        self.until = until


class ModelListing(Clientless):
    """Asks the providers of a gateway for their models.

    Args:
        gateway: The gateway.
        now: When to begin, epoch seconds.
        look: Seconds between looks whether the gateway has another configuration; never, unless somebody reloads it.

    """

    def __init__(self, gateway: Gateway, now: float, *, look: float = math.inf) -> None:
        self._gateway = gateway
        self._router = gateway.router
        self._look = look
        self._look_at = now + look
        self._due = dict.fromkeys(gateway.router.catalog.open_targets(), now)
        self._known = frozenset(self._due)
        self._asking: dict[int, _Asking] = {}
        self._attempts = 0
        self._is_over = False

    def next_deadline(self) -> float:
        """When `handle_timer` is due, epoch seconds."""
        if self._is_over:
            return math.inf
        return min([self._look_at, *self._due.values(), *(asking.until for asking in self._asking.values())])

    def handle_timer(self, now: float) -> list[Effect]:
        """Ask whom it is time to ask; stop waiting for who does not answer."""
        effects: list[Effect] = []
        if now >= self._look_at:
            self._look_at = now + self._look
            self._adopt(now)
        for attempt, asking in list(self._asking.items()):
            if now >= asking.until:
                effects.append(CloseUpstream(attempt))
                self._failed(attempt, now)
        for target, at in list(self._due.items()):
            if now >= at:
                del self._due[target]
                self._attempts += 1
                self._asking[self._attempts] = _Asking(
                    target, WholeAnswer(self._gateway.heads, _LIMIT), now + _PATIENCE
                )
                effects.append(OpenUpstream(self._attempts, target.origin))
        return effects

    def _adopt(self, now: float) -> None:
        """After a reload: ask those who are new at once, leave those alone who are gone."""
        router = self._gateway.router
        if router is not self._router:
            self._router = router
            self._known = frozenset(router.catalog.open_targets())
            asked = {asking.target for asking in self._asking.values()}
            self._due = {target: self._due.get(target, now) for target in self._known - asked}

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """A connection stands: ask."""
        asking = self._asking.get(attempt)
        if asking is None:
            return []
        target = asking.target
        head = b"GET %b%b HTTP/1.1\r\n%b%b\r\n" % (
            target.base_path,
            PATHS[target.dialect].encode("ascii"),
            target.lines,
            forwarded_fields({}, target.dialect),
        )
        return [WriteUpstream(attempt, head)]

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """A provider cannot be reached."""
        self._failed(attempt, now)
        return []

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """A provider answers; nothing: it closed."""
        asking = self._asking.get(attempt)
        if asking is None:
            return []
        try:
            whole = asking.answer.take(data)
        except UpstreamError:
            self._failed(attempt, now)
            return [CloseUpstream(attempt)]
        if whole is None:
            return []
        head, body = whole
        names = read_models(body) if head.status == 200 else []
        if names:
            self._gateway.router.catalog.learn(asking.target, names)
            del self._asking[attempt]
            self._ask_again(asking.target, now + _AGAIN)
        else:
            self._failed(attempt, now)
        return [ReleaseUpstream(attempt) if asking.answer.may_be_kept else CloseUpstream(attempt)]

    def _failed(self, attempt: int, now: float) -> None:
        asking = self._asking.pop(attempt, None)
        if asking is not None:
            self._ask_again(asking.target, now + _SOON)

    def _ask_again(self, target: Target, at: float) -> None:
        if target in self._known:
            self._due[target] = at

    def drain(self, now: float) -> list[Effect]:
        """Stop."""
        self._is_over = True
        asked, self._asking = list(self._asking), {}
        return [CloseUpstream(attempt) for attempt in asked]


def read_models(body: bytes) -> list[str]:
    """Names of models in a list of OpenAI's, Anthropic's or Gemini's shape; none when it is no such list.

    >>> read_models(b'{"data":[{"id":"a"}]}'), read_models(b'{"models":[{"name":"models/b"}]}'), read_models(b"[]")
    (['a'], ['b'], [])
    """
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    names = [card.id for card in found.data] + [card.name.removeprefix("models/") for card in found.models]
    return list(dict.fromkeys(name for name in names if name and name.isprintable() and len(name) < 200))
