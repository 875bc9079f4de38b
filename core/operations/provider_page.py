"""``GET /v1/metrics/providers``: how each provider does, for everybody who can reach the gateway.

No key is asked for, so nothing is told here that is not the operator's to tell everybody: no labels of credentials (there may be an address of mail
in them), no keys of clients, no names of models but those in the configuration.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from dragoman.core.config import Config
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.pool import Pool, Status, told_offers
from dragoman.core.operations.metrics import Counts, Metrics

#: Windows by name, in seconds.
WINDOWS: Final[Mapping[str, float]] = MappingProxyType({"1m": 60.0, "10m": 600.0, "60m": 3600.0})

_MOST_MODELS: Final = 100  # told of one provider
_WORST_FIRST: Final = ("failed", "refreshing", "valid", "none")


def provider_page(config: Config, pool: Pool, metrics: Metrics, now: float) -> dict[str, object]:
    """The page: each provider by name, and the same once more under ``providers``, for those who look there.

    A provider that is itself named so is found in there.
    """
    rows = {name: _row(name, metrics, standing, now) for name, standing in standings(config, pool, now).items()}
    return {**rows, "providers": rows}


def _row(name: str, metrics: Metrics, standing: "Standing", now: float) -> dict[str, object]:
    total = metrics.provider_total(name)
    seen_at = metrics.seen_at(name)
    return {
        "provider_key": name,
        "request_count": total.attempts,
        "success_count": total.successes,
        "failure_count": total.errors,
        "abandoned_count": total.abandoned,
        "usage_missing_count": total.usage_missing,
        "total_tokens": total.total_tokens,
        "tokens": _tokens(total),
        "success_rate": total.success_rate,
        "availability": total.availability,
        "last_seen": None if seen_at is None else _rfc3339(seen_at),
        "windows": {title: _window(metrics.of_provider(name, seconds, now)) for title, seconds in WINDOWS.items()},
        **standing.told(),
        "models": standing.told_of_models(),
    }


def _window(counts: Counts) -> dict[str, object]:
    return {
        "requests": counts.attempts,
        "successes": counts.successes,
        "errors": counts.errors,
        "error_ratio": counts.error_ratio,
        "ratio_429": counts.limited_ratio,
        "ratio_401_403": counts.refused_ratio,
        "availability": counts.availability,
        "usage_missing": counts.usage_missing,
        "latency_seconds": {"p50": counts.latency_p50, "p95": counts.latency_p95, "p99": counts.latency_p99},
        "time_to_first_token_seconds": {"p50": counts.first_token_p50, "p95": counts.first_token_p95},
        "tokens": _tokens(counts),
    }


def _tokens(counts: Counts) -> dict[str, int]:
    return {
        "input": counts.input_tokens,
        "output": counts.output_tokens,
        "reasoning": counts.reasoning_tokens,
        "cached": counts.cached_tokens,
    }


class Standing:
    """How the credentials of one provider stand, taken together.

    Attributes:
        states: How many are in each state.
        quota_remaining: Left of the tightest windows of all; None when nobody counts.
        quota_reset_seconds: Until the next of them begins anew; None when there is none to wait for.
        in_flight: Attempts under way.
        refresh_states: Those that there are among them.

    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._models: dict[str, Standing] = {}  # by upstream model
        self.states = dict.fromkeys(CredentialState, 0)
        self.quota_remaining: int | None = None
        self.quota_reset_seconds: float | None = None
        self.in_flight = 0
        self.refresh_states = {"none"}

    def count(self, status: Status) -> None:
        """Take one credential, or one model of it, into account."""
        self.states[status.state] += 1
        self.refresh_states.add(status.refresh_state)
        if status.quota_remaining is not None:
            self.quota_remaining = (self.quota_remaining or 0) + status.quota_remaining
        if status.quota_reset_seconds:  # 0: of a window nothing of which is used there will not be more
            self.quota_reset_seconds = min(self.quota_reset_seconds or math.inf, status.quota_reset_seconds)

    def count_model(self, model: str, status: Status) -> None:
        """Take a model of one credential into account."""
        standing = self._models.get(model)
        if standing is None:
            if len(self._models) >= _MOST_MODELS:
                return
            standing = self._models[model] = Standing(self._provider)
        standing.count(status)

    def told(self) -> dict[str, object]:
        """As the page has it."""
        return {
            "credentials": {state.name.lower(): n for state, n in self.states.items()},
            "refresh_state": next(state for state in _WORST_FIRST if state in self.refresh_states),
            "quota_remaining": self.quota_remaining,
            "quota_reset_seconds": self.quota_reset_seconds,
        }

    def told_of_models(self) -> list[dict[str, object]]:
        """Those that are not well, or that the provider counts."""
        return [
            {"provider_key": self._provider, "model_id": model, **standing.told()}
            for model, standing in self._models.items()
        ]


def standings(config: Config, pool: Pool, now: float) -> dict[str, Standing]:
    """How the credentials of each configured provider stand."""
    found = {provider.name: Standing(provider.name) for provider in config.providers}
    listed = {(provider.name, model.name) for provider in config.providers for model in provider.models}
    active = CredentialState.ACTIVE
    for member in pool.members.values():  # there may be ten thousand, and nothing to say of nearly all of them
        standing = found[member.provider]
        quota = member.quota
        if member.standing.state is active and not quota.windows and not quota.reported:
            standing.states[active] += 1
            standing.refresh_states.add(member.refresh_state)
        else:
            standing.count(pool.status(member, None, now))
        if member.in_flight:
            standing.in_flight += member.in_flight
        if member.offers:
            for offer in told_offers(member, now):
                if (member.provider, offer.model) in listed:
                    standing.count_model(offer.model, pool.status(member, offer, now))
    return found


def _rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
