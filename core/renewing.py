"""Renewing the tokens of credentials, on behalf of nobody: in good time before they end, and at once when a provider refused one.

A `TokenRenewal` has the border of a client connection (`dragoman.core.effects`), without a client: a transport drives it like any other. What it
learns goes to the tokens and the pool of the gateway's router, and to whoever keeps the files; the life of one token is
`dragoman.core.credentials.oauth`.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from dragoman.core.config import Config, Credential, Renewal
from dragoman.core.credentials.oauth import (
    NewToken,
    NoToken,
    RenewalState,
    TokenLife,
    build_claims,
    build_request,
    parse_answer,
)
from dragoman.core.effects import (
    CloseUpstream,
    ConnectFailure,
    Effect,
    OpenUpstream,
    Origin,
    WriteUpstream,
)
from dragoman.core.errors import UpstreamError
from dragoman.core.gateway import Gateway
from dragoman.core.half_borders import Clientless
from dragoman.core.upstream import WholeAnswer
from dragoman.core.urls import parse_proxy, split_url

LOOK: Final = 0.1  # seconds between looks for who was refused and what was saved
_SELDOM: Final = 1.0  # and for another configuration, where there is nothing to renew
_PATIENCE: Final = 30.0  # seconds for the whole of an answer
_LIMIT: Final = 1024 * 1024  # bytes of an answer
_AT_A_TIME: Final = 16


@attrs.frozen
class RenewalNews:
    """What came of a renewal, for logs.

    Attributes:
        provider: Whose token.
        credential: Its label.
        reason: Why there is no new one; empty when there is.
        next_at: When it will be tried again, or the new one renewed; None for never.

    """

    provider: str
    credential: str
    reason: str
    next_at: float | None


@attrs.frozen
class Kept:
    """What is to be kept of a renewal: the file, the refresh token that was used, what came of it, and when."""

    identity: str
    file: str
    used: str = attrs.field(repr=False)
    token: NewToken
    at: float


class _Asking:
    """A token endpoint being asked."""

    def __init__(
        self, identity: str, renewal: Renewal, answer: WholeAnswer, until: float, is_second: bool = False
    ) -> None:
        self.identity = identity
        self.renewal = renewal
        self.answer = answer
        self.until = until
        self.is_second = is_second


class _Holder:
    """A credential whose token is renewed."""

    def __init__(self, provider: str, credential: Credential, origin: Origin, life: TokenLife) -> None:
        self.provider = provider
        self.label = credential.label
        self.origin = origin
        self.life = life
        self.is_asked = False  # by a refusal: the pool waits for the end
        self.attempt = 0
        self.saving: NewToken | None = None


class TokenRenewal(Clientless):
    """Renews the tokens of a gateway's credentials.

    Args:
        gateway: The gateway.
        now: When to begin, epoch seconds.
        user_agent: What providers are told about us.
        keep: Gets each new token to be kept; must not wait.
        kept: Gives the identities of those that `keep` is done with, each once; must not wait.
        record: Gets what came of each renewal.
        sign: Signs with a private key (PEM), RS256; raises ValueError where it cannot, with a reason for people.

    """

    def __init__(
        self,
        gateway: Gateway,
        now: float,
        *,
        user_agent: str,
        keep: Callable[[Kept], None],
        kept: Callable[[], Iterable[str]],
        record: Callable[[RenewalNews], None],
        sign: Callable[[str, bytes], bytes],
    ) -> None:
        self._gateway = gateway
        self._user_agent = user_agent
        self._keep = keep
        self._kept = kept
        self._record = record
        self._sign = sign
        self._holders: dict[str, _Holder] = {}
        self._asking: dict[int, _Asking] = {}
        self._attempts = 0
        self._look_at = now
        self._due_at = -math.inf
        self._config: Config | None = None
        self._is_draining = False

    # --- time ---

    def next_deadline(self) -> float:
        """When `handle_timer` is due, epoch seconds."""
        if self._is_draining and not self._asking and not any(h.saving for h in self._holders.values()):
            return math.inf
        return self._look_at

    def handle_timer(self, now: float) -> list[Effect]:
        """See who needs a new token, and ask for it."""
        effects: list[Effect] = []
        if now < self._look_at:
            return effects
        if self._gateway.config is not self._config and not self._is_draining:
            self._adopt(effects)
        for identity in self._kept():
            self._saved(identity, now)
        for attempt, asking in list(self._asking.items()):
            if now >= asking.until:
                effects.append(CloseUpstream(attempt))
                self._missed(attempt, NoToken(False, "its token could not be renewed: no answer came in time"), now)
        if not self._is_draining:
            for identity in self._gateway.router.pool.take_renewals():
                self._refused(identity, now, effects)
            if now >= self._due_at:
                self._begin_due(now, effects)
        self._look_at = now + (LOOK if self._holders else _SELDOM)
        return effects

    def _adopt(self, effects: list[Effect]) -> None:
        """Take the credentials of a (new) configuration. Who stays goes on where it was; who has another login begins anew."""
        config = self._config = self._gateway.config
        holders: dict[str, _Holder] = {}
        for provider in config.providers:
            for credential in provider.credentials:
                renewal = credential.renewal
                if renewal is None or credential.disabled or provider.disabled:
                    continue
                identity = credential.identity
                holder = self._holders.pop(identity, None)
                if holder is None:
                    holder = _Holder(
                        provider.name, credential, _origin(config, credential, renewal), TokenLife(renewal)
                    )
                elif holder.life.offer(renewal):
                    self._let_go(holder, effects)
                holder.origin = _origin(config, credential, renewal)
                holders[identity] = holder
        for holder in self._holders.values():
            self._let_go(holder, effects)
        self._holders = holders
        self._due_at = -math.inf

    def _let_go(self, holder: _Holder, effects: list[Effect]) -> None:
        if self._asking.pop(holder.attempt, None) is not None:
            effects.append(CloseUpstream(holder.attempt))
        holder.attempt, holder.is_asked, holder.saving = 0, False, None

    # --- asking ---

    def _refused(self, identity: str, now: float, effects: list[Effect]) -> None:
        """A provider refused a token: renew it, or say that that cannot be."""
        holder = self._holders.get(identity)
        if holder is None:
            if identity in self._gateway.router.pool.members:
                self._gateway.router.pool.end_renewal(identity, now, renewed=False)
            return
        life = holder.life
        was = life.state
        life.begin(is_asked=True)
        holder.is_asked = True
        if was is RenewalState.VALID:
            self._open(identity, holder, now, effects)
        elif life.state in (RenewalState.WAITING, RenewalState.FAILED):
            self._end(identity, holder, now, renewed=False)

    def _begin_due(self, now: float, effects: list[Effect]) -> None:
        for identity, holder in self._holders.items():
            if now >= holder.life.due_at and len(self._asking) < _AT_A_TIME:
                holder.life.begin()
                self._gateway.router.pool.note_renewal(identity, "refreshing")
                self._open(identity, holder, now, effects)
        self._due_at = min((holder.life.due_at for holder in self._holders.values()), default=math.inf)

    def _open(
        self, identity: str, holder: _Holder, now: float, effects: list[Effect], *, is_second: bool = False
    ) -> None:
        self._attempts += 1
        holder.attempt = self._attempts
        answer = WholeAnswer(self._gateway.heads, _LIMIT)
        self._asking[self._attempts] = _Asking(identity, holder.life.renewal, answer, now + _PATIENCE, is_second)
        # A kept connection that turns out to be dead would leave open whether the refresh token was used.
        effects.append(OpenUpstream(self._attempts, holder.origin, fresh=True))

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        """A connection stands: ask."""
        asking = self._asking.get(attempt)
        if asking is None:
            return []
        renewal, claims, signature = asking.renewal, b"", b""
        if renewal.issuer:
            claims = build_claims(renewal, now)
            try:
                signature = self._sign(renewal.refresh_token, claims)
            except ValueError as error:
                self._missed(attempt, NoToken(True, f"its token cannot be made: {error}"), now)
                return [CloseUpstream(attempt)]
        return [WriteUpstream(attempt, build_request(renewal, self._user_agent, claims, signature))]

    def upstream_failed(self, attempt: int, failure: ConnectFailure, now: float) -> list[Effect]:
        """A token endpoint cannot be reached."""
        asking = self._asking.get(attempt)
        if asking is None:
            return []
        if not asking.is_second:  # nothing was sent: once more is safe, and many wait
            del self._asking[attempt]
            effects: list[Effect] = []
            self._open(asking.identity, self._holders[asking.identity], now, effects, is_second=True)
            return effects
        self._missed(attempt, NoToken(False, f"its token could not be renewed: {failure.detail}"), now)
        return []

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        """A token endpoint answers; nothing: it closed."""
        asking = self._asking.get(attempt)
        if asking is None:
            return []
        try:
            whole = asking.answer.take(data)
        except UpstreamError:
            self._missed(attempt, NoToken(False, "its token could not be renewed: the answer was cut or no HTTP"), now)
            return [CloseUpstream(attempt)]
        if whole is None:
            return []
        head, body = whole
        answer = parse_answer(head.status, head.fields, body, now)
        if isinstance(answer, NoToken):
            self._missed(attempt, answer, now)
        else:
            self._granted(attempt, answer, now)
        return [CloseUpstream(attempt)]

    # --- what came of it ---

    def _granted(self, attempt: int, token: NewToken, now: float) -> None:
        """It is kept before it is used: a crash must not lose the only one that is good."""
        asking = self._asking.pop(attempt)
        holder = self._holders[asking.identity]
        holder.attempt, holder.saving = 0, token
        holder.life.granted(token, now)
        if asking.renewal.issuer:  # another can be made at any time: it is not kept
            self._saved(asking.identity, now)
            return
        self._keep(Kept(asking.identity, asking.renewal.file, asking.renewal.refresh_token, token, now))

    def _saved(self, identity: str, now: float) -> None:
        holder = self._holders.get(identity)
        token = holder.saving if holder is not None else None
        if holder is None or token is None:
            return  # gone, or replaced by another login meanwhile
        holder.saving = None
        holder.life.saved(now)
        self._gateway.router.tokens[identity].renew(token.access_token)
        self._end(identity, holder, now, renewed=True)

    def _missed(self, attempt: int, answer: NoToken, now: float) -> None:
        asking = self._asking.pop(attempt)
        holder = self._holders[asking.identity]
        holder.attempt = 0
        holder.life.missed(answer, now)
        self._end(asking.identity, holder, now, renewed=False)

    def _end(self, identity: str, holder: _Holder, now: float, *, renewed: bool) -> None:
        pool, life = self._gateway.router.pool, holder.life
        self._due_at = min(self._due_at, life.due_at)
        if identity in pool.members:
            if renewed:
                pool.end_renewal(identity, now, renewed=True)
            elif holder.is_asked or life.state is RenewalState.FAILED:
                pool.end_renewal(identity, now, renewed=False, reason=life.reason)
            else:
                pool.note_renewal(identity, "failed")
        holder.is_asked = False
        next_at = None if life.due_at == math.inf else life.due_at
        self._record(RenewalNews(holder.provider, holder.label, "" if renewed else life.reason, next_at))

    # --- the rest of the border ---

    def drain(self, now: float) -> list[Effect]:
        """Begin nothing more. What was asked for is waited for: the token it was asked with may be good no more."""
        self._is_draining = True
        return []

    def abort(self, now: float) -> list[Effect]:
        """Stop."""
        self._is_draining = True
        asked, self._asking = list(self._asking), {}
        for holder in self._holders.values():
            holder.saving = None  # it is being kept, and used at the next start
        return [CloseUpstream(attempt) for attempt in asked]


def _origin(config: Config, credential: Credential, renewal: Renewal) -> Origin:
    url = split_url(renewal.token_url)
    proxy = parse_proxy(credential.proxy_url if credential.proxy_url is not None else config.proxy_url or "")
    return Origin(url.scheme, url.host, url.port, proxy, config.ca_file)
