"""What an attempt came to, and what that says about whom.

A failure is first asked whether the request is to blame: then nobody else would answer better, and no credential suffers for it. Then whether the
credential lacks the model, is refused, has spent its allowance, or is only too fast; last whether the provider failed. The order
matters: a 400 that says "model not supported" is no fault of the client's, a 429 never is.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec
import orjson

from dragoman.core.config import Cooldowns
from dragoman.core.credentials.cooldown import Field, details_of, error_parts, reported_windows, told_instant
from dragoman.core.credentials.credential import CredentialInput
from dragoman.core.credentials.quota import ReportedWindow

_LOOKED_AT: Final = 64 * 1024  # of an error's body
_DAY: Final = 86_400.0


class Kind(Enum):
    """What an attempt came to."""

    __hash__ = object.__hash__  # an Enum's own is Python code

    OK = "ok"  #: an answer
    REQUEST_FAULT = "request_fault"  #: the request is at fault; no credential would do better
    MODEL_UNSUPPORTED = "model_unsupported"  #: this credential does not have the model
    NOT_FOUND = "not_found"  #: 404 without a word about the model
    UNAUTHORIZED = "unauthorized"  #: 401
    PAYMENT_REQUIRED = "payment_required"  #: 402
    FORBIDDEN = "forbidden"  #: 403
    INVALID_GRANT = "invalid_grant"  #: its token cannot be renewed
    RATE_LIMITED = "rate_limited"  #: too many requests
    QUOTA_SPENT = "quota_spent"  #: an allowance is used up
    CHALLENGE = "challenge"  #: a page for people in place of an answer
    FAILED = "failed"  #: 408, 5xx, and whatever is unknown
    UNREACHABLE = "unreachable"  #: no connection stands
    CUT = "cut"  #: the connection ended, or nothing came
    ABANDONED = "abandoned"  #: the client left, or the gateway ends


class Scope(Enum):
    """Whom an outcome is about."""

    CREDENTIAL = "credential"
    MODEL = "model"  #: this model of this credential
    REQUEST = "request"
    PROVIDER = "provider"


#: What each kind is to the credential's machine, and what it is about if nothing says otherwise.
MEANING: Final[Mapping[Kind, tuple[CredentialInput, Scope]]] = MappingProxyType({
    Kind.OK: (CredentialInput.SUCCEEDED, Scope.MODEL),
    Kind.REQUEST_FAULT: (CredentialInput.RELEASED, Scope.REQUEST),
    Kind.MODEL_UNSUPPORTED: (CredentialInput.REFUSED, Scope.MODEL),
    Kind.NOT_FOUND: (CredentialInput.REFUSED, Scope.MODEL),
    Kind.UNAUTHORIZED: (CredentialInput.REFUSED, Scope.CREDENTIAL),
    Kind.PAYMENT_REQUIRED: (CredentialInput.REFUSED, Scope.CREDENTIAL),
    Kind.FORBIDDEN: (CredentialInput.REFUSED, Scope.MODEL),
    Kind.INVALID_GRANT: (CredentialInput.REFUSED, Scope.CREDENTIAL),
    Kind.RATE_LIMITED: (CredentialInput.RATE_LIMITED, Scope.MODEL),
    Kind.QUOTA_SPENT: (CredentialInput.QUOTA_SPENT, Scope.CREDENTIAL),
    Kind.CHALLENGE: (CredentialInput.RATE_LIMITED, Scope.CREDENTIAL),
    Kind.FAILED: (CredentialInput.FAILED, Scope.MODEL),
    Kind.UNREACHABLE: (CredentialInput.RELEASED, Scope.PROVIDER),
    Kind.CUT: (CredentialInput.RELEASED, Scope.PROVIDER),
    Kind.ABANDONED: (CredentialInput.RELEASED, Scope.REQUEST),
})  # fmt: skip

_BY_STATUS: Final = MappingProxyType({
    400: Kind.REQUEST_FAULT, 401: Kind.UNAUTHORIZED, 402: Kind.PAYMENT_REQUIRED, 403: Kind.FORBIDDEN, 404: Kind.NOT_FOUND,
    405: Kind.REQUEST_FAULT, 406: Kind.REQUEST_FAULT, 409: Kind.REQUEST_FAULT, 411: Kind.REQUEST_FAULT, 413: Kind.REQUEST_FAULT,
    414: Kind.REQUEST_FAULT, 415: Kind.REQUEST_FAULT, 422: Kind.REQUEST_FAULT, 429: Kind.RATE_LIMITED,
})  # fmt: skip
_REQUEST_CODES: Final = frozenset({
    "cyber_policy", "context_length_exceeded", "message_too_big", "string_above_max_length", "invalid_prompt", "invalid_value",
    "unsupported_value", "invalid_request_error", "previous_response_not_found",
})  # fmt: skip
_REQUEST_TYPES: Final = frozenset({"invalid_request", "invalid_request_error", "bad_request_error", "invalid_prompt"})
_SPENT_CODES: Final = frozenset({
    "insufficient_quota", "quota_exceeded", "usage_limit_reached", "billing_hard_limit_reached", "free-usage-exhausted",
    "quota_exhausted",
})  # fmt: skip
_MODEL_CODES: Final = frozenset({"model_not_found", "model_not_supported", "unsupported_model", "model_not_available"})
_MODEL_WORDS: Final = re.compile(
    r"requested model is (?:not supported|unsupported|unavailable)|model not supported|unsupported model|model unavailable"
    r"|not available for your (?:plan|account)|model\b.{0,120}\b(?:does not exist|is not supported|not found)",
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip
_SPENT_WORDS: Final = re.compile(r"free allocated quota exceeded|included free usage|usage limit", re.IGNORECASE)
_NOT_STORED: Final = re.compile(
    r"item with id .{1,200} not found.{0,200}not persisted when `?store`? is set to false", re.IGNORECASE | re.DOTALL
)
_CHALLENGE: Final = re.compile(rb"challenge-platform|cf-mitigated|cloudflare challenge", re.IGNORECASE)


class Outcome(msgspec.Struct, frozen=True):
    """What an attempt came to.

    Attributes:
        kind: What.
        scope: Whom it is about.
        status: The provider's HTTP status; None when none arrived.
        retry_at: When the provider says to come again, epoch seconds; None when it says nothing.
        windows: What it said of its own counts.
        detail: For people; no secrets.
        tokens: Input and output tokens it took, as far as known.

    """

    kind: Kind
    scope: Scope
    status: int | None = None
    retry_at: float | None = None
    windows: tuple[ReportedWindow, ...] = ()
    detail: str = ""
    tokens: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the client has an answer from it."""
        return self.kind is Kind.OK

    @property
    def ends_the_exchange(self) -> bool:
        """Whether no other credential should be asked."""
        return self.kind in (Kind.OK, Kind.REQUEST_FAULT, Kind.ABANDONED)


def succeeded(fields: Mapping[bytes, bytes], now: float, *, status: int = 200, tokens: int = 0) -> Outcome:
    """An answer came; `fields` are its header fields by name."""
    return Outcome(Kind.OK, Scope.MODEL, status, windows=reported_windows(fields, now), tokens=tokens)


def broken(kind: Kind, detail: str = "") -> Outcome:
    """Nothing came, or not all of it: UNREACHABLE, CUT or ABANDONED."""
    return Outcome(kind, MEANING[kind][1], detail=detail)


def classify(status: int, fields: Sequence[Field], body: bytes, now: float, *, kind: Kind | None = None) -> Outcome:
    """Say what a provider's refusal means.

    Args:
        status: Its HTTP status; for an error hidden in a stream that began with 200, the status it stands for (503).
        fields: Its header fields, names in lower case.
        body: Its body; anything.
        now: Epoch seconds.
        kind: What a dialect has found out already.

    """
    error = _decode(body)
    windows = reported_windows(dict(fields), now)
    kind = kind or _kind_of(status, fields, body, error)
    scope = MEANING[kind][1]
    retry_at = None
    if kind in (Kind.RATE_LIMITED, Kind.QUOTA_SPENT, Kind.CHALLENGE, Kind.FAILED):
        retry_at = told_instant(fields, error, windows if status == 429 else (), now)
    spent = [window for window in windows if window.used >= 1]
    if kind is Kind.RATE_LIMITED and any(window.scope == "credential" for window in spent):
        kind, scope = Kind.QUOTA_SPENT, Scope.CREDENTIAL
    if kind is Kind.QUOTA_SPENT and retry_at is None and _has_code(error, {"free-usage-exhausted"}):
        retry_at = now + _DAY
    return Outcome(kind, scope, status, retry_at, windows, _detail(status, error))


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body[:_LOOKED_AT])
    except orjson.JSONDecodeError:
        return {"message": body[:2000].decode("utf-8", "replace")}


def _kind_of(status: int, fields: Sequence[Field], body: bytes, error: object) -> Kind:
    message = " ".join(str(part.get("message", ""))[:4000] for part in error_parts(error))
    if _is_challenge(fields, body):
        return Kind.CHALLENGE
    codes = _codes(error)
    if status in (400, 401) and ("invalid_grant" in codes or "invalid_grant" in message):
        return Kind.INVALID_GRANT
    if status in (400, 403, 404, 422) and (codes & _MODEL_CODES or _MODEL_WORDS.search(message)):
        return Kind.MODEL_UNSUPPORTED
    if status in (402, 403, 429, 503) and (codes & _SPENT_CODES or _SPENT_WORDS.search(message)):
        return Kind.QUOTA_SPENT
    if status == 429 and _google_reason(error) == "QUOTA_EXHAUSTED":
        return Kind.QUOTA_SPENT
    if status == 403 and ("bad-credentials" in codes or "access token could not be validated" in message):
        return Kind.UNAUTHORIZED
    if _blames_the_request(status, codes, message):
        return Kind.REQUEST_FAULT
    return _BY_STATUS.get(status, Kind.FAILED)


def _is_challenge(fields: Sequence[Field], body: bytes) -> bool:
    if any(name == b"cf-mitigated" for name, _ in fields):
        return True
    text = body[:_LOOKED_AT].lower()
    return _CHALLENGE.search(text) is not None or (b"<html" in text and b"cloudflare" in text)


def _blames_the_request(status: int, codes: frozenset[str], message: str) -> bool:
    # Never a payment, a limit or a key that is not accepted, whatever type the body gives itself.
    if status in (401, 402, 403, 429):
        return False
    if status < 500 and codes & (_REQUEST_CODES | _REQUEST_TYPES):
        return True
    return _NOT_STORED.search(message) is not None


def _codes(error: object) -> frozenset[str]:
    """The words for programs in an error, in lower case."""
    values = [part.get(key) for part in error_parts(error) for key in ("code", "type", "status")]
    values += [part.get("error") for part in error_parts(error)]
    return frozenset(value.lower()[:100] for value in values if isinstance(value, str))


def _has_code(error: object, codes: set[str]) -> bool:
    return not codes.isdisjoint(_codes(error))


def _google_reason(error: object) -> str:
    return next((str(detail["reason"]) for detail in details_of(error) if "reason" in detail), "")


def _detail(status: int, error: object) -> str:
    """A short sentence for the operator: the status and the provider's word for programs, never its free text (it may quote the request)."""
    codes = sorted(code for code in _codes(error) if re.fullmatch(r"[a-z0-9_.-]{1,60}", code))
    return f"answered {status}" + (f" ({', '.join(codes[:2])})" if codes else "")


def wait_for(outcome: Outcome, level: int, times: Cooldowns, now: float) -> tuple[float, bool]:
    """When to try again after `outcome`, and whether the provider named that instant.

    Args:
        outcome: A failure.
        level: How many waits had to be guessed in a row before.
        times: The configured durations.
        now: Epoch seconds.

    """
    if outcome.retry_at is not None:
        return min(outcome.retry_at, now + times.longest_told), True
    match outcome.kind:
        case Kind.UNAUTHORIZED:
            wait = times.unauthorized
        case Kind.PAYMENT_REQUIRED | Kind.FORBIDDEN:
            wait = times.payment_required
        case Kind.NOT_FOUND:
            wait = times.not_found
        case Kind.MODEL_UNSUPPORTED:
            wait = times.model_unsupported
        case Kind.INVALID_GRANT:
            wait = times.invalid_grant
        case Kind.RATE_LIMITED | Kind.QUOTA_SPENT | Kind.CHALLENGE:
            wait = min(times.first_backoff * 2.0 ** min(level, 40), times.longest_backoff)
            wait = max(wait, times.challenge) if outcome.kind is Kind.CHALLENGE else wait
        case _:
            wait = max(0.0, times.transient) if outcome.kind is Kind.FAILED else 0.0
    return now + wait, False
