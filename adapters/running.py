"""What a running gateway says of itself, for commands: health, metrics of providers, quotas of credentials."""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from dragoman.adapters.asking import Asked, ask
from dragoman.adapters.chance import draw
from dragoman.adapters.clock import Clock
from dragoman.adapters.gateway_place import Place
from dragoman.adapters.planning import Plan, with_demo
from dragoman.core.routing.router import Router

#: Where the management key is looked for, before the configuration.
MANAGEMENT_VARIABLES: Final = ("DRAGOMAN_MANAGEMENT_KEY", "MANAGEMENT_PASSWORD", "management_password")

Rows = list[Mapping[str, Any]]


@attrs.frozen
class Seen:
    """What a gateway said.

    Attributes:
        health: Its answer to ``/health``; empty when there was none.
        fault: Why there was none.
        providers: By name, as ``/v1/metrics/providers`` has them.
        credentials: As ``/v0/management/quota`` has them; None when it may not be asked.
        why_no_credentials: Why not.

    """

    health: Mapping[str, Any] = attrs.field(factory=dict)
    fault: str = ""
    providers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    credentials: Rows | None = None
    why_no_credentials: str = ""

    @property
    def in_flight(self) -> int | None:
        """Attempts under way; None when it is not known."""
        return None if self.credentials is None else sum(int(row.get("in_flight") or 0) for row in self.credentials)


def management_key(place: Place, environment: Mapping[str, str]) -> str:
    """The key to manage with: from the environment, else the configuration's, if it is not a hash; empty for none."""
    given = next((value for name in MANAGEMENT_VARIABLES if (value := environment.get(name, "").strip())), "")
    secret = place.plan.config.management.secret if place.plan is not None else ""
    return given or ("" if secret.startswith("$2") else secret)


def look(place: Place, key: str) -> Seen:
    """Ask a gateway how it does."""
    asked = ask(place.url, "/health", trust=place.trust)
    if asked.fault:
        return Seen(fault=asked.fault)
    health = asked.json
    if asked.status != 200 or not isinstance(health, dict) or "status" not in health:
        return Seen(fault=f"what answers is not this gateway: /health gave {asked.status}")
    found = ask(place.url, "/v1/metrics/providers", trust=place.trust).json
    providers = found.get("providers") if isinstance(found, dict) else None
    rows, why = _credentials(place, key)
    return Seen(health, "", providers if isinstance(providers, dict) else {}, rows, why)


def _credentials(place: Place, key: str) -> tuple[Rows | None, str]:
    if not key:
        return None, f"credentials are shown to who has the management key: ${MANAGEMENT_VARIABLES[0]}"
    asked = ask(place.url, "/v0/management/quota", headers={"X-Management-Key": key}, trust=place.trust)
    rows = _rows(asked)
    if rows is not None:
        return rows, ""
    reasons = {
        401: "the gateway does not take this management key",
        404: "the gateway has no management key (remote-management)",
    }
    return None, reasons.get(asked.status, asked.fault or f"the gateway answered with {asked.status}")


def _rows(asked: Asked) -> Rows | None:
    found = asked.json
    rows = found.get("credentials") if asked.status == 200 and isinstance(found, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def quota_rows(place: Place, plan: Plan, environment: Mapping[str, str]) -> Rows:
    """How each credential stands: as the running gateway says, else as the configuration and the state file have it."""
    key = management_key(place, environment)
    rows, _ = _credentials(place, key) if key else (None, "")
    return rows if rows is not None else _remembered(plan)


def _remembered(plan: Plan) -> Rows:
    from dragoman.adapters.storage.sqlite import StateFileError, peek, saved_by

    now = Clock().now()
    config = with_demo(plan.config, "http://127.0.0.1") if plan.is_demo else plan.config
    router = Router(config, "dragoman", draw=draw, now=now)
    if plan.state_file is not None:
        with contextlib.suppress(StateFileError):  # the gateway tells of it; nothing is remembered then
            router.restore(saved_by(peek(plan.state_file)), now, with_states=config.save_cooldown_status)
    return [
        {
            "provider_key": status.provider_key,
            "name": status.credential,
            "state": status.state.name.lower(),
            "reason": status.reason,
            "quota_remaining": status.quota_remaining,
            "quota_reset_seconds": status.quota_reset_seconds,
            "refresh_state": status.refresh_state,
        }
        for status in router.pool.snapshot(now)
        if not status.model_id
    ]
