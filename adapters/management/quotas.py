"""Quotas of credentials: what is left, when there is more, and an end to what is held against a credential."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dragoman.adapters.credential_files import CredentialFile, CredentialFiles
from dragoman.adapters.management.desk import Call, Desk, answer_json, refused
from dragoman.adapters.management.routes import OBJECT, Parameter, Route, reply
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.pool import Status
from dragoman.core.effects import Step

# Spellings that clients of others use; `auth_index` is ours.
NAMES: Final = ("auth_index", "authIndex", "AuthIndex", "index", "auth_id", "auth-id")
_WORST: Final = ("none", "valid", "refreshing", "failed")  # of several credentials, the last of these
INDEX: Final = Parameter("auth_index", "One credential: its `auth_index`, file name or label.")


def standing(status: Status) -> dict[str, Any]:
    """How a credential, or one model of it, stands."""
    return {
        "provider_key": status.provider_key,
        "model_id": status.model_id or None,
        "state": status.state.name.lower(),
        "reason": status.reason or None,
        "resumes_at": status.resumes_at,
        "quota_remaining": status.quota_remaining,
        "quota_reset_seconds": None if status.quota_reset_seconds is None else round(status.quota_reset_seconds, 3),
        "refresh_state": status.refresh_state,
        "in_flight": status.in_flight,
    }


def credentials(desk: Desk) -> list[dict[str, Any]]:
    """Every credential with its quota and the models of it of which there is something to say; on the loop's thread."""
    now, pool = desk.now(), desk.gateway.router.pool
    rows: dict[str, dict[str, Any]] = {}
    for status in pool.snapshot(now):
        if status.model_id:
            rows[status.identity]["models"].append(standing(status))
            continue
        is_exhausted = status.state is CredentialState.EXHAUSTED
        left = pool.members[status.identity].quota.remaining(now)
        is_known = left.resets_at is not None or is_exhausted
        rows[status.identity] = {
            "auth_index": status.identity,
            "name": status.credential,
            **standing(status),
            "remaining_quota": status.quota_remaining,
            "usage_percentage": round(100.0 if is_exhausted else 100 * (1 - left.share), 2) if is_known else None,
            "quota_exhausted": is_exhausted,
            "models": [],
        }
    return list(rows.values())


def not_serving(file: CredentialFile) -> dict[str, Any]:
    """A credential file that serves nothing: it is known, and nothing is known of its quota."""
    return {
        "auth_index": file.auth_index,
        "name": file.name,
        "provider_key": file.provider or file.type,
        "model_id": None,
        "state": None,
        "reason": file.problem or ("switched off" if file.disabled else "not served yet"),
        "resumes_at": None,
        "quota_remaining": None,
        "quota_reset_seconds": None,
        "refresh_state": "none",
        "in_flight": 0,
        "remaining_quota": None,
        "usage_percentage": None,
        "quota_exhausted": False,
        "models": [],
    }


def with_everybody(desk: Desk, answer: Callable[[list[dict[str, Any]]], Step]) -> Step:
    """Answer from the rows of all credentials, of files that serve nothing too."""
    files = CredentialFiles(Path(desk.config.auth_dir).expanduser())

    def look() -> Step:
        found = files.list()

        def describe() -> Step:
            rows = credentials(desk)
            serving = {row["auth_index"] for row in rows}
            return answer([*rows, *(not_serving(file) for file in found if file.auth_index not in serving)])

        return describe

    return look


def chosen(rows: list[dict[str, Any]], call: Call) -> list[dict[str, Any]]:
    """Those that the query asks for; all, when it asks for none.

    Raises:
        Refused: There is no such credential. Nobody is told of another's quota in its place.

    """
    wanted = call.parameter(*NAMES)
    if wanted is None:
        return rows
    found = [row for row in rows if wanted in (row["auth_index"], row["name"])]
    if not found:
        raise refused(404, f"There is no credential {wanted[:200]!r} here.", "unknown_credential")
    return found


def read_quota(desk: Desk, call: Call) -> Step:
    """Every credential of every provider, or some."""
    provider = call.parameter("provider")

    def answer(rows: list[dict[str, Any]]) -> Step:
        wanted = [row for row in rows if provider is None or row["provider_key"] == provider]
        return answer_json({"credentials": chosen(wanted, call)})

    return with_everybody(desk, answer)


def quota_of(provider: str) -> Callable[[Desk, Call], Step]:
    """The handler for the quota of one provider: of one credential, or of all together with each of them."""

    def read(desk: Desk, call: Call) -> Step:
        def answer(all_rows: list[dict[str, Any]]) -> Step:
            rows = chosen([row for row in all_rows if row["provider_key"] == provider], call)
            if not rows:
                raise refused(404, f"There is no credential of {provider} here.", "no_credential")
            return answer_json(rows[0] if len(rows) == 1 else together(rows))

        return with_everybody(desk, answer)

    return read


def together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Several credentials of a provider as one: what is left of all, and exhausted when all are."""
    left = [row["quota_remaining"] for row in rows if row["quota_remaining"] is not None]
    used = [row["usage_percentage"] for row in rows if row["usage_percentage"] is not None]
    waits = [row["quota_reset_seconds"] for row in rows if row["quota_reset_seconds"] is not None]
    total = sum(left) if left else None
    return {
        "provider_key": rows[0]["provider_key"],
        "model_id": None,
        "refresh_state": _WORST[max(_WORST.index(row["refresh_state"]) for row in rows)],
        "remaining_quota": total,
        "quota_remaining": total,
        "quota_reset_seconds": min(waits, default=None),
        "usage_percentage": round(sum(used) / len(used), 2) if used else None,
        "quota_exhausted": all(row["quota_exhausted"] for row in rows),
        "credentials": rows,
    }


def reset_quota(desk: Desk, call: Call) -> Step:
    """End what is held against a credential, or one model of it: cooldowns, spent quotas, refusals. What is counted here begins anew."""
    body = call.object()
    wanted = next((body[name] for name in NAMES if name in body), None)
    model = body.get("model_id") or body.get("model") or ""
    if not isinstance(wanted, str) or not wanted or not isinstance(model, str):
        raise refused(400, 'Send {"auth_index": "..."}; `model_id` for one model of it.', "invalid_body")
    pool, now = desk.gateway.router.pool, desk.now()
    found = [s for s in pool.snapshot(now) if not s.model_id and wanted in (s.identity, s.credential)]
    if not found:
        raise refused(404, f"There is no credential {wanted[:200]!r} here.", "unknown_credential")
    cleared = []
    for status in found:
        offers = pool.members[status.identity].offers
        cleared += [name for name in offers if model in ("", name)]
        if model:
            pool.clear(status.identity, now, model)
        else:
            pool.reset(status.identity, now)
        desk.logs.info(
            "quota reset",
            provider=status.provider_key,
            credential=status.credential,
            upstream_model=model or None,
            by="management",
        )
    return answer_json({"status": "ok", "auth_index": found[0].identity, "models": cleared})


_QUOTA: Final = {
    "type": "object",
    "required": ["remaining_quota", "usage_percentage", "quota_exhausted", "provider_key", "quota_remaining"],
    "properties": {
        "auth_index": {"type": "string"},
        "provider_key": {"type": "string"},
        "model_id": {"type": ["string", "null"]},
        "remaining_quota": {"type": ["number", "null"]},
        "quota_remaining": {"type": ["number", "null"]},
        "quota_reset_seconds": {"type": ["number", "null"]},
        "usage_percentage": {"type": ["number", "null"]},
        "quota_exhausted": {"type": "boolean"},
        "refresh_state": {"enum": ["none", "valid", "refreshing", "failed"]},
        "credentials": {"type": "array", "items": OBJECT},
    },
}
_LIST: Final = {
    "type": "object",
    "required": ["credentials"],
    "properties": {"credentials": {"type": "array", "items": _QUOTA}},
}
_RESET: Final = {
    "type": "object",
    "required": ["auth_index"],
    "properties": {
        "auth_index": {"type": "string", "minLength": 1},
        "model_id": {"type": "string", "description": "One model of it."},
    },
}

ROUTES: Final = (
    Route(
        "GET",
        "/v0/management/quota",
        read_quota,
        "Quotas of all credentials",
        {200: reply(_LIST, "One item for each credential.")},
        (Parameter("provider", "Credentials of this provider only."), INDEX),
    ),
    Route(
        "GET",
        "/v0/management/kiro-quota",
        quota_of("kiro"),
        "Quota of Kiro",
        {200: reply(_QUOTA, "Of one credential, or of all together.")},
        (INDEX,),
    ),
    Route(
        "POST",
        "/v0/management/reset-quota",
        reset_quota,
        "End cooldowns and spent quotas of a credential",
        body={"application/json": _RESET},
    ),
)
