"""Credential files: listed, shown, added, changed, switched, removed. What a file means is `dragoman.adapters.credential_files`.

The list has two shapes, for there are two kinds of callers: clients of the management, which want ``{"files": [...]}``, and an operator's ``curl ... |
jq '.[]'``, which wants the list itself. `list_shape` tells them apart, and ``?format=`` says it outright.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dragoman.adapters.credential_files import CredentialFile, CredentialFileError, CredentialFiles, NoSuchFile
from dragoman.adapters.management.desk import Call, Desk, answer_file, answer_json, refused
from dragoman.adapters.management.quotas import credentials
from dragoman.adapters.management.routes import OBJECT, OK, Parameter, Reply, Route, reply
from dragoman.core.credentials.file_names import auth_index, name_of
from dragoman.core.credentials.files import parse_credential_file
from dragoman.core.effects import LocalRequest, Step

_MOST_FILES: Final = 100  # in one upload
_SHAPES: Final = ("list", "object")
# What a file may be told by `/auth-files/fields`; secrets come by a whole new file.
FIELDS: Final = (
    "prefix", "proxy_url", "priority", "note", "weight", "request_retry", "headers", "disable_cooling", "excluded_models", "disabled",
)  # fmt: skip
# How a credential's state is called by clients of others: unknown, active, pending, refreshing, error, disabled.
_STATUSES: Final[Mapping[str, str]] = {
    "active": "active", "half_open": "active", "probing": "active", "refreshing": "refreshing", "disabled": "disabled",
    "cooling": "error", "exhausted": "error", "rejected": "error",
}  # fmt: skip


def files_of(desk: Desk) -> CredentialFiles:
    """The folder; on the loop's thread."""
    return CredentialFiles(Path(desk.config.auth_dir).expanduser())


def list_shape(request: LocalRequest) -> str:
    """``object`` or ``list``: a caller that takes anything and is no browser gets the list, as ``curl`` does.

    Clients of the management say that they want JSON (axios does), or say nothing (Go); pages of browsers take anything too, but say where they
    come from.
    """
    accept = request.fields.get(b"accept", b"").strip()
    is_page = b"origin" in request.fields or b"sec-fetch-mode" in request.fields
    return "list" if accept == b"*/*" and not is_page else "object"


def list_files(desk: Desk, call: Call) -> Step:
    """Every credential file, with how its credential stands."""
    shape = call.choice("format", _SHAPES) or list_shape(call.request)
    name, index = call.parameter("name"), call.parameter("auth_index")
    files = files_of(desk)

    def look() -> Step:
        found = files.list()

        def describe() -> Step:
            rows = {row["auth_index"]: row for row in credentials(desk)}
            now = desk.now()
            entries = [
                entry_of(file, rows.get(file.auth_index), now)
                for file in found
                if (name is None or file.name == name_of(name)) and index in (None, file.auth_index)
            ]
            return answer_json(entries if shape == "list" else {"files": entries}, fields=((b"vary", b"accept"),))

        return describe

    return look


def entry_of(file: CredentialFile, row: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """What is said of a file, and of its credential where one serves."""
    status, message = _status(file, row)
    stands = {key: row[key] for key in _STANDING} if row is not None else {"models": [], **_NOT_SERVED}
    resumes_at = row["resumes_at"] if row is not None else None
    return {
        "id": file.name,
        "auth_index": file.auth_index,
        "name": file.name,
        "filename": file.name,
        "type": file.type,
        "provider": file.provider or file.type,
        "provider_key": file.provider or file.type,
        "model_id": None,
        "label": file.label,
        "email": file.email or None,
        "account_type": "oauth" if file.has_refresh_token or file.expires_at is not None else "api_key",
        "account": file.label,
        "status": status,
        "status_message": message,
        "disabled": file.disabled,
        "unavailable": status not in ("active", "pending"),
        "runtime_only": False,
        "source": "file",
        "size": file.size,
        "modtime": _instant(file.modified_at),
        "updated_at": _instant(file.modified_at),
        "last_refresh": _instant(file.last_refresh),
        "expires_at": _instant(file.expires_at),
        "next_retry_after": _instant(resumes_at),
        "prefix": file.prefix,
        "priority": file.priority,
        "note": file.note or None,
        **stands,
    }


_STANDING: Final = (
    "state", "quota_remaining", "quota_reset_seconds", "refresh_state", "in_flight", "usage_percentage", "quota_exhausted", "models",
)  # fmt: skip
_NOT_SERVED: Final[Mapping[str, Any]] = {
    "state": None, "quota_remaining": None, "quota_reset_seconds": None, "refresh_state": "none", "in_flight": 0,
    "usage_percentage": None, "quota_exhausted": False,
}  # fmt: skip


def _status(file: CredentialFile, row: Mapping[str, Any] | None) -> tuple[str, str]:
    if file.problem is not None:
        return "error", file.problem
    if file.disabled:
        return "disabled", "switched off"
    if row is None:
        return "pending", "not served yet"
    return _STATUSES.get(row["state"], "unknown"), row["reason"] or ""


def _instant(at: float | None) -> str | None:
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a file may say anything
        return None


# --- one file ---


def download(desk: Desk, call: Call) -> Step:
    """A file as it is, secrets and all."""
    files, name = files_of(desk), _named(call)

    def read() -> Step:
        with _told():
            return answer_file(files.read(name), "application/json", name_of(name))

    return read


def models_of(desk: Desk, call: Call) -> Step:
    """The models that a file serves, as clients call them."""
    index = auth_index(_named(call))
    for provider in desk.config.providers:
        if any(credential.identity == index for credential in provider.credentials):
            prefix = f"{provider.prefix}/" if provider.prefix and desk.config.force_model_prefix else ""
            models = [{"id": prefix + model.alias, "owned_by": provider.name} for model in provider.models]
            return answer_json({"models": models})
    raise refused(404, f"No credential file {_named(call)[:200]!r} serves here.", "not_found")


def upload(desk: Desk, call: Call) -> Step:
    """Add files, or put others in their places: one as the body with its name in the query, or several as a form."""
    files, request = files_of(desk), call.request
    kind = request.fields.get(b"content-type", b"").decode("latin-1")
    given = _form(request.body, kind) if kind.lower().startswith("multipart/") else [(_named(call), request.body)]

    def write() -> Step:
        done: list[CredentialFile] = []
        failed: list[dict[str, str]] = []
        for name, data in given:
            try:
                done.append(files.write(name, data))
            except CredentialFileError as error:
                failed.append({"name": name[:200], "error": "; ".join(error.lines)})
        for file in done:
            desk.logs.info("credential file written", file=file.name, provider=file.provider or None, by="management")
        if not done:
            raise refused(422, "; ".join(item["error"] for item in failed), "invalid_credential_file")
        uploaded = {"uploaded": len(done), "files": [file.name for file in done]}
        if failed:
            return desk.done(answer_json({"status": "partial", **uploaded, "failed": failed}, 207))
        return desk.done(answer_json({"status": "ok", **uploaded}))

    return write


def _form(body: bytes, kind: str) -> list[tuple[str, bytes]]:
    import multipart

    _, options = multipart.parse_options_header(kind)
    try:
        parser = multipart.MultipartParser(
            io.BytesIO(body), options.get("boundary", ""), len(body), part_limit=_MOST_FILES, memory_limit=2**40
        )
        parts = [(part.filename, part.raw) for part in parser]
    except (multipart.MultipartError, ValueError, LookupError):
        raise refused(400, f"The form cannot be read, or has more than {_MOST_FILES} parts.", "invalid_body") from None
    files = [(name, data) for name, data in parts if name]
    if not files:
        raise refused(400, "There is no file in the form.", "invalid_body")
    return files


def remove(desk: Desk, call: Call) -> Step:
    """Remove files: those that are named, or all."""
    files, wanted = files_of(desk), _names(call)

    def delete() -> Step:
        names = wanted if wanted is not None else [file.name for file in files.list()]
        done: list[str] = []
        failed: list[dict[str, str]] = []
        for name in names:
            try:
                files.delete(name)
                done.append(name_of(name))
            except CredentialFileError as error:
                failed.append({"name": name[:200], "error": "; ".join(error.lines)})
        for name in done:
            desk.logs.info("credential file removed", file=name, by="management")
        if failed and not done:
            raise refused(404, "; ".join(item["error"] for item in failed), "not_found")
        deleted = {"deleted": len(done), "files": done}
        if failed:
            return desk.done(answer_json({"status": "partial", **deleted, "failed": failed}, 207))
        return desk.done(answer_json({"status": "ok", **deleted}))

    return delete


def _names(call: Call) -> list[str] | None:
    """Which files to remove; None for all, which has to be said."""
    query = call.query
    if call.choice("all", ("true", "false")) == "true":
        return None
    names: Any = query.get("name")
    if names is None and call.request.body:
        body = call.json()
        names = body.get("names", body.get("name")) if isinstance(body, dict) else body
        names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise refused(400, "Say which: `?name=`, or a body with `name` or `names`, or `?all=true`.", "bad_request")
    return names


def switch(desk: Desk, call: Call) -> Step:
    """Switch a credential on or off."""
    body = call.object()
    disabled = body.get("disabled")
    if not isinstance(disabled, bool):
        raise refused(400, 'Send {"name": "...", "disabled": true} or false.', "invalid_body")
    return _change(desk, body, {"disabled": disabled}, {"disabled": disabled})


def set_fields(desk: Desk, call: Call) -> Step:
    """Change what a file says beside its secrets; null takes a field away."""
    body = call.object()
    fields = body.get("fields", {key: value for key, value in body.items() if key not in ("name", "auth_index")})
    if not isinstance(fields, dict) or not fields or not set(fields) <= set(FIELDS):
        raise refused(400, f"Send `name` and some of {', '.join(FIELDS)}.", "invalid_body")
    return _change(desk, body, fields, {"fields": sorted(fields)})


def _change(desk: Desk, body: Mapping[str, Any], fields: Mapping[str, Any], said: Mapping[str, Any]) -> Step:
    files = files_of(desk)
    name, index = body.get("name"), body.get("auth_index")
    if not isinstance(name or index, str) or not isinstance(name, str | None) or not isinstance(index, str | None):
        raise refused(400, "Say which: `name`, or `auth_index`.", "invalid_body")

    def changed(data: Mapping[str, Any]) -> Mapping[str, Any]:
        after = {key: value for key, value in {**data, **fields}.items() if value is not None or key not in fields}
        mistakes = parse_credential_file(after).mistakes
        told = [mistake for mistake in mistakes if set(mistake.path) & set(fields)]
        if told:
            raise CredentialFileError(*(f"{mistake.dotted()}: {mistake.message}" for mistake in told))
        return after

    def write() -> Step:
        with _told():
            file = next((f.name for f in files.list() if f.auth_index == index), "") if name is None else name
            files.update(file, changed)
        desk.logs.info("credential file changed", file=name_of(file), fields=",".join(sorted(fields)), by="management")
        return desk.done(answer_json({"status": "ok", "name": name_of(file), **said}))

    return write


def _named(call: Call) -> str:
    name = call.parameter("name")
    if not name:
        raise refused(400, "Say which file: `?name=`.", "bad_request")
    return name


@contextmanager
def _told() -> Iterator[None]:
    """Say in an answer what is wrong with a credential file."""
    try:
        yield
    except NoSuchFile as error:
        raise refused(404, "; ".join(error.lines), "not_found") from None
    except CredentialFileError as error:
        raise refused(422, "; ".join(error.lines), "invalid_credential_file") from None


_PATH: Final = "/v0/management/auth-files"
_NAME: Final = Parameter("name", "The name of the file.", required=True)
_ENTRY: Final = {
    "type": "object",
    "required": ["auth_index", "name", "filename", "provider_key", "quota_remaining", "quota_reset_seconds", "refresh_state", "status"],
    "properties": {
        "auth_index": {"type": "string"},
        "name": {"type": "string"},
        "filename": {"type": "string"},
        "type": {"type": "string"},
        "provider_key": {"type": "string"},
        "model_id": {"type": ["string", "null"]},
        "quota_remaining": {"type": ["number", "null"]},
        "quota_reset_seconds": {"type": ["number", "null"]},
        "refresh_state": {"enum": ["none", "valid", "refreshing", "failed"]},
        "status": {"enum": ["unknown", "active", "pending", "refreshing", "error", "disabled"]},
        "disabled": {"type": "boolean"},
        "models": {"type": "array", "items": OBJECT},
    },
}  # fmt: skip
_LIST: Final = {
    "oneOf": [
        {"type": "array", "items": _ENTRY},
        {"type": "object", "required": ["files"], "properties": {"files": {"type": "array", "items": _ENTRY}}},
    ]
}
_WHICH: Final = {"name": {"type": "string"}, "auth_index": {"type": "string"}}
_INVALID: Final[Mapping[int, Reply]] = {422: Reply("It would not be a credential.")}

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET", _PATH, list_files, "Credential files",
        {200: reply(_LIST, "A list for callers that take anything, such as curl; else an object with `files`.")},
        (
            Parameter("format", "`list` or `object`, whatever `Accept` says.", {"enum": [*_SHAPES]}),
            Parameter("name", "This file only."),
            Parameter("auth_index", "This credential only."),
        ),
    ),
    Route(
        "POST", _PATH, upload, "Add or replace credential files",
        {200: reply(OK), 207: reply(OBJECT, "Some were written, others not."), **_INVALID},
        (Parameter("name", "The name of the file, when the body is the file."),),
        body={
            "application/json": OBJECT,
            "multipart/form-data": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
        },
    ),
    Route(
        "DELETE", _PATH, remove, "Remove credential files",
        {200: reply(OK), 207: reply(OBJECT, "Some were removed, others not.")},
        (
            Parameter("name", "Which; may be given several times."),
            Parameter("all", "All of them.", {"enum": ["true", "false"]}),
        ),
        body={"application/json": {"type": "object", "properties": {"names": {"type": "array", "items": {"type": "string"}}}}},
        needs_body=False,
    ),
    Route(
        "GET", f"{_PATH}/download", download, "A credential file, with its secrets",
        {200: reply(OBJECT, "The file."), **_INVALID}, (_NAME,),
    ),
    Route(
        "GET", f"{_PATH}/models", models_of, "Models that a credential file serves",
        {200: reply({"type": "object", "required": ["models"], "properties": {"models": {"type": "array", "items": OBJECT}}})},
        (_NAME,),
    ),
    Route(
        "PATCH", f"{_PATH}/status", switch, "Switch a credential file off or on",
        {200: reply(OK), **_INVALID},
        body={"application/json": {"type": "object", "required": ["disabled"], "properties": {**_WHICH, "disabled": {"type": "boolean"}}}},
    ),
    Route(
        "PATCH", f"{_PATH}/fields", set_fields, "Change what a credential file says beside its secrets",
        {200: reply(OK), **_INVALID},
        body={"application/json": {"type": "object", "properties": {**_WHICH, **{field: {} for field in FIELDS}}}},
    ),
)  # fmt: skip
