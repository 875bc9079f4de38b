"""Tables of what a running gateway says, for ``dragoman status`` and ``dragoman top``."""

from collections.abc import Mapping
from typing import Any

from dragoman.adapters.cli.tables import Table
from dragoman.adapters.running import Seen

WINDOW = "10m"


def tables(seen: Seen) -> tuple[Table, Table]:
    """Providers over the last ten minutes, and credentials now."""
    providers = Table(
        f"Providers, last {WINDOW}",
        ("provider", ">requests", ">errors", ">429", ">p50", ">p95", ">first token", ">tokens", "credentials"),
        [_provider(row) for row in seen.providers.values()],
        "no provider",
    )
    credentials = Table(
        "Credentials",
        ("provider", "credential", "state", ">in flight", ">quota left", ">used", ">more in", "refresh", "reason"),
        [_credential(row) for row in seen.credentials or ()],
        seen.why_no_credentials or "no credential",
    )
    return providers, credentials


def headline(seen: Seen, url: str) -> str:
    """The gateway in one line."""
    flying = "" if seen.in_flight is None else f", {seen.in_flight} requests in flight"
    health = seen.health
    return f"{url}  version {health.get('version')}, {health.get('transport')}, up for {span(health.get('uptime_seconds'))}{flying}"


def _provider(row: Mapping[str, Any]) -> tuple[str, ...]:
    window = (row.get("windows") or {}).get(WINDOW) or {}
    latency, first = window.get("latency_seconds") or {}, window.get("time_to_first_token_seconds") or {}
    tokens = window.get("tokens") or {}
    states = ", ".join(f"{count} {state}" for state, count in (row.get("credentials") or {}).items() if count)
    return (
        str(row.get("provider_key")),
        str(window.get("requests", 0)),
        percent(window.get("error_ratio")),
        percent(window.get("ratio_429")),
        seconds(latency.get("p50")),
        seconds(latency.get("p95")),
        seconds(first.get("p50")),
        str((tokens.get("input") or 0) + (tokens.get("output") or 0)),
        states,
    )


def _credential(row: Mapping[str, Any]) -> tuple[str, ...]:
    used, left = row.get("usage_percentage"), row.get("quota_remaining")
    return (
        str(row.get("provider_key")),
        str(row.get("name")),
        str(row.get("state")),
        str(row.get("in_flight", 0)),
        "-" if left is None else str(left),
        "-" if used is None else f"{used:g} %",
        span(row.get("quota_reset_seconds")),
        str(row.get("refresh_state")),
        str(row.get("reason") or ""),
    )


def percent(ratio: float | None) -> str:
    """A ratio for people.

    >>> percent(0.0512), percent(0), percent(None)
    ('5.1 %', '0 %', '-')
    """
    return "-" if ratio is None else f"{round(100 * ratio, 1):g} %"


def seconds(value: float | None) -> str:
    """A short time for people.

    >>> seconds(0.0123), seconds(12.34), seconds(None)
    ('12 ms', '12.3 s', '-')
    """
    if value is None:
        return "-"
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def span(value: float | None) -> str:
    """A long time for people.

    >>> span(59.7), span(3725), span(200_000), span(None)
    ('1m 0s', '1h 2m', '2d 7h', '-')
    """
    if value is None:
        return "-"
    rest = round(value)
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts or name == "s":
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])
