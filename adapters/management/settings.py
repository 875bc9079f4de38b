"""Single settings of the configuration: told as they are in force, changed in the file. One literal table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from dragoman.adapters.config_editing import Data
from dragoman.adapters.management.changes import change
from dragoman.adapters.management.desk import Call, Desk, answer_json, refused
from dragoman.adapters.management.masks import without_secrets
from dragoman.adapters.management.routes import OK, Handler, Reply, Route, Schema, reply
from dragoman.core.config import Config
from dragoman.core.effects import Step

_BOOLEAN: Final[Schema] = {"type": "boolean"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": -1, "maximum": 1_000_000}
_TEXT: Final[Schema] = {"type": "string", "maxLength": 2000}
_STRATEGIES: Final[Mapping[str, str]] = {
    "rr": "round-robin", "wrr": "weighted-round-robin", "ff": "fill-first",
    **{name: name for name in ("round-robin", "weighted-round-robin", "fill-first", "least-busy", "lowest-latency")},
}  # fmt: skip


@attrs.frozen
class Setting:
    """A value that is changed alone.

    Attributes:
        path: Its keys in the file; also its path here.
        schema: What it may be.
        read: What is in force.
        words: What else may be said for a word, and what is meant.
        is_removable: It may be taken away.
        known_as: Its path here, where that is another.

    """

    path: tuple[str, ...]
    schema: Schema
    read: Callable[[Config], Any]
    words: Mapping[str, str] = attrs.field(factory=dict)
    is_removable: bool = False
    known_as: str = ""

    @property
    def name(self) -> str:
        """What answers call it."""
        return self.known_as or self.path[-1]


def _whole(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else seconds


SETTINGS: Final[Sequence[Setting]] = (
    Setting(("debug",), _BOOLEAN, lambda config: config.debug),
    Setting(("proxy-url",), _TEXT, lambda config: without_secrets(config.proxy_url or ""), is_removable=True),
    Setting(("request-retry",), _COUNT, lambda config: config.request_retry),
    Setting(("max-retry-credentials",), _COUNT, lambda config: config.max_retry_credentials),
    Setting(("max-retry-interval",), _COUNT, lambda config: _whole(config.max_retry_interval)),
    Setting(("disable-cooling",), _BOOLEAN, lambda config: config.disable_cooling),
    Setting(("force-model-prefix",), _BOOLEAN, lambda config: config.force_model_prefix),
    Setting(("strict-translation",), _BOOLEAN, lambda config: config.strict_translation),
    Setting(("quota-exceeded", "switch-project"), _BOOLEAN, lambda config: config.switch_project),
    Setting(("quota-exceeded", "switch-preview-model"), _BOOLEAN, lambda config: config.switch_preview_model),
    Setting(("logging-to-file",), _BOOLEAN, lambda config: config.log_files.enabled),
    Setting(("logs-max-total-size-mb",), _COUNT, lambda config: config.log_files.total_mb),
    Setting(("request-log",), _BOOLEAN, lambda config: config.log_files.every_request),
    Setting(("error-logs-max-files",), _COUNT, lambda config: config.log_files.error_files),
    Setting(("usage", "enabled"), _BOOLEAN, lambda config: config.usage.enabled, known_as="usage-statistics-enabled"),
    Setting(("routing", "strategy"), {"enum": [*_STRATEGIES]}, lambda config: config.routing.strategy, _STRATEGIES),
)  # fmt: skip


def value_of(setting: Setting, body: Mapping[str, Any]) -> object:
    """What was sent for a setting.

    Raises:
        Refused: It is nothing that it may be.

    """
    value = body.get("value", body.get(setting.name))
    match setting.schema:
        case {"type": "boolean"} if isinstance(value, bool):
            return value
        case {"type": "integer", "minimum": least, "maximum": most} if type(value) is int and least <= value <= most:
            return value
        case {"type": "string", "maxLength": longest} if isinstance(value, str) and len(value) <= longest:
            return value
        case {"enum": _} if isinstance(value, str) and value.lower() in setting.words:
            return setting.words[value.lower()]
    expected = setting.schema.get("type") or "one of " + ", ".join(setting.schema["enum"])
    raise refused(400, f'Send {{"value": ...}}: {expected}.', "invalid_body")


def put(data: Data, path: Sequence[str], value: object) -> None:
    """Set a value, with the mappings around it; None takes it away, and empty mappings with it."""
    *outer, name = path
    places = [data]
    for key in outer:
        inner = places[-1].get(key)
        places.append(inner if isinstance(inner, dict) else {})
    if value is None:
        places[-1].pop(name, None)
    else:
        places[-1][name] = value
    for place, key, inner in zip(reversed(places[:-1]), reversed(outer), reversed(places[1:]), strict=True):
        if inner:
            place[key] = inner
        else:
            place.pop(key, None)


def _reader(setting: Setting) -> Handler:
    def read(desk: Desk, call: Call) -> Step:
        return answer_json({setting.name: setting.read(desk.config)})

    return read


def _writer(setting: Setting) -> Handler:
    def write(desk: Desk, call: Call) -> Step:
        value = value_of(setting, call.object())
        return change(desk, ".".join(setting.path), lambda data: put(data, setting.path, value))

    return write


def _remover(setting: Setting) -> Handler:
    def remove(desk: Desk, call: Call) -> Step:
        return change(desk, ".".join(setting.path), lambda data: put(data, setting.path, None))

    return remove


#: What every change of the file may be answered.
CHANGED: Final[Mapping[int, Reply]] = {
    200: reply(OK, "It is in force; `needs_restart` names what will be after the next start only."),
    409: Reply("There is no file, or it cannot be written."),
    422: reply(
        {"type": "object", "required": ["error"]}, "The configuration would have these mistakes; nothing was changed."
    ),
}


def _routes(setting: Setting) -> list[Route]:
    path = f"/v0/management/{setting.known_as or '/'.join(setting.path)}"
    told = {"type": "object", "required": [setting.name], "properties": {setting.name: setting.schema}}
    body = {"application/json": {"type": "object", "required": ["value"], "properties": {"value": setting.schema}}}
    name = ".".join(setting.path)
    routes = [Route("GET", path, _reader(setting), f"The setting `{name}`", {200: reply(told, "What is in force.")})]
    routes += [
        Route(method, path, _writer(setting), f"Set `{name}`", CHANGED, body=body) for method in ("PUT", "PATCH")
    ]
    if setting.is_removable:
        routes.append(Route("DELETE", path, _remover(setting), f"Take `{name}` away", CHANGED))
    return routes


ROUTES: Final[Sequence[Route]] = tuple(route for setting in SETTINGS for route in _routes(setting))
