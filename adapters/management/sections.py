"""Lists and mappings of the configuration: client keys, keys of providers, ``openai-compatibility``, and what is said by channel.

Secrets are told by their masks, and a mask that comes back stands for its secret (`dragoman.adapters.management.masks`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dragoman.adapters.config_editing import Data
from dragoman.adapters.management.changes import change, data_of, editor_of
from dragoman.adapters.management.desk import Call, Desk, answer_json, refused
from dragoman.adapters.management.masks import mask, masked, unmasked
from dragoman.adapters.management.routes import OBJECT, Handler, Parameter, Route, reply
from dragoman.adapters.management.settings import CHANGED
from dragoman.core.config_nodes import Node, Reading
from dragoman.core.config_providers import PROVIDER_SECTION
from dragoman.core.config_sections import SECTIONS
from dragoman.core.effects import Step
from dragoman.core.routing.catalog import identity_of

Entry = Any
KEYS: Final = "api-keys"
#: Mappings by channel: name in the file, what a body calls the channel, what it calls the rest.
CHANNELS: Final[Mapping[str, tuple[str, str]]] = {
    "oauth-excluded-models": ("provider", "models"),
    "oauth-model-alias": ("channel", "aliases"),
}
INDEX_NAME: Final = "auth-index"


# --- reading ---


def _read(name: str) -> Handler:
    """A section as it is in the file, masked."""

    def read(desk: Desk, call: Call) -> Step:
        if desk.config_path is None:
            return answer_json({name: {} if name in CHANNELS else []})
        editor, indices = editor_of(desk), _indices(desk, name)

        def look() -> Step:
            data = data_of(editor)
            value = data.get(name)
            told = masked(value if value is not None else {} if name in CHANNELS else [], name)
            if name not in CHANNELS and name != KEYS:
                _add_indices(value, told, indices, desk.environment)
            return answer_json({name: told})

        return look

    return read


def _indices(desk: Desk, name: str) -> dict[str, str]:
    """The `auth_index` of each secret of a section; on the loop's thread."""
    return {
        credential.api_key: identity_of(provider, credential)
        for provider in desk.config.providers
        if provider.kind == name
        for credential in provider.credentials
        if credential.api_key is not None
    }


def _add_indices(value: Any, told: Any, indices: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Add to each key that serves how the pool calls it."""
    if not isinstance(value, list):
        return
    for entry, shown in zip(value, told, strict=True):
        if not isinstance(entry, dict):
            continue
        _add_indices(entry.get("api-key-entries"), shown.get("api-key-entries"), indices, environment)
        if "api-key" in entry:
            secret = Node(Reading(environment), (), entry["api-key"]).text(secret=True)
            if secret is not None and secret in indices:
                shown[INDEX_NAME] = indices[secret]


# --- lists ---


def _cleaned(entry: Entry) -> Entry:
    """An entry as sent, without what only answers have."""
    match entry:
        case dict():
            return {key: _cleaned(item) for key, item in entry.items() if key != INDEX_NAME}
        case list():
            return [_cleaned(item) for item in entry]
        case _:
            return entry


def _list(data: Data, name: str) -> list[Entry]:
    value = data.get(name)
    return value if isinstance(value, list) else []


def _keep(data: Data, name: str, value: Any) -> None:
    """Put a section back; an empty one goes."""
    if value:
        data[name] = value
    else:
        data.pop(name, None)


def _replace(name: str) -> Handler:
    def write(desk: Desk, call: Call) -> Step:
        body = call.json()
        items = body.get("items") if isinstance(body, dict) else body
        if not isinstance(items, list):
            raise refused(400, 'Send a list, or {"items": [...]}.', "invalid_body")
        new = _cleaned(items)
        return change(desk, name, lambda data: _keep(data, name, unmasked(new, _list(data, name), name)))

    return write


def _patch_key(desk: Desk, call: Call) -> Step:
    """One client key: by its place, or by what it is; a new one is added."""
    body = call.object()
    new = body.get("value", body.get("new"))
    if not isinstance(new, (str, dict)) or not new:
        raise refused(400, 'Send {"index": 0, "value": "..."}, or {"old": "...", "new": "..."}.', "invalid_body")

    def edit(data: Data) -> None:
        items = _list(data, KEYS)
        at = _place(items, body, ("old", "match"), _key_names)
        value = unmasked([new], items[at : at + 1] if at is not None else items, KEYS)[0]
        if at is None:
            items.append(value)
        else:
            items[at] = value
        _keep(data, KEYS, items)

    return change(desk, KEYS, edit)


def _key_names(entry: Entry) -> list[str]:
    """How a client key may be called: its name, itself, its mask."""
    given = [entry.get("name"), entry.get("key")] if isinstance(entry, dict) else [entry]
    names = [text for text in given if isinstance(text, str)]
    return names + [mask(text) for text in names[-1:]]


def _entry_names(entry: Entry) -> list[str]:
    """How an entry of a provider's section may be called: its name, its key, the mask of that."""
    if not isinstance(entry, dict):
        return []
    key = entry.get("api-key")
    names = [entry["name"]] if isinstance(entry.get("name"), str) else []
    return [*names, key, mask(key)] if isinstance(key, str) else names


def _place(
    items: Sequence[Entry], body: Mapping[str, Any], names: Sequence[str], called: Callable[[Entry], list[str]]
) -> int | None:
    """Which item is meant; None: none, for `body` says no place, or one that nobody has and may be added.

    Raises:
        Refused: It is a place that the list does not have, or there are several.

    """
    index = body.get("index")
    if index is not None:
        if type(index) is not int or not 0 <= index < len(items):
            raise refused(404, f"The list has {len(items)} items; `index` counts from 0.", "not_found")
        return index
    wanted = next((body[name] for name in names if name in body), None)
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        raise refused(400, f"`{names[0]}` is a text.", "invalid_body")
    found = [i for i, item in enumerate(items) if wanted in called(item)]
    if len(found) > 1:
        raise refused(409, "Several items are called that: say `index`.", "ambiguous")
    return found[0] if found else None


def _patch_entry(name: str) -> Handler:
    """One entry of a provider's section: what is sent replaces what is there, null takes it away."""

    def write(desk: Desk, call: Call) -> Step:
        body = call.object()
        value = body.get("value")
        if not isinstance(value, dict):
            raise refused(
                400, 'Send {"index": 0, "value": {...}}; `name` or `match` in the place of `index`.', "invalid_body"
            )
        new = _cleaned(value)

        def edit(data: Data) -> None:
            items = _list(data, name)
            at = _place(items, body, ("match", "name"), _entry_names)
            if at is None:
                raise refused(404, "There is no such item.", "not_found")
            old = items[at] if isinstance(items[at], dict) else {}
            sent = unmasked(new, old, name)
            items[at] = {key: item for key, item in {**old, **sent}.items() if item is not None}
            data[name] = items

        return change(desk, name, edit)

    return write


def _remove(name: str, called: Callable[[Entry], list[str]], names: Sequence[str]) -> Handler:
    """One item: by its place, or by what it is called."""

    def write(desk: Desk, call: Call) -> Step:
        index, said, url = call.index(), call.parameter(*names), call.parameter("base-url")
        if index is None and not said:
            raise refused(400, f"Say which: `?index=` or `?{names[0]}=`.", "bad_request")

        def edit(data: Data) -> None:
            items = _list(data, name)
            found = [
                i
                for i, item in enumerate(items)
                if (i == index if index is not None else said in called(item))
                and (url is None or (isinstance(item, dict) and item.get("base-url") == url))
            ]
            if not found:
                raise refused(404, "There is no such item.", "not_found")
            if len(found) > 1:
                raise refused(409, "Several items are called that: say `index`.", "ambiguous")
            del items[found[0]]
            _keep(data, name, items)

        return change(desk, name, edit)

    return write


# --- by channel ---


def _put_mapping(name: str) -> Handler:
    def write(desk: Desk, call: Call) -> Step:
        body = call.object()
        value = body.get("items", body.get(name, body))
        if not isinstance(value, dict):
            raise refused(400, "Send lists by channel.", "invalid_body")
        return change(desk, name, lambda data: _keep(data, name, value))

    return write


def _patch_mapping(name: str) -> Handler:
    channel_name, rest = CHANNELS[name]

    def write(desk: Desk, call: Call) -> Step:
        body = call.object()
        channel, value = body.get(channel_name), body.get(rest)
        if not isinstance(channel, str) or not channel or not isinstance(value, list):
            raise refused(400, f'Send {{"{channel_name}": "...", "{rest}": [...]}}.', "invalid_body")

        def edit(data: Data) -> None:
            mapping = data.get(name)
            mapping = dict(mapping) if isinstance(mapping, dict) else {}
            _keep(mapping, channel, value)
            _keep(data, name, mapping)

        return change(desk, name, edit)

    return write


def _remove_channel(name: str) -> Handler:
    channel_name, _ = CHANNELS[name]

    def write(desk: Desk, call: Call) -> Step:
        channel = call.parameter(channel_name)
        if not channel:
            raise refused(400, f"Say which: `?{channel_name}=`.", "bad_request")

        def edit(data: Data) -> None:
            mapping = data.get(name)
            if not isinstance(mapping, dict) or channel not in mapping:
                raise refused(404, f"Nothing is said of {channel[:200]!r} there.", "not_found")
            _keep(data, name, {key: value for key, value in mapping.items() if key != channel})

        return change(desk, name, edit)

    return write


# --- the table ---

_JSON: Final = "application/json"
_AT: Final = Parameter("index", "Its place, from 0.", {"type": "integer", "minimum": 0})


def _told(name: str, of: str) -> Mapping[int, Any]:
    return {
        200: reply({"type": "object", "required": [name], "properties": {name: {"type": of}}}, "Secrets are masked.")
    }


def _list_routes(name: str) -> list[Route]:
    path = f"/v0/management/{name}"
    is_keys = name == KEYS
    item = {"type": ["string", "object"]} if is_keys else OBJECT
    items = {"type": "array", "items": item}
    put = {"oneOf": [items, {"type": "object", "required": ["items"], "properties": {"items": items}}]}
    properties = {"index": {"type": "integer", "minimum": 0}, "value": item}
    properties |= (
        {"old": {"type": "string"}, "new": item}
        if is_keys
        else {"match": {"type": "string"}, "name": {"type": "string"}}
    )
    names = ("value",) if is_keys else ("name",) if name == PROVIDER_SECTION else ("api-key", "name")
    called = _key_names if is_keys else _entry_names
    parameters = [_AT, Parameter(names[0], "What it is, or its mask.")]
    if not is_keys:
        parameters.append(Parameter("base-url", "Where it leads, if several are called the same."))
    return [
        Route("GET", path, _read(name), f"The list `{name}`", _told(name, "array")),
        Route("PUT", path, _replace(name), f"Replace `{name}`", CHANGED, body={_JSON: put}),
        Route(
            "PATCH", path, _patch_key if is_keys else _patch_entry(name), f"Change an item of `{name}`", CHANGED,
            body={_JSON: {"type": "object", "properties": properties}},
        ),
        Route("DELETE", path, _remove(name, called, names), f"Remove an item of `{name}`", CHANGED, parameters),
    ]  # fmt: skip


def _mapping_routes(name: str) -> list[Route]:
    path = f"/v0/management/{name}"
    channel, rest = CHANNELS[name]
    lists = {"type": "object", "additionalProperties": {"type": "array"}}
    patch = {
        "type": "object",
        "required": [channel, rest],
        "properties": {channel: {"type": "string"}, rest: {"type": "array"}},
    }
    return [
        Route("GET", path, _read(name), f"The mapping `{name}`", _told(name, "object")),
        Route("PUT", path, _put_mapping(name), f"Replace `{name}`", CHANGED, body={_JSON: lists}),
        Route("PATCH", path, _patch_mapping(name), f"Change a channel of `{name}`", CHANGED, body={_JSON: patch}),
        Route(
            "DELETE", path, _remove_channel(name), f"Remove a channel of `{name}`", CHANGED,
            (Parameter(channel, "Which.", required=True),),
        ),
    ]  # fmt: skip


ROUTES: Final[Sequence[Route]] = (
    *(route for name in (KEYS, *SECTIONS, PROVIDER_SECTION) for route in _list_routes(name)),
    *(route for name in CHANNELS for route in _mapping_routes(name)),
)
