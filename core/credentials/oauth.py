"""Renewing a token (RFC 6749, section 6): when, with which request, what the answer means, and what the file holds afterwards.

Rule 1: every change of state is a row of `TRANSITIONS`. Rule 2: a refresh token is used once at a time, for many providers take it back when it is
used. Rule 3: a new token is kept before it is relied on. Rule 4: who refuses is not asked again until the file says something else; who is in
trouble is asked again later and later. As whom is asked stands in the user's own file or configuration, never here.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

import attrs
import orjson

from dragoman.core.config import Renewal
from dragoman.core.credentials.files import (
    ACCESS_TOKENS,
    EXPIRIES,
    REFRESHES,
    VISIBLE,
    is_in_milliseconds,
    parse_instant,
)
from dragoman.core.errors import MisuseError
from dragoman.core.http_heads import Field
from dragoman.core.instants import parse_retry_after
from dragoman.core.urls import split_url

LEAST_BETWEEN: Final = 60.0  # seconds between two renewals in good time, whatever the provider says of its tokens
_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 300.0
_LONGEST_LIFE: Final = 10 * 366 * 86_400.0
_REFUSALS: Final = frozenset({400, 401, 403})
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_WORD: Final = re.compile(r"[a-z0-9_.-]{1,60}", re.IGNORECASE)
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_REFRESH_TOKENS: Final = ("refresh_token", "refreshToken")


class RenewalState(Enum):
    """Where the token of a credential is."""

    VALID = auto()  #: nothing to do until it is due
    REFRESHING = auto()  #: a new one was asked for
    SAVING = auto()  #: it came, and is being written to its file
    WAITING = auto()  #: it did not come for now; asked again later
    FAILED = auto()  #: it was refused; the file must change


class RenewalInput(Enum):
    """What can happen to it."""

    DUE = auto()  #: its end is near
    ASKED = auto()  #: the provider refused the present one
    GRANTED = auto()  #: a new one came
    SAVED = auto()  #: it is in its file (or that was tried)
    REFUSED = auto()  #: there will be no new one
    TROUBLED = auto()  #: no answer, or one that says to come later
    WAIT_OVER = auto()  #: later has come
    REPLACED = auto()  #: the file says another login


_S = RenewalState
_I = RenewalInput

TRANSITIONS: Final[Mapping[tuple[RenewalState, RenewalInput], RenewalState]] = MappingProxyType({
    (_S.VALID, _I.DUE): _S.REFRESHING,
    (_S.VALID, _I.ASKED): _S.REFRESHING,
    (_S.VALID, _I.REPLACED): _S.VALID,
    (_S.REFRESHING, _I.ASKED): _S.REFRESHING,  # one at a time: what is on its way is for both
    (_S.REFRESHING, _I.GRANTED): _S.SAVING,
    (_S.REFRESHING, _I.REFUSED): _S.FAILED,
    (_S.REFRESHING, _I.TROUBLED): _S.WAITING,
    (_S.REFRESHING, _I.REPLACED): _S.VALID,
    (_S.SAVING, _I.ASKED): _S.SAVING,
    (_S.SAVING, _I.SAVED): _S.VALID,
    (_S.SAVING, _I.REPLACED): _S.VALID,
    (_S.WAITING, _I.ASKED): _S.WAITING,  # a provider in trouble is not asked more often for it
    (_S.WAITING, _I.WAIT_OVER): _S.REFRESHING,
    (_S.WAITING, _I.REPLACED): _S.VALID,
    (_S.FAILED, _I.ASKED): _S.FAILED,
    (_S.FAILED, _I.REPLACED): _S.VALID,
})  # fmt: skip


@attrs.frozen
class NewToken:
    """What a provider gave.

    Attributes:
        access_token: The new token.
        refresh_token: For the next; empty: the one before stays.
        id_token: Who it is for; empty when none came.
        expires_at: When it ends, epoch seconds; None when that was not said.

    """

    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(default="", repr=False)
    id_token: str = attrs.field(default="", repr=False)
    expires_at: float | None = None


@attrs.frozen
class NoToken:
    """What a provider said instead.

    Attributes:
        is_final: Asking again with the same refresh token is of no use.
        reason: For people; nothing of the answer but its word for programs.
        retry_at: When to come again, epoch seconds; None when that was not said.

    """

    is_final: bool
    reason: str
    retry_at: float | None = None


class TokenLife:
    """The life of one credential's token.

    Attributes:
        renewal: With what the next one is asked for.
        state: Where it is.
        due_at: When something is to be done (DUE or WAIT_OVER), epoch seconds; infinite when nothing is.
        reason: Why there is no new one; empty when all is well.

    """

    __slots__ = ("_failures", "_past", "due_at", "reason", "renewal", "state")

    def __init__(self, renewal: Renewal) -> None:
        self.renewal = renewal
        self.state = RenewalState.VALID
        self.reason = ""
        self.due_at = renew_at(renewal)
        self._failures = 0
        self._past: list[str] = []

    def receive(self, received: RenewalInput) -> None:
        """Take an input.

        Raises:
            MisuseError: It cannot happen in this state.

        """
        state = TRANSITIONS.get((self.state, received))
        if state is None:
            raise MisuseError(f"can't handle {received.name} in state {self.state.name}")
        self.state = state

    def begin(self, *, is_asked: bool = False) -> None:
        """A new token is being asked for now."""
        due = RenewalInput.WAIT_OVER if self.state is RenewalState.WAITING else RenewalInput.DUE
        self.receive(RenewalInput.ASKED if is_asked else due)
        if self.state is RenewalState.REFRESHING:
            self.due_at = math.inf

    def granted(self, token: NewToken, now: float) -> None:
        """A new token came."""
        self.receive(RenewalInput.GRANTED)
        self._past = [*self._past[-7:], self.renewal.refresh_token]
        self.renewal = attrs.evolve(
            self.renewal,
            refresh_token=token.refresh_token or self.renewal.refresh_token,
            expires_at=token.expires_at,
            issued_at=now,
        )

    def saved(self, now: float) -> None:
        """It is kept."""
        self.receive(RenewalInput.SAVED)
        self._failures, self.reason = 0, ""
        self.due_at = max(renew_at(self.renewal), now + LEAST_BETWEEN)

    def missed(self, answer: NoToken, now: float) -> None:
        """There is none, for now or for good."""
        self.receive(RenewalInput.REFUSED if answer.is_final else RenewalInput.TROUBLED)
        self.reason = answer.reason
        if answer.is_final:
            return
        wait = min(_FIRST_WAIT * 2.0 ** min(self._failures, 30), _LONGEST_WAIT)
        self._failures += 1
        told = min(answer.retry_at - now, _LONGEST_WAIT) if answer.retry_at is not None else 0.0
        self.due_at = now + max(wait, told)

    def offer(self, renewal: Renewal) -> bool:
        """A configuration says `renewal`. Returns whether that is another login.

        A file that was read before a renewal was written to it says a refresh token of the past: that is no news.
        """
        mine = self.renewal
        is_same = renewal.refresh_token == mine.refresh_token
        if is_same or renewal.refresh_token in self._past:
            # Where and as whom may have changed; what the token is, and when it ends, is known better here, unless somebody else renewed it.
            if not is_same or (renewal.expires_at or 0.0) <= (mine.expires_at or 0.0):
                renewal = attrs.evolve(renewal, expires_at=mine.expires_at, issued_at=mine.issued_at)
            renewal = attrs.evolve(renewal, refresh_token=mine.refresh_token)
            if self.state is not RenewalState.FAILED or renewal == mine:
                self.renewal = renewal
                if self.state is RenewalState.VALID:
                    self.due_at = max(self.due_at, renew_at(renewal))
                return False
        self.receive(RenewalInput.REPLACED)
        self._failures, self.reason = 0, ""
        self.renewal = renewal
        self.due_at = renew_at(renewal)
        return True


def renew_at(renewal: Renewal) -> float:
    """When a token should be renewed: some time before its end, but not in the first half of its life; infinite when its end is not known.

    >>> renew_at(Renewal("f", "https://t", "r", expires_at=1000.0, lead=300.0))
    700.0
    >>> renew_at(Renewal("f", "https://t", "r", expires_at=1000.0, lead=300.0, issued_at=900.0))
    950.0
    """
    if renewal.expires_at is None:
        return math.inf
    lead = renewal.lead
    if renewal.issued_at is not None and renewal.issued_at < renewal.expires_at:
        lead = min(lead, (renewal.expires_at - renewal.issued_at) / 2)
    return renewal.expires_at - lead


def build_claims(renewal: Renewal, now: float) -> bytes:
    """What the account of a service signs (RFC 7523, section 3), ready to be signed with RS256."""
    claims = {"iss": renewal.issuer, "scope": _SCOPE, "aud": renewal.token_url, "iat": int(now), "exp": int(now) + 3600}
    return b".".join(_base64url(orjson.dumps(part)) for part in ({"alg": "RS256", "typ": "JWT"}, claims))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def build_request(renewal: Renewal, user_agent: str, claims: bytes = b"", signature: bytes = b"") -> bytes:
    """The whole request for a new token; with `claims` and their `signature` for the account of a service."""
    url = split_url(renewal.token_url)
    fields = {"grant_type": "refresh_token", "refresh_token": renewal.refresh_token}
    if claims:
        fields = {"grant_type": _BEARER, "assertion": (claims + b"." + _base64url(signature)).decode("ascii")}
    fields |= {"client_id": renewal.client_id} if renewal.client_id else {}
    fields |= {"client_secret": renewal.client_secret} if renewal.client_secret else {}
    if renewal.sends_json:
        kind, body = "application/json", orjson.dumps(fields)
    else:
        kind, body = "application/x-www-form-urlencoded", _form(fields)
    head = (
        f"POST {url.path or '/'} HTTP/1.1\r\nhost: {url.authority}\r\nuser-agent: {user_agent}\r\naccept: application/json\r\n"
        f"accept-encoding: identity\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def _form(fields: Mapping[str, str]) -> bytes:
    """As HTML forms are sent (RFC 6749, appendix B)."""
    return b"&".join(b"%b=%b" % (_quoted(name), _quoted(value)) for name, value in fields.items())


def _quoted(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"".join(bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte for byte in raw)


def parse_answer(status: int, fields: Sequence[Field], body: bytes, now: float) -> NewToken | NoToken:
    """Read what a token endpoint answered; anything may come, nothing is raised."""
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    if status == 200:
        return _new_token(data, now)
    word = _word(data)
    if status in _REFUSALS and word:
        # A page for people has no such word: it is a bar in front of the provider, and says nothing about the token.
        return NoToken(True, f"the provider refused to renew its token ({word}): log in again")
    retry = next((value for name, value in fields if name == b"retry-after"), b"").decode("latin-1")
    retry_at = parse_retry_after(retry, now=now) if retry else None
    return NoToken(
        False, f"its token could not be renewed: answered {status}" + (f" ({word})" if word else ""), retry_at
    )


def _new_token(data: object, now: float) -> NewToken | NoToken:
    found = data if isinstance(data, Mapping) else {}
    texts = {
        name: value
        for name in ("access_token", "refresh_token", "id_token")
        if isinstance(value := found.get(name), str)
    }
    if not VISIBLE.fullmatch(texts.get("access_token", "")):
        return NoToken(False, "its token could not be renewed: the answer has none in it")
    life = found.get("expires_in")
    if isinstance(life, str) and life.isascii() and life.isdigit() and len(life) < 12:
        life = int(life)
    is_life = isinstance(life, (int, float)) and not isinstance(life, bool) and 0 < life < _LONGEST_LIFE
    expires_at = (
        now + float(life) if is_life and isinstance(life, (int, float)) else parse_instant(found.get("expires_at"))
    )
    return NewToken(texts["access_token"], texts.get("refresh_token", ""), texts.get("id_token", ""), expires_at)


def _word(data: object) -> str:
    """The word for programs in an error: RFC 6749's ``error``, or ``code`` and ``type`` of an object in its place."""
    error = data.get("error") if isinstance(data, Mapping) else None
    found = [error] if isinstance(error, str) else []
    if isinstance(error, Mapping):
        found = [value for key in ("code", "type", "status") if isinstance(value := error.get(key), str)]
    return next((word for word in found if _WORD.fullmatch(word)), "")


def renewed_file(data: Mapping[str, Any], used: str, token: NewToken, now: float) -> Mapping[str, Any] | None:
    """What a credential file should hold after a renewal: the new token where the old one is, all else as it was.

    Args:
        data: What it holds.
        used: The refresh token that was used.
        token: What came of it.
        now: Epoch seconds.

    Returns:
        None when the file has another refresh token by now: somebody else has renewed it or logged in again, and that stands.

    """
    inner = data.get("token")
    is_inside = isinstance(inner, Mapping) and any(name in inner for name in ACCESS_TOKENS)
    place: dict[str, Any] = dict(inner if is_inside and isinstance(inner, Mapping) else data)
    refresh = _named(place, _REFRESH_TOKENS)
    if place.get(refresh, data.get(refresh)) != used:
        return None
    place[_named(place, ACCESS_TOKENS)] = token.access_token
    if token.refresh_token:
        place[refresh] = token.refresh_token
    changed = {**data, "token": place} if is_inside else place
    if token.id_token:
        changed["id_token"] = token.id_token
    if token.expires_at is not None:
        _set_instants(changed, place, token.expires_at, now)
    refreshed = _named(changed, REFRESHES)
    changed[refreshed] = _like(changed.get(refreshed), now)
    return changed


def _set_instants(changed: dict[str, Any], place: dict[str, Any], expires_at: float, now: float) -> None:
    """Every expiry that the file has, each in its own form; ``expired`` where it has none."""
    places = [changed] if place is changed else [changed, place]
    found = [(where, name) for where in places for name in EXPIRIES if where.get(name) is not None]
    for where, name in found or [(place, "expiry" if place is not changed else "expired")]:
        where[name] = _like(where.get(name), expires_at)
    for where in places:
        if "expires_in" in where:
            where["expires_in"] = round(expires_at - now)


def _named(place: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((name for name in names if place.get(name) is not None), names[0])


def _like(before: object, instant: float) -> object:
    """An instant in the form that stood there: a number of seconds or milliseconds, or a text."""
    text = before.strip() if isinstance(before, str) else ""
    is_number = not isinstance(before, str) or (text.isascii() and text.isdigit())
    if is_number and parse_instant(before) is not None:
        number = round(instant * 1000 if is_in_milliseconds(before) else instant)
        return str(number) if text else number
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
