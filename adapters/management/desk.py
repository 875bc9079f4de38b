"""What handlers work with: what they may look at, what was asked of them, and how they answer."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
import orjson

from dragoman.adapters.config_file import LoadedConfig
from dragoman.adapters.logs import Logs
from dragoman.adapters.reloading import Reloading
from dragoman.adapters.watching import Watch
from dragoman.core.config import Config
from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from dragoman.core.gateway import Gateway

_MOST_PARAMETERS: Final = 100
_DEEPEST: Final = 32
JSON: Final = (b"content-type", b"application/json")


class Refused(Exception):
    """A request that cannot be done, and the answer that says why."""

    def __init__(self, answer: LocalAnswer) -> None:
        super().__init__(answer.error)
        self.answer = answer


def refused(status: int, message: str, code: str) -> Refused:
    """Say why a request cannot be done; no secrets in it."""
    return Refused(LocalAnswer(status, error=message, code=code))


@attrs.define
class Desk:
    """What handlers may look at. The gateway is touched on the loop's thread only, the disk in worker threads only.

    Attributes:
        gateway: What is served.
        now: The clock, epoch seconds.
        logs: Where is said what the operator did.
        version: Of this software.
        config_path: The configuration file; None when there is none.
        check: Reads and checks the content of a configuration file. Raises ConfigFileError.
        environment: Where ``${NAME}`` in it is looked up.
        reloading: None when there is no file to be read again.
        usage_file: The usage ledger; None when none is kept.
        watch: Looks after the gateway: its alerts, and who is notified; None: nobody does.

    """

    gateway: Gateway
    now: Callable[[], float]
    logs: Logs
    version: str
    config_path: Path | None = None
    check: Callable[[bytes], LoadedConfig] | None = None
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    reloading: Reloading | None = None
    usage_file: Path | None = None
    watch: Watch | None = None

    @property
    def config(self) -> Config:
        """What is served now."""
        return self.gateway.config

    def done(self, answer: Step) -> Step:
        """Answer when what was changed on the disk is served; called in a worker thread."""
        reloading = self.reloading
        if reloading is None:
            return answer
        reloading.read(_PATIENCE)

        def take_over() -> Step:
            reloading.take_over()
            return answer

        return take_over


_PATIENCE: Final = 5.0  # seconds for a configuration to be read; it is served a little later then


@attrs.frozen
class Call:
    """What was asked of a handler.

    Attributes:
        request: As it came.
        route: The path of the route.
        parts: What stands in the path in the places of names.

    """

    request: LocalRequest
    route: str
    parts: Mapping[str, str]

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the query.

        Raises:
            Refused: Too many.

        """
        try:
            pairs = parse_qsl(self.request.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            raise refused(400, f"There are more than {_MOST_PARAMETERS} parameters.", "bad_request") from None
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            found.setdefault(name, []).append(value)
        return found

    def parameter(self, *names: str) -> str | None:
        """The first value of the first of these parameters that is given; None when none is."""
        query = self.query
        return next((query[name][0] for name in names if name in query), None)

    def choice(self, name: str, words: Sequence[str]) -> str | None:
        """A parameter that is one of some words.

        Raises:
            Refused: It is another.

        """
        value = self.parameter(name)
        if value is not None and value not in words:
            raise refused(400, f"`{name}` is one of {', '.join(words)}.", "bad_request")
        return value

    def index(self) -> int | None:
        """The parameter ``index``: a place in a list.

        Raises:
            Refused: It is no number.

        """
        value = self.parameter("index")
        if value is None:
            return None
        if not re.fullmatch("[0-9]{1,9}", value):
            raise refused(400, "`index` is a place in the list, counted from 0.", "bad_request")
        return int(value)

    def json(self) -> Any:
        """The body.

        Raises:
            Refused: It is not JSON, or nested deeper than anything that is asked for.

        """
        try:
            body = orjson.loads(self.request.body)
        except orjson.JSONDecodeError:
            raise refused(400, "The body is not JSON.", "invalid_body") from None
        if _is_deep(body):
            raise refused(400, "The body is nested too deeply.", "invalid_body")
        return body

    def object(self) -> dict[str, Any]:
        """The body, which has to be an object.

        Raises:
            Refused: It is not.

        """
        body = self.json()
        if not isinstance(body, dict):
            raise refused(400, "The body is not a JSON object.", "invalid_body")
        return body


def _is_deep(value: object) -> bool:
    """Whether lists and objects are in each other more than 32 times: who walks through them does not count the steps."""
    floor: list[object] = [value]
    for _ in range(_DEEPEST):
        floor = [
            inner
            for outer in floor
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(floor)


def answer_json(value: object, status: int = 200, fields: Iterable[tuple[bytes, bytes]] = ()) -> LocalAnswer:
    """Answer with JSON."""
    return LocalAnswer(status, orjson.dumps(value), (JSON, _UNSEEN, *fields))


# What is managed changes, and some of it is nobody else's business.
_UNSEEN: Final = (b"cache-control", b"no-store")


def answer_file(data: bytes, kind: str, name: str | None = None) -> LocalAnswer:
    """Answer with a file; `name`: to be saved under that."""
    fields = [(b"content-type", kind.encode("ascii")), _UNSEEN, (b"x-content-type-options", b"nosniff")]
    if name is not None:
        safe = re.sub(r"[^A-Za-z0-9._@+-]", "_", name)
        fields.append((b"content-disposition", f'attachment; filename="{safe}"'.encode("ascii")))
    return LocalAnswer(200, data, tuple(fields))
