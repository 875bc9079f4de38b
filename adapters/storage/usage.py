"""Sums of the usage ledger, for people and programs: by model, provider, key, day ..., of any time.

A sum of counts that no provider gave is None, and not 0. Costs are whole trillionths of the currency of the price table; they are summed in two
halves, for SQLite's sums end at 64 bits.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs
import orjson

from dragoman.adapters.storage.database import reading
from dragoman.adapters.storage.usage_file import SCHEMA
from dragoman.core.config_nodes import parse_seconds
from dragoman.core.ledger import money

#: What sums may be grouped by, and how SQL says it.
GROUPS: Final[Mapping[str, str]] = MappingProxyType({
    "model": "model", "upstream-model": "upstream_model", "provider": "provider", "credential": "credential",
    "client-key": "client_key", "dialect": "dialect", "status": "status", "fault": "fault", "streamed": "streamed",
    "hour": "strftime('%Y-%m-%dT%H:00Z', at, 'unixepoch')", "day": "strftime('%Y-%m-%d', at, 'unixepoch')",
    "month": "strftime('%Y-%m', at, 'unixepoch')",
})  # fmt: skip
#: What rows may be chosen by.
FILTERS: Final = ("model", "upstream-model", "provider", "credential", "client-key", "dialect", "status", "fault")

_HALF: Final = 10**9
_PATIENCE: Final = 10.0  # seconds that sums may take
_STEPS: Final = 100_000  # of SQLite's machine between looks at the clock
_SUMS: Final = (
    "count(*), count(*) FILTER (WHERE status >= 400 OR fault <> ''), sum(streamed), sum(attempts), "
    "count(*) FILTER (WHERE has_usage = 0 AND status < 400), count(*) FILTER (WHERE has_usage = 1 AND cost IS NULL), "
    "sum(input), sum(output), sum(reasoning), sum(cache_read), sum(cache_write), sum(total), "
    f"sum(cost / {_HALF}), sum(cost % {_HALF}), avg(latency), avg(first_byte)"
)


@attrs.frozen
class UsageQuery:
    """What sums are asked for.

    Attributes:
        by: Of `GROUPS`, in order; none: everything in one.
        since: Of exchanges that ended at this instant or later, epoch seconds; None: from the beginning.
        until: Of exchanges that ended before this instant; None: to the end.
        filters: Names of `FILTERS` and what must stand there.
        limit: The most groups; those with most tokens come first.

    """

    by: tuple[str, ...] = ("model",)
    since: float | None = None
    until: float | None = None
    filters: tuple[tuple[str, str], ...] = ()
    limit: int = 1000


@attrs.frozen
class UsageSums:
    """Sums of exchanges. Token counts are None when no provider gave any.

    Attributes:
        keys: What these exchanges have in common, in the order of `UsageQuery.by`.
        requests: Exchanges.
        failures: Of them those that failed, whoever is to blame.
        streamed: Of them those that were streams.
        attempts: At providers.
        usage_missing: Exchanges that had an answer whose tokens nobody counted: they are not in the sums of tokens.
        unpriced: Exchanges with counted tokens of a kind that has no price: they are not in the cost.
        input: Tokens; those read from and written to caches are in it.
        output: Tokens; those of reasoning are in it.
        reasoning: Tokens.
        cache_read: Tokens.
        cache_write: Tokens.
        total: Tokens.
        cost: In trillionths; None when nothing has a price.
        latency: Mean seconds to the end of an answer; None of no exchanges.
        first_byte: Mean seconds to its first byte.

    """

    keys: tuple[str, ...]
    requests: int
    failures: int
    streamed: int
    attempts: int
    usage_missing: int
    unpriced: int
    input: int | None
    output: int | None
    reasoning: int | None
    cache_read: int | None
    cache_write: int | None
    total: int | None
    cost: int | None
    latency: float | None
    first_byte: float | None


@attrs.frozen
class UsageReport:
    """Sums by group, and of all.

    Attributes:
        query: What was asked.
        rows: The groups, that with most tokens first; those by time in its order.
        total: Of everything asked for, also what is in no row for the limit.
        is_cut: There are more groups than `UsageQuery.limit`.

    """

    query: UsageQuery
    rows: tuple[UsageSums, ...]
    total: UsageSums
    is_cut: bool = False


def parse_usage_query(
    by: str, since: str, until: str, filters: Mapping[str, str], now: float, limit: int = 1000
) -> UsageQuery:
    """Make a query from texts, as they come from a command line or a URL; empty ones say nothing.

    Args:
        by: Names of `GROUPS` with commas between them; a word may have ``_`` for ``-``.
        since: How long ago, like ``7d`` or ``1h30m``, or a date or instant of ISO 8601 (UTC where it does not say).
        until: The same.
        filters: Names of `FILTERS` and what must stand there.
        now: Epoch seconds.
        limit: The most groups.

    Raises:
        ValueError: With what cannot be understood, and what could be.

    """
    names = tuple(name.strip().replace("_", "-") for name in by.split(",") if name.strip())
    for name in names:
        if name not in GROUPS:
            raise ValueError(f"by: {name[:40]!r} is none of {', '.join(GROUPS)}")
    chosen = [(name.replace("_", "-"), value) for name, value in filters.items() if value]
    for name, _ in chosen:
        if name not in FILTERS:
            raise ValueError(f"{name[:40]!r} is none of {', '.join(FILTERS)}")
    return UsageQuery(
        tuple(dict.fromkeys(names)), _instant("since", since, now), _instant("until", until, now), tuple(chosen), limit
    )


def _instant(name: str, text: str, now: float) -> float | None:
    if not text:
        return None
    ago = parse_seconds(text)
    if ago is not None:
        return now - ago
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{name}: expected how long ago, like 7d or 12h, or a date like 2026-01-31; got {text[:40]!r}"
        ) from None


def read_usage(path: Path, query: UsageQuery = UsageQuery()) -> UsageReport:
    """Sums of a ledger that a running gateway may be writing to; of nothing when there is no file. It may take seconds: use a thread.

    Raises:
        StorageError: It cannot be read, or not in time.

    """
    nothing = UsageReport(query, (), _sums((), _NOTHING))
    if not path.exists():
        return nothing
    conditions, values = _conditions(query)
    groups = [GROUPS[name] for name in query.by]
    by_time = [str(i + 1) for i, name in enumerate(query.by) if name in ("hour", "day", "month")]
    order = ", ".join([*by_time, "sum(total) DESC", "count(*) DESC", *map(str, range(1, len(groups) + 1))])
    with reading(path, SCHEMA) as connection:
        if connection is None:
            return nothing
        ends_at = time.monotonic() + _PATIENCE
        connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
        total = connection.execute(f"SELECT {_SUMS} FROM exchanges{conditions}", values).fetchone()
        if not groups:
            return UsageReport(query, (), _sums((), total))
        select = f"SELECT {', '.join(groups)}, {_SUMS} FROM exchanges{conditions} GROUP BY {', '.join(groups)}"
        rows = connection.execute(f"{select} ORDER BY {order} LIMIT ?", (*values, query.limit + 1)).fetchall()
    found = tuple(_sums(row[: len(groups)], row[len(groups) :]) for row in rows[: query.limit])
    return UsageReport(query, found, _sums((), total), len(rows) > query.limit)


def _conditions(query: UsageQuery) -> tuple[str, list[object]]:
    found: list[tuple[str, object]] = []
    if query.since is not None:
        found.append(("at >= ?", query.since))
    if query.until is not None:
        found.append(("at < ?", query.until))
    found += [(f"{GROUPS[name]} = ?", value) for name, value in query.filters]
    return (" WHERE " if found else "") + " AND ".join(text for text, _ in found), [value for _, value in found]


_NOTHING: Final = (0, 0, 0, 0, 0, 0, *(None,) * 10)


def _sums(keys: Sequence[object], row: Sequence[Any]) -> UsageSums:
    requests, failures, streamed, attempts, missing, unpriced, *tokens, above, below, latency, first = row
    read, written, reasoning, cache_read, cache_write, total = tokens
    return UsageSums(
        keys=tuple(map(str, keys)),
        requests=requests,
        failures=failures,
        streamed=streamed or 0,  # sums of no rows are null
        attempts=attempts or 0,
        usage_missing=missing,
        unpriced=unpriced,
        input=read,
        output=written,
        reasoning=reasoning,
        cache_read=cache_read,
        cache_write=cache_write,
        total=total,
        cost=None if above is None else above * _HALF + below,
        latency=latency,
        first_byte=first,
    )


def values_of(sums: UsageSums, by: Sequence[str] = ()) -> dict[str, object]:
    """Sums by names that programs know; for `orjson`, as which a cost is a decimal number, exactly."""
    return {
        **{name.replace("-", "_"): key for name, key in zip(by, sums.keys, strict=False)},
        "request_count": sums.requests,
        "success_count": sums.requests - sums.failures,
        "failure_count": sums.failures,
        "streamed_count": sums.streamed,
        "attempt_count": sums.attempts,
        "usage_missing_count": sums.usage_missing,
        "input_tokens": sums.input,
        "output_tokens": sums.output,
        "reasoning_tokens": sums.reasoning,
        "cache_read_tokens": sums.cache_read,
        "cache_write_tokens": sums.cache_write,
        "total_tokens": sums.total,
        "cost": None if sums.cost is None else orjson.Fragment(money(sums.cost)),
        "unpriced_count": sums.unpriced,
        "latency_ms": None if sums.latency is None else round(sums.latency * 1000),
        "ttfb_ms": None if sums.first_byte is None else round(sums.first_byte * 1000),
    }


def report_values(report: UsageReport) -> dict[str, object]:
    """A report for `orjson`."""
    query = report.query
    return {
        "by": [name.replace("-", "_") for name in query.by],
        "since": _told(query.since),
        "until": _told(query.until),
        "filters": {name.replace("-", "_"): value for name, value in query.filters},
        "usage": [values_of(row, query.by) for row in report.rows],
        "total": values_of(report.total),
        "is_cut": report.is_cut,
    }


def _told(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
