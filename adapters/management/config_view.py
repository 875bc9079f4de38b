"""The whole configuration: as it is in force, with secrets masked; and the file, byte for byte."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from dragoman.adapters.config_editing import tag_of
from dragoman.adapters.management.auth_files import files_of
from dragoman.adapters.management.changes import attempt, content_of, data_of, editor_of
from dragoman.adapters.management.desk import Call, Desk, answer_file, answer_json, refused
from dragoman.adapters.management.masks import masked, without_secrets
from dragoman.adapters.management.quotas import credentials
from dragoman.adapters.management.routes import OBJECT, Reply, Route, reply
from dragoman.adapters.management.settings import CHANGED, SETTINGS, put
from dragoman.core.config import Config, Provider
from dragoman.core.dialects import DIALECTS
from dragoman.core.effects import Step
from dragoman.core.providers.logins import LOGINS
from dragoman.core.routing.catalog import identity_of

_WELL: Final = ("active", "half_open", "probing")
_CLIENTS: Final = ("openai_chat", "openai_responses", "claude", "gemini")
_UNSEEN: Final = "remote-management"


def read_config(desk: Desk, call: Call) -> Step:
    """What is in force, and what else the file says; every secret masked."""
    editor = editor_of(desk) if desk.config_path is not None else None
    files = files_of(desk)

    def look() -> Step:
        data: dict[str, Any] = data_of(editor) if editor is not None else {}
        data.pop(_UNSEEN, None)
        told: dict[str, Any] = masked(data)
        unspoken: dict[str, str] = {}
        for file in files.list():
            if not file.is_spoken:
                unspoken[file.provider or file.type] = file.problem or ""

        def describe() -> Step:
            config = desk.config
            told["host"], told["port"] = config.host, config.port
            for setting in SETTINGS:
                put(told, setting.path, setting.read(config))
            rows = {row["auth_index"]: row for row in credentials(desk)}
            told["providers"] = [
                *(provider_entry(provider, config, rows) for provider in config.providers),
                *(_unspoken_entry(name, problem) for name, problem in unspoken.items()),
            ]
            return answer_json(told)

        return describe

    return look


def provider_entry(provider: Provider, config: Config, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of a provider; no secret."""
    mine = [rows[index] for credential in provider.credentials if (index := identity_of(provider, credential)) in rows]
    state = "available" if any(row["state"] in _WELL for row in mine) else "unavailable"
    return {
        "name": provider.name,
        "provider_key": provider.name,
        "kind": provider.kind,
        "dialect": provider.dialect,
        "supported_clients": [] if provider.disabled else [name for name in _CLIENTS if name in DIALECTS],
        "base_url": without_secrets(provider.base_url),
        "prefix": provider.prefix,
        "models": [{"name": model.name, "alias": model.alias} for model in provider.models],
        "takes_any_model": provider.takes_any,
        "excluded_models": list(provider.excluded_models),
        "priority": provider.priority,
        "disabled": provider.disabled,
        "state": "disabled" if provider.disabled else state,
        "credentials": [
            {key: row[key] for key in ("auth_index", "name", "state", "quota_exhausted", "refresh_state")}
            for row in mine
        ],
    }


def _unspoken_entry(name: str, problem: str) -> dict[str, Any]:
    """A type of credential files that is known and not spoken."""
    login = LOGINS.get(name)
    return {
        "name": name,
        "provider_key": name,
        "kind": "auth-dir",
        "dialect": None,
        "supported_clients": [],
        "base_url": login.base_url if login is not None and login.base_url else None,
        "prefix": None,
        "models": [],
        "takes_any_model": False,
        "excluded_models": [],
        "priority": 0,
        "disabled": False,
        "state": "unsupported",
        "reason": problem,
        "credentials": [],
    }


def read_file(desk: Desk, call: Call) -> Step:
    """The file as it is, secrets and all."""
    editor = editor_of(desk)

    def look() -> Step:
        content = content_of(editor)
        answer = answer_file(content, "application/yaml")
        return attrs.evolve(answer, fields=(*answer.fields, (b"etag", tag_of(content).encode())))

    return look


def write_file(desk: Desk, call: Call) -> Step:
    """Another content for the file; `If-Match` sees to it that nobody changed it meanwhile."""
    editor, content = editor_of(desk), call.request.body
    seen = call.request.fields.get(b"if-match")
    if not content.strip():
        raise refused(400, "The body is empty; send the whole file.", "invalid_body")

    def write() -> Step:
        attempt(lambda: editor.replace(content, None if seen is None else seen.decode("latin-1").strip()))
        desk.logs.info("configuration changed", key="config.yaml", by="management")
        return desk.done(answer_json({"ok": True, "status": "ok", "changed": ["config"]}))

    return write


_PROVIDER: Final = {
    "type": "object",
    "required": ["name", "supported_clients", "models", "prefix", "state"],
    "properties": {
        "name": {"type": "string"},
        "supported_clients": {"type": "array", "items": {"type": "string"}},
        "models": {"type": "array", "items": OBJECT},
        "prefix": {"type": ["string", "null"]},
        "state": {"enum": ["available", "unavailable", "disabled", "unsupported"]},
    },
}
_CONFIG: Final = {
    "type": "object",
    "required": ["providers"],
    "properties": {"providers": {"type": "array", "items": _PROVIDER}},
}
_YAML: Final = {"application/yaml": {"type": ["object", "null"]}}

ROUTES: Final[Sequence[Route]] = (
    Route("GET", "/v0/management/config", read_config, "The configuration in force", {200: reply(_CONFIG, "Secrets are masked.")}),
    Route(
        "GET", "/v0/management/config.yaml", read_file, "The configuration file, with its secrets",
        {200: Reply("The file; `ETag` tells whether it changes.", _YAML), 409: CHANGED[409]},
    ),
    Route(
        "PUT", "/v0/management/config.yaml", write_file, "Replace the configuration file",
        {**CHANGED, 200: reply({"type": "object", "required": ["ok"]}), 412: Reply("It is not the file of `If-Match` any more.")},
        body=_YAML,
    ),
)  # fmt: skip
