"""What a provider says about its limits, in headers and in the body of an error.

Header names are in lower case, values bytes. Sources, seen 2026-11: RFC 9110 (Retry-After); OpenAI "Rate limits" (x-ratelimit-*, with
durations like ``6m0s``) and its SDK (retry-after-ms); Anthropic "Rate limits" (anthropic-ratelimit-*, RFC 3339 instants, and the unified 5h and 7d
windows of subscriptions in epoch seconds); google.rpc (RetryInfo, ErrorInfo); Codex (x-codex-primary-*, resets_at, resets_in_seconds). Whatever cannot be
read counts as not said: no function here raises, whatever a provider sends.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from dragoman.core.credentials.quota import ReportedWindow
from dragoman.core.instants import duration_in_words, parse_duration, told_delay

Field = tuple[bytes, bytes]

_YEAR: Final = 366 * 86400.0
_UNIFIED: Final = ("5h", "7d", "7d_oi")


def parse_instant(value: str, now: float) -> float | None:
    """Read an instant as providers write them: epoch seconds or milliseconds, RFC 3339, or a delay (``6m0s``, ``120ms``, ``12.5``).

    >>> parse_instant("6m0s", 1000.0), parse_instant("1970-01-01T01:00:00Z", 1000.0), parse_instant("1700000060000", 1.7e9)
    (1360.0, 3600.0, 1700000060.0)
    """
    read = _read_time(value.strip()[:64])
    if read is None:
        return None
    seconds, is_delay = read
    at = now + seconds if is_delay else seconds
    return at if at - now <= _YEAR else None


@lru_cache(maxsize=1024)  # every answer of a provider says how long its windows last, most often the same
def _read_time(text: str) -> tuple[float, bool] | None:
    """Seconds, and whether they count from now or from 1970."""
    try:
        number = float(text)
    except ValueError:
        return _read_worded(text)
    if not 0 <= number < 1e14:  # "nan" fails this too
        return None
    if number >= 1e11:
        number /= 1000
    return number, number < 1e9


def _read_worded(text: str) -> tuple[float, bool] | None:
    seconds = parse_duration(text)
    if seconds is not None:
        return seconds, True
    if not text[:4].isdecimal():
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp(), False
    except (ValueError, OverflowError):
        return None


def told_instant(fields: Sequence[Field], error: object, windows: Sequence[ReportedWindow], now: float) -> float | None:
    """When a provider that refused a request says to come again.

    Spent windows that it reports are believed first (the latest of them), then the header made for it, then the body.

    Args:
        fields: The answer's header fields.
        error: The decoded body of the answer; anything.
        windows: What `reported_windows` found in `fields`.
        now: Epoch seconds.

    Returns:
        Epoch seconds, never before `now`; None when it said nothing.

    """
    spent = [window.resets_at for window in windows if window.used >= 1 and window.resets_at > now]
    if spent:
        return max(spent)
    headers = dict(fields)
    milliseconds, after = headers.get(b"retry-after-ms", b""), headers.get(b"retry-after", b"")
    delay = told_delay(milliseconds.decode("latin-1"), after.decode("latin-1"), now=now)
    if delay is not None:
        return now + delay
    at = _told_in_body(error, now)
    if at is None and windows:  # it names windows and none of them is spent: the nearest is a better guess than none
        at = min(window.resets_at for window in windows)
    return None if at is None else max(now, at)


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number <= _YEAR * 1000 else None


def _told_in_body(error: object, now: float) -> float | None:
    return next(_instants_in(error, now), None)  # they come in order of trust


def _instants_in(error: object, now: float) -> Iterator[float]:
    for detail in details_of(error):
        kind = str(detail.get("@type", ""))
        if kind.endswith("google.rpc.RetryInfo"):
            yield from _read(detail.get("retryDelay"), now)
    for detail in details_of(error):
        metadata = detail.get("metadata")
        if isinstance(metadata, Mapping):
            yield from _read(metadata.get("quotaResetDelay"), now)
            yield from _read(metadata.get("quotaResetTimeStamp"), now)
    for part in error_parts(error):
        for key in ("resets_at", "resets_in_seconds", "retry_after", "retry_after_seconds"):
            yield from _read(part.get(key), now)
    for part in error_parts(error):
        seconds = duration_in_words(str(part.get("message", "")))
        if seconds is not None:
            yield now + seconds


def _read(value: object, now: float) -> Iterator[float]:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        at = parse_instant(str(value), now)
        if at is not None:
            yield at


def error_parts(error: object) -> list[Mapping[str, Any]]:
    """The mappings in which a provider's error says what it is: ``error``, ``response.error``, ``body.error``, and the body itself.

    Google wraps some errors in a list of one.
    """
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, Mapping):
        return []
    parts = [error]
    for outer in (error, error.get("response"), error.get("body")):
        if isinstance(outer, Mapping) and isinstance(outer.get("error"), Mapping):
            parts.insert(0, outer["error"])
    return parts


def details_of(error: object) -> list[Mapping[str, Any]]:
    """The ``details`` of a google.rpc.Status."""
    found: list[Mapping[str, Any]] = []
    for part in error_parts(error):
        details = part.get("details")
        if isinstance(details, list):
            found += [detail for detail in details if isinstance(detail, Mapping)]
    return found


def reported_windows(headers: Mapping[bytes, bytes], now: float) -> tuple[ReportedWindow, ...]:
    """What an answer's header fields, by name, say of the provider's own counts; with a success as well as with a refusal."""
    windows: list[ReportedWindow] = []
    # A provider counts in one way, and most answers say nothing: one look for each way, in C.
    if not _OPENAI_RESETS.isdisjoint(headers):
        _read_counted(_OPENAI_WINDOWS, headers, now, windows)
    if not _ANTHROPIC_RESETS.isdisjoint(headers):
        _read_counted(_ANTHROPIC_WINDOWS, headers, now, windows)
    if not _UNIFIED_RESETS.isdisjoint(headers):
        windows += _unified(headers, now)
    if not _CODEX_SHARES.isdisjoint(headers):
        windows += _codex(headers, now)
    return tuple(windows)


_Names = tuple[
    str, bytes, bytes, bytes
]  # of a window, and of the headers with its limit, what is left of it, and when it is whole again


def _openai(name: str, end: bytes) -> _Names:
    return name, b"x-ratelimit-limit" + end, b"x-ratelimit-remaining" + end, b"x-ratelimit-reset" + end


def _anthropic(name: str) -> _Names:
    start = b"anthropic-ratelimit-" + name.encode()
    return name, start + b"-limit", start + b"-remaining", start + b"-reset"


_OPENAI_WINDOWS: Final = (_openai("requests", b"-requests"), _openai("tokens", b"-tokens"), _openai("limit", b""))
_ANTHROPIC_WINDOWS: Final = tuple(map(_anthropic, ("requests", "tokens", "input-tokens", "output-tokens")))
# Without one of these there is no window.
_OPENAI_RESETS: Final = frozenset(reset for *_, reset in _OPENAI_WINDOWS)
_ANTHROPIC_RESETS: Final = frozenset(reset for *_, reset in _ANTHROPIC_WINDOWS)
_UNIFIED_RESETS: Final = frozenset(f"anthropic-ratelimit-unified-{name}-reset".encode() for name in _UNIFIED)
_CODEX_SHARES: Final = frozenset({b"x-codex-primary-used-percent", b"x-codex-secondary-used-percent"})


def _read_counted(
    windows: Sequence[_Names],
    headers: Mapping[bytes, bytes],
    now: float,
    found: list[ReportedWindow],
) -> None:
    for name, of_limit, of_remaining, of_reset in windows:
        remaining, reset = headers.get(of_remaining), headers.get(of_reset)
        if remaining is None or reset is None:
            continue
        left, at = _number(remaining), parse_instant(reset.decode("latin-1"), now)
        if left is None or at is None:
            continue
        limit = headers.get(of_limit)
        whole = _number(limit) if limit is not None else None
        used = 1.0 if left < 1 else max(0.0, 1 - left / whole) if whole else 0.0
        # OpenAI counts these for each model (or family of models), Anthropic too.
        found.append(ReportedWindow(name, used, at, int(left), "model"))


def _unified(headers: Mapping[bytes, bytes], now: float) -> Iterator[ReportedWindow]:
    """The windows of a Claude subscription. ``7d_oi`` is counted for some models only."""
    for name in _UNIFIED:
        start = f"anthropic-ratelimit-unified-{name}-".encode()
        reset = headers.get(start + b"reset")
        at = parse_instant(reset.decode("latin-1"), now) if reset is not None else None
        if at is None:
            continue
        share = _number(headers.get(start + b"utilization", b""))
        used = 1.0 if headers.get(start + b"status") == b"rejected" else min(share or 0.0, 0.999)
        yield ReportedWindow(name, used, at, scope="model" if name == "7d_oi" else "credential")


def _codex(headers: Mapping[bytes, bytes], now: float) -> Iterator[ReportedWindow]:
    """The two windows of a Codex account, with the share that is used in percent."""
    for name in (b"primary", b"secondary"):
        start = b"x-codex-" + name
        percent = _number(headers.get(start + b"-used-percent", b""))
        reset = headers.get(start + b"-reset-at") or headers.get(start + b"-reset-after-seconds")
        at = parse_instant(reset.decode("latin-1"), now) if reset is not None else None
        if percent is not None and at is not None:
            yield ReportedWindow(name.decode(), min(1.0, percent / 100), at)
