"""``/metrics``: the counts of a gateway in Prometheus' words.

The gateway counts for itself (`dragoman.core.operations.metrics`); here its counts are read when somebody asks, so a request pays nothing. Reading is
done on the loop's thread and copies sums (`take_readings`); the text is written from that copy in a worker thread (`exposition`), by prometheus-client,
which knows its versions and escapes.

Names of labels are few and their values bounded: providers and models that are configured (all other names are ``other``), words of ours. Never a key, a
client, a credential or a name that a client made up.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from dragoman.adapters.watching import Watch
from dragoman.core.gateway import Gateway
from dragoman.core.operations.canary_tally import CanaryCounts
from dragoman.core.operations.metrics import OTHER, Counts
from dragoman.core.operations.provider_page import Standing, standings
from dragoman.core.operations.rolling import cumulated

_OUTCOMES: Final = ("successes", "abandoned", "limited", "refused", "rejected", "unavailable")
_ALERT_STATES: Final = ("pending", "firing", "resolved")
_TOKENS: Final = ("input", "output", "reasoning", "cached")


@attrs.frozen
class Readings:
    """What a gateway counts, at one instant.

    Attributes:
        started_at: When it began, epoch seconds.
        version: Of this software.
        transport: ``trio`` or ``asyncio``.
        exchanges: See `Metrics.exchanges`.
        providers: By name, of those that are configured.
        models: By name, of those that are configured and were asked for; all others together are `OTHER`.
        seen_at: When an attempt at a provider last ended.
        standings: How the credentials of providers stand.
        alerts: How many subjects of each rule (name, severity) are in each state that is not well.
        canaries: What canaries came to, by name.

    """

    started_at: float
    version: str
    transport: str
    exchanges: Mapping[tuple[str, int, str], int]
    providers: Mapping[str, Counts]
    models: Mapping[str, Counts]
    seen_at: Mapping[str, float]
    standings: Mapping[str, Standing]
    alerts: Mapping[tuple[str, str], Mapping[str, int]]
    canaries: Mapping[str, CanaryCounts]


def take_readings(gateway: Gateway, now: float, watch: Watch | None = None) -> Readings:
    """Read a gateway, and who looks after it; on the loop's thread."""
    metrics = gateway.metrics
    found = standings(gateway.config, gateway.router.pool, now)
    seen = {name: seen_at for name in found if (seen_at := metrics.seen_at(name)) is not None}
    listed = {card.id for card in gateway.router.models()}
    asked = metrics.models()
    models = {name: metrics.model_total(name) for name in asked if name in listed}
    models[OTHER] = _sum(metrics.model_total(name) for name in [OTHER, *asked] if name not in listed)
    return Readings(
        started_at=metrics.started_at,
        version=gateway.version,
        transport=gateway.transport,
        exchanges=metrics.exchanges(),
        providers={name: metrics.provider_total(name) for name in found},
        models=models,
        seen_at=seen,
        standings=found,
        alerts=_alerts(watch) if watch is not None else {},
        canaries={name: watch.canaries.total(name) for name in watch.canaries.names()} if watch is not None else {},
    )


def _alerts(watch: Watch) -> dict[tuple[str, str], dict[str, int]]:
    found = {(rule.name, rule.severity): dict.fromkeys(_ALERT_STATES, 0) for rule in watch.alerts.rules}
    for view in watch.alerts.views():
        states = found.get((view.rule.name, view.rule.severity), {})
        if view.state.name.lower() in states:
            states[view.state.name.lower()] += 1
    return found


def exposition(readings: Readings, accept: str = "") -> tuple[bytes, str]:
    """Write readings down; in a worker thread.

    Args:
        readings: What to write.
        accept: The reader's ``Accept``: OpenMetrics if it asks for that, else the text format that everybody reads.

    Returns:
        The text and its media type.

    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(readings))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collector:
    """Gives readings to prometheus-client as it wants them."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """All families."""
        readings = self._readings
        yield InfoMetricFamily(
            "dragoman", "The gateway.", {"version": readings.version, "transport": readings.transport}
        )
        yield GaugeMetricFamily("dragoman_start_time_seconds", "When it started, epoch seconds.", readings.started_at)
        exchanges = CounterMetricFamily(
            "dragoman_exchanges",
            "Requests of clients that ended, by the class of the status sent and whose fault a failure was.",
            labels=["dialect", "status", "fault"],
        )
        for (dialect, hundreds, fault), n in readings.exchanges.items():
            exchanges.add_metric([dialect, f"{hundreds}xx", fault or "none"], n)
        yield exchanges
        yield from _families("provider", "Attempts at a provider", readings.providers)
        yield from _families("model", "Exchanges by the model asked for", readings.models)
        yield from self._standings()
        yield from self._watched()

    def _standings(self) -> Iterator[Metric]:
        seen = GaugeMetricFamily(
            "dragoman_provider_last_seen_timestamp_seconds", "When an attempt last ended.", labels=["provider"]
        )
        states = GaugeMetricFamily(
            "dragoman_credentials", "Credentials of a provider in a state.", labels=["provider", "state"]
        )
        flights = GaugeMetricFamily("dragoman_attempts_in_flight", "Attempts under way.", labels=["provider"])
        left = GaugeMetricFamily(
            "dragoman_quota_remaining", "Left of the tightest windows of its credentials.", labels=["provider"]
        )
        resets = GaugeMetricFamily(
            "dragoman_quota_reset_seconds", "Until the next of these windows begins anew.", labels=["provider"]
        )
        for provider, seen_at in self._readings.seen_at.items():
            seen.add_metric([provider], seen_at)
        for provider, standing in self._readings.standings.items():
            for state, n in standing.states.items():
                states.add_metric([provider, state.name.lower()], n)
            flights.add_metric([provider], standing.in_flight)
            if standing.quota_remaining is not None:
                left.add_metric([provider], standing.quota_remaining)
            if standing.quota_reset_seconds is not None:
                resets.add_metric([provider], standing.quota_reset_seconds)
        yield from (seen, states, flights, left, resets)

    def _watched(self) -> Iterator[Metric]:
        alerts = GaugeMetricFamily(
            "dragoman_alerts", "Subjects of an alert rule that are in a state.", labels=["alert", "severity", "state"]
        )
        runs = CounterMetricFamily("dragoman_canary_runs", "Runs of a canary.", labels=["canary", "outcome"])
        tokens = CounterMetricFamily("dragoman_canary_tokens", "Tokens its runs took.", labels=["canary", "type"])
        for (name, severity), states in self._readings.alerts.items():
            for state, n in states.items():
                alerts.add_metric([name, severity, state], n)
        for name, counts in self._readings.canaries.items():
            runs.add_metric([name, "success"], counts.runs - counts.failed)
            runs.add_metric([name, "failure"], counts.failed)
            tokens.add_metric([name, "input"], counts.input_tokens)
            tokens.add_metric([name, "output"], counts.output_tokens)
        yield from (alerts, runs, tokens)


def _families(what: str, text: str, rows: Mapping[str, Counts]) -> Iterator[Metric]:
    """What is told of providers, and of models."""
    name = f"dragoman_{what}"
    attempts = CounterMetricFamily(
        f"{name}_requests", f"{text} that ended, by what came of them.", labels=[what, "outcome"]
    )
    tokens = CounterMetricFamily(
        f"{name}_tokens", "Tokens; the cached are among the input, those of reasoning among the output.", labels=[what, "type"]
    )  # fmt: skip
    missing = CounterMetricFamily(
        f"{name}_usage_missing", "Successes that did not say what tokens they took.", labels=[what]
    )
    checked = CounterMetricFamily(
        f"{name}_thinking_checked", "Exchanges whose client asked for reasoning.", labels=[what]
    )
    drifted = CounterMetricFamily(
        f"{name}_thinking_mismatched", "Of those, those to which another amount was applied.", labels=[what]
    )
    latency = HistogramMetricFamily(f"{name}_latency_seconds", "Seconds that successes took.", labels=[what])
    first = HistogramMetricFamily(
        f"{name}_time_to_first_token_seconds", "Seconds to the first piece of streams.", labels=[what]
    )
    for row, counts in rows.items():
        for outcome in _OUTCOMES:
            attempts.add_metric([row, outcome.removesuffix("es")], getattr(counts, outcome))
        for kind in _TOKENS:
            tokens.add_metric([row, kind], getattr(counts, f"{kind}_tokens"))
        missing.add_metric([row], counts.usage_missing)
        checked.add_metric([row], counts.thinking_checked)
        drifted.add_metric([row], counts.thinking_mismatched)
        latency.add_metric([row], _buckets(counts.latency), counts.latency_sum)
        first.add_metric([row], _buckets(counts.first_token), counts.first_token_sum)
    yield from (attempts, tokens, missing, checked, drifted, latency, first)


def _buckets(times: Mapping[int, int]) -> list[tuple[str, float]]:
    return [("+Inf" if bound == float("inf") else f"{bound:g}", n) for bound, n in cumulated(times)]


def _sum(rows: Iterable[Counts]) -> Counts:
    whole = Counts()
    for row in rows:
        whole += row
    return whole
