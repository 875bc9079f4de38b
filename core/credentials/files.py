"""A credential file: from the mapping that it holds to values.

One JSON file is one credential, in the shape that CLIProxyAPI writes; what it is for is `dragoman.core.providers.logins`. Everything here is
pure; reading and writing of files is `dragoman.adapters.credential_files`. No message quotes a value: it may be a secret.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs

from dragoman.core.errors import Mistake
from dragoman.core.providers.logins import LOGINS, Login
from dragoman.core.urls import is_loopback, parse_proxy, split_url

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}")
VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[\x20-\x7e\t\x80-\xff]*")
_FRAMING: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
EXPIRIES: Final = ("expired", "expire", "expires_at", "expiresAt", "expiry", "expires")
REFRESHES: Final = ("last_refresh", "lastRefresh", "last_refreshed_at", "lastRefreshedAt")
ACCESS_TOKENS: Final = ("access_token", "accessToken")
_MILLISECONDS: Final = 10**11  # a number of seconds this large is in the year 5138
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_MOST_MODELS: Final = 2000


@attrs.frozen
class FileCredential:
    """What a credential file says.

    Attributes:
        type: As in the file.
        login: What is known of that type.
        secret: What the provider is shown; empty for a type that serves nothing.
        email: Whose it is, for people; empty when the file does not say.
        disabled: It answers nothing while True.
        prefix: See `Provider.prefix`.
        priority: See `Credential.priority`.
        weight: See `Credential.weight`.
        note: The operator's.
        proxy_url: See `Credential.proxy_url`.
        base_url: Where its requests go.
        headers: Sent with every request.
        own_headers: The same, of what only this one has (the number of an account).
        project: On whose account; empty where the type has none.
        issuer: The name of a service's account, whose private key is `refresh_token`; empty for all others.
        model_root: See `Provider.model_root`; empty: the usual one.
        models: Pairs of upstream model and alias; empty: those known of its type.
        excluded_models: Patterns in lower case.
        disable_cooling: See `Credential.disable_cooling`.
        request_retry: See `Credential.request_retry`.
        expires_at: When its token ends, epoch seconds; None when it does not say.
        last_refresh: When it was last renewed, epoch seconds; None when it does not say.
        refresh_token: For a new token; empty when there is none.
        token_url: Where new tokens come from; empty when the file does not say.
        is_renewable: The secret is an access token, and not a key that no renewal would change.
        client_id: Of the user's own login; empty when the file does not say.
        client_secret: The same.

    """

    type: str
    login: Login
    secret: str = attrs.field(default="", repr=False)
    email: str = ""
    disabled: bool = False
    prefix: str | None = None
    priority: int | None = None
    weight: int | None = None
    note: str = ""
    proxy_url: str | None = attrs.field(default=None, repr=False)
    base_url: str = ""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    own_headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    project: str = ""
    issuer: str = ""
    model_root: str = ""
    models: tuple[tuple[str, str], ...] = ()
    excluded_models: tuple[str, ...] = ()
    disable_cooling: bool | None = None
    request_retry: int | None = None
    expires_at: float | None = None
    last_refresh: float | None = None
    refresh_token: str = attrs.field(default="", repr=False)
    token_url: str = ""
    is_renewable: bool = False
    client_id: str = attrs.field(default="", repr=False)
    client_secret: str = attrs.field(default="", repr=False)


@attrs.frozen
class FileReading:
    """What came of reading a credential file: a credential, or everything that is wrong with it."""

    credential: FileCredential | None
    mistakes: tuple[Mistake, ...] = ()


def parse_credential_file(data: object) -> FileReading:
    """Read what a credential file holds; anything may come, nothing is raised."""
    if not isinstance(data, Mapping):
        return FileReading(None, (Mistake((), "expected one JSON object with the fields of a credential"),))
    fields = _Fields(data)
    kind = fields.text("type")
    login = LOGINS.get(kind.lower())
    if login is None:
        fields.mistake("type", _unknown_type(kind))
        return FileReading(None, tuple(fields.mistakes))
    credential = _credential(fields, kind, login)
    if login.is_service:
        credential = _of_service(credential, fields)
    return FileReading(None if fields.mistakes else credential, tuple(fields.mistakes))


def _unknown_type(kind: str) -> str:
    if kind == "service_account":
        return "this is a service account's key as Google gives it: put it under `service_account` in a file with `type: vertex`"
    return f"{'is missing' if not kind else 'is none that is known'}: expected one of {', '.join(LOGINS)}"


def _credential(fields: "_Fields", kind: str, login: Login) -> FileCredential:
    place, secret = next(((name, text) for name in login.fields if (text := fields.token(name))), ("", ""))
    if login.dialect and not secret and not login.is_service:
        fields.mistake(login.fields[0], "is missing: without it there is nothing to show the provider; log in again")
    elif secret and not VISIBLE.fullmatch(secret):
        fields.mistake(login.fields[0], "has characters that do not fit into an HTTP header: log in again")
    return FileCredential(
        type=kind.lower(),
        login=login,
        secret=secret,
        email=fields.text("email") or fields.text("username"),
        disabled=bool(fields.boolean("disabled")),
        prefix=_prefix(fields),
        priority=fields.integer("priority"),
        weight=fields.integer("weight"),
        note=fields.text("note"),
        proxy_url=_proxy(fields),
        base_url=_base_url(fields, login),
        headers=_headers(fields, login),
        own_headers=_own_headers(fields, login),
        project=_project(fields, login),
        models=_models(fields),
        excluded_models=tuple(text.lower() for text in fields.texts("excluded_models")),
        disable_cooling=fields.boolean("disable_cooling"),
        request_retry=fields.integer("request_retry"),
        expires_at=next((at for name in EXPIRIES if (at := parse_instant(fields.either(name))) is not None), None),
        last_refresh=next((at for name in REFRESHES if (at := parse_instant(fields.get(name))) is not None), None),
        refresh_token=fields.token("refresh_token") or fields.token("refreshToken"),
        token_url=_token_url(fields),
        is_renewable=place in ACCESS_TOKENS,
        client_id=fields.token("client_id"),
        client_secret=fields.token("client_secret"),
    )


def _of_service(credential: FileCredential, fields: "_Fields") -> FileCredential:
    """The account of a service: a key of its own, a project, and a place."""
    inner = fields.get("service_account")
    account = _Fields(inner if isinstance(inner, Mapping) else {})
    issuer, key = account.text("client_email"), account.text("private_key")
    if not issuer or "PRIVATE KEY-----" not in key:
        fields.mistake(
            "service_account",
            "expected the key of a service's account as Google gives it (`client_email`, `private_key`)",
        )
    project = fields.text("project_id") or account.text("project_id")
    place = fields.text("location") or "us-central1"
    for name, text in (("project_id", project), ("location", place)):
        if not _NAME.fullmatch(text):
            fields.mistake(name, "expected letters, digits, dashes, dots and colons")
    token_url = _token_url(account) or "https://oauth2.googleapis.com/token"
    fields.mistakes += account.mistakes
    base_url = credential.base_url
    if base_url == credential.login.base_url and place != "global":
        base_url = f"https://{place}-aiplatform.googleapis.com"
    return attrs.evolve(
        credential,
        secret="",
        email=credential.email or issuer,
        base_url=base_url,
        model_root=f"/v1/projects/{project}/locations/{place}/publishers/google",
        expires_at=None,
        refresh_token=key,
        token_url=token_url,
        is_renewable=True,
        client_id="",
        client_secret="",
        issuer=issuer,
    )


def _prefix(fields: "_Fields") -> str | None:
    prefix = fields.text("prefix").strip("/ ")
    if "/" in prefix or not prefix.isprintable():
        fields.mistake("prefix", "is one word before `/model`: remove the slash within it")
    return prefix or None


def _proxy(fields: "_Fields") -> str | None:
    text = fields.text("proxy_url")
    if not text:
        return None
    try:
        return text if parse_proxy(text) is not None else "direct"
    except ValueError as error:
        fields.mistake("proxy_url", str(error))
        return None


def _base_url(fields: "_Fields", login: Login) -> str:
    text = _url(fields, fields.text("base_url"), "base_url")
    resource = fields.text("resource_url")  # Qwen's: a host, or a URL without the version
    if not text and resource:
        text = resource if "://" in resource else f"https://{resource}"
        text = _url(fields, text if text.rstrip("/").endswith("/v1") else f"{text.rstrip('/')}/v1", "resource_url")
    return text.rstrip("/") or login.base_url


def _url(fields: "_Fields", text: str, name: str) -> str:
    if not text:
        return ""
    try:
        url = split_url(text)
    except ValueError as error:
        fields.mistake(name, str(error))
        return ""
    if url.scheme not in ("http", "https") or url.username is not None:
        fields.mistake(name, "expected http:// or https://, without a user name")
        return ""
    return text


def _project(fields: "_Fields", login: Login) -> str:
    """The first of a list with commas: one file is one credential."""
    if not login.project:
        return ""
    project = fields.text(login.project).partition(",")[0].strip()
    if not project:
        fields.mistake(login.project, "is missing: on whose account are requests made?")
    return project


def _token_url(fields: "_Fields") -> str:
    text = _url(fields, fields.token("token_uri") or fields.text("token_endpoint"), "token_uri")
    if text and is_open(text):
        fields.mistake("token_uri", "expected https://, for a secret is sent there")
    return text


def is_open(url: str) -> bool:
    """Whether what is sent to a URL (that can be used) may be read on its way."""
    parts = split_url(url)
    return parts.scheme == "http" and not is_loopback(parts.host)


def _headers(fields: "_Fields", login: Login) -> tuple[tuple[str, str], ...]:
    headers = dict(login.headers)
    given = fields.get("headers")
    if given is not None and not isinstance(given, Mapping):
        fields.mistake("headers", "expected names and values")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        headers[str(name).lower()] = value if isinstance(value, str) else ""
    for name, value in headers.items():
        if not _FIELD_NAME.fullmatch(name) or name in _FRAMING or not _FIELD_VALUE.fullmatch(value):
            fields.mistake("headers", "a name or a value in it cannot be sent as an HTTP header: remove it")
    return tuple(headers.items())


def _own_headers(fields: "_Fields", login: Login) -> tuple[tuple[str, str], ...]:
    headers = tuple((header, text) for header, name in login.copied if (text := fields.text(name)))
    for header, name in login.copied:
        if not _FIELD_VALUE.fullmatch(fields.text(name)):
            fields.mistake(name, f"has characters that do not fit into the HTTP header {header!r}")
    return headers


def _models(fields: "_Fields") -> tuple[tuple[str, str], ...]:
    found: dict[tuple[str, str], None] = {}
    items = fields.get("models")
    if items is not None and not isinstance(items, (list, tuple)):
        fields.mistake("models", "expected a list of names, or of objects with `name` and `alias`")
        return ()
    for item in items or ():
        name = item.get("name") if isinstance(item, Mapping) else item
        alias = item.get("alias") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or not name or not isinstance(alias or name, str) or len(found) >= _MOST_MODELS:
            fields.mistake("models", f"expected at most {_MOST_MODELS} names, or objects with `name` and `alias`")
            break
        found[(name, str(alias or name))] = None
    return tuple(found)


def parse_instant(value: object) -> float | None:
    """An instant as credential files write it, as epoch seconds: RFC 3339, a date with or without a time (UTC), seconds or milliseconds.

    >>> parse_instant("2026-11-25T00:00:00Z"), parse_instant(1764028800), parse_instant("1764028800000"), parse_instant("soon")
    (1795564800.0, 1764028800.0, 1764028800.0, None)
    """
    if isinstance(value, str):
        text = value.strip()
        if not _WHOLE.fullmatch(text):
            return _parse_date(text)
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 10**18:
        return None
    number = float(value)
    if number >= _MILLISECONDS:
        number /= 1000
    return number if 0 < number < _MILLISECONDS else None


def is_in_milliseconds(value: object) -> bool:
    """Whether a number (or its text) that `parse_instant` reads counts milliseconds."""
    return isinstance(value, (int, float, str)) and abs(float(value)) >= _MILLISECONDS


def _parse_date(text: str) -> float | None:
    try:
        instant = datetime.fromisoformat(text)
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
        seconds = instant.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


class _Fields:
    """The fields of a credential file; dashes and underscores in their names are the same."""

    def __init__(self, data: Mapping[object, object]) -> None:
        self._data = data
        token = data.get("token")
        self._token: Mapping[object, object] = token if isinstance(token, Mapping) else {}
        self.mistakes: list[Mistake] = []

    def mistake(self, name: str, message: str) -> None:
        self.mistakes.append(Mistake((name,), message))

    def get(self, name: str) -> object:
        value = self._data.get(name)
        return self._data.get(name.replace("_", "-")) if value is None else value

    def either(self, name: str) -> object:
        """At the top, or within ``token``, where Google's files have it."""
        value = self.get(name)
        return self._token.get(name) if value is None else value

    def text(self, name: str) -> str:
        return self._text(name, self.get(name))

    def token(self, name: str) -> str:
        """A text at the top, or within ``token``."""
        value = self.either(name)
        return "" if isinstance(value, Mapping) else self._text(name, value)

    def _text(self, name: str, value: object) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self.mistake(name, "expected text")
            return ""
        return value.strip()

    def texts(self, name: str) -> Sequence[str]:
        value = self.get(name)
        if value is None:
            return ()
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return [item.strip() for item in value if item.strip()]
        self.mistake(name, "expected a list of texts")
        return ()

    def boolean(self, name: str) -> bool | None:
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        self.mistake(name, "expected true or false")
        return None

    def integer(self, name: str) -> int | None:
        value = self.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1_000_000:
            self.mistake(name, "expected a whole number of at most 1000000")
            return None
        return value
